package redo

import (
	"xenon/core"
	"xenon/core/faults"
	"xenon/core/wal"
)

// Opcodes of Gist (src/include/access/gistxlog.h). ASSIGN_LSN and PAGE_REUSE,
// which only a hot standby heeds, name no block.
const (
	gistPageUpdate = 0x00
	gistDelete     = 0x10
	gistPageReuse  = 0x20
	gistPageSplit  = 0x30
	gistPageDelete = 0x60
	gistAssignLSN  = 0x70
)

// The special space of a Gist page (src/include/access/gist.h,
// GISTPageOpaqueData), and its flags.
const (
	gistOpaqueSize = 16
	gistNSN        = 0 // as an LSN in a page header: the high half first
	gistRight      = 8
	gistFlags      = 12
	gistPageID     = 14

	gistLeaf          = 1 << 0
	gistDeleted       = 1 << 1
	gistTuplesDeleted = 1 << 2
	gistFollowRight   = 1 << 3 // the page to the right has no downlink yet
	gistHasGarbage    = 1 << 4

	gistRoot = 0 // GIST_ROOT_BLKNO
)

// A gistOpaque is the special space of a Gist page.
type gistOpaque []byte

// gistOpaqueOf is the special space if the page has one of Gist's size.
func gistOpaqueOf(p *Page) (gistOpaque, bool) { return specialOf(p, gistOpaqueSize) }

func (o gistOpaque) flags() uint16          { return u16(o, gistFlags) }
func (o gistOpaque) isLeaf() bool           { return o.flags()&gistLeaf != 0 }
func (o gistOpaque) setRight(block uint32)  { put32(o, gistRight, block) }
func (o gistOpaque) setFlags(set uint16)    { put16(o, gistFlags, o.flags()|set) }
func (o gistOpaque) clearFlags(gone uint16) { put16(o, gistFlags, o.flags()&^gone) }

// setNSN sets the node sequence number: the LSN at which the page was split.
func (o gistOpaque) setNSN(nsn core.LSN) {
	put32(o, gistNSN, uint32(nsn>>32))
	put32(o, gistNSN+4, uint32(nsn))
}

// initGist makes an empty page and returns its special space (gistinitpage).
func initGist(p *Page, flags uint16) gistOpaque {
	initPage(p, gistOpaqueSize)
	o := gistOpaque(p[special(p):])
	o.setRight(noBlock)
	o.setFlags(flags)
	put16(o, gistPageID, pageIDGist)
	return o
}

// redoGist changes one page by a Gist record.
func (a *Applier) redoGist(p *Page, rec *wal.Record, blk *wal.Block) bool {
	c := cursor{b: rec.Main}
	switch rec.Op() {
	case gistPageUpdate, gistPageSplit:
		if gistLeftChild(rec, blk) {
			return clearFollowRight(p, rec.End)
		}
		if rec.Op() == gistPageUpdate {
			return blk.ID == 0 && a.redoGistUpdate(p, blk, c)
		}
		return redoGistSplit(p, rec, blk, c)
	case gistDelete:
		return blk.ID == 0 && a.redoGistDelete(p, rec, c)
	case gistPageDelete:
		return redoGistPageDelete(p, blk, c)
	}
	return false
}

// gistLeftChild tells whether the block is the left half of a split that the
// record completes: there is a downlink for the right half now.
func gistLeftChild(rec *wal.Record, blk *wal.Block) bool {
	if rec.Rmgr != wal.RmgrGist {
		return false
	}
	return rec.Op() == gistPageUpdate && blk.ID == 1 || rec.Op() == gistPageSplit && blk.ID == 0
}

// clearFollowRight notes on the left half of a split that scans need not go
// right any more, unless they came down before nsn. An image of the page in
// the record was taken before that, so this follows a restored one too.
func clearFollowRight(p *Page, nsn core.LSN) bool {
	o, ok := gistOpaqueOf(p)
	if !ok {
		return false
	}
	if faults.On && faults.Hit(faults.RedoGistKeepFollowRight) {
		return true
	}
	o.setNSN(nsn)
	o.clearFlags(gistFollowRight)
	return true
}

// redoGistUpdate deletes and adds tuples. The block's data are the offset
// numbers of those that go, and the new ones. One for one is a replacement in
// place; it alone does not mark a leaf.
func (a *Applier) redoGistUpdate(p *Page, blk *wal.Block, c cursor) bool {
	deleted, added := int(c.u16()), int(c.u16())
	d := cursor{b: blk.Data}
	gone := d.take(2 * deleted)
	o, ok := gistOpaqueOf(p)
	if c.bad || d.bad || !ok {
		return false
	}
	if deleted == 1 && added == 1 && !(faults.On && faults.Hit(faults.RedoGistNoOverwrite)) {
		size, ok := tupleSize(d.b)
		return ok && size == len(d.b) && overwriteItem(p, int(u16(gone, 0)), d.b)
	}
	if deleted > 0 {
		if !a.deleteItems(p, gone) {
			return false
		}
		if o.isLeaf() && !(faults.On && faults.Hit(faults.RedoGistUnmarked)) {
			o.setFlags(gistTuplesDeleted)
		}
	}
	return appendTuples(p, d.b, added)
}

// redoGistDelete removes tuples of a leaf that a scan found to be dead.
func (a *Applier) redoGistDelete(p *Page, rec *wal.Record, c cursor) bool {
	_, deleted := c.u32(), int(c.u16()) // conflict horizon, count
	if gistDeleteHasCatalogFlag(rec) {
		c.take(2) // isCatalogRel, and padding
	}
	gone := c.take(2 * deleted)
	o, ok := gistOpaqueOf(p)
	if faults.On && faults.Hit(faults.RedoGistDeleteLess) && deleted > 1 {
		gone = gone[2:]
	}
	if c.bad || !ok || !a.deleteItems(p, gone) {
		return false
	}
	o.clearFlags(gistHasGarbage)
	o.setFlags(gistTuplesDeleted)
	return true
}

// gistDeleteHasCatalogFlag tells whether offset numbers in a DELETE come behind
// a flag for logical decoding on standbys (gistxlogDelete).
func gistDeleteHasCatalogFlag(rec *wal.Record) bool { return rec.Major() >= 16 }

// redoGistPageDelete empties a leaf, block 0, for good and takes its downlink
// out of the parent, block 1.
func redoGistPageDelete(p *Page, blk *wal.Block, c cursor) bool {
	xid, downlink := c.u64(), int(c.u16())
	o, ok := gistOpaqueOf(p)
	if c.bad || !ok {
		return false
	}
	switch blk.ID {
	case 0:
		if upper(p) < headerSize+8 {
			return false
		}
		o.setFlags(gistDeleted)
		setLower(p, headerSize+8)
		put64(p[:], headerSize, xid) // the last that may come by (GISTDeletedPageContents)
		return true
	case 1:
		return faults.On && faults.Hit(faults.RedoGistKeepDownlink) || deleteItem(p, downlink)
	}
	return false
}

// A gistSplit is gistxlogPageSplit.
type gistSplit struct {
	right       uint32   // the page to the right before the split
	nsn         core.LSN // of the page before the split
	leaf        bool
	pages       int
	followRight bool
}

func readGistSplit(c *cursor) gistSplit {
	var s gistSplit
	s.right, _ = c.u32(), c.u32()
	s.nsn = core.LSN(c.u64())
	s.leaf, _ = c.u8() != 0, c.u8()
	s.pages = int(c.u16())
	s.followRight = c.u8() != 0
	return s
}

// redoGistSplit makes one of the pages that a page was split into: blocks 1
// and up, the original first. Its data are a count and that many tuples.
func redoGistSplit(p *Page, rec *wal.Record, blk *wal.Block, c cursor) bool {
	s := readGistSplit(&c)
	first := rec.Block(1)
	if c.bad || first == nil || int(blk.ID) > s.pages {
		return false
	}
	isRoot, last := blk.Block == gistRoot, int(blk.ID) == s.pages
	var flags uint16
	if s.leaf && !isRoot {
		flags = gistLeaf
	}
	o := initGist(p, flags)
	o.setNSN(s.nsn)
	d := cursor{b: blk.Data}
	count := int32(d.u32())
	if d.bad || !appendTuples(p, d.b, int(count)) {
		return false
	}
	switch {
	case isRoot:
		// The root has nothing to its right, and its children have downlinks.
	case last:
		o.setRight(s.right)
	default:
		next := rec.Block(blk.ID + 1)
		if next == nil {
			return false
		}
		o.setRight(next.Block)
		if faults.On && faults.Hit(faults.RedoGistSplitLink) {
			o.setRight(s.right)
		}
		if s.followRight && first.Block != gistRoot {
			o.setFlags(gistFollowRight)
		}
	}
	return true
}
