package redo

import (
	"xenon/core"
	"xenon/core/faults"
	"xenon/core/wal"
)

// Counters are the cluster-wide counters that a server needs to start: those
// of a checkpoint, kept up to date by every record, and the settings in
// pg_control on which redo depends. The value is comparable.
type Counters struct {
	NextXID                        uint64 // with its epoch (FullTransactionId)
	NextOID                        uint32
	NextMulti, NextOffset          uint32
	OldestXID, OldestXIDDB         uint32
	OldestMulti, OldestMultiDB     uint32
	OldestCommitTs, NewestCommitTs uint32
	FullPageWrites                 bool
	// LastOffsetsPage is the newest page of multixact offsets. EarlyOffsetsPage
	// is the one that was made before the WAL said so, 0 if none; see
	// createMulti.
	LastOffsetsPage, EarlyOffsetsPage uint32
	Settings                          Settings
}

// Settings are what XLOG/PARAMETER_CHANGE records and pg_control holds.
type Settings struct {
	WALLevel             int32 // 0 minimal, 1 replica, 2 logical
	MaxConnections       int32
	MaxWorkers           int32
	MaxWALSenders        int32
	MaxPreparedXacts     int32
	MaxLocks             int32
	WALLogHints          bool
	TrackCommitTimestamp bool
	DataChecksums        bool // fixed by initdb; no record changes it
}

// LogHints is what [Applier] wants to know.
func (s Settings) LogHints() bool { return s.WALLogHints || s.DataChecksums }

// CountersOf are the counters at the checkpoint that a control file names.
func CountersOf(ctl *wal.Control) Counters {
	c := Counters{Settings: Settings{
		WALLevel: int32(ctl.WALLevel), WALLogHints: ctl.WALLogHints,
		TrackCommitTimestamp: ctl.TrackCommitTs, DataChecksums: ctl.ChecksumVersion != 0,
		MaxConnections: ctl.Settings.MaxConnections, MaxWorkers: ctl.Settings.MaxWorkerProcesses,
		MaxWALSenders: ctl.Settings.MaxWALSenders, MaxPreparedXacts: ctl.Settings.MaxPreparedXacts,
		MaxLocks: ctl.Settings.MaxLocksPerXact,
	}}
	c.checkpoint(&ctl.CheckPoint, true)
	return c
}

// Into writes the counters to a checkpoint; what they do not know, where the
// WAL is and the time, stays.
func (c *Counters) Into(ck *wal.CheckPoint) {
	ck.NextXID, ck.NextOID = c.NextXID, c.NextOID
	ck.NextMulti, ck.NextMultiOff = c.NextMulti, c.NextOffset
	ck.OldestXID, ck.OldestXIDDB = c.OldestXID, core.OID(c.OldestXIDDB)
	ck.OldestMulti, ck.OldestMultiDB = c.OldestMulti, core.OID(c.OldestMultiDB)
	ck.OldestCommitTs, ck.NewestCommitTs = c.OldestCommitTs, c.NewestCommitTs
	ck.FullPageWrites = c.FullPageWrites
}

// pastXID moves the next transaction id past xid, into the next epoch if it
// wraps (AdvanceNextFullTransactionIdPastXid).
func (c *Counters) pastXID(xid uint32) {
	next := uint32(c.NextXID)
	if faults.On && faults.Hit(faults.RedoNextXID) {
		return
	}
	if xid < firstNormalXID || int32(xid-next) < 0 {
		return
	}
	epoch := c.NextXID >> 32
	if xid++; xid < firstNormalXID {
		xid = firstNormalXID
	}
	if xid < next {
		epoch++
	}
	c.NextXID = epoch<<32 | uint64(xid)
}

// firstNormalXID is FirstNormalTransactionId (src/include/access/transam.h).
const firstNormalXID = 3

// checkpoint follows a checkpoint record. A shutdown checkpoint is exact. An
// online one was true when it began: records between its beginning and itself
// may have moved the counters further, and its next oid was never right
// (src/backend/access/transam/xlog.c, xlog_redo).
func (c *Counters) checkpoint(ck *wal.CheckPoint, shutdown bool) {
	c.FullPageWrites = ck.FullPageWrites
	if shutdown {
		c.NextXID, c.NextOID = ck.NextXID, ck.NextOID
		c.NextMulti, c.NextOffset = ck.NextMulti, ck.NextMultiOff
		c.OldestXID, c.OldestXIDDB = ck.OldestXID, uint32(ck.OldestXIDDB)
		c.OldestMulti, c.OldestMultiDB = ck.OldestMulti, uint32(ck.OldestMultiDB)
		c.OldestCommitTs, c.NewestCommitTs = ck.OldestCommitTs, ck.NewestCommitTs
		c.LastOffsetsPage = ck.NextMulti / multisPerOffsetsPage
		return
	}
	c.NextXID = max(c.NextXID, ck.NextXID)
	if int32(c.NextMulti-ck.NextMulti) < 0 {
		c.NextMulti = ck.NextMulti
	}
	if int32(c.NextOffset-ck.NextMultiOff) < 0 {
		c.NextOffset = ck.NextMultiOff
	}
	if precedes(c.OldestXID, ck.OldestXID) {
		c.OldestXID, c.OldestXIDDB = ck.OldestXID, uint32(ck.OldestXIDDB)
	}
	if int32(c.OldestMulti-ck.OldestMulti) < 0 {
		c.OldestMulti, c.OldestMultiDB = ck.OldestMulti, uint32(ck.OldestMultiDB)
	}
	if precedes(c.NewestCommitTs, ck.NewestCommitTs) {
		c.NewestCommitTs = ck.NewestCommitTs
	}
	if precedes(c.OldestCommitTs, ck.OldestCommitTs) {
		c.OldestCommitTs = ck.OldestCommitTs
	}
}
