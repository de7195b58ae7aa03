package pageserver

import (
	"context"

	"xenon/core"
)

// imageAfter is how many records a page may need beside an image. One that
// needs more gets an image with the next flush that has something of it.
const imageAfter = 100

// imageCounts are how many records pages need beside their last image, as of
// the last flush. It forgets when it gets large; what it does not know is
// counted in the layers. The one flush uses it.
type imageCounts struct {
	known map[core.Key]uint32
	// next is what the flush under way would make of it: it may fail.
	next []imageCount
}

type imageCount struct {
	key core.Key
	n   uint32
}

// imageCountsMax bounds the pages that are known, to some ten megabytes.
const imageCountsMax = 1 << 18

func newImageCounts() *imageCounts { return &imageCounts{known: map[core.Key]uint32{}} }

func (c *imageCounts) begin() { c.next = c.next[:0] }

func (c *imageCounts) note(k core.Key, n int) { c.next = append(c.next, imageCount{k, uint32(n)}) }

// commit is called when the flush has ended well.
func (c *imageCounts) commit() {
	if len(c.known)+len(c.next) > imageCountsMax {
		clear(c.known)
	}
	for _, x := range c.next[:min(len(c.next), imageCountsMax)] {
		c.known[x.key] = x.n
	}
	c.next = nil
}

// countBefore adds to the pages of a batch the records that they need of older
// layers.
func (t *Timeline) countBefore(ctx context.Context, w *layerWriter) {
	r := t.readings.Get().(*reading)
	defer t.readings.Put(r)
	w.at = w.at[:0]
	t.mu.Lock()
	r.begin(t)
	r.counting = true
	for i := range w.batch {
		p := &w.batch[i]
		if p.whole || p.recent > imageAfter {
			continue
		}
		if n, ok := t.records.known[p.key]; ok {
			p.recent += int(n)
		} else if len(t.layers.list) > 0 {
			// A block that came into being in this layer has nothing below.
			r.plan(t.state.forks[p.first], p.first, p.blk, w.f.changes.from)
			w.at = append(w.at, i)
		}
	}
	t.mu.Unlock()
	if len(w.at) > 0 {
		w.errs = sized(w.errs, len(w.at))
		clear(w.errs)
		r.collect(ctx, w.errs)
		for j, i := range w.at {
			w.batch[i].recent += r.plans[j].records
			w.batch[i].unsure = w.errs[j] != nil
		}
	}
	r.end()
}
