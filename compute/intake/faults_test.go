//go:build faults

package intake_test

import (
	"testing"

	"xenon/core"
	"xenon/core/faults"
)

func TestFaultsAreSeen(t *testing.T) {
	t.Run("a flush that does not wait", func(t *testing.T) {
		defer faults.Plant(faults.FlushBeforeQuorum)()
		h := build(origin+4096, []int{100})
		q := &quorum{}
		s, _ := newStream(h, q)
		if err := s.Write(origin, h.at(origin, origin+core.WALPageSize)); err != nil {
			t.Fatal(err)
		}
		if err := s.Flush(t.Context()); err != nil || q.awaited == q.end {
			t.Errorf("the fault does nothing: awaited %s, %v", q.awaited, err)
		}
	})
	t.Run("a changed page", func(t *testing.T) {
		defer faults.Plant(faults.WALRewriteUnseen)()
		h := build(origin+4096, []int{100})
		s, _ := newStream(h, &quorum{})
		b := h.at(origin, origin+core.WALPageSize)
		b[100] ^= 1
		if err := s.Write(origin, b); err != nil {
			t.Errorf("the fault does nothing: %v", err)
		}
	})
	for point, name := range map[faults.Point]string{
		faults.TailExcused:   "content that contradicts itself",
		faults.UnkeptOffered: "a tablespace without a number",
	} {
		t.Run(name, func(t *testing.T) {
			defer faults.Plant(point)()
			h := build(origin+4096, []int{100, 100, 100})
			b := h.at(origin, origin+core.WALPageSize)
			neverRight[name](b[h.begin[1]-origin:])
			s, _ := newStream(h, &quorum{})
			if err := s.Write(origin, b); err != nil {
				t.Errorf("the fault does nothing: %v", err)
			}
		})
	}
}
