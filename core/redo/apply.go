package redo

import (
	"xenon/core"
	"xenon/core/faults"
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
	// Managers is the redo of extensions; nil if there are none.
	Managers *Managers

	scratch Page
}

// Apply brings page, which is the block blk of rec names, to the version after
// rec. A page never written is all zeroes. blk must be one of rec.Blocks.
//
// The page gets rec.End as its LSN unless it is left alone. On any error the
// page is undefined. The errors are [ErrUnknown], [ErrMalformed] and
// [ErrNoPage], in a [*RecordError].
func (a *Applier) Apply(page *Page, rec *wal.Record, blk *wal.Block) (Outcome, error) {
	if blk.ApplyImage {
		return Restored, restore(page, rec, blk)
	}
	if LockOnly(rec, blk) || hintOnly(rec) {
		return Untouched, nil
	}
	switch {
	case blk.WillInit:
		clear(page[:])
	case IsNew(page):
		// Only the visibility map is read as if empty where it was never written.
		if blk.Rel.Fork != core.VMFork {
			return 0, failPage(rec, blk, ErrNoPage, "")
		}
	case PageLSN(page) >= rec.End:
		return Newer, nil
	case !sane(page):
		return 0, failPage(rec, blk, ErrMalformed, "pointers in the page header are out of order")
	}
	if isVisible(rec) {
		if !a.redoVisible(page, rec, blk) {
			return 0, failPage(rec, blk, ErrMalformed, "")
		}
		return Redone, nil
	}
	if err := a.redo(page, rec, blk); err != nil {
		return 0, err
	}
	setLSN(page, rec.End)
	return Redone, nil
}

// redo hands the page to the record's manager.
func (a *Applier) redo(page *Page, rec *wal.Record, blk *wal.Block) error {
	ok := false
	switch rec.Rmgr {
	case wal.RmgrHeap:
		ok = redoHeap(page, rec, blk)
	case wal.RmgrHeap2:
		ok = a.redoHeap2(page, rec, blk)
	case wal.RmgrBtree:
		ok = a.redoBtree(page, rec, blk)
	case wal.RmgrGin:
		ok = a.redoGin(page, rec, blk)
	case wal.RmgrGist:
		ok = a.redoGist(page, rec, blk)
	case wal.RmgrHash:
		ok = a.redoHash(page, rec, blk)
	case wal.RmgrSPGist:
		ok = a.redoSpgist(page, rec, blk)
	case wal.RmgrBrin:
		ok = redoBrin(page, rec, blk)
	case wal.RmgrGeneric:
		ok = redoGeneric(page, blk)
	case wal.RmgrSeq:
		ok = redoSeq(page, rec)
	default:
		if rec.Rmgr.Custom() {
			return a.redoCustom(page, rec, blk)
		}
		if !rec.KnownOp() {
			return failPage(rec, blk, ErrUnknown, "")
		}
	}
	if !ok {
		return failPage(rec, blk, ErrMalformed, "")
	}
	return nil
}

// restore replaces the page by the record's image of it.
func restore(page *Page, rec *wal.Record, blk *wal.Block) error {
	if err := wal.RestoreImage(blk, page); err != nil {
		return failPage(rec, blk, ErrMalformed, err.Error())
	}
	if gistLeftChild(rec, blk) && !(faults.On && faults.Hit(faults.RedoGistImageKept)) && !clearFollowRight(page, rec.End) {
		return failPage(rec, blk, ErrMalformed, "the image is not of a Gist page")
	}
	if !IsNew(page) {
		setLSN(page, rec.End)
	}
	if !hashRestored(page, rec, blk) {
		return failPage(rec, blk, ErrMalformed, "the image is not of a Hash page")
	}
	return nil
}

// WillInit tells whether rec makes the block from nothing, so that no older
// version of it is needed: redo initialises it or restores an image.
func WillInit(rec *wal.Record, blk *wal.Block) bool { return blk.WillInit || blk.ApplyImage }

// NeedsBase tells whether the block must have an older version: rec neither
// initialises it nor brings its image. Where such a block lies at or past the
// end of its fork, every block from the old end through this one, this one
// included, has a page of zeroes as its base; any other block past the end
// needs that for the blocks before it only.
func NeedsBase(rec *wal.Record, blk *wal.Block) bool { return !WillInit(rec, blk) }

// PageLSN is the LSN in the header of a relation's page: the end of the last
// record that changed it.
func PageLSN(p *Page) core.LSN { return core.LSN(u32(p[:], 0))<<32 | core.LSN(u32(p[:], 4)) }

// SetPageLSN writes the LSN into the header of a relation's page.
func SetPageLSN(p *Page, lsn core.LSN) { setLSN(p, lsn) }

// IsNew tells whether the page was never initialised (PageIsNew: pd_upper 0).
func IsNew(p *Page) bool { return u16(p[:], pdUpper) == 0 }
