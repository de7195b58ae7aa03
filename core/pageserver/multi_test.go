package pageserver_test

import (
	"encoding/binary"
	"testing"

	"xenon/core"
	"xenon/core/pageserver"
	"xenon/core/wal"
)

// TestMultisOfAnImportGoOn imports a cluster that has come to the last
// multixact of a page of offsets. The next record puts the offset of the first
// one of the next page there, before a record makes that page: it must stay.
func TestMultisOfAnImportGoOn(t *testing.T) {
	const last = 4095 // of the second page
	w := worldOf(t, pageserver.Blank{SystemID: testSystem, NextMulti: last})
	tl := w.open(t)
	defer tl.Close()
	s := newScript(w)
	le := binary.LittleEndian
	create := le.AppendUint32(nil, last)
	create = le.AppendUint32(create, 1)   // offset of its members
	create = le.AppendUint32(create, 1)   // number of them
	create = le.AppendUint32(create, 731) // an xid
	create = le.AppendUint32(create, 0)   // and its status
	for _, r := range []wal.Record{
		{Rmgr: wal.RmgrMultiXact, Info: 0x20, Main: create},
		{Rmgr: wal.RmgrMultiXact, Info: 0x00, Main: le.AppendUint32(nil, 2)},
	} {
		raw, err := s.enc.Append(nil, &r)
		if err != nil || len(raw) == 0 {
			t.Fatal(err)
		}
		var parsed wal.Record
		bytes, err := wal.PG15.AppendRecord(nil, &r)
		if err == nil {
			err = wal.PG15.ParseRecord(bytes, r.Start, &parsed)
		}
		if err != nil {
			t.Fatal(err)
		}
		parsed.Start, parsed.End = r.Start, r.End
		if err := tl.Ingest(&parsed); err != nil {
			t.Fatal(err)
		}
	}
	seg, err := tl.SLRUSegment(t.Context(), core.MultiXactOffsets, 0, tl.LastRecord().LSN)
	if err != nil || len(seg) != 3*core.PageSize {
		t.Fatalf("%d bytes of offsets, %v", len(seg), err)
	}
	if got := le.Uint32(seg[2*core.PageSize:]); got != 2 {
		t.Errorf("the offset of multixact %d is %d, want 2", last+1, got)
	}
}
