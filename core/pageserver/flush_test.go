package pageserver_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"xenon/core"
	"xenon/core/layer"
	"xenon/core/pageserver"
)

// own makes a directory for one timeline.
func (w *world) own(t testing.TB) string {
	t.Helper()
	w.dirs++
	dir := fmt.Sprintf("own%d", w.dirs)
	if err := w.env.FS().Mkdir(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func (w *world) openIn(t testing.TB, dir string) *pageserver.Timeline {
	t.Helper()
	tl, err := pageserver.OpenTimeline(context.Background(), w.env, testTimeline, dir, layer.NewCache(16<<20))
	if err != nil {
		t.Fatal(err)
	}
	return tl
}

// A flushing is a timeline that is flushed and restarted at moments that are
// drawn, and what it must come to.
type flushing struct {
	t   testing.TB
	w   *world
	dir string
	tl  *pageserver.Timeline

	flushes, restarts, again int
}

// ingest takes in the whole script.
func (f *flushing) ingest(s *script, d draw) error {
	for i := 0; i < len(s.recs); i++ {
		if err := f.tl.Ingest(s.recs[i]); err != nil {
			return err
		}
		switch k := d(24); {
		case k < 3:
			if err := f.flush(s.recs[i].End); err != nil {
				return err
			}
		case k < 4:
			next, err := f.restart(s)
			if err != nil {
				return err
			}
			f.again += i + 1 - next
			i = next - 1
		}
	}
	return nil
}

func (f *flushing) flush(last core.LSN) error {
	if err := f.tl.Flush(context.Background()); err != nil {
		return err
	}
	if at := f.tl.DiskConsistent(); at.LSN != last {
		return fmt.Errorf("after a flush the disk-consistent LSN is %s, the last record ends at %s", at.LSN, last)
	}
	f.flushes++
	return nil
}

// restart opens the timeline anew, and tells which record comes next: the one
// after the last that was flushed.
func (f *flushing) restart(s *script) (next int, err error) {
	disk := f.tl.DiskConsistent()
	f.tl.Close()
	f.tl = f.w.openIn(f.t, f.dir)
	f.restarts++
	if at := f.tl.LastRecord(); at != disk {
		return 0, fmt.Errorf("a restart resumes behind %v, flushed was up to %v", at, disk)
	}
	for next < len(s.recs) && s.recs[next].End <= disk.LSN {
		next++
	}
	return next, nil
}

// differences ingests and compares everything as of every record.
func (f *flushing) differences(s *script, d draw) (diffs []string) {
	if err := f.ingest(s, d); err != nil {
		return []string{err.Error()}
	}
	for _, lsn := range s.lsns {
		diffs = append(diffs, s.compare(f.tl, lsn)...)
	}
	return diffs
}

// TestFlushesEqualReference draws histories, flushes and restarts, and compares
// every page as of every record with a plain replay.
func TestFlushesEqualReference(t *testing.T) {
	w := newWorld(t)
	rapid.Check(t, func(rt *rapid.T) {
		s := newScript(w)
		d := drawOf(rt)
		for range rapid.IntRange(1, 40).Draw(rt, "records") {
			s.step(t, d)
		}
		dir := w.own(t)
		f := &flushing{t: t, w: w, dir: dir, tl: w.openIn(t, dir)}
		defer func() { f.tl.Close() }()
		for _, diff := range f.differences(s, d) {
			rt.Error(diff)
		}
	})
}

// flushSeeds counts the histories of fixed seeds that differ.
func flushSeeds(t testing.TB, w *world, seeds, records int) (bad int, first string) {
	var flushes, restarts, again int
	for seed := range seeds {
		rng := rand.New(rand.NewPCG(uint64(seed), 9))
		s := newScript(w)
		for range records {
			s.step(t, rng.IntN)
		}
		dir := w.own(t)
		f := &flushing{t: t, w: w, dir: dir, tl: w.openIn(t, dir)}
		if diffs := f.differences(s, rng.IntN); len(diffs) > 0 {
			bad++
			if first == "" {
				first = fmt.Sprintf("seed %d: %s", seed, diffs[0])
			}
		}
		f.tl.Close()
		flushes, restarts, again = flushes+f.flushes, restarts+f.restarts, again+f.again
	}
	t.Logf("%d flushes, %d restarts, %d records ingested again", flushes, restarts, again)
	if flushes < seeds || restarts < seeds {
		t.Errorf("%d flushes and %d restarts in %d histories: too few to mean anything", flushes, restarts, seeds)
	}
	return bad, first
}

func TestFlushSeeds(t *testing.T) {
	if bad, first := flushSeeds(t, newWorld(t), 10, 100); bad > 0 {
		t.Errorf("%d of 10 histories differ: %s", bad, first)
	}
}
