package redo

import (
	"xenon/core"
	"xenon/core/faults"
	"xenon/core/wal"
)

// Opcodes of Database (src/include/commands/dbcommands_xlog.h).
const (
	dbCreateFileCopy = 0x00
	dbCreateWALLog   = 0x10
	dbDrop           = 0x20
	dbDrop14         = 0x10 // of 14, where every database is a copy of files
)

// dbaseOp is the opcode as 15 and later number it.
func dbaseOp(rec *wal.Record) uint8 {
	if rec.Major() == 14 && rec.Op() == dbDrop14 {
		return dbDrop
	}
	return rec.Op()
}

func (d *Effects) dbase(rec *wal.Record) error {
	r := cursor{b: rec.Main}
	place := func() core.Rel {
		db := core.OID(r.u32())
		return core.Rel{DB: db, Spc: core.OID(r.u32())}
	}
	switch dbaseOp(rec) {
	case dbCreateFileCopy:
		to, from := place(), place()
		if faults.On && faults.Hit(faults.RedoCopyNothing) {
			from.DB = 0
		}
		d.add(Effect{Kind: DBCopy, Rel: to, From: from})
	case dbCreateWALLog:
		d.add(Effect{Kind: DBCreate, Rel: place()})
	case dbDrop:
		db, count := core.OID(r.u32()), r.u32()
		for ; count > 0 && !r.bad; count-- {
			d.add(Effect{Kind: DBDrop, Rel: core.Rel{DB: db, Spc: core.OID(r.u32())}})
		}
	}
	if r.bad {
		return fail(rec, ErrMalformed, "main data of %d bytes", len(rec.Main))
	}
	return nil
}
