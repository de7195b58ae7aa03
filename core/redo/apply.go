package redo

import (
	"xenon/core"
	"xenon/core/wal"
)

// A Page is one page of a relation or an SLRU.
type Page = [core.PageSize]byte

// An Outcome tells what a record did to a page.
type Outcome uint8

// The outcomes (src/include/access/xlogutils.h, XLogRedoAction).
const (
	Redone    Outcome = iota + 1 // changed by the record's own redo
	Restored                     // replaced by the image in the record
	Newer                        // left alone: its LSN is not below the record's end
	Untouched                    // left alone: the record names the block for its lock only
)

// An Applier replays records onto pages. It holds the scratch memory of redo,
// so that applying allocates nothing; one Applier is for one goroutine at a
// time. The zero value is ready.
type Applier struct {
	// LogHints tells that the cluster that wrote the WAL had wal_log_hints or
	// data checksums on: only then does Heap2/VISIBLE move a heap page's LSN.
	LogHints bool

	scratch Page
}

// Apply brings page, which is the block blk of rec names, to the version after
// rec. A page never written is all zeroes. blk must be one of rec.Blocks.
//
// The page gets rec.End as its LSN unless it is left alone. On any error the
// page is undefined. The errors are [ErrStored], [ErrUnknown], [ErrMalformed]
// and [ErrNoPage], in a [*RecordError].
func (a *Applier) Apply(page *Page, rec *wal.Record, blk *wal.Block) (Outcome, error) {
	return 0, failPage(rec, blk, ErrStored, "")
}

// WillInit tells whether rec makes the block from nothing, so that no older
// version of it is needed: redo initialises it or restores an image.
func WillInit(rec *wal.Record, blk *wal.Block) bool {
	return blk.WillInit || blk.ApplyImage
}

// PageLSN is the LSN in the header of a relation's page: the end of the last
// record that changed it.
func PageLSN(p *Page) core.LSN { return core.LSN(u32(p[:], 0))<<32 | core.LSN(u32(p[:], 4)) }

// IsNew tells whether the page was never initialised (PageIsNew: pd_upper 0).
func IsNew(p *Page) bool { return u16(p[:], pdUpper) == 0 }
