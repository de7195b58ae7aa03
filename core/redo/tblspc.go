package redo

import (
	"xenon/core"
	"xenon/core/faults"
	"xenon/core/wal"
)

const tblspcDrop = 0x10 // XLOG_TBLSPC_DROP (src/include/commands/tablespace.h)

// tablespace follows CREATE and DROP TABLESPACE: an oid, and the path of the
// directory in a record that makes one.
func (d *Effects) tablespace(rec *wal.Record) error {
	r := cursor{b: rec.Main}
	kind, rel := SpcCreate, core.Rel{Spc: core.OID(r.u32())}
	if rec.Op() == tblspcDrop {
		kind = SpcDrop
	}
	if faults.On && faults.Hit(faults.RedoKeepSpace) {
		kind = SpcCreate
	}
	if r.bad {
		return fail(rec, ErrMalformed, "main data of %d bytes", len(rec.Main))
	}
	if rel.Spc == 0 || rel.Spc == core.DefaultTablespace || rel.Spc == core.GlobalTablespace {
		return fail(rec, ErrMalformed, "tablespace %d made or dropped", rel.Spc)
	}
	d.add(Effect{Kind: kind, Rel: rel})
	return nil
}
