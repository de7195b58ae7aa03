package modelcheck

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// Options of a search.
type Options struct {
	Workers int // 0 is one for each processor
	// Memory bounds what states seen and states to follow may take, in bytes;
	// 0 is 4 GiB. A search that needs more ends with [ErrMemory].
	Memory int64
	// Also are more claims to hold than the model's invariants, by name.
	Also []string
	// After are actions, as [Action] prints them, that a search of a model begins
	// with: what is found is a shortest way from there. Of several actions of one
	// name the first is taken.
	After []string
	// Level is told of each level that is done: how many states are known, and
	// how many of them have yet to be followed.
	Level func(depth int, known, next int64)
}

// A Result is what a search found.
type Result struct {
	Distinct  int64 // states within the bounds, apart from names
	Depth     int   // levels, the initial state among them
	Generated int64 // successors made, repetitions and those beyond the bounds included
	// Violation is nil if everything held.
	Violation *Violation
}

// A Violation is an invariant that does not hold, and a shortest way there.
type Violation struct {
	Invariant Invariant
	Trace     *Trace
}

// ErrMemory ends a search that would take more memory than it may.
var ErrMemory = errors.New("the search needs more memory than it may take")

// Run visits every state of a model. A violation is in the result and is no
// error; the shortest ones are found first, and always the same of them.
func Run(m *Model, o Options) (*Result, error) {
	if o.Workers == 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Memory == 0 {
		o.Memory = 4 << 30
	}
	s := &search{m: m, o: o, seen: newSeen()}
	first, err := m.after(o.After)
	if err != nil {
		return nil, err
	}
	s.first = first
	if s.invariants, err = m.claims(o.Also); err != nil {
		return nil, err
	}
	err = s.run()
	return &s.result, err
}

// claims are the invariants, and more by name.
func (m *Model) claims(also []string) ([]Invariant, error) {
	all := m.Invariants()
	for _, name := range also {
		i := slices.IndexFunc(m.Vacuous(), func(v Invariant) bool { return v.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("no claim is called %q", name)
		}
		all = append(all, m.Vacuous()[i])
	}
	return all, nil
}

// A search goes through the states level by level.
type search struct {
	m          *Model
	o          Options
	invariants []Invariant
	seen       *seen
	first      []step // up to where the search begins; nil for the initial state
	result     Result
}

// start is the way to where the search begins.
func (s *search) start() []step {
	if s.first == nil {
		return []step{{state: s.m.initial()}}
	}
	return slices.Clone(s.first)
}

// ErrNoAction reports an action to begin with that is not possible then.
var ErrNoAction = errors.New("no such action here")

// after is the way that actions lead.
func (m *Model) after(actions []string) ([]step, error) {
	t := []step{{state: m.initial()}}
	for i, name := range actions {
		var found *step
		var all []string
		m.successors(&t[i].state, func(n *state, what func() Action) {
			a := what()
			all = append(all, a.String())
			if found == nil && a.String() == name {
				found = &step{a, *n}
			}
		})
		if found == nil {
			return nil, fmt.Errorf("%w: %q, the possible ones are %q", ErrNoAction, name, all)
		}
		t = append(t, *found)
	}
	return t, nil
}

// A frontier is states as bytes, one after the other.
type frontier []byte

// A finding is a state that breaks an invariant, and where it came from.
type finding struct {
	invariant int
	parent    fingerprint
	state     []byte // encoded; nil if it is beyond the bounds
}

func (s *search) run() error {
	init := s.start()[len(s.o.After)].state
	c := s.m.codec()
	level := frontier(bytes.Clone(c.encode(&init)))
	size := len(level)
	s.seen.add(sum(level), fingerprint{}, 0)
	s.result.Distinct, s.result.Depth, s.result.Generated = 1, 1, 1
	if i := s.broken(&init); i >= 0 {
		s.found(finding{invariant: i, state: level})
		return nil
	}
	for depth := 1; len(level) > 0; depth++ {
		next, found := s.expand(level, size, depth)
		if len(found) > 0 {
			s.found(slices.MinFunc(found, byState))
			return nil
		}
		n := int64(len(next) / size)
		if n > 0 {
			s.result.Depth++
		}
		s.result.Distinct += n
		if s.o.Level != nil {
			s.o.Level(s.result.Depth, s.result.Distinct, n)
		}
		if need := s.seen.bytes() + 2*int64(len(next)); need > s.o.Memory {
			return fmt.Errorf("%w: %d MiB after %d states and %d levels; give it more, or a smaller model", ErrMemory, need>>20, s.result.Distinct, s.result.Depth)
		}
		level = next
	}
	return nil
}

func byState(a, b finding) int {
	if c := bytes.Compare(a.state, b.state); c != 0 {
		return c
	}
	if a.parent != b.parent {
		return cmpFingerprint(a.parent, b.parent)
	}
	return a.invariant - b.invariant
}

// broken is the first invariant that does not hold, -1 if all do.
func (s *search) broken(st *state) int {
	return slices.IndexFunc(s.invariants, func(v Invariant) bool { return !v.holds(s.m, st) })
}

// expand makes the successors of a level.
func (s *search) expand(level frontier, size, depth int) (next frontier, found []finding) {
	const chunk = 256 // states that a worker takes at once
	var mu sync.Mutex
	var wg sync.WaitGroup
	var taken, generated atomic.Int64
	for range s.o.Workers {
		wg.Go(func() {
			w := &worker{s: s, codec: s.m.codec(), depth: uint32(depth)}
			for {
				from := int(taken.Add(chunk)-chunk) * size
				if from >= len(level) {
					break
				}
				for _, b := range split(level[from:min(from+chunk*size, len(level))], size) {
					w.follow(b)
				}
			}
			generated.Add(w.generated)
			mu.Lock()
			defer mu.Unlock()
			next, found = append(next, w.next...), append(found, w.found...)
		})
	}
	wg.Wait()
	s.result.Generated += generated.Load()
	return next, found
}

func split(b frontier, size int) (all [][]byte) {
	for ; len(b) > 0; b = b[size:] {
		all = append(all, b[:size])
	}
	return all
}

// A worker follows states of one level.
type worker struct {
	s         *search
	codec     *codec
	depth     uint32
	generated int64
	next      frontier
	found     []finding
}

func (w *worker) follow(b []byte) {
	m := w.s.m
	from := sum(b)
	st := m.decode(b)
	m.successors(&st, func(n *state, _ func() Action) {
		w.generated++
		inside := m.inside(n)
		var enc []byte
		if inside {
			enc = w.codec.encode(n)
			if !w.s.seen.add(sum(enc), from, w.depth) {
				return
			}
		}
		if i := w.s.broken(n); i >= 0 {
			w.found = append(w.found, finding{invariant: i, parent: from, state: bytes.Clone(enc)})
			return
		}
		w.next = append(w.next, enc...)
	})
}
