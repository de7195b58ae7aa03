package pageserver_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"xenon/core"
	"xenon/core/layer"
	"xenon/core/pageserver"
	"xenon/core/pageserver/reference"
	"xenon/core/redo"
	"xenon/core/wal"
)

// A twig is a timeline of a tree and the script of its WAL. The script of a
// branch knows the past of its ancestors: everything is compared there too.
type twig struct {
	*script
	tl    *pageserver.Timeline
	at    core.LSN // where it begins
	ended core.LSN // its last record, or at
	// reopen opens the timeline anew, after a restart.
	reopen func() (*pageserver.Timeline, error)
}

// openBranch opens a branch of a timeline without a word to the object store.
func (w *world) openBranch(parent *pageserver.Timeline, id byte, at core.LSN, dir string) (*pageserver.Timeline, error) {
	x := *parent.Index()
	x.Timeline[0] = id
	x.LSN, x.PrevLSN, x.Layers = at, 0, nil
	return pageserver.Open(context.Background(), w.env, pageserver.Opening{
		ID: core.TTID{Tenant: x.Tenant, Timeline: x.Timeline}, Dir: dir, Cache: layer.NewCache(1 << 20), Index: &x, Ancestor: parent,
	})
}

func (w *world) trunk(t testing.TB) *twig {
	at := w.im.Index.LSN
	s := newScript(w)
	s.lsns, s.states[at] = append(s.lsns, at), s.ref.Clone()
	dir := w.own(t)
	g := &twig{script: s, at: at, ended: at, reopen: func() (*pageserver.Timeline, error) { return w.openIn(t, dir), nil }}
	g.tl = w.openIn(t, dir)
	return g
}

func (g *twig) grow(t testing.TB, rng *rand.Rand) {
	n := len(g.recs)
	g.step(t, rng.IntN)
	for _, rec := range g.recs[n:] {
		if err := g.tl.Ingest(rec); err != nil {
			t.Fatal(err)
		}
		g.ended = rec.End
	}
	if rng.IntN(6) == 0 {
		g.flush(t)
	}
}

func (g *twig) flush(t testing.TB) {
	t.Helper()
	if err := g.tl.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// restart flushes and opens the timeline anew.
func (g *twig) restart(t testing.TB) {
	t.Helper()
	g.flush(t)
	last := g.tl.LastRecord()
	g.tl.Close()
	var err error
	if g.tl, err = g.reopen(); err != nil {
		t.Fatal(err)
	}
	if at := g.tl.LastRecord(); at != last {
		t.Errorf("opened anew the timeline stands at %v, it was at %v", at, last)
	}
}

// branch makes a branch at an LSN that the twig has reached.
func (g *twig) branch(t testing.TB, w *world, id byte, at core.LSN) *twig {
	t.Helper()
	dir := w.own(t)
	b := &twig{script: g.script.branch(w, at), at: at, ended: at}
	b.reopen = func() (*pageserver.Timeline, error) { return w.openBranch(g.tl, id, at, dir) }
	var err error
	if b.tl, err = b.reopen(); err != nil {
		t.Fatal(err)
	}
	return b
}

// branch is the script of a branch. It knows the past, and links to the last
// record if it begins behind that.
func (s *script) branch(w *world, at core.LSN) *script {
	f := wal.Format{Version: wal.PG15, SegmentSize: w.im.Index.SegmentSize, SystemID: testSystem, TimelineID: 1}
	prev := core.LSN(0)
	if n := len(s.recs); n > 0 && s.recs[n-1].End == at {
		prev = s.recs[n-1].Start
	}
	b := &script{enc: wal.NewEncoder(f, at, prev), begin: at, states: map[core.LSN]*reference.State{}, xid: s.xid, writes: s.writes}
	for _, lsn := range s.lsns {
		if lsn <= at {
			b.lsns, b.states[lsn], b.ref = append(b.lsns, lsn), s.states[lsn], s.states[lsn].Clone()
		}
	}
	b.lsns, b.states[at] = append(b.lsns, at), b.ref.Clone()
	return b
}

// somewhere is an LSN between the twig's beginning and its end, often close to
// the end of a record.
func (g *twig) somewhere(w *world, rng *rand.Rand) core.LSN {
	f := wal.Format{SegmentSize: w.im.Index.SegmentSize}
	at := g.at + core.LSN(rng.Int64N(int64(g.ended-g.at)+1))
	if rng.IntN(2) == 0 {
		at = g.lsns[rng.IntN(len(g.lsns))] + core.LSN(rng.IntN(3)*8)
	}
	return f.RoundUp(min(max(at, g.at), g.ended))
}

// differencesOfTree grows a tree of branches, records on all of its timelines
// in turn, and compares every timeline as of every record, its own and those
// of its ancestors.
func differencesOfTree(t testing.TB, w *world, seed uint64) (diffs []string) {
	rng := rand.New(rand.NewPCG(seed, 2))
	tree := []*twig{w.trunk(t)}
	defer func() {
		for _, g := range tree {
			g.tl.Close()
		}
	}()
	for range 12 {
		tree[0].grow(t, rng)
	}
	for id := byte(1); id <= 4; id++ {
		from := tree[rng.IntN(len(tree))]
		tree = append(tree, from.branch(t, w, id, from.somewhere(w, rng)))
		for range 24 {
			tree[rng.IntN(len(tree))].grow(t, rng)
		}
	}
	compare := func(when string) {
		for i, g := range tree {
			for _, lsn := range g.lsns {
				for _, d := range g.compare(g.tl, lsn) {
					diffs = append(diffs, fmt.Sprintf("timeline %d, from %s on%s: %s", i, g.at, when, d))
				}
			}
		}
	}
	compare("")
	for _, g := range tree { // parents first
		g.restart(t)
	}
	compare(", after a restart")
	return diffs
}

func runTrees(t testing.TB, w *world, n int) (bad int, first string) {
	for seed := range n {
		if diffs := differencesOfTree(t, w, uint64(seed)); len(diffs) > 0 {
			bad++
			if first == "" {
				first = diffs[0]
			}
		}
	}
	return bad, first
}

// TestBranches: trees of branches, nested, at the ends of records and between
// them, while the parents go on.
func TestBranches(t *testing.T) {
	n := 8
	if os.Getenv("XENON_FULL") == "1" {
		n = 200
	}
	if bad, first := runTrees(t, newWorld(t), n); bad > 0 {
		t.Errorf("%d of %d trees differ: %s", bad, n, first)
	}
}

// TestBranchBatch: one batch of reads reaches over a branch point.
func TestBranchBatch(t *testing.T) {
	w := newWorld(t)
	g := w.trunk(t)
	defer g.tl.Close()
	add := func(g *twig) {
		g.fpi(t, heapRel, 0)
		rec := g.recs[len(g.recs)-1]
		if err := g.tl.Ingest(rec); err != nil {
			t.Fatal(err)
		}
	}
	add(g)
	add(g)
	b := g.branch(t, w, 1, g.lsns[len(g.lsns)-1])
	defer b.tl.Close()
	add(b)
	add(g)
	var reqs []pageserver.PageAt
	for range 3 {
		for _, lsn := range b.lsns {
			reqs = append(reqs, pageserver.PageAt{Rel: heapRel, Block: 0, LSN: lsn}, pageserver.PageAt{Rel: heapRel, Block: 1, LSN: lsn})
		}
	}
	pages, errs := make([]redo.Page, len(reqs)), make([]error, len(reqs))
	b.tl.GetPages(context.Background(), reqs, pages, errs)
	for i, q := range reqs {
		if want, _ := b.states[q.LSN].Page(q.Rel, q.Block); errs[i] != nil || pages[i] != want {
			t.Errorf("%v: %s (%v)", q, redo.Diff(&pages[i], &want, 10), errs[i])
		}
	}
}

// TestBranchWhileParentIngests: readers of branches and the parent's ingest do
// not get into each other's way.
func TestBranchWhileParentIngests(t *testing.T) {
	w := newWorld(t)
	g := w.trunk(t)
	defer g.tl.Close()
	rng := rand.New(rand.NewPCG(1, 3))
	for range 50 {
		g.grow(t, rng)
	}
	b := g.branch(t, w, 1, g.somewhere(w, rng))
	defer b.tl.Close()
	c := b.branch(t, w, 2, b.somewhere(w, rng))
	defer c.tl.Close()
	at := g.ended
	for range 300 {
		g.step(t, rng.IntN)
	}
	var wg sync.WaitGroup
	for _, x := range []*twig{b, c} {
		wg.Go(func() {
			for _, lsn := range x.lsns {
				for _, d := range x.compare(x.tl, lsn) {
					t.Errorf("branch at %s: %s", x.at, d)
				}
			}
		})
	}
	for _, rec := range g.recs {
		if rec.End > at {
			if err := g.tl.Ingest(rec); err != nil {
				t.Error(err)
			}
		}
	}
	wg.Wait()
}

// TestBranchRefused: a branch begins where its parent has been.
func TestBranchRefused(t *testing.T) {
	w := newWorld(t)
	g := w.trunk(t)
	defer g.tl.Close()
	g.fpi(t, heapRel, 0)
	end := g.lsns[len(g.lsns)-1]
	if _, err := w.openBranch(g.tl, 1, end, w.own(t)); !errors.Is(err, pageserver.ErrBehind) || !strings.Contains(err.Error(), end.String()) {
		t.Errorf("a branch above the parent's end: %v", err)
	}
	if err := g.tl.Ingest(g.recs[0]); err != nil {
		t.Fatal(err)
	}
	b, err := w.openBranch(g.tl, 1, end, w.own(t))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err := b.ReadLSN(context.Background(), g.at-8, g.at-8, time.Second); !errors.Is(err, pageserver.ErrBadLSN) {
		t.Errorf("a read below the beginning of all: %v", err)
	}
	if lsn, err := b.ReadLSN(context.Background(), g.at, g.at, time.Second); err != nil || lsn != g.at {
		t.Errorf("a read at the beginning of all: %s, %v", lsn, err)
	}
}

// TestLSNAtOfBranch: a time before the branch point is one of the ancestor's,
// and what the ancestor committed since is none of the branch's.
func TestLSNAtOfBranch(t *testing.T) {
	w := newWorld(t)
	g := w.trunk(t)
	defer g.tl.Close()
	commit := func(g *twig, seconds int) core.LSN {
		g.writes = seconds * 10 / 3 // commit takes its time from the number of writes
		g.commit(t)
		rec := g.recs[len(g.recs)-1]
		if err := g.tl.Ingest(rec); err != nil {
			t.Fatal(err)
		}
		return rec.End
	}
	at30, at60 := commit(g, 30), commit(g, 60)
	b := g.branch(t, w, 1, at60)
	defer b.tl.Close()
	commit(g, 90)
	first := g.at
	check := func(seconds int, lsn core.LSN, kind string) {
		t.Helper()
		if got, k := b.tl.LSNAt(int64(seconds) * 1e6); got != lsn || k != kind {
			t.Errorf("at %d s: %s %s, want %s %s", seconds, got, k, lsn, kind)
		}
	}
	check(20, first, "past")
	check(45, at30, "present")
	check(70, at60, "future")
	check(100, at60, "future")
	at120 := commit(b, 120)
	check(45, at30, "present")
	check(100, at60, "present")
	check(130, at120, "future")
}

// idleBranch is the memory that a branch may take of which nobody wants
// anything, in bytes.
const idleBranch = 8 << 10

// TestIdleBranches: a branch that nobody uses takes next to nothing, however
// many relations its parent has.
func TestIdleBranches(t *testing.T) {
	blank := pageserver.Blank{SystemID: testSystem, LSN: core.DefaultSegmentSize + 4096}
	for i := range core.OID(1000) {
		blank.Rels = append(blank.Rels, pageserver.BlankRel{Node: 16384 + i, Blocks: 1})
	}
	w := worldOf(t, blank)
	parent := w.open(t)
	defer parent.Close()
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	const n = 200
	cache := layer.NewCache(1 << 20)
	branches := make([]*pageserver.Timeline, 0, n)
	before := heap()
	for i := range n {
		x := *parent.Index()
		x.Timeline = core.TimelineID{1, byte(i)}
		x.Layers = nil
		b, err := pageserver.Open(context.Background(), w.env, pageserver.Opening{
			ID: core.TTID{Tenant: x.Tenant, Timeline: x.Timeline}, Dir: ".", Cache: cache, Index: &x, Ancestor: parent,
		})
		if err != nil {
			t.Fatal(err)
		}
		branches = append(branches, b)
	}
	each := (int64(heap()) - int64(before)) / n
	t.Logf("an idle branch of a timeline with 1,000 relations: %d bytes", each)
	if each > idleBranch {
		t.Errorf("an idle branch takes %d bytes, want %d at most", each, idleBranch)
	}
	for _, b := range branches {
		if size, err := b.RelSize(core.Rel{Spc: 1663, DB: 5, Node: 16384 + 500}, b.Index().LSN); err != nil || size != 1 {
			t.Fatalf("relation of a branch: %d blocks, %v", size, err)
		}
		b.Close()
	}
}
