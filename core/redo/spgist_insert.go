package redo

import (
	"xenon/core/faults"
	"xenon/core/wal"
)

// A spgDownlink is where a parent has the link to what a record moved.
type spgDownlink struct {
	tuple int // offset number of the inner tuple
	node  int // which of its nodes
}

func readSpgDownlink(c *cursor) spgDownlink {
	return spgDownlink{tuple: int(c.u16()), node: int(c.u16())}
}

func (d spgDownlink) set(p *Page, to spgPlace) bool { return linkSpg(p, d.tuple, d.node, to) }

// redoSpgAddLeaf adds a leaf tuple to block 0. If that begins or moves a chain
// block 1 has the downlink to it.
func redoSpgAddLeaf(p *Page, rec *wal.Record, blk *wal.Block, c cursor) bool {
	newPage, nulls := c.u8() != 0, c.u8() != 0
	n, head := c.u16(), c.u16()
	parent := readSpgDownlink(&c)
	tuple := takeSpgLeaf(&c)
	leaf := rec.Block(0)
	if c.bad || leaf == nil {
		return false
	}
	switch {
	case blk.ID == 1:
		return parent.set(p, spgPlace{leaf.Block, n})
	case blk.ID != 0:
		return false
	}
	if newPage {
		initSpg(p, spgLeafFlags(nulls))
	}
	if n == head { // in the place of a dead tuple
		return replaceItem(p, tuple, int(n))
	}
	return addSpg(p, tuple, int(n)) && (head == 0 || chainSpg(p, int(head), n))
}

// chainSpg makes next the tuple after leaf tuple n.
func chainSpg(p *Page, n int, next uint16) bool {
	t, ok := item(p, n)
	if !ok || len(t) < spgDeadSize {
		return false
	}
	if !faults.On || !faults.Hit(faults.RedoSpgChain) {
		put16(t, spgLeafNext, u16(t, spgLeafNext)&^spgNextMask|next&spgNextMask)
	}
	return true
}

// redoSpgMoveLeafs moves a chain of leaf tuples from block 0 to block 1 to make
// place for one more; block 2 has the downlink. A dead tuple is not moved.
func (a *Applier) redoSpgMoveLeafs(p *Page, rec *wal.Record, blk *wal.Block, c cursor) bool {
	moves, newPage, replaceDead, nulls, _ := int(c.u16()), c.u8() != 0, c.u8() != 0, c.u8() != 0, c.u8()
	parent, _ := readSpgDownlink(&c), c.u16()
	state := readSpgState(&c)
	inserts := moves + 1
	if replaceDead {
		inserts = 1
	}
	gone, places := c.take(2*moves), c.take(2*inserts)
	dest := rec.Block(1)
	if c.bad || dest == nil {
		return false
	}
	to := spgPlace{dest.Block, u16(places, 2*(inserts-1))}
	switch blk.ID {
	case 0:
		first := spgRedirect
		if state.build {
			first = spgPlaceholder
		}
		return a.buryItems(p, gone, state, first, spgPlaceholder, to)
	case 1:
		if newPage {
			initSpg(p, spgLeafFlags(nulls))
		}
		for ; len(places) > 0; places = places[2:] {
			tuple := takeSpgLeaf(&c)
			if c.bad || !addSpg(p, tuple, int(u16(places, 0))) {
				return false
			}
		}
		return true
	case 2:
		return parent.set(p, to)
	}
	return false
}

// A spgAdd is spgxlogAddNode.
type spgAdd struct {
	old, new int  // offset numbers of the tuple before and after
	newPage  bool // the tuple goes to a page made for it
	parentAt int8 // block of the record that has the downlink, -1 for none
	parent   spgDownlink
	state    spgState
	tuple    []byte
}

func readSpgAdd(c *cursor) spgAdd {
	s := spgAdd{old: int(c.u16()), new: int(c.u16()), newPage: c.u8() != 0, parentAt: int8(c.u8())}
	s.parent = readSpgDownlink(c)
	c.take(2)
	s.state = readSpgState(c)
	s.tuple = takeSpgInner(c)
	return s
}

// redoSpgAddNode replaces an inner tuple on block 0 by one with a node more.
// Where that does not fit it goes to block 1; then block 0, 1 or 2 has the
// downlink.
func redoSpgAddNode(p *Page, rec *wal.Record, blk *wal.Block, c cursor) bool {
	s := readSpgAdd(&c)
	dest := rec.Block(1)
	switch {
	case c.bad:
		return false
	case dest == nil:
		return blk.ID == 0 && replaceItem(p, s.tuple, s.old)
	}
	to := spgPlace{dest.Block, uint16(s.new)}
	done := false
	switch blk.ID {
	case 0:
		done = s.leave(p, to)
	case 1:
		if s.newPage {
			initSpg(p, 0)
		}
		done = addSpg(p, s.tuple, s.new)
	case 2:
		done = s.parentAt == 2
	}
	return done && (int8(blk.ID) != s.parentAt || s.parent.set(p, to))
}

// leave puts a redirect where the tuple was.
func (s *spgAdd) leave(p *Page, to spgPlace) bool {
	state := spgRedirect
	if s.state.build {
		state = spgPlaceholder
	}
	t := deadSpg(s.state, state, to)
	return replaceItem(p, t[:], s.old) && countDeadSpg(p, state)
}

// redoSpgSplitTuple replaces an inner tuple on block 0 by two, one of which
// has what is left of its prefix and may go to block 1.
func redoSpgSplitTuple(p *Page, blk *wal.Block, c cursor) bool {
	prefixAt, postfixAt := int(c.u16()), int(c.u16())
	newPage, samePage := c.u8() != 0, c.u8() != 0
	prefix, postfix := takeSpgInner(&c), takeSpgInner(&c)
	switch {
	case c.bad:
		return false
	case blk.ID == 0:
		return replaceItem(p, prefix, prefixAt) && (!samePage || addSpg(p, postfix, postfixAt))
	case blk.ID == 1 && !samePage:
		if newPage {
			initSpg(p, 0)
		}
		return addSpg(p, postfix, postfixAt)
	}
	return false
}

// A spgPick is spgxlogPickSplit.
type spgPick struct {
	initSrc, initDest, initInner bool
	innerAt                      int // offset number of the new inner tuple
	nulls                        bool
	innerIsParent                bool
	parent                       spgDownlink
	state                        spgState
	gone, places, onDest, inner  []byte
	leafs                        cursor
}

func readSpgPick(c *cursor) spgPick {
	c.take(2) // whether the root is split shows in the blocks
	deletes, inserts := int(c.u16()), int(c.u16())
	s := spgPick{initSrc: c.u8() != 0, initDest: c.u8() != 0, innerAt: int(c.u16()), initInner: c.u8() != 0,
		nulls: c.u8() != 0, innerIsParent: c.u8() != 0}
	c.take(1)
	s.parent = readSpgDownlink(c)
	c.take(2)
	s.state = readSpgState(c)
	s.gone, s.places, s.onDest = c.take(2*deletes), c.take(2*inserts), c.take(inserts)
	s.inner = takeSpgInner(c)
	s.leafs = *c
	return s
}

// redoSpgPickSplit distributes leaf tuples over block 0, where they come from,
// and block 1, below a new inner tuple on block 2. Block 3 has the downlink to
// it unless block 2 has.
func (a *Applier) redoSpgPickSplit(p *Page, rec *wal.Record, blk *wal.Block, c cursor) bool {
	s := readSpgPick(&c)
	inner := rec.Block(2)
	if c.bad || inner == nil {
		return false
	}
	to := spgPlace{inner.Block, uint16(s.innerAt)}
	switch blk.ID {
	case 0:
		return s.source(a, p, to) && s.addLeafs(p, false)
	case 1:
		if s.initDest {
			initSpg(p, spgLeafFlags(s.nulls))
		}
		return s.addLeafs(p, true)
	case 2:
		if s.initInner {
			initSpg(p, spgLeafFlags(s.nulls)&^spgLeaf)
		}
		return addSpg(p, s.inner, s.innerAt) && (!s.innerIsParent || s.parent.set(p, to))
	case 3:
		return s.parent.set(p, to)
	}
	return false
}

// source takes the tuples off the page they come from and leaves a redirect.
func (s *spgPick) source(a *Applier, p *Page, to spgPlace) bool {
	if s.initSrc {
		initSpg(p, spgLeafFlags(s.nulls))
		return true
	}
	first := spgRedirect
	if s.state.build {
		first, to = spgPlaceholder, nowhere
	}
	return a.buryItems(p, s.gone, s.state, first, spgPlaceholder, to)
}

// addLeafs adds those leaf tuples that go to the source or the destination.
func (s *spgPick) addLeafs(p *Page, dest bool) bool {
	leafs := s.leafs
	for i, d := range s.onDest {
		tuple := takeSpgLeaf(&leafs)
		if leafs.bad {
			return false
		}
		if faults.On && faults.Hit(faults.RedoSpgAllSource) {
			d = 0
		}
		if (d != 0) == dest && !addSpg(p, tuple, int(u16(s.places, 2*i))) {
			return false
		}
	}
	return true
}
