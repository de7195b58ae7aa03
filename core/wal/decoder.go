package wal

import (
	"encoding/binary"
	"fmt"

	"xenon/core"
	"xenon/core/faults"
)

// RecordHeaderSize is SizeOfXLogRecord (src/include/access/xlogrecord.h).
const RecordHeaderSize = 24

// MaxRecordSize is the longest record that is read: PostgreSQL cannot allocate
// more for one (src/include/utils/memutils.h, MaxAllocSize).
const MaxRecordSize = 1<<30 - 1

// keepBuffer bounds the memory that a decoder keeps after a long record.
const keepBuffer = 4 << 20

// A Decoder turns the bytes of a WAL, which arrive in pieces of any size, into
// records. It checks everything that PostgreSQL's reader checks: page headers,
// continuations, lengths, links, checksums.
//
// Feed it bytes, then call Next until it tells that it needs more. A record
// that lies whole in what was fed is not copied.
type Decoder struct {
	f   Format
	in  []byte // what was fed and not read yet
	buf []byte // the record being gathered; its first cur.have bytes are in use
	cur cursor
	rec Record
	err error // what ended the log; sticky

	strict bool // also what no record covers is checked

	origin core.LSN             // where it was started
	header [LongHeaderSize]byte // a page header, which may come in pieces

	// mark is the place that Retreat goes back to, with the buffers of then.
	mark       cursor
	markBuf    []byte
	markHeader [LongHeaderSize]byte
}

// A cursor is the decoder's place in the WAL, without the bytes gathered.
type cursor struct {
	pos  core.LSN // of the next byte of input
	prev core.LSN // start of the last record, 0 if unknown

	// The record being gathered, if gathering.
	gathering bool
	checked   bool     // its header was found good
	start     core.LSN // where it begins
	need      uint32   // its length; 0 until the first four bytes are there
	have      int      // how many bytes of it are in buf

	skipTo  core.LSN // bytes below are not looked at
	orphan  uint32   // bytes left of a record that began before the start
	partial core.LSN // start of the record that the next one must call overwritten

	headerN int // how many bytes of a page header are in Decoder.header
}

// NewDecoder makes a decoder that starts at start: any record boundary, a page
// boundary (the rest of a record that began before it is skipped), or a place
// inside a page header (the rest of the header is skipped). prev is the start
// of the record before, 0 if it is not known: then the first record's link is
// not checked. All later links are.
//
// It panics if f.Check does not hold.
func NewDecoder(f Format, start, prev core.LSN) *Decoder {
	err := f.Check()
	core.Must(err == nil, "decoder made with %v", err)
	d := &Decoder{f: f}
	d.Reset(start, prev)
	return d
}

// Reset makes the decoder start anew at start, as NewDecoder does. It keeps
// its buffers.
func (d *Decoder) Reset(start, prev core.LSN) {
	start = start.Align()
	d.in, d.err, d.origin = nil, nil, start
	d.cur = cursor{pos: start, prev: prev}
	if r := d.f.RoundUp(start); r != start {
		d.cur.skipTo = r
	}
	d.Mark()
}

// Pos is the LSN of the next byte that Feed takes, once Next has asked for
// more.
func (d *Decoder) Pos() core.LSN { return d.cur.pos + core.LSN(len(d.in)) }

// Partial is the start of the record that is incomplete so far, or Pos if
// there is none.
func (d *Decoder) Partial() core.LSN {
	if d.cur.gathering {
		return d.cur.start
	}
	return d.cur.pos
}

// Prev is the start of the last record decoded, or what the decoder was
// started with.
func (d *Decoder) Prev() core.LSN { return d.cur.prev }

// Feed gives the bytes that stand at lsn, which must be Pos. The decoder uses
// b, and so do the records made of it, until Feed or Reset is called again:
// until then b must not change. Feed is called only when Next has asked for
// more.
func (d *Decoder) Feed(lsn core.LSN, b []byte) error {
	if len(d.in) > 0 {
		core.Must(false, "WAL fed at %s while %d bytes before it were not decoded", lsn, len(d.in))
	}
	if lsn != d.cur.pos {
		return fmt.Errorf("WAL fed at %s, want %s: there is a gap or an overlap", lsn, d.cur.pos)
	}
	d.in = b
	return nil
}

// Next decodes one record. It returns false without an error if it needs more
// bytes. An error, always an [*InvalidError], stays until Reset or Retreat.
// The record is the decoder's own and valid until the next call.
func (d *Decoder) Next() (*Record, bool, error) {
	if d.err != nil {
		return nil, false, d.err
	}
	for len(d.in) > 0 {
		done, err := d.step()
		if err != nil {
			d.err = err
			return nil, false, err
		}
		if done {
			return &d.rec, true, nil
		}
	}
	return nil, false, nil
}

// Mark says that all bytes fed so far are final. It is called when Next has
// asked for more.
func (d *Decoder) Mark() {
	if len(d.in) > 0 {
		core.Must(false, "decoder marked at %s before %d bytes were decoded", d.cur.pos, len(d.in))
	}
	d.mark, d.markBuf, d.markHeader = d.cur, d.buf, d.header
}

// Retreat goes back to the later of the last Mark and the end of the last
// record decoded, and forgets the bytes fed after it, with the error they
// gave: they were the tail of a page that is still being written. It returns
// the LSN at which to feed them again.
func (d *Decoder) Retreat() core.LSN {
	d.in, d.err = nil, nil
	d.cur, d.buf, d.header = d.mark, d.markBuf, d.markHeader
	return d.cur.pos
}

// step reads what the next bytes are; it tells whether a record is complete.
func (d *Decoder) step() (bool, error) {
	c := &d.cur
	if c.pos < c.skipTo {
		if err := d.checkIdle(); err != nil {
			return false, err
		}
		if d.advance(int(min(core.LSN(len(d.in)), c.skipTo-c.pos))); len(d.in) == 0 {
			return false, nil
		}
	}
	switch {
	case c.headerN > 0 || pageOf(c.pos) == c.pos:
		return false, d.readPageHeader()
	case c.orphan > 0:
		n := min(int64(len(d.in)), int64(pageRoom(c.pos)), int64(c.orphan))
		d.advance(int(n))
		if c.orphan -= uint32(n); c.orphan == 0 {
			c.skipTo = c.pos.Align()
		}
		return false, nil
	case c.gathering:
		return d.gather()
	}
	return d.begin()
}

// Strict has the decoder also look at the bytes that no record and no checksum
// covers: those between two records and those behind a switch, which PostgreSQL
// writes as zeroes. Whoever stores WAL, or gives it on, finds damage there too. It
// returns d.
func (d *Decoder) Strict() *Decoder {
	d.strict = true
	return d
}

// checkIdle checks the bytes that are about to be left out. Page headers among
// them say nothing of what is between them, and are not looked at.
func (d *Decoder) checkIdle() error {
	if !d.strict || faults.On && faults.Hit(faults.IdleUnchecked) {
		return nil
	}
	at := d.cur.pos
	for b := d.in[:min(core.LSN(len(d.in)), d.cur.skipTo-at)]; len(b) > 0; {
		page := pageOf(at)
		part := b[:min(core.LSN(len(b)), page+core.WALPageSize-at)]
		head := min(len(part), max(0, d.f.HeaderSize(page)-int(at-page)))
		for i, x := range part[head:] {
			if x != 0 {
				return invalid(BadHole, at+core.LSN(head+i), "0x%02x where nothing is written", x)
			}
		}
		at, b = at+core.LSN(len(part)), b[len(part):]
	}
	return nil
}

func (d *Decoder) advance(n int) {
	d.in = d.in[n:]
	d.cur.pos += core.LSN(n)
}

// readPageHeader takes in a page header, maybe in pieces, and checks that the
// page continues what the page before left unfinished.
func (d *Decoder) readPageHeader() error {
	c := &d.cur
	page := pageOf(c.pos)
	size := d.f.HeaderSize(page)
	n := copy(d.header[c.headerN:size], d.in)
	d.advance(n)
	if c.headerN += n; c.headerN < size {
		return nil
	}
	c.headerN = 0
	h, err := d.f.ParsePageHeader(d.header[:size], page)
	if err != nil {
		return d.inRecord(err)
	}
	return d.continuePage(h, page)
}

func (d *Decoder) continuePage(h PageHeader, page core.LSN) error {
	c := &d.cur
	cont := h.Info&FirstIsContRecord != 0
	switch {
	case h.Info&FirstIsOverwriteContRecord != 0 && !cont:
		if c.gathering {
			c.partial = c.start
			// The mark may still need the bytes gathered so far.
			d.buf = nil
		}
		c.gathering, c.orphan = false, 0
		return nil
	case c.gathering:
		if faults.On && faults.Hit(faults.ContUnchecked) {
			return nil
		}
		if left := c.need - uint32(c.have); !cont || h.RemLen != left {
			return d.inRecord(invalid(BadCont, page, "page continues %d bytes of a record, want %d", h.RemLen, left))
		}
	case c.orphan > 0:
		if !cont || h.RemLen != c.orphan {
			return invalid(BadCont, page, "page continues %d bytes of a record, want %d", h.RemLen, c.orphan)
		}
	case cont && page == d.origin && c.prev == 0:
		// The very start: the record began before it.
		c.orphan = h.RemLen
	case cont:
		return invalid(BadCont, page, "page continues a record that ended before it")
	}
	return nil
}

// inRecord notes in an error which record it keeps from being decoded.
func (d *Decoder) inRecord(err error) error {
	if e, ok := err.(*InvalidError); ok && d.cur.gathering {
		e.Record = d.cur.start
	}
	return err
}

// begin starts the record at pos: it decodes it in place if it is all there.
func (d *Decoder) begin() (bool, error) {
	c := &d.cur
	room := min(len(d.in), pageRoom(c.pos))
	if room >= RecordHeaderSize {
		if err := d.checkHeader(d.in, c.pos); err != nil {
			return false, err
		}
		if n := binary.LittleEndian.Uint32(d.in); n <= uint32(room) {
			raw, start := d.in[:n:n], c.pos
			d.advance(int(n))
			return true, d.finish(raw, start)
		}
	}
	c.gathering, c.checked, c.start, c.need, c.have = true, false, c.pos, 0, 0
	if cap(d.buf) > keepBuffer {
		d.buf, d.markBuf = nil, nil
	}
	return false, nil
}

// gather copies what there is of a record that does not lie whole in the
// input. The buffer grows with the bytes that came, not with the length that
// the record claims.
func (d *Decoder) gather() (bool, error) {
	c := &d.cur
	want := 4
	if c.checked {
		want = int(c.need)
	} else if c.need != 0 {
		want = RecordHeaderSize
	}
	n := min(want-c.have, len(d.in), pageRoom(c.pos))
	d.buf = append(d.buf[:c.have], d.in[:n]...)
	c.have += n
	d.advance(n)
	if c.have < want {
		return false, nil
	}
	switch {
	case c.need == 0:
		c.need = binary.LittleEndian.Uint32(d.buf)
		return false, checkLength(c.need, c.start)
	case !c.checked:
		c.checked = true
		if err := d.checkHeader(d.buf, c.start); err != nil || c.need > RecordHeaderSize {
			return false, err
		}
	}
	c.gathering = false
	return true, d.finish(d.buf[:c.have], c.start)
}

func checkLength(n uint32, at core.LSN) error {
	switch {
	case n == 0:
		return invalid(Zeroes, at, "record of length 0")
	case n < RecordHeaderSize:
		return invalid(BadLength, at, "record of length %d, want %d at least", n, RecordHeaderSize)
	case n > MaxRecordSize:
		return invalid(BadLength, at, "record of length %d, want %d at most", n, MaxRecordSize)
	}
	return nil
}

// checkHeader checks what can be checked before the record is complete, so
// that a length that is rubbish is not waited for.
func (d *Decoder) checkHeader(b []byte, at core.LSN) error {
	le := binary.LittleEndian
	if err := checkLength(le.Uint32(b), at); err != nil {
		return err
	}
	prev, rmgr := core.LSN(le.Uint64(b[8:])), RmgrID(b[17])
	switch {
	case !rmgr.Valid():
		return invalid(BadHeader, at, "unknown resource manager %d", rmgr)
	case prev >= at:
		return invalid(BadPrev, at, "record before it at %s, which is not before", prev)
	case d.cur.prev != 0 && prev != d.cur.prev && !(faults.On && faults.Hit(faults.RecordLinkUnchecked)):
		return invalid(BadPrev, at, "record before it at %s, want %s", prev, d.cur.prev)
	}
	return nil
}

// finish checks and parses a complete record that begins at start; pos is
// right behind it.
func (d *Decoder) finish(raw []byte, start core.LSN) error {
	c := &d.cur
	if err := d.f.Version.ParseRecord(raw, start, &d.rec); err != nil {
		return err
	}
	d.rec.Start, d.rec.End = start, c.pos.Align()
	if d.rec.isSwitch() && !(faults.On && faults.Hit(faults.SwitchEndsEarly)) {
		d.rec.End = d.f.segmentEnd(d.rec.End)
	}
	if c.partial != 0 {
		named := faults.On && faults.Hit(faults.OverwriteUnnamed)
		if got := d.rec.overwritten(); got != c.partial && !named {
			return invalid(BadCont, start, "record %s is overwritten, but the record here names %s", c.partial, got)
		}
		c.partial = 0
	}
	c.skipTo, c.prev = d.rec.End, start
	// A record that is complete is final. No page header is open here, and no
	// record begun: what else the mark has means nothing then.
	m := &d.mark
	m.pos, m.prev, m.skipTo = c.pos, c.prev, c.skipTo
	m.gathering, m.orphan, m.partial, m.headerN = false, 0, 0, 0
	return nil
}
