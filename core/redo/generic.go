package redo

import (
	"xenon/core"
	"xenon/core/faults"
	"xenon/core/wal"
)

// redoGeneric puts the pieces of a page that the block's data bring, each with
// its offset and length, where they belong (src/backend/access/transam/
// generic_xlog.c). What lies in the hole is in no piece: it becomes zeroes, as
// it did on the primary.
func redoGeneric(p *Page, blk *wal.Block) bool {
	d := cursor{b: blk.Data}
	for len(d.b) > 0 {
		at, size := int(d.u16()), int(d.u16())
		piece := d.take(size)
		if d.bad || at+size > core.PageSize {
			return false
		}
		if faults.On {
			at, piece = wrongPiece(at, piece, len(d.b) == 0)
		}
		copy(p[at:], piece)
	}
	if !sane(p) {
		return false
	}
	if !faults.On || !faults.Hit(faults.RedoGenericHole) {
		clear(p[lower(p):upper(p)])
	}
	return true
}

// wrongPiece is what the planted faults make of a piece.
func wrongPiece(at int, piece []byte, last bool) (int, []byte) {
	switch {
	case faults.Hit(faults.RedoGenericLast) && last, faults.Hit(faults.RedoGenericFirst) && at < headerSize:
		piece = nil
	case faults.Hit(faults.RedoGenericShort) && len(piece) > 0:
		piece = piece[:len(piece)-1]
	case faults.Hit(faults.RedoGenericShift) && at >= headerSize && at+len(piece) < core.PageSize:
		at++
	}
	return at, piece
}
