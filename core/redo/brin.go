package redo

import (
	"xenon/core"
	"xenon/core/faults"
	"xenon/core/wal"
)

// Opcodes of BRIN (src/include/access/brin_xlog.h).
const (
	brinOpMask         = 0x70
	brinCreateIndex    = 0x00
	brinInsert         = 0x10
	brinUpdate         = 0x20
	brinSamepageUpdate = 0x30
	brinRevmapExtend   = 0x40
	brinDesummarize    = 0x50
	brinInitPage       = 0x80
)

// The special space of a BRIN page, the meta page's content and the slots of a
// revmap page (src/include/access/brin_page.h). A slot is the TID of the tuple
// that summarises a range of heap blocks.
const (
	brinOpaqueSize  = 8
	brinFlags       = 4
	brinType        = 6
	brinTypeMeta    = 0xF091
	brinTypeRevmap  = 0xF092
	brinTypeRegular = 0xF093
	brinEvacuate    = 1 << 0 // a hint, never in WAL

	brinMagic      = headerSize
	brinVersion    = headerSize + 4
	brinRangeSize  = headerSize + 8
	brinLastRevmap = headerSize + 12
	brinMetaEnd    = headerSize + 16

	brinMagicValue = 0xA8109CFA

	revmapSlots = (core.PageSize - headerSize - brinOpaqueSize) / tidSize // REVMAP_PAGE_MAXITEMS
)

func initBrin(p *Page, kind uint16) {
	initPage(p, brinOpaqueSize)
	put16(p[special(p):], brinType, kind)
}

// redoBrin changes one page by a BRIN record. Every routine below looks at the
// id of the block to see which of the record's pages it is given.
func redoBrin(p *Page, rec *wal.Record, blk *wal.Block) bool {
	c := cursor{b: rec.Main}
	switch op := rec.Op(); op & brinOpMask {
	case brinCreateIndex:
		return redoBrinCreate(p, c)
	case brinInsert:
		return redoBrinInsert(p, rec, blk, c)
	case brinUpdate:
		old, _ := int(c.u16()), c.u16()
		if blk.ID == 2 {
			if faults.On && faults.Hit(faults.RedoBrinKeepOld) {
				return true
			}
			return !c.bad && deleteItemInPlace(p, old)
		}
		return redoBrinInsert(p, rec, blk, c)
	case brinSamepageUpdate:
		return redoBrinSamepage(p, blk, c)
	case brinRevmapExtend:
		return redoBrinExtend(p, blk, c)
	case brinDesummarize:
		return redoBrinDesummarize(p, blk, c)
	}
	return false
}

// redoBrinCreate makes the meta page (brin_metapage_init).
func redoBrinCreate(p *Page, c cursor) bool {
	rangeSize, version := c.u32(), c.u16()
	initBrin(p, brinTypeMeta)
	put32(p[:], brinMagic, brinMagicValue)
	put32(p[:], brinVersion, uint32(version))
	put32(p[:], brinRangeSize, rangeSize)
	setLower(p, brinMetaEnd)
	return !c.bad
}

// redoBrinInsert adds the tuple of a range to block 0; block 1 is the revmap
// page that has its slot.
func redoBrinInsert(p *Page, rec *wal.Record, blk *wal.Block, c cursor) bool {
	heapBlock, rangeSize, n := c.u32(), c.u32(), c.u16()
	regular := rec.Block(0)
	if c.bad || regular == nil {
		return false
	}
	switch blk.ID {
	case 0:
		if rec.Op()&brinInitPage != 0 {
			initBrin(p, brinTypeRegular)
		}
		dst, ok := reserveItem(p, int(n), len(blk.Data), true)
		copy(dst, blk.Data)
		return ok
	case 1:
		return setRevmap(p, rangeSize, heapBlock, regular.Block, n)
	}
	return false
}

// setRevmap writes the slot of the range that a heap block belongs to
// (brinSetHeapBlockItemptr).
func setRevmap(p *Page, rangeSize, heapBlock, block uint32, n uint16) bool {
	if rangeSize == 0 {
		return false
	}
	slot := heapBlock / rangeSize % revmapSlots
	if faults.On && faults.Hit(faults.RedoBrinSlot) {
		slot = (slot + 1) % revmapSlots
	}
	t := p[headerSize+int(slot)*tidSize:]
	setTIDBlock(t, block)
	put16(t, 4, n)
	return true
}

// redoBrinSamepage replaces a tuple by another that fits in its page.
func redoBrinSamepage(p *Page, blk *wal.Block, c cursor) bool {
	n := int(c.u16())
	if c.bad {
		return false
	}
	dst, ok := resizeItem(p, n, len(blk.Data))
	if faults.On && faults.Hit(faults.RedoBrinSamepage) {
		return ok
	}
	copy(dst, blk.Data)
	return ok
}

// redoBrinExtend makes block 1 the last revmap page; block 0 is the meta page.
func redoBrinExtend(p *Page, blk *wal.Block, c cursor) bool {
	last := c.u32()
	switch {
	case c.bad:
		return false
	case blk.ID == 0:
		if !faults.On || !faults.Hit(faults.RedoBrinLast) {
			put32(p[:], brinLastRevmap, last)
		}
		// Indexes from before 11 may have it elsewhere.
		setLower(p, brinMetaEnd)
		return upper(p) >= brinMetaEnd
	case blk.ID == 1:
		initBrin(p, brinTypeRevmap)
		return true
	}
	return false
}

// redoBrinDesummarize forgets a range: block 0 is the revmap page, block 1 has
// the tuple.
func redoBrinDesummarize(p *Page, blk *wal.Block, c cursor) bool {
	rangeSize, heapBlock, n := c.u32(), c.u32(), int(c.u16())
	switch {
	case c.bad:
		return false
	case blk.ID == 0:
		return setRevmap(p, rangeSize, heapBlock, invalidBlock, 0)
	case blk.ID == 1:
		return deleteItemInPlace(p, n)
	}
	return false
}
