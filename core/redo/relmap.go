package redo

import (
	"xenon/core"
	"xenon/core/faults"
	"xenon/core/wal"
)

// relmap replaces a relation map: xl_relmap_update is database, tablespace,
// length, and the file.
func (d *Effects) relmap(rec *wal.Record) error {
	r, want := cursor{b: rec.Main}, wal.PG15.RelMapSize
	if rec.Version != nil {
		want = rec.Version.RelMapSize
	}
	db, spc, size := r.u32(), r.u32(), r.u32()
	if r.bad || int64(size) != int64(want) || len(r.b) < want {
		return fail(rec, ErrMalformed, "relation map of %d bytes, want %d", size, want)
	}
	if faults.On && faults.Hit(faults.RedoKeepRelMap) {
		return nil
	}
	d.add(Effect{Kind: RelMap, Rel: core.Rel{Spc: core.OID(spc), DB: core.OID(db)}, Data: r.b[:want]})
	return nil
}
