package redo

import (
	"xenon/core/faults"
	"xenon/core/wal"
)

// redoBtDelete removes tuples, and TIDs out of posting lists (VACUUM, DELETE).
// The block's data are the offset numbers of tuples that go, those of tuples
// that shrink, and for each of these a count and the places in its list.
func (a *Applier) redoBtDelete(p *Page, blk *wal.Block, deleted, updated int) bool {
	d := cursor{b: blk.Data}
	gone, shrunk := d.take(2*deleted), d.take(2*updated)
	if d.bad {
		return false
	}
	for i := 0; i < updated; i++ {
		places := d.take(2 * int(d.u16()))
		if d.bad || !a.shrinkPosting(p, int(u16(shrunk, 2*i)), places) {
			return false
		}
	}
	if faults.On && faults.Hit(faults.RedoDeleteLess) && len(gone) > 2 {
		gone = gone[2:]
	}
	o, ok := opaque(p)
	if !ok || deleted > 0 && !a.deleteItems(p, gone) {
		return false
	}
	o.clearFlags(btpHasGarbage)
	return true
}

// shrinkPosting takes the TIDs at places, ascending, out of a posting list
// (_bt_update_posting). A list of one TID becomes a plain tuple.
func (a *Applier) shrinkPosting(p *Page, n int, places []byte) bool {
	t, ok := item(p, n)
	if !ok || !isPosting(t) {
		return false
	}
	old := a.scratch[:copy(a.scratch[:], t)]
	keySize, tids, ok := postingList(old)
	if !ok {
		return false
	}
	count := len(tids)/tidSize - len(places)/2
	if count < 1 || keySize < indexHeader {
		return false
	}
	size := postingSize(keySize, count)
	dst, ok := resizeItem(p, n, maxAlign(size))
	if !ok {
		return false
	}
	to := beginPosting(dst[:size], old, keySize, count)
	for i := 0; i < len(tids)/tidSize; i++ {
		if len(places) > 0 && int(u16(places, 0)) == i {
			places = places[2:]
			continue
		}
		if len(to) == 0 {
			return false
		}
		to = to[copy(to, tids[i*tidSize:(i+1)*tidSize]):]
	}
	return len(places) == 0
}

// redoBtHalfDead takes the downlink of a subtree out of the parent (block 1)
// and marks the leaf at its end (block 0).
func redoBtHalfDead(p *Page, blk *wal.Block, c cursor) bool {
	n, _ := int(c.u16()), c.u16()
	_, left, right, topParent := c.u32(), c.u32(), c.u32(), c.u32()
	if c.bad {
		return false
	}
	switch blk.ID {
	case 0:
		return halfDeadLeaf(p, left, right, topParent)
	case 1:
		// The pivot to the left takes over the downlink of its right neighbour,
		// which goes: so the key space of the deleted subtree goes to the right.
		next, ok := item(p, n+1)
		if !ok || len(next) < indexHeader {
			return false
		}
		pivot, ok := item(p, n)
		if !ok || len(pivot) < indexHeader {
			return false
		}
		setTIDBlock(pivot, tidBlock(next))
		return deleteItem(p, n+1)
	}
	return false
}

// halfDeadLeaf makes a half-dead leaf: its high key is a tuple without key
// that names the top of the subtree to delete.
func halfDeadLeaf(p *Page, left, right, topParent uint32) bool {
	o := initBtree(p)
	o.setPrev(left)
	o.setNext(right)
	o.setFlags(btpHalfDead | btpLeaf)
	var t [indexHeader]byte
	setTIDBlock(t[:], topParent)
	put16(t[:], tInfo, indexHeader|indexAltTID)
	return addItem(p, t[:], btHikey)
}

// redoBtUnlink takes block 0 out of the list of its level: block 1 to its left
// if there is one, block 2 to its right. Block 3 is the leaf of the subtree if
// block 0 was above it, block 4 the meta page.
func redoBtUnlink(p *Page, blk *wal.Block, c cursor) bool {
	left, right, level, _ := c.u32(), c.u32(), c.u32(), c.u32()
	safeXID := c.u64()
	leafLeft, leafRight, leafTop := c.u32(), c.u32(), c.u32()
	if c.bad {
		return false
	}
	switch blk.ID {
	case 0:
		deletedPage(p, left, right, level, safeXID)
		return true
	case 1, 2:
		o, ok := opaque(p)
		if !ok {
			return false
		}
		if blk.ID == 1 {
			o.setNext(right)
		} else if !faults.On || !faults.Hit(faults.RedoUnlinkRight) {
			o.setPrev(left)
		}
		return true
	case 3:
		return halfDeadLeaf(p, leafLeft, leafRight, leafTop)
	case 4:
		return redoBtMeta(p, blk)
	}
	return false
}

// deletedPage makes a page that is in no list any more; it may be used again
// once no scan older than safeXID runs (BTPageSetDeleted).
func deletedPage(p *Page, left, right, level uint32, safeXID uint64) {
	o := initBtree(p)
	o.setPrev(left)
	o.setNext(right)
	o.setLevel(level)
	flags := uint16(btpDeleted | btpHasFullXID)
	if level == 0 {
		flags |= btpLeaf
	}
	o.setFlags(flags)
	put64(p[:], headerSize, safeXID)
	setLower(p, headerSize+8)
}
