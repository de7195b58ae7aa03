package pageserver

import (
	"fmt"
	"slices"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
	"xenon/core/layer"
	"xenon/core/redo"
	"xenon/core/wal"
)

// Ingest makes versions of what one record changes. Records come in order,
// each exactly once, from one task at a time; the record's memory is free for
// use again when Ingest returns. After an error, which is kept and returned
// again, the timeline takes no more records and goes on serving what it has.
func (t *Timeline) Ingest(rec *wal.Record) error {
	if err := t.stopped(); err != nil {
		return err
	}
	if last := core.LSN(t.ended.Load()); rec.End <= last {
		core.Must(false, "record %s-%s ingested after %s", rec.Start, rec.End, last)
	}
	if err := namedOnce(rec); err != nil {
		return t.stop(fmt.Errorf("ingest of timeline %s stops before %s: %w", t.id, rec.Start, err))
	}
	in := &t.ingest
	before := in.counters
	effects, err := in.effects.Decode(rec, &in.counters)
	if err != nil {
		return t.stop(fmt.Errorf("ingest of timeline %s stops before %s: %w", t.id, rec.Start, err))
	}
	t.mu.Lock()
	t.ingestBlocks(rec)
	for i := range effects {
		t.apply(rec, &effects[i])
	}
	if in.counters != before {
		t.state.count(rec.End, &in.counters)
		t.noteHints(rec.End)
	}
	first := t.applied == t.disk
	t.applied = Record{LSN: rec.End, Prev: rec.Start}
	t.ingested++
	t.mu.Unlock()
	if first {
		t.began()
	}
	t.env.Trace().Note("pageserver.record", t.id.Timeline.Tag(), uint64(rec.Start), uint64(rec.End), 0)
	t.publish(Record{LSN: rec.End, Prev: rec.Start})
	return nil
}

// namedOnce refuses a record that names a page twice: PostgreSQL writes none,
// and a page has one version at an LSN.
func namedOnce(rec *wal.Record) error {
	for i := range rec.Blocks {
		for j := range i {
			if a, b := &rec.Blocks[i], &rec.Blocks[j]; a.Block == b.Block && a.Rel == b.Rel {
				return fmt.Errorf("record %s names block %d of %s twice: %w", rec.Start, a.Block, a.Rel, env.ErrCorrupt)
			}
		}
	}
	return nil
}

// ingestBlocks puts the record under every page that it names. Free space maps
// are not kept: they are hints that correct themselves.
func (t *Timeline) ingestBlocks(rec *wal.Record) {
	var stored ref
	for i := range rec.Blocks {
		b := &rec.Blocks[i]
		if b.Rel.Fork == core.FSMFork {
			continue
		}
		if stored == 0 {
			stored = t.open.put(layer.KindRecord, rec.Start, rec.Raw)
		}
		k := layer.KindRecord
		if redo.WillInit(rec, b) {
			k = layer.KindRecordInit
		}
		t.state.inSpace(b.Rel, rec.End)
		f := t.state.makeFork(b.Rel)
		size := b.Block + 1
		if faults.On && faults.Hit(faults.ShortFork) {
			size = b.Block
		}
		f.grow(rec.End, size)
		t.open.add(f.key(b.Block), version{rec.End, stored.as(k)})
	}
}

// apply does one effect.
func (t *Timeline) apply(rec *wal.Record, e *redo.Effect) {
	s, lsn := t.state, rec.End
	switch e.Kind {
	case redo.PatchPage:
		t.patch(lsn, e)
	case redo.SLRUTruncate:
		for _, f := range s.slrus[e.SLRU] {
			if _, _, _, seg, _, _ := f.first.Fields(); e.DropsSegment(seg) {
				f.drop(lsn)
			}
		}
	case redo.RelCreate:
		s.inSpace(e.Rel, lsn)
		if e.Rel.Fork != core.FSMFork {
			s.makeFork(e.Rel).grow(lsn, 0)
		}
	case redo.RelTruncate:
		if f := s.fork(e.Rel); f != nil && f.now().blocks > e.Blocks {
			f.resize(size{lsn, e.Blocks, fromZeroes})
		}
	case redo.RelDrop:
		s.dropRel(e.Rel, lsn)
	case redo.DBCreate:
		s.database(dbID{e.Rel.Spc, e.Rel.DB}).sizes.grow(lsn, 1)
	case redo.DBCopy:
		t.copyDatabase(dbID{e.From.Spc, e.From.DB}, dbID{e.Rel.Spc, e.Rel.DB}, lsn)
	case redo.DBDrop:
		s.dropDatabase(dbID{e.Rel.Spc, e.Rel.DB}, lsn)
	case redo.RelMap:
		s.database(dbID{e.Rel.Spc, e.Rel.DB}).sizes.grow(lsn, 1)
		s.put(core.RelmapKey(e.Rel.Spc, e.Rel.DB), lsn, slices.Clone(e.Data))
	case redo.TwoPhaseCreate:
		s.transaction(e.XID).grow(lsn, 1)
		s.put(core.TwoPhaseKey(e.XID), lsn, slices.Clone(e.Data))
	case redo.TwoPhaseRemove:
		s.transaction(e.XID).drop(lsn)
		s.put(core.TwoPhaseKey(e.XID), lsn, nil)
	case redo.SpcCreate:
		s.database(dbID{e.Rel.Spc, 0}).sizes.grow(lsn, 1)
	case redo.SpcDrop:
		s.dropSpace(e.Rel.Spc, lsn)
	case redo.OriginAdvance:
		s.advanceOrigin(e, lsn)
	case redo.OriginDrop:
		s.dropOrigin(e.Origin, lsn)
	case redo.CommitTime:
		s.commit(e.Time, lsn)
	default:
		core.Must(false, "effect of unknown kind %d in record %s", e.Kind, rec.Start)
	}
}

// patch keeps a change of part of a page. A page of a visibility map that is
// not there has nothing to clear; a page of an SLRU comes into being.
func (t *Timeline) patch(lsn core.LSN, e *redo.Effect) {
	var f *fork
	var blk uint32
	if r, b, ok := core.BlockOfKey(e.Key); ok {
		if f, blk = t.state.fork(r), b; f == nil || f.now().blocks <= blk {
			return
		}
		if faults.On && faults.Hit(faults.SkipVMClear) {
			return
		}
	} else {
		_, u, _, seg, _, b := e.Key.Fields()
		f, blk = t.state.segment(core.SLRU(u), seg), b
		f.grow(lsn, blk+1)
	}
	k := layer.KindPatch
	if e.Patch.Init() {
		k = layer.KindPatchInit
	}
	t.open.add(f.key(blk), version{lsn, t.open.put(k, 0, e.Patch)})
}

// dropRel ends all forks of a relation.
func (s *state) dropRel(r core.Rel, lsn core.LSN) {
	for _, fork := range []core.Fork{core.MainFork, core.VMFork, core.InitFork} {
		if faults.On && fork != core.MainFork && faults.Hit(faults.DropMainOnly) {
			return
		}
		r.Fork = fork
		if f := s.fork(r); f != nil {
			f.drop(lsn)
		}
	}
}

func (s *state) dropDatabase(id dbID, lsn core.LSN) {
	d := s.database(id)
	s.adoptRelations(id)
	for _, f := range d.forks {
		f.drop(lsn)
	}
	d.sizes.drop(lsn)
	if s.relmaps[id] != nil {
		s.put(core.RelmapKey(id.spc, id.db), lsn, nil)
	}
}

// copyDatabase makes the target's forks come from the source as of lsn. No
// page is copied: those that the target never changes are read there.
func (t *Timeline) copyDatabase(from, to dbID, lsn core.LSN) {
	s := t.state
	s.dropDatabase(to, lsn)
	s.database(to).sizes.grow(lsn, 1)
	s.copies = append(s.copies, copied{from, lsn})
	src := fromCopies + origin(len(s.copies)-1)
	s.adoptRelations(from)
	for _, f := range s.database(from).forks {
		if now := f.now(); now.from != gone {
			r, _, _ := core.BlockOfKey(f.first)
			r.Spc, r.DB = to.spc, to.db
			s.makeFork(r).resize(size{lsn, now.blocks, src})
		}
	}
	if relmap := s.relmaps[from]; relmap != nil {
		s.put(core.RelmapKey(to.spc, to.db), lsn, relmap)
	}
}
