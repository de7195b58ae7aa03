package redo

import (
	"errors"
	"testing"

	"xenon/core/wal"
)

func TestGeneric(t *testing.T) {
	piece := func(at uint16, s string) []byte { return append(shorts(at, uint16(len(s))), s...) }
	page := func() *Page {
		p := new(Page)
		initPage(p, 16)
		p[1000] = 'x' // in the hole
		return p
	}
	lowered := string(shorts(40))
	tests := []struct {
		name string
		data []byte
		want map[int]byte // nil if the record does not fit
	}{
		{"pieces in order", append(piece(pdLower, lowered), piece(8180, "abc")...), map[int]byte{pdLower: 40, 8180: 'a', 8182: 'c', 1000: 0}},
		{"a later piece over an earlier one", append(piece(8180, "abc"), piece(8181, "B")...), map[int]byte{8180: 'a', 8181: 'B', 8182: 'c'}},
		{"a piece in the hole is gone", piece(2000, "abc"), map[int]byte{2000: 0, 2002: 0}},
		{"the last byte", piece(8191, "z"), map[int]byte{8191: 'z'}},
		{"no piece", nil, map[int]byte{1000: 0}},
		{"a piece past the page", piece(8191, "zz"), nil},
		{"a piece cut short", piece(100, "abc")[:6], nil},
		{"a piece without its length", []byte{1, 0, 1}, nil},
		{"a header out of order", piece(pdLower, string(shorts(8190))), nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := page()
			rec := &wal.Record{Start: 0x2000, End: 0x2040, Rmgr: wal.RmgrGeneric, Blocks: []wal.Block{{Rel: table, Data: test.data}}}
			var a Applier
			_, err := a.Apply(p, rec, &rec.Blocks[0])
			if test.want == nil {
				if !errors.Is(err, ErrMalformed) {
					t.Errorf("error %v, want %v", err, ErrMalformed)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for at, want := range test.want {
				if p[at] != want {
					t.Errorf("byte %d: %02x, want %02x", at, p[at], want)
				}
			}
		})
	}
}
