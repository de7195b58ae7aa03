package wal_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
	"testing"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/wal"
)

// A tampered is a log that PostgreSQL wrote, and what is done to it before it
// is read: changes of records get their checksums right, so that the reader
// sees them.
type tampered struct {
	f       wal.Format
	start   core.LSN
	b       []byte
	records []core.LSN // where they begin
}

// logsOfMajors are the first pages of the log of each version.
func logsOfMajors(t testing.TB) (logs []*tampered) {
	for _, v := range wal.Versions {
		g := loadMajor(t, v)
		l := &tampered{f: g.control(t).Format(), start: g.Start, b: g.WAL[:4*core.WALPageSize]}
		recs, err := decodeAll(wal.NewDecoder(l.f, l.start, 0), l.b, whole)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range recs {
			l.records = append(l.records, r.Start)
		}
		logs = append(logs, l)
	}
	return logs
}

func (l *tampered) clone() *tampered {
	c := *l
	c.b = slices.Clone(l.b)
	return &c
}

// spot is where in b the byte off of the record that begins at start is, -1 if
// behind the end: page headers lie in between.
func (l *tampered) spot(start core.LSN, off int) int {
	at := start
	for {
		page := at &^ (core.WALPageSize - 1)
		if at == page {
			at += core.LSN(l.f.HeaderSize(page))
		}
		if room := int(page + core.WALPageSize - at); off >= room {
			at, off = page+core.WALPageSize, off-room
			continue
		}
		if i := int(at-l.start) + off; i < len(l.b) {
			return i
		}
		return -1
	}
}

// put writes bytes of a record.
func (l *tampered) put(start core.LSN, off int, b []byte) {
	for i, c := range b {
		if at := l.spot(start, off+i); at >= 0 {
			l.b[at] = c
		}
	}
}

// seal makes the checksum of a record right, if it lies in the log whole.
func (l *tampered) seal(start core.LSN) {
	var head [wal.RecordHeaderSize]byte
	for i := range head {
		at := l.spot(start, i)
		if at < 0 {
			return
		}
		head[i] = l.b[at]
	}
	n := int(binary.LittleEndian.Uint32(head[:]))
	if n < len(head) || n > len(l.b) {
		return
	}
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := uint32(0)
	for off := len(head); off < n; off++ {
		at := l.spot(start, off)
		if at < 0 {
			return
		}
		sum = crc32.Update(sum, table, l.b[at:at+1])
	}
	l.put(start, 20, binary.LittleEndian.AppendUint32(nil, crc32.Update(sum, table, head[:20])))
}

// crossing are numbers at which bounds are crossed.
var crossing = []uint16{0, 1, 23, 24, 25, 40, 255, 256, 0x7FFF, 0x8000, 8151, 8152, 8191, 8192, 8193, 0xFFFE, 0xFFFF}

// tamper does what a program says, four bytes a step: what, to which record or
// page, where, how.
func (l *tampered) tamper(program []byte) {
	le := binary.LittleEndian
	for ; len(program) >= 4 && len(l.b) >= core.WALPageSize; program = program[4:] {
		where, how := int(program[2]), program[3]
		rec := l.records[int(program[1])%len(l.records)]
		page := int(program[1]) % (len(l.b) / core.WALPageSize) * core.WALPageSize
		word := le.AppendUint16(nil, crossing[int(how)%len(crossing)])
		switch program[0] % 12 {
		case 0, 1: // a byte of a record
			if at := l.spot(rec, wal.RecordHeaderSize+where); at >= 0 {
				l.b[at] ^= how
			}
			l.seal(rec)
		case 2, 3: // a number in the list of blocks
			l.put(rec, wal.RecordHeaderSize+where%48, word)
			l.seal(rec)
		case 4: // manager or xl_info
			l.put(rec, 16+where%2, []byte{how})
			l.seal(rec)
		case 5: // length
			l.put(rec, where%3, word)
			l.seal(rec)
		case 6: // link
			l.put(rec, 8+where%8, []byte{how})
			l.seal(rec)
		case 7: // page header
			l.flip(page+where%wal.LongHeaderSize, how)
		case 8: // any byte, unsealed
			l.flip(page+where*32+int(how)%32, how)
		case 9: // the end
			l.b = l.b[:page+where*32]
		case 10: // zeroes to the end of the page
			clear(l.b[min(page+where*32, len(l.b)):min(page+core.WALPageSize, len(l.b))])
		case 11: // one record over another
			from := l.records[int(how)%len(l.records)]
			for i := range 24 + where {
				if at := l.spot(from, i); at >= 0 {
					l.put(rec, i, l.b[at:at+1])
				}
			}
			l.seal(rec)
		}
	}
}

// flip changes bits of a byte, if it is there.
func (l *tampered) flip(at int, how byte) {
	if at < len(l.b) {
		l.b[at] ^= how
	}
}

// FuzzLog reads logs that were tampered with: the reader ends with an error of
// a class, says the same however the bytes come, after a Retreat too, and what
// it takes for a record can be taken apart.
func FuzzLog(f *testing.F) {
	logs := logsOfMajors(f)
	for i := range 250 {
		f.Add(uint8(i), []byte{}, uint16(i*i))
		f.Add(uint8(i), []byte{byte(i), byte(i * 7), byte(i * 3), byte(i * 5), byte(i / 2), byte(i), 0, byte(i)}, uint16(i))
	}
	f.Fuzz(func(t *testing.T, n uint8, program []byte, chunk uint16) {
		l := logs[int(n)%len(logs)].clone()
		l.tamper(program[:min(len(program), 64)])
		once, err1 := decodeAll(wal.NewDecoder(l.f, l.start, 0), l.b, whole)
		d := wal.NewDecoder(l.f, l.start, 0)
		many, err2 := decodeAll(d, l.b, func() int { return int(chunk)%9000 + 1 })
		if !slices.EqualFunc(many, once, func(a, b *wal.Record) bool {
			return a.Start == b.Start && a.End == b.End && bytes.Equal(a.Raw, b.Raw)
		}) {
			t.Fatalf("%d records whole, %d in pieces, or other ones", len(once), len(many))
		}
		if (err1 == nil) != (err2 == nil) || err1 != nil && err1.Error() != err2.Error() {
			t.Fatalf("whole: %v, in pieces: %v", err1, err2)
		}
		if err1 != nil && !errors.Is(err1, wal.ErrEndOfLog) && !errors.Is(err1, env.ErrCorrupt) {
			t.Fatalf("%v is of no class", err1)
		}
		for _, r := range once {
			takeApart(r)
		}
		// What stood at the end is read again as it was before it was spoilt.
		if at := d.Retreat(); at >= l.start && int(at-l.start) <= len(l.b) {
			if err := d.Feed(at, l.b[at-l.start:]); err != nil {
				t.Fatal(err)
			}
			if _, ok, err := d.Next(); ok || (err == nil) != (err1 == nil) {
				t.Fatalf("after a retreat to %s: a record %v, %v; before: %v", at, ok, err, err1)
			}
		}
	})
}

// takeApart reads everything that a record holds.
func takeApart(r *wal.Record) {
	var page [core.PageSize]byte
	for i := range r.Blocks {
		if r.Blocks[i].HasImage {
			_ = wal.RestoreImage(&r.Blocks[i], &page)
		}
	}
	if r.Rmgr == wal.RmgrXact {
		var x wal.Xact
		_ = wal.ParseXact(r, &x)
	}
}
