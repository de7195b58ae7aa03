package wal_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/wal"
)

// goldenBytes is some of the golden log, short enough for a corpus: it has a
// record that crosses pages.
func goldenBytes(t testing.TB) ([]byte, wal.Format, core.LSN) {
	g := loadGolden(t)
	return g.WAL[:core.WALPageSize+2000], g.format(), g.Start
}

func goldenRecords(t testing.TB, f func(*wal.Record)) {
	g := loadGolden(t)
	recs, err := decodeAll(wal.NewDecoder(g.format(), g.Start, 0), g.WAL, whole)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range recs {
		f(r)
	}
}

// majorRecords are the records of the logs of all versions.
func majorRecords(t testing.TB, f func(*wal.Record)) {
	for _, v := range wal.Versions {
		for _, r := range loadMajor(t, v).records(t) {
			f(r)
		}
	}
}

func versionOf(n uint8) *wal.Version { return wal.Versions[int(n)%len(wal.Versions)] }

// Whatever the bytes and however they are cut, the decoder ends with records
// and an error of a class, and says the same for every chunking.
func FuzzDecoder(f *testing.F) {
	b, format, start := goldenBytes(f)
	f.Add(b, uint16(0), uint16(100))
	f.Add(b[core.WALPageSize-200:], uint16(core.WALPageSize-200), uint16(7))
	f.Add(make([]byte, 9000), uint16(0), uint16(1000))
	f.Fuzz(func(t *testing.T, b []byte, from, chunk uint16) {
		at := start + core.LSN(from)
		once, err1 := decodeAll(wal.NewDecoder(format, at, 0), b, whole)
		many, err2 := decodeAll(wal.NewDecoder(format, at, 0), b, func() int { return int(chunk) + 1 })
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
		tail, err := wal.FindEnd(format, func(p []byte, l core.LSN) (int, error) {
			return copy(p, b[min(l-at.Align(), core.LSN(len(b))):]), nil
		}, at, 0)
		if err != nil || tail.Records != uint64(len(once)) {
			t.Fatalf("end of log %+v (%v), %d records", tail, err, len(once))
		}
	})
}

// FuzzRecord gives the parser records whose checksum is right. What it accepts
// it can also write, unless PostgreSQL would have written it otherwise.
func FuzzRecord(f *testing.F) {
	seen := map[string]int{}
	add := func(r *wal.Record) {
		if seen[r.Name()]++; seen[r.Name()] <= 2 && len(r.Raw) < 5000 {
			f.Add(r.Raw[wal.RecordHeaderSize:], r.Info, uint8(r.Rmgr), uint8(r.Major()))
		}
	}
	goldenRecords(f, add)
	majorRecords(f, func(r *wal.Record) {
		if r.Rmgr == wal.RmgrXact || r.Rmgr == wal.RmgrXLOG || r.Rmgr == wal.RmgrHeap2 {
			seen[r.Name()] = min(seen[r.Name()], 1) // one more of each version
			add(r)
		}
	})
	f.Fuzz(func(t *testing.T, body []byte, info, rmgr, major uint8) {
		v := versionOf(major)
		raw := sealed(body, info, rmgr)
		var r wal.Record
		if err := v.ParseRecord(raw, 8, &r); err != nil {
			if !errors.Is(err, env.ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		var page [core.PageSize]byte
		for i := range r.Blocks {
			if r.Blocks[i].HasImage {
				_ = wal.RestoreImage(&r.Blocks[i], &page)
			}
		}
		if r.Rmgr == wal.RmgrXact {
			var x wal.Xact
			_ = wal.ParseXact(&r, &x)
		}
		if !r.Rmgr.Valid() {
			return
		}
		again, err := v.AppendRecord(nil, &r)
		if err != nil {
			t.Fatalf("parsed but not written: %v", err)
		}
		var r2 wal.Record
		if err := v.ParseRecord(again, 8, &r2); err != nil {
			t.Fatalf("written but not parsed: %v", err)
		}
		r2.Len = r.Len
		for i := range r.Blocks {
			// Bits of bimg_info that have no meaning are not written.
			r2.Blocks[i].ImageInfo = r.Blocks[i].ImageInfo
		}
		check(t, []*wal.Record{&r2}, []*wal.Record{&r})
	})
}

func FuzzXact(f *testing.F) {
	add := func(r *wal.Record) {
		if r.Rmgr == wal.RmgrXact {
			f.Add(r.Main, r.Info, uint8(r.Major()))
		}
	}
	goldenRecords(f, add)
	majorRecords(f, add)
	f.Fuzz(func(t *testing.T, main []byte, info, major uint8) {
		r := wal.Record{Version: versionOf(major), Rmgr: wal.RmgrXact, Info: info, Main: main}
		var x wal.Xact
		if err := wal.ParseXact(&r, &x); err != nil {
			return
		}
		if n := 4*len(x.SubXIDs) + 12*(len(x.Rels)+len(x.AbortRels)+x.DroppedStats) + 16*x.Invals + len(x.GID); n > len(main) {
			t.Fatalf("%d bytes of parts in a record of %d", n, len(main))
		}
	})
}

func FuzzImage(f *testing.F) {
	goldenRecords(f, func(r *wal.Record) {
		for i := range r.Blocks {
			if b := &r.Blocks[i]; b.Compression != wal.Uncompressed && len(b.Image) < 1000 {
				f.Add(b.Image, uint8(b.Compression), b.HoleOffset, b.HoleLen)
			}
		}
	})
	f.Fuzz(func(t *testing.T, image []byte, compression uint8, off, length uint16) {
		b := wal.Block{HasImage: true, Image: image, Compression: wal.Compression(compression % 5), HoleOffset: off, HoleLen: length}
		var page [core.PageSize]byte
		if err := wal.RestoreImage(&b, &page); err != nil && !errors.Is(err, env.ErrCorrupt) {
			t.Fatal(err)
		}
	})
}

// FuzzCheckPoint: the body of a checkpoint, and its padding dropped, is written
// again as it was read.
func FuzzCheckPoint(f *testing.F) {
	f.Add(make([]byte, wal.CheckPointSize), uint8(15))
	f.Add(bytes.Repeat([]byte{0xA5}, wal.CheckPointSize), uint8(17))
	f.Add([]byte{1}, uint8(18))
	f.Fuzz(func(t *testing.T, b []byte, major uint8) {
		v := versionOf(major)
		c, err := v.DecodeCheckPoint(b)
		if err != nil {
			return
		}
		if again, err := v.DecodeCheckPoint(v.AppendCheckPoint(nil, c)); err != nil || again != c {
			t.Fatalf("%+v became %+v, %v", c, again, err)
		}
	})
}

func FuzzControl(f *testing.F) {
	good := loadGolden(f).Control
	f.Add(good)
	f.Add(good[:292])
	for _, v := range wal.Versions {
		f.Add(loadMajor(f, v).Control)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := wal.DecodeControl(b)
		if err != nil {
			return
		}
		if again, err := wal.DecodeControl(c.Encode()); err != nil || again.CheckPoint != c.CheckPoint {
			t.Fatalf("encoded and decoded: %v", err)
		}
	})
}
