package wal_test

import (
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"pgregory.net/rapid"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/wal"
)

// Decode inverts encode, over page and segment boundaries, however the bytes
// arrive.
func TestDecodeInvertsEncode(t *testing.T) { decodeInvertsEncode(t) }

func decodeInvertsEncode(t rapid.TB) {
	rapid.Check(t, func(t *rapid.T) {
		l := genLog(t, 30)
		d := wal.NewDecoder(format, l.start, 0)
		longest := rapid.SampledFrom([]int{1 << 20, 9000, 50, 3}).Draw(t, "chunk")
		x := uint32(rapid.Uint16().Draw(t, "chunk seed"))
		got, err := decodeAll(d, l.bytes, func() int {
			x = x*1664525 + 1013904223
			return 1 + int(x>>8)%longest
		})
		if err != nil {
			t.Fatal(err)
		}
		check(t, got, l.records)
		if d.Pos() != l.end {
			t.Fatalf("decoder ended at %s, the log at %s", d.Pos(), l.end)
		}
	})
}

// A decoder may start at every record boundary, and inside the header of the
// page where the first record of a page begins.
func TestDecodeFromEveryRecord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := genLog(t, 12)
		for i, r := range l.records {
			at := l.start
			if i > 0 {
				at = l.records[i-1].End
			}
			starts := []core.LSN{at, r.Start}
			if at&(core.WALPageSize-1) == 0 {
				starts = append(starts, at+8, at+16)
			}
			for _, s := range starts {
				d := wal.NewDecoder(format, s, r.Prev)
				got, err := decodeAll(d, l.bytes[s-l.start:], whole)
				if err != nil {
					t.Fatalf("from %s: %v", s, err)
				}
				check(t, got, l.records[i:])
			}
		}
	})
}

// From a page boundary inside a record, the rest of the record is skipped.
func TestDecodeSkipsTheRestOfARecord(t *testing.T) {
	start := core.LSN(segSize + 0x2000 - 64)
	e := wal.NewEncoder(format, start, 0)
	b := mustEncode(t, e, nil, noop(40000))
	want := noop(33)
	b = mustEncode(t, e, b, want)
	for page := core.LSN(segSize + 0x2000); page < want.Start; page += core.WALPageSize {
		d := wal.NewDecoder(format, page, 0)
		got, err := decodeAll(d, b[page-start:], func() int { return 777 })
		if err != nil {
			t.Fatal(err)
		}
		check(t, got, []*wal.Record{want})
	}
}

// Whatever bit of a record or of a checked field is wrong, no record comes out
// that was not put in.
func TestDecodeRefusesEveryFlippedBit(t *testing.T) { flippedBitsAreRefused(t) }

func flippedBitsAreRefused(t rapid.TB) {
	rapid.Check(t, func(t *rapid.T) {
		l := genLog(t, 5)
		i := rapid.IntRange(0, len(l.bytes)-1).Draw(t, "byte")
		l.bytes[i] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		at := l.start + core.LSN(i)
		got, err := decodeAll(wal.NewDecoder(format, l.start, 0), l.bytes, whole)
		if len(got) > len(l.records) {
			t.Fatalf("%d records of %d", len(got), len(l.records))
		}
		check(t, got, l.records[:len(got)])
		inRecord := false
		for _, r := range l.records {
			pageOff := at & (core.WALPageSize - 1)
			inRecord = inRecord || at >= r.Start && at < r.Start+core.LSN(r.Len) && pageOff >= 40
		}
		if inRecord && len(got) == len(l.records) {
			t.Fatalf("a bit at %s is wrong, and all records came out (%v)", at, err)
		}
	})
}

// TestStrictRefusesEveryFlippedBit: of a strict decoder none goes unseen, also not
// between records and behind a switch, but in page headers.
func TestStrictRefusesEveryFlippedBit(t *testing.T) { strictRefusesEveryFlippedBit(t) }

func strictRefusesEveryFlippedBit(t rapid.TB) {
	rapid.Check(t, func(t *rapid.T) {
		l := genLog(t, 5)
		next := rapid.SampledFrom([]func() int{whole, func() int { return 7 }}).Draw(t, "chunk")
		if _, err := decodeAll(wal.NewDecoder(format, l.start, 0).Strict(), l.bytes, next); err != nil {
			t.Fatalf("WAL as it was written: %v", err)
		}
		i := rapid.IntRange(0, len(l.bytes)-1).Draw(t, "byte")
		at := l.start + core.LSN(i)
		if at&(core.WALPageSize-1) < wal.LongHeaderSize {
			return
		}
		l.bytes[i] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		d := wal.NewDecoder(format, l.start, 0).Strict()
		if _, err := decodeAll(d, l.bytes, next); err == nil && d.Partial() == l.end {
			t.Fatalf("a bit at %s is wrong, and nothing is found", at)
		}
	})
}

func TestDecodeErrors(t *testing.T) { decodeErrors(t) }

func decodeErrors(t rapid.TB) {
	start := core.LSN(3*segSize - 304)
	made := func() ([]byte, []*wal.Record) {
		e := wal.NewEncoder(format, start, 0)
		recs := []*wal.Record{noop(40), noop(40), noop(9000)}
		var b []byte
		for _, r := range recs {
			b = mustEncode(t, e, b, r)
		}
		return b, recs
	}
	_, recs := made()
	second := int(recs[1].Start - start)
	segment := int(3*segSize - start)
	page := segment + core.WALPageSize
	le := binary.LittleEndian
	tests := []struct {
		name   string
		break_ func(b []byte)
		flaw   wal.Flaw
		record core.LSN
		at     core.LSN
		whole  int // records before it
	}{
		{"zero length ends the log", func(b []byte) { clear(b[second:]) }, wal.Zeroes, recs[1].Start, recs[1].Start, 1},
		{"a length below the header's", func(b []byte) { le.PutUint32(b[second:], 23) }, wal.BadLength, recs[1].Start, recs[1].Start, 1},
		{"a length of more than a record can have", func(b []byte) { le.PutUint32(b[second:], 1<<30) }, wal.BadLength, recs[1].Start, recs[1].Start, 1},
		{"no such manager", func(b []byte) { b[second+17] = 22 }, wal.BadHeader, recs[1].Start, recs[1].Start, 1},
		{"a link to another record", func(b []byte) { le.PutUint64(b[second+8:], 8) }, wal.BadPrev, recs[1].Start, recs[1].Start, 1},
		{"a link forward", func(b []byte) { le.PutUint64(b[8:], uint64(start)) }, wal.BadPrev, start, start, 0},
		{"a wrong checksum", func(b []byte) { b[second+20] ^= 1 }, wal.BadCRC, recs[1].Start, recs[1].Start, 1},
		{"wrong data", func(b []byte) { b[second+30] ^= 1 }, wal.BadCRC, recs[1].Start, recs[1].Start, 1},
		{"a page that was never written", func(b []byte) { clear(b[page:]) }, wal.Zeroes, recs[2].Start, 3*segSize + core.WALPageSize, 2},
		{"a page of a recycled segment", func(b []byte) { b[segment+8]++ }, wal.BadPage, recs[2].Start, 3 * segSize, 2},
		{"a page of another version", func(b []byte) { b[segment] = 0x13 }, wal.BadPage, recs[2].Start, 3 * segSize, 2},
		{"a page of another timeline", func(b []byte) { b[segment+4] = 2 }, wal.BadPage, recs[2].Start, 3 * segSize, 2},
		{"a segment of another system", func(b []byte) { b[segment+24]++ }, wal.BadPage, recs[2].Start, 3 * segSize, 2},
		{"segments of another size", func(b []byte) { b[segment+34]++ }, wal.BadPage, recs[2].Start, 3 * segSize, 2},
		{"pages of another size", func(b []byte) { b[segment+37]++ }, wal.BadPage, recs[2].Start, 3 * segSize, 2},
		{"a segment without a long header", func(b []byte) { b[segment+2] &^= 2 }, wal.BadPage, recs[2].Start, 3 * segSize, 2},
		{"unknown page flags", func(b []byte) { b[segment+3] = 1 }, wal.BadPage, recs[2].Start, 3 * segSize, 2},
		{"a page that continues nothing", func(b []byte) { b[segment+2] &^= 1 }, wal.BadCont, recs[2].Start, 3 * segSize, 2},
		{"a page that continues less", func(b []byte) { b[page+16]-- }, wal.BadCont, recs[2].Start, 3*segSize + core.WALPageSize, 2},
	}
	for _, tt := range tests {
		for _, chunk := range []int{1 << 30, 100, 1} {
			b, _ := made()
			tt.break_(b)
			d := wal.NewDecoder(format, start, 0)
			got, err := decodeAll(d, b, func() int { return chunk })
			var e *wal.InvalidError
			if !errors.As(err, &e) || e.Flaw != tt.flaw || e.Record != tt.record || e.At != tt.at || len(got) != tt.whole {
				t.Errorf("%s, in chunks of %d: %d records and %v (%+v)", tt.name, chunk, len(got), err, e)
				continue
			}
			if errors.Is(err, wal.ErrEndOfLog) == errors.Is(err, env.ErrCorrupt) {
				t.Errorf("%s: %v is of no class, or of both", tt.name, err)
			}
			if _, _, again := d.Next(); again != err {
				t.Errorf("%s: the next call says %v", tt.name, again)
			}
		}
	}
}

func TestFeedRefusesAGap(t *testing.T) {
	d := wal.NewDecoder(format, segSize, 0)
	if err := d.Feed(segSize+8, []byte{1}); err == nil {
		t.Fatal("bytes that do not follow were taken")
	}
}

// A server that crashed in the middle of a record, and lost the rest of it,
// goes on with a page that says so.
func overwritten(t rapid.TB, named func(lost core.LSN) core.LSN) (start core.LSN, b []byte, want []*wal.Record) {
	start = 5*segSize + 0x2000 - 200
	e := wal.NewEncoder(format, start, 0)
	first := noop(20)
	b = mustEncode(t, e, nil, first)
	lost := noop(20000)
	b = mustEncode(t, e, b, lost)
	page := core.LSN(5*segSize + 0x4000)
	b = b[:page-start]

	e = wal.NewEncoder(format, page, first.Start)
	main := binary.LittleEndian.AppendUint64(nil, uint64(named(lost.Start)))
	over := &wal.Record{Rmgr: wal.RmgrXLOG, Info: wal.XLOGOverwriteContrecord, Main: append(main, make([]byte, 8)...)}
	b = mustEncode(t, e, b, over)
	b[page-start+2] |= wal.FirstIsOverwriteContRecord
	last := noop(10000)
	b = mustEncode(t, e, b, last)
	return start, b, []*wal.Record{first, over, last}
}

func TestDecodeDropsAnOverwrittenRecord(t *testing.T) { overwrittenRecordIsDropped(t) }

func overwrittenRecordIsDropped(t rapid.TB) {
	start, b, want := overwritten(t, func(l core.LSN) core.LSN { return l })
	for _, chunk := range []int{1 << 20, 8192, 13} {
		got, err := decodeAll(wal.NewDecoder(format, start, 0), b, func() int { return chunk })
		if err != nil {
			t.Fatal(err)
		}
		check(t, got, want)
	}
	start, b, _ = overwritten(t, func(l core.LSN) core.LSN { return l - 8 })
	var e *wal.InvalidError
	if _, err := decodeAll(wal.NewDecoder(format, start, 0), b, whole); !errors.As(err, &e) || e.Flaw != wal.BadCont {
		t.Fatalf("a record that names another one overwrites it: %v", err)
	}
}

// The last page of a log that is being written is seen many times, with any
// rubbish behind what is finished. With Mark before and Retreat after it, the
// same records come out as of the finished log, each once.
func TestRetreatFromAPageBeingWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := genLog(t, 15)
		d := wal.NewDecoder(format, l.start, 0)
		var got []*wal.Record
		drain := func() {
			for {
				r, ok, err := d.Next()
				if err != nil || !ok {
					return
				}
				got = append(got, r.Clone())
			}
		}
		feed := func(b []byte) {
			if err := d.Feed(d.Pos(), b); err != nil {
				t.Fatal(err)
			}
			drain()
		}
		written := l.start
		for written < l.end {
			// The server has written up to here; only whole pages before the
			// last are final.
			written = min(l.end, written+core.LSN(rapid.IntRange(1, 20000).Draw(t, "written")))
			if final := written &^ (core.WALPageSize - 1); final > d.Pos() {
				feed(l.bytes[d.Pos()-l.start : final-l.start])
			}
			if written == l.end || written < d.Pos() {
				continue
			}
			d.Mark()
			tail := append([]byte(nil), l.bytes[d.Pos()-l.start:written-l.start]...)
			rubbish := min(rapid.IntRange(0, 300).Draw(t, "rubbish"), core.WALPageSize-int(written&(core.WALPageSize-1)))
			x := byte(rapid.Byte().Draw(t, "rubbish byte"))
			for range rubbish {
				tail = append(tail, x)
			}
			feed(tail)
			d.Retreat()
		}
		feed(l.bytes[d.Pos()-l.start:])
		check(t, got, l.records)
	})
}

// After the log is cut anywhere, its end is that of the last whole record.
func TestFindEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := genLog(t, 20)
		cut := l.start + core.LSN(rapid.IntRange(0, len(l.bytes)).Draw(t, "cut"))
		b := append([]byte(nil), l.bytes[:cut-l.start]...)
		zeroes := rapid.Bool().Draw(t, "zeroes")
		if zeroes {
			b = append(b, make([]byte, 20000)...)
		}
		want := wal.Tail{End: l.start}
		for _, r := range l.records {
			if dataEnd(r) > cut {
				break
			}
			want.End, want.Last, want.Records = r.End, r.Start, want.Records+1
		}
		got, err := wal.FindEnd(format, func(p []byte, at core.LSN) (int, error) {
			n := copy(p, b[min(at-l.start, core.LSN(len(b))):])
			return n, io.EOF
		}, l.start, 0)
		if err != nil {
			t.Fatal(err)
		}
		if zeroes && got.Stop == nil && got.End < cut {
			t.Fatalf("nothing stopped the scan at %s", got.End)
		}
		got.Stop = nil
		// Bytes of zero at the end of a record are there in either case.
		if got != want && !(zeroes && got.End > want.End) {
			t.Fatalf("cut at %s: got %+v, want %+v", cut, got, want)
		}
	})
}

// dataEnd is the end of a record without padding; of a switch, without the
// rest of the segment.
func dataEnd(r *wal.Record) core.LSN {
	if r.Rmgr != wal.RmgrXLOG || r.Op() != wal.XLOGSwitch {
		return r.End - core.LSN(-int(r.Len)&7)
	}
	end := r.Start + wal.RecordHeaderSize
	if page := (end - 1) &^ (core.WALPageSize - 1); page > r.Start {
		end += core.LSN(format.HeaderSize(page))
	}
	return end
}

func TestFindEndPassesOnReadErrors(t *testing.T) {
	boom := errors.New("boom")
	_, err := wal.FindEnd(format, func([]byte, core.LSN) (int, error) { return 0, boom }, segSize, 0)
	if !errors.Is(err, boom) {
		t.Fatal(err)
	}
}

func TestDecodeDoesNotAllocate(t *testing.T) {
	b, start := manyRecords(t, 1000)
	d := wal.NewDecoder(format, start, 0)
	n := testing.AllocsPerRun(10, func() {
		d.Reset(start, 0)
		if got := drain(t, d, start, b, 100_000); got != 1000 {
			t.Fatalf("%d records", got)
		}
	})
	if n > 1 {
		t.Fatalf("%v allocations for 1000 records", n)
	}
}

// manyRecords makes a log like that of small transactions.
func manyRecords(t testing.TB, n int) ([]byte, core.LSN) {
	start := core.LSN(9 * segSize)
	e := wal.NewEncoder(format, start, 0)
	var b []byte
	for i := range n {
		rel := core.Rel{Spc: 1663, DB: 5, Node: 16384}
		b = mustEncode(t, e, b, &wal.Record{
			XID: uint32(i), Rmgr: wal.RmgrHeap, Info: 0x20, Main: make([]byte, 14),
			Blocks: []wal.Block{{ID: 0, Rel: rel, Block: uint32(i), Data: make([]byte, 100)}, {ID: 1, Rel: rel, Block: 7}},
		})
	}
	return b, start
}

func drain(t testing.TB, d *wal.Decoder, at core.LSN, b []byte, chunk int) (records int) {
	for len(b) > 0 {
		n := min(chunk, len(b))
		if err := d.Feed(d.Pos(), b[:n]); err != nil {
			t.Fatal(err)
		}
		b = b[n:]
		for {
			_, ok, err := d.Next()
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			records++
		}
	}
	return records
}

func BenchmarkDecode(b *testing.B) {
	log, start := manyRecords(b, 100_000)
	d := wal.NewDecoder(format, start, 0)
	b.SetBytes(int64(len(log)))
	b.ReportAllocs()
	for b.Loop() {
		d.Reset(start, 0)
		drain(b, d, start, log, 128<<10)
	}
}
