package redo

import (
	"fmt"
	"strings"
	"testing"

	"xenon/core/wal"
)

// plain is an index tuple of 16 bytes with one TID.
func plain(key string, offset uint16) []byte {
	t := make([]byte, 16)
	putTID(t, 0, offset)
	put16(t, tInfo, 16)
	copy(t[indexHeader:], key)
	return t
}

// listOf is a posting list tuple with TIDs (0, offset).
func listOf(key string, offsets ...uint16) []byte {
	base := plain(key, offsets[0])
	t := make([]byte, postingSize(16, len(offsets)))
	to := beginPosting(t, base, 16, len(offsets))
	for i, o := range offsets {
		putTID(to[i*tidSize:], 0, o)
	}
	return t
}

// show writes each tuple of a page as key:offsets.
func show(p *Page) string {
	var s []string
	for n := 1; n <= maxOffset(p); n++ {
		t, ok := item(p, n)
		if !ok {
			s = append(s, "?")
			continue
		}
		_, tids, ok := postingList(t)
		if !ok {
			s = append(s, "?")
			continue
		}
		var list []string
		for ; len(tids) > 0; tids = tids[tidSize:] {
			list = append(list, fmt.Sprint(u16(tids, 4)))
		}
		s = append(s, strings.TrimRight(string(t[indexHeader:16]), "\x00")+":"+strings.Join(list, ","))
	}
	return strings.Join(s, " ")
}

func TestBtree(t *testing.T) {
	tests := []struct {
		name       string
		start      [][]byte
		op         uint8
		main, data []byte
		want       string
	}{
		{"insert", [][]byte{plain("a", 1), plain("c", 3)}, btInsertLeaf, shorts(2), plain("b", 2), "a:1 b:2 c:3"},
		{"insert into a posting list: its last TID moves on", [][]byte{listOf("a", 1, 2, 5)}, btInsertPost, shorts(2),
			append(shorts(2), plain("a", 3)...), "a:1,2,3 a:5"},
		{"merge two of three", [][]byte{plain("a", 1), listOf("a", 2, 3), plain("b", 4)}, btDedup, shorts(1),
			shorts(1, 2), "a:1,2,3 b:4"},
		{"take TIDs out of a list", [][]byte{listOf("a", 1, 2, 3, 4), plain("b", 9)}, btVacuum, shorts(0, 1),
			shorts(1, 2, 0, 2), "a:2,4 b:9"},
		{"a list of one is a plain tuple", [][]byte{listOf("a", 1, 2), plain("b", 9)}, btVacuum, shorts(0, 1),
			shorts(1, 1, 0), "a:2 b:9"},
		{"take tuples and TIDs out", [][]byte{plain("a", 1), listOf("b", 2, 3), plain("c", 4), plain("d", 5), plain("e", 6)}, btDelete,
			append(words(0), shorts(3, 1)...), shorts(1, 3, 5, 2, 1, 0), "b:3 d:5"},
		{"split, the new tuple on the left", [][]byte{plain("a", 1), plain("b", 2), plain("d", 4)}, btSplitL,
			append(words(0), shorts(3, 3, 0)...), append(plain("c", 3), plain("d", 0)...), "d:0 a:1 b:2 c:3"},
		{"split inside a posting list", [][]byte{plain("a", 1), listOf("b", 2, 3, 7), plain("d", 8)}, btSplitL,
			append(words(0), shorts(3, 3, 2)...), append(plain("b", 5), plain("d", 0)...), "d:0 a:1 b:2,3,5 b:7"},
		{"split, the new tuple on the right", [][]byte{plain("a", 1), plain("b", 2), plain("d", 4)}, btSplitR,
			append(words(0), shorts(2, 3, 0)...), plain("b", 0), "b:0 a:1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var p Page
			o := initBtree(&p)
			o.setFlags(btpLeaf | btpHasGarbage)
			for i, tuple := range test.start {
				if !addItem(&p, tuple, i+1) {
					t.Fatal("does not fit")
				}
			}
			rec := &wal.Record{Start: 0x1000, End: 0x1040, Rmgr: wal.RmgrBtree, Info: test.op, Main: test.main,
				Blocks: []wal.Block{{Rel: table, Data: test.data}, {ID: 1, Rel: table, Block: 9}}}
			mustApply(t, new(Applier), &p, rec)
			if got := show(&p); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
			if !sane(&p) {
				t.Error("the header's pointers are out of order")
			}
		})
	}
}

func TestBtreePagesMadeNew(t *testing.T) {
	tests := []struct {
		name  string
		op    uint8
		id    uint8
		main  []byte
		data  []byte
		flags uint16
		items int
	}{
		{"root of a new index", btNewRoot, 0, words(1, 0), nil, btpRoot | btpLeaf, 0},
		{"root above", btNewRoot, 0, words(3, 1), append(plain("", 1), plain("k", 2)...), btpRoot, 2},
		{"meta page", btMetaCleanup, 0, nil, make([]byte, btMetaRecord), btpMeta, 12}, // the content looks like line pointers
		{"half-dead leaf", btMarkHalfDead, 0, make([]byte, 20), nil, btpHalfDead | btpLeaf, 1},
		{"deleted leaf", btUnlinkPage, 0, make([]byte, 36), nil, btpDeleted | btpHasFullXID | btpLeaf, 2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var p Page
			rec := &wal.Record{Start: 0x1000, End: 0x1040, Rmgr: wal.RmgrBtree, Info: test.op, Main: test.main,
				Blocks: []wal.Block{{ID: test.id, Rel: table, WillInit: true, Data: test.data}}}
			mustApply(t, new(Applier), &p, rec)
			o, ok := opaque(&p)
			if !ok || o.flags() != test.flags || maxOffset(&p) != test.items {
				t.Errorf("flags %x, %d line pointers, want %x, %d", o.flags(), maxOffset(&p), test.flags, test.items)
			}
		})
	}
}
