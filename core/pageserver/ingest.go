package pageserver

import (
	"fmt"

	"xenon/core"
	"xenon/core/faults"
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
	t.mu.Unlock()
	t.publish(Record{rec.End, rec.Start})
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
			stored = t.log.append(kindRecord, rec.Start, rec.Raw)
		}
		k := kindRecord
		if redo.WillInit(rec, b) {
			k = kindRecordInit
		}
		f := t.state.makeFork(b.Rel)
		size := b.Block + 1
		if faults.On && faults.Hit(faults.ShortFork) {
			size = b.Block
		}
		f.grow(rec.End, size)
		f.add(b.Block, version{rec.End, stored.as(k)})
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
		t.putFile(core.RelmapKey(e.Rel.Spc, e.Rel.DB), lsn, e.Data)
	case redo.TwoPhaseCreate:
		s.prepared(e.XID)
		t.putFile(core.TwoPhaseKey(e.XID), lsn, e.Data)
	case redo.TwoPhaseRemove:
		s.prepared(e.XID)
		t.removeFile(core.TwoPhaseKey(e.XID), lsn)
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
	k := kindPatch
	if e.Patch.Init() {
		k = kindPatchInit
	}
	f.add(blk, version{lsn, t.log.append(k, 0, e.Patch)})
}

func (t *Timeline) putFile(k core.Key, lsn core.LSN, data []byte) {
	t.state.files[k] = append(t.state.files[k], version{lsn, t.log.append(kindImage, 0, data)})
}

func (t *Timeline) removeFile(k core.Key, lsn core.LSN) {
	t.state.files[k] = append(t.state.files[k], version{lsn, makeRef(kindGone, 0, 0)})
}

// prepared remembers that there was a prepared transaction of that xid.
func (s *state) prepared(xid uint32) {
	if len(s.files[core.TwoPhaseKey(xid)]) == 0 {
		s.xids = append(s.xids, xid)
	}
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
	if k := core.RelmapKey(id.spc, id.db); len(s.files[k]) > 0 {
		s.files[k] = append(s.files[k], version{lsn, makeRef(kindGone, 0, 0)})
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
	if v, ok := s.file(core.RelmapKey(from.spc, from.db), lsn); ok {
		k := core.RelmapKey(to.spc, to.db)
		s.files[k] = append(s.files[k], version{lsn, v.ref})
	}
}
