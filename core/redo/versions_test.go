package redo

import (
	"bytes"
	"errors"
	"testing"

	"xenon/core"
	"xenon/core/wal"
)

// pageOfRows has rows 1 to 5; of 4 and 5 the line pointers are dead.
func pageOfRows(t *testing.T) *Page {
	t.Helper()
	var a Applier
	p := new(Page)
	for n := uint16(1); n <= 5; n++ {
		mustApply(t, &a, p, insertRecord(n, 0x1000*core.LSN(n)))
	}
	return p
}

// TestCleaningByMajor does the same to a page with the record of each major:
// row 1 leads to 2, 3 is dead, 4 and 5 are unused.
func TestCleaningByMajor(t *testing.T) {
	lists := shorts(1, 2, 3, 4, 5)
	tests := []struct {
		version    *wal.Version
		main, data []byte
		lines      int
	}{
		{wal.PG14, append(words(9), shorts(1, 1)...), lists, 5}, // keeps unused line pointers at the end
		{wal.PG15, append(words(9), shorts(1, 1)...), lists, 3},
		{wal.PG16, append(append(words(9), shorts(1, 1)...), 1), lists, 3},
		{wal.PG17, append([]byte{0, cleanupLock | hasRedirects | hasDead | hasUnused | 0x08}, words(9)...),
			shorts(1, 1, 2, 1, 3, 2, 4, 5), 3},
		{wal.PG18, []byte{0, cleanupLock | hasRedirects | hasDead | hasUnused}, shorts(1, 1, 2, 1, 3, 2, 4, 5), 3},
	}
	for _, test := range tests {
		t.Run(test.version.String(), func(t *testing.T) {
			p := pageOfRows(t)
			var a Applier
			mustApply(t, &a, p, &wal.Record{Version: test.version, Start: 0x9000, End: 0x9040, Rmgr: wal.RmgrHeap2, Info: heap2Prune,
				Main: test.main, Blocks: []wal.Block{{Rel: table, Data: test.data}}})
			if maxOffset(p) != test.lines {
				t.Errorf("%d line pointers, want %d", maxOffset(p), test.lines)
			}
			if it := itemAt(p, 1); it.flags() != lpRedirect || it.off() != 2 {
				t.Errorf("line pointer 1 is %x, want one to 2", it)
			}
			if itemAt(p, 2).flags() != lpNormal || itemAt(p, 3).flags() != lpDead || upper(p) != core.PageSize-maxAlign(itemAt(p, 2).len()) {
				t.Errorf("line pointers %x %x, upper %d: not compacted", itemAt(p, 2), itemAt(p, 3), upper(p))
			}
		})
	}
}

// TestFreezingByMajor freezes rows 1 and 3 alike, and 2 with another xmax.
func TestFreezingByMajor(t *testing.T) {
	const mask, mask2 = 0x0B00, 2
	entry := func(xmax uint32, words ...uint16) []byte {
		return append(append(append(append([]byte(nil), shorts(uint16(xmax), uint16(xmax>>16))...), shorts(words...)...), 0, 0), 0, 0)[:12]
	}
	tuples := bytes.Join([][]byte{entry(0, 1, mask2, mask), entry(70000, 2, mask2, mask), entry(0, 3, mask2, mask)}, nil)
	plan := func(xmax uint32, count uint16) []byte {
		return append(append(append(shorts(uint16(xmax), uint16(xmax>>16)), shorts(mask2, mask)...), 0, 0), shorts(count)...)
	}
	plans := bytes.Join([][]byte{plan(0, 2), plan(70000, 1), shorts(1, 3, 2)}, nil)
	tests := []struct {
		version    *wal.Version
		op         uint8
		main, data []byte
	}{
		{wal.PG14, heap2Freeze, append(words(9), shorts(3)...), tuples},
		{wal.PG15, heap2Freeze, append(words(9), shorts(3)...), tuples},
		{wal.PG16, heap2Freeze, append(append(words(9), shorts(2)...), 0), plans},
		{wal.PG17, heap2Vacuum, []byte{1, hasFreeze}, append(shorts(2, 0), plans...)},
		{wal.PG18, heap2Vacuum, []byte{1, hasFreeze}, append(shorts(2, 0), plans...)},
	}
	for _, test := range tests {
		t.Run(test.version.String(), func(t *testing.T) {
			p := pageOfRows(t)
			var a Applier
			mustApply(t, &a, p, &wal.Record{Version: test.version, Start: 0x9000, End: 0x9040, Rmgr: wal.RmgrHeap2, Info: test.op,
				Main: test.main, Blocks: []wal.Block{{Rel: table, Data: test.data}}})
			for n, xmax := range []uint32{0, 70000, 0} {
				row, _ := heapTuple(p, n+1)
				if row.mask() != mask || row.mask2() != mask2 || u32(row, tXmax) != xmax {
					t.Errorf("row %d: xmax %d, infomask %04X %04X", n+1, u32(row, tXmax), row.mask(), row.mask2())
				}
			}
			if row, _ := heapTuple(p, 4); row.mask() == mask {
				t.Error("row 4 was frozen too")
			}
		})
	}
}

// TestEffectsByMajor: page numbers are wider since 17, opcodes of databases
// were others in 14, relation maps are longer since 16.
func TestEffectsByMajor(t *testing.T) {
	zeroed := "patch " + core.SLRUBlockKey(core.Clog, 1, 1).String() + ": zero\n"
	tests := []struct {
		version *wal.Version
		rec     wal.Record
		want    string
	}{
		{wal.PG14, wal.Record{Rmgr: wal.RmgrCLOG, Info: slruZeroPage, Main: words(33)}, zeroed},
		{wal.PG17, wal.Record{Rmgr: wal.RmgrCLOG, Info: slruZeroPage, Main: words(33, 0)}, zeroed},
		{wal.PG14, wal.Record{Rmgr: wal.RmgrDBase, Info: dbDrop14, Main: words(9, 1, 1663)}, "drop database 1663/9\n"},
		{wal.PG16, wal.Record{Rmgr: wal.RmgrDBase, Info: dbDrop, Main: words(9, 1, 1663)}, "drop database 1663/9\n"},
	}
	var d Effects
	for _, test := range tests {
		test.rec.Version = test.version
		var c Counters
		list, err := d.Decode(&test.rec, &c)
		if got := describe(list); err != nil || got != test.want {
			t.Errorf("%s, %s: got %q, %v, want %q", test.version, test.rec.Name(), got, err, test.want)
		}
	}
	for _, wrong := range []wal.Record{
		{Version: wal.PG17, Rmgr: wal.RmgrCLOG, Info: slruZeroPage, Main: words(33)},
		{Version: wal.PG17, Rmgr: wal.RmgrCLOG, Info: slruZeroPage, Main: words(33, 1)},
		{Version: wal.PG16, Rmgr: wal.RmgrRelMap, Main: append(words(5, 1663, 512), make([]byte, 512)...)},
		{Version: wal.PG14, Rmgr: wal.RmgrRelMap, Main: append(words(5, 1663, 524), make([]byte, 524)...)},
	} {
		var c Counters
		if _, err := d.Decode(&wrong, &c); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s, %s with %d bytes: error %v", wrong.Version, wrong.Name(), len(wrong.Main), err)
		}
	}
}

// TestHintWithoutImage: nothing changes, the LSN neither.
func TestHintWithoutImage(t *testing.T) {
	p := pageOfRows(t)
	before := *p
	var a Applier
	rec := &wal.Record{Start: 0x9000, End: 0x9040, Rmgr: wal.RmgrXLOG, Info: wal.XLOGFPIForHint, Blocks: []wal.Block{{Rel: table}}}
	if out := mustApply(t, &a, p, rec); out != Untouched || *p != before {
		t.Errorf("outcome %d, LSN %s", out, PageLSN(p))
	}
	if out := mustApply(t, &a, new(Page), rec); out != Untouched {
		t.Errorf("a page that was never written: outcome %d", out)
	}
}
