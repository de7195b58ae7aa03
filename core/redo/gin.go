package redo

import (
	"xenon/core/faults"
	"xenon/core/wal"
)

// Opcodes of Gin (src/include/access/ginxlog.h).
const (
	ginCreatePTree    = 0x10
	ginInsert         = 0x20
	ginSplit          = 0x30
	ginVacuumPage     = 0x40
	ginDeletePage     = 0x50
	ginUpdateMeta     = 0x60
	ginInsertListPage = 0x70
	ginDeleteListPage = 0x80
	ginVacuumLeaf     = 0x90
)

// The flags of an INSERT (GIN_INSERT_ISDATA, GIN_INSERT_ISLEAF).
const (
	ginIsData = 0x01
	ginIsLeaf = 0x02
)

// The special space of a Gin page (src/include/access/ginblock.h,
// GinPageOpaqueData), and its flags.
const (
	ginOpaqueSize = 8
	ginRight      = 0
	ginMaxoff     = 4
	ginFlags      = 6

	ginData            = 1 << 0 // of a posting tree, not of the tree of keys
	ginLeaf            = 1 << 1
	ginDeleted         = 1 << 2
	ginMeta            = 1 << 3
	ginList            = 1 << 4 // of the pending list
	ginListFullRow     = 1 << 5 // its tuples end a row's
	ginIncompleteSplit = 1 << 6
	ginCompressed      = 1 << 7 // a posting tree's leaf since 9.4
)

// noBlock is InvalidBlockNumber (src/include/storage/block.h).
const noBlock = 0xFFFFFFFF

// A ginOpaque is the special space of a Gin page.
type ginOpaque []byte

// ginOpaqueOf is the special space if the page has one of Gin's size.
func ginOpaqueOf(p *Page) (ginOpaque, bool) { return specialOf(p, ginOpaqueSize) }

// maxoff is the count of posting items of an inner page of a posting tree, or
// of rows that have their tuples on a page of the pending list.
func (o ginOpaque) maxoff() int             { return int(u16(o, ginMaxoff)) }
func (o ginOpaque) flags() uint16           { return u16(o, ginFlags) }
func (o ginOpaque) setRight(block uint32)   { put32(o, ginRight, block) }
func (o ginOpaque) setMaxoff(n int)         { put16(o, ginMaxoff, uint16(n)) }
func (o ginOpaque) setFlags(set uint16)     { put16(o, ginFlags, o.flags()|set) }
func (o ginOpaque) clearFlags(gone uint16)  { put16(o, ginFlags, o.flags()&^gone) }
func (o ginOpaque) is(mask, on uint16) bool { return o.flags()&mask == on }

// initGin makes an empty page and returns its special space (GinInitPage).
func initGin(p *Page, flags uint16) ginOpaque {
	initPage(p, ginOpaqueSize)
	o := ginOpaque(p[special(p):])
	o.setRight(noBlock)
	o.setFlags(flags)
	return o
}

// redoGin changes one page by a Gin record. Splits and VACUUM_PAGE bring the
// image of every page but a child's, so they come here for that one only.
func (a *Applier) redoGin(p *Page, rec *wal.Record, blk *wal.Block) bool {
	c := cursor{b: rec.Main}
	switch rec.Op() {
	case ginCreatePTree:
		return blk.ID == 0 && redoGinCreatePTree(p, c)
	case ginInsert:
		return a.redoGinInsert(p, blk, c)
	case ginSplit:
		return blk.ID == 3 && clearGinIncomplete(p)
	case ginVacuumLeaf:
		return blk.ID == 0 && a.recompressLeaf(p, blk.Data)
	case ginDeletePage:
		return redoGinDeletePage(p, blk, c)
	case ginUpdateMeta:
		return redoGinUpdateMeta(p, blk, c)
	case ginInsertListPage:
		return blk.ID == 0 && redoGinInsertListPage(p, blk, c)
	case ginDeleteListPage:
		return redoGinDeleteListPage(p, blk, c)
	}
	return false
}

// clearGinIncomplete notes on a child that its parent has the downlink now.
func clearGinIncomplete(p *Page) bool {
	o, ok := ginOpaqueOf(p)
	if !ok {
		return false
	}
	if faults.On && faults.Hit(faults.RedoGinKeepIncomplete) {
		return true
	}
	o.clearFlags(ginIncompleteSplit)
	return true
}

// redoGinInsert puts a tuple or TIDs on block 0. Above the leaves block 1 is
// the left half of the split that this completes, and the right half gets the
// downlink that the left one had.
func (a *Applier) redoGinInsert(p *Page, blk *wal.Block, c cursor) bool {
	flags := c.u16()
	leaf := flags&ginIsLeaf != 0
	right := uint32(noBlock)
	if !leaf {
		children := c.take(8) // left, right: high halves first
		if c.bad {
			return false
		}
		right = tidBlock(children[4:])
	}
	switch {
	case c.bad:
		return false
	case blk.ID == 1 && !leaf:
		return clearGinIncomplete(p)
	case blk.ID != 0:
		return false
	case flags&ginIsData == 0:
		return insertGinEntry(p, blk.Data, right)
	case leaf:
		return a.recompressLeaf(p, blk.Data)
	}
	return insertPostingItem(p, blk.Data, right)
}

// insertGinEntry puts a tuple on a page of the tree of keys. The data are the
// offset number, whether the tuple there is replaced, and the new one.
func insertGinEntry(p *Page, data []byte, right uint32) bool {
	d := cursor{b: data}
	n, replace, _ := int(d.u16()), d.u8() != 0, d.u8()
	size, ok := tupleSize(d.b)
	if o, isGin := ginOpaqueOf(p); d.bad || !ok || !isGin || !o.is(ginData, 0) {
		return false
	}
	if right != noBlock {
		old, ok := item(p, n)
		if !ok || len(old) < indexHeader {
			return false
		}
		putTID(old, right, 0)
	}
	if faults.On && faults.Hit(faults.RedoGinKeepReplaced) {
		replace = false
	}
	if replace && !deleteItem(p, n) {
		return false
	}
	return addItem(p, d.b[:size], n)
}

// redoGinDeletePage takes block 0 out of a posting tree: out of its parent,
// block 1, and out of the list of its level, of which block 2 is the page to
// the left.
func redoGinDeletePage(p *Page, blk *wal.Block, c cursor) bool {
	n, _, right, xid := int(c.u16()), c.u16(), c.u32(), c.u32()
	o, ok := ginOpaqueOf(p)
	if c.bad || !ok || !o.is(ginData, ginData) {
		return false
	}
	switch blk.ID {
	case 0:
		o.setFlags(ginDeleted)
		setPruneXID(p, xid) // the last transaction that may come by (GinPageSetDeleteXid)
		return true
	case 1:
		return deletePostingItem(p, n)
	case 2:
		if faults.On && faults.Hit(faults.RedoGinKeepRight) {
			return true
		}
		o.setRight(right)
		return true
	}
	return false
}

// Offsets in GinMetaPageData and where it ends (src/include/access/ginblock.h).
const (
	ginMetaSize = 56
	ginMetaEnd  = headerSize + ginMetaSize
)

// redoGinMeta makes the meta page of its content (GinInitMetabuffer).
func redoGinMeta(p *Page, meta []byte) bool {
	if len(meta) != ginMetaSize {
		return false
	}
	initGin(p, ginMeta)
	copy(p[headerSize:], meta)
	setLower(p, ginMetaEnd)
	return true
}

// redoGinUpdateMeta renews the meta page, block 0, after a change of the
// pending list: its tail, block 1, has got a row's tuples, or another page to
// its right.
func redoGinUpdateMeta(p *Page, blk *wal.Block, c cursor) bool {
	c.take(16) // the index, and padding
	meta := c.take(ginMetaSize)
	prevTail, right, tuples := c.u32(), c.u32(), int32(c.u32())
	if c.bad {
		return false
	}
	if blk.ID == 0 {
		return redoGinMeta(p, meta)
	}
	o, ok := ginOpaqueOf(p)
	switch {
	case blk.ID != 1 || !ok:
		return false
	case tuples > 0:
		if !appendTuples(p, blk.Data, int(tuples)) {
			return false
		}
		if !faults.On || !faults.Hit(faults.RedoGinRowUncounted) {
			o.setMaxoff(o.maxoff() + 1)
		}
		return true
	case prevTail != noBlock:
		o.setRight(right)
		return true
	}
	return false
}

// redoGinInsertListPage makes a page of the pending list. The last page of a
// row's tuples is the one without a page to its right.
func redoGinInsertListPage(p *Page, blk *wal.Block, c cursor) bool {
	right, tuples := c.u32(), int32(c.u32())
	if c.bad {
		return false
	}
	o := initGin(p, ginList)
	o.setRight(right)
	if right == noBlock {
		o.setFlags(ginListFullRow)
		o.setMaxoff(1)
	}
	return appendTuples(p, blk.Data, int(tuples))
}

// redoGinDeleteListPage empties pages of the pending list, blocks 1 and up,
// and renews the meta page, block 0.
func redoGinDeleteListPage(p *Page, blk *wal.Block, c cursor) bool {
	meta, deleted := c.take(ginMetaSize), int32(c.u32())
	if c.bad {
		return false
	}
	if blk.ID == 0 {
		return redoGinMeta(p, meta)
	}
	if int32(blk.ID) > deleted {
		return false
	}
	initGin(p, ginDeleted)
	return true
}
