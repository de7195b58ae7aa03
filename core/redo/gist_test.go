package redo

import (
	"errors"
	"testing"

	"xenon/core"
	"xenon/core/wal"
)

// gistLeafPage is a leaf with tuples of 16 bytes.
func gistLeafPage(tb testing.TB, count int) *Page {
	p := new(Page)
	initGist(p, gistLeaf)
	for i := range count {
		if !addItem(p, plain(string(rune('a'+i)), uint16(i+1)), i+1) {
			tb.Fatal("no room")
		}
	}
	return p
}

// TestLeftChild: the left half of a split gets its NSN and loses its flag when
// the parent has the downlink, whether the record brings its image or not.
func TestLeftChild(t *testing.T) {
	page := gistLeafPage(t, 5)
	o, _ := gistOpaqueOf(page)
	o.setFlags(gistFollowRight)
	setLSN(page, 0x1000)
	for _, split := range []bool{false, true} {
		rec := &wal.Record{Start: 0x100002000, End: 0x100002040, Rmgr: wal.RmgrGist, Info: gistPageUpdate, Main: words(0),
			Blocks: []wal.Block{{ID: 0, Rel: table, Block: 7}, {ID: 1, Rel: table, Block: 8}}}
		child := &rec.Blocks[1]
		if split {
			rec.Info, child = gistPageSplit, &rec.Blocks[0]
		}
		byDelta := *page
		var a Applier
		if out, err := a.Apply(&byDelta, rec, child); err != nil || out != Redone {
			t.Fatalf("outcome %d, %v", out, err)
		}
		child.SetImage(wal.PG15, page, wal.ImageOpts{Apply: true, Standard: true})
		var byImage Page
		if out, err := a.Apply(&byImage, rec, child); err != nil || out != Restored {
			t.Fatalf("outcome %d, %v", out, err)
		}
		if d := Diff(&byImage, &byDelta, wal.RmgrGist); d != "" {
			t.Errorf("by image and by delta: %s", d)
		}
		o, _ := gistOpaqueOf(&byImage)
		if o.flags() != gistLeaf || u32(o, gistNSN) != 1 || u32(o, gistNSN+4) != 0x2040 || PageLSN(&byImage) != rec.End {
			t.Errorf("flags %x, NSN % x, LSN %s", o.flags(), o[:8], PageLSN(&byImage))
		}
		heap := new(Page)
		initPage(heap, 0)
		child.SetImage(wal.PG15, heap, wal.ImageOpts{Apply: true, Standard: true})
		if _, err := a.Apply(&byImage, rec, child); !errors.Is(err, ErrMalformed) {
			t.Errorf("an image of another manager's page: %v", err)
		}
	}
}

// TestGistDeleteByMajor: the offset numbers are where the version has them.
func TestGistDeleteByMajor(t *testing.T) {
	main := map[bool][]byte{
		false: {9, 0, 0, 0, 2, 0, 1, 0, 3, 0},
		true:  {9, 0, 0, 0, 2, 0, 1, 0xFF, 1, 0, 3, 0},
	}
	for _, v := range wal.Versions {
		p := gistLeafPage(t, 4)
		o, _ := gistOpaqueOf(p)
		o.setFlags(gistHasGarbage)
		rec := &wal.Record{Version: v, Start: 0x2000, End: 0x2040, Rmgr: wal.RmgrGist, Info: gistDelete, Main: main[v.Major >= 16],
			Blocks: []wal.Block{{Rel: table}}}
		var a Applier
		mustApply(t, &a, p, rec)
		first, _ := item(p, 1)
		if maxOffset(p) != 2 || first[indexHeader] != 'b' || o.flags() != gistLeaf|gistTuplesDeleted {
			t.Errorf("%s: %d items, first %q, flags %x", v, maxOffset(p), first, o.flags())
		}
	}
}

// TestGistUpdateInPlace: one tuple for one keeps its offset number and does
// not tell that the page lost tuples; any other change does, behind the rest.
func TestGistUpdateInPlace(t *testing.T) {
	update := func(deleted, added byte, data ...[]byte) *wal.Record {
		rec := &wal.Record{Start: 0x2000, End: 0x2040, Rmgr: wal.RmgrGist, Info: gistPageUpdate,
			Main: []byte{deleted, 0, added, 0}, Blocks: []wal.Block{{Rel: table}}}
		for _, d := range data {
			rec.Blocks[0].Data = append(rec.Blocks[0].Data, d...)
		}
		return rec
	}
	key := func(p *Page, n int) string {
		b, _ := item(p, n)
		return string(b[indexHeader : indexHeader+1])
	}
	keys := func(p *Page) (s string) {
		for n := 1; n <= maxOffset(p); n++ {
			s += key(p, n)
		}
		return s
	}
	longer := append(plain("x", 9), make([]byte, 8)...)
	put16(longer, tInfo, 24)
	tests := []struct {
		name  string
		rec   *wal.Record
		want  string
		flags uint16
	}{
		{"replaced by a longer one", update(1, 1, []byte{2, 0}, longer), "axcd", gistLeaf},
		{"added", update(0, 1, longer), "abcdx", gistLeaf},
		{"deleted", update(2, 0, []byte{1, 0, 4, 0}), "bc", gistLeaf | gistTuplesDeleted},
		{"one for two", update(1, 2, []byte{1, 0}, longer, plain("y", 8)), "bcdxy", gistLeaf | gistTuplesDeleted},
	}
	for _, test := range tests {
		p := gistLeafPage(t, 4)
		var a Applier
		mustApply(t, &a, p, test.rec)
		o, _ := gistOpaqueOf(p)
		if keys(p) != test.want || o.flags() != test.flags {
			t.Errorf("%s: %s with flags %x, want %s with %x", test.name, keys(p), o.flags(), test.want, test.flags)
		}
	}
	for _, bad := range []*wal.Record{
		update(1, 1, []byte{5, 0}, longer), update(1, 1, []byte{1, 0}, longer, longer), update(0, 1), update(3, 0, []byte{1, 0}),
		update(0, 2, longer), update(1, 0, []byte{9, 0}), update(0, 0, []byte{1}),
	} {
		var a Applier
		if _, err := a.Apply(gistLeafPage(t, 4), bad, &bad.Blocks[0]); !errors.Is(err, ErrMalformed) {
			t.Errorf("main % x, data % x: %v", bad.Main, bad.Blocks[0].Data, err)
		}
	}
}

// TestGistRecordsWithoutBlocks: they change nothing, and are known.
func TestGistRecordsWithoutBlocks(t *testing.T) {
	for _, rec := range []*wal.Record{
		{Rmgr: wal.RmgrGist, Info: gistAssignLSN, Main: words(0)},
		{Rmgr: wal.RmgrGist, Info: gistPageReuse, Main: words(1663, 5, 16384, 3, 700, 0, 0)},
	} {
		var d Effects
		var c Counters
		if list, err := d.Decode(rec, &c); err != nil || len(list) != 0 {
			t.Errorf("%s: %d effects, %v", rec.Name(), len(list), err)
		}
	}
}

func TestGistMask(t *testing.T) {
	p := gistLeafPage(t, 3)
	setFlag := func(flag uint16) func(p *Page) {
		return func(p *Page) { o, _ := gistOpaqueOf(p); o.setFlags(flag) }
	}
	tests := []struct {
		name   string
		change func(p *Page)
		hidden bool
	}{
		{"NSN", func(p *Page) { o, _ := gistOpaqueOf(p); o.setNSN(core.LSN(77)) }, true},
		{"follow-right", setFlag(gistFollowRight), true},
		{"has garbage", setFlag(gistHasGarbage), true},
		{"tuples deleted", setFlag(gistTuplesDeleted), true},
		{"dead line pointer", func(p *Page) { it := itemAt(p, 2); setItem(p, 2, makeItem(it.off(), lpDead, it.len())) }, true},
		{"deleted", setFlag(gistDeleted), false},
		{"right link", func(p *Page) { o, _ := gistOpaqueOf(p); o.setRight(7) }, false},
		{"tuple", func(p *Page) { b, _ := item(p, 2); b[indexHeader]++ }, false},
	}
	for _, test := range tests {
		x, y := *p, *p
		test.change(&y)
		Mask(&x, wal.RmgrGist, 3)
		Mask(&y, wal.RmgrGist, 3)
		if (x == y) != test.hidden {
			t.Errorf("%s: hidden %v, want %v", test.name, x == y, test.hidden)
		}
	}
}
