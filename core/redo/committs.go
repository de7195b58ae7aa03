package redo

import (
	"xenon/core"
	"xenon/core/faults"
	"xenon/core/wal"
)

func (d *Effects) commitTs(rec *wal.Record, c *Counters) error {
	r := cursor{b: rec.Main}
	page := r.slruPage(rec)
	if rec.Op() == slruZeroPage {
		d.zeroSLRUPage(core.CommitTs, page)
	} else {
		oldest := r.u32()
		d.add(Effect{Kind: SLRUTruncate, SLRU: core.CommitTs, drop: segments{rule: dropBefore, last: page}})
		// AdvanceOldestCommitTsXid
		if !r.bad && c.OldestCommitTs != 0 && precedes(c.OldestCommitTs, oldest) {
			c.OldestCommitTs = oldest
		}
	}
	if r.bad {
		return fail(rec, ErrMalformed, "main data of %d bytes", len(rec.Main))
	}
	return nil
}

// setCommitTs adds the commit time of the gathered transactions if the cluster
// tracks it (TransactionTreeSetCommitTsData). newest is the last of them.
func (d *Effects) setCommitTs(c *Counters, newest uint32, time int64, origin uint16) {
	if !c.Settings.TrackCommitTimestamp {
		return
	}
	if faults.On && faults.Hit(faults.RedoCommitTime) {
		time++
	}
	var head [10]byte
	put64(head[:], 0, uint64(time))
	put16(head[:], 8, origin)
	d.patchXIDs(core.CommitTs, commitTsPerPage, opCommitTs, head[:]...)
	if precedes(c.NewestCommitTs, newest) {
		c.NewestCommitTs = newest
	}
}

// switchCommitTs follows track_commit_timestamp being turned on or off
// (CommitTsParameterChange): on makes the page of the next transaction, off
// forgets everything.
func (d *Effects) switchCommitTs(c *Counters, on bool) {
	if c.Settings.TrackCommitTimestamp == on {
		return
	}
	c.Settings.TrackCommitTimestamp = on
	if !on {
		c.OldestCommitTs, c.NewestCommitTs = 0, 0
		d.add(Effect{Kind: SLRUTruncate, SLRU: core.CommitTs, drop: segments{rule: dropAll}})
		return
	}
	next := uint32(c.NextXID)
	if c.OldestCommitTs == 0 {
		c.OldestCommitTs, c.NewestCommitTs = next, next
	}
	d.zeroSLRUPage(core.CommitTs, next/commitTsPerPage)
}
