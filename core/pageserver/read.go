package pageserver

import (
	"context"
	"errors"
	"fmt"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
	"xenon/core/pageserver/bootset"
	"xenon/core/redo"
	"xenon/core/wal"
)

// A PageAt names a page as of an LSN, which must have been reached.
type PageAt struct {
	Rel   core.Rel
	Block uint32
	LSN   core.LSN
}

// keepAfter is how many records a read replays before it keeps the page, so
// that the next one need not.
const keepAfter = 64

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
// base are fetched together.
func (t *Timeline) GetPages(ctx context.Context, reqs []PageAt, pages []redo.Page, errs []error) {
	if t.beforeBranch(reqs) {
		t.getOldPages(ctx, reqs, pages, errs)
		return
	}
	r := t.readings.Get().(*reading)
	r.begin(t)
	t.mu.Lock()
	for _, q := range reqs {
		r.plan(t.state.fork(q.Rel), core.BlockKey(q.Rel, 0), q.Block, q.LSN)
	}
	t.mu.Unlock()
	r.run(ctx, pages, errs)
	t.readings.Put(r)
}

// A reading is one batch of reads and its scratch memory.
type reading struct {
	t     *Timeline
	plans []plan
	chain []version // of all plans
	keys  []core.Key
	whose []int // the plan of each key

	applier redo.Applier
	rec     wal.Record
}

// A plan is how one page is made.
type plan struct {
	fork     *fork // nil if there is none
	first    core.Key
	blk      uint32
	lsn      core.LSN
	exists   bool // the block does
	from, to int  // its versions in reading.chain, the newest first
	based    bool // it begins with what it came from, not with a version
	came     size
	source   copied // what came.from means if it is a copy
	newest   bool   // the chain ends with the newest version that there is
}

func (r *reading) begin(t *Timeline) {
	r.t, r.plans, r.chain = t, r.plans[:0], r.chain[:0]
}

// plan finds what a page is made of. The timeline's mutex is held.
func (r *reading) plan(f *fork, first core.Key, blk uint32, lsn core.LSN) {
	p := plan{fork: f, first: first, blk: blk, lsn: lsn, from: len(r.chain), to: len(r.chain)}
	if f != nil {
		if _, ok := f.exists(lsn); !ok {
			p.fork = nil
		}
	}
	if p.fork != nil {
		var floor core.LSN
		if floor, p.came, p.exists = f.life(blk, lsn); p.exists {
			r.chain, p.based = f.chain(r.chain, blk, floor, lsn)
			p.to = len(r.chain)
			vs := f.pages[blk]
			p.newest = len(vs) > 0 && vs[len(vs)-1].lsn <= lsn
		}
		if p.came.from >= fromCopies {
			p.source = r.t.state.copies[p.came.from-fromCopies]
		}
	}
	r.plans = append(r.plans, p)
}

// run makes the planned pages.
func (r *reading) run(ctx context.Context, pages []redo.Page, errs []error) {
	for i := range r.plans {
		errs[i] = r.start(ctx, &r.plans[i], &pages[i])
	}
	r.readBase(ctx, pages, errs)
	for i := range r.plans {
		if errs[i] == nil {
			errs[i] = r.replay(&r.plans[i], &pages[i])
		}
	}
}

// start sets a page to what it begins with, unless that is in the base.
func (r *reading) start(ctx context.Context, p *plan, page *redo.Page) error {
	*page = redo.Page{}
	if p.fork == nil {
		rel, _, ok := core.BlockOfKey(p.first)
		if ok && (rel.Fork == core.VMFork || rel.Fork == core.FSMFork) {
			return nil
		}
		return fmt.Errorf("%s as of %s: %w", name(p.first), p.lsn, ErrNoRelation)
	}
	if p.based && p.came.from >= fromCopies {
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
		if errs[i] == nil && p.based && p.came.from == fromBase {
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

// replay brings a page from where it starts to its LSN, and keeps it if that
// was long.
func (r *reading) replay(p *plan, page *redo.Page) error {
	chain := r.chain[p.from:p.to]
	last := 0
	if faults.On && len(chain) > 1 && faults.Hit(faults.ChainOffByOne) {
		last = 1
	}
	for i := len(chain) - 1; i >= last; i-- {
		if err := r.apply(p, chain[i], page); err != nil {
			return fmt.Errorf("%s block %d as of %s: %w", name(p.first), p.blk, p.lsn, err)
		}
	}
	if len(chain) >= keepAfter && p.newest {
		ref := r.t.log.append(kindImage, 0, page[:])
		r.t.mu.Lock()
		p.fork.keep(p.blk, version{chain[0].lsn, ref})
		r.t.mu.Unlock()
	}
	return nil
}

// apply does one version.
func (r *reading) apply(p *plan, v version, page *redo.Page) error {
	e, err := r.t.log.get(v.ref)
	if err != nil {
		return err
	}
	switch v.ref.kind() {
	case kindImage:
		if len(e.payload) != core.PageSize {
			return fmt.Errorf("kept image of %d bytes: %w", len(e.payload), env.ErrCorrupt)
		}
		copy(page[:], e.payload)
		return nil
	case kindPatch, kindPatchInit:
		return redo.Patch(e.payload).Apply(page)
	}
	return r.applyRecord(p, v.lsn, e, page)
}

func (r *reading) applyRecord(p *plan, end core.LSN, e entry, page *redo.Page) error {
	if err := r.t.ctl.Version().ParseRecord(e.payload, e.start, &r.rec); err != nil {
		return err
	}
	r.rec.Start, r.rec.End = e.start, end
	r.applier.LogHints = r.t.logHintsAt(end)
	rel, _, _ := core.BlockOfKey(p.first)
	for i := range r.rec.Blocks {
		if b := &r.rec.Blocks[i]; b.Block == p.blk && b.Rel == rel {
			_, err := r.applier.Apply(page, &r.rec, b)
			return err
		}
	}
	return fmt.Errorf("record %s does not name the page it is kept for: %w", e.start, env.ErrCorrupt)
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
	r.begin(t)
	t.mu.Lock()
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
func (t *Timeline) file(k core.Key, lsn core.LSN) (data []byte, ok bool, err error) {
	t.mu.Lock()
	v, ok := t.state.file(k, lsn)
	t.mu.Unlock()
	if !ok || v.ref.kind() == kindGone {
		return nil, false, nil
	}
	e, err := t.log.get(v.ref)
	return e.payload, err == nil, err
}
