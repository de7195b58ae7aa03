package pageserver_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"xenon/core"
	"xenon/core/layer"
	"xenon/core/pageserver"
	"xenon/core/pageserver/reference"
	"xenon/core/redo"
	"xenon/core/wal"
	"xenon/realio"
)

// A world is a blank cluster, imported once, whose WAL tests write themselves.
type world struct {
	env   *realio.Env
	store *realio.ObjectDir
	im    *pageserver.Imported
	dirs  int // made for timelines
}

const testSystem = 0x1234

var heapRel = core.Rel{Spc: 1663, DB: 5, Node: 16384}

func newWorld(t testing.TB) *world {
	t.Helper()
	return worldOf(t, pageserver.Blank{SystemID: testSystem, LSN: core.DefaultSegmentSize + 4096,
		Rels: []pageserver.BlankRel{{Node: 16384, Blocks: 3}, {Node: 16385}}})
}

// worldOf is an imported Blank.
func worldOf(t testing.TB, b pageserver.Blank) *world {
	t.Helper()
	src := at(t, t.TempDir(), nil)
	err := pageserver.WriteBlank(src.FS(), b)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{store: newStore(t)}
	w.env = at(t, t.TempDir(), w.store)
	if w.im, err = pageserver.Import(context.Background(), w.env, src.FS(), testTimeline); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) open(t testing.TB) *pageserver.Timeline {
	t.Helper()
	tl, err := pageserver.OpenTimeline(context.Background(), w.env, testTimeline, ".", layer.NewCache(16<<20))
	if err != nil {
		t.Fatal(err)
	}
	return tl
}

// A draw is a number in [0, n), of rapid or of a seed.
type draw func(n int) int

func drawOf(t *rapid.T) draw {
	return func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "n") }
}

// A script writes WAL and replays it in the reference.
type script struct {
	enc    *wal.Encoder
	wal    []byte
	begin  core.LSN
	ref    *reference.State
	states map[core.LSN]*reference.State
	lsns   []core.LSN
	recs   []*wal.Record
	xid    uint32
	writes int
}

func newScript(w *world) *script {
	x := w.im.Index
	f := wal.Format{Version: wal.PG15, SegmentSize: x.SegmentSize, SystemID: testSystem, TimelineID: 1}
	sizes := map[core.Key]uint32{core.BlockKey(heapRel, 0): 3, core.BlockKey(core.Rel{Spc: 1663, DB: 5, Node: 16385}, 0): 0}
	for u := core.Clog; u <= core.MultiXactOffsets; u++ {
		sizes[core.SLRUBlockKey(u, 0, 0)] = 1
	}
	c := redo.Counters{NextXID: 731, NextOID: 16384, NextMulti: 1, OldestXID: 716, OldestXIDDB: 1, OldestMulti: 1, OldestMultiDB: 1,
		FullPageWrites: true, Settings: redo.Settings{WALLevel: 1, MaxConnections: 100, MaxWorkers: 8, MaxWALSenders: 10, MaxLocks: 64}}
	return &script{enc: wal.NewEncoder(f, x.LSN, x.PrevLSN), begin: x.LSN, ref: reference.New(c, sizes),
		states: map[core.LSN]*reference.State{}, xid: 731}
}

func (s *script) add(t testing.TB, r *wal.Record) {
	t.Helper()
	var err error
	if s.wal, err = s.enc.Append(s.wal, r); err != nil {
		t.Fatal(err)
	}
	// What the timeline gets is what comes out of the bytes.
	raw, err := wal.PG15.AppendRecord(nil, r)
	if err != nil {
		t.Fatal(err)
	}
	var parsed wal.Record
	if err := wal.PG15.ParseRecord(raw, r.Start, &parsed); err != nil {
		t.Fatal(err)
	}
	parsed.Start, parsed.End = r.Start, r.End
	if err := s.ref.Apply(&parsed); err != nil {
		t.Fatal(err)
	}
	s.recs = append(s.recs, &parsed)
	s.lsns = append(s.lsns, r.End)
	s.states[r.End] = s.ref.Clone()
}

// heapPage has one tuple of 8 bytes, n times over.
func heapPage(n int) *redo.Page {
	p := new(redo.Page)
	le := binary.LittleEndian
	le.PutUint16(p[12:], 28)     // lower
	le.PutUint16(p[14:], 8160)   // upper
	le.PutUint16(p[16:], 8192)   // special
	le.PutUint16(p[18:], 0x2004) // size and version
	le.PutUint32(p[24:], 8160|1<<15|32<<17)
	le.PutUint32(p[8160:], 700) // xmin
	le.PutUint16(p[8160+18:], 1)
	le.PutUint16(p[8160+20:], 0x0800|0x0100) // xmax invalid, xmin committed
	p[8160+22] = 24
	for i := range 8 {
		p[8184+i] = byte(n)
	}
	return p
}

func (s *script) fpi(t testing.TB, r core.Rel, blk uint32) {
	s.writes++
	b := wal.Block{Rel: r, Block: blk}
	b.SetImage(wal.PG15, heapPage(s.writes), wal.ImageOpts{Apply: true, Standard: true})
	s.add(t, &wal.Record{Rmgr: wal.RmgrXLOG, Info: 0xB0, Blocks: []wal.Block{b}})
}

func (s *script) inplace(t testing.TB, r core.Rel, blk uint32) {
	s.writes++
	data := make([]byte, 8)
	binary.LittleEndian.PutUint64(data, uint64(s.writes)<<32)
	s.add(t, &wal.Record{Rmgr: 10, Info: 0x70, Blocks: []wal.Block{{Rel: r, Block: blk, Data: data}}, Main: []byte{1, 0}})
}

func (s *script) visible(t testing.TB, r core.Rel, blk uint32) {
	vm := r
	vm.Fork = core.VMFork
	s.add(t, &wal.Record{Rmgr: 9, Info: 0x40, Main: []byte{0, 0, 0, 0, 3},
		Blocks: []wal.Block{{ID: 0, Rel: vm, Block: blk / 32672}, {ID: 1, Rel: r, Block: blk}}})
}

// remove deletes the tuple of a page, and clears its bits in the map.
func (s *script) remove(t testing.TB, r core.Rel, blk uint32) {
	main := binary.LittleEndian.AppendUint32(nil, s.xid)
	main = append(main, 1, 0, 0, 1)
	s.add(t, &wal.Record{Rmgr: 10, Info: 0x10, XID: s.xid, Main: main, Blocks: []wal.Block{{Rel: r, Block: blk}}})
}

func relBytes(r core.Rel) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(r.Spc))
	b = binary.LittleEndian.AppendUint32(b, uint32(r.DB))
	return binary.LittleEndian.AppendUint32(b, uint32(r.Node))
}

func (s *script) truncate(t testing.TB, r core.Rel, n uint32) {
	main := append(binary.LittleEndian.AppendUint32(nil, n), relBytes(r)...)
	s.add(t, &wal.Record{Rmgr: 2, Info: 0x20, Main: binary.LittleEndian.AppendUint32(main, 7)})
}

func (s *script) create(t testing.TB, r core.Rel) {
	s.add(t, &wal.Record{Rmgr: 2, Info: 0x10, Main: binary.LittleEndian.AppendUint32(relBytes(r), 0)})
}

// commit ends a transaction that dropped relations.
func (s *script) commit(t testing.TB, drops ...core.Rel) {
	main := binary.LittleEndian.AppendUint64(nil, uint64(s.writes)*300_000)
	info := uint8(0)
	if len(drops) > 0 {
		info = 0x80
		main = binary.LittleEndian.AppendUint32(main, 1<<2)
		main = binary.LittleEndian.AppendUint32(main, uint32(len(drops)))
		for _, r := range drops {
			main = append(main, relBytes(r)...)
		}
	}
	s.add(t, &wal.Record{Rmgr: 1, Info: info, XID: s.xid, Main: main})
	s.xid++
}

func dbBytes(ids ...uint32) (b []byte) {
	for _, id := range ids {
		b = binary.LittleEndian.AppendUint32(b, id)
	}
	return b
}

// isHeap tells whether a block can take records that need a tuple.
func (s *script) isHeap(r core.Rel, blk uint32) bool {
	p, ok := s.ref.Page(r, blk)
	return ok && !redo.IsNew(&p)
}

// step draws one record. Some need what is not there; then none is written.
func (s *script) step(t testing.TB, d draw) {
	r := core.Rel{Spc: 1663, DB: core.OID(5 + d(2)), Node: core.OID(16384 + d(2))}
	blk := uint32(d(6))
	if r.DB != 5 && len(s.ref.Sizes) > 0 {
		if _, ok := s.ref.Sizes[core.BlockKey(r, 0)]; !ok {
			r.DB = 5
		}
	}
	switch k := d(16); {
	case k < 4:
		s.fpi(t, r, blk)
	case k < 8 && s.isHeap(r, blk):
		s.inplace(t, r, blk)
	case k < 10 && s.isHeap(r, blk):
		s.visible(t, r, blk)
	case k < 11 && s.isHeap(r, blk):
		s.remove(t, r, blk)
	case k < 12:
		s.truncate(t, r, blk)
	case k < 13:
		s.commit(t, r)
		s.create(t, r)
	case k < 14:
		s.commit(t)
	case k < 15:
		s.add(t, &wal.Record{Rmgr: 4, Info: 0x00, XID: s.xid, Main: dbBytes(6, 1663, 5, 1663)})
	case d(3) == 0:
		s.add(t, &wal.Record{Rmgr: 4, Info: 0x20, XID: s.xid, Main: dbBytes(6, 1, 1663)})
	}
}

// differences ingests the script and compares everything as of every record.
func (s *script) differences(tl *pageserver.Timeline) (diffs []string) {
	for _, rec := range s.recs {
		if err := tl.Ingest(rec); err != nil {
			return []string{err.Error()}
		}
	}
	for _, lsn := range s.lsns {
		diffs = append(diffs, s.compare(tl, lsn)...)
	}
	return diffs
}

func (s *script) compare(tl *pageserver.Timeline, lsn core.LSN) (diffs []string) {
	say := func(format string, args ...any) {
		diffs = append(diffs, fmt.Sprintf("as of %s: ", lsn)+fmt.Sprintf(format, args...))
	}
	ctx, want := context.Background(), s.states[lsn]
	var got redo.Page
	for _, db := range []core.OID{5, 6} {
		for _, node := range []core.OID{16384, 16385} {
			for _, fork := range []core.Fork{core.MainFork, core.VMFork} {
				r := core.Rel{Spc: 1663, DB: db, Node: node, Fork: fork}
				n, exists := want.Sizes[core.BlockKey(r, 0)]
				if tl.Exists(r, lsn) != exists {
					say("%s exists %v, want %v", r, !exists, exists)
					continue
				}
				if m, err := tl.RelSize(r, lsn); exists && (err != nil || m != n) {
					say("%s has %d blocks (%v), want %d", r, m, err, n)
				}
				for blk := range n {
					page, _ := want.Page(r, blk)
					at := pageserver.PageAt{Rel: r, Block: blk, LSN: lsn}
					if err := tl.GetPage(ctx, at, &got); err != nil || got != page {
						say("%s block %d differs: %s (%v)", r, blk, redo.Diff(&got, &page, 10), err)
					}
					if got, err := replayed(ctx, tl, at); err != nil || got != page {
						say("%s block %d differs as its chain makes it: %s (%v)", r, blk, redo.Diff(&got, &page, 10), err)
					}
				}
			}
		}
	}
	clog, _ := want.SLRUPage(core.Clog, 0, 0)
	if b, err := tl.SLRUSegment(ctx, core.Clog, 0, lsn); err != nil || string(b) != string(clog[:]) {
		say("pg_xact differs (%v)", err)
	}
	diffs = append(diffs, s.compareBoot(tl, lsn)...)
	return diffs
}

// replayed is a page as whoever is told its chain makes it.
func replayed(ctx context.Context, tl *pageserver.Timeline, at pageserver.PageAt) (redo.Page, error) {
	c, err := tl.Chain(ctx, at)
	if err != nil {
		return redo.Page{}, err
	}
	return c.Replay(nil)
}

func (s *script) compareBoot(tl *pageserver.Timeline, lsn core.LSN) []string {
	set, err := tl.Boot(context.Background(), lsn)
	if err != nil {
		return []string{err.Error()}
	}
	ctl, err := wal.DecodeControl(set.Control)
	if err != nil {
		return []string{err.Error()}
	}
	if got, want := ctl.CheckPoint.NextXID, s.states[lsn].Counters.NextXID; got != want {
		return []string{fmt.Sprintf("as of %s: next xid %d, want %d", lsn, got, want)}
	}
	return nil
}

// TestEqualsReference draws histories and compares every page as of every
// record with a plain replay.
func TestEqualsReference(t *testing.T) {
	w := newWorld(t)
	rapid.Check(t, func(rt *rapid.T) {
		s := newScript(w)
		d := drawOf(rt)
		for range rapid.IntRange(1, 40).Draw(rt, "records") {
			s.step(t, d)
		}
		tl := w.open(t)
		defer tl.Close()
		for _, diff := range s.differences(tl) {
			rt.Error(diff)
		}
	})
}

// runSeeds counts the histories of fixed seeds that differ.
func runSeeds(t testing.TB, w *world, n int) (bad int, first string) {
	for seed := range n {
		rng := rand.New(rand.NewPCG(uint64(seed), 1))
		s := newScript(w)
		for range 60 {
			s.step(t, rng.IntN)
		}
		tl := w.open(t)
		if diffs := s.differences(tl); len(diffs) > 0 {
			bad++
			if first == "" {
				first = diffs[0]
			}
		}
		tl.Close()
	}
	return bad, first
}

func TestFixedSeeds(t *testing.T) {
	if bad, first := runSeeds(t, newWorld(t), 10); bad > 0 {
		t.Errorf("%d of 10 histories differ: %s", bad, first)
	}
}
