package redo

import (
	"xenon/core/faults"
	"xenon/core/wal"
)

// transaction lists what the end, or the preparing, of a transaction does.
func (d *Effects) transaction(rec *wal.Record, c *Counters) error {
	x := &d.xact
	if err := wal.ParseXact(rec, x); err != nil {
		return fail(rec, ErrMalformed, "%v", err)
	}
	c.pastXID(x.XID)
	for _, sub := range x.SubXIDs {
		c.pastXID(sub)
	}
	switch x.Op {
	case wal.XactCommit, wal.XactCommitPrepared:
		d.commit(rec, x, c)
	case wal.XactAbort, wal.XactAbortPrepared:
		d.end(x, statusAborted)
	case wal.XactPrepare:
		d.add(Effect{Kind: TwoPhaseCreate, XID: x.XID, Data: rec.Main})
	}
	if x.HasOrigin {
		d.advance(rec.Origin, x.OriginLSN, false)
	}
	return nil
}

func (d *Effects) commit(rec *wal.Record, x *wal.Xact, c *Counters) {
	d.end(x, statusCommitted)
	newest, time := x.XID, x.Time
	if n := len(x.SubXIDs); n > 0 {
		newest = x.SubXIDs[n-1]
	}
	if x.HasOrigin {
		time = x.OriginTime
	}
	d.setCommitTs(c, newest, time, rec.Origin)
	d.add(Effect{Kind: CommitTime, Time: x.Time})
}

// end is what commit and abort have in common.
func (d *Effects) end(x *wal.Xact, status uint8) {
	d.gatherXIDs(x.XID, x.SubXIDs)
	d.setStatus(status)
	for _, rel := range x.Rels {
		if faults.On && faults.Hit(faults.RedoDropNothing) {
			break
		}
		d.add(Effect{Kind: RelDrop, Rel: rel})
	}
	if faults.On && faults.Hit(faults.RedoKeepPrepared) {
		return
	}
	if x.Op == wal.XactCommitPrepared || x.Op == wal.XactAbortPrepared {
		d.add(Effect{Kind: TwoPhaseRemove, XID: x.XID})
	}
}
