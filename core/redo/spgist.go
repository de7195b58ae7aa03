package redo

import (
	"slices"

	"xenon/core"
	"xenon/core/faults"
	"xenon/core/wal"
)

// Opcodes of SPGist (src/include/access/spgxlog.h).
const (
	spgAddLeaf        = 0x10
	spgMoveLeafs      = 0x20
	spgAddNode        = 0x30
	spgSplitTuple     = 0x40
	spgPickSplit      = 0x50
	spgVacuumLeaf     = 0x60
	spgVacuumRoot     = 0x70
	spgVacuumRedirect = 0x80
)

// The special space of an SP-GiST page, its flags, and the tuples
// (src/include/access/spgist_private.h). Every tuple begins with its state in
// two bits; then come 30 bits of size in leaf and dead tuples, and the number
// of nodes and the size of the prefix in inner ones.
const (
	spgOpaqueSize   = 8
	spgFlags        = 0
	spgRedirects    = 2 // how many tuples of the page are redirects
	spgPlaceholders = 4 // and how many placeholders
	spgPageID       = 6

	spgLeaf  = 1 << 2
	spgNulls = 1 << 3

	spgPageIDValue = 0xFF82 // SPGIST_PAGE_ID

	spgLive        = 0
	spgRedirect    = 1
	spgDead        = 2
	spgPlaceholder = 3
	spgStates      = 3

	spgLeafNext    = 4 // t_info: offset number of the next tuple, and two flags
	spgNextMask    = 0x3FFF
	spgDeadPointer = 6
	spgDeadXID     = 12
	spgDeadSize    = 16

	spgInnerSize   = 4
	spgInnerHeader = 8

	// maxIndexItems is MaxIndexTuplesPerPage (src/include/access/itup.h).
	maxIndexItems = (core.PageSize - headerSize) / (16 + itemSize)
)

// initSpg makes an empty page (SpGistInitPage).
func initSpg(p *Page, flags uint16) {
	initPage(p, spgOpaqueSize)
	o := p[special(p):]
	put16(o, spgFlags, flags)
	put16(o, spgPageID, spgPageIDValue)
}

// spgLeafFlags are the flags of a leaf page, in the tree of nulls or the other.
func spgLeafFlags(nulls bool) uint16 {
	if nulls {
		return spgLeaf | spgNulls
	}
	return spgLeaf
}

// spgCount changes one of a page's two counters.
func spgCount(p *Page, counter, by int) bool {
	o, ok := specialOf(p, spgOpaqueSize)
	if ok && (!faults.On || !faults.Hit(faults.RedoSpgCounters)) {
		put16(o, counter, u16(o, counter)+uint16(by))
	}
	return ok
}

// A spgState is spgxlogState: what the primary knew when it made the record.
type spgState struct {
	xid   uint32 // transaction that redirects are valid for
	build bool   // an index is being built: no scan needs redirects
}

func readSpgState(c *cursor) spgState {
	s := spgState{xid: c.u32(), build: c.u8() != 0}
	c.take(3)
	return s
}

// redoSpgist changes one page by an SPGist record. Every routine below looks
// at the id of the block to see which of the record's pages it is given.
func (a *Applier) redoSpgist(p *Page, rec *wal.Record, blk *wal.Block) bool {
	c := cursor{b: rec.Main}
	switch rec.Op() {
	case spgAddLeaf:
		return redoSpgAddLeaf(p, rec, blk, c)
	case spgMoveLeafs:
		return a.redoSpgMoveLeafs(p, rec, blk, c)
	case spgAddNode:
		return redoSpgAddNode(p, rec, blk, c)
	case spgSplitTuple:
		return redoSpgSplitTuple(p, blk, c)
	case spgPickSplit:
		return a.redoSpgPickSplit(p, rec, blk, c)
	case spgVacuumLeaf:
		return a.redoSpgVacuumLeaf(p, c)
	case spgVacuumRoot:
		count, _ := int(c.u16()), c.u16()
		readSpgState(&c)
		list := c.take(2 * count)
		return !c.bad && a.deleteItems(p, list)
	case spgVacuumRedirect:
		return a.redoSpgVacuumRedirect(p, rec, c)
	}
	return false
}

// takeSpgLeaf reads a leaf tuple.
func takeSpgLeaf(c *cursor) []byte {
	if len(c.b) < spgDeadSize {
		c.bad = true
		return nil
	}
	return takeSpg(c, int(u32(c.b, 0)>>2))
}

// takeSpgInner reads an inner tuple.
func takeSpgInner(c *cursor) []byte {
	if len(c.b) < spgInnerHeader {
		c.bad = true
		return nil
	}
	return takeSpg(c, int(u16(c.b, spgInnerSize)))
}

func takeSpg(c *cursor, size int) []byte {
	if size < spgInnerHeader {
		c.bad = true
	}
	return c.take(size)
}

// addSpg adds a tuple at offset number n, in the place of a placeholder if one
// is there (addOrReplaceTuple).
func addSpg(p *Page, tuple []byte, n int) bool {
	if n > maxOffset(p) {
		return addItem(p, tuple, n)
	}
	old, ok := item(p, n)
	if !ok || old[0]&spgStates != spgPlaceholder || !spgCount(p, spgPlaceholders, -1) {
		return false
	}
	return replaceItem(p, tuple, n)
}

// replaceItem puts a tuple in the place of another: what lies below the old
// one moves up, the new one is the lowest.
func replaceItem(p *Page, tuple []byte, n int) bool {
	return deleteItem(p, n) && addItem(p, tuple, n)
}

// A spgPlace is where a tuple is: what downlinks and redirects hold.
type spgPlace struct {
	block  uint32
	offset uint16
}

// nowhere is the place that is none.
var nowhere = spgPlace{block: invalidBlock}

func (at spgPlace) put(t []byte) {
	setTIDBlock(t, at.block)
	put16(t, 4, at.offset)
}

// deadSpg is a tuple that stands where another was (spgFormDeadTuple). Only a
// redirect tells where that went, and by which transaction.
func deadSpg(s spgState, state int, to spgPlace) (t [spgDeadSize]byte) {
	put32(t[:], 0, spgDeadSize<<2|uint32(state))
	nowhere.put(t[spgDeadPointer:])
	if state == spgRedirect {
		to.put(t[spgDeadPointer:])
		if !faults.On || !faults.Hit(faults.RedoSpgXID) {
			put32(t[:], spgDeadXID, s.xid)
		}
	}
	return t
}

// countDeadSpg counts a tuple that became one of a state.
func countDeadSpg(p *Page, state int) bool {
	switch state {
	case spgRedirect:
		return spgCount(p, spgRedirects, 1)
	case spgPlaceholder:
		return spgCount(p, spgPlaceholders, 1)
	}
	return true
}

// buryItems puts dead tuples in the places of those that list names, u16
// offset numbers in any order: one of state first where the first of the list
// was, of state rest elsewhere (spgPageIndexMultiDelete). The new tuples come
// to lie in the order of their offset numbers.
func (a *Applier) buryItems(p *Page, list []byte, s spgState, first, rest int, to spgPlace) bool {
	if len(list) == 0 {
		return true
	}
	var order [maxIndexItems]uint16
	var sorted [2 * maxIndexItems]byte
	count := len(list) / 2
	if count > maxIndexItems {
		return false
	}
	for i := range count {
		order[i] = u16(list, 2*i)
	}
	slices.Sort(order[:count])
	for i, n := range order[:count] {
		put16(sorted[:], 2*i, n)
	}
	if !a.deleteItems(p, sorted[:2*count]) {
		return false
	}
	head := u16(list, 0)
	for _, n := range order[:count] {
		state := rest
		if n == head {
			state = first
		}
		t := deadSpg(s, state, to)
		if !addItem(p, t[:], int(n)) || !countDeadSpg(p, state) {
			return false
		}
	}
	return true
}

// linkSpg points node number node of the inner tuple at n to a place
// (spgUpdateNodeLink).
func linkSpg(p *Page, n, node int, to spgPlace) bool {
	t, ok := item(p, n)
	if !ok || len(t) < spgInnerHeader {
		return false
	}
	head := u32(t, 0)
	if node >= int(head>>3&0x1FFF) {
		return false
	}
	nodes := cursor{b: t[spgInnerHeader:]}
	nodes.take(int(head >> 16)) // the prefix
	for ; node > 0; node-- {
		size, ok := tupleSize(nodes.b)
		if !ok {
			return false
		}
		nodes.take(size)
	}
	link := nodes.take(tidSize)
	if nodes.bad {
		return false
	}
	if !faults.On || !faults.Hit(faults.RedoSpgLink) {
		to.put(link)
	}
	return true
}
