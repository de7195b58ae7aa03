package linearizability

import (
	"bytes"
	"fmt"
	"hash/crc32"

	"xenon/core"
)

// A Watermark is an LSN that never falls, such as a commit LSN of one process.
type Watermark struct {
	Name string // for the error
	at   core.LSN
}

// Move notes the LSN's present value.
func (w *Watermark) Move(lsn core.LSN) error {
	if lsn < w.at {
		return fmt.Errorf("%s falls from %s to %s", w.Name, w.at, lsn)
	}
	w.at = lsn
	return nil
}

// At is the highest value noted.
func (w *Watermark) At() core.LSN { return w.at }

// chunk is how much WAL one checksum of a Log covers.
const chunk = 8192

// A Log is the one history that all who know of committed WAL must agree on. It
// remembers bytes of the last chunks and a checksum of each older one, so that
// long runs stay small.
type Log struct {
	begin core.LSN // where the log begins
	sums  []uint32 // of whole chunks from begin on
	tail  []byte   // after them
}

// NewLog makes a log that begins at lsn.
func NewLog(lsn core.LSN) *Log { return &Log{begin: lsn} }

// End is how far anybody has told it.
func (l *Log) End() core.LSN { return l.begin + core.LSN(len(l.sums)*chunk+len(l.tail)) }

// Commit notes that who says WAL up to end is committed. read fills its
// argument with the bytes that who has from at on; it is asked for what
// is new, and for the last whole chunk before, where it must agree with what
// others said.
func (l *Log) Commit(who string, end core.LSN, read func(at core.LSN, p []byte) error) error {
	whole := l.begin + core.LSN(len(l.sums)*chunk)
	known := min(end, whole) - l.begin
	from := l.begin + known/chunk*chunk
	if from > l.begin {
		from -= chunk // a whole one to compare
	}
	got := make([]byte, max(0, int64(end)-int64(from)))
	if err := read(from, got); err != nil {
		return fmt.Errorf("%s cannot read what it calls committed, %s to %s: %w", who, from, end, err)
	}
	return l.agree(who, from, got)
}

// agree compares got, which begins at a chunk's start, and takes what is new.
func (l *Log) agree(who string, from core.LSN, got []byte) error {
	for k := int(from-l.begin) / chunk; k < len(l.sums) && len(got) >= chunk; k++ {
		if crc32.ChecksumIEEE(got[:chunk]) != l.sums[k] {
			return fmt.Errorf("%s has other committed WAL than the rest between %s and %s", who, from, from+chunk)
		}
		got, from = got[chunk:], from+chunk
	}
	if from < l.begin+core.LSN(len(l.sums)*chunk) {
		return nil // less than a chunk, in the middle: another call will cover it
	}
	n := min(len(got), len(l.tail))
	if !bytes.Equal(got[:n], l.tail[:n]) {
		return fmt.Errorf("%s has other committed WAL than the rest between %s and %s", who, from, from+core.LSN(n))
	}
	l.tail = append(l.tail, got[n:]...)
	for len(l.tail) >= chunk {
		l.sums = append(l.sums, crc32.ChecksumIEEE(l.tail[:chunk]))
		l.tail = append(l.tail[:0], l.tail[chunk:]...)
	}
	return nil
}
