package redo

import (
	"errors"
	"strings"
	"testing"

	"xenon/core"
	"xenon/core/wal"
)

// insertRecord puts a row of some 30 bytes at offset number n of a page.
func insertRecord(n uint16, lsn core.LSN) *wal.Record {
	info := uint8(heapInsert)
	if n == 1 {
		info |= heapInitPage
	}
	data := []byte{2, 0, 0x02, 0x09, 24} // infomask2, infomask, hoff
	data = append(append(data, 0), "row of thirty bytes or so...."...)
	return &wal.Record{Start: lsn, End: lsn + 64, XID: 1000 + uint32(n), Rmgr: wal.RmgrHeap, Info: info,
		Main: []byte{byte(n), byte(n >> 8), 0}, Blocks: []wal.Block{{Rel: table, WillInit: n == 1, Data: data}}}
}

// updateRecord makes version n+1 of row n, on the same page, of which only the
// middle is new.
func updateRecord(n uint16, lsn core.LSN) *wal.Record {
	xid := 2000 + uint32(n)
	main := words(xid, uint32(n)|updatePrefix<<24|updateSuffix<<24, 0, uint32(n+1))[:14]
	data := []byte{10, 0, 10, 0, 2, 0x80, 0x02, 0x28, 24, 0, 'N', 'E', 'W'} // affixes, header, bitmap, middle
	return &wal.Record{Start: lsn, End: lsn + 64, XID: xid, Rmgr: wal.RmgrHeap, Info: heapHotUpdate,
		Main: main, Blocks: []wal.Block{{Rel: table, Data: data}}}
}

func mustApply(t testing.TB, a *Applier, p *Page, rec *wal.Record) Outcome {
	t.Helper()
	out, err := a.Apply(p, rec, &rec.Blocks[0])
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestInsertUpdateDelete(t *testing.T) {
	var a Applier
	var p Page
	mustApply(t, &a, &p, insertRecord(1, 0x1000))
	mustApply(t, &a, &p, updateRecord(1, 0x1040))
	row, ok := heapTuple(&p, 2)
	if !ok || string(row[24:]) != "row of thiNEW or so...." {
		t.Fatalf("new version %q", row[24:])
	}
	old, _ := heapTuple(&p, 1)
	if u32(old, tXmax) != 2001 || u16(old, tCtid+4) != 2 || old.mask2()&mask2HotUpdated == 0 || u32(p[:], pdPruneXID) != 2001 {
		t.Errorf("old version % x, prune xid %d", old[:24], u32(p[:], pdPruneXID))
	}
	rec := &wal.Record{Start: 0x1080, End: 0x10C0, XID: 3000, Rmgr: wal.RmgrHeap, Info: heapDelete,
		Main: append(words(3000), 2, 0, infoKeysUpdated, deletePartitionMove), Blocks: []wal.Block{{Rel: table}}}
	mustApply(t, &a, &p, rec)
	row, _ = heapTuple(&p, 2)
	if u32(row, tXmax) != 3000 || u16(row, tCtid+4) != 0xFFFD || row.mask2()&mask2KeysUpdated == 0 || PageLSN(&p) != 0x10C0 {
		t.Errorf("deleted version % x, page LSN %s", row[:24], PageLSN(&p))
	}
}

func TestOutcomes(t *testing.T) {
	var a Applier
	page := func() *Page {
		p := new(Page)
		mustApply(t, &a, p, insertRecord(1, 0x1000))
		return p
	}
	t.Run("newer", func(t *testing.T) {
		p := page()
		before := *p
		if out := mustApply(t, &a, p, updateRecord(1, 0x0F00)); out != Newer || *p != before {
			t.Errorf("outcome %d", out)
		}
	})
	t.Run("lock only", func(t *testing.T) {
		p := page()
		before := *p
		rec := &wal.Record{Start: 0x2000, End: 0x2040, Rmgr: wal.RmgrHash, Info: hashSqueezePage, Blocks: []wal.Block{{Rel: table}}}
		if out := mustApply(t, &a, p, rec); out != Untouched || *p != before {
			t.Errorf("outcome %d", out)
		}
	})
	t.Run("restored", func(t *testing.T) {
		v, err := wal.VersionByMajor(15)
		if err != nil {
			t.Fatal(err)
		}
		blk := wal.Block{Rel: table}
		want := *page()
		blk.SetImage(v, &want, wal.ImageOpts{Apply: true, Standard: true})
		rec := &wal.Record{Start: 0x2000, End: 0x2040, Rmgr: wal.RmgrXLOG, Info: wal.XLOGFPI, Blocks: []wal.Block{blk}}
		var p Page
		if out := mustApply(t, &a, &p, rec); out != Restored || PageLSN(&p) != 0x2040 {
			t.Errorf("outcome %d, LSN %s", out, PageLSN(&p))
		}
		SetPageLSN(&p, PageLSN(&want))
		if d := Diff(&p, &want, wal.RmgrHeap); d != "" {
			t.Error(d)
		}
	})
	visible := &wal.Record{Start: 0x2000, End: 0x2040, Rmgr: wal.RmgrHeap2, Info: heap2Visible,
		Main: []byte{0, 0, 0, 0, 3}, Blocks: []wal.Block{{ID: 0, Rel: core.Rel{Spc: 1663, DB: 5, Node: 16384, Fork: core.VMFork}}, {ID: 1, Rel: table}}}
	for _, hints := range []bool{false, true} {
		a := Applier{LogHints: hints}
		p := page()
		if _, err := a.Apply(p, visible, &visible.Blocks[1]); err != nil {
			t.Fatal(err)
		}
		if moved := PageLSN(p) == 0x2040; moved != hints || u16(p[:], pdFlags)&flagAllVisible == 0 {
			t.Errorf("hints logged %v: page LSN %s", hints, PageLSN(p))
		}
	}
	t.Run("map never written", func(t *testing.T) {
		var p Page
		mustApply(t, &a, &p, visible)
		if vmBitsOf(&p, 0) != 3 || PageLSN(&p) != 0x2040 {
			t.Errorf("bits %d, LSN %s", vmBitsOf(&p, 0), PageLSN(&p))
		}
	})
}

func TestApplyErrors(t *testing.T) {
	var a Applier
	good := new(Page)
	mustApply(t, &a, good, insertRecord(1, 0x1000))
	torn := *good
	setLower(&torn, 9000)
	tests := []struct {
		name string
		page *Page
		rec  *wal.Record
		want error
	}{
		{"unknown manager", good, &wal.Record{Start: 0x2000, End: 0x2040, Rmgr: 99}, ErrUnknown},
		{"unknown opcode", good, &wal.Record{Start: 0x2000, End: 0x2040, Rmgr: wal.RmgrBtree, Info: 0xF0}, ErrMalformed},
		{"page never initialised", new(Page), updateRecord(1, 0x2000), ErrNoPage},
		{"page header out of order", &torn, updateRecord(1, 0x2000), ErrMalformed},
		{"tuple that is not there", good, updateRecord(3, 0x2000), ErrMalformed},
		{"image that is none", good, &wal.Record{Rmgr: wal.RmgrXLOG, Info: wal.XLOGFPI, Blocks: []wal.Block{{ApplyImage: true}}}, ErrMalformed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := *test.page
			if len(test.rec.Blocks) == 0 {
				test.rec.Blocks = []wal.Block{{}}
			}
			test.rec.Blocks[0].Rel, test.rec.Blocks[0].Block = table, 42
			_, err := a.Apply(&p, test.rec, &test.rec.Blocks[0])
			if !errors.Is(err, test.want) {
				t.Fatalf("error %v, want %v", err, test.want)
			}
			for _, part := range []string{test.rec.Name(), test.rec.Start.String(), "1663/5/16384 block 42"} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
		})
	}
}

func TestDiffNamesTheField(t *testing.T) {
	var a Applier
	var p Page
	mustApply(t, &a, &p, insertRecord(1, 0x1000))
	at := itemAt(&p, 1).off()
	for _, test := range []struct {
		byte int
		want string
	}{
		{0, "pd_lsn"}, {13, "pd_lower"}, {25, "pd_linp[1]"}, {100, "hole"}, {at + 1, "item 1 t_xmin"},
		{at + 20, "item 1 t_infomask"}, {at + 25, "item 1 data+25"},
	} {
		q := p
		q[test.byte] ^= 1
		if got := Diff(&p, &q, wal.RmgrHeap); !strings.HasPrefix(got, test.want+" ") {
			t.Errorf("byte %d: %q, want %s", test.byte, got, test.want)
		}
	}
	if got := Diff(&p, &p, wal.RmgrHeap); got != "" {
		t.Errorf("equal pages differ: %s", got)
	}
}

func TestMaskHidesHintsAndNothingElse(t *testing.T) {
	var a Applier
	var p Page
	mustApply(t, &a, &p, insertRecord(1, 0x1000))
	at := itemAt(&p, 1).off()
	tests := []struct {
		name   string
		change func(q *Page)
		hidden bool
	}{
		{"LSN", func(q *Page) { setLSN(q, 1) }, true},
		{"hole", func(q *Page) { q[4000] = 1 }, true},
		{"hint bit", func(q *Page) { q[at+21] |= 1 }, true},
		{"command id", func(q *Page) { q[at+8] = 1 }, true},
		{"xmax", func(q *Page) { q[at+4] = 1 }, false},
		{"data", func(q *Page) { q[at+26] ^= 1 }, false},
		{"line pointer", func(q *Page) { setDead(q, 1) }, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			x, y := p, p
			test.change(&y)
			Mask(&x, wal.RmgrHeap, 0)
			Mask(&y, wal.RmgrHeap, 0)
			if (x == y) != test.hidden {
				t.Errorf("hidden %v, want %v", x == y, test.hidden)
			}
		})
	}
}
