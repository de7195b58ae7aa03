package wal_test

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/wal"
)

// sealed makes a record of a body that may be anything.
func sealed(body []byte, info, rmgr uint8) []byte {
	raw := make([]byte, wal.RecordHeaderSize, wal.RecordHeaderSize+len(body))
	raw = append(raw, body...)
	binary.LittleEndian.PutUint32(raw, uint32(len(raw)))
	raw[16], raw[17] = info, rmgr
	table := crc32.MakeTable(crc32.Castagnoli)
	crc := crc32.Update(crc32.Checksum(body, table), table, raw[:20])
	binary.LittleEndian.PutUint32(raw[20:], crc)
	return raw
}

// Records whose checksum is right, but whose parts contradict each other.
func TestParseRecordRefuses(t *testing.T) {
	block := func(flags uint8, dataLen uint16, rest ...byte) []byte {
		return append([]byte{0, flags, byte(dataLen), byte(dataLen >> 8)}, rest...)
	}
	rel := make([]byte, 16)
	image := func(length, off uint16, info uint8, rest ...byte) []byte {
		return append([]byte{byte(length), byte(length >> 8), byte(off), byte(off >> 8), info}, rest...)
	}
	join := func(parts ...[]byte) (b []byte) {
		for _, p := range parts {
			b = append(b, p...)
		}
		return b
	}
	tests := []struct {
		name, why string
		body      []byte
	}{
		{"an unknown id", "id 100", []byte{100, 0}},
		{"a header cut short", "ends in its headers", []byte{255}},
		{"a long header cut short", "ends in its headers", []byte{254, 1, 0}},
		{"less data than declared", "headers say 9", []byte{255, 9, 1}},
		{"more data than declared", "headers say 1", []byte{255, 1, 1, 2}},
		{"main data of 4 GiB", "headers say 4294967295", []byte{254, 255, 255, 255, 255}},
		{"a block cut short", "ends in its headers", []byte{0, 0}},
		{"a block without its relation", "ends in its headers", block(0, 0)},
		{"a block of the same relation as none", "there is none", block(0x80, 0, 1, 2, 3, 4)},
		{"blocks in a wrong order", "follows", join(block(0, 0, rel...), block(0, 0, rel...))},
		{"a flag without data", "contradict", block(0x20, 0, rel...)},
		{"data without the flag", "contradict", block(0, 5, rel...)},
		{"an image header cut short", "ends in its headers", block(0x10, 0, 1, 2)},
		{"an image longer than a page", "image of 8193 bytes", block(0x10, 0, image(8193, 0, 0, rel...)...)},
		{"a hole without the flag", "contradicts", block(0x10, 0, image(8000, 100, 0, rel...)...)},
		{"a hole at 0", "contradicts", block(0x10, 0, image(8000, 0, 1, rel...)...)},
		{"no hole but the flag", "contradicts", block(0x10, 0, image(8192, 10, 1, rel...)...)},
		{"a hole behind the page", "contradicts", block(0x10, 0, image(8000, 8001, 1, rel...)...)},
		{"two compressions", "compression flags 0C", block(0x10, 0, image(100, 0, 12, rel...)...)},
		{"a compressed image of a page", "compressed image of 8192", block(0x10, 0, image(8192, 0, 4, rel...)...)},
		{"a compressed image of nothing", "compressed image of 0", block(0x10, 0, image(0, 0, 4, rel...)...)},
		{"a compressed image without the hole's length", "ends in its headers", block(0x10, 0, image(10, 50, 5)...)},
	}
	for _, tt := range tests {
		var r wal.Record
		err := wal.PG15.ParseRecord(sealed(tt.body, 0, 0), 0x1230, &r)
		var e *wal.InvalidError
		if !errors.As(err, &e) || e.Flaw != wal.BadContent || e.At != 0x1230 || !strings.Contains(err.Error(), tt.why) || !errors.Is(err, env.ErrCorrupt) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.why)
		}
	}
}

func TestAppendRecordRefuses(t *testing.T) {
	page := make([]byte, core.PageSize)
	tests := []struct {
		name string
		r    wal.Record
	}{
		{"no such manager", wal.Record{Rmgr: 22}},
		{"blocks in a wrong order", wal.Record{Blocks: []wal.Block{{ID: 1}, {ID: 1}}}},
		{"a block beyond 32", wal.Record{Blocks: []wal.Block{{ID: 33}}}},
		{"too much data of a block", wal.Record{Blocks: []wal.Block{{Data: make([]byte, 65536)}}}},
		{"an image that is said not to be", wal.Record{Blocks: []wal.Block{{Image: page}}}},
		{"half an image", wal.Record{Blocks: []wal.Block{{HasImage: true, Image: page[:4096]}}}},
		{"a compressed page as long as a page", wal.Record{Blocks: []wal.Block{{HasImage: true, Compression: wal.LZ4, Image: page}}}},
	}
	for _, tt := range tests {
		if b, err := wal.PG15.AppendRecord([]byte("kept"), &tt.r); err == nil || string(b) != "kept" {
			t.Errorf("%s: %q, %v", tt.name, b, err)
		}
	}
	lz4 := wal.Record{Blocks: []wal.Block{{HasImage: true, Compression: wal.LZ4, Image: page[:100]}}}
	if b, err := wal.PG14.AppendRecord([]byte("kept"), &lz4); err == nil || string(b) != "kept" {
		t.Errorf("an image that 14 cannot read: %q, %v", b, err)
	}
}

func TestVersions(t *testing.T) {
	for _, tt := range []struct {
		magic uint16
		major int
	}{{0xD10D, 14}, {0xD110, 15}, {0xD113, 16}, {0xD116, 17}, {0xD118, 18}} {
		v, err := wal.VersionByMagic(tt.magic)
		if err != nil || v.Major != tt.major {
			t.Errorf("%04X: %v, %v, want %d", tt.magic, v, err, tt.major)
		}
		if byMajor, err := wal.VersionByMajor(tt.major); byMajor != v || err != nil {
			t.Errorf("%d: %v, %v, want %v", tt.major, byMajor, err, v)
		}
	}
	if _, err := wal.VersionByMagic(0xD120); err == nil || !strings.Contains(err.Error(), "14 to 18") {
		t.Errorf("the magic of a version to come: %v", err)
	}
	for _, major := range []int{13, 19} {
		if _, err := wal.VersionByMajor(major); err == nil || !strings.Contains(err.Error(), "14 to 18") {
			t.Errorf("%d: %v", major, err)
		}
	}
}

func TestRecordNames(t *testing.T) {
	for _, tt := range []struct {
		v     *wal.Version
		rmgr  wal.RmgrID
		info  uint8
		want  string
		known bool
	}{
		{nil, wal.RmgrHeap, 0x82, "Heap/INSERT+INIT", true},
		{nil, wal.RmgrXact, 0x80, "Transaction/COMMIT", true},
		{nil, wal.RmgrGeneric, 0x02, "Generic/Generic", true},
		{nil, wal.RmgrBtree, 0xF0, "Btree/UNKNOWN (f0)", false},
		{nil, 128, 0x10, "custom128/UNKNOWN (10)", false},
		{nil, 50, 0x10, "unknown resource manager 50/UNKNOWN (10)", false},
		{wal.PG14, wal.RmgrDBase, 0x00, "Database/CREATE", true},
		{wal.PG14, wal.RmgrDBase, 0x10, "Database/DROP", true},
		{wal.PG14, wal.RmgrDBase, 0x20, "Database/UNKNOWN (20)", false},
		{wal.PG16, wal.RmgrDBase, 0x10, "Database/CREATE_WAL_LOG", true},
		{wal.PG16, wal.RmgrHeap2, 0x30, "Heap2/FREEZE_PAGE", true},
		{wal.PG16, wal.RmgrXLOG, 0xE0, "XLOG/UNKNOWN (e0)", false},
		{wal.PG17, wal.RmgrXLOG, 0xE0, "XLOG/CHECKPOINT_REDO", true},
		{wal.PG17, wal.RmgrHeap2, 0x10, "Heap2/PRUNE_ON_ACCESS", true},
		{wal.PG18, wal.RmgrHeap2, 0x20, "Heap2/PRUNE_VACUUM_SCAN", true},
		{wal.PG18, wal.RmgrHeap2, 0x30, "Heap2/PRUNE_VACUUM_CLEANUP", true},
	} {
		r := wal.Record{Version: tt.v, Rmgr: tt.rmgr, Info: tt.info}
		if got := r.Name(); got != tt.want || r.KnownOp() != tt.known {
			t.Errorf("%v, %d %02x: %s, known %v, want %s", tt.v, tt.rmgr, tt.info, got, r.KnownOp(), tt.want)
		}
	}
}

func TestRecordTypes(t *testing.T) {
	counts := map[int]int{}
	for _, v := range wal.Versions {
		for id, op := range v.RecordTypes() {
			counts[v.Major]++
			if r := (wal.Record{Version: v, Rmgr: id, Info: op}); !r.KnownOp() {
				t.Errorf("%s: %s is listed and not known", v, r.Name())
			}
		}
	}
	// 15 logs CREATE DATABASE in two ways, 17 the beginning of a checkpoint.
	if want := map[int]int{14: counts[15] - 1, 15: counts[15], 16: counts[15], 17: counts[15] + 1, 18: counts[15] + 1}; !maps.Equal(counts, want) {
		t.Errorf("%v record types, want %v", counts, want)
	}
}

func TestTwoPhaseName(t *testing.T) {
	for _, tt := range []struct {
		v    *wal.Version
		xid  uint32
		next uint64
		want string
	}{
		{wal.PG16, 0x2F1, 0x3000002F5, "000002F1"},
		{wal.PG17, 0x2F1, 0x3000002F5, "00000003000002F1"},
		{wal.PG18, 0xFFFFFFF0, 0x300000005, "00000002FFFFFFF0"},
	} {
		if got := tt.v.TwoPhaseName(tt.xid, tt.next); got != tt.want {
			t.Errorf("%s, %X below %X: %s, want %s", tt.v, tt.xid, tt.next, got, tt.want)
		}
	}
}

// xactMain builds the main data of a transaction record.
type xactMain []byte

func (m *xactMain) u16(v ...uint16) *xactMain {
	for _, v := range v {
		*m = binary.LittleEndian.AppendUint16(*m, v)
	}
	return m
}

func (m *xactMain) u32(v ...uint32) *xactMain {
	for _, v := range v {
		*m = binary.LittleEndian.AppendUint32(*m, v)
	}
	return m
}

func (m *xactMain) u64(v ...uint64) *xactMain {
	for _, v := range v {
		*m = binary.LittleEndian.AppendUint64(*m, v)
	}
	return m
}

func (m *xactMain) text(s string) *xactMain { *m = append(*m, s...); return m }

// All parts at once: the golden log has them one by one, but no origin and no
// name.
func TestParseXactWithAllParts(t *testing.T) {
	var m xactMain
	m.u64(99).u32(0x1FF|1<<30).u32(5, 1663).u32(2, 11, 12).u32(1, 1663, 5, 16384).u32(1, 2, 5, 16384)
	m.u32(1).u64(0, 0).u32(77).text("name\x00").u64(0x1122334455, 88)
	want := wal.Xact{Op: wal.XactCommitPrepared, XID: 77, Time: 99, DB: 5, Spc: 1663, SubXIDs: []uint32{11, 12},
		Rels: []core.Rel{{Spc: 1663, DB: 5, Node: 16384}}, DroppedStats: 1, Invals: 1, GID: "name",
		HasOrigin: true, OriginLSN: 0x1122334455, OriginTime: 88, RelCacheInitFile: true}
	r := &wal.Record{Rmgr: wal.RmgrXact, Info: wal.XactCommitPrepared | 0x80, Main: m, Start: 8}
	checkXact(t, r, want)
	for cut := range m {
		r.Main = m[:cut]
		var x wal.Xact
		if err := wal.ParseXact(r, &x); !errors.Is(err, env.ErrCorrupt) {
			t.Errorf("cut to %d bytes: %v", cut, err)
		}
	}
}

func TestParseXactKinds(t *testing.T) {
	var abort, prepare, assign, inval, unknown xactMain
	// The messages of an abort are not there, whatever its parts say.
	abort.u64(5).u32(1 << 3)
	prepare.u32(wal.TwoPhaseMagic, 0, 33, 5).u64(7).u32(10, 1, 0, 1, 0, 0, 0).u16(0, 5).u64(0x99, 8)
	prepare.text("gid4\x00\x00\x00\x00").u32(34, 0).u32(1663, 5, 17000).text("\x00\x00\x00\x00state of others")
	assign.u32(40, 2, 41, 42)
	inval.u32(1).u64(0, 0)
	unknown.u64(5).u32(1 << 9)
	rec := func(info uint8, m []byte) *wal.Record {
		return &wal.Record{Rmgr: wal.RmgrXact, Info: info, Main: m, XID: 3}
	}
	checkXact(t, rec(wal.XactAbort|0x80, abort), wal.Xact{Op: wal.XactAbort, XID: 3, Time: 5})
	checkXact(t, rec(wal.XactPrepare, prepare), wal.Xact{Op: wal.XactPrepare, XID: 33, Time: 7, DB: 5, GID: "gid4",
		SubXIDs: []uint32{34}, AbortRels: []core.Rel{{Spc: 1663, DB: 5, Node: 17000}}, HasOrigin: true, OriginLSN: 0x99, OriginTime: 8})
	checkXact(t, rec(wal.XactAssignment, assign), wal.Xact{Op: wal.XactAssignment, XID: 40, SubXIDs: []uint32{41, 42}})
	checkXact(t, rec(wal.XactInvalidations, inval), wal.Xact{Op: wal.XactInvalidations, XID: 3, Invals: 1})
	for _, r := range []*wal.Record{rec(0x70, nil), rec(wal.XactCommit|0x80, unknown), rec(wal.XactPrepare, make([]byte, 72))} {
		var x wal.Xact
		if err := wal.ParseXact(r, &x); !errors.Is(err, env.ErrCorrupt) {
			t.Errorf("%02x: %v", r.Info, err)
		}
	}
}

func checkXact(t *testing.T, r *wal.Record, want wal.Xact) {
	t.Helper()
	// Slices are used again: what was in them must not come through.
	got := wal.Xact{SubXIDs: []uint32{1, 2, 3}, Rels: make([]core.Rel, 3), AbortRels: make([]core.Rel, 1), GID: "x"}
	if err := wal.ParseXact(r, &got); err != nil {
		t.Fatal(err)
	}
	empty := cmp.FilterValues(func(a, b any) bool { return lenOf(a) == 0 && lenOf(b) == 0 }, cmp.Comparer(func(a, b any) bool { return true }))
	if d := cmp.Diff(want, got, empty); d != "" {
		t.Errorf("%s: %s", r.Name(), d)
	}
}

func lenOf(v any) int {
	switch v := v.(type) {
	case []uint32:
		return len(v)
	case []core.Rel:
		return len(v)
	}
	return 1
}

// ordinaryCommit is what most transactions end with: a time and a database.
func ordinaryCommit() *wal.Record {
	var m xactMain
	m.u64(99).u32(1).u32(5, 1663)
	return &wal.Record{Rmgr: wal.RmgrXact, Info: wal.XactCommit | 0x80, Main: m, Start: 8, XID: 3}
}

// A commit is decoded for each transaction, by whoever ingests WAL.
func TestParseXactAllocatesNothing(t *testing.T) {
	r, x := ordinaryCommit(), new(wal.Xact)
	n := testing.AllocsPerRun(100, func() {
		if err := wal.ParseXact(r, x); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations for a commit, want none", n)
	}
}

func BenchmarkParseXact(b *testing.B) {
	r, x := ordinaryCommit(), new(wal.Xact)
	b.ReportAllocs()
	for b.Loop() {
		if err := wal.ParseXact(r, x); err != nil {
			b.Fatal(err)
		}
	}
}
