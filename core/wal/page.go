package wal

import (
	"encoding/binary"
	"fmt"

	"xenon/core"
)

// Sizes and flags of page headers (src/include/access/xlog_internal.h,
// XLogPageHeaderData and XLogLongPageHeaderData).
const (
	// ShortHeaderSize is the bytes of the header of every page but a segment's
	// first.
	ShortHeaderSize = 24
	// LongHeaderSize is the bytes of the header of a segment's first page.
	LongHeaderSize = 40

	// FirstIsContRecord: the page begins with the rest of an earlier record.
	FirstIsContRecord = 0x0001
	// LongHeader: the page is the first of its segment.
	LongHeader = 0x0002
	// BackupRemovable: no record of the page needs its images kept.
	BackupRemovable = 0x0004
	// FirstIsOverwriteContRecord: the page takes the place of one that was lost
	// with the rest of a record; that record never happened.
	FirstIsOverwriteContRecord = 0x0008

	allPageFlags = 0x000F
)

// MinSegmentSize is the smallest segment that is read or written. PostgreSQL's
// own is 1 MiB; simulations have smaller ones, so that WAL crosses from one to
// the next often and costs little. No message of the walproposer protocol, of
// 128 KiB at most, may lie on more than two.
const MinSegmentSize = 128 << 10

// A Format says whose WAL is read or written. Its zero fields match anything
// when reading, but Version and SegmentSize are always needed.
type Format struct {
	Version     *Version
	SegmentSize uint32 // bytes, a power of two from MinSegmentSize to 1 GiB
	SystemID    uint64 // 0: not checked
	// TimelineID is PostgreSQL's timeline, which is 1 for all WAL that xenon
	// makes. 0 is not checked when reading, and written as 1.
	TimelineID uint32
}

// Check tells what is wrong with the format itself.
func (f Format) Check() error {
	if f.Version == nil {
		return fmt.Errorf("WAL format without a PostgreSQL version")
	}
	s := f.SegmentSize
	if s < MinSegmentSize || s > 1<<30 || s&(s-1) != 0 {
		return fmt.Errorf("WAL segment size %d: want a power of two from %d KiB to 1 GiB", s, MinSegmentSize>>10)
	}
	return nil
}

// HeaderSize is the bytes of the header of the page that begins at page.
func (f Format) HeaderSize(page core.LSN) int {
	if page.SegmentOffset(f.SegmentSize) == 0 {
		return LongHeaderSize
	}
	return ShortHeaderSize
}

// RoundUp is the first LSN from l on at which a record may be said to begin:
// aligned to 8, and not inside a page header. A page boundary stays, as the
// end of a record that fills its page does. A branch at l begins there, whether
// that is a record's end or not, and holds the records that end there or before.
func (f Format) RoundUp(l core.LSN) core.LSN {
	l = l.Align()
	page := pageOf(l)
	if l == page {
		return l
	}
	return max(l, page+core.LSN(f.HeaderSize(page)))
}

// RecordStart is where a record that is appended at l begins: like RoundUp,
// but past the header of a page that begins at l.
func (f Format) RecordStart(l core.LSN) core.LSN {
	l = f.RoundUp(l)
	if pageOf(l) == l {
		l += core.LSN(f.HeaderSize(l))
	}
	return l
}

// RoundDown is the beginning of the page if l lies in the page's header, else
// l. No record ends in between.
func (f Format) RoundDown(l core.LSN) core.LSN {
	if page := pageOf(l); l <= page+core.LSN(f.HeaderSize(page)) {
		return page
	}
	return l
}

// Reached tells whether a log whose last record ends at last has every record
// that ends at or before l.
func (f Format) Reached(last, l core.LSN) bool { return last >= f.RoundDown(l) }

func pageOf(l core.LSN) core.LSN { return l &^ (core.WALPageSize - 1) }

// pageRoom is the bytes from l to the end of its page; l is past the header.
func pageRoom(l core.LSN) int { return core.WALPageSize - int(l&(core.WALPageSize-1)) }

// segmentEnd is the first segment boundary at or after l.
func (f Format) segmentEnd(l core.LSN) core.LSN {
	s := core.LSN(f.SegmentSize)
	return (l + s - 1) &^ (s - 1)
}

// A PageHeader is the header of one WAL page. The last two fields are those of
// a long header.
type PageHeader struct {
	Magic      uint16
	Info       uint16
	TimelineID uint32
	PageAddr   core.LSN
	RemLen     uint32 // bytes of the record that continues from the page before

	SystemID    uint64
	SegmentSize uint32
}

// appendPageHeader appends the header of the page at page.
func (f Format) appendPageHeader(dst []byte, page core.LSN, info uint16, rem uint32) []byte {
	le := binary.LittleEndian
	long := f.HeaderSize(page) == LongHeaderSize
	if long {
		info |= LongHeader
	}
	dst = le.AppendUint16(dst, f.Version.Magic)
	dst = le.AppendUint16(dst, info)
	dst = le.AppendUint32(dst, max(f.TimelineID, 1))
	dst = le.AppendUint64(dst, uint64(page))
	dst = le.AppendUint32(dst, rem)
	dst = le.AppendUint32(dst, 0)
	if long {
		dst = le.AppendUint64(dst, f.SystemID)
		dst = le.AppendUint32(dst, f.SegmentSize)
		dst = le.AppendUint32(dst, core.WALPageSize)
	}
	return dst
}

// ParsePageHeader reads the header of the page that stands at page, and checks
// that it is a page of this WAL at this place. b holds at least
// f.HeaderSize(page) bytes. The error is an [*InvalidError].
func (f Format) ParsePageHeader(b []byte, page core.LSN) (PageHeader, error) {
	le := binary.LittleEndian
	size := f.HeaderSize(page)
	if len(b) < size {
		return PageHeader{}, invalid(BadPage, page, "page header of %d bytes, want %d", len(b), size)
	}
	h := PageHeader{
		Magic: le.Uint16(b), Info: le.Uint16(b[2:]), TimelineID: le.Uint32(b[4:]),
		PageAddr: core.LSN(le.Uint64(b[8:])), RemLen: le.Uint32(b[16:]),
	}
	if err := f.checkPage(h, page); err != nil {
		if h == (PageHeader{}) {
			return h, invalid(Zeroes, page, "page of zeroes")
		}
		return h, err
	}
	if size == LongHeaderSize {
		h.SystemID, h.SegmentSize = le.Uint64(b[24:]), le.Uint32(b[32:])
		return h, f.checkLong(h, le.Uint32(b[36:]), page)
	}
	return h, nil
}

func (f Format) checkPage(h PageHeader, page core.LSN) error {
	switch {
	case h.Magic != f.Version.Magic:
		if _, err := VersionByMagic(h.Magic); err != nil {
			return invalid(BadPage, page, "%v", err)
		}
		return invalid(BadPage, page, "page magic %04X, want %04X", h.Magic, f.Version.Magic)
	case h.Info&^allPageFlags != 0:
		return invalid(BadPage, page, "unknown page flags %04X", h.Info)
	case (h.Info&LongHeader != 0) != (f.HeaderSize(page) == LongHeaderSize):
		return invalid(BadPage, page, "page flags %04X: a long header stands on a segment's first page and nowhere else", h.Info)
	case h.PageAddr != page:
		return invalid(BadPage, page, "page says it is at %s", h.PageAddr)
	case f.TimelineID != 0 && h.TimelineID != f.TimelineID:
		return invalid(BadPage, page, "page of PostgreSQL timeline %d, want %d", h.TimelineID, f.TimelineID)
	case h.Info&FirstIsContRecord != 0 && h.RemLen == 0:
		return invalid(BadPage, page, "page continues a record of which no byte is left")
	}
	return nil
}

func (f Format) checkLong(h PageHeader, blockSize uint32, page core.LSN) error {
	switch {
	case f.SystemID != 0 && h.SystemID != f.SystemID:
		return invalid(BadPage, page, "WAL of system %d, want %d", h.SystemID, f.SystemID)
	case h.SegmentSize != f.SegmentSize:
		return invalid(BadPage, page, "WAL in segments of %d bytes, want %d", h.SegmentSize, f.SegmentSize)
	case blockSize != core.WALPageSize:
		return invalid(BadPage, page, "WAL in pages of %d bytes, want %d", blockSize, core.WALPageSize)
	}
	return nil
}
