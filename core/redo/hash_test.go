package redo

import (
	"errors"
	"math"
	"testing"

	"pgregory.net/rapid"

	"xenon/core/wal"
)

// shorts lays 16-bit words end to end.
func shorts(v ...uint16) []byte {
	b := make([]byte, 2*len(v))
	for i, w := range v {
		put16(b, 2*i, w)
	}
	return b
}

// hashRecord is a record of a 15 with main data and blocks without data.
func hashRecord(op uint8, main []byte, blocks ...uint8) *wal.Record {
	rec := &wal.Record{Version: wal.PG15, Start: 0x2000, End: 0x2040, Rmgr: wal.RmgrHash, Info: op, Main: main}
	for _, id := range blocks {
		rec.Blocks = append(rec.Blocks, wal.Block{ID: id, Rel: table, Block: 10 + uint32(id)})
	}
	return rec
}

// hashMetaPage is the meta page of an index for so many tuples.
func hashMetaPage(tb testing.TB, tuples float64) *Page {
	p := new(Page)
	main := append(words(0, 0, 400), shorts(307)...)
	put64(main, 0, math.Float64bits(tuples))
	rec := hashRecord(hashInitMetaPage, main, 0)
	rec.Blocks[0].WillInit = true
	rec.End = 0x1000
	mustApply(tb, new(Applier), p, rec)
	return p
}

// hashPageOf is a page with tuples of 16 bytes.
func hashPageOf(tb testing.TB, flags uint16, count int) *Page {
	p := new(Page)
	initHash(p, 7, 3, flags)
	for i := range count {
		if !addItem(p, plain(string(rune('a'+i)), uint16(i+1)), i+1) {
			tb.Fatal("no room")
		}
	}
	return p
}

// TestHashSplitpoints: a splitpoint is the first by which there are at least so
// many buckets.
func TestHashSplitpoints(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.OneOf(rapid.Uint32Range(2, 5000), rapid.Uint32Range(2, 1<<30)).Draw(t, "buckets")
		point := hashSplitpoint(n)
		if hashBuckets(point) < n || hashBuckets(point-1) >= n || point >= maxHashSplits {
			t.Errorf("splitpoint %d: %d buckets, one before %d", point, hashBuckets(point), hashBuckets(point-1))
		}
	})
	for wanted, buckets := range map[float64]uint32{0: 2, 2.5: 2, 3.1: 4, 512: 512, 513: 640, 641: 768, 1025: 1280, 1e12: 1 << 30, math.Inf(1): 1 << 30} {
		if got := hashFirstBuckets(wanted); got != buckets {
			t.Errorf("%v buckets wanted: %d, want %d", wanted, got, buckets)
		}
	}
}

func TestHashMetaPage(t *testing.T) {
	p := hashMetaPage(t, 200000) // 652 buckets wanted
	for _, f := range []struct {
		name string
		at   int
		want uint32
	}{
		{"magic", hashMagic, 0x06440640}, {"version", hashVersion, 4}, {"sizes", hashPageSize, 4096<<16 | 8152},
		{"bits of a bitmap", hashMapShift, 767<<16 | 15}, {"highest bucket", hashMaxBucket, 767},
		{"high mask", hashHighMask, 1023}, {"low mask", hashLowMask, 511}, {"splitpoint", hashOvflPoint, 11},
		{"spares", hashSpares + 4*11, 1}, {"function", hashProc, 400},
	} {
		if got := u32(p[:], f.at); got != f.want {
			t.Errorf("%s: got %d, want %d", f.name, got, f.want)
		}
	}
	if lower(p) != 4568 {
		t.Errorf("pd_lower %d, want 4568", lower(p))
	}
}

// TestHashNewBitmapPage: the 32769th overflow page of an index needs a bitmap
// page of its own.
func TestHashNewBitmapPage(t *testing.T) {
	rec := hashRecord(hashAddOvflPage, []byte{0, 16, 0}, 0, 1, 3, 4)
	rec.Block(0).Data, rec.Block(4).Data = words(3), words(77)
	meta := hashMetaPage(t, 0)
	before := u32(meta[:], hashSpares+4)
	var a Applier
	if _, err := a.Apply(meta, rec, rec.Block(4)); err != nil {
		t.Fatal(err)
	}
	if got := u32(meta[:], hashSpares+4); got != before+2 {
		t.Errorf("%d spare pages after %d: the overflow page and its bitmap page are new", got, before)
	}
	if u32(meta[:], hashMaps) != 1 || u32(meta[:], hashMapBlocks) != 13 || u32(meta[:], hashFirstFree) != 77 {
		t.Errorf("%d bitmap pages, the first is block %d; first free %d", u32(meta[:], hashMaps), u32(meta[:], hashMapBlocks), u32(meta[:], hashFirstFree))
	}
	var bitmap Page
	rec.Block(3).WillInit = true
	if _, err := a.Apply(&bitmap, rec, rec.Block(3)); err != nil {
		t.Fatal(err)
	}
	if lower(&bitmap) != 24+4096 || u64(bitmap[:], 24) != math.MaxUint64 || u64(bitmap[:], 24+4088) != math.MaxUint64 || bitmap[24+4096] != 0 {
		t.Errorf("bitmap page: lower %d", lower(&bitmap))
	}
	reused := hashRecord(hashAddOvflPage, []byte{0, 16, 1}, 0, 1, 4)
	reused.Block(4).Data, reused.End = words(78), 0x3000
	if _, err := a.Apply(meta, reused, reused.Block(4)); err != nil || u32(meta[:], hashSpares+4) != before+2 || u32(meta[:], hashFirstFree) != 78 {
		t.Errorf("a free overflow page was counted as new: %v", err)
	}
}

// TestHashSqueezeNeighbours: whoever was next to a freed page is linked to the
// page on its other side.
func TestHashSqueezeNeighbours(t *testing.T) {
	rec := hashRecord(hashSqueezePage, append(words(5, 6), 0, 0, 0, 0), 0, 1, 2, 3, 4)
	for _, block := range []struct {
		id         uint8
		prev, next uint32
		flags      uint16
	}{{3, 7, 6, hashOverflow}, {4, 5, invalidBlock, hashOverflow}, {2, invalidBlock, invalidBlock, hashUnused}} {
		p := hashPageOf(t, hashOverflow, 0)
		var a Applier
		if _, err := a.Apply(p, rec, rec.Block(block.id)); err != nil {
			t.Fatal(err)
		}
		o, _ := hashSpecial(p)
		if u32(o, hashPrev) != block.prev || u32(o, hashNext) != block.next || o.flags() != block.flags {
			t.Errorf("block %d: % x", block.id, []byte(o))
		}
	}
}

// TestHashLockOnly: which blocks a record names only to have them locked.
func TestHashLockOnly(t *testing.T) {
	squeeze := func(count, toBucket, toPrev byte) []byte { return append(words(5, 6), count, 0, toBucket, toPrev) }
	tests := []struct {
		name   string
		op     uint8
		main   []byte
		block  uint8
		before int // the first major for which it is so
	}{
		{"bucket of a deletion", hashDelete, []byte{0, 0}, 0, 14},
		{"bucket of a move", hashMovePageContents, []byte{1, 0, 0}, 0, 14},
		{"bucket of a squeeze", hashSqueezePage, squeeze(1, 0, 0), 0, 14},
		{"page that takes nothing", hashSqueezePage, squeeze(0, 1, 0), 1, 17},
		{"page that gets a link", hashSqueezePage, squeeze(0, 1, 1), 1, 99},
		{"page that takes tuples", hashSqueezePage, squeeze(2, 1, 0), 1, 99},
		{"page of an insert", hashInsert, []byte{1, 0}, 0, 99},
		{"page of a deletion", hashDelete, []byte{0, 0}, 1, 99},
	}
	for _, test := range tests {
		for _, v := range wal.Versions {
			rec := hashRecord(test.op, test.main, test.block)
			rec.Version = v
			if got, want := LockOnly(rec, &rec.Blocks[0]), v.Major >= test.before; got != want {
				t.Errorf("%s, %s: %v, want %v", test.name, v, got, want)
			}
		}
	}
}

// TestHashVacuumByMajor: the count of tuples gave half of its bytes away in 16.
func TestHashVacuumByMajor(t *testing.T) {
	for _, v := range wal.Versions {
		main := append(words(9, 3), shorts(1, 3, 4)...)
		if v.Major >= 16 {
			main[6] = 1 // isCatalogRel
		}
		rec := hashRecord(hashVacuumOnePage, main, 0, 1)
		rec.Version = v
		p := hashPageOf(t, hashBucket|hashHasDead, 5)
		meta := hashMetaPage(t, 0)
		put64(meta[:], hashTuples, math.Float64bits(10))
		var a Applier
		mustApply(t, &a, p, rec)
		if _, err := a.Apply(meta, rec, rec.Block(1)); err != nil {
			t.Fatal(err)
		}
		first, _ := item(p, 1)
		o, _ := hashSpecial(p)
		if maxOffset(p) != 2 || first[indexHeader] != 'b' || o.flags() != hashBucket {
			t.Errorf("%s: %d items, flags %x", v, maxOffset(p), o.flags())
		}
		if n := math.Float64frombits(u64(meta[:], hashTuples)); n != 7 {
			t.Errorf("%s: %v tuples, want 7", v, n)
		}
	}
}

// TestHashSplitAfterImage: the buckets of a split get their flags whether the
// record brings an image or not.
func TestHashSplitAfterImage(t *testing.T) {
	allocate := hashRecord(hashSplitAllocate, append(append(words(9), shorts(0x22, 0x12)...), 0), 0)
	complete := hashRecord(hashSplitComplete, shorts(0x42, 0x02), 0, 1)
	for _, test := range []struct {
		rec   *wal.Record
		block uint8
		prev  uint32
		flags uint16
	}{{allocate, 0, 9, 0x22}, {complete, 0, 7, 0x42}, {complete, 1, 7, 0x02}} {
		page := hashPageOf(t, hashBucket, 2)
		blk := test.rec.Block(test.block)
		blk.SetImage(wal.PG15, page, wal.ImageOpts{Apply: true, Standard: true})
		var p Page
		var a Applier
		if out, err := a.Apply(&p, test.rec, blk); err != nil || out != Restored {
			t.Fatalf("outcome %d, %v", out, err)
		}
		o, _ := hashSpecial(&p)
		if o.flags() != test.flags || u32(o, hashPrev) != test.prev || PageLSN(&p) != test.rec.End {
			t.Errorf("%s: flags %x, prev %d", test.rec.Name(), o.flags(), u32(o, hashPrev))
		}
		heap := new(Page)
		initPage(heap, 0)
		blk.SetImage(wal.PG15, heap, wal.ImageOpts{Apply: true, Standard: true})
		if _, err := a.Apply(&p, test.rec, blk); !errors.Is(err, ErrMalformed) {
			t.Errorf("an image of another manager's page: %v", err)
		}
	}
}

func TestHashRefuses(t *testing.T) {
	full := func(at int, v uint32) func(*testing.T) *Page {
		return func(t *testing.T) *Page { p := hashMetaPage(t, 0); put32(p[:], at, v); return p }
	}
	bucket := func(t *testing.T) *Page { return hashPageOf(t, hashBucket, 2) }
	btree := func(*testing.T) *Page { p := new(Page); initPage(p, 8); return p }
	squeeze := append(words(5, 6), 1, 0, 0, 0)
	tests := []struct {
		name  string
		op    uint8
		main  []byte
		block uint8
		data  []byte
		page  func(*testing.T) *Page
	}{
		{"the split of a page without its image", hashSplitPage, nil, 0, nil, bucket},
		{"a bit outside the bitmap", hashSqueezePage, squeeze, 5, words(8152 * 8), bucket},
		{"one bitmap page too many", hashInitBitmapPage, []byte{0, 16}, 1, nil, full(hashMaps, maxHashMaps)},
		{"a bitmap larger than a page", hashInitBitmapPage, []byte{0, 32}, 0, nil, bucket},
		{"a splitpoint that is none on the page", hashAddOvflPage, []byte{0, 16, 0}, 4, words(1), full(hashOvflPoint, maxHashSplits)},
		{"a splitpoint that is none in the record", hashSplitAllocate, append(words(9, 0), hashNewSplitpoint), 2, words(maxHashSplits, 1), full(hashMaps, 1)},
		{"fewer tuples than announced", hashSqueezePage, squeeze, 1, shorts(1), bucket},
		{"more tuples than announced", hashMovePageContents, []byte{0, 0, 0}, 1, plain("x", 1), bucket},
		{"a tuple that is not there", hashDelete, []byte{0, 0}, 1, shorts(3), bucket},
		{"flags for a page that has none", hashSplitCleanup, nil, 0, nil, btree},
		{"main data cut short", hashUpdateMetaPage, []byte{1}, 0, nil, bucket},
		{"a block that the opcode does not have", hashInsert, []byte{1, 0}, 2, plain("x", 1), bucket},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			rec := hashRecord(test.op, test.main, 0, 1, test.block)
			blk := &rec.Blocks[2]
			blk.Data = test.data
			var a Applier
			if _, err := a.Apply(test.page(t), rec, blk); !errors.Is(err, ErrMalformed) {
				t.Errorf("error %v, want %v", err, ErrMalformed)
			}
		})
	}
}
