package redo

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"xenon/core/wal"
)

// spgLeafTuple is a live leaf tuple of 24 bytes.
func spgLeafTuple(key byte, next uint16) []byte {
	t := make([]byte, 24)
	put32(t, 0, 24<<2|spgLive)
	put16(t, spgLeafNext, next|0x8000) // a flag stands beside the link
	putTID(t[spgDeadPointer:], 0, uint16(key))
	t[16] = key
	return t
}

// spgInnerTuple has a prefix of 8 bytes and nodes of 16.
func spgInnerTuple(nodes int) []byte {
	t := make([]byte, spgInnerHeader+8+16*nodes)
	put32(t, 0, uint32(nodes)<<3|8<<16)
	put16(t, spgInnerSize, uint16(len(t)))
	for i := range nodes {
		n := t[spgInnerHeader+8+16*i:]
		nowhere.put(n)
		put16(n, tInfo, 16)
	}
	return t
}

func spgPageOf(tb testing.TB, flags uint16, tuples ...[]byte) *Page {
	p := new(Page)
	initSpg(p, flags)
	for i, t := range tuples {
		if !addItem(p, t, i+1) {
			tb.Fatal("no room")
		}
	}
	return p
}

// showSpg writes each tuple of a page: a live leaf as its key and the next of
// its chain, an inner tuple as the places its nodes link to, a redirect as
// where it leads and its transaction; then the page's two counters.
func showSpg(p *Page) string {
	var s []string
	o, _ := specialOf(p, spgOpaqueSize)
	for n := 1; n <= maxOffset(p); n++ {
		t, ok := item(p, n)
		switch {
		case !ok:
			s = append(s, "?")
		case t[0]&spgStates == spgPlaceholder:
			s = append(s, "-")
		case t[0]&spgStates == spgDead:
			s = append(s, "dead")
		case t[0]&spgStates == spgRedirect:
			s = append(s, fmt.Sprintf(">%d,%d@%d", tidBlock(t[spgDeadPointer:]), u16(t, spgDeadPointer+4), u32(t, spgDeadXID)))
		case u16(o, spgFlags)&spgLeaf != 0:
			s = append(s, fmt.Sprintf("%c:%d", t[16], u16(t, spgLeafNext)&spgNextMask))
		default:
			var nodes []string
			for at := spgInnerHeader + 8; at < len(t); at += 16 {
				nodes = append(nodes, fmt.Sprintf("%d,%d", int32(tidBlock(t[at:])), u16(t, at+4)))
			}
			s = append(s, "["+strings.Join(nodes, " ")+"]")
		}
	}
	return strings.Join(s, " ") + fmt.Sprintf(" redirects %d placeholders %d", u16(o, spgRedirects), u16(o, spgPlaceholders))
}

// spgRecord is a record with main data in pieces; block id lies at 10 + id.
func spgRecord(op uint8, blocks []uint8, main ...[]byte) *wal.Record {
	rec := &wal.Record{Version: wal.PG15, Start: 0x2000, End: 0x2040, Rmgr: wal.RmgrSPGist, Info: op}
	for _, m := range main {
		rec.Main = append(rec.Main, m...)
	}
	for _, id := range blocks {
		rec.Blocks = append(rec.Blocks, wal.Block{ID: id, Rel: table, Block: 10 + uint32(id)})
	}
	return rec
}

func TestSpgist(t *testing.T) {
	running, building := words(77, 0), words(77, 1)
	leafs := func() *Page {
		return spgPageOf(t, spgLeaf, spgLeafTuple('a', 2), spgLeafTuple('b', 3), spgLeafTuple('c', 0), spgLeafTuple('d', 0))
	}
	inner := func() *Page { return spgPageOf(t, 0, spgInnerTuple(1), spgInnerTuple(2)) }
	holes := func() *Page {
		p := leafs()
		var a Applier
		a.buryItems(p, shorts(4, 2), spgState{xid: 9}, spgRedirect, spgPlaceholder, spgPlace{3, 1})
		return p
	}
	fresh := func() *Page { return new(Page) }
	addNode := func(parentAt byte, state []byte) [][]byte {
		return [][]byte{shorts(1, 2), {1, parentAt}, shorts(2, 1, 0), state, spgInnerTuple(3)}
	}
	pick := func(state []byte) [][]byte {
		return [][]byte{{0, 0}, shorts(2, 2), {0, 1}, shorts(1), {1, 0, 1, 0}, shorts(1, 0, 0), state,
			shorts(3, 1), shorts(1, 1), {0, 1}, spgInnerTuple(1), spgLeafTuple('x', 0), spgLeafTuple('y', 0)}
	}
	three := []uint8{0, 1, 2}
	tests := []struct {
		name   string
		page   func() *Page
		op     uint8
		blocks []uint8
		main   [][]byte
		block  uint8
		want   string
	}{
		{"a leaf that ends a chain", leafs, spgAddLeaf, []uint8{0}, [][]byte{{0, 0}, shorts(5, 4, 0, 0), spgLeafTuple('e', 0)}, 0,
			"a:2 b:3 c:0 d:5 e:0 redirects 0 placeholders 0"},
		{"a leaf in place of a placeholder", holes, spgAddLeaf, []uint8{0}, [][]byte{{0, 0}, shorts(2, 0, 0, 0), spgLeafTuple('e', 0)}, 0,
			"a:2 e:0 c:0 >3,1@9 redirects 1 placeholders 0"},
		{"a leaf on a new page, and its downlink", inner, spgAddLeaf, []uint8{0, 1}, [][]byte{{1, 0}, shorts(1, 0, 2, 1), spgLeafTuple('e', 0)}, 1,
			"[-1,0] [-1,0 10,1] redirects 0 placeholders 0"},
		{"leafs that go leave a redirect", leafs, spgMoveLeafs, three, [][]byte{shorts(2), {0, 0, 0, 0}, shorts(1, 0, 0), running,
			shorts(2, 3), shorts(1, 2, 5), spgLeafTuple('x', 0), spgLeafTuple('y', 0), spgLeafTuple('z', 0)}, 0,
			"a:2 >11,5@77 - d:0 redirects 1 placeholders 1"},
		{"no redirect while an index is built", leafs, spgMoveLeafs, three, [][]byte{shorts(2), {0, 0, 0, 0}, shorts(1, 0, 0), building,
			shorts(2, 3), shorts(1, 2, 5)}, 0, "a:2 - - d:0 redirects 0 placeholders 2"},
		{"a dead tuple does not move", fresh, spgMoveLeafs, three, [][]byte{shorts(1), {1, 1, 0, 0}, shorts(1, 0, 0), running,
			shorts(2), shorts(1), spgLeafTuple('x', 0)}, 1, "x:0 redirects 0 placeholders 0"},
		{"a node more, in place", inner, spgAddNode, []uint8{0}, [][]byte{shorts(1, 0), {0, 0xFF}, shorts(0, 0, 0), running, spgInnerTuple(3)}, 0,
			"[-1,0 -1,0 -1,0] [-1,0 -1,0] redirects 0 placeholders 0"},
		{"a node more, elsewhere; the parent stays on the page", inner, spgAddNode, []uint8{0, 1}, addNode(0, running), 0,
			">11,2@77 [-1,0 11,2] redirects 1 placeholders 0"},
		{"a node more, elsewhere; the parent is there", func() *Page { return spgPageOf(t, 0, spgInnerTuple(2)) }, spgAddNode, []uint8{0, 1},
			[][]byte{shorts(1, 2), {0, 1}, shorts(1, 0, 0), running, spgInnerTuple(3)}, 1, "[11,2 -1,0] [-1,0 -1,0 -1,0] redirects 0 placeholders 0"},
		{"a node more, elsewhere; the parent is on a third page", inner, spgAddNode, three, addNode(2, running), 2,
			"[-1,0] [-1,0 11,2] redirects 0 placeholders 0"},
		{"a node more, elsewhere, while an index is built", inner, spgAddNode, three, addNode(2, building), 0,
			"- [-1,0 -1,0] redirects 0 placeholders 1"},
		{"a prefix split, both parts on a page", inner, spgSplitTuple, []uint8{0}, [][]byte{shorts(1, 3), {0, 1}, spgInnerTuple(1), spgInnerTuple(4)}, 0,
			"[-1,0] [-1,0 -1,0] [-1,0 -1,0 -1,0 -1,0] redirects 0 placeholders 0"},
		{"a prefix split, the rest on a new page", fresh, spgSplitTuple, []uint8{0, 1}, [][]byte{shorts(1, 1), {1, 0}, spgInnerTuple(1), spgInnerTuple(2)}, 1,
			"[-1,0 -1,0] redirects 0 placeholders 0"},
		{"a page picked apart", leafs, spgPickSplit, three, pick(running), 0, "x:0 b:3 >12,1@77 d:0 redirects 1 placeholders 0"},
		{"a page picked apart while an index is built", leafs, spgPickSplit, three, pick(building), 0, "x:0 b:3 - d:0 redirects 0 placeholders 1"},
		{"where the other part goes", fresh, spgPickSplit, three, pick(running), 1, "y:0 redirects 0 placeholders 0"},
		{"the inner tuple above, its own parent", fresh, spgPickSplit, three, pick(running), 2, "[12,1] redirects 0 placeholders 0"},
		{"a chain loses its head", leafs, spgVacuumLeaf, []uint8{0}, [][]byte{shorts(1, 1, 1, 1), running, shorts(4), shorts(2), shorts(3), shorts(1), shorts(1), shorts(0)}, 0,
			"c:0 - - dead redirects 0 placeholders 2"},
		{"a root loses tuples", leafs, spgVacuumRoot, []uint8{0}, [][]byte{shorts(3, 0), running, shorts(1, 2, 4)}, 0, "c:0 redirects 0 placeholders 0"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			rec := spgRecord(test.op, test.blocks, test.main...)
			blk, p := rec.Block(test.block), test.page()
			blk.WillInit = IsNew(p)
			var a Applier
			if _, err := a.Apply(p, rec, blk); err != nil {
				t.Fatal(err)
			}
			if got := showSpg(p); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			if !sane(p) {
				t.Error("the header's pointers are out of order")
			}
		})
	}
}

// TestSpgistRedirectsByMajor: the list of redirects begins where the version
// has it; placeholders at the end go.
func TestSpgistRedirectsByMajor(t *testing.T) {
	for _, v := range wal.Versions {
		p := spgPageOf(t, spgLeaf, spgLeafTuple('a', 0), spgLeafTuple('b', 0), spgLeafTuple('c', 0), spgLeafTuple('d', 0))
		var a Applier
		a.buryItems(p, shorts(2), spgState{xid: 9}, spgRedirect, spgPlaceholder, spgPlace{3, 1})
		a.buryItems(p, shorts(4, 3), spgState{xid: 9}, spgRedirect, spgPlaceholder, spgPlace{3, 2})
		list := shorts(4, 2)
		if v.Major >= 16 {
			list = append([]byte{1, 0xEE}, list...)
		}
		rec := spgRecord(spgVacuumRedirect, []uint8{0}, shorts(2, 3), words(9), list)
		rec.Version = v
		mustApply(t, &a, p, rec)
		if got, want := showSpg(p), "a:0 - redirects 0 placeholders 1"; got != want {
			t.Errorf("%s: got %s, want %s", v, got, want)
		}
	}
}

func TestSpgistRefuses(t *testing.T) {
	leafs := func() *Page { return spgPageOf(t, spgLeaf, spgLeafTuple('a', 0), spgLeafTuple('b', 0)) }
	inner := func() *Page { return spgPageOf(t, 0, spgInnerTuple(2)) }
	tests := []struct {
		name  string
		page  func() *Page
		op    uint8
		block uint8
		main  [][]byte
	}{
		{"a leaf in place of a live one", leafs, spgAddLeaf, 0, [][]byte{{0, 0}, shorts(2, 0, 0, 0), spgLeafTuple('e', 0)}},
		{"a leaf behind a gap", leafs, spgAddLeaf, 0, [][]byte{{0, 0}, shorts(4, 0, 0, 0), spgLeafTuple('e', 0)}},
		{"a leaf cut short", leafs, spgAddLeaf, 0, [][]byte{{0, 0}, shorts(3, 0, 0, 0), spgLeafTuple('e', 0)[:20]}},
		{"a chain without its head", leafs, spgAddLeaf, 0, [][]byte{{0, 0}, shorts(3, 9, 0, 0), spgLeafTuple('e', 0)}},
		{"a node that a parent does not have", inner, spgAddLeaf, 1, [][]byte{{0, 0}, shorts(1, 0, 1, 2), spgLeafTuple('e', 0)}},
		{"a parent that is not there", inner, spgAddLeaf, 1, [][]byte{{0, 0}, shorts(1, 0, 2, 0), spgLeafTuple('e', 0)}},
		{"a tuple removed twice", leafs, spgVacuumLeaf, 0, [][]byte{shorts(2, 0, 0, 0), words(0, 0), shorts(1, 1)}},
		{"a swap outside the page", leafs, spgVacuumLeaf, 0, [][]byte{shorts(0, 0, 1, 0), words(0, 0), shorts(1), shorts(3)}},
		{"a redirect that is not there", leafs, spgVacuumRedirect, 0, [][]byte{shorts(1, 0), words(0), shorts(3)}},
		{"placeholders from behind the end", leafs, spgVacuumRedirect, 0, [][]byte{shorts(0, 9), words(0)}},
		{"an inner tuple without a page for its leafs", inner, spgPickSplit, 3, [][]byte{make([]byte, 30)}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			rec := spgRecord(test.op, []uint8{0, 1, 3}, test.main...)
			var a Applier
			if _, err := a.Apply(test.page(), rec, rec.Block(test.block)); !errors.Is(err, ErrMalformed) {
				t.Errorf("error %v, want %v", err, ErrMalformed)
			}
		})
	}
}
