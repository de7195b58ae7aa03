package redo

import (
	"xenon/core/faults"
	"xenon/core/wal"
)

// redoBtSplit splits block 0 to the left; the right half, block 1, comes whole
// in the record. Block 2 is the page that was to the right before, block 3 a
// child whose split this completes.
func (a *Applier) redoBtSplit(p *Page, rec *wal.Record, blk *wal.Block, c cursor) bool {
	s := btSplit{level: c.u32(), firstRight: int(c.u16()), newAt: int(c.u16()), postingAt: int(c.u16())}
	left, right := rec.Block(0), rec.Block(1)
	if c.bad || left == nil || right == nil {
		return false
	}
	s.newOnLeft = rec.Op() == btSplitL
	s.rightBlock = right.Block
	switch blk.ID {
	case 0:
		return a.splitLeft(p, &s, blk.Data)
	case 1:
		var after uint32
		if b := rec.Block(2); b != nil {
			after = b.Block
		}
		return splitRight(p, &s, left.Block, after, blk.Data)
	case 2:
		o, ok := opaque(p)
		if ok {
			o.setPrev(s.rightBlock)
		}
		return ok
	case 3:
		return clearIncompleteSplit(p)
	}
	return false
}

// A btSplit is xl_btree_split with what its opcode and blocks say.
type btSplit struct {
	level      uint32
	firstRight int // first offset number that goes to the right
	newAt      int // offset number of the new tuple before the split
	postingAt  int // place in a posting list that the new tuple splits, or 0
	newOnLeft  bool
	rightBlock uint32
}

func (s *btSplit) leafFlag() uint16 {
	if s.level == 0 {
		return btpLeaf
	}
	return 0
}

func splitRight(p *Page, s *btSplit, left, after uint32, data []byte) bool {
	o := initBtree(p)
	o.setPrev(left)
	o.setNext(after)
	o.setLevel(s.level)
	o.setFlags(s.leafFlag())
	return restoreItems(p, data)
}

// splitLeft builds the left half anew, item by item, as the primary did: where
// each one lies depends on it. The old page is read from the scratch page.
func (a *Applier) splitLeft(p *Page, s *btSplit, data []byte) bool {
	d := cursor{b: data}
	var newTuple []byte
	if s.newOnLeft || s.postingAt != 0 {
		newTuple = takeTuple(&d)
	}
	hikey := takeTuple(&d)
	oldOpaque, ok := opaque(p)
	if d.bad || !ok {
		return false
	}
	first := oldOpaque.firstKey()
	old := &a.scratch
	*old = *p
	resetItems(p)
	if !addItem(p, hikey, btHikey) || s.firstRight > maxOffset(old)+1 {
		return false
	}
	for n := first; n <= s.firstRight; n++ {
		if n == s.newAt && s.newOnLeft && !s.addNew(p, newTuple, old) {
			return false
		}
		if n < s.firstRight && !s.moveLeft(p, old, n, newTuple) {
			return false
		}
	}
	o, _ := opaque(p)
	o.setFlags(btpIncompleteSplit | s.leafFlag())
	o.setNext(s.rightBlock)
	if faults.On && faults.Hit(faults.RedoSplitLink) {
		o.setNext(s.rightBlock + 1)
	}
	o.setCycle(0)
	return true
}

// resetItems empties a page but for its special space
// (PageGetTempPageCopySpecial).
func resetItems(p *Page) {
	sp := special(p)
	clear(p[:sp])
	setLower(p, headerSize)
	setUpper(p, sp)
	put16(p[:], pdSpecial, uint16(sp))
	put16(p[:], pdSizeVer, sizeAndVersion)
}

// addNew adds the new tuple to the left half; if it split a posting list, it
// carries the list's last TID.
func (s *btSplit) addNew(p *Page, tuple []byte, old *Page) bool {
	dst, ok := reserveItem(p, maxOffset(p)+1, len(tuple), false)
	if !ok {
		return false
	}
	copy(dst, tuple)
	if s.postingAt == 0 {
		return true
	}
	last, ok := lastTID(old, s.newAt-1)
	copy(dst, last)
	return ok
}

// moveLeft adds item n of the old page to the left half. The posting list that
// the new tuple splits takes the new tuple's TID.
func (s *btSplit) moveLeft(p, old *Page, n int, newTuple []byte) bool {
	src, ok := item(old, n)
	if !ok {
		return false
	}
	if s.postingAt == 0 || n != s.newAt-1 {
		return addItem(p, src, maxOffset(p)+1)
	}
	size, ok := tupleSize(src)
	if !ok {
		return false
	}
	dst, ok := reserveItem(p, maxOffset(p)+1, maxAlign(size), false)
	if !ok || len(newTuple) < tidSize {
		return false
	}
	copy(dst, src)
	var tid [tidSize]byte
	copy(tid[:], newTuple)
	return swapPosting(tid[:], dst, s.postingAt)
}
