package redo

import (
	"xenon/core/faults"
	"xenon/core/wal"
)

// Opcodes of Btree (src/include/access/nbtxlog.h).
const (
	btInsertLeaf     = 0x00
	btInsertUpper    = 0x10
	btInsertMeta     = 0x20
	btSplitL         = 0x30
	btSplitR         = 0x40
	btInsertPost     = 0x50
	btDedup          = 0x60
	btDelete         = 0x70
	btUnlinkPage     = 0x80
	btUnlinkPageMeta = 0x90
	btNewRoot        = 0xA0
	btMarkHalfDead   = 0xB0
	btVacuum         = 0xC0
	btReusePage      = 0xD0
	btMetaCleanup    = 0xE0
)

// The special space of a btree page (src/include/access/nbtree.h,
// BTPageOpaqueData), and its flags.
const (
	btOpaqueSize = 16
	btPrev       = 0
	btNext       = 4
	btLevel      = 8
	btFlags      = 12
	btCycle      = 14

	btpLeaf            = 1 << 0
	btpRoot            = 1 << 1
	btpDeleted         = 1 << 2
	btpMeta            = 1 << 3
	btpHalfDead        = 1 << 4
	btpSplitEnd        = 1 << 5
	btpHasGarbage      = 1 << 6
	btpIncompleteSplit = 1 << 7
	btpHasFullXID      = 1 << 8

	btHikey = 1 // P_HIKEY
)

// A btOpaque is the special space of a btree page.
type btOpaque []byte

// opaque is the special space if the page has one of a btree's size.
func opaque(p *Page) (btOpaque, bool) {
	if special(p)+btOpaqueSize != len(p) {
		return nil, false
	}
	return p[special(p):], true
}

func (o btOpaque) next() uint32           { return u32(o, btNext) }
func (o btOpaque) flags() uint16          { return u16(o, btFlags) }
func (o btOpaque) setPrev(block uint32)   { put32(o, btPrev, block) }
func (o btOpaque) setNext(block uint32)   { put32(o, btNext, block) }
func (o btOpaque) setLevel(level uint32)  { put32(o, btLevel, level) }
func (o btOpaque) setFlags(flags uint16)  { put16(o, btFlags, flags) }
func (o btOpaque) clearFlags(gone uint16) { put16(o, btFlags, o.flags()&^gone) }
func (o btOpaque) setCycle(cycle uint16)  { put16(o, btCycle, cycle) }

// firstKey is P_FIRSTDATAKEY: the rightmost page of a level has no high key.
func (o btOpaque) firstKey() int {
	if o.next() == 0 {
		return btHikey
	}
	return btHikey + 1
}

// initBtree makes an empty page and returns its special space (_bt_pageinit).
func initBtree(p *Page) btOpaque {
	initPage(p, btOpaqueSize)
	return p[special(p):]
}

// redoBtree changes one page by a Btree record. Every routine below looks at
// the id of the block to see which of the record's pages it is given.
func (a *Applier) redoBtree(p *Page, rec *wal.Record, blk *wal.Block) bool {
	c := cursor{b: rec.Main}
	switch op := rec.Op(); op {
	case btInsertLeaf, btInsertUpper, btInsertMeta, btInsertPost:
		return redoBtInsert(p, op, blk, c)
	case btSplitL, btSplitR:
		return a.redoBtSplit(p, rec, blk, c)
	case btDedup:
		return a.redoBtDedup(p, blk, c)
	case btVacuum:
		deleted, updated := int(c.u16()), int(c.u16())
		return !c.bad && a.redoBtDelete(p, blk, deleted, updated)
	case btDelete:
		_, deleted, updated := c.u32(), int(c.u16()), int(c.u16())
		return !c.bad && a.redoBtDelete(p, blk, deleted, updated)
	case btMarkHalfDead:
		return redoBtHalfDead(p, blk, c)
	case btUnlinkPage, btUnlinkPageMeta:
		return redoBtUnlink(p, blk, c)
	case btNewRoot:
		return redoBtNewRoot(p, blk, c)
	case btMetaCleanup:
		return redoBtMeta(p, blk)
	}
	return false
}

// clearIncompleteSplit notes on a child that its parent has the downlink now.
func clearIncompleteSplit(p *Page) bool {
	o, ok := opaque(p)
	if !ok {
		return false
	}
	if faults.On && faults.Hit(faults.RedoKeepIncomplete) {
		return true
	}
	o.clearFlags(btpIncompleteSplit)
	return true
}

// redoBtInsert puts one tuple on block 0. Above the leaves block 1 is the
// child whose split this completes; INSERT_META renews the meta page, block 2.
func redoBtInsert(p *Page, op uint8, blk *wal.Block, c cursor) bool {
	switch {
	case blk.ID == 1 && op != btInsertLeaf && op != btInsertPost:
		return clearIncompleteSplit(p)
	case blk.ID == 2 && op == btInsertMeta:
		return redoBtMeta(p, blk)
	case blk.ID != 0:
		return false
	}
	n := int(c.u16())
	if c.bad {
		return false
	}
	if faults.On && faults.Hit(faults.RedoNoShift) && n <= maxOffset(p) {
		n = maxOffset(p) + 1
	}
	if op == btInsertPost {
		return redoBtInsertPost(p, blk, n)
	}
	return addItem(p, blk.Data, n)
}

// redoBtInsertPost puts a tuple whose TID falls inside a posting list: the
// list before n takes the TID, its last one goes to the new tuple.
func redoBtInsertPost(p *Page, blk *wal.Block, n int) bool {
	d := cursor{b: blk.Data}
	at := int(d.u16())
	list, ok := item(p, n-1)
	if d.bad || !ok {
		return false
	}
	size, ok := tupleSize(d.b)
	if !ok {
		return false
	}
	tuple, ok := reserveItem(p, n, size, false)
	if !ok {
		return false
	}
	copy(tuple, d.b[:size])
	return swapPosting(tuple, list, at)
}

// redoBtNewRoot makes a root (block 0) above block 1, or the first root of
// all, and the meta page (block 2) that names it.
func redoBtNewRoot(p *Page, blk *wal.Block, c cursor) bool {
	_, level := c.u32(), c.u32()
	switch {
	case c.bad:
		return false
	case blk.ID == 1:
		return clearIncompleteSplit(p)
	case blk.ID == 2:
		return redoBtMeta(p, blk)
	case blk.ID != 0:
		return false
	}
	o := initBtree(p)
	o.setLevel(level)
	if level == 0 {
		o.setFlags(btpRoot | btpLeaf)
		return true
	}
	o.setFlags(btpRoot)
	return restoreItems(p, blk.Data)
}

// Offsets in BTMetaPageData (src/include/access/nbtree.h), which follows the
// page header, and the length of xl_btree_metadata.
const (
	btMagic          = 0x053162
	btMetaMagic      = headerSize
	btMetaVersion    = headerSize + 4
	btMetaDelPages   = headerSize + 24
	btMetaHeapTuples = headerSize + 32
	btMetaAllEqual   = headerSize + 40
	btMetaEnd        = headerSize + 48
	btMetaRecord     = 28
	minusOne         = 0xBFF0000000000000 // -1.0 as a double
)

// redoBtMeta makes the meta page of the block's data (_bt_restore_meta).
func redoBtMeta(p *Page, blk *wal.Block) bool {
	if len(blk.Data) != btMetaRecord {
		return false
	}
	o := initBtree(p)
	o.setFlags(btpMeta)
	put32(p[:], btMetaMagic, btMagic)
	// Version, root, level, fast root, its level and the count of deleted pages
	// have the same order in the record.
	copy(p[btMetaVersion:btMetaDelPages+4], blk.Data[:24])
	if !faults.On || !faults.Hit(faults.RedoMetaZero) {
		put64(p[:], btMetaHeapTuples, minusOne)
	}
	p[btMetaAllEqual] = blk.Data[24]
	setLower(p, btMetaEnd)
	return true
}

// restoreItems fills an empty page with tuples laid end to end
// (_bt_restore_page): the last one is added first, at the top of the page.
func restoreItems(p *Page, data []byte) bool {
	var starts [maxBtreeItems]uint16
	count := 0
	for at := 0; at < len(data); count++ {
		size, ok := tupleSize(data[at:])
		if !ok || count == len(starts) || at+maxAlign(size) > len(data) {
			return false
		}
		starts[count] = uint16(at)
		at += maxAlign(size)
	}
	end := len(data)
	for i := count - 1; i >= 0; i-- {
		if !addItem(p, data[starts[i]:end], count-i) {
			return false
		}
		end = int(starts[i])
	}
	return true
}
