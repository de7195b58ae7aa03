package redo

import (
	"strings"
	"testing"

	"xenon/core"
	"xenon/core/wal"
)

// specialPage makes a page with one item and a special space of these bytes.
func specialPage(t testing.TB, special ...byte) *Page {
	t.Helper()
	p := new(Page)
	initPage(p, len(special))
	copy(p[core.PageSize-len(special):], special)
	if !addItem(p, make([]byte, 40), 1) {
		t.Fatal("the item does not fit")
	}
	return p
}

func TestManagerOf(t *testing.T) {
	sixteen := func(last uint16) []byte { return append(make([]byte, 14), byte(last), byte(last>>8)) }
	eight := func(last uint16) []byte { return append(make([]byte, 6), byte(last), byte(last>>8)) }
	sequence := []byte{0x17, 0x17, 0, 0, 0, 0, 0, 0}
	tests := []struct {
		name    string
		special []byte
		block   uint32
		want    wal.RmgrID
		unknown bool
	}{
		{"heap", nil, 0, wal.RmgrHeap, false},
		{"btree", sixteen(0), 3, wal.RmgrBtree, false},
		{"btree with the highest cycle id", sixteen(0xFF7F), 3, wal.RmgrBtree, false},
		{"hash", sixteen(0xFF80), 1, wal.RmgrHash, false},
		{"GiST", sixteen(0xFF81), 1, wal.RmgrGist, false},
		{"nobody's 16 bytes", sixteen(0xFF90), 1, 0, true},
		{"SP-GiST", eight(0xFF82), 1, wal.RmgrSPGist, false},
		{"bloom", eight(0xFF83), 1, wal.RmgrGeneric, false},
		{"BRIN metapage", eight(0xF091), 0, wal.RmgrBrin, false},
		{"BRIN", eight(0xF093), 4, wal.RmgrBrin, false},
		{"GIN", eight(0x0083), 1, wal.RmgrGin, false},
		{"sequence", sequence, 0, wal.RmgrSeq, false},
		{"GIN that links to block 0x1717", sequence, 5, wal.RmgrGin, false},
		{"nobody's 8 bytes", eight(0x7000), 5, 0, true},
		{"nobody's 24 bytes", make([]byte, 24), 5, 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := ManagerOf(specialPage(t, tt.special...), tt.block)
			if got != tt.want || ok == tt.unknown {
				t.Errorf("a page of %v (%v)", got, ok)
			}
		})
	}
	if _, ok := ManagerOf(new(Page), 0); ok {
		t.Error("a page of zeroes is somebody's")
	}
}

// plainTuple is a tuple with nothing in it but its infomask and one byte.
func plainTuple(mask uint16) []byte {
	b := make([]byte, 25)
	put16(b, 20, mask)
	b[22] = 24
	return b
}

func heapPageOf(t testing.TB, items ...[]byte) *Page {
	t.Helper()
	p := new(Page)
	initPage(p, 0)
	for i, b := range items {
		if !addItem(p, b, i+1) {
			t.Fatal("the item does not fit")
		}
	}
	setLSN(p, 0x5000)
	return p
}

// sequencePage is a sequence with a value and a count.
func sequencePage(t testing.TB, value, left int64) *Page {
	t.Helper()
	b := make([]byte, 41)
	b[22] = 24
	put64(b, 24, uint64(value))
	put64(b, 32, uint64(left))
	p := new(Page)
	initPage(p, seqSpecial)
	put32(p[:], special(p), seqMagic)
	if !addItem(p, b, 1) {
		t.Fatal("the tuple does not fit")
	}
	setLSN(p, 0x5000)
	return p
}

func TestDiffWritten(t *testing.T) {
	with := func(p *Page, change func(p *Page)) *Page {
		c := *p
		change(&c)
		return &c
	}
	const (
		plain  = uint16(0x0800)
		frozen = uint16(0x0B00)
	)
	heap := heapPageOf(t, plainTuple(plain), plainTuple(plain))
	spgist := specialPage(t, 1, 0, 0, 0, 0, 0, 0x82, 0xFF)
	setLSN(spgist, 0x5000)
	tests := []struct {
		name             string
		written, rebuilt *Page
		want             string // beginning of the difference
	}{
		{"the same", heap, heap, ""},
		{"hints", with(heap, func(p *Page) { itemTuple(p, 1).setMask(plain | 0x0100); setFlags(p, flagAllVisible) }), heap, ""},
		{"the checksum", with(heap, func(p *Page) { put16(p[:], 8, 77) }), heap, ""},
		{"the hole", with(heap, func(p *Page) { p[4000] = 1 }), heap, ""},
		{"the LSN", with(heap, func(p *Page) { setLSN(p, 0x5008) }), heap, "pd_lsn"},
		{"a page that redo never made", heap, new(Page), "pd_lsn"},
		{"xmin", with(heap, func(p *Page) { put32(itemTuple(p, 2), 0, 9) }), heap, "item 2 t_xmin"},
		{"data", with(heap, func(p *Page) { itemTuple(p, 1)[24] = 7 }), heap, "item 1 data"},
		{"a line pointer", with(heap, func(p *Page) { p[27] ^= 0x10 }), heap, "pd_linp[1]"},
		{"a combo command id", heapPageOf(t, plainTuple(plain|0x20)), heapPageOf(t, plainTuple(plain)), ""},
		{"a combo command id of a frozen tuple", heapPageOf(t, plainTuple(frozen|0x20)), heapPageOf(t, plainTuple(frozen)), ""},
		{"a frozen tuple that redo has not", heapPageOf(t, plainTuple(frozen)), heapPageOf(t, plainTuple(plain)), "item 1 t_infomask"},
		{"another manager's page", with(spgist, func(p *Page) { p[core.PageSize-2] = 0x83 }), spgist, "special space"},
		{"the pages used last", with(spgist, func(p *Page) { p[headerSize+4] = 9 }), spgist, ""},
		{"the magic before them", with(spgist, func(p *Page) { p[headerSize] = 9 }), spgist, "magicNumber"},

		{"a sequence without values left", sequencePage(t, 7, 0), sequencePage(t, 7, 0), ""},
		{"a sequence with values left", sequencePage(t, 7, 30), sequencePage(t, 37, 0), ""},
		{"a sequence that falls by threes", sequencePage(t, 7, 10), sequencePage(t, -23, 0), ""},
		{"redo behind a sequence", sequencePage(t, 7, 0), sequencePage(t, 6, 0), "last_value"},
		{"redo not ahead by what is left", sequencePage(t, 7, 10), sequencePage(t, 7, 0), "last_value"},
		{"redo ahead by no multiple", sequencePage(t, 7, 10), sequencePage(t, 12, 0), "last_value"},
		{"a sequence copied with its count", sequencePage(t, 7, 19), sequencePage(t, 7, 19), ""},
		{"and used since", sequencePage(t, 9, 17), sequencePage(t, 7, 19), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := DiffWritten(tt.written, tt.rebuilt, 0)
			if tt.want == "" && got != "" || tt.want != "" && !strings.HasPrefix(got, tt.want) {
				t.Errorf("difference %q, want %q", got, tt.want)
			}
		})
	}
}

// itemTuple is the n-th item of a page as a tuple.
func itemTuple(p *Page, n int) tuple {
	it := itemAt(p, n)
	return tuple(p[it.off() : it.off()+it.len()])
}

// FuzzDiffWritten: bytes of any two pages are compared, and a page is the same
// as itself.
func FuzzDiffWritten(f *testing.F) {
	heap := heapPageOf(f, plainTuple(0x0800))
	f.Add(heap[:], sequencePage(f, 7, 30)[:], uint32(0))
	f.Add(specialPage(f, 1, 0, 0, 0, 0, 0, 0x82, 0xFF)[:], heap[:], uint32(3))
	f.Fuzz(func(t *testing.T, a, b []byte, block uint32) {
		var x, y Page
		copy(x[:], a)
		copy(y[:], b)
		DiffWritten(&x, &y, block)
		if diff := DiffWritten(&x, &x, block); diff != "" {
			t.Errorf("a page differs from itself: %s", diff)
		}
	})
}
