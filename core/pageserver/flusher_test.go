package pageserver_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"xenon/core/env"
	"xenon/core/layer"
	"xenon/core/pageserver"
	"xenon/core/pageserver/remote"
	"xenon/core/redo"
	"xenon/core/xsync"
)

// flushed runs a timeline with its flusher on a simulated disk.
func flushed(t *testing.T, c *crashing, o pageserver.Opening, f func(ctx context.Context, e env.Env, tl *pageserver.Timeline) error) {
	t.Helper()
	err := c.ps.Do(24*time.Hour, func(ctx context.Context, e env.Env) error {
		if err := e.FS().Mkdir("tl"); err != nil {
			return err
		}
		index, err := remote.Peek(ctx, e, testTimeline)
		if err != nil {
			return err
		}
		o.ID, o.Dir, o.Cache, o.Index = testTimeline, "tl", layer.NewCache(1<<20), index
		if o.Memory == nil {
			o.Memory = pageserver.NewMemory(e, 64<<10)
		}
		tl, err := pageserver.Open(ctx, e, o)
		if err != nil {
			return err
		}
		tasks := xsync.NewGroup(ctx, e)
		tasks.Go("flush", func(ctx context.Context) error { tl.Flushes(ctx); return nil })
		err = f(ctx, e, tl)
		tasks.Cancel(nil)
		return errors.Join(err, tasks.Wait())
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestFlushesWhenDue: by size, by time, and when nothing comes any more.
func TestFlushesWhenDue(t *testing.T) {
	c := newCrashing(t, 3, 400)
	flushed(t, c, pageserver.Opening{Flush: pageserver.FlushPolicy{Distance: 5000, Timeout: 10 * time.Minute}},
		func(ctx context.Context, e env.Env, tl *pageserver.Timeline) error {
			next := 0
			ingest := func(n int) error {
				for ; n > 0; n-- {
					if err := errors.Join(tl.Ingest(c.sc.recs[next]), tl.MakeRoom(ctx)); err != nil {
						return err
					}
					next++
				}
				return nil
			}
			// Up to is whether the flush comes within a time, and not before.
			upTo := func(what string, after, within time.Duration) error {
				last := tl.LastRecord()
				if err := e.Clock().Sleep(ctx, after); err != nil {
					return err
				}
				if after > 0 && tl.DiskConsistent() == last {
					return fmt.Errorf("%s: flushed within %s", what, after)
				}
				if err := e.Clock().Sleep(ctx, within-after); err != nil {
					return err
				}
				if at := tl.DiskConsistent(); at != last {
					return fmt.Errorf("%s: after %s the disk-consistent record is %v, the last is %v", what, within, at, last)
				}
				return nil
			}
			if err := ingest(1); err != nil {
				return err
			}
			if err := upTo("when nothing comes", 55*time.Second, 125*time.Second); err != nil {
				return err
			}
			// A record every half minute: it is the time since the first that counts.
			for range 19 {
				if err := errors.Join(ingest(1), e.Clock().Sleep(ctx, 30*time.Second)); err != nil {
					return err
				}
			}
			if err := errors.Join(ingest(1), upTo("by time", 25*time.Second, 35*time.Second)); err != nil {
				return err
			}
			for c.sc.recs[next].End < tl.DiskConsistent().LSN+5200 {
				if err := ingest(1); err != nil {
					return err
				}
			}
			return upTo("by size", 0, time.Second)
		})
}

// TestIngestWaitsForMemory: while the disk is full flushes are tried again and
// ingest waits, and says so; once there is room it goes on.
func TestIngestWaitsForMemory(t *testing.T) {
	c := newCrashing(t, 4, 1200)
	flushed(t, c, pageserver.Opening{Flush: pageserver.FlushPolicy{Distance: 5000}},
		func(ctx context.Context, e env.Env, tl *pageserver.Timeline) error {
			c.disk.SetFree(100)
			var waits []string
			e.Go("look", func(ctx context.Context) {
				e.Clock().Sleep(ctx, 5*time.Minute)
				waits = tl.Waits()
				c.disk.SetFree(1 << 30)
			})
			began := e.Clock().Mono()
			for _, rec := range c.sc.recs {
				if err := errors.Join(tl.Ingest(rec), tl.MakeRoom(ctx)); err != nil {
					return err
				}
			}
			if took := e.Clock().Mono().Sub(began); took < 5*time.Minute {
				return fmt.Errorf("ingest went on without a disk: %s", took)
			}
			all := strings.Join(waits, "; ")
			if len(waits) != 2 || !strings.Contains(all, "ingest waits for memory") || !strings.Contains(all, "no space left") {
				return fmt.Errorf("it said %q", all)
			}
			if err := tl.Flush(ctx); err != nil {
				return err
			}
			if left := tl.Waits(); len(left) > 0 {
				return fmt.Errorf("it still says %q", left)
			}
			for i := 0; i < len(c.sc.lsns); i += 50 {
				if diffs := c.sc.compare(tl, c.sc.lsns[i]); len(diffs) > 0 {
					return errors.New(diffs[0])
				}
			}
			return nil
		})
}

// TestReadsWhileItFlushes: readers see every page as of every LSN while it is
// ingested, frozen and flushed.
func TestReadsWhileItFlushes(t *testing.T) {
	w := newWorld(t)
	s := newScript(w)
	rng := rand.New(rand.NewPCG(8, 8))
	for len(s.recs) < 400 {
		s.step(t, rng.IntN)
	}
	tl := w.openIn(t, w.own(t))
	defer tl.Close()
	ctx := context.Background()
	var readers, writers sync.WaitGroup
	done := make(chan struct{})
	writers.Go(func() {
		for _, rec := range s.recs {
			if err := tl.Ingest(rec); err != nil {
				t.Error(err)
			}
			if rec.End%5 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
	})
	writers.Go(func() {
		for tl.LastRecord().LSN < s.last() {
			if err := tl.Flush(ctx); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for i := range 2 {
		rng := rand.New(rand.NewPCG(8, uint64(i)))
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				last := tl.LastRecord().LSN
				n, _ := slices.BinarySearch(s.lsns, last)
				if n == 0 {
					continue
				}
				for _, d := range s.compare(tl, s.lsns[rng.IntN(n)]) {
					t.Error(d)
				}
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
	if n, _ := tl.LayerCount(); n < 5 {
		t.Errorf("%d layers: nothing was flushed meanwhile", n)
	}
}

// A shelf stands in for the object store: copies of layers.
type shelf struct {
	fsys  env.FS
	asked int
}

func (s *shelf) Source(_ context.Context, l remote.LayerEntry, path string) (layer.Source, error) {
	s.asked++
	f, err := s.fsys.Open("shelf/"+l.Name, 0)
	if err != nil {
		return nil, err
	}
	return layer.File(f, l.Name, l.Size), nil
}

func (s *shelf) Fetch(context.Context, remote.LayerEntry, string) error { return env.ErrUnavailable }

// TestEvict: a file that is in the object store may go, or be damaged; then its
// pages come from there. One that is nowhere else stays.
func TestEvict(t *testing.T) {
	w := newWorld(t)
	s := newScript(w)
	rng := rand.New(rand.NewPCG(5, 5))
	store := &shelf{fsys: w.env.FS()}
	if err := w.env.FS().Mkdir("shelf"); err != nil {
		t.Fatal(err)
	}
	dir, ctx := w.own(t), context.Background()
	open := func() *pageserver.Timeline {
		index, err := remote.Peek(ctx, w.env, testTimeline)
		if err != nil {
			t.Fatal(err)
		}
		tl, err := pageserver.Open(ctx, w.env, pageserver.Opening{ID: testTimeline, Dir: dir, Cache: layer.NewCache(1), Index: index, Layers: store})
		if err != nil {
			t.Fatal(err)
		}
		return tl
	}
	tl := open()
	for range 3 {
		for n := len(s.recs); len(s.recs) < n+20; {
			s.step(t, rng.IntN)
		}
		ingestRest(t, tl, s)
		if err := tl.Flush(ctx); err != nil {
			t.Fatal(err)
		}
	}
	same := func(what string, asked int) {
		t.Helper()
		for i := 0; i < len(s.lsns); i += 3 {
			for _, d := range s.compare(tl, s.lsns[i]) {
				t.Errorf("%s: %s", what, d)
			}
		}
		if store.asked != asked {
			t.Errorf("%s: the store was asked for %d layers, want %d", what, store.asked, asked)
		}
	}
	same("all are here", 0)
	pending, disk := tl.NotUploaded()
	if len(pending) != 3 || disk != tl.LastRecord() || pending[2].Ends != disk || pending[0].Ends.LSN >= pending[1].Ends.LSN {
		t.Fatalf("not uploaded: %+v up to %v", pending, disk)
	}
	if err := tl.Evict(ctx, pending[0].Name); err == nil {
		t.Error("a layer that is nowhere else is evicted")
	}
	var up []remote.LayerEntry
	for i, l := range pending[:2] {
		b, err := readAll(w.env.FS(), l.Path)
		if err != nil || int64(len(b)) != l.Size {
			t.Fatalf("%d bytes of %s (%v), want %d", len(b), l.Path, err, l.Size)
		}
		f, err := w.env.FS().Open("shelf/"+l.Name, env.Write|env.Create)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(b, 0); err != nil {
			t.Fatal(err)
		}
		l.Generation, l.Upload = 1, uint64(7+i)
		up = append(up, l.LayerEntry)
	}
	if err := tl.Uploaded(ctx, up); err != nil {
		t.Fatal(err)
	}
	if left, _ := tl.NotUploaded(); len(left) != 1 || left[0].Name != pending[2].Name {
		t.Errorf("left to upload: %+v", left)
	}
	if err := tl.Evict(ctx, up[0].Name); err != nil {
		t.Fatal(err)
	}
	same("one is evicted", 1)
	if err := flip(w.env.FS(), pending[1].Path, pending[1].Size/2); err != nil {
		t.Fatal(err)
	}
	same("one is damaged", 2)
	// The next incarnation knows what is where.
	tl.Close()
	store.asked = 0
	tl = open()
	defer func() { tl.Close() }()
	same("after a restart", 2)
	if left, at := tl.NotUploaded(); len(left) != 1 || left[0] != pending[2] || at != disk {
		t.Errorf("after a restart left to upload: %+v up to %v", left, at)
	}
}

func readAll(fsys env.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	n, err := f.Size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, n)
	_, err = f.ReadAt(b, 0)
	return b, err
}

// TestWarmReadsDoNotAllocate: a batch of pages from memory and from layers
// costs no memory in steady state.
func TestWarmReadsDoNotAllocate(t *testing.T) {
	w := newWorld(t)
	s := newScript(w)
	for blk := range uint32(32) {
		s.fpi(t, heapRel, blk)
		s.inplace(t, heapRel, blk)
	}
	tl := w.openIn(t, w.own(t))
	defer tl.Close()
	ingestRest(t, tl, s)
	ctx := context.Background()
	reqs := make([]pageserver.PageAt, 32)
	for i := range reqs {
		reqs[i] = pageserver.PageAt{Rel: heapRel, Block: uint32(i), LSN: s.last()}
	}
	pages, errs := make([]redo.Page, 32), make([]error, 32)
	for _, where := range []string{"memory", "layers"} {
		n := testing.AllocsPerRun(100, func() { tl.GetPages(ctx, reqs, pages, errs) })
		if n > 8 { // of the batch, not of its pages
			t.Errorf("a batch of 32 pages from %s takes %.0f allocations", where, n)
		}
		if err := tl.Flush(ctx); err != nil {
			t.Fatal(err)
		}
	}
}
