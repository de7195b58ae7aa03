package pageserver

import (
	"context"

	"xenon/core"
)

// imageAfter is how many records a page may need beside an image. One that
// needs more gets an image with the next flush that has something of it.
const imageAfter = 100

// imageCounts are how many records pages need beside their last image, as of
// the last flush: a byte for each page. After a restart, or when it has grown
// large, it knows nothing; then pages are counted in the layers when they are
// next flushed. The one flush uses it.
type imageCounts struct {
	known map[core.Key]*countRun // by the key of the first page of the run
	// next is what the flush under way would make of it: it may fail.
	next   []imageCount
	budget int // how many more pages this flush counts in the layers
}

// A countRun is the counts of pages whose blocks follow each other: 0 is not
// known, the others are one more than the count.
type countRun [256]uint8

type imageCount struct {
	key core.Key
	n   int
}

const (
	// countRunsMax bounds what is known, to some twenty megabytes.
	countRunsMax = 1 << 16
	// countBudget is how many pages a flush counts in the layers that it does
	// not know: looking for them takes time, and ingest may be waiting. Pages of
	// which this layer has countAlways records or more are counted all the same.
	countBudget = 1 << 13
	countAlways = 8
)

func newImageCounts() *imageCounts { return &imageCounts{known: map[core.Key]*countRun{}} }

func (c *imageCounts) begin() { c.next, c.budget = c.next[:0], countBudget }

// run is where a page is counted: the key of its run, and the place in it.
func (c *imageCounts) run(k core.Key) (first core.Key, i uint8) {
	i = k[core.KeySize-1]
	k[core.KeySize-1] = 0
	return k, i
}

// of is the count of a page, if it is known.
func (c *imageCounts) of(k core.Key) (n int, ok bool) {
	first, i := c.run(k)
	r := c.known[first]
	if r == nil || r[i] == 0 {
		return 0, false
	}
	return int(r[i]) - 1, true
}

// spend tells whether a page is to be counted in the layers, of which this one
// has recent records.
func (c *imageCounts) spend(recent int) bool {
	c.budget--
	return c.budget >= 0 || recent >= countAlways
}

func (c *imageCounts) note(k core.Key, n int) { c.next = append(c.next, imageCount{k, n}) }

// commit is called when the flush has ended well.
func (c *imageCounts) commit() {
	for _, x := range c.next {
		first, i := c.run(x.key)
		r := c.known[first]
		if r == nil {
			if len(c.known) >= countRunsMax {
				clear(c.known)
			}
			r = new(countRun)
			c.known[first] = r
		}
		r[i] = uint8(min(x.n+1, 255))
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
		if p.whole || p.recent > imageAfter || len(t.layers.list) == 0 {
			continue
		}
		if n, ok := t.records.of(p.key); ok {
			p.recent += n
		} else if p.unsure = !t.records.spend(p.recent); !p.unsure {
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
