package pageserver_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"xenon/core"
	"xenon/core/pageserver"
	"xenon/core/redo"
	"xenon/core/wal"
)

// append adds a record that the reference does not replay.
func (s *script) append(t *testing.T, r *wal.Record) *wal.Record {
	t.Helper()
	var err error
	if s.wal, err = s.enc.Append(s.wal, r); err != nil {
		t.Fatal(err)
	}
	raw, err := wal.PG15.AppendRecord(nil, r)
	if err != nil {
		t.Fatal(err)
	}
	r.Raw = raw
	return r
}

func wants(t *testing.T, err error, target error, parts ...string) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("%v, want %v", err, target)
		return
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("%v\ndoes not name %q", err, p)
		}
	}
}

// TestUnknownRecordsStopIngest: what this program would keep wrongly is never
// passed by; what was before is served.
func TestUnknownRecordsStopIngest(t *testing.T) {
	w := newWorld(t)
	tests := []struct {
		name string
		rec  wal.Record
		want error
	}{
		{"a manager of an extension", wal.Record{Rmgr: 128}, redo.ErrUnknown},
		{"an opcode that does not exist", wal.Record{Rmgr: 2, Info: 0xF0}, redo.ErrUnknown},
		{"wal_level minimal", wal.Record{Rmgr: 0, Info: 0x60, Main: make([]byte, 28)}, redo.ErrUnsupported},
		{"a tablespace without an oid", wal.Record{Rmgr: 5, Info: 0, Main: []byte{1}}, redo.ErrMalformed},
	}
	for _, q := range tests {
		t.Run(q.name, func(t *testing.T) {
			s := newScript(w)
			s.fpi(t, heapRel, 0)
			bad := s.append(t, &q.rec)
			s.fpi(t, heapRel, 0)
			k := newKeeper(t, s, s.begin+core.LSN(len(s.wal)))
			p := w.run(t, t.TempDir())
			p.attach(k)
			p.eventually("ingest stops", func() error {
				if info := p.info(); info.State != "Broken" {
					return errors.New(info.State)
				}
				return nil
			})
			info := p.info()
			if info.LastRecord != s.lsns[0] || !strings.Contains(info.Reason, bad.Start.String()) || !strings.Contains(info.Reason, q.want.Error()) {
				t.Errorf("stopped at %s, %q; want %s and a reason with %s and %q", info.LastRecord, info.Reason, s.lsns[0], bad.Start, q.want)
			}
			c := p.dial()
			r := ask(t, c, pageRequest(s.lsns[0]), pageRequest(s.lsns[1]))
			if want, _ := s.states[s.lsns[0]].Page(heapRel, 0); redo.Page(r[0].Pages) != want {
				t.Errorf("the page before is not served: %q", r[0].Message)
			}
			if !strings.Contains(r[1].Message, "goes no further") || !strings.Contains(r[1].Message, bad.Start.String()) {
				t.Errorf("a page above: %q, want what stopped ingest", r[1].Message)
			}
		})
	}
}

// TestMisfits: a page whose chain has a record that does not fit it is an error
// that names record, page and LSN; others are served, and so is the page once
// a later record makes it anew.
func TestMisfits(t *testing.T) {
	w := newWorld(t)
	s := newScript(w)
	s.fpi(t, heapRel, 0)
	s.fpi(t, heapRel, 1)
	gin := s.append(t, &wal.Record{Rmgr: 13, Info: 0x90, Blocks: []wal.Block{{Rel: heapRel, Block: 1, Data: []byte{0, 0}}}})
	s.recs = append(s.recs, gin)
	s.fpi(t, heapRel, 1)
	tl := w.open(t)
	defer tl.Close()
	for _, rec := range s.recs {
		if err := tl.Ingest(rec); err != nil {
			t.Fatal(err)
		}
	}
	var page redo.Page
	ctx := context.Background()
	err := tl.GetPage(ctx, pageserver.PageAt{Rel: heapRel, Block: 1, LSN: gin.End}, &page)
	wants(t, err, redo.ErrMalformed, gin.Start.String(), gin.End.String(), "1663/5/16384 block 1", "Gin")
	if err := tl.GetPage(ctx, pageserver.PageAt{Rel: heapRel, Block: 0, LSN: gin.End}, &page); err != nil {
		t.Errorf("another page: %v", err)
	}
	if err := tl.GetPage(ctx, pageserver.PageAt{Rel: heapRel, Block: 1, LSN: s.last()}, &page); err != nil || page != func() redo.Page {
		p, _ := s.ref.Page(heapRel, 1)
		return p
	}() {
		t.Errorf("the page made anew: %v", err)
	}
}

// TestLongChains: a page of many records is kept, and what is kept equals a
// replay from the start.
func TestLongChains(t *testing.T) {
	w := newWorld(t)
	s := newScript(w)
	s.fpi(t, heapRel, 0)
	for range 500 {
		s.inplace(t, heapRel, 0)
	}
	tl := w.open(t)
	defer tl.Close()
	for i, rec := range s.recs {
		if err := tl.Ingest(rec); err != nil {
			t.Fatal(err)
		}
		if i%70 != 0 {
			continue
		}
		for range 2 { // the second starts from what the first kept
			for _, diff := range s.compare(tl, rec.End) {
				t.Error(diff)
			}
		}
	}
	for _, lsn := range s.lsns {
		for _, diff := range s.compare(tl, lsn) {
			t.Error(diff)
		}
	}
}

// TestLSNAt looks moments up in the commit-time index.
func TestLSNAt(t *testing.T) {
	w := newWorld(t)
	s := newScript(w)
	tl := w.open(t)
	defer tl.Close()
	if lsn, kind := tl.LSNAt(0); lsn != w.im.Index.LSN || kind != "nodata" {
		t.Errorf("without commits: %s, %s", lsn, kind)
	}
	// Commits at 3.0, 3.3, 3.9 and 4.2 seconds.
	var ends []core.LSN
	for _, writes := range []int{10, 11, 13, 14} {
		s.writes = writes
		s.commit(t)
		ends = append(ends, s.last())
	}
	for _, rec := range s.recs {
		if err := tl.Ingest(rec); err != nil {
			t.Fatal(err)
		}
	}
	for _, q := range []struct {
		micros int64
		lsn    core.LSN
		kind   string
	}{
		{2_999_999, w.im.Index.LSN, "past"},
		{3_950_000, ends[2], "present"},
		{4_200_000, ends[3], "future"},
		{9_000_000, ends[3], "future"},
	} {
		if lsn, kind := tl.LSNAt(q.micros); lsn != q.lsn || kind != q.kind {
			t.Errorf("at %d µs: %s, %s; want %s, %s", q.micros, lsn, kind, q.lsn, q.kind)
		}
	}
}
