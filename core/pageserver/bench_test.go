package pageserver_test

import (
	"context"
	"fmt"
	"testing"

	"xenon/core"
	"xenon/core/pageserver"
	"xenon/core/redo"
	"xenon/core/wal"
)

// BenchmarkIngest takes in heap records of a table, as a receiver does:
// decoded from bytes, memory bounded.
func BenchmarkIngest(b *testing.B) {
	w := newWorld(b)
	s := newScript(w)
	for blk := range uint32(64) {
		s.fpi(b, heapRel, blk)
	}
	f := wal.Format{Version: wal.PG15, SegmentSize: core.DefaultSegmentSize, SystemID: testSystem, TimelineID: 1}
	data := make([]byte, 8)
	for i := range 40_000 {
		rec := wal.Record{Rmgr: 10, Info: 0x70, XID: 731 + uint32(i/4), Main: []byte{1, 0},
			Blocks: []wal.Block{{Rel: heapRel, Block: uint32(i % 64), Data: data}}}
		var err error
		if s.wal, err = s.enc.Append(s.wal, &rec); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(len(s.wal)))
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		tl := w.open(b)
		last := tl.LastRecord()
		d := wal.NewDecoder(f, last.LSN, last.Prev)
		b.StartTimer()
		for in := s.wal; len(in) > 0; {
			n := min(len(in), 16*core.WALPageSize)
			if err := d.Feed(d.Pos(), in[:n]); err != nil {
				b.Fatal(err)
			}
			in = in[n:]
			for {
				rec, ok, err := d.Next()
				if err != nil {
					b.Fatal(err)
				}
				if !ok {
					break
				}
				if err := tl.Ingest(rec); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.StopTimer()
		tl.Close()
		b.StartTimer()
	}
}

// BenchmarkGetPage makes pages whose blocks are in memory: one image and no
// record, and chains of records, of what is in the open layer and of what is in
// delta layers.
func BenchmarkGetPage(b *testing.B) {
	w := newWorld(b)
	for _, chain := range []int{0, 10, 60} {
		s := newScript(w)
		for blk := range uint32(32) {
			s.fpi(b, heapRel, blk)
		}
		for range chain {
			for blk := range uint32(32) {
				s.inplace(b, heapRel, blk)
			}
		}
		tl := w.openIn(b, w.own(b))
		ingestRest(b, tl, s)
		for _, where := range []string{"memory", "layer"} {
			for _, batch := range []int{1, 32} {
				b.Run(fmt.Sprintf("%s, chain %d, batch %d", where, chain, batch), func(b *testing.B) {
					benchGet(b, tl, batch, s.last())
				})
			}
			if err := tl.Flush(context.Background()); err != nil {
				b.Fatal(err)
			}
		}
		tl.Close()
	}
}

// BenchmarkGetPageUnderLayers reads pages of the base below delta layers that
// have nothing of them.
func BenchmarkGetPageUnderLayers(b *testing.B) {
	w := newWorld(b)
	s := newScript(w)
	tl := w.openIn(b, w.own(b))
	defer tl.Close()
	other := core.Rel{Spc: 1663, DB: 5, Node: 16000}
	for layers := 0; layers <= 32; layers++ {
		if layers == 0 || layers == 4 || layers == 32 {
			b.Run(fmt.Sprintf("%d layers", layers), func(b *testing.B) { benchGet(b, tl, 3, tl.LastRecord().LSN) })
		}
		for blk := range uint32(100) {
			s.fpi(b, other, blk)
		}
		ingestRest(b, tl, s)
		if err := tl.Flush(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

func benchGet(b *testing.B, tl *pageserver.Timeline, batch int, lsn core.LSN) {
	reqs := make([]pageserver.PageAt, batch)
	for i := range reqs {
		reqs[i] = pageserver.PageAt{Rel: heapRel, Block: uint32(i), LSN: lsn}
	}
	pages, errs := make([]redo.Page, batch), make([]error, batch)
	b.ReportAllocs()
	for b.Loop() {
		tl.GetPages(context.Background(), reqs, pages, errs)
		if errs[0] != nil {
			b.Fatal(errs[0])
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/page")
}
