package pageserver

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"xenon/core"
	"xenon/core/faults"
	"xenon/core/pageserver/bootset"
	"xenon/core/wal"
)

// Boot is everything but pages that a server needs to start at lsn, which must
// have been reached.
func (t *Timeline) Boot(ctx context.Context, lsn core.LSN) (*bootset.Set, error) {
	if at := t.asOf(lsn); at != t {
		return at.Boot(ctx, lsn)
	}
	last := t.LastRecord()
	if lsn < t.index.LSN || !t.ctl.Format().Reached(last.LSN, lsn) {
		return nil, fmt.Errorf("%w: boot at %s, timeline %s has %s to %s", ErrBadLSN, lsn, t.id, t.index.LSN, last.LSN)
	}
	set := &bootset.Set{LSN: lsn, Last: last.LSN, SystemID: t.index.SystemID, Major: t.index.Major, SegmentSize: t.index.SegmentSize}
	switch lsn {
	case last.LSN:
		set.Prev = last.Prev
	case t.index.LSN:
		set.Prev = t.index.PrevLSN
	}
	at := lsn
	if faults.On && faults.Hit(faults.BootNow) {
		at = last.LSN
	}
	counters, err := t.countersAt(ctx, at)
	if err != nil {
		return nil, fmt.Errorf("counters as of %s: %w", lsn, err)
	}
	t.mu.Lock()
	dbs := t.state.databases(lsn)
	set.SLRUs = t.state.segments(lsn)
	xids, origins := t.state.preparedAt(lsn), t.state.originsAt(lsn)
	t.mu.Unlock()

	set.Control = controlAt(t.ctl, counters).Encode()
	version := fmt.Appendf(nil, "%d\n", t.index.Major)
	set.Files = append(set.Files, bootset.File{Path: "PG_VERSION", Content: version})
	for _, id := range dbs {
		if faults.On && id.db == 0 && ownSpace(id.spc) && faults.Hit(faults.SpaceForgotten) {
			continue
		}
		if err := t.bootDatabase(ctx, set, id, version); err != nil {
			return nil, err
		}
	}
	if err := t.originsFile(ctx, set, origins); err != nil {
		return nil, err
	}
	for _, xid := range xids {
		if err := t.bootFile(ctx, set, "pg_twophase/"+t.ctl.Version().TwoPhaseName(xid, counters.NextXID), core.TwoPhaseKey(xid)); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(set.Files, func(a, b bootset.File) int { return cmp.Compare(a.Path, b.Path) })
	return set, nil
}

// bootDatabase adds a directory of relations and its small files. A database
// has those in one tablespace, its own.
func (t *Timeline) bootDatabase(ctx context.Context, set *bootset.Set, id dbID, version []byte) error {
	d := bootset.Database{Spc: id.spc, DB: id.db}
	set.Databases = append(set.Databases, d)
	dir, files := d.Dir(t.ctl.SpaceDir()), len(set.Files)
	if err := t.bootFile(ctx, set, dir+"/pg_filenode.map", core.RelmapKey(id.spc, id.db)); err != nil {
		return err
	}
	if id.db != 0 && (id.spc == core.DefaultTablespace || len(set.Files) > files) {
		set.Files = append(set.Files, bootset.File{Path: dir + "/PG_VERSION", Content: version})
	}
	return nil
}

// bootFile adds a file that is kept under a key, if it existed.
func (t *Timeline) bootFile(ctx context.Context, set *bootset.Set, path string, k core.Key) error {
	data, ok, err := t.file(ctx, k, set.LSN)
	if err != nil {
		return fmt.Errorf("%s as of %s: %w", path, set.LSN, err)
	}
	if !ok {
		return nil
	}
	if f1, _, _, _, _, _ := k.Fields(); f1 == 2 {
		data = wal.TwoPhaseFile(data)
	}
	set.Files = append(set.Files, bootset.File{Path: path, Content: slices.Clone(data)})
	return nil
}

// segments lists the SLRU segments that existed, sorted.
func (s *state) segments(lsn core.LSN) []bootset.Segment {
	var list []bootset.Segment
	for u := range s.slrus {
		begin := len(list)
		for _, f := range s.slrus[u] {
			if n, ok := f.exists(lsn); ok {
				_, _, _, seg, _, _ := f.first.Fields()
				list = append(list, bootset.Segment{SLRU: core.SLRU(u), Segment: seg, Blocks: n})
			}
		}
		slices.SortFunc(list[begin:], func(a, b bootset.Segment) int { return cmp.Compare(a.Segment, b.Segment) })
	}
	return list
}

// Relations lists the forks in a directory of relations, with their sizes,
// sorted by node and fork.
func (t *Timeline) Relations(d bootset.Database, lsn core.LSN) []bootset.Relation {
	t = t.asOf(lsn)
	t.mu.Lock()
	rels := t.state.relations(dbID{d.Spc, d.DB}, lsn)
	t.mu.Unlock()
	slices.SortFunc(rels, func(a, b bootset.Relation) int {
		return cmp.Or(cmp.Compare(a.Rel.Node, b.Rel.Node), cmp.Compare(a.Rel.Fork, b.Rel.Fork))
	})
	return rels
}

// LSNAt is the LSN as of which the cluster was as at a time, given in
// microseconds since 2000: the end of the last commit at or before it, to the
// second. kind is Neon's word: present, future (no commit is later), past (the
// base is later), or nodata (no commit since the base). Of a branch, the past
// of its ancestors is part, up to the branch points.
func (t *Timeline) LSNAt(micros int64) (lsn core.LSN, kind string) {
	lsn, later, any := t.commitBefore(micros, math.MaxUint64)
	switch {
	case !any:
		return lsn, "nodata"
	case lsn == t.root().index.LSN:
		return lsn, "past"
	case !later:
		return lsn, "future"
	}
	return lsn, "present"
}

// commitBefore is the LSN of LSNAt among commits up to limit; later tells
// whether there is a later commit, any whether there is one at all. If there
// is none before, it is where the timeline or the first of its ancestors
// begins.
func (t *Timeline) commitBefore(micros int64, limit core.LSN) (lsn core.LSN, later, any bool) {
	t.mu.Lock()
	lsn, later, ok := t.state.commitBefore(micros, limit)
	any = ok || later
	from := t.state.from
	t.mu.Unlock()
	switch {
	case ok:
		return lsn, later, true
	case from == nil:
		return t.index.LSN, later, any
	}
	lsn, before, anyBefore := from.t.commitBefore(micros, from.lsn)
	if anyBefore && !before {
		// All that the branch began with is older.
		lsn = from.lsn
	}
	return lsn, later || before, any || anyBefore
}
