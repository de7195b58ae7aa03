package redo

import (
	"xenon/core"
	"xenon/core/faults"
	"xenon/core/wal"
)

// Opcodes of ReplicationOrigin, and the ids that are no origin's
// (src/include/replication/origin.h).
const (
	originSet  = 0x00
	originDrop = 0x10

	noOrigin       = 0      // InvalidRepOriginId
	unlistedOrigin = 0xFFFF // DoNotReplicateId: nobody follows its progress
)

// origin follows a progress that was set, or an origin that was dropped.
func (d *Effects) origin(rec *wal.Record) error {
	r := cursor{b: rec.Main}
	if rec.Op() == originDrop {
		id := r.u16()
		if !r.bad {
			d.add(Effect{Kind: OriginDrop, Origin: id})
		}
	} else {
		// xl_replorigin_set
		remote := core.LSN(r.u64())
		id, back := r.u16(), r.u8() != 0
		if !r.bad {
			d.advance(id, remote, back)
		}
	}
	if r.bad {
		return fail(rec, ErrMalformed, "main data of %d bytes", len(rec.Main))
	}
	return nil
}

// advance notes how far an origin has come (replorigin_advance).
func (d *Effects) advance(id uint16, remote core.LSN, back bool) {
	if id == noOrigin || id == unlistedOrigin || faults.On && faults.Hit(faults.RedoOriginStays) {
		return
	}
	d.add(Effect{Kind: OriginAdvance, Origin: id, Remote: remote, Back: back})
}
