package redo

import (
	"errors"
	"testing"

	"xenon/core/wal"
)

func brinRecord(op uint8, main ...[]byte) *wal.Record {
	rec := &wal.Record{Version: wal.PG15, Start: 0x2000, End: 0x2040, Rmgr: wal.RmgrBrin, Info: op}
	for _, m := range main {
		rec.Main = append(rec.Main, m...)
	}
	for id := range uint8(3) {
		rec.Blocks = append(rec.Blocks, wal.Block{ID: id, Rel: table, Block: 10 + uint32(id)})
	}
	return rec
}

func brinPage(tb testing.TB, kind uint16, tuples ...string) *Page {
	p := new(Page)
	initBrin(p, kind)
	for i, t := range tuples {
		if !addItem(p, []byte(t), i+1) {
			tb.Fatal("no room")
		}
	}
	return p
}

// TestRevmapSlot: a range's slot is at its number, 1360 to a page.
func TestRevmapSlot(t *testing.T) {
	for _, test := range []struct{ heapBlock, rangeSize, slot uint32 }{
		{0, 128, 0}, {127, 128, 0}, {128, 128, 1}, {1359, 1, 1359}, {1360, 1, 0}, {0xFFFFFFFE, 1, 0xFFFFFFFE % 1360}, {5, 0xFFFFFFFF, 0},
	} {
		p := brinPage(t, brinTypeRevmap)
		rec := brinRecord(brinInsert, words(test.heapBlock, test.rangeSize), shorts(4))
		var a Applier
		if _, err := a.Apply(p, rec, rec.Block(1)); err != nil {
			t.Fatal(err)
		}
		slot := p[24+6*test.slot:]
		if tidBlock(slot) != 10 || u16(slot, 4) != 4 {
			t.Errorf("block %d of ranges of %d: slot %d is % x", test.heapBlock, test.rangeSize, test.slot, slot[:6])
		}
		forget := brinRecord(brinDesummarize, words(test.rangeSize, test.heapBlock), shorts(4))
		forget.End = 0x3000
		mustApply(t, &a, p, forget)
		if tidBlock(slot) != invalidBlock || u16(slot, 4) != 0 {
			t.Errorf("a forgotten range has the slot % x", slot[:6])
		}
	}
}

// TestBrinDelete: the others keep their offset numbers, and the last line
// pointer goes.
func TestBrinDelete(t *testing.T) {
	for n, want := range map[uint16]string{1: "-,twotwotwo,three", 2: "one,-,three", 3: "one,twotwotwo"} {
		p := brinPage(t, brinTypeRegular, "one", "twotwotwo", "three")
		rec := brinRecord(brinUpdate, shorts(n, 0), words(0, 1), shorts(1))
		var a Applier
		if _, err := a.Apply(p, rec, rec.Block(2)); err != nil {
			t.Fatal(err)
		}
		got := ""
		for i := 1; i <= maxOffset(p); i++ {
			b, ok := item(p, i)
			if !ok {
				b = []byte("-")
			}
			if i > 1 {
				got += ","
			}
			got += string(b)
		}
		if got != want || !sane(p) {
			t.Errorf("item %d: got %s, want %s", n, got, want)
		}
		if n < 3 {
			// The unused line pointer takes the next tuple of its number.
			again := brinRecord(brinInsert, words(0, 1), shorts(n))
			again.Block(0).Data, again.End = []byte("again"), 0x3000
			mustApply(t, &a, p, again)
			if b, ok := item(p, int(n)); !ok || string(b) != "again" || maxOffset(p) != 3 {
				t.Errorf("item %d put again: %q, %d items", n, b, maxOffset(p))
			}
		}
	}
}

func TestBrinRefuses(t *testing.T) {
	regular := func() *Page { return brinPage(t, brinTypeRegular, "one") }
	tests := []struct {
		name  string
		op    uint8
		block uint8
		main  [][]byte
		data  string
	}{
		{"ranges of no blocks", brinInsert, 1, [][]byte{words(5, 0), shorts(1)}, ""},
		{"a tuple over another", brinInsert, 0, [][]byte{words(5, 1), shorts(1)}, "x"},
		{"a tuple behind a gap", brinInsert, 0, [][]byte{words(5, 1), shorts(3)}, "x"},
		{"a tuple without bytes", brinInsert, 0, [][]byte{words(5, 1), shorts(2)}, ""},
		{"the change of a tuple that is not there", brinSamepageUpdate, 0, [][]byte{shorts(2)}, "x"},
		{"the change of a tuple to nothing", brinSamepageUpdate, 0, [][]byte{shorts(1)}, ""},
		{"the end of a tuple that is not there", brinDesummarize, 1, [][]byte{words(1, 5), shorts(2)}, ""},
		{"a new page without its number", brinRevmapExtend, 1, [][]byte{{1, 0}}, ""},
		{"a third block of an insert", brinInsert, 2, [][]byte{words(5, 1), shorts(1)}, "x"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			rec := brinRecord(test.op, test.main...)
			rec.Block(test.block).Data = []byte(test.data)
			var a Applier
			if _, err := a.Apply(regular(), rec, rec.Block(test.block)); !errors.Is(err, ErrMalformed) {
				t.Errorf("error %v, want %v", err, ErrMalformed)
			}
		})
	}
}
