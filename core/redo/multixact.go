package redo

import (
	"xenon/core"
	"xenon/core/faults"
	"xenon/core/wal"
)

// Opcodes of MultiXact (src/include/access/multixact.h).
const (
	multiZeroOffsets = 0x00
	multiZeroMembers = 0x10
	multiCreate      = 0x20
	multiTruncate    = 0x30
)

func (d *Effects) multixact(rec *wal.Record, c *Counters) error {
	r := cursor{b: rec.Main}
	switch rec.Op() {
	case multiZeroOffsets:
		page := r.slruPage(rec)
		// CREATE_ID made this page already if it found it missing; what it has
		// put there must stay.
		if c.EarlyOffsetsPage != page || c.EarlyOffsetsPage == 0 {
			d.zeroSLRUPage(core.MultiXactOffsets, page)
		}
		c.EarlyOffsetsPage, c.LastOffsetsPage = 0, page
	case multiZeroMembers:
		d.zeroSLRUPage(core.MultiXactMembers, r.slruPage(rec))
	case multiCreate:
		return d.createMulti(rec, r, c)
	case multiTruncate:
		d.truncateMulti(&r, c)
	}
	if r.bad {
		return fail(rec, ErrMalformed, "main data of %d bytes", len(rec.Main))
	}
	return nil
}

// createMulti is RecordNewMultiXact of 15.15 and later: a multixact's offset,
// that of the next one, and its members.
func (d *Effects) createMulti(rec *wal.Record, r cursor, c *Counters) error {
	multi, offset, count := r.u32(), r.u32(), r.u32()
	members := r.take(int(min(count, 1<<28)) * 8)
	if r.bad {
		return fail(rec, ErrMalformed, "%d members in main data of %d bytes", count, len(rec.Main))
	}
	d.setOffsets(multi, offset, count, c)
	d.setMembers(offset, members)
	// MultiXactAdvanceNextMXact
	if int32(c.NextMulti-(multi+1)) < 0 && !(faults.On && faults.Hit(faults.RedoNextMulti)) {
		c.NextMulti = multi + 1
	}
	if int32(c.NextOffset-(offset+count)) < 0 {
		c.NextOffset = offset + count
	}
	for i := 0; i < len(members); i += 8 {
		c.pastXID(u32(members, i))
	}
	return nil
}

func (d *Effects) setOffsets(multi, offset, count uint32, c *Counters) {
	next, end := max(multi+1, 1), offset+count // 0 is no multixact
	if end == 0 {
		end = 1 // 0 is no offset
	}
	if faults.On && faults.Hit(faults.RedoOffsetLost) {
		end = 0
	}
	page, nextPage := multi/multisPerOffsetsPage, next/multisPerOffsetsPage
	start := len(d.arena)
	d.arena = appendOffset(d.arena, multi, offset)
	if page == nextPage {
		d.arena = appendOffset(d.arena, next, end)
		d.sealPatch(slruKey(core.MultiXactOffsets, page), start)
		return
	}
	d.sealPatch(slruKey(core.MultiXactOffsets, page), start)
	start = len(d.arena)
	if c.LastOffsetsPage == page {
		// The server that wrote this makes the next page only with its first
		// multixact.
		d.arena = append(d.arena, opZero)
		c.EarlyOffsetsPage, c.LastOffsetsPage = nextPage, nextPage
	}
	d.arena = appendOffset(d.arena, next, end)
	d.sealPatch(slruKey(core.MultiXactOffsets, nextPage), start)
}

func appendOffset(b []byte, multi, offset uint32) []byte {
	i := multi % multisPerOffsetsPage
	return append(b, opMultiOffset, byte(i), byte(i>>8),
		byte(offset), byte(offset>>8), byte(offset>>16), byte(offset>>24))
}

// setMembers adds one patch for each members page: pairs of xid and status.
func (d *Effects) setMembers(offset uint32, members []byte) {
	if faults.On && faults.Hit(faults.RedoMemberShift) {
		offset++
	}
	for len(members) > 0 {
		page, start := offset/membersPerPage, len(d.arena)
		for len(members) > 0 && offset/membersPerPage == page {
			i := offset % membersPerPage
			d.arena = append(d.arena, opMultiMember, byte(i), byte(i>>8), members[4])
			d.arena = append(d.arena, members[:4]...)
			members, offset = members[8:], offset+1
		}
		d.sealPatch(slruKey(core.MultiXactMembers, page), start)
	}
}

// truncateMulti forgets multixacts before a new oldest one.
func (d *Effects) truncateMulti(r *cursor, c *Counters) {
	db, _, oldest, firstMember, endMember := r.u32(), r.u32(), r.u32(), r.u32(), r.u32()
	if r.bad {
		return
	}
	d.add(Effect{Kind: SLRUTruncate, SLRU: core.MultiXactMembers, drop: segments{
		rule: dropRange, first: memberSegment(firstMember), last: memberSegment(endMember)}})
	previous := oldest - 1
	if oldest == 1 {
		previous = 0xFFFFFFFF // PreviousMultiXactId skips 0
	}
	d.add(Effect{Kind: SLRUTruncate, SLRU: core.MultiXactOffsets, drop: segments{
		rule: dropBefore, last: previous / multisPerOffsetsPage}})
	c.OldestMulti, c.OldestMultiDB = oldest, db
}

func memberSegment(offset uint32) uint32 { return offset / membersPerPage / core.SLRUSegmentPages }
