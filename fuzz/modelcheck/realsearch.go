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
	s := newRealSearch(m, o)
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
		s.missing(abstract)
	}
	return &s.result, err
}

// A realSearch goes through the states level by level.
type realSearch struct {
	m          *Model
	o          Options
	invariants []Invariant
	seen       *seen
	model      *seen // what the model reaches
	codec      *codec
	result     Result
	next       []*node
}

// A node is a state and how it was found: the last of the actions that led to
// it, by its place among the successors of the one before.
type node struct {
	state *real // nil once followed
	from  *node
	place int
}

func newRealSearch(m *Model, o Options) *realSearch {
	return &realSearch{m: m, o: o, invariants: m.Invariants(), seen: newSeen(), codec: m.codec()}
}

// What production code is held to besides the invariants of the model.
var (
	keeps = Invariant{Name: "Kept", Words: "a crash leaves what was promised"}
	equal = Invariant{Name: "Model", Words: "production code reaches what the model reaches"}
	sound = Invariant{Name: "Sound", Words: "production code keeps what it relies on itself"}
)

// nodeBytes is about what a state takes: most of it is shared with others.
const nodeBytes = 2 << 10

func (s *realSearch) run() error {
	init, err := s.m.realInitial()
	if err != nil {
		return err
	}
	level := []*node{{state: init}}
	st := s.m.project(init)
	s.seen.add(sum(s.codec.encode(&st)), fingerprint{}, 0)
	s.result.Distinct, s.result.Depth, s.result.Generated = 1, 1, 1
	for depth := 1; len(level) > 0; depth++ {
		s.next = nil
		for _, n := range level {
			if s.follow(n, uint32(depth)); s.result.Violation != nil {
				return nil
			}
			n.state = nil
		}
		if len(s.next) > 0 {
			s.result.Depth++
		}
		s.result.Distinct += int64(len(s.next))
		if s.o.Level != nil {
			s.o.Level(s.result.Depth, s.result.Distinct, int64(len(s.next)))
		}
		if need := s.seen.bytes() + nodeBytes*int64(len(s.next)); need > s.o.Memory {
			return fmt.Errorf("%w: %d MiB after %d states and %d levels; give it more, or a smaller model", ErrMemory, need>>20, s.result.Distinct, s.result.Depth)
		}
		level = s.next
	}
	return nil
}

// missing looks for states of the model that production code did not reach.
func (s *realSearch) missing(abstract *search) {
	var first slot
	for i := range abstract.seen.shards {
		for _, sl := range abstract.seen.shards[i].slots {
			if sl.key == (fingerprint{}) || s.seen.has(sl.key) {
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
	v := equal
	v.Words += fmt.Sprintf(": the last state it does not reach; it reaches %d states, the model %d", s.result.Distinct, abstract.result.Distinct)
	s.result.Violation = &Violation{Invariant: v, Trace: abstract.way(first.key.lo)}
}

// follow visits the successors of a state.
func (s *realSearch) follow(from *node, depth uint32) {
	place := -1
	defer func() {
		if r := recover(); r != nil { // core.Must, which stops a node in production
			text := fmt.Sprintf("%v\n%s", r, debug.Stack())
			s.violated(sound, from, place, text)
		}
	}()
	s.m.realSuccessors(from.state, func(n *real, _ func() Action) {
		if place++; s.result.Violation != nil {
			return
		}
		s.result.Generated++
		st := s.m.project(n)
		inside, key := s.m.inside(&st), fingerprint{}
		if inside {
			if key = sum(s.codec.encode(&st)); !s.seen.add(key, fingerprint{}, depth) {
				return
			}
		}
		if n.broken != "" {
			s.violated(keeps, from, place, n.broken)
			return
		}
		if i := slices.IndexFunc(s.invariants, func(v Invariant) bool { return !v.holds(s.m, &st) }); i >= 0 {
			s.violated(s.invariants[i], from, place, "")
			return
		}
		if inside && !s.model.has(key) {
			s.violated(equal, from, place, "this state the model does not reach")
			return
		}
		if inside {
			s.next = append(s.next, &node{state: n, from: from, place: place})
		}
	})
}

// violated makes the result: the way to the state is gone again, from the start.
func (s *realSearch) violated(v Invariant, from *node, place int, text string) {
	if text != "" {
		v.Words += ": " + text
	}
	places := []int{place}
	for ; from.from != nil; from = from.from {
		places = append(places, from.place)
	}
	slices.Reverse(places)
	at, err := s.m.realInitial()
	if err != nil {
		return
	}
	t := &Trace{m: s.m, steps: []step{{state: s.m.project(at)}}}
	s.result.Violation = &Violation{Invariant: v, Trace: t}
	for _, place := range places {
		if at = t.goReal(at, place); at == nil {
			return // the last one does not return
		}
	}
}

// goReal adds the successor at a place, nil if the code panics before.
func (t *Trace) goReal(at *real, place int) (next *real) {
	defer func() { recover() }()
	i := -1
	t.m.realSuccessors(at, func(n *real, what func() Action) {
		if i++; i == place {
			t.steps = append(t.steps, step{what(), t.m.project(n)})
			next = n
		}
	})
	return next
}
