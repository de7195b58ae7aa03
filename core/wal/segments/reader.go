package segments

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"xenon/core"
	"xenon/core/wal"
)

var le = binary.LittleEndian

// chunk is how many bytes are read at once.
const chunk = 256 << 10

// A Reader reads the records of a [Set], one after the other.
type Reader struct {
	set *Set
	d   *wal.Decoder
	buf []byte

	file fs.File // of segment seg, nil if none is open
	seg  uint64

	end  core.LSN // of the last record
	stop error
}

// NewReader reads from start: any place [wal.NewDecoder] takes, within the set;
// 0 is the beginning of the set. The caller closes it.
func (s *Set) NewReader(start core.LSN) *Reader {
	if start == 0 {
		start = s.Start()
	}
	return &Reader{set: s, d: wal.NewDecoder(s.Format, start, 0), buf: make([]byte, chunk), end: start}
}

// Next is the next record, which is the reader's own and good until the next
// call. [io.EOF] says that there is no more, and [Reader.Stop] why; called
// again then, Next looks whether there is by now.
func (r *Reader) Next() (*wal.Record, error) {
	if r.stop != nil {
		// What was at the end may have been overwritten since.
		r.d.Retreat()
		r.stop = nil
		r.closeFile()
	}
	for {
		rec, ok, err := r.d.Next()
		if err != nil {
			r.stop = err
			return nil, io.EOF
		}
		if ok {
			r.end = rec.End
			return rec, nil
		}
		if err := r.feed(); err != nil {
			return nil, err
		}
	}
}

// feed gives the decoder the next bytes.
func (r *Reader) feed() error {
	pos, size := r.d.Pos(), r.set.Format.SegmentSize
	if seg := pos.Segment(size); r.file == nil || seg != r.seg {
		if err := r.open(seg); err != nil {
			return err
		}
	}
	off := int64(pos.SegmentOffset(size))
	n, err := r.file.(io.ReaderAt).ReadAt(r.buf[:min(chunk, int64(size)-off)], off)
	if n == 0 {
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		r.stop = fmt.Errorf("%s ends at %s", r.set.files[r.seg], pos)
		return io.EOF
	}
	return r.d.Feed(pos, r.buf[:n])
}

// open goes on to another segment.
func (r *Reader) open(seg uint64) (err error) {
	r.closeFile()
	name, ok := r.set.files[seg]
	if !ok {
		r.stop = &MissingError{Name: core.SegmentName(max(1, r.set.Format.TimelineID), seg, r.set.Format.SegmentSize), At: r.d.Pos(), Gap: seg < r.set.Last}
		return io.EOF
	}
	if r.file, err = r.set.fsys.Open(name); errors.Is(err, fs.ErrNotExist) {
		r.stop = err // removed meanwhile
		return io.EOF
	}
	if err != nil {
		return err
	}
	if _, ok := r.file.(io.ReaderAt); !ok {
		return fmt.Errorf("%s cannot be read at any place", name)
	}
	r.seg = seg
	return nil
}

func (r *Reader) closeFile() {
	if r.file != nil {
		r.file.Close()
		r.file = nil
	}
}

// A MissingError says that the log goes on in a segment that is not there.
type MissingError struct {
	Name string
	At   core.LSN
	Gap  bool // later segments are there
}

func (e *MissingError) Error() string {
	if e.Gap {
		return fmt.Sprintf("segment %s is missing at %s, and later ones are there", e.Name, e.At)
	}
	return fmt.Sprintf("the segments end at %s", e.At)
}

// Stop is why Next gave io.EOF: a [*MissingError], an error of the decoder (a
// [*wal.InvalidError], all of which are normal at the end of a log), or the end
// of a file.
func (r *Reader) Stop() error { return r.stop }

// End is the end of the last record, or where the reader was started.
func (r *Reader) End() core.LSN { return r.end }

// Partial is where a record begins that is not complete, or End.
func (r *Reader) Partial() core.LSN { return r.d.Partial() }

// Close ends the reader.
func (r *Reader) Close() { r.closeFile() }

// GoesOn tells whether there is more WAL of this history behind a flaw: a
// segment after the one of at whose first page is in place. Servers make
// segments ahead, and reuse old ones; those do not count.
func (r *Reader) GoesOn(at core.LSN) (next core.LSN, ok bool) {
	f := r.set.Format
	for seg := at.Segment(f.SegmentSize) + 1; seg <= r.set.Last; seg++ {
		name, there := r.set.files[seg]
		if !there {
			continue
		}
		b, err := readPage(r.set.fsys, name)
		if err != nil {
			continue
		}
		start := core.SegmentStart(seg, f.SegmentSize)
		if _, err := f.ParsePageHeader(b, start); err == nil {
			return start, true
		}
	}
	return 0, false
}
