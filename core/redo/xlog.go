package redo

import (
	"xenon/core/faults"
	"xenon/core/wal"
)

// parameterChangeSize is sizeof(xl_parameter_change)
// (src/include/access/xlog_internal.h) without its padding.
const parameterChangeSize = 26

// hintOnly tells whether rec is an FPI_FOR_HINT, whose block is not changed if
// it has no image to restore: with full_page_writes off a server with data
// checksums or wal_log_hints writes them so.
func hintOnly(rec *wal.Record) bool {
	if faults.On && faults.Hit(faults.RedoHintRefused) {
		return false
	}
	return rec.Rmgr == wal.RmgrXLOG && rec.Op() == wal.XLOGFPIForHint
}

// xlog follows the records that are about the cluster as a whole.
func (d *Effects) xlog(rec *wal.Record, c *Counters) error {
	r := cursor{b: rec.Main}
	switch rec.Op() {
	case wal.XLOGCheckpointShutdown, wal.XLOGCheckpointOnline:
		ck, err := rec.Version.DecodeCheckPoint(rec.Main)
		if err != nil {
			return fail(rec, ErrMalformed, "%v", err)
		}
		c.checkpoint(&ck, rec.Op() == wal.XLOGCheckpointShutdown)
	case wal.XLOGNextOID:
		c.NextOID = r.u32()
	case wal.XLOGFPWChange:
		c.FullPageWrites = r.u8() != 0
	case wal.XLOGParameterChange:
		return d.parameters(rec, c)
	}
	if r.bad {
		return fail(rec, ErrMalformed, "main data of %d bytes", len(rec.Main))
	}
	return nil
}

func (d *Effects) parameters(rec *wal.Record, c *Counters) error {
	if len(rec.Main) < parameterChangeSize {
		return fail(rec, ErrMalformed, "main data of %d bytes", len(rec.Main))
	}
	if faults.On && faults.Hit(faults.RedoKeepSettings) {
		return nil
	}
	r, s := cursor{b: rec.Main}, &c.Settings
	for _, f := range [...]*int32{&s.MaxConnections, &s.MaxWorkers, &s.MaxWALSenders, &s.MaxPreparedXacts, &s.MaxLocks, &s.WALLevel} {
		*f = int32(r.u32())
	}
	s.WALLogHints = r.u8() != 0
	d.switchCommitTs(c, r.u8() != 0)
	if s.WALLevel < int32(wal.Replica) {
		return fail(rec, ErrUnsupported, "wal_level is minimal: changes are missing in the WAL")
	}
	return nil
}
