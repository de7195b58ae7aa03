package wal_test

import (
	"bytes"
	"encoding/binary"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"xenon/core"
	"xenon/core/wal"
)

// segSize is small, so that generated logs cross segments.
const segSize = 1 << 20

var format = wal.Format{Version: wal.PG15, SegmentSize: segSize, SystemID: 0x123456789ABCDEF0, TimelineID: 1}

// genRecord draws a record of any shape: blocks of any relation, images with
// and without hole and compression, main data from nothing to many pages.
func genRecord(t *rapid.T, large bool) *wal.Record {
	r := &wal.Record{
		XID:  rapid.Uint32().Draw(t, "xid"),
		Rmgr: wal.RmgrID(rapid.IntRange(0, 21).Draw(t, "rmgr")),
		Info: rapid.Byte().Draw(t, "info"),
	}
	if r.Rmgr == wal.RmgrXLOG && (r.Op() == wal.XLOGSwitch || r.Op() == wal.XLOGOverwriteContrecord) {
		r.Info = wal.XLOGNoop
	}
	if rapid.IntRange(0, 9).Draw(t, "origin?") == 0 {
		r.HasOrigin, r.Origin = true, rapid.Uint16().Draw(t, "origin")
		r.TopXID = rapid.Uint32().Draw(t, "top xid")
	}
	id := uint8(0)
	for range rapid.SampledFrom([]int{0, 1, 1, 2, 5}).Draw(t, "blocks") {
		id += uint8(rapid.IntRange(0, 5).Draw(t, "id step"))
		r.Blocks = append(r.Blocks, genBlock(t, id))
		id++
	}
	longest := 600
	if large {
		longest = 40000
	}
	r.Main = genBytes(t, longest, "main")
	return r
}

func genBlock(t *rapid.T, id uint8) wal.Block {
	b := wal.Block{
		ID:       id,
		Rel:      core.Rel{Spc: 1663, DB: 5, Node: core.OID(rapid.IntRange(1, 2).Draw(t, "node")), Fork: core.Fork(rapid.IntRange(0, 3).Draw(t, "fork"))},
		Block:    rapid.Uint32().Draw(t, "block"),
		WillInit: rapid.Bool().Draw(t, "init"),
		Data:     genBytes(t, 300, "data"),
	}
	if rapid.IntRange(0, 2).Draw(t, "image?") == 0 {
		o := wal.ImageOpts{Apply: rapid.Bool().Draw(t, "apply"), Standard: rapid.Bool().Draw(t, "standard")}
		b.SetImage(wal.PG15, genPage(t), o)
	}
	return b
}

// genPage draws a page with a hole, of bytes that repeat.
func genPage(t *rapid.T) *[core.PageSize]byte {
	var p [core.PageSize]byte
	pattern := rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(t, "pattern")
	for i := range p {
		p[i] = pattern[i%len(pattern)]
	}
	lower := rapid.IntRange(24, 8192).Draw(t, "lower")
	upper := rapid.IntRange(lower, 8192).Draw(t, "upper")
	binary.LittleEndian.PutUint16(p[12:], uint16(lower))
	binary.LittleEndian.PutUint16(p[14:], uint16(upper))
	clear(p[lower:upper])
	return &p
}

// genBytes draws a length and makes bytes of it without drawing each.
func genBytes(t *rapid.T, longest int, label string) []byte {
	n := rapid.IntRange(0, longest).Draw(t, label)
	b := make([]byte, n)
	x := uint32(n)*2654435761 + 1
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

// genStart draws a place near a page or segment boundary, or anywhere.
func genStart(t *rapid.T) core.LSN {
	base := core.LSN(7 * segSize)
	switch rapid.IntRange(0, 2).Draw(t, "near") {
	case 0:
		base += segSize
	case 1:
		base += core.LSN(rapid.IntRange(1, 100).Draw(t, "page")) * core.WALPageSize
	case 2:
		return format.RoundUp(base + core.LSN(rapid.IntRange(0, segSize).Draw(t, "at")))
	}
	return format.RoundUp(base + core.LSN(8*rapid.IntRange(-20, 20).Draw(t, "off")))
}

// A log is records and the bytes that an encoder made of them.
type log struct {
	start, end core.LSN
	records    []*wal.Record
	bytes      []byte
}

func genLog(t *rapid.T, longest int) log {
	l := log{start: genStart(t)}
	e := wal.NewEncoder(format, l.start, 0)
	for range rapid.IntRange(1, longest).Draw(t, "records") {
		r := genRecord(t, rapid.IntRange(0, 3).Draw(t, "large") == 0)
		if rapid.IntRange(0, 19).Draw(t, "switch") == 0 {
			r = &wal.Record{Rmgr: wal.RmgrXLOG, Info: wal.XLOGSwitch}
		}
		var err error
		if l.bytes, err = e.Append(l.bytes, r); err != nil {
			t.Fatal(err)
		}
		l.records = append(l.records, r)
	}
	l.end = e.Pos()
	return l
}

// decodeAll feeds b in chunks of the sizes that next gives and keeps the
// records.
func decodeAll(d *wal.Decoder, b []byte, next func() int) ([]*wal.Record, error) {
	var out []*wal.Record
	for len(b) > 0 {
		n := min(next(), len(b))
		if err := d.Feed(d.Pos(), b[:n]); err != nil {
			return out, err
		}
		b = b[n:]
		for {
			r, ok, err := d.Next()
			if err != nil {
				return out, err
			}
			if !ok {
				break
			}
			out = append(out, r.Clone())
		}
	}
	return out, nil
}

func whole() int { return 1 << 30 }

// check compares decoded records with those that were encoded.
func check(t rapid.TB, got, want []*wal.Record) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("decoded %d records, want %d", len(got), len(want))
	}
	ignore := cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Raw" }, cmp.Ignore())
	versions := cmp.Comparer(func(a, b *wal.Version) bool {
		return (&wal.Record{Version: a}).Major() == (&wal.Record{Version: b}).Major()
	})
	empty := cmp.Transformer("nil", func(b []byte) string { return string(b) })
	for i := range got {
		if d := cmp.Diff(want[i], got[i], ignore, versions, empty, cmp.Transformer("len", func(b []wal.Block) map[uint8]wal.Block {
			m := map[uint8]wal.Block{}
			for _, x := range b {
				m[x.ID] = x
			}
			return m
		})); d != "" {
			t.Fatalf("record %d differs (-want +got):\n%s", i, d)
		}
	}
}

func mustEncode(t rapid.TB, e *wal.Encoder, dst []byte, r *wal.Record) []byte {
	t.Helper()
	dst, err := e.Append(dst, r)
	if err != nil {
		t.Fatal(err)
	}
	return dst
}

func noop(n int) *wal.Record {
	return &wal.Record{Rmgr: wal.RmgrXLOG, Info: wal.XLOGNoop, Main: bytes.Repeat([]byte{7}, n)}
}
