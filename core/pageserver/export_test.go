package pageserver

import (
	"context"

	"xenon/core"
	"xenon/core/layer"
)

// Open opens a timeline of which there is no index in the object store.
var Open = open

// Records is how many records a page as of an LSN is made of.
func (t *Timeline) Records(ctx context.Context, p PageAt) (int, error) {
	r := t.readings.Get().(*reading)
	defer t.readings.Put(r)
	defer r.end()
	t.mu.Lock()
	r.begin(t)
	r.counting = true
	r.plan(t.state.fork(p.Rel), core.BlockKey(p.Rel, 0), p.Block, p.LSN)
	t.mu.Unlock()
	errs := []error{nil}
	r.collect(ctx, errs)
	return r.plans[0].records, errs[0]
}

// Images is how many images of pages are in the delta layers.
func (t *Timeline) Images(ctx context.Context) (n int, err error) {
	pages := layer.KeyRange{End: core.MakeKey(2, 0, 0, 0, 0, 0)}
	for _, d := range t.layers.list {
		r, err := d.reader(ctx)
		if err != nil {
			return n, err
		}
		for c := r.Cursor(pages); ; {
			_, v, ok, err := c.Next(ctx)
			if err != nil || !ok {
				if err != nil {
					return n, err
				}
				break
			}
			if v.Kind == layer.KindImage && len(v.Data) == core.PageSize {
				n++
			}
		}
	}
	return n, nil
}

// ForgetCounts makes a timeline count the records of pages anew, as after a
// restart.
func (t *Timeline) ForgetCounts() { clear(t.records.known) }

// LayerPaths are the files of the delta layers, oldest first.
func (t *Timeline) LayerPaths() (paths []string) {
	for _, d := range t.layers.list {
		paths = append(paths, d.path)
	}
	return paths
}

// Flushes flushes whenever it is due.
func (t *Timeline) Flushes(ctx context.Context) { t.flushes(ctx) }

// MakeRoom waits until there is memory for more.
func (t *Timeline) MakeRoom(ctx context.Context) error { return t.makeRoom(ctx) }
