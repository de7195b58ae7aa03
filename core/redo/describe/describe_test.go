package describe_test

import (
	"encoding/binary"
	"encoding/json"
	"strings"
	"testing"

	"xenon/core"
	"xenon/core/redo/describe"
	"xenon/core/wal"
)

var table = core.Rel{Spc: 1663, DB: 5, Node: 16384}

func main(words ...any) (b []byte) {
	for _, w := range words {
		switch v := w.(type) {
		case uint8:
			b = append(b, v)
		case uint16:
			b = binary.LittleEndian.AppendUint16(b, v)
		case uint32:
			b = binary.LittleEndian.AppendUint32(b, v)
		case uint64:
			b = binary.LittleEndian.AppendUint64(b, v)
		case string:
			b = append(b, v...)
		}
	}
	return b
}

func TestData(t *testing.T) {
	tests := []struct {
		name  string
		rec   wal.Record
		block string // data of block 0
		want  string
	}{
		{"an insert", wal.Record{Rmgr: wal.RmgrHeap, Main: main(uint16(7), uint8(0x41))}, string(main(uint16(3), uint16(0x0902), uint8(24), "tuple")),
			"offnum=7 flags=ALL_VISIBLE_CLEARED|0x40 t_infomask2=0x3 t_infomask=HASVARWIDTH|XMIN_COMMITTED|XMAX_INVALID t_hoff=24 tuple_bytes=5"},
		{"a delete", wal.Record{Rmgr: wal.RmgrHeap, Info: 0x10, Main: main(uint32(9), uint16(2), uint8(0x11), uint8(0))}, "",
			"xmax=9 offnum=2 infobits_set=XMAX_IS_MULTI|KEYS_UPDATED flags=0"},
		{"an update with a prefix", wal.Record{Rmgr: wal.RmgrHeap, Info: 0x40, Main: main(uint32(9), uint16(2), uint8(0), uint8(0x20), uint32(0), uint16(3))},
			string(main(uint16(11), uint16(0), uint16(0), uint8(24), "x")),
			"old_xmax=9 old_offnum=2 old_infobits_set=0 flags=PREFIX_FROM_OLD new_xmax=0 new_offnum=3 prefixlen=11 t_infomask2=0 t_infomask=0 t_hoff=24 tuple_bytes=1"},
		{"a prune", wal.Record{Rmgr: wal.RmgrHeap2, Info: 0x10, Main: main(uint32(700), uint16(1), uint16(2))},
			string(main(uint16(1), uint16(4), uint16(2), uint16(3), uint16(9))),
			"latestRemovedXid=700 nredirected=1 ndead=2 redirected=[1->4] dead=[2 3] unused=[9]"},
		{"a prune that lies", wal.Record{Rmgr: wal.RmgrHeap2, Info: 0x10, Main: main(uint32(700), uint16(9), uint16(2))},
			string(main(uint16(1), uint16(4))), "latestRemovedXid=700 nredirected=9 ndead=2 error=\"redirected cut short\" redirected=[1->4] error=\"dead cut short\" dead=[] unused=[]"},
		{"a prune of 16", wal.Record{Version: wal.PG16, Rmgr: wal.RmgrHeap2, Info: 0x10, Main: main(uint32(700), uint16(0), uint16(0), uint8(1))}, "",
			"snapshotConflictHorizon=700 nredirected=0 ndead=0 isCatalogRel=true"},
		{"a prune of 17", wal.Record{Version: wal.PG17, Rmgr: wal.RmgrHeap2, Info: 0x20, Main: main(uint8(1), uint8(0x68), uint32(700))},
			string(main(uint16(1), uint16(1), uint16(4), uint16(1), uint16(8))),
			"reason=1 flags=HAS_CONFLICT_HORIZON|HAS_REDIRECTIONS|HAS_DEAD_ITEMS snapshotConflictHorizon=700 redirected=[1->4] dead=[8]"},
		{"a list too long for a line", wal.Record{Rmgr: wal.RmgrHeap2, Info: 0x20, Main: main(uint16(40))}, strings.Repeat("\x07\x00", 40),
			"nunused=40 unused=[" + strings.Repeat("7 ", 32) + "… 8 more]"},
		{"a record cut short", wal.Record{Rmgr: wal.RmgrHeap, Info: 0x10, Main: main(uint32(9), uint16(2))}, "", `xmax=9 offnum=2 error="cut short"`},
		{"a truncation", wal.Record{Rmgr: wal.RmgrSMGR, Info: 0x20, Main: main(uint32(10), uint32(1663), uint32(5), uint32(16384), uint32(7))}, "",
			"blkno=10 rnode=1663/5/16384 flags=HEAP|VM|FSM"},
		{"a split", wal.Record{Rmgr: wal.RmgrBtree, Info: 0x30, Main: main(uint32(0), uint16(5), uint16(3), uint16(0))}, "",
			"level=0 firstrightoff=5 newitemoff=3 postingoff=0"},
		{"an unlinked page", wal.Record{Rmgr: wal.RmgrBtree, Info: 0x80, Main: main(uint32(1), uint32(2), uint32(0), uint32(0), uint64(1<<32|5), uint32(3), uint32(4), uint32(6))}, "",
			"leftsib=1 rightsib=2 level=0 safexid=4294967301 leafleftsib=3 leafrightsib=4 leaftopparent=6"},
		{"a multixact", wal.Record{Rmgr: wal.RmgrMultiXact, Info: 0x20, Main: main(uint32(1), uint32(2), uint32(2), uint32(700), uint32(0), uint32(701), uint32(5))}, "",
			"mid=1 moff=2 nmembers=2 members=[700:ForKeyShare 701:Update]"},
		{"a page of the commit log in 17", wal.Record{Version: wal.PG17, Rmgr: wal.RmgrCLOG, Main: main(uint64(1 << 33))}, "", "pageno=8589934592"},
		{"a commit", wal.Record{Rmgr: wal.RmgrXact, XID: 700, Info: 0x80, Main: main(uint64(1e6), uint32(2), uint32(2), uint32(701), uint32(702))}, "",
			"time=2000-01-01T00:00:01Z subxids=[701 702]"},
		{"a restore point", wal.Record{Rmgr: wal.RmgrXLOG, Info: 0x70, Main: append(main(uint64(0), `a "b"`), make([]byte, 59)...)}, "",
			`rp_time=2000-01-01T00:00:00Z rp_name="a \"b\""`},
		{"an extension's", wal.Record{Rmgr: 128, Main: []byte("abc")}, "", "main_bytes=3"},
		{"none", wal.Record{Rmgr: wal.RmgrXLOG, Info: 0x40}, "", ""},
	}
	var d describe.Describer
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.rec.Blocks = []wal.Block{{Rel: table, Block: 3, Data: []byte(test.block)}}
			if got := string(d.Data(&test.rec)); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			var v map[string]any
			if err := json.Unmarshal(d.JSON(&test.rec), &v); err != nil {
				t.Errorf("%v in %s", err, d.JSON(&test.rec))
			}
		})
	}
}

func TestLineAndJSON(t *testing.T) {
	rec := &wal.Record{Start: 0x16B3748, End: 0x16B3790, Prev: 0x16B3700, Len: 70, XID: 738, Rmgr: wal.RmgrHeap, Info: 0x80,
		Main: main(uint16(1), uint8(0)), Blocks: []wal.Block{
			{Rel: table, Block: 3, WillInit: true, Data: main(uint16(1), uint16(0), uint8(24))},
			{ID: 1, Rel: core.Rel{Spc: 1663, DB: 5, Node: 16384, Fork: core.VMFork}, HasImage: true, HoleOffset: 24, HoleLen: 8000, Image: make([]byte, 192)},
		}}
	var d describe.Describer
	want := "0/16B3748   Heap/INSERT+INIT            xid=738 len=70 offnum=1 flags=0 t_infomask2=0x1 t_infomask=0 t_hoff=24 tuple_bytes=0" +
		" #0 1663/5/16384 blk 3 init data 5 #1 1663/5/16384_vm blk 0 image 192 for checking"
	if got := string(d.Line(rec)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	want = `{"lsn":"0/16B3748","end":"0/16B3790","prev":"0/16B3700","rmgr":"Heap","record":"INSERT+INIT","info":128,"xid":738,"len":70,"fpi_len":192,` +
		`"data":{"offnum":1,"flags":[],"t_infomask2":["0x1"],"t_infomask":[],"t_hoff":24,"tuple_bytes":0},` +
		`"blocks":[{"id":0,"rel":"1663/5/16384","fork":"main","block":3,"init":true,"data_len":5},` +
		`{"id":1,"rel":"1663/5/16384","fork":"vm","block":0,"image":{"len":192,"apply":false,"hole_offset":24,"hole_length":8000,"compression":"uncompressed"},"data_len":0}]}`
	if got := string(d.JSON(rec)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	d.Name = func(*wal.Record) string { return "toy/ADD" }
	if got := string(d.Line(rec)); !strings.Contains(got, " toy/ADD ") {
		t.Errorf("%s does not have the name it was given", got)
	}
	if got, want := string(d.AppendLine([]byte("before "), rec)), "before "+string(d.Line(rec)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, want := string(d.AppendJSON([]byte("before "), rec)), "before "+string(d.JSON(rec)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	out := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(20, func() { d.Line(rec); d.AppendLine(out, rec); d.AppendJSON(out, rec) }); n > 0 {
		t.Errorf("%v allocations for a record", n)
	}
}

// btreePage is a leaf with two items.
func btreePage() *[core.PageSize]byte {
	le, p := binary.LittleEndian, new([core.PageSize]byte)
	le.PutUint16(p[12:], 32)
	le.PutUint16(p[14:], 8176-32)
	le.PutUint16(p[16:], 8176)
	le.PutUint16(p[18:], 0x2004)
	le.PutUint32(p[24:], 8160|1<<15|16<<17)
	le.PutUint32(p[28:], 8144|1<<15|16<<17)
	le.PutUint32(p[8176:], 4)
	le.PutUint16(p[8176+12:], 3)
	return p
}

func TestPage(t *testing.T) {
	got := describe.Page(btreePage(), wal.RmgrBtree, core.MainFork)
	for _, want := range []string{
		"header   pd_lsn=0/0 pd_checksum=0 pd_flags=0 pd_lower=32 pd_upper=8144 pd_special=8176 pd_pagesize_version=8196 pd_prune_xid=0\n",
		"special  btpo_prev=4 btpo_next=0 btpo_level=0 btpo_flags=LEAF|ROOT btpo_cycleid=0\n",
		"item 2   lp_off=8144 lp_flags=NORMAL lp_len=16 t_tid=(0,0) t_info=0\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
}

func TestFirstDifference(t *testing.T) {
	tests := []struct {
		name string
		at   int
		want string
	}{
		{"the header", 12, "pd_lower (byte 12): got 32, want 33"},
		{"the LSN", 7, "pd_lsn (byte 7): got 0/0, want 0/1000000"},
		{"a line pointer", 28, "pd_linp[2] (byte 28): got lp_off=8144 lp_flags=NORMAL lp_len=16, want lp_off=8145 lp_flags=NORMAL lp_len=16"},
		{"the hole", 100, "hole (byte 100): got 00, want 01"},
		{"an item's field", 8150, "item 2 t_info (byte 8150): got 0, want 0x1"},
		{"an item's data", 8155, "item 2 data+11 (byte 8155): got 00, want 01"},
		{"the special space", 8180, "btpo_next (byte 8180): got 0, want 1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, want := btreePage(), btreePage()
			want[test.at] ^= 1
			d, ok := describe.FirstDifference(got, want, wal.RmgrBtree)
			if !ok || d.String() != test.want {
				t.Errorf("got  %s\nwant %s", d, test.want)
			}
		})
	}
	if d, ok := describe.FirstDifference(btreePage(), btreePage(), wal.RmgrBtree); ok {
		t.Errorf("equal pages differ: %s", d)
	}
	got, want := btreePage(), btreePage()
	want[12], want[200], want[201], want[300] = 1, 1, 1, 1
	if list := describe.Differences(got, want, wal.RmgrBtree, 0); len(list) != 3 {
		t.Errorf("%d differences, want 3: %v", len(list), list)
	}
}

// FuzzDescribe describes any record and any page: never a panic.
func FuzzDescribe(f *testing.F) {
	f.Add(uint8(wal.RmgrHeap2), uint8(0x10), uint8(3), main(uint8(1), uint8(0xF8), uint32(7)), main(uint16(9), uint16(1)), []byte{})
	f.Add(uint8(wal.RmgrXact), uint8(0x80), uint8(1), main(uint64(0), uint32(0xFF), uint32(1)), []byte{}, []byte{})
	f.Add(uint8(wal.RmgrLogicalMsg), uint8(0), uint8(1), main(uint64(1), uint64(1<<63), uint64(9), "pre"), []byte{}, []byte{})
	f.Add(uint8(wal.RmgrGeneric), uint8(0), uint8(1), []byte{}, main(uint16(9), uint16(60000)), []byte{})
	f.Add(uint8(wal.RmgrBtree), uint8(0x70), uint8(2), main(uint32(1), uint32(1<<20)), main(uint16(1)), btreePage()[:])
	f.Add(uint8(wal.RmgrSeq), uint8(0), uint8(1), make([]byte, 60), []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, rmgr, info, version uint8, mainData, data, pageBytes []byte) {
		v := wal.Versions[int(version)%len(wal.Versions)]
		rec := &wal.Record{Version: v, Rmgr: wal.RmgrID(rmgr), Info: info, Main: mainData,
			Blocks: []wal.Block{{Rel: table, Data: data}, {ID: 1, Rel: table, Data: data, HasImage: true}}}
		var d describe.Describer
		d.Line(rec)
		if b := d.JSON(rec); !json.Valid(b) {
			t.Fatalf("no JSON: %s", b)
		}
		var p, q [core.PageSize]byte
		copy(p[:], pageBytes)
		for i := range q {
			q[i] = p[i] ^ byte(i>>5&1)
		}
		for _, id := range []wal.RmgrID{wal.RmgrID(rmgr % 24), wal.RmgrBtree, wal.RmgrGin} {
			describe.Page(&p, id, core.MainFork)
			if list := describe.Differences(&p, &q, id, 9); len(list) == 0 {
				t.Fatal("pages that differ do not")
			}
		}
	})
}
