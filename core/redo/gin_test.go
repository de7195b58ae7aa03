package redo

import (
	"bytes"
	"cmp"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"xenon/core"
	"xenon/core/wal"
)

// tids lays TIDs given as block<<11 | offset end to end.
func tids(packed ...uint64) []byte {
	b := make([]byte, len(packed)*tidSize)
	for i, v := range packed {
		putTID(b[i*tidSize:], uint32(v>>tidOffsetBits), uint16(v&(1<<tidOffsetBits-1)))
	}
	return b
}

// pack is a posting list of TIDs.
func pack(tb testing.TB, packed ...uint64) []byte {
	tb.Helper()
	dst := make([]byte, core.PageSize)
	n, ok := packPosting(dst, tids(packed...))
	if !ok {
		tb.Fatalf("no posting list of %x", packed)
	}
	return dst[:n]
}

// unpack is the TIDs of a posting list.
func unpack(list []byte) (packed []uint64, ok bool) {
	if size, ok := postingSegment(list); !ok || size != len(list) {
		return nil, false
	}
	r, ok := readPosting(list)
	for ok && r.left {
		packed = append(packed, r.next)
		ok = r.advance()
	}
	return packed, ok
}

func TestPostingListBytes(t *testing.T) {
	tests := []struct {
		name string
		tids []uint64
		want []byte
	}{
		{"one", []uint64{5<<11 | 7}, []byte{0, 0, 5, 0, 7, 0, 0, 0}},
		{"neighbours", []uint64{1, 2, 4}, []byte{0, 0, 0, 0, 1, 0, 2, 0, 1, 2}},
		{"next block, padded", []uint64{1, 2, 1<<11 | 1}, []byte{0, 0, 0, 0, 1, 0, 3, 0, 1, 0xFF, 0x0F, 0}},
		{"seven bytes", []uint64{1, 0xFFFFFFFF<<11 | 1}, []byte{0, 0, 0, 0, 1, 0, 7, 0, 0x80, 0xF0, 0xFF, 0xFF, 0xFF, 0xFF, 0x01, 0}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := pack(t, test.tids...); !bytes.Equal(got, test.want) {
				t.Errorf("got % x, want % x", got, test.want)
			}
			if got, ok := unpack(test.want); !ok || !slices.Equal(got, test.tids) {
				t.Errorf("read back %x, want %x", got, test.tids)
			}
		})
	}
}

// someTIDs draws ascending TIDs: near to each other, far apart, or both.
func someTIDs(t *rapid.T, label string) []uint64 {
	gap := rapid.SampledFrom([]uint64{2, 300, 1 << 14, 1 << 30, 1 << 42}).Draw(t, label+" gap")
	list := rapid.SliceOfN(rapid.Uint64Range(0, gap), 0, 200).Draw(t, label)
	for i := range list {
		list[i] = min(list[i], maxPackedTID)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// TestMergeIsTheUnion: adding TIDs to a list gives the list of the union.
func TestMergeIsTheUnion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		old := append([]uint64{rapid.Uint64Range(0, maxPackedTID).Draw(t, "one")}, someTIDs(t, "old")...)
		slices.Sort(old)
		old = slices.Compact(old)
		added := someTIDs(t, "added")
		union := slices.Compact(slices.SortedFunc(slices.Values(append(slices.Clone(old), added...)), cmp.Compare[uint64]))
		list, want := make([]byte, core.PageSize), make([]byte, core.PageSize)
		n, ok := packPosting(list, tids(old...))
		m, okWant := packPosting(want, tids(union...))
		if !ok || !okWant {
			t.Fatal("no list of the TIDs")
		}
		got := make([]byte, core.PageSize)
		k, ok := mergePosting(got, list[:n], tids(added...))
		if !ok || !bytes.Equal(got[:k], want[:m]) {
			t.Fatalf("%x and %x: got % x, want % x", old, added, got[:k], want[:m])
		}
		if read, ok := unpack(got[:k]); !ok || !slices.Equal(read, union) {
			t.Fatalf("read back %x, want %x", read, union)
		}
		if _, ok := mergePosting(got[:m-2], list[:n], tids(added...)); ok && m > postingHead {
			t.Fatal("a list that has no room was written")
		}
	})
}

func TestPostingListsThatAreNone(t *testing.T) {
	good := pack(t, 1, 2, 4)
	change := func(f func(b []byte)) []byte {
		b := slices.Clone(good)
		f(b)
		return b
	}
	tests := []struct {
		name      string
		old, tids []byte
	}{
		{"distance of zero", change(func(b []byte) { b[8] = 0 }), tids(9)},
		{"distance that goes on past the end", change(func(b []byte) { b[9] = 0x82 }), tids(9)},
		{"distance in more bytes than it needs", []byte{0, 0, 0, 0, 1, 0, 2, 0, 0x81, 0}, tids(9)},
		{"distance of eight bytes", []byte{0, 0, 0, 0, 1, 0, 8, 0, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 1}, tids(1 << 40)},
		{"block above the last", []byte{0xFF, 0xFF, 0xFF, 0xFF, 1, 0, 2, 0, 0xFF, 0x7F}, tids(maxPackedTID)},
		{"offset number of no heap page", change(func(b []byte) { b[5] = 8 }), tids(9)},
		{"TIDs out of order", good, tids(9, 7)},
		{"TID of no heap page", good, []byte{0, 0, 0, 0, 0, 8}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if n, ok := mergePosting(make([]byte, 64), test.old, test.tids); ok {
				t.Errorf("taken, %d bytes", n)
			}
		})
	}
	if _, ok := postingSegment([]byte{0, 0, 0, 0, 1, 0, 3, 0, 1, 1, 1}); ok {
		t.Error("a segment without its padding was taken")
	}
}

// leaf is a posting tree's leaf with segments, and what was there before in
// its hole.
func leaf(segments ...[]byte) *Page {
	p := new(Page)
	for i := range p {
		p[i] = 0xEE
	}
	initPage(p, ginOpaqueSize)
	o, _ := ginOpaqueOf(p)
	o.setFlags(ginData | ginLeaf | ginCompressed)
	all := slices.Concat(segments...)
	for i := range p[ginDataStart:upper(p)] {
		p[ginDataStart+i] = 0xEE
	}
	copy(p[ginDataStart:], all)
	setLower(p, ginDataStart+len(all))
	return p
}

func TestRecompress(t *testing.T) {
	a, b, c := pack(t, 1, 2, 3), pack(t, 10, 11, 12, 13, 14), pack(t, 1<<11|1, 1<<11|2)
	x := pack(t, 20, 21)
	action := func(seg, what byte, data ...[]byte) []byte {
		return append([]byte{seg, what}, slices.Concat(data...)...)
	}
	items := func(packed ...uint64) []byte { return append([]byte{byte(len(packed)), 0}, tids(packed...)...) }
	tests := []struct {
		name    string
		actions [][]byte
		want    [][]byte
	}{
		{"nothing", nil, [][]byte{a, b, c}},
		{"delete the first", [][]byte{action(0, segmentDelete)}, [][]byte{b, c}},
		{"delete all", [][]byte{action(0, segmentDelete), action(1, segmentDelete), action(2, segmentDelete)}, nil},
		{"replace the last", [][]byte{action(2, segmentReplace, x)}, [][]byte{a, b, x}},
		{"insert before the second", [][]byte{action(1, segmentInsert, x)}, [][]byte{a, x, b, c}},
		{"insert behind the last", [][]byte{action(3, segmentInsert, x)}, [][]byte{a, b, c, x}},
		{"add TIDs", [][]byte{action(1, segmentAddItems, items(9, 15))}, [][]byte{a, pack(t, 9, 10, 11, 12, 13, 14, 15), c}},
		{"add to two", [][]byte{action(0, segmentAddItems, items(4)), action(2, segmentAddItems, items(1<<11|3))},
			[][]byte{pack(t, 1, 2, 3, 4), b, pack(t, 1<<11|1, 1<<11|2, 1<<11|3)}},
		{"replace, insert, keep", [][]byte{action(0, segmentReplace, x), action(1, segmentInsert, x), action(1, segmentDelete)}, [][]byte{x, x, c}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p, before := leaf(a, b, c), leaf(a, b, c)
			data := append([]byte{byte(len(test.actions)), 0}, slices.Concat(test.actions...)...)
			var ap Applier
			if !ap.recompressLeaf(p, data) {
				t.Fatal("refused")
			}
			want := slices.Concat(test.want...)
			if got := p[ginDataStart:lower(p)]; !bytes.Equal(got, want) {
				t.Errorf("got % x, want % x", got, want)
			}
			if behind := max(lower(p), lower(before)); !bytes.Equal(p[behind:], before[behind:]) {
				t.Error("bytes behind the segments changed")
			}
		})
	}
	for _, bad := range [][]byte{
		nil, {1}, {1, 0}, {1, 0, 4, segmentDelete}, {1, 0, 3, segmentDelete}, {1, 0, 3, segmentAddItems, 0, 0}, {1, 0, 0, 9},
		{2, 0, 1, segmentDelete, 0, segmentDelete}, {1, 0, 0, segmentInsert, 0, 0}, {1, 0, 0, segmentAddItems, 9, 0},
	} {
		var ap Applier
		if ap.recompressLeaf(leaf(a, b, c), bad) {
			t.Errorf("% x: taken", bad)
		}
	}
}

// TestOldLeaf: a leaf of before 9.4, an array of TIDs, becomes one posting
// list when it is first changed.
func TestOldLeaf(t *testing.T) {
	p := leaf()
	o, _ := ginOpaqueOf(p)
	o.clearFlags(ginCompressed)
	setLower(p, headerSize)
	old := []uint64{1, 2, 3, 1<<11 | 7}
	copy(p[ginDataStart:], tids(old...))
	o.setMaxoff(len(old))
	var a Applier
	if !a.recompressLeaf(p, []byte{1, 0, 0, segmentAddItems, 1, 0, 0, 0, 0, 0, 9, 0}) {
		t.Fatal("refused")
	}
	if got, ok := unpack(p[ginDataStart:lower(p)]); !ok || !slices.Equal(got, []uint64{1, 2, 3, 9, 1<<11 | 7}) {
		t.Errorf("TIDs %x", got)
	}
	if o.flags() != ginData|ginLeaf|ginCompressed || o.maxoff() != 0 {
		t.Errorf("flags %x, maxoff %d", o.flags(), o.maxoff())
	}
	empty := leaf()
	o, _ = ginOpaqueOf(empty)
	o.clearFlags(ginCompressed)
	if !a.recompressLeaf(empty, []byte{0, 0}) || lower(empty) != ginDataStart {
		t.Error("an empty leaf was refused")
	}
	o.clearFlags(ginCompressed)
	o.setMaxoff(2000)
	if a.recompressLeaf(empty, []byte{0, 0}) {
		t.Error("an array that reaches past the page was taken")
	}
}

// TestSeedsApply: what PostgreSQL wrote fits the pages that it wrote it for.
func TestSeedsApply(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "*.seeds"))
	if err != nil || len(files) < 7 {
		t.Fatalf("%d files of seeds, %v", len(files), err)
	}
	for _, file := range files {
		for _, s := range readSeeds(t, filepath.Base(file)) {
			if s.blk() == nil {
				checkEffects(t, s.rec)
				continue
			}
			var a Applier
			want := Redone
			if LockOnly(s.rec, s.blk()) {
				want = Untouched
			}
			if out, err := a.Apply(&s.page, s.rec, s.blk()); err != nil || out != want {
				t.Errorf("%s: %s block %d: outcome %d, %v", file, s.rec.Name(), s.block, out, err)
			}
		}
	}
}

func TestGinMask(t *testing.T) {
	p := leaf(pack(t, 1, 2, 3))
	tests := []struct {
		name   string
		change func(p *Page)
		hidden bool
	}{
		{"xid of a deleted page", func(p *Page) { setPruneXID(p, 9) }, true},
		{"hole", func(p *Page) { p[4000]++ }, true},
		{"segment", func(p *Page) { p[ginDataStart+8]++ }, false},
		{"right link", func(p *Page) { p[8184]++ }, false},
		{"incomplete split", func(p *Page) { o, _ := ginOpaqueOf(p); o.setFlags(ginIncompleteSplit) }, false},
	}
	for _, test := range tests {
		x, y := *p, *p
		test.change(&y)
		Mask(&x, wal.RmgrGin, 3)
		Mask(&y, wal.RmgrGin, 3)
		if (x == y) != test.hidden {
			t.Errorf("%s: hidden %v, want %v", test.name, x == y, test.hidden)
		}
	}
}
