package pageserver

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
	"xenon/core/layer"
	"xenon/core/pageserver/bootset"
	"xenon/core/redo"
)

// A PageAt names a page as of an LSN, which must have been reached.
type PageAt struct {
	Rel   core.Rel
	Block uint32
	LSN   core.LSN
}

// GetPage makes one page. A block beyond the end is zeroes, as is a block of
// a visibility or free space map that does not exist; any other fork that does
// not exist is [ErrNoRelation].
func (t *Timeline) GetPage(ctx context.Context, p PageAt, page *redo.Page) error {
	pages, errs := [1]redo.Page{}, [1]error{}
	t.GetPages(ctx, []PageAt{p}, pages[:], errs[:])
	*page = pages[0]
	return errs[0]
}

// GetPages makes pages[i], or sets errs[i], for each of reqs. Pages of the
// base are fetched together. If the cluster has data checksums, the pages do.
func (t *Timeline) GetPages(ctx context.Context, reqs []PageAt, pages []redo.Page, errs []error) {
	if t.beforeBranch(reqs) {
		t.getOldPages(ctx, reqs, pages, errs)
		return
	}
	r := t.readings.Get().(*reading)
	t.mu.Lock()
	r.begin(t)
	for _, q := range reqs {
		r.plan(t.state.fork(q.Rel), core.BlockKey(q.Rel, 0), q.Block, q.LSN)
	}
	t.mu.Unlock()
	r.run(ctx, pages, errs)
	r.end()
	t.readings.Put(r)
	t.seal(reqs, pages, errs)
}

// A reading is one batch of reads and its scratch memory.
type reading struct {
	t      *Timeline
	disk   core.LSN // up to here versions are in the layers of m
	m      *layer.Map[*deltaLayer]
	plans  []plan
	links  []link // of all plans
	search search
	keys   []core.Key
	whose  []int // the plan of each key

	counting bool // records are counted: a page that was kept is no image

	// pages and errs are where a branch has its ancestor make pages.
	pages []redo.Page
	errs  []error

	redoer
	helpers []redoer // of a batch with much to replay
}

// A plan is how one page is made.
type plan struct {
	fork   *fork // nil if there is none
	first  core.Key
	blk    uint32
	lsn    core.LSN
	exists bool // the block does
	// The versions that make it lie above floor, and in layers also below
	// below; whole tells that one was found that needs no older one.
	floor, below core.LSN
	whole        bool
	came         size
	source       copied     // what came.from means if it is a copy
	kept         *redo.Page // what the page is at floor, if it was kept
	oldest       int32      // of its versions in reading.links, -1 if there are none
	records      int        // versions that need an older one
	newest       core.LSN   // LSN of the newest version
}

// A link is a version of a page and the place of the next newer one, -1 if
// there is none.
type link struct {
	layer.Version
	newer int32
}

// begin makes the reading ready for plans. The timeline's mutex is held.
func (r *reading) begin(t *Timeline) {
	r.t, r.disk, r.m = t, t.disk.LSN, t.layers.m
	r.plans, r.links, r.counting = r.plans[:0], r.links[:0], false
}

// end forgets what the reading refers to.
func (r *reading) end() {
	clear(r.links)
	clear(r.plans)
	r.m = nil
}

// add puts a version before those of a plan, all of which are newer.
func (r *reading) add(p *plan, v layer.Version) {
	if p.oldest < 0 {
		p.newest = v.LSN
	}
	r.links = append(r.links, link{v, p.oldest})
	p.oldest = int32(len(r.links) - 1)
	if p.whole = v.Kind.Init(); !p.whole {
		p.records++
	}
}

// plan finds what a page is made of, as far as that is in memory. The
// timeline's mutex is held.
func (r *reading) plan(f *fork, first core.Key, blk uint32, lsn core.LSN) {
	r.plans = append(r.plans, plan{fork: f, first: first, blk: blk, lsn: lsn, oldest: -1})
	p := &r.plans[len(r.plans)-1]
	if f == nil {
		return
	}
	if _, ok := f.exists(lsn); !ok {
		p.fork = nil
		return
	}
	if p.floor, p.came, p.exists = f.life(blk, lsn); !p.exists {
		return
	}
	if p.came.from >= fromCopies {
		p.source = r.t.state.copies[p.came.from-fromCopies]
	}
	k := f.key(blk)
	if kept, ok := r.t.kept[k]; ok && kept.lsn > p.floor && kept.lsn <= lsn && !r.counting {
		p.floor, p.kept = kept.lsn, kept.page
	}
	take := func(v layer.Version) { r.add(p, v) }
	if r.t.open.chain(k, p.floor, lsn, take) || r.t.frozen != nil && r.t.frozen.chain(k, p.floor, lsn, take) {
		return
	}
	p.below = min(lsn, r.disk) + 1
}

// run makes the planned pages.
func (r *reading) run(ctx context.Context, pages []redo.Page, errs []error) {
	for i := range r.plans {
		errs[i] = r.start(ctx, &r.plans[i], &pages[i])
	}
	r.collect(ctx, errs)
	for i := range r.plans {
		if p := &r.plans[i]; errs[i] == nil && p.exists && !p.whole {
			errs[i] = r.begins(ctx, p, &pages[i])
		}
	}
	r.readBase(ctx, pages, errs)
	r.replayAll(ctx, pages, errs)
}

// start sets a page to zeroes, which is what it is if there is no such block.
func (r *reading) start(ctx context.Context, p *plan, page *redo.Page) error {
	*page = redo.Page{}
	if p.fork != nil {
		return nil
	}
	rel, _, ok := core.BlockOfKey(p.first)
	if ok && (rel.Fork == core.VMFork || rel.Fork == core.FSMFork) {
		return nil
	}
	return fmt.Errorf("%s as of %s: %w", name(p.first), p.lsn, ErrNoRelation)
}

// begins sets a page to what it was before its versions, unless that is in the
// base.
func (r *reading) begins(ctx context.Context, p *plan, page *redo.Page) error {
	switch {
	case p.kept != nil:
		*page = *p.kept
	case p.came.from >= fromCopies:
		return r.readCopy(ctx, p, page)
	}
	return nil
}

// readCopy reads the page of the database that was copied, as it was then.
func (r *reading) readCopy(ctx context.Context, p *plan, page *redo.Page) error {
	rel, _, _ := core.BlockOfKey(p.first)
	rel.Spc, rel.DB = p.source.from.spc, p.source.from.db
	at := p.source.lsn
	if faults.On && faults.Hit(faults.CopyLater) {
		at = p.lsn
	}
	return r.t.GetPage(ctx, PageAt{rel, p.blk, at}, page)
}

// readBase fills in the pages that begin with the base.
func (r *reading) readBase(ctx context.Context, pages []redo.Page, errs []error) {
	r.keys, r.whose = r.keys[:0], r.whose[:0]
	for i := range r.plans {
		p := &r.plans[i]
		if errs[i] == nil && p.exists && !p.whole && p.kept == nil && p.came.from == fromBase {
			r.keys, r.whose = append(r.keys, p.fork.key(p.blk)), append(r.whose, i)
		}
	}
	if len(r.keys) == 0 {
		return
	}
	r.t.base.pages(ctx, r.keys, func(i int, page []byte, err error) {
		i = r.whose[i]
		if errs[i] = err; err == nil {
			copy(pages[i][:], page)
		}
	})
}

// logHintsAt tells whether hint bits were logged when the record that ends at
// lsn was written.
func (t *Timeline) logHintsAt(lsn core.LSN) bool {
	hints := t.hints.Load()
	on := false
	for _, h := range *hints {
		if h.lsn > lsn {
			break
		}
		on = h.on
	}
	return on
}

// name is what errors call a fork or a segment.
func name(first core.Key) string {
	if r, _, ok := core.BlockOfKey(first); ok {
		return "relation " + r.String()
	}
	_, u, _, seg, _, _ := first.Fields()
	return fmt.Sprintf("%s/%04X", core.SLRU(u).Dir(), seg)
}

// RelSize is the number of blocks of a fork. A visibility or free space map
// that does not exist has 0; any other fork is [ErrNoRelation].
func (t *Timeline) RelSize(rel core.Rel, lsn core.LSN) (uint32, error) {
	t = t.asOf(lsn)
	t.mu.Lock()
	n, ok := t.state.fork(rel).exists(lsn)
	t.mu.Unlock()
	if !ok && rel.Fork != core.VMFork && rel.Fork != core.FSMFork {
		return 0, fmt.Errorf("relation %s as of %s: %w", rel, lsn, ErrNoRelation)
	}
	return n, nil
}

// Exists tells whether a fork existed.
func (t *Timeline) Exists(rel core.Rel, lsn core.LSN) bool {
	t = t.asOf(lsn)
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.state.fork(rel).exists(lsn)
	return ok
}

// DBSize is the bytes of a database in the default tablespace.
func (t *Timeline) DBSize(db core.OID, lsn core.LSN) int64 {
	var blocks int64
	for _, r := range t.Relations(bootset.Database{Spc: core.DefaultTablespace, DB: db}, lsn) {
		blocks += int64(r.Blocks)
	}
	return blocks * core.PageSize
}

// SLRUSegment is the pages of a segment of an SLRU, one after the other.
func (t *Timeline) SLRUSegment(ctx context.Context, u core.SLRU, seg uint32, lsn core.LSN) ([]byte, error) {
	t = t.asOf(lsn)
	first := core.SLRUBlockKey(u, seg, 0)
	r := t.readings.Get().(*reading)
	defer t.readings.Put(r)
	defer r.end()
	t.mu.Lock()
	r.begin(t)
	f := t.state.find(first)
	n, ok := f.exists(lsn)
	for blk := range n {
		r.plan(f, first, blk, lsn)
	}
	t.mu.Unlock()
	if !ok {
		return nil, fmt.Errorf("%s as of %s: %w", name(first), lsn, ErrNoSegment)
	}
	pages, errs := make([]redo.Page, n), make([]error, n)
	r.run(ctx, pages, errs)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	out := make([]byte, 0, int(n)*core.PageSize)
	for i := range pages {
		out = append(out, pages[i][:]...)
	}
	return out, nil
}

// file is the content of a small file, ok is false if there was none.
func (t *Timeline) file(ctx context.Context, k core.Key, lsn core.LSN) (data []byte, ok bool, err error) {
	t.mu.Lock()
	v, have := t.state.file(k, lsn)
	disk := t.disk.LSN
	t.mu.Unlock()
	if have && v.lsn > disk {
		return v.data, v.data != nil, nil
	}
	stored, ok, err := t.valueAt(ctx, k, min(lsn, disk))
	if err != nil || ok {
		return stored.Data, ok && stored.Kind != layer.KindGone, err
	}
	return v.data, v.data != nil, nil // of the base
}

// countersAt is the counters as of an LSN.
func (t *Timeline) countersAt(ctx context.Context, lsn core.LSN) (c redo.Counters, err error) {
	t.mu.Lock()
	c, ok := t.state.countersAt(lsn)
	t.mu.Unlock()
	if ok {
		return c, nil
	}
	all, ok, err := t.valueAt(ctx, core.CountersKey(), lsn)
	if err == nil && ok {
		c, err = decodeCounters(all.Data)
	} else {
		c = t.counters
	}
	if err != nil {
		return c, err
	}
	xid, ok, err := t.valueAt(ctx, core.NextXIDKey(), lsn)
	if err != nil || !ok || xid.LSN <= all.LSN {
		return c, err
	}
	if len(xid.Data) != 8 {
		return c, fmt.Errorf("next xid of %d bytes at %s: %w", len(xid.Data), xid.LSN, env.ErrCorrupt)
	}
	c.NextXID = binary.LittleEndian.Uint64(xid.Data)
	return c, nil
}
