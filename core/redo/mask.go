package redo

import (
	"xenon/core"
	"xenon/core/wal"
)

// Mask overwrites the bytes of a page that replay is free to differ in, as the
// manager's rm_mask does for block number block (src/backend/access/common/bufmask.c and the *_mask
// functions): mask both sides, then compare all bytes. The page of a record
// without a mask stays as it is.
//
// It hides the whole content of a visibility map page; compare those raw from
// byte 24 on.
func Mask(p *Page, id wal.RmgrID, block uint32) {
	switch id {
	case wal.RmgrHeap, wal.RmgrHeap2:
		maskHeap(p, block)
	case wal.RmgrBtree:
		maskBtree(p)
	case wal.RmgrHash:
		maskHash(p)
	case wal.RmgrGin:
		maskGin(p)
	case wal.RmgrGist:
		maskGist(p)
	case wal.RmgrSeq, wal.RmgrGeneric:
		maskLSN(p)
		maskUnused(p)
	case wal.RmgrSPGist:
		maskSpgist(p)
	case wal.RmgrBrin:
		maskBrin(p)
	}
}

// maskLSN hides the LSN and the checksum.
func maskLSN(p *Page) { clear(p[:pdFlags]) }

// maskHints hides the hints of the header: what may be pruned, and flags.
func maskHints(p *Page) {
	setPruneXID(p, 0)
	clearFlags(p, flagHasFreeLines|flagPageFull|flagAllVisible)
}

// maskUnused hides the hole.
func maskUnused(p *Page) {
	if lo, hi := lower(p), upper(p); lo >= headerSize && lo <= hi && hi <= special(p) && special(p) <= core.PageSize {
		clear(p[lo:hi])
	}
}

func maskCommon(p *Page) {
	maskLSN(p)
	maskHints(p)
	maskUnused(p)
}

func maskHeap(p *Page, block uint32) {
	maskCommon(p)
	for n := 1; n <= maxOffset(p) && headerSize+n*itemSize <= core.PageSize; n++ {
		it := itemAt(p, n)
		if !it.hasStorage() || it.off()+it.len() > core.PageSize {
			continue
		}
		if it.flags() == lpNormal && it.len() >= tupleHeader {
			maskTuple(tuple(p[it.off():it.off()+it.len()]), block, uint16(n))
		}
		// Padding behind a tuple is whatever was there before.
		end := it.off() + it.len()
		clear(p[end:min(it.off()+maxAlign(it.len()), core.PageSize)])
	}
}

func maskTuple(t tuple, block uint32, n uint16) {
	const xminFrozen, xmaxHints, hints = 0x0300, 0x0C00, 0xFFF0
	if t.mask()&xminFrozen != xminFrozen {
		t.setMask(t.mask() &^ hints)
	} else {
		t.setMask(t.mask() &^ xmaxHints) // frozen is no hint
	}
	put32(t, tCID, 0)
	if u16(t, tCtid+4) == specTokenOffset {
		// A speculative insertion's token is not logged; redo points it at itself.
		t.setCtid(block, n)
	}
}

// specTokenOffset is SpecTokenOffsetNumber (src/include/access/htup_details.h).
const specTokenOffset = 0xFFFE

// maskItemFlags hides the flags of line pointers, where dead is a hint.
func maskItemFlags(p *Page) {
	for n := 1; n <= maxOffset(p) && headerSize+n*itemSize <= core.PageSize; n++ {
		if it := itemAt(p, n); it.flags() != lpUnused {
			setItem(p, n, makeItem(it.off(), lpUnused, it.len()))
		}
	}
}

func maskBtree(p *Page) {
	maskCommon(p)
	o, ok := opaque(p)
	if !ok {
		return
	}
	if o.flags()&btpLeaf != 0 {
		maskItemFlags(p)
	}
	o.clearFlags(btpHasGarbage | btpSplitEnd)
	o.setCycle(0)
}

// maskContent hides everything but the header, and where the hole is
// (mask_page_content): the special space too.
func maskContent(p *Page) {
	clear(p[headerSize:])
	setLower(p, 0)
	setUpper(p, 0)
}

// specialOf is the special space if it has size bytes.
func specialOf(p *Page, size int) ([]byte, bool) {
	if special(p)+size != core.PageSize {
		return nil, false
	}
	return p[special(p):], true
}
