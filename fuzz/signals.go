package fuzz

import (
	"hash/fnv"
	"maps"
	"math/bits"
	"reflect"
	"slices"
	"time"

	"xenon/core"
	"xenon/core/env"
)

// Signals tell runs apart by what they reached: a plan whose run has one that
// no run before had is worth changing a little. Three kinds of things give one:
//
//   - a class of faults that is at work while a part notes something of a kind:
//     the code behind that note has run under that fault;
//   - what all nodes are at, coarsely: who runs, who serves, how terms and LSNs
//     lie to each other;
//   - how often something was counted, by powers of two.
type signals struct {
	r     *run
	seen  map[uint64]bool
	next  time.Duration // when nodes are looked at again
	tuple []byte
}

// glance is how often nodes are looked at, in simulated time.
const glance = 20 * time.Millisecond

func newSignals(r *run) *signals { return &signals{r: r, seen: map[uint64]bool{}} }

// noted is told of everything that parts note.
func (s *signals) noted(e env.Event) {
	if s == nil || s.r.n == nil || s.r.result.Began == 0 {
		return
	}
	at := s.r.w.Elapsed() - s.r.result.Began
	for _, step := range s.r.result.Plan.Steps {
		if step.At > at {
			break // they are in order
		}
		if at < step.At+step.For {
			s.add("under", step.Class.String(), e.Kind)
		}
	}
}

// look takes in what all nodes are at, between two steps.
func (s *signals) look() {
	if s.r.n == nil || s.r.result.Began == 0 || s.r.w.Elapsed() < s.next {
		return
	}
	s.next = s.r.w.Elapsed() + glance
	c, main := s.r.c, s.r.j.lines[0]
	t := s.tuple[:0]
	end := main.ghost.end()
	for i, sk := range c.sks {
		k := main.pool[i]
		t = append(t, byte(truth(sk.Running())), behind(uint64(k.term), uint64(main.newest)), apart(k.flush, end), apart(k.commit, end))
	}
	// Safekeepers are alike: which is which makes no difference.
	t = sorted(t, 4)
	for i, ps := range c.pss {
		r := main.reel(ps.Proc)
		t = append(t, byte(truth(ps.Running())), byte(truth(i == c.owner)), apart(r.next, end), apart(r.disk, end))
	}
	for _, x := range c.servers[:c.rivals] {
		serving := x.Running() && x.endpoint != nil && x.endpoint.Status().Server != nil
		t = append(t, byte(truth(x.Running())), byte(truth(serving)))
	}
	t = append(t, byte(bits.Len(uint(main.clients.begun-main.clients.ended))), byte(len(s.r.j.lines)))
	s.tuple = t
	s.add("nodes", string(t))
}

// sorted puts the pieces of so many bytes of t in order.
func sorted(t []byte, size int) []byte {
	pieces := slices.SortedFunc(slices.Chunk(slices.Clone(t), size), slices.Compare)
	return slices.Concat(pieces...)
}

// behind tells how far a term is from the newest: at it, one below, further, or
// above.
func behind(term, newest uint64) byte {
	if term > newest {
		return 3
	}
	return byte(min(newest-term, 2))
}

// apart tells how far an LSN is from another, by order of magnitude.
func apart(lsn, end core.LSN) byte {
	if lsn > end {
		return 0x80 | byte(bits.Len64(uint64(lsn-end))/4)
	}
	return byte(bits.Len64(uint64(end-lsn)) / 4)
}

func (s *signals) add(parts ...string) {
	h := fnv.New64a()
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	s.seen[h.Sum64()] = true
}

// all is what was reached, with the counts of the run; nil without signals.
func (s *signals) all() []uint64 {
	if s == nil {
		return nil
	}
	s.counts("", reflect.ValueOf(s.r.result.Counts))
	return slices.Sorted(maps.Keys(s.seen))
}

// counts takes in every count of a struct, by powers of two.
func (s *signals) counts(name string, v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			s.counts(name+"."+v.Type().Field(i).Name, v.Field(i))
		}
	case reflect.Int:
		if n := v.Int(); n > 0 {
			s.add("count", name, string(rune('0'+bits.Len64(uint64(n)))))
		}
	}
}
