package pageserver

import (
	"context"
	"fmt"

	"xenon/core"
	"xenon/core/faults"
	"xenon/core/layer"
	"xenon/core/redo"
)

// A search is the scratch memory of looking through layers.
type search struct {
	open  []int // plans that need older versions
	spans []layer.Span
	steps []layer.Step[*deltaLayer]
}

// collect finds the versions of the plans that are in delta layers: from the
// newest layer down, for all plans together, until each has one that needs no
// older version or there are no more. It sets the errors of plans of which a
// layer cannot be read.
func (r *reading) collect(ctx context.Context, errs []error) {
	s := &r.search
	s.open = s.open[:0]
	for i := range r.plans {
		if p := &r.plans[i]; p.exists && !p.whole && p.below > p.floor+1 {
			s.open = append(s.open, i)
		}
	}
	for len(s.open) > 0 {
		s.spans = s.spans[:0]
		for _, i := range s.open {
			p := &r.plans[i]
			s.spans = append(s.spans, layer.Span{Key: p.fork.key(p.blk), LSNs: layer.LSNRange{Start: p.floor + 1, End: p.below}})
		}
		s.steps = r.m.NextOf(s.steps[:0], s.spans)
		left := 0
		for begin := 0; begin < len(s.steps); {
			d := s.steps[begin].Layer
			end := begin + 1
			for end < len(s.steps) && s.steps[end].Layer == d {
				end++
			}
			if d != nil {
				left = r.readLayer(ctx, d, begin, end, left, errs)
			}
			begin = end
		}
		s.open = s.open[:left]
	}
}

// readLayer takes from one layer what the plans of open[begin:end] want of it,
// and puts those that want more to open[left:].
func (r *reading) readLayer(ctx context.Context, d *deltaLayer, begin, end, left int, errs []error) int {
	s := &r.search
	for j := begin; j < end; j++ {
		lsns := &s.spans[j].LSNs
		if lsns.Start = max(lsns.Start, s.steps[j].LSNs.Start); faults.On && faults.Hit(faults.LayersPastFloor) {
			lsns.Start = s.steps[j].LSNs.Start
		}
	}
	err := d.get(ctx, s.spans[begin:end], func(i int, v layer.Version) error {
		r.add(&r.plans[s.open[begin+i]], v)
		return nil
	})
	for j := begin; j < end; j++ {
		i := s.open[j]
		p := &r.plans[i]
		if err != nil {
			errs[i] = fmt.Errorf("%s block %d as of %s: %w", name(p.first), p.blk, p.lsn, err)
			continue
		}
		p.below = s.steps[j].LSNs.Start
		if !p.whole && (p.below > p.floor+1 || faults.On && faults.Hit(faults.LayersPastFloor)) {
			s.open[left] = i
			left++
		}
	}
	return left
}

const (
	// keepAfter is how many records a read replays before it keeps the page, so
	// that the next one need not.
	keepAfter = 64
	// keptMax bounds the pages that a timeline keeps, to a megabyte. With the
	// next flush they go: it makes images of what is long.
	keptMax = 128
)

// A keptPage is a page as of its version at an LSN.
type keptPage struct {
	lsn  core.LSN
	page *redo.Page
}

// keep remembers a page that was made of many records.
func (t *Timeline) keep(k core.Key, lsn core.LSN, page *redo.Page) {
	c := new(redo.Page)
	*c = *page
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.kept) >= keptMax {
		t.kept = nil
	}
	if t.kept == nil {
		t.kept = map[core.Key]keptPage{}
	}
	if t.kept[k].lsn < lsn {
		t.kept[k] = keptPage{lsn, c}
	}
}
