package pageserver

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
	"xenon/core/layer"
	"xenon/core/redo"
	"xenon/core/wal"
	"xenon/core/xsync"
)

// A batch whose pages have helpAfter records and more to replay is worth tasks
// of its own, helpersMax beside the one that was asked: replaying that many
// takes some hundred microseconds, starting a task a few.
const (
	helpAfter  = 256
	helpersMax = 3
)

// A redoer replays, one page at a time. It is the scratch memory of that.
type redoer struct {
	applier redo.Applier
	rec     wal.Record
}

// replayAll brings the planned pages to their LSNs. Where there is much to do,
// idle cores help; which page is made by whom changes nothing of it.
func (r *reading) replayAll(ctx context.Context, pages []redo.Page, errs []error) {
	if n := r.help(errs); n > 0 {
		r.together(ctx, n, pages, errs)
		return
	}
	for i := range r.plans {
		if errs[i] == nil {
			errs[i] = r.redoer.replay(r, &r.plans[i], &pages[i])
		}
	}
}

// together replays with n helpers: whoever is done with a page takes the next.
func (r *reading) together(ctx context.Context, n int, pages []redo.Page, errs []error) {
	var next atomic.Int32
	share := func(d *redoer) {
		for i := int(next.Add(1)) - 1; i < len(r.plans); i = int(next.Add(1)) - 1 {
			if errs[i] == nil {
				errs[i] = d.replay(r, &r.plans[i], &pages[i])
			}
		}
	}
	g := xsync.NewGroup(ctx, r.t.env)
	for i := range n {
		g.Go("redo", func(ctx context.Context) error {
			return r.t.env.Compute(ctx, "redo", func() error {
				share(&r.helpers[i])
				return nil
			})
		})
	}
	share(&r.redoer)
	// Helpers that still wait for a core have nothing to do any more.
	g.Cancel(errDone)
	_ = g.Wait()
}

// errDone ends helpers that did not get a core in time.
var errDone = errors.New("the pages are made")

// help is how many helpers the plans are worth, whose memory is ready then.
func (r *reading) help(errs []error) int {
	records, long := 0, 0
	for i := range r.plans {
		if p := &r.plans[i]; errs[i] == nil && p.records > 0 {
			records, long = records+p.records, long+1
		}
	}
	if records < helpAfter || long < 2 {
		return 0
	}
	if r.helpers == nil {
		r.helpers = make([]redoer, helpersMax)
		for i := range r.helpers {
			r.helpers[i].applier.Managers = r.applier.Managers
		}
	}
	return min(long-1, helpersMax)
}

// replay brings a page from where it starts to its LSN, and keeps it if that
// was long.
func (d *redoer) replay(r *reading, p *plan, page *redo.Page) error {
	for i := p.oldest; i >= 0; i = r.links[i].newer {
		l := &r.links[i]
		if faults.On && l.newer < 0 && i != p.oldest && faults.Hit(faults.ChainOffByOne) {
			break
		}
		if err := d.apply(r.t, p, &l.Version, page); err != nil {
			return fmt.Errorf("%s block %d as of %s: %w", name(p.first), p.blk, p.lsn, err)
		}
	}
	if p.records >= keepAfter {
		r.t.keep(p.fork.key(p.blk), p.newest, page)
	}
	return nil
}

// apply does one version.
func (d *redoer) apply(t *Timeline, p *plan, v *layer.Version, page *redo.Page) error {
	switch v.Kind {
	case layer.KindImage:
		if len(v.Data) != core.PageSize {
			return fmt.Errorf("image of %d bytes at %s: %w", len(v.Data), v.LSN, env.ErrCorrupt)
		}
		copy(page[:], v.Data)
		return nil
	case layer.KindPatch, layer.KindPatchInit:
		return redo.Patch(v.Data).Apply(page)
	case layer.KindGone:
		return fmt.Errorf("a page that is gone at %s: %w", v.LSN, env.ErrCorrupt)
	}
	return d.applyRecord(t, p, v, page)
}

func (d *redoer) applyRecord(t *Timeline, p *plan, v *layer.Version, page *redo.Page) error {
	if err := t.ctl.Version().ParseRecord(v.Data, v.Start, &d.rec); err != nil {
		return err
	}
	d.rec.Start, d.rec.End = v.Start, v.LSN
	d.applier.LogHints = t.logHintsAt(v.LSN)
	rel, _, _ := core.BlockOfKey(p.first)
	for i := range d.rec.Blocks {
		if b := &d.rec.Blocks[i]; b.Block == p.blk && b.Rel == rel {
			_, err := d.applier.Apply(page, &d.rec, b)
			if faults.On && faults.Hit(faults.ServedFlipped) {
				page[core.PageSize-20] ^= 1
			}
			return err
		}
	}
	return fmt.Errorf("record %s does not name the page it is kept for: %w", v.Start, env.ErrCorrupt)
}
