package redo

import "xenon/core/wal"

const standbyRunningXacts = 0x10 // XLOG_RUNNING_XACTS (src/include/storage/standbydefs.h)

// standby takes the next transaction id from RUNNING_XACTS. The rest of the
// manager is for queries on a standby.
func standby(rec *wal.Record, c *Counters) error {
	if rec.Op() != standbyRunningXacts {
		return nil
	}
	r := cursor{b: rec.Main}
	_, _, _ = r.u32(), r.u32(), r.u32() // counts and the overflow flag
	next := r.u32()
	if r.bad {
		return fail(rec, ErrMalformed, "main data of %d bytes", len(rec.Main))
	}
	c.pastXID(next - 1)
	return nil
}
