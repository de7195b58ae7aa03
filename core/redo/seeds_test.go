package redo

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"hash/maphash"
	"io"
	"os"
	"path/filepath"
	"testing"

	"xenon/core"
	"xenon/core/wal"
)

// A seed is a record that PostgreSQL wrote, one of its blocks, and that page
// before it. internal/corpus/mkseeds makes the files in testdata.
type seed struct {
	rec   *wal.Record
	block uint8 // 255 for none: what the record does beyond blocks counts
	page  Page
}

// readSeeds reads a file of testdata.
func readSeeds(tb testing.TB, name string) []seed {
	tb.Helper()
	packed, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	b, err := io.ReadAll(flate.NewReader(bytes.NewReader(packed)))
	if err != nil {
		tb.Fatalf("%s: %v", name, err)
	}
	var seeds []seed
	for len(b) > 0 {
		version, err := wal.VersionByMajor(int(b[0]))
		if err != nil {
			tb.Fatalf("%s: %v", name, err)
		}
		s := seed{rec: new(wal.Record), block: b[1]}
		start, size := core.LSN(binary.LittleEndian.Uint64(b[2:])), binary.LittleEndian.Uint32(b[10:])
		if err := version.ParseRecord(b[14:14+size], start, s.rec); err != nil {
			tb.Fatalf("%s: %v", name, err)
		}
		s.rec.Start, s.rec.End = start, start+core.LSN(maxAlign(int(size)))
		b = b[14+size:]
		s.page = Page(b[:core.PageSize])
		b = b[core.PageSize:]
		seeds = append(seeds, s)
	}
	return seeds
}

// copyOf is a seed whose bytes may be changed.
func (s *seed) copyOf() *seed { return &seed{rec: s.rec.Clone(), block: s.block, page: s.page} }

// blk is the block of the record that the seed is about.
func (s *seed) blk() *wal.Block { return s.rec.Block(s.block) }

// telling are values at which bounds are crossed.
var telling = []uint16{0, 1, 2, 3, 6, 7, 8, 23, 24, 31, 32, 40, 255, 256, 0x7FF, 0x800, 0x1FFF, 0x2000,
	0x7FFF, 0x8000, 8151, 8152, 8160, 8176, 8184, 8191, 8192, 0xFFFE, 0xFFFF}

// mutate changes a seed as a program of steps says, four bytes each: what, of
// which part, where, how. Any bytes are a program, so that the fuzzer's small
// changes of one are small changes of a record that PostgreSQL wrote.
func (s *seed) mutate(program []byte, others []seed) {
	for ; len(program) >= 4; program = program[4:] {
		step, part, where, how := program[0], program[1], int(program[2]), program[3]
		b := s.part(part)
		switch at := where * (len(*b) + 1) / 256; step % 10 {
		case 0, 1: // a byte near the start, where the fields are, or anywhere
			if step%10 == 0 {
				at = where % 32
			}
			if at < len(*b) {
				(*b)[at] ^= how
			}
		case 2, 3: // a word
			if at &^= 1; step%10 == 2 {
				at = where % 32 &^ 1
			}
			if at+2 <= len(*b) {
				put16(*b, at, telling[int(how)%len(telling)])
			}
		case 4:
			*b = (*b)[:at]
		case 5: // longer, by bytes of its own
			*b = append(*b, (*b)[:min(len(*b), int(how))]...)
		case 6: // another record's data or page
			o := others[int(how)%len(others)].copyOf()
			if part%4 == 3 {
				s.page = o.page
			} else {
				*b = *o.part(part)
			}
		case 7: // a line pointer
			n := 1 + where
			if headerSize+n*itemSize <= core.PageSize {
				it := uint32(itemAt(&s.page, n)) ^ 1<<(how%32)
				setItem(&s.page, n, itemID(it))
			}
		case 8:
			s.rec.Info = how
		case 9: // another block of the record, or another version's record
			if how%2 == 0 && s.blk() != nil {
				s.block = s.rec.Blocks[where%len(s.rec.Blocks)].ID
			} else {
				s.rec.Version, _ = wal.VersionByMajor(14 + where%5)
			}
		}
	}
}

// part is the main data, the block's data or a copy of nothing for the page,
// which is written in place.
func (s *seed) part(n uint8) *[]byte {
	switch {
	case n%4 == 0 || s.blk() == nil:
		return &s.rec.Main
	case n%4 == 3:
		page := s.page[:]
		return &page
	}
	return &s.blk().Data
}

// apply replays the seed and checks what holds for any record on any page: the
// error is one of those there are, the record keeps its bytes, and the page,
// if redo takes it for good, is safe to apply more to.
func (s *seed) apply(t *testing.T, a *Applier) {
	t.Helper()
	mark := maphash.MakeSeed()
	sum := func() uint64 { return maphash.Bytes(mark, append(append([]byte(nil), s.rec.Main...), s.blk().Data...)) }
	before := sum()
	page := s.page
	setLSN(&page, min(PageLSN(&page), s.rec.Start))
	outcome, err := a.Apply(&page, s.rec, s.blk())
	if !known(err) {
		t.Fatal(err)
	}
	if sum() != before {
		t.Fatalf("%s changed its own record", s.rec.Name())
	}
	if err == nil && outcome == Redone {
		if !IsNew(&page) && !sane(&page) {
			t.Fatalf("%s left pointers out of order", s.rec.Name())
		}
		// A page made from nothing has no LSN to compare, and a map's bits may not
		// move the LSN.
		fresh := s.blk().WillInit || IsNew(&page) || isVisible(s.rec)
		if again, err := a.Apply(&page, s.rec, s.blk()); !fresh && (err != nil || again != Newer) {
			t.Fatalf("%s once more: outcome %d, %v", s.rec.Name(), again, err)
		}
	}
	Mask(&page, s.rec.Rmgr, s.blk().Block)
	Diff(&page, &s.page, s.rec.Rmgr)
}

// fuzzSeeds fuzzes redo with what becomes of the records in files of testdata.
func fuzzSeeds(f *testing.F, files ...string) {
	var seeds []seed
	for _, name := range files {
		seeds = append(seeds, readSeeds(f, name)...)
	}
	for i := range seeds {
		f.Add(uint8(i), []byte{})
		f.Add(uint8(i), []byte{0, 1, byte(i), 1, 2, 0, byte(2 * i), byte(i)})
		f.Add(uint8(i), []byte{4, 1, 128, 0, 7, 0, byte(i % 8), 16 + byte(i%15)})
	}
	f.Fuzz(func(t *testing.T, n uint8, program []byte) {
		s := seeds[int(n)%len(seeds)].copyOf()
		s.mutate(program[:min(len(program), 64)], seeds)
		s.apply(t, new(Applier))
	})
}

func FuzzGin(f *testing.F)  { fuzzSeeds(f, "gin.seeds") }
func FuzzGist(f *testing.F) { fuzzSeeds(f, "gist.seeds", "gist18.seeds") }
