package wal

import (
	"fmt"

	"xenon/core"
	"xenon/core/faults"
)

// A Boot is what makes a server start at an LSN without recovery: a shutdown
// checkpoint that is the next record of the WAL, the pages it stands on, and
// the control file that names it.
type Boot struct {
	// X is where it was appended, Start where its record begins, End where
	// the next record may begin.
	X, Start, End core.LSN
	// WAL is the bytes from X to End. They are part of the timeline: the
	// proposer offers them as the first WAL of its term.
	WAL []byte
	// Before is what has to stand before X in the segments on which the record
	// lies, if the real bytes are not there. The rest is zeroes.
	Before []Span
	// Control is the control file for a server that starts there.
	Control *Control
}

// A Span is bytes of WAL and where they stand.
type Span struct {
	At    core.LSN
	Bytes []byte
}

// minUnloggedLSN is FirstNormalUnloggedLSN (src/include/access/xlogdefs.h):
// below it a fake LSN would meet those that mean "no LSN".
const minUnloggedLSN = 1000

// ShutdownCheckpoint makes the boot at x, the end of the last record of the
// log. prev is the start of that record: it must be exact where a timeline is
// continued, and is 0 at a branch point. ctl is the cluster's control file as
// it was at any time, with CheckPoint brought up to x (its Redo is set here)
// and CheckPoint.Time the time of the boot; ctl is not changed. The result
// depends on nothing else.
func ShutdownCheckpoint(ctl *Control, x, prev core.LSN) (*Boot, error) {
	f := ctl.Format()
	if err := f.Check(); err != nil {
		return nil, err
	}
	if r := f.RoundUp(x); r != x {
		return nil, fmt.Errorf("boot at %s: no record can begin there, the next place is %s", x, r)
	}
	if prev >= x && x != 0 {
		return nil, fmt.Errorf("boot at %s: the record before it cannot be at %s", x, prev)
	}
	cp := ctl.CheckPoint
	cp.Redo, cp.OldestActive = f.RecordStart(x), 0
	if f.Version.checkPointLevel {
		cp.WALLevel = ctl.WALLevel
	}
	if faults.On && faults.Hit(faults.BootRedoAtX) {
		cp.Redo = x
	}
	rec := Record{Rmgr: RmgrXLOG, Info: XLOGCheckpointShutdown, Main: f.Version.AppendCheckPoint(nil, cp)}
	bytes, err := NewEncoder(f, x, prev).Append(nil, &rec)
	if err != nil {
		return nil, err
	}
	next := *ctl
	next.State, next.Time, next.CheckPoint = StateShutDown, cp.Time, cp
	next.CheckPointLSN, next.MinRecovery = rec.Start, 0
	clear(next.rest[ctlMinRecovery:ctlWALLevel])
	next.UnloggedLSN = max(next.UnloggedLSN, minUnloggedLSN)
	return &Boot{X: x, Start: rec.Start, End: rec.End, WAL: bytes, Before: f.Before(x), Control: &next}, nil
}

// Before is the page headers that a reader at x needs: of the segment's first
// page and of x's page. They say that everything before x is the rest of one
// record.
func (f Format) Before(x core.LSN) []Span {
	segment := core.SegmentStart(x.Segment(f.SegmentSize), f.SegmentSize)
	if x == segment {
		return nil
	}
	spans := []Span{f.contHeader(segment, x)}
	if page := pageOf(x); page != segment && page != x {
		spans = append(spans, f.contHeader(page, x))
	}
	return spans
}

// Filled is Before with a header on every page from the segment's start to x:
// for those who read the segment page by page.
func (f Format) Filled(x core.LSN) []Span {
	var spans []Span
	for page := core.SegmentStart(x.Segment(f.SegmentSize), f.SegmentSize); page < x; page += core.WALPageSize {
		spans = append(spans, f.contHeader(page, x))
	}
	return spans
}

// contHeader is the header of a page that continues a record up to x.
func (f Format) contHeader(page, x core.LSN) Span {
	first := page + core.LSN(f.HeaderSize(page))
	rem := uint32(x - first)
	if pages := (x - 1 - page) / core.WALPageSize; x > first && pages > 0 {
		// The headers of the pages between are not part of the record. The end
		// of a page has no header of the next one before it.
		rem -= uint32(pages) * ShortHeaderSize
	}
	info := uint16(0)
	if rem > 0 {
		info = FirstIsContRecord
	}
	return Span{page, f.appendPageHeader(nil, page, info, rem)}
}
