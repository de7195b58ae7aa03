package modelcheck

import (
	"fmt"
	"runtime/debug"
	"slices"
)

// RunReal visits every state that the production code of package consensus
// reaches in the static model or the production one ([Production], which stands
// for the reconfiguration model): each action is a short sequence of calls of real
// acceptors and proposers, each state is projected onto the variables of the
// model, and states with one projection are one.
//
// Code is right if it reaches exactly the states that [Run] visits: one more, or
// one less, is a violation, and the trace is a shortest way to it. Besides that
// and the invariants of the model it checks that a crash after any action would
// leave what was promised, and that production code does not panic. It works on
// one processor, and keeps the states of two levels at a time.
func RunReal(m *Model, o Options) (*Result, error) {
	if m.changes() && !m.production {
		narrow := *m
		narrow.production = true
		m = &narrow
	}
	if o.Memory == 0 {
		o.Memory = 4 << 30
	}
	s := &walk[*real]{world: realWorld{m, m.codec()}, o: o, seen: newSeen()}
	var err error
	if s.invariants, err = m.claims(o.Also); err != nil {
		return nil, err
	}
	abstract := &search{m: m, o: Options{Workers: 1, Memory: o.Memory}, seen: newSeen(), invariants: m.Invariants()}
	if err := abstract.run(); err != nil {
		return nil, err
	}
	s.model = abstract.seen
	if err = s.run(); err == nil && s.result.Violation == nil {
		missing(&s.result, s.seen, abstract)
	}
	return &s.result, err
}

// A world is a kind of states that consist of production code, and what leads
// from one to the next.
type world[S any] interface {
	model() *Model
	start() (S, error)
	successors(s S, visit func(next S, what func() Action))
	project(s S) state // onto the model
	// key is by what states are told apart.
	key(s S, projected *state) fingerprint
	// wrong is what a state breaks that its projection does not show, nil for
	// nothing.
	wrong(s S) *Invariant
}

type realWorld struct {
	m     *Model
	codec *codec
}

func (w realWorld) model() *Model         { return w.m }
func (w realWorld) start() (*real, error) { return w.m.realInitial() }
func (w realWorld) project(s *real) state { return w.m.project(s) }
func (w realWorld) successors(s *real, visit func(*real, func() Action)) {
	w.m.realSuccessors(s, visit)
}
func (w realWorld) key(_ *real, st *state) fingerprint { return sum(w.codec.encode(st)) }
func (w realWorld) wrong(s *real) *Invariant {
	if s.broken == "" {
		return nil
	}
	v := keeps.saying(s.broken)
	return &v
}

// A walk goes through the states of a world level by level.
type walk[S any] struct {
	world      world[S]
	o          Options
	invariants []Invariant
	seen       *seen
	model      *seen // what the model reaches, nil if nothing is compared
	result     Result
	next       []*node[S]
}

// A node is a state and how it was found: the last of the actions that led to
// it, by its place among the successors of the one before.
type node[S any] struct {
	state S // zero once followed
	from  *node[S]
	place int
}

// What production code is held to besides the invariants of the model.
var (
	keeps = Invariant{Name: "Kept", Words: "a crash leaves what was promised"}
	equal = Invariant{Name: "Model", Words: "production code reaches what the model reaches"}
	sound = Invariant{Name: "Sound", Words: "production code keeps what it relies on itself"}
)

// saying is the invariant with how it was broken.
func (v Invariant) saying(text string) Invariant {
	v.Words += ": " + text
	return v
}

// nodeBytes is about what a state to be followed takes, most of which is shared
// with others; of one that was followed the way to it is left.
const (
	nodeBytes = 2 << 10
	wayBytes  = 64
)

func (s *walk[S]) run() error {
	init, err := s.world.start()
	if err != nil {
		return err
	}
	level := []*node[S]{{state: init}}
	st := s.world.project(init)
	s.seen.add(s.world.key(init, &st), fingerprint{}, 0)
	s.result.Distinct, s.result.Depth, s.result.Generated = 1, 1, 1
	for depth := 1; len(level) > 0; depth++ {
		s.next = nil
		for _, n := range level {
			if s.follow(n, uint32(depth)); s.result.Violation != nil {
				return nil
			}
			var none S
			n.state = none
		}
		if len(s.next) > 0 {
			s.result.Depth++
		}
		s.result.Distinct += int64(len(s.next))
		if s.o.Level != nil {
			s.o.Level(s.result.Depth, s.result.Distinct, int64(len(s.next)))
		}
		need := s.seen.bytes() + wayBytes*s.result.Distinct + nodeBytes*int64(len(s.next))
		if need > s.o.Memory {
			return fmt.Errorf("%w: %d MiB after %d states and %d levels; give it more, or a smaller model", ErrMemory, need>>20, s.result.Distinct, s.result.Depth)
		}
		level = s.next
	}
	return nil
}

// missing looks for states of the model that production code did not reach.
func missing(result *Result, reached *seen, abstract *search) {
	var first slot
	for i := range abstract.seen.shards {
		for _, sl := range abstract.seen.shards[i].slots {
			if sl.key == (fingerprint{}) || reached.has(sl.key) {
				continue
			}
			if first.key == (fingerprint{}) || sl.depth < first.depth || sl.depth == first.depth && sl.key.lo < first.key.lo {
				first = sl
			}
		}
	}
	if first.key == (fingerprint{}) {
		return
	}
	v := equal.saying(fmt.Sprintf("the last state it does not reach; it reaches %d states, the model %d", result.Distinct, abstract.result.Distinct))
	result.Violation = &Violation{Invariant: v, Trace: abstract.way(first.key.lo)}
}

// follow visits the successors of a state.
func (s *walk[S]) follow(from *node[S], depth uint32) {
	place := -1
	defer func() {
		if r := recover(); r != nil { // core.Must, which stops a node in production
			s.violated(sound.saying(fmt.Sprintf("%v\n%s", r, debug.Stack())), from, place)
		}
	}()
	m := s.world.model()
	s.world.successors(from.state, func(n S, _ func() Action) {
		if place++; s.result.Violation != nil {
			return
		}
		s.result.Generated++
		st := s.world.project(n)
		inside, key := m.inside(&st), fingerprint{}
		if inside {
			if key = s.world.key(n, &st); !s.seen.add(key, fingerprint{}, depth) {
				return
			}
		}
		if v := s.world.wrong(n); v != nil {
			s.violated(*v, from, place)
			return
		}
		if i := slices.IndexFunc(s.invariants, func(v Invariant) bool { return !v.holds(m, &st) }); i >= 0 {
			s.violated(s.invariants[i], from, place)
			return
		}
		if inside && s.model != nil && !s.model.has(key) {
			s.violated(equal.saying("this state the model does not reach"), from, place)
			return
		}
		if inside {
			s.next = append(s.next, &node[S]{state: n, from: from, place: place})
		}
	})
}

// violated makes the result: the way to the state is gone again, from the start.
func (s *walk[S]) violated(v Invariant, from *node[S], place int) {
	places := []int{place}
	for ; from.from != nil; from = from.from {
		places = append(places, from.place)
	}
	slices.Reverse(places)
	at, err := s.world.start()
	if err != nil {
		return
	}
	t := &Trace{m: s.world.model(), steps: []step{{state: s.world.project(at)}}}
	s.result.Violation = &Violation{Invariant: v, Trace: t}
	for _, place := range places {
		var ok bool
		if at, ok = s.again(t, at, place); !ok {
			return // the last one does not return
		}
	}
}

// again adds the successor at a place; false if the code panics before.
func (s *walk[S]) again(t *Trace, at S, place int) (next S, ok bool) {
	defer func() { recover() }()
	i := -1
	s.world.successors(at, func(n S, what func() Action) {
		if i++; i == place {
			t.steps = append(t.steps, step{what(), s.world.project(n)})
			next, ok = n, true
		}
	})
	return next, ok
}
