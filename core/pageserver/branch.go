package pageserver

import (
	"context"
	"fmt"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
	"xenon/core/pageserver/bootset"
	"xenon/core/redo"
)

// A branch is a timeline that begins with another one as of an LSN, its branch
// point. Nothing is copied for it: the directories of databases, the segments
// of SLRUs and the small files, which are few, are taken over when it is
// opened; of relations it looks up the sizes when somebody asks for them, and
// the pages that it has not made itself it reads from the ancestor. What the
// ancestor had at the branch point never changes, so no lock is held over two
// timelines but while a size is looked up, child before ancestor.

// An ancestor is the base of a branch: a timeline as of the branch point, which
// it has reached.
type ancestor struct {
	t   *Timeline
	lsn core.LSN
}

// branchFrom is the base of a branch of t at lsn, which t must have reached.
func branchFrom(t *Timeline, lsn core.LSN) (*ancestor, error) {
	if last := t.LastRecord().LSN; !t.ctl.Format().Reached(last, lsn) {
		return nil, fmt.Errorf("%w: it branches off timeline %s at %s, which has reached %s", ErrBehind, t.id, lsn, last)
	}
	return &ancestor{t, lsn}, nil
}

// seen is the LSN as of which the ancestor is taken over.
func (a *ancestor) seen() core.LSN {
	if faults.On && faults.Hit(faults.BranchAdoptsNow) {
		return a.t.LastRecord().LSN
	}
	return a.lsn
}

// begin implements base.
func (a *ancestor) begin(ctx context.Context, t *Timeline) error {
	from, at, seen := a.t, a.lsn, a.seen()
	if from.index.SystemID != t.index.SystemID || from.index.SegmentSize != t.index.SegmentSize {
		return fmt.Errorf("its ancestor %s is of system %d: %w", from.id, from.index.SystemID, env.ErrCorrupt)
	}
	t.ctl, t.state.from = from.ctl, a
	var err error
	if t.ingest.counters, err = from.countersAt(ctx, seen); err != nil {
		return fmt.Errorf("counters of its ancestor %s as of %s: %w", from.id, seen, err)
	}
	from.mu.Lock()
	dbs, segments := from.state.databases(seen), from.state.segments(seen)
	files := from.state.filesAt(seen)
	from.mu.Unlock()
	t.state.counters = []counted{{at, t.ingest.counters}}
	t.noteHints(at)
	for _, id := range dbs {
		t.state.database(id).sizes.resize(size{lsn: at, blocks: 1, from: fromBase})
	}
	for _, s := range segments {
		t.state.segment(s.SLRU, s.Segment).resize(size{lsn: at, blocks: s.Blocks, from: fromBase})
	}
	for _, k := range files {
		data, ok, err := from.file(ctx, k, seen)
		if err != nil {
			return fmt.Errorf("file %s of its ancestor %s as of %s: %w", k, from.id, seen, err)
		}
		if !ok {
			continue // a database whose creation is under way
		}
		if err := t.loadFile(k, data); err != nil {
			return err
		}
	}
	return nil
}

// pages implements base.
func (a *ancestor) pages(ctx context.Context, keys []core.Key, done func(int, []byte, error)) {
	lsn := a.lsn
	if faults.On && faults.Hit(faults.BranchReadsNow) {
		lsn = a.t.LastRecord().LSN
	}
	t := a.t.asOf(lsn)
	r := t.readings.Get().(*reading)
	defer t.readings.Put(r)
	defer r.end()
	t.mu.Lock()
	r.begin(t)
	for _, k := range keys {
		first, blk := firstOf(k)
		r.plan(t.state.find(first), first, blk, lsn)
	}
	t.mu.Unlock()
	r.pages, r.errs = sized(r.pages, len(keys)), sized(r.errs, len(keys))
	r.run(ctx, r.pages, r.errs)
	for i := range keys {
		done(i, r.pages[i][:], r.errs[i])
	}
}

// firstOf is the key of block 0 of the fork or segment that a block is of, and
// the block's number.
func firstOf(k core.Key) (first core.Key, blk uint32) {
	_, _, _, _, _, blk = k.Fields()
	first = k
	clear(first[core.KeySize-4:])
	return first, blk
}

// find is the fork or segment whose block 0 has this key, nil if there never
// was one. A fork that a branch began with becomes known by it.
func (s *state) find(first core.Key) *fork {
	f := s.forks[first]
	if f == nil && s.from != nil {
		if blocks, ok := s.from.size(first); ok {
			return s.adopt(first, blocks)
		}
	}
	return f
}

// adopt makes a fork known that a branch began with.
func (s *state) adopt(first core.Key, blocks uint32) *fork {
	f := &fork{first: first}
	f.resize(size{lsn: s.from.lsn, blocks: blocks, from: fromBase})
	f.journal = s.journal
	s.forks[first] = f
	if r, _, ok := core.BlockOfKey(first); ok {
		d := s.database(dbID{r.Spc, r.DB})
		d.forks = append(d.forks, f)
	}
	return f
}

// size is the size of a fork as of the branch point.
func (a *ancestor) size(first core.Key) (blocks uint32, ok bool) {
	a.t.mu.Lock()
	defer a.t.mu.Unlock()
	return a.t.state.sizeAt(first, a.seen())
}

// sizeAt is the size of a fork as of an LSN, looked up and not kept.
func (s *state) sizeAt(first core.Key, lsn core.LSN) (blocks uint32, ok bool) {
	if f := s.forks[first]; f != nil || s.from == nil {
		return f.exists(lsn)
	}
	return s.from.size(first)
}

// inheritedRelations lists the forks of a directory that a branch began with
// and has not looked at since.
func (s *state) inheritedRelations(id dbID) []bootset.Relation {
	if s.from == nil {
		return nil
	}
	s.from.t.mu.Lock()
	all := s.from.t.state.relations(id, s.from.seen())
	s.from.t.mu.Unlock()
	rest := all[:0]
	for _, r := range all {
		if s.forks[core.BlockKey(r.Rel, 0)] == nil {
			rest = append(rest, r)
		}
	}
	return rest
}

// adoptRelations makes all forks of a directory known, for what is done to
// every one of them.
func (s *state) adoptRelations(id dbID) {
	for _, r := range s.inheritedRelations(id) {
		s.adopt(core.BlockKey(r.Rel, 0), r.Blocks)
	}
}

// asOf is the timeline that has an LSN: t, or below its branch point the
// ancestor that has.
func (t *Timeline) asOf(lsn core.LSN) *Timeline {
	for {
		a, ok := t.base.(*ancestor)
		if !ok || lsn >= a.lsn || faults.On && faults.Hit(faults.BranchOwnsPast) {
			return t
		}
		t = a.t
	}
}

// root is the timeline at the end of the line of ancestors.
func (t *Timeline) root() *Timeline { return t.asOf(0) }

// beforeBranch tells whether any page is asked for as of an LSN below the
// branch point.
func (t *Timeline) beforeBranch(reqs []PageAt) bool {
	for i := range reqs {
		if t.asOf(reqs[i].LSN) != t {
			return true
		}
	}
	return false
}

// getOldPages makes pages of which some are older than the branch. Who reads
// the past reads one moment of it, so runs of one owner are long.
func (t *Timeline) getOldPages(ctx context.Context, reqs []PageAt, pages []redo.Page, errs []error) {
	for begin := 0; begin < len(reqs); {
		owner := t.asOf(reqs[begin].LSN)
		end := begin + 1
		for end < len(reqs) && t.asOf(reqs[end].LSN) == owner {
			end++
		}
		owner.GetPages(ctx, reqs[begin:end], pages[begin:end], errs[begin:end])
		begin = end
	}
}
