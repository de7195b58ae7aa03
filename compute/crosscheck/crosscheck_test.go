package crosscheck_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"xenon/compute/crosscheck"
	"xenon/compute/filetree"
	"xenon/compute/pageclient"
	"xenon/compute/vfs"
	"xenon/core"
	"xenon/core/pageserver/pagechain"
	"xenon/core/redo"
	"xenon/core/wal"
	"xenon/core/wire/http1"
	"xenon/core/xsync"
	"xenon/realio"
)

const boot core.LSN = 0x2000000

var rel = core.Rel{Spc: 1663, DB: 5, Node: 16384}

// A page of a heap with one tuple whose last byte is given.
func page(lsn core.LSN, last byte) *redo.Page {
	p := new(redo.Page)
	le := func(off, size int, v uint64) {
		for i := range size {
			p[off+i] = byte(v >> (8 * i))
		}
	}
	redo.SetPageLSN(p, lsn)
	le(12, 2, 28)
	le(14, 2, 8160)
	le(16, 2, 8192)
	le(18, 2, 8196)
	le(24, 4, 8160|1<<15|32<<17)
	p[8160+22] = 24
	p[8191] = last
	return p
}

// A pageserver answers from what it was given.
type pageserver struct {
	pages   map[uint32]*redo.Page
	refuses bool
	hinted  bool           // chains end with a record of hint bits
	fails   map[uint32]int // by block: HTTP status of a chain
	hold    chan struct{}  // closed to let it answer; nil does
	asked   atomic.Int64
}

func (s *pageserver) ReadVersions(ctx context.Context, vs []pageclient.Version, dst []byte) error {
	if s.hold != nil {
		select {
		case <-s.hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.asked.Add(int64(len(vs)))
	if s.refuses {
		return fmt.Errorf("%w: not today", pageclient.ErrRefused)
	}
	for i, v := range vs {
		copy(dst[i*core.PageSize:], s.pages[v.Block][:])
	}
	return nil
}

func (s *pageserver) Chain(_ context.Context, v pageclient.Version) (*pagechain.Chain, error) {
	if status := s.fails[v.Block]; status != 0 {
		return nil, &http1.StatusError{Status: status, Message: "no such relation"}
	}
	image := pagechain.Version{Kind: pagechain.Image, LSN: v.LSN, Data: s.pages[v.Block][:]}
	c := &pagechain.Chain{Rel: pagechain.RelName(v.Rel), Block: v.Block, LSN: v.LSN, Major: 15, Versions: []pagechain.Version{image}}
	if s.hinted {
		b, err := wal.PG15.AppendRecord(nil, &wal.Record{Rmgr: wal.RmgrXLOG, Info: wal.XLOGFPIForHint, Blocks: []wal.Block{{Rel: v.Rel, Block: v.Block}}})
		if err != nil {
			return nil, err
		}
		c.Versions = append(c.Versions, pagechain.Version{Kind: pagechain.Record, Start: v.LSN - 8, LSN: v.LSN, Data: b})
	}
	return c, nil
}

// A quorum has committed up to an LSN.
type quorum struct{ *xsync.Watch[core.LSN] }

func (q quorum) Committed() core.LSN { return q.Get() }

func (q quorum) AwaitCommit(ctx context.Context, lsn core.LSN) error {
	_, err := q.Await(ctx, func(c core.LSN) bool { return c >= lsn })
	return err
}

// A check is a checker with a sampler that runs.
type check struct {
	*crosscheck.Checker
	*crosscheck.Sampler
	env *realio.Env
	quorum
	dir   string
	found []*crosscheck.Mismatch
	end   func()
}

func start(t *testing.T, rate float64, ps *pageserver) *check {
	t.Helper()
	c := &check{dir: t.TempDir()}
	c.env = realio.New(realio.Options{Root: c.dir, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	t.Cleanup(func() { c.env.Close() })
	c.Checker = crosscheck.New(c.env, crosscheck.Config{Rate: rate, Dir: "found", Found: func(m *crosscheck.Mismatch) {
		copied := *m
		c.found = append(c.found, &copied)
	}})
	c.quorum = quorum{xsync.NewWatch(c.env, boot+0x100000)}
	c.Sampler = c.Checker.Sampler(crosscheck.Life{Branch: "main", Boot: boot, Quorum: c.quorum, Pages: ps})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	c.env.Go("sampler", func(context.Context) {
		defer close(done)
		c.Sampler.Run(ctx)
	})
	c.end = func() { cancel(); <-done }
	return c
}

// settle waits for all that was taken, ends the sampler, and returns what came
// of it.
func (c *check) settle(t *testing.T) crosscheck.Status {
	t.Helper()
	c.Drain(context.Background(), time.Minute)
	c.end()
	return c.Checker.Status()
}

func written(block uint32, p *redo.Page) filetree.WrittenPage {
	return filetree.WrittenPage{Rel: rel, Block: block, Page: p[:]}
}

func TestSamePagesAreChecked(t *testing.T) {
	ps := &pageserver{pages: map[uint32]*redo.Page{}}
	for blk := range uint32(100) {
		ps.pages[blk] = page(boot+8*core.LSN(blk+1), byte(blk))
	}
	c := start(t, 1, ps)
	for blk := range uint32(100) {
		w := *ps.pages[blk]
		w[8] = 9 // pd_checksum
		c.Take(written(blk, &w))
	}
	s := c.settle(t)
	if s.Checked != 100 || s.Mismatched != 0 || len(s.Skipped) != 0 {
		t.Errorf("status %+v, want 100 checked", s)
	}
	if _, err := os.Stat(filepath.Join(c.dir, "found")); err == nil {
		t.Error("there is a directory of reports without any")
	}
}

func TestUnfitPagesAreCounted(t *testing.T) {
	good := page(boot+8, 1)
	tests := []struct {
		reason string
		w      filetree.WrittenPage
	}{
		{"not_main_fork", filetree.WrittenPage{Rel: core.Rel{Spc: 1663, DB: 5, Node: 1, Fork: core.FSMFork}, Page: good[:]}},
		{"not_main_fork", filetree.WrittenPage{Rel: core.Rel{Spc: 1663, DB: 5, Node: 1, Fork: core.VMFork}, Page: good[:]}},
		{"unlogged", filetree.WrittenPage{Rel: rel, Page: good[:], Unlogged: true}},
		{"no_lsn", written(0, page(0, 1))},
		{"no_lsn", written(0, page(1, 1))},
		{"unchanged", written(0, page(boot, 1))},
		{"copied", filetree.WrittenPage{Rel: rel, Page: good[:], Made: boot + 8}},
	}
	c := start(t, 1, &pageserver{})
	want := map[string]uint64{}
	for _, tt := range tests {
		c.Take(tt.w)
		want[tt.reason]++
	}
	s := c.settle(t)
	if s.Checked != 0 || fmt.Sprint(s.Skipped) != fmt.Sprint(want) {
		t.Errorf("status %+v, want skipped %v", s, want)
	}
}

func TestMismatchIsStored(t *testing.T) {
	lsn := boot + 0x100
	ps := &pageserver{pages: map[uint32]*redo.Page{7: page(lsn, 1)}}
	c := start(t, 1, ps)
	c.Take(written(7, page(lsn, 2)))
	s := c.settle(t)
	if s.Checked != 1 || s.Mismatched != 1 || s.Unstored != 0 || s.Dir != "found" {
		t.Fatalf("status %+v, want one mismatch", s)
	}
	if len(c.found) != 1 || !strings.HasPrefix(c.found[0].Diff, "item 1 ") || c.found[0].Boot != boot {
		t.Errorf("told of %+v", c.found)
	}
	dirs, err := filepath.Glob(filepath.Join(c.dir, "found", "*"))
	if err != nil || len(dirs) != 1 {
		t.Fatalf("reports %v (%v), want one", dirs, err)
	}
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(dirs[0], name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if !bytes.Equal(read(crosscheck.WrittenFile), page(lsn, 2)[:]) || !bytes.Equal(read(crosscheck.RebuiltFile), page(lsn, 1)[:]) {
		t.Error("the pages stored are not those compared")
	}
	chain, err := pagechain.Decode(read(crosscheck.ChainFile))
	if err != nil || len(chain.Versions) != 1 {
		t.Errorf("chain %+v (%v)", chain, err)
	}
	r, err := crosscheck.ParseReport(read(crosscheck.ReportFile))
	if err != nil || core.Rel(r.Rel) != rel || r.Block != 7 || r.LSN != lsn || r.StartLSN != boot || r.Difference != c.found[0].Diff {
		t.Errorf("report %+v (%v)", r, err)
	}
}

// TestHintsMoveTheLSN: with full_page_writes off, a record of hint bits gives
// the server's page its LSN, and does nothing in replay.
func TestHintsMoveTheLSN(t *testing.T) {
	for _, refuses := range []bool{false, true} {
		ps := &pageserver{hinted: true, refuses: refuses, pages: map[uint32]*redo.Page{0: page(boot+8, 1), 1: page(boot+8, 1)}}
		c := start(t, 1, ps)
		c.Take(written(0, page(boot+0x100, 1)))
		c.Take(written(1, page(boot+0x100, 2)))
		if s := c.settle(t); s.Checked != 2 || s.Mismatched != 1 || c.found[0].Block != 1 {
			t.Errorf("status %+v, want a mismatch of block 1 alone", s)
		}
	}
}

func TestReportsAreBounded(t *testing.T) {
	ps := &pageserver{pages: map[uint32]*redo.Page{}}
	const many = 40
	for blk := range uint32(many) {
		ps.pages[blk] = page(boot+8, 1)
	}
	c := start(t, 1, ps)
	for blk := range uint32(many) {
		c.Take(written(blk, page(boot+8, 2)))
	}
	s := c.settle(t)
	dirs, _ := filepath.Glob(filepath.Join(c.dir, "found", "*", crosscheck.ReportFile))
	if s.Mismatched != many || s.Unstored != many-32 || len(dirs) != 32 {
		t.Errorf("status %+v and %d reports, want 32", s, len(dirs))
	}
}

func TestRefusedPages(t *testing.T) {
	lsn := boot + 0x100
	ps := &pageserver{
		refuses: true,
		pages:   map[uint32]*redo.Page{0: page(lsn, 1), 1: page(lsn, 1)},
		fails:   map[uint32]int{2: http.StatusUnprocessableEntity, 3: http.StatusNotFound},
	}
	c := start(t, 1, ps)
	c.Take(written(0, page(lsn, 1))) // as its chain makes it
	c.Take(written(1, page(lsn, 2))) // not so
	c.Take(written(2, page(lsn, 1))) // there is no such page
	c.Take(written(3, page(lsn, 1))) // the pageserver has not the timeline
	s := c.settle(t)
	if s.Checked != 3 || s.Mismatched != 2 || s.Skipped["unanswered"] != 1 {
		t.Errorf("status %+v, want 3 checked, 2 of them mismatched, and one unanswered", s)
	}
}

func TestFullQueueDropsPages(t *testing.T) {
	ps := &pageserver{pages: map[uint32]*redo.Page{0: page(boot+8, 1)}, hold: make(chan struct{})}
	c := start(t, 1, ps)
	const many = 2000
	for range many {
		c.Take(written(0, page(boot+8, 1)))
	}
	close(ps.hold)
	s := c.settle(t)
	if s.Skipped["behind"] == 0 || s.Checked+s.Skipped["behind"] != many {
		t.Errorf("status %+v, want some of %d pages behind and the others checked", s, many)
	}
}

func TestEndCountsWhatIsLeft(t *testing.T) {
	ps := &pageserver{hold: make(chan struct{})}
	c := start(t, 1, ps)
	for range 100 {
		c.Take(written(0, page(boot+8, 1)))
	}
	c.end()
	c.Take(written(0, page(boot+8, 1)))
	if s := c.Checker.Status(); s.Skipped["ended"] != 101 || s.Checked != 0 {
		t.Errorf("status %+v, want 101 ended", s)
	}
}

// TestCommitIsAwaited: whoever builds an index writes pages before their WAL is
// committed.
func TestCommitIsAwaited(t *testing.T) {
	lsn := boot + 0x200000
	c := start(t, 1, &pageserver{pages: map[uint32]*redo.Page{0: page(lsn, 1)}})
	c.Take(written(0, page(lsn, 1)))
	time.Sleep(50 * time.Millisecond)
	if s := c.Checker.Status(); s.Checked != 0 || len(s.Skipped) != 0 {
		t.Errorf("status %+v before the commit", s)
	}
	c.quorum.Set(lsn)
	if s := c.settle(t); s.Checked != 1 || s.Mismatched != 0 {
		t.Errorf("status %+v, want one checked", s)
	}
}

// TestRate: the part of the pages that is looked at is the one asked for, and
// the same ones every time.
func TestRate(t *testing.T) {
	env := realio.New(realio.Options{Root: t.TempDir()})
	defer env.Close()
	for _, rate := range []float64{0, 0.01, 0.3, 1} {
		c := crosscheck.New(env, crosscheck.Config{Rate: rate})
		if c.On() != (rate > 0) {
			t.Errorf("at rate %v it is on: %v", rate, c.On())
		}
		s, again := c.Sampler(crosscheck.Life{}), c.Sampler(crosscheck.Life{})
		const pages = 20_000
		chosen := 0
		for i := range pages {
			file, block, p := vfs.NodeID(3+i%7), int64(i/7%500), page(boot+core.LSN(24*i), 0)
			if s.Wants(file, block, p[:]) {
				chosen++
			}
			if s.Wants(file, block, p[:]) != again.Wants(file, block, p[:]) {
				t.Fatal("the choice is not the same twice")
			}
		}
		want := rate * pages
		if float64(chosen) < 0.7*want || float64(chosen) > 1.3*want+1 {
			t.Errorf("at rate %v %d of %d pages are chosen", rate, chosen, pages)
		}
	}
}

func TestParseReport(t *testing.T) {
	for _, b := range []string{"", "{}", `{"format":1}`, `{"format":0,"rel":"x"}`} {
		if _, err := crosscheck.ParseReport([]byte(b)); err == nil {
			t.Errorf("%q is a report", b)
		}
	}
	if _, err := crosscheck.ParseReport([]byte(`{"format":0,"rel":"1663/5/16384","lsn":"0/1"}`)); err != nil {
		t.Error(err)
	}
}
