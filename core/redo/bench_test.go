package redo

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"xenon/core"
	"xenon/core/wal"
)

// chain is a page and records that apply to it one after the other.
func chain(tb testing.TB, n int, make func(n uint16, lsn core.LSN) *wal.Record) (base Page, recs []*wal.Record) {
	var a Applier
	mustApply(tb, &a, &base, insertRecord(1, 0x1000))
	for i := range n {
		recs = append(recs, make(uint16(i+1), core.LSN(0x2000+64*i)))
	}
	return base, recs
}

func inserts(n uint16, lsn core.LSN) *wal.Record { return insertRecord(n+1, lsn) }

// BenchmarkApply replays chains onto a copy of one page: ns/record is what the
// read of a page pays beyond its base image.
func BenchmarkApply(b *testing.B) {
	for _, kind := range []struct {
		name string
		make func(n uint16, lsn core.LSN) *wal.Record
	}{{"insert", inserts}, {"update", updateRecord}} {
		for _, n := range []int{1, 10, 100} {
			b.Run(fmt.Sprintf("%s/%d", kind.name, n), func(b *testing.B) {
				base, recs := chain(b, n, kind.make)
				var a Applier
				var p Page
				b.ReportAllocs()
				for b.Loop() {
					p = base
					for _, rec := range recs {
						if _, err := a.Apply(&p, rec, &rec.Blocks[0]); err != nil {
							b.Fatal(err)
						}
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/record")
			})
		}
	}
}

func BenchmarkPrune(b *testing.B) {
	base, recs := chain(b, 100, updateRecord)
	var a Applier
	for _, rec := range recs {
		mustApply(b, &a, &base, rec)
	}
	data := []byte{1, 0, 101, 0}
	for i := uint16(2); i <= 100; i++ {
		data = append(data, byte(i), byte(i>>8))
	}
	prune := &wal.Record{Start: 0x9000, End: 0x9040, Rmgr: wal.RmgrHeap2, Info: heap2Prune,
		Main: words(0, 1), Blocks: []wal.Block{{Rel: table, Data: data}}}
	var p Page
	b.ReportAllocs()
	for b.Loop() {
		p = base
		mustApply(b, &a, &p, prune)
	}
}

func BenchmarkEffectsCommit(b *testing.B) {
	rec := &wal.Record{Rmgr: wal.RmgrXact, Info: 0x80, XID: 32767, Main: append(make([]byte, 8), words(2, 2, 32768, 32770)...)}
	var d Effects
	var c Counters
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Decode(rec, &c); err != nil {
			b.Fatal(err)
		}
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	base, recs := chain(t, 100, updateRecord)
	var a Applier
	p := base
	if n := testing.AllocsPerRun(20, func() {
		p = base
		for _, rec := range recs {
			mustApply(t, &a, &p, rec)
		}
	}); n != 0 {
		t.Errorf("Apply allocates %v times in 100 records", n)
	}
	var d Effects
	var c Counters
	truncate := &wal.Record{Rmgr: wal.RmgrSMGR, Info: smgrTruncate, Main: words(10, 1663, 5, 16384, 7)}
	multi := &wal.Record{Rmgr: wal.RmgrMultiXact, Info: multiCreate, Main: words(100, 1635, 2, 11, 4, 12, 5)}
	mixed := []*wal.Record{truncate, multi, recs[0]}
	if n := testing.AllocsPerRun(50, func() {
		for _, rec := range mixed {
			list, err := d.Decode(rec, &c)
			if err != nil {
				t.Fatal(err)
			}
			for i := range list {
				if list[i].Kind == PatchPage {
					if err := list[i].Patch.Apply(&p); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	}); n != 0 {
		t.Errorf("Decode and patches allocate %v times", n)
	}
}

// seedFor is the first record of an opcode in a file of testdata for which
// wanted holds.
func seedFor(tb testing.TB, file string, op, block uint8, wanted func(rec *wal.Record) bool) *seed {
	tb.Helper()
	for _, s := range readSeeds(tb, file) {
		if s.rec.Op() == op && s.block == block && wanted(s.rec) {
			return &s
		}
	}
	tb.Fatalf("%s has no such record", file)
	return nil
}

// indexSeeds are records of index managers whose redo costs the most.
func indexSeeds(tb testing.TB) map[string]*seed {
	return map[string]*seed{
		"gin/leaf": seedFor(tb, "gin.seeds", ginInsert, 0, func(rec *wal.Record) bool {
			return rec.Main[0] == ginIsData|ginIsLeaf && len(rec.Blocks[0].Data) < 64
		}),
		"gist/update":   seedFor(tb, "gist.seeds", gistPageUpdate, 0, func(rec *wal.Record) bool { return rec.Main[0] == 1 && rec.Main[2] == 1 }),
		"hash/insert":   seedFor(tb, "hash.seeds", hashInsert, 0, func(*wal.Record) bool { return true }),
		"hash/delete":   seedFor(tb, "hash.seeds", hashDelete, 1, func(rec *wal.Record) bool { return len(rec.Block(1).Data) > 4 }),
		"spgist/leaf":   seedFor(tb, "spgist.seeds", spgAddLeaf, 0, func(rec *wal.Record) bool { return rec.Main[0] == 0 }),
		"brin/samepage": seedFor(tb, "brin.seeds", brinSamepageUpdate, 0, func(*wal.Record) bool { return true }),
		"generic":       seedFor(tb, "generic.seeds", 0, 0, func(*wal.Record) bool { return true }),
		"gist/insert":   seedFor(tb, "gist.seeds", gistPageUpdate, 0, func(rec *wal.Record) bool { return rec.Main[0] == 0 }),
	}
}

// BenchmarkIndex replays one record onto a copy of the page that it was
// written for.
func BenchmarkIndex(b *testing.B) {
	for name, s := range indexSeeds(b) {
		b.Run(name, func(b *testing.B) {
			var a Applier
			var p Page
			blk := s.blk()
			b.ReportAllocs()
			for b.Loop() {
				p = s.page
				if _, err := a.Apply(&p, s.rec, blk); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestIndexRedoAllocatesNothing(t *testing.T) {
	for _, name := range []string{"gin.seeds", "gist.seeds", "hash.seeds", "spgist.seeds", "brin.seeds", "generic.seeds"} {
		var a Applier
		seeds := readSeeds(t, name)
		pages := make([]Page, len(seeds))
		if n := testing.AllocsPerRun(5, func() {
			for i := range seeds {
				pages[i] = seeds[i].page
				if _, err := a.Apply(&pages[i], seeds[i].rec, seeds[i].blk()); err != nil {
					t.Fatal(err)
				}
			}
		}); n != 0 {
			t.Errorf("%s: redo of %d records allocates %v times", name, len(seeds), n)
		}
	}
}

// Redo of every kind of record that PostgreSQL writes allocates nothing: a
// pageserver does it for every read of a page.
func TestRecordedRecordsAllocateNothing(t *testing.T) {
	files, err := filepath.Glob("testdata/*.seeds")
	if err != nil || len(files) < 8 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	var a Applier
	for _, file := range files {
		for _, s := range readSeeds(t, filepath.Base(file)) {
			if s.blk() == nil {
				effectsAllocateNothing(t, s.rec)
				continue
			}
			page := s.page
			if _, err := a.Apply(&page, s.rec, s.blk()); err != nil {
				t.Fatalf("%s: %s: %v", file, s.rec.Name(), err)
			}
			if n := testing.AllocsPerRun(5, func() {
				page = s.page
				a.Apply(&page, s.rec, s.blk())
			}); n != 0 {
				t.Errorf("%s: %s block %d: %v allocations", file, s.rec.Name(), s.block, n)
			}
		}
	}
}

// effectsAllocateNothing: nor does what a record does beyond its blocks, but
// for the name of a prepared transaction.
func effectsAllocateNothing(t *testing.T, rec *wal.Record) {
	t.Helper()
	var d Effects
	var c Counters
	if _, err := d.Decode(rec, &c); err != nil {
		t.Fatalf("%s: %v", rec.Name(), err)
	}
	want := 0.0
	if strings.Contains(rec.Name(), "PREPARE") {
		want = 1
	}
	if n := testing.AllocsPerRun(5, func() { d.Decode(rec, &c) }); n > want {
		t.Errorf("%s: %v allocations", rec.Name(), n)
	}
}
