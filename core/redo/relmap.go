package redo

import (
	"xenon/core"
	"xenon/core/wal"
)

// RelmapSize is the length of pg_filenode.map
// (src/backend/utils/cache/relmapper.c, sizeof(RelMapFile)).
const RelmapSize = 512

// relmap replaces a relation map: xl_relmap_update is database, tablespace,
// length, and the file.
func (d *Effects) relmap(rec *wal.Record) error {
	r := cursor{b: rec.Main}
	db, spc, size := r.u32(), r.u32(), r.u32()
	if r.bad || size != RelmapSize || len(r.b) < RelmapSize {
		return fail(rec, ErrMalformed, "relation map of %d bytes, want %d", size, RelmapSize)
	}
	d.add(Effect{Kind: RelMap, Rel: core.Rel{Spc: core.OID(spc), DB: core.OID(db)}, Data: r.b[:RelmapSize]})
	return nil
}
