package redo

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"xenon/core"
	"xenon/core/wal"
)

// words is main data of little-endian u32.
func words(v ...uint32) []byte {
	var b []byte
	for _, w := range v {
		b = binary.LittleEndian.AppendUint32(b, w)
	}
	return b
}

// describe writes effects as one line each.
func describe(list []Effect) string {
	var s strings.Builder
	for i := range list {
		switch e := &list[i]; e.Kind {
		case PatchPage:
			fmt.Fprintf(&s, "patch %s: %s\n", e.Key, e.Patch)
		case SLRUTruncate:
			fmt.Fprintf(&s, "cut %s\n", e.SLRU.Dir())
		case RelCreate:
			fmt.Fprintf(&s, "create %s\n", e.Rel)
		case RelTruncate:
			fmt.Fprintf(&s, "truncate %s to %d\n", e.Rel, e.Blocks)
		case RelDrop:
			fmt.Fprintf(&s, "drop %s\n", e.Rel)
		case DBCreate:
			fmt.Fprintf(&s, "make database %d/%d\n", e.Rel.Spc, e.Rel.DB)
		case DBCopy:
			fmt.Fprintf(&s, "copy database %d/%d from %d/%d\n", e.Rel.Spc, e.Rel.DB, e.From.Spc, e.From.DB)
		case DBDrop:
			fmt.Fprintf(&s, "drop database %d/%d\n", e.Rel.Spc, e.Rel.DB)
		case RelMap:
			fmt.Fprintf(&s, "relation map %d/%d, %d bytes\n", e.Rel.Spc, e.Rel.DB, len(e.Data))
		case TwoPhaseCreate:
			fmt.Fprintf(&s, "prepare %d\n", e.XID)
		case TwoPhaseRemove:
			fmt.Fprintf(&s, "forget prepared %d\n", e.XID)
		case CommitTime:
			fmt.Fprintf(&s, "committed at %d\n", e.Time)
		case SpcCreate:
			fmt.Fprintf(&s, "make tablespace %d\n", e.Rel.Spc)
		case SpcDrop:
			fmt.Fprintf(&s, "drop tablespace %d\n", e.Rel.Spc)
		case OriginAdvance:
			fmt.Fprintf(&s, "origin %d at %s, back %v\n", e.Origin, e.Remote, e.Back)
		case OriginDrop:
			fmt.Fprintf(&s, "drop origin %d\n", e.Origin)
		}
	}
	return s.String()
}

var table = core.Rel{Spc: 1663, DB: 5, Node: 16384}

func TestEffects(t *testing.T) {
	vm0 := vmKey(table, 0).String()
	vm1 := vmKey(table, 1).String()
	clog0, clog1 := slruKey(core.Clog, 0).String(), slruKey(core.Clog, 1).String()
	tests := []struct {
		name string
		rec  wal.Record
		want string
	}{
		{"insert on an all-visible page", wal.Record{Rmgr: wal.RmgrHeap, Info: heapInsert, Main: []byte{1, 0, insertVMCleared},
			Blocks: []wal.Block{{Rel: table, Block: 7}}}, "patch " + vm0 + ": vm clear 7 bits 3\n"},
		{"lock clears all-frozen only", wal.Record{Rmgr: wal.RmgrHeap, Info: heapLock, Main: []byte{0, 0, 0, 0, 1, 0, 0, 1},
			Blocks: []wal.Block{{Rel: table, Block: 32672}}}, "patch " + vm1 + ": vm clear 0 bits 2\n"},
		{"update of two pages of one map page is one patch", wal.Record{Rmgr: wal.RmgrHeap, Info: heapUpdate,
			Main:   []byte{0, 0, 0, 0, 1, 0, 0, updateOldVMCleared | updateNewVMCleared},
			Blocks: []wal.Block{{ID: 0, Rel: table, Block: 9}, {ID: 1, Rel: table, Block: 3}}},
			"patch " + vm0 + ": vm clear 3 bits 3; vm clear 9 bits 3\n"},
		{"update of two pages of two map pages is two", wal.Record{Rmgr: wal.RmgrHeap, Info: heapUpdate,
			Main:   []byte{0, 0, 0, 0, 1, 0, 0, updateOldVMCleared | updateNewVMCleared},
			Blocks: []wal.Block{{ID: 0, Rel: table, Block: 32673}, {ID: 1, Rel: table, Block: 3}}},
			"patch " + vm0 + ": vm clear 3 bits 3\npatch " + vm1 + ": vm clear 1 bits 3\n"},
		{"update within a page clears it once", wal.Record{Rmgr: wal.RmgrHeap, Info: heapHotUpdate,
			Main:   []byte{0, 0, 0, 0, 1, 0, 0, updateOldVMCleared | updateNewVMCleared},
			Blocks: []wal.Block{{ID: 0, Rel: table, Block: 9}}}, "patch " + vm0 + ": vm clear 9 bits 3\n"},
		{"commit with subtransactions on two pages", wal.Record{Rmgr: wal.RmgrXact, Info: 0x80, XID: 32767,
			Main: append(binary.LittleEndian.AppendUint64(nil, 77), words(2, 2, 32768, 32770)...)},
			"patch " + clog0 + ": clog status 1 32767\npatch " + clog1 + ": clog status 1 0 2\ncommitted at 77\n"},
		{"abort that drops a relation", wal.Record{Rmgr: wal.RmgrXact, Info: 0xA0, XID: 9,
			Main: append(binary.LittleEndian.AppendUint64(nil, 77), words(4, 1, 1663, 5, 16384)...)},
			"patch " + clog0 + ": clog status 2 9\ndrop 1663/5/16384\n"},
		{"truncate cuts the map too", wal.Record{Rmgr: wal.RmgrSMGR, Info: smgrTruncate, Main: words(10, 1663, 5, 16384, 7)},
			"truncate 1663/5/16384 to 10\npatch " + vm0 + ": vm truncate 10\ntruncate 1663/5/16384_vm to 1\n"},
		{"truncate to nothing", wal.Record{Rmgr: wal.RmgrSMGR, Info: smgrTruncate, Main: words(0, 1663, 5, 16384, 7)},
			"truncate 1663/5/16384 to 0\ntruncate 1663/5/16384_vm to 0\n"},
		{"create a fork", wal.Record{Rmgr: wal.RmgrSMGR, Info: smgrCreate, Main: words(1663, 5, 16384, 3)}, "create 1663/5/16384_init\n"},
		{"copy a database", wal.Record{Rmgr: wal.RmgrDBase, Info: dbCreateFileCopy, Main: words(9, 1663, 5, 1663)},
			"copy database 1663/9 from 1663/5\n"},
		{"drop a database", wal.Record{Rmgr: wal.RmgrDBase, Info: dbDrop, Main: words(9, 1, 1663)}, "drop database 1663/9\n"},
		{"multixact with its end on the next page", wal.Record{Rmgr: wal.RmgrMultiXact, Info: multiCreate,
			Main: words(2047, 1635, 2, 11, 4, 12, 5)},
			"patch " + slruKey(core.MultiXactOffsets, 0).String() + ": multi offset 2047 = 1635\n" +
				"patch " + slruKey(core.MultiXactOffsets, 1).String() + ": zero; multi offset 0 = 1637\n" +
				"patch " + slruKey(core.MultiXactMembers, 0).String() + ": multi member 1635 = 11 status 4\n" +
				"patch " + slruKey(core.MultiXactMembers, 1).String() + ": multi member 0 = 12 status 5\n"},
		{"offsets page made early is not made again", wal.Record{Rmgr: wal.RmgrMultiXact, Info: multiZeroOffsets, Main: words(1)}, ""},
		{"a tablespace in place", wal.Record{Rmgr: wal.RmgrTblSpc, Main: append(words(16390), 0)}, "make tablespace 16390\n"},
		{"a tablespace elsewhere", wal.Record{Rmgr: wal.RmgrTblSpc, Main: append(words(16390), "/srv/fast\x00"...)}, "make tablespace 16390\n"},
		{"a tablespace goes", wal.Record{Rmgr: wal.RmgrTblSpc, Info: tblspcDrop, Main: words(16390)}, "drop tablespace 16390\n"},
		{"an origin is set", wal.Record{Rmgr: wal.RmgrReplOrigin, Main: words(0x500, 2, 0x10003, 0)}, "origin 3 at 2/500, back true\n"},
		{"an origin is dropped", wal.Record{Rmgr: wal.RmgrReplOrigin, Info: originDrop, Main: []byte{3, 0}}, "drop origin 3\n"},
		{"a commit of an origin", wal.Record{Rmgr: wal.RmgrXact, Info: 0x80, XID: 7, Origin: 3,
			Main: words(11, 0, 1<<5, 0x700, 2, 22, 0)},
			"patch " + clog0 + ": clog status 1 7\ncommitted at 11\norigin 3 at 2/700, back false\n"},
		{"a commit that nobody follows", wal.Record{Rmgr: wal.RmgrXact, Info: 0x80, XID: 7, Origin: 0xFFFF,
			Main: words(11, 0, 1<<5, 0x700, 2, 22, 0)}, "patch " + clog0 + ": clog status 1 7\ncommitted at 11\n"},
		{"zero a page", wal.Record{Rmgr: wal.RmgrCLOG, Info: slruZeroPage, Main: words(33)},
			"patch " + core.SLRUBlockKey(core.Clog, 1, 1).String() + ": zero\n"},
	}
	var d Effects
	var c Counters
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			list, err := d.Decode(&test.rec, &c)
			if err != nil {
				t.Fatal(err)
			}
			if got := describe(list); got != test.want {
				t.Errorf("got\n%swant\n%s", got, test.want)
			}
		})
	}
}

func TestEffectsErrors(t *testing.T) {
	tests := []struct {
		name string
		rec  wal.Record
		want error
	}{
		{"unknown manager", wal.Record{Rmgr: 130}, ErrUnknown},
		{"unknown opcode", wal.Record{Rmgr: wal.RmgrHash, Info: 0xE0}, ErrUnknown},
		{"tablespace without an oid", wal.Record{Rmgr: wal.RmgrTblSpc}, ErrMalformed},
		{"the default tablespace dropped", wal.Record{Rmgr: wal.RmgrTblSpc, Info: tblspcDrop, Main: words(1663)}, ErrMalformed},
		{"replication origin cut short", wal.Record{Rmgr: wal.RmgrReplOrigin, Main: words(1, 2)}, ErrMalformed},
		{"wal_level minimal", wal.Record{Rmgr: wal.RmgrXLOG, Info: wal.XLOGParameterChange, Main: make([]byte, 28)}, ErrUnsupported},
		{"short main data", wal.Record{Rmgr: wal.RmgrSMGR, Info: smgrTruncate, Main: words(1)}, ErrMalformed},
		{"more members than bytes", wal.Record{Rmgr: wal.RmgrMultiXact, Info: multiCreate, Main: words(1, 1, 0xFFFFFFFF, 1)}, ErrMalformed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var d Effects
			c := Counters{NextXID: 1000}
			before := c
			_, err := d.Decode(&test.rec, &c)
			if !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
			if test.want != ErrUnsupported && c != before {
				t.Errorf("counters moved to %+v", c)
			}
		})
	}
}

func TestDropsSegment(t *testing.T) {
	tests := []struct {
		name string
		e    Effect
		drop []uint32
		keep []uint32
	}{
		{"before a page", Effect{SLRU: core.Clog, drop: segments{rule: dropBefore, last: 70}}, []uint32{0, 1}, []uint32{2, 3, 100}},
		{"around the wrap", Effect{SLRU: core.Clog, drop: segments{rule: dropBefore, last: 10}}, []uint32{4095, 3000}, []uint32{0, 1, 2047}},
		{"members from here to there", Effect{SLRU: core.MultiXactMembers, drop: segments{rule: dropRange, first: 2, last: 4}},
			[]uint32{2, 3}, []uint32{1, 4}},
		{"members around the wrap", Effect{SLRU: core.MultiXactMembers, drop: segments{rule: dropRange, first: maxMemberSegment, last: 1}},
			[]uint32{maxMemberSegment, 0}, []uint32{1, maxMemberSegment - 1}},
		{"nothing", Effect{SLRU: core.MultiXactMembers, drop: segments{rule: dropRange, first: 3, last: 3}}, nil, []uint32{2, 3, 4}},
		{"everything", Effect{SLRU: core.CommitTs, drop: segments{rule: dropAll}}, []uint32{0, 9}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, seg := range test.drop {
				if !test.e.DropsSegment(seg) {
					t.Errorf("segment %d stays", seg)
				}
			}
			for _, seg := range test.keep {
				if test.e.DropsSegment(seg) {
					t.Errorf("segment %d goes", seg)
				}
			}
		})
	}
}

func TestNextXID(t *testing.T) {
	tests := []struct {
		name      string
		next      uint64
		seen      uint32
		wantAfter uint64
	}{
		{"the next one", 100, 100, 101},
		{"an older one", 100, 99, 100},
		{"a permanent one", 100, 2, 100},
		{"into the next epoch", 1<<32 | 0xFFFFFFF0, 5, 2<<32 | 6},
		{"the last of an epoch", 1<<32 | 0xFFFFFFF0, 0xFFFFFFFF, 2<<32 | 3},
		{"of the epoch before", 2<<32 | 6, 0xFFFFFFF0, 2<<32 | 6},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := Counters{NextXID: test.next}
			c.pastXID(test.seen)
			if c.NextXID != test.wantAfter {
				t.Errorf("next %x, want %x", c.NextXID, test.wantAfter)
			}
		})
	}
}

func TestCountersGoIntoACheckPointAndBack(t *testing.T) {
	want := Counters{NextXID: 5<<32 | 9, NextOID: 20000, NextMulti: 4100, NextOffset: 8, OldestXID: 700, OldestXIDDB: 1,
		OldestMulti: 2, OldestMultiDB: 5, OldestCommitTs: 3, NewestCommitTs: 9, FullPageWrites: true, LastOffsetsPage: 2}
	var ck wal.CheckPoint
	want.Into(&ck)
	if got := CountersOf(&wal.Control{CheckPoint: ck}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
