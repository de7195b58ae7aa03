package redo

import (
	"slices"

	"xenon/core"
	"xenon/core/faults"
	"xenon/core/wal"
)

// Opcodes of CLOG and CommitTs (src/include/access/clog.h, commit_ts.h).
const (
	slruZeroPage = 0x00
	slruTruncate = 0x10
)

// Transaction status (src/include/access/clog.h).
const (
	statusCommitted = 1
	statusAborted   = 2
)

func (d *Effects) clog(rec *wal.Record, c *Counters) error {
	r := cursor{b: rec.Main}
	page := r.slruPage(rec)
	if rec.Op() == slruZeroPage {
		d.zeroSLRUPage(core.Clog, page)
	} else {
		oldest, db := r.u32(), r.u32()
		d.add(Effect{Kind: SLRUTruncate, SLRU: core.Clog, drop: segments{rule: dropBefore, last: page}})
		if precedes(c.OldestXID, oldest) && !r.bad {
			c.OldestXID, c.OldestXIDDB = oldest, db
		}
	}
	if r.bad {
		return fail(rec, ErrMalformed, "main data of %d bytes", len(rec.Main))
	}
	return nil
}

// gatherXIDs puts a transaction and its subtransactions in ascending order, so
// that those of one page are together, each once.
func (d *Effects) gatherXIDs(xid uint32, subs []uint32) {
	d.xids = append(append(d.xids[:0], xid), subs...)
	slices.Sort(d.xids)
	d.xids = slices.Compact(d.xids)
}

// setStatus adds the patches of clog pages for the gathered transactions.
func (d *Effects) setStatus(status uint8) {
	if faults.On && faults.Hit(faults.RedoClogStatus) {
		status = statusCommitted
	}
	d.patchXIDs(core.Clog, xactsPerClogPage, opClog, status)
}

// patchXIDs adds one patch for each page of an SLRU that holds one of the
// gathered transactions: code, head, count, indices.
func (d *Effects) patchXIDs(s core.SLRU, perPage uint32, code byte, head ...byte) {
	for xids := d.xids; len(xids) > 0; {
		page, n := xids[0]/perPage, 1
		for n < len(xids) && xids[n]/perPage == page {
			n++
		}
		start := len(d.arena)
		d.arena = append(append(d.arena, code), head...)
		d.arena = append(d.arena, byte(n), byte(n>>8))
		for _, xid := range xids[:n] {
			i := xid % perPage
			d.arena = append(d.arena, byte(i), byte(i>>8))
		}
		d.sealPatch(slruKey(s, page), start)
		xids = xids[n:]
	}
}
