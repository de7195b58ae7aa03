package intake_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"testing"

	"pgregory.net/rapid"

	"xenon/compute/intake"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/wal"
	"xenon/realio"
)

// Segments are small, so that generated WAL crosses them.
const segSize = 1 << 20

var format = wal.Format{Version: wal.PG15, SegmentSize: segSize, SystemID: 7, TimelineID: 1}

// A quorum notes what it is offered and what is waited for. Its commit LSN is
// what the test says.
type quorum struct {
	end       core.LSN
	log       []byte
	committed core.LSN
	awaited   core.LSN // of the last AwaitCommit
	err       error
}

func (q *quorum) Offer(begin core.LSN, b []byte) error {
	if q.err != nil {
		return q.err
	}
	if begin != q.end {
		return fmt.Errorf("offered %s, the log ends at %s", begin, q.end)
	}
	q.log = append(q.log, b...)
	q.end += core.LSN(len(b))
	return nil
}

func (q *quorum) Committed() core.LSN { return q.committed }

func (q *quorum) AwaitCommit(_ context.Context, lsn core.LSN) error {
	q.awaited = lsn
	return q.err
}

// A history is the WAL that a server is going to write: its bytes from start
// on, padded to whole pages, and where its records end.
type history struct {
	start core.LSN
	page  []byte // from the start of start's page up to start
	bytes []byte // from start on
	ends  []core.LSN
	begin []core.LSN
	// inserted tells how much of each record is in the server's buffers: 0
	// nothing, 1 half, 2 all.
	inserted []int
}

func (h *history) first() core.LSN { return h.start - core.LSN(len(h.page)) }

// at is the true bytes from one page boundary to another; zeros where nothing
// is.
func (h *history) at(from, to core.LSN) []byte {
	all := append(bytes.Clone(h.page), h.bytes...)
	out := make([]byte, to-from)
	if off := from - h.first(); int(off) < len(all) {
		copy(out, all[off:])
	}
	return out
}

// complete is the end of the last record that lies below lsn.
func (h *history) complete(lsn core.LSN) core.LSN {
	end := h.start
	for _, e := range h.ends {
		if e <= lsn {
			end = e
		}
	}
	return end
}

// build writes records of the given sizes of main data; -1 is a switch.
func build(start core.LSN, sizes []int) *history {
	page := start &^ (core.WALPageSize - 1)
	h := &history{start: start}
	if start > page {
		// The rest of a record that began long before fills the page up to
		// start, as in a fabricated segment.
		e := wal.NewEncoder(format, page, 0)
		head := int(page) + format.HeaderSize(page)
		b, err := e.Append(nil, &wal.Record{Rmgr: wal.RmgrXLOG, Info: wal.XLOGNoop, Main: make([]byte, int(start)-head-24-5)})
		if err != nil {
			panic(err)
		}
		h.page = b[:start-page]
	}
	e := wal.NewEncoder(format, start, 0)
	for i, n := range sizes {
		r := &wal.Record{Rmgr: wal.RmgrXLOG, Info: wal.XLOGNoop, Main: bytes.Repeat([]byte{byte(i + 1)}, max(n, 0))}
		if n < 0 {
			r.Info = wal.XLOGSwitch
		}
		var err error
		if h.bytes, err = e.Append(h.bytes, r); err != nil {
			panic(err)
		}
		h.begin, h.ends, h.inserted = append(h.begin, r.Start), append(h.ends, r.End), append(h.inserted, 0)
	}
	return h
}

var world = realio.New(realio.Options{})

func newStream(h *history, q *quorum) (*intake.Stream, *error) {
	var failed error
	q.end = h.start
	s := intake.New(world, intake.Config{Format: format, Start: h.start, Page: h.page, OnFail: func(err error) { failed = err }}, q)
	return s, &failed
}

func pageUp(l core.LSN) core.LSN { return (l + core.WALPageSize - 1) &^ (core.WALPageSize - 1) }

const origin = core.LSN(5*segSize + 3*core.WALPageSize)

// TestWhatIsOffered writes a random WAL as a server does: whole pages up to
// where it means to, behind which the last page holds whatever was inserted
// so far, in pieces at page boundaries.
func TestWhatIsOffered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := build(origin+core.LSN(8*rapid.IntRange(20, 900).Draw(t, "start")), genSizes(t))
		q := &quorum{}
		s, _ := newStream(h, q)
		wrote, end := h.start, h.start+core.LSN(len(h.bytes))
		for wrote < end {
			// To the end of a record, or of a page as the walwriter does.
			upto := rapid.SampledFrom(h.ends).Draw(t, "upto")
			if rapid.Bool().Draw(t, "round") {
				upto &^= core.WALPageSize - 1
			}
			if upto <= wrote {
				continue
			}
			writePages(t, s, h, wrote, upto)
			wrote = upto
			if !bytes.HasPrefix(h.bytes, q.log) {
				t.Fatalf("offered bytes up to %s are not those of the log", q.end)
			}
			if h.complete(q.end) != q.end {
				t.Fatalf("offered up to %s, which is inside a record", q.end)
			}
			if want := h.complete(upto); q.end < want {
				t.Fatalf("wrote up to %s, offered %s only, want %s", upto, q.end, want)
			}
			checkFlush(t, s, q)
		}
		if q.end != end {
			t.Fatalf("offered %s in the end, want %s", q.end, end)
		}
	})
}

func genSizes(t *rapid.T) []int {
	return rapid.SliceOfN(rapid.OneOf(rapid.IntRange(0, 300), rapid.IntRange(0, 40000), rapid.Just(-1)), 1, 20).Draw(t, "sizes")
}

// writePages writes what a server writes that has written up to from and wants
// to have written up to upto.
func writePages(t *rapid.T, s *intake.Stream, h *history, from, upto core.LSN) {
	page, end := from&^(core.WALPageSize-1), pageUp(upto)
	b := h.at(page, end)
	// Behind upto, records are inserted, or not, or in part.
	for i, begin := range h.begin {
		if begin < upto || begin >= end {
			continue
		}
		tail := b[begin-page : min(h.ends[i], end)-page]
		h.inserted[i] = rapid.IntRange(h.inserted[i], 2).Draw(t, "inserted")
		switch h.inserted[i] {
		case 0:
			clear(tail)
		case 1:
			clear(tail[len(tail)/2:])
		}
	}
	for len(b) > 0 {
		n := core.WALPageSize * rapid.IntRange(1, len(b)/core.WALPageSize).Draw(t, "piece")
		if err := s.Write(page, b[:n]); err != nil {
			t.Fatalf("write of %d bytes at %s: %v", n, page, err)
		}
		page, b = page+core.LSN(n), b[n:]
	}
}

// checkFlush checks that a flush waits for all that was offered, and for
// nothing if that is committed.
func checkFlush(t *rapid.T, s *intake.Stream, q *quorum) {
	q.awaited = 0
	if err := s.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	if q.committed < q.end && q.awaited != q.end {
		t.Fatalf("flush waited for %s, want %s", q.awaited, q.end)
	}
	q.committed, q.awaited = q.end, 0
	if err := s.Flush(context.Background()); err != nil || q.awaited != 0 {
		t.Fatalf("second flush waited for %s: %v", q.awaited, err)
	}
}

func TestBrokenWALEndsTheStream(t *testing.T) {
	h := build(origin+4096, []int{100, 100, 20000, 100, 100})
	tests := []struct {
		name  string
		write func(s *intake.Stream) error
	}{
		{"a flipped bit in a page that is final", func(s *intake.Stream) error {
			b := h.at(origin, origin+3*core.WALPageSize)
			b[4096+60] ^= 1
			return s.Write(origin, b)
		}},
		{"a page header of another place", func(s *intake.Stream) error {
			b := h.at(origin, origin+3*core.WALPageSize)
			b[core.WALPageSize+8] ^= 0x20
			return s.Write(origin, b)
		}},
		{"zeros where WAL must be", func(s *intake.Stream) error {
			b := h.at(origin, origin+3*core.WALPageSize)
			clear(b[4096:])
			return s.Write(origin, b)
		}},
		{"a gap", func(s *intake.Stream) error {
			return s.Write(origin+core.WALPageSize, h.at(origin+core.WALPageSize, origin+2*core.WALPageSize))
		}},
		{"part of a page", func(s *intake.Stream) error { return s.Write(origin, h.at(origin, origin+core.WALPageSize)[:512]) }},
		{"bytes that were offered, changed", func(s *intake.Stream) error {
			b := h.at(origin, origin+core.WALPageSize)
			if err := s.Write(origin, b); err != nil {
				return nil
			}
			b[4096+40] ^= 1
			return s.Write(origin, b)
		}},
		{"the page before the first record, changed", func(s *intake.Stream) error {
			b := h.at(origin, origin+core.WALPageSize)
			b[100] ^= 1
			return s.Write(origin, b)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, failed := newStream(h, &quorum{})
			if err := tt.write(s); !errors.Is(err, intake.ErrFenced) {
				t.Fatalf("got %v", err)
			}
			if *failed == nil {
				t.Error("nobody was told")
			}
			if err := s.Flush(t.Context()); !errors.Is(err, intake.ErrFenced) {
				t.Errorf("flush: %v", err)
			}
			if err := s.FlushSegment(t.Context(), 99); !errors.Is(err, intake.ErrFenced) {
				t.Errorf("flush of a new segment: %v", err)
			}
		})
	}
}

// TestRecordThatIsNeverRightEndsTheStream: a flush that took such a record for
// one to come would vouch for the commits behind it.
func TestRecordThatIsNeverRightEndsTheStream(t *testing.T) {
	for name, spoil := range neverRight {
		t.Run(name, func(t *testing.T) {
			h := build(origin+4096, []int{100, 100, 100})
			b := h.at(origin, origin+core.WALPageSize)
			spoil(b[h.begin[1]-origin:])
			q := &quorum{}
			s, failed := newStream(h, q)
			if err := s.Write(origin, b); !errors.Is(err, intake.ErrFenced) || *failed == nil {
				t.Errorf("the write: %v, told %v", err, *failed)
			}
			if err := s.Flush(t.Context()); !errors.Is(err, intake.ErrFenced) {
				t.Errorf("the flush: %v", err)
			}
			if q.end > h.ends[0] {
				t.Errorf("offered up to %s", q.end)
			}
		})
	}
}

// neverRight change a record with 100 bytes of main data so that no further
// write can mend it, or so that no timeline keeps it.
var neverRight = map[string]func(b []byte){
	"no such resource manager":        func(b []byte) { b[17] = 100 },
	"content that contradicts itself": func(b []byte) { b[24] = 200; seal(b) },
	"an extension's record":           func(b []byte) { b[17] = 130; seal(b) },
	"a tablespace without a number": func(b []byte) {
		b[16], b[17] = 0, byte(wal.RmgrTblSpc)
		clear(b[wal.RecordHeaderSize+2:][:4])
		seal(b)
	},
}

// seal computes the checksum of the record at the front of b.
func seal(b []byte) {
	castagnoli := crc32.MakeTable(crc32.Castagnoli)
	raw := b[:binary.LittleEndian.Uint32(b)]
	crc := crc32.Update(crc32.Checksum(raw[wal.RecordHeaderSize:], castagnoli), castagnoli, raw[:20])
	binary.LittleEndian.PutUint32(raw[20:], crc)
}

// TestIncompleteTailIsNoError flushes at a page boundary inside a record, as
// the walwriter does, and at a segment's end.
func TestIncompleteTailIsNoError(t *testing.T) {
	h := build(origin+4096, []int{100, 200000, 100})
	q := &quorum{}
	s, failed := newStream(h, q)
	for page := origin; page < origin+core.LSN(20*core.WALPageSize); page += core.WALPageSize {
		if err := s.Write(page, h.at(page, page+core.WALPageSize)); err != nil {
			t.Fatal(err)
		}
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if q.end != h.ends[0] || q.awaited != h.ends[0] || *failed != nil {
		t.Fatalf("offered %s, awaited %s, failed %v; want %s", q.end, q.awaited, *failed, h.ends[0])
	}
}

// TestFlipInTheTailWaits: in the last page a bad record may be one that is not
// finished. It is an error once a later page says that it is final.
func TestFlipInTheTailWaits(t *testing.T) {
	h := build(origin+4096, []int{100, 100, 100, 9000, 9000})
	s, failed := newStream(h, &quorum{})
	b := h.at(origin, origin+2*core.WALPageSize)
	b[h.begin[1]+50-origin] ^= 1
	if err := s.Write(origin, b[:core.WALPageSize]); err != nil || *failed != nil {
		t.Fatal(err)
	}
	err := s.Write(origin+core.WALPageSize, b[core.WALPageSize:])
	if !errors.Is(err, env.ErrCorrupt) {
		t.Fatalf("got %v", err)
	}
}

func TestEmptySegmentFlushesAtOnce(t *testing.T) {
	h := build(origin+4096, []int{100})
	q := &quorum{}
	s, _ := newStream(h, q)
	if err := s.Write(origin, h.at(origin, origin+core.WALPageSize)); err != nil {
		t.Fatal(err)
	}
	if err := s.FlushSegment(t.Context(), 6); err != nil || q.awaited != 0 {
		t.Errorf("a segment without WAL waited for %s: %v", q.awaited, err)
	}
	if err := s.FlushSegment(t.Context(), 5); err != nil || q.awaited != h.ends[0] {
		t.Errorf("flush awaited %s, want %s: %v", q.awaited, h.ends[0], err)
	}
}

func TestFence(t *testing.T) {
	h := build(origin+4096, []int{100})
	q := &quorum{}
	s, _ := newStream(h, q)
	reason := errors.New("a higher term")
	s.Fence(reason)
	for _, err := range []error{s.Write(origin, h.at(origin, origin+core.WALPageSize)), s.Flush(t.Context())} {
		if !errors.Is(err, reason) || !errors.Is(err, intake.ErrFenced) {
			t.Errorf("got %v", err)
		}
	}
	q2 := &quorum{err: reason}
	s, failed := newStream(h, q2)
	if err := s.Write(origin, h.at(origin, origin+core.WALPageSize)); !errors.Is(err, reason) || !errors.Is(*failed, reason) {
		t.Errorf("a write that the quorum does not take: %v, told %v", err, *failed)
	}
}

// TestLongRecordIsLinear writes a 40 MB record page by page: a decoder that
// began anew with each write would take minutes.
func TestLongRecordIsLinear(t *testing.T) {
	size := 4 << 20
	if testing.Short() {
		size = 1 << 20
	}
	h := build(origin+4096, []int{100, size, 100})
	q := &quorum{}
	s, _ := newStream(h, q)
	end := pageUp(h.start + core.LSN(len(h.bytes)))
	all := h.at(origin, end)
	for at := 0; at < len(all); at += core.WALPageSize {
		if err := s.Write(origin+core.LSN(at), all[at:at+core.WALPageSize]); err != nil {
			t.Fatal(err)
		}
	}
	if q.end != h.ends[2] {
		t.Errorf("offered %s, want %s", q.end, h.ends[2])
	}
}

func FuzzWrite(f *testing.F) {
	h := build(origin+4096, []int{100, 9000, -1, 50})
	f.Add(h.at(origin, origin+3*core.WALPageSize), uint8(1))
	f.Fuzz(func(t *testing.T, b []byte, cut uint8) {
		s, _ := newStream(h, &quorum{})
		b = b[:len(b)&^(core.WALPageSize-1)]
		n := min(len(b), int(cut)*core.WALPageSize)
		if s.Write(origin, b[:n]) == nil {
			_ = s.Write(origin+core.LSN(n), b[n:])
		}
		_ = s.Flush(context.Background())
	})
}
