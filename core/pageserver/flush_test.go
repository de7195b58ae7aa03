package pageserver_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/layer"
	"xenon/core/pageserver"
	"xenon/core/wal"
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

// hotPages flushes and restarts while two pages get one record after the other.
// It tells what is wrong, and how many images there are.
func hotPages(t testing.TB, w *world) (diffs []string, images int) {
	s := newScript(w)
	s.fpi(t, heapRel, 0)
	s.fpi(t, heapRel, 1)
	dir := w.own(t)
	tl := w.openIn(t, dir)
	defer func() { tl.Close() }()
	ctx := context.Background()
	for round := range 40 {
		for i := range 46 {
			s.inplace(t, heapRel, uint32(i%2))
		}
		ingestRest(t, tl, s)
		if err := tl.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		switch round % 7 {
		case 3:
			tl.ForgetCounts()
		case 5:
			tl.Close()
			tl = w.openIn(t, dir)
		}
		for blk := range uint32(2) {
			n, err := tl.Records(ctx, pageserver.PageAt{Rel: heapRel, Block: blk, LSN: s.last()})
			if err != nil || n > 100 {
				diffs = append(diffs, fmt.Sprintf("after %d rounds block %d needs %d records (%v)", round, blk, n, err))
			}
		}
	}
	images, err := tl.Images(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(s.lsns); i += 3 {
		diffs = append(diffs, s.compare(tl, s.lsns[i])...)
	}
	return diffs, images
}

// TestImages: whenever it is flushed, no page needs more than a hundred records
// of layers beside an image, no page has more images than that takes, and
// images change nothing.
func TestImages(t *testing.T) {
	diffs, images := hotPages(t, newWorld(t))
	for _, d := range diffs {
		t.Error(d)
	}
	// Each page has 920 records: it passes a hundred every fifth round.
	if images != 2*8 {
		t.Errorf("%d images, want 16", images)
	}
}

// TestEmptyFlush: WAL that changes nothing moves the disk-consistent record,
// without a layer.
func TestEmptyFlush(t *testing.T) {
	w := newWorld(t)
	s := newScript(w)
	tl := w.openIn(t, w.own(t))
	defer tl.Close()
	if err := tl.Flush(context.Background()); err != nil || tl.DiskConsistent() != tl.LastRecord() {
		t.Errorf("a flush of nothing: %v, %v", tl.DiskConsistent(), err)
	}
	s.add(t, &wal.Record{Rmgr: wal.RmgrXLOG, Info: 0x20, Main: make([]byte, 8)}) // XLOG_NOOP
	f := &flushing{t: t, w: w, tl: tl}
	if err := tl.Ingest(s.recs[0]); err != nil {
		t.Fatal(err)
	}
	if err := f.flush(s.last()); err != nil {
		t.Error(err)
	}
	if n, _ := tl.LayerCount(); n != 0 {
		t.Errorf("%d layers", n)
	}
}

// TestDamage: what is damaged in the directory is found. A layer or a manifest
// that is lost makes the timeline resume earlier, a damaged block is an error
// of the pages in it, and nothing is a wrong page.
func TestDamage(t *testing.T) {
	tests := []struct {
		name   string
		damage func(fsys env.FS, dir string, layers []string) error
		// resumes is after how many of the four flushes a restart resumes, -1 if
		// the timeline is refused.
		resumes int
		words   string
	}{
		{"nothing", func(env.FS, string, []string) error { return nil }, 4, ""},
		{"no manifest", func(f env.FS, dir string, _ []string) error { return f.Remove(dir + "/manifest") }, 0, ""},
		{"manifest cut short", func(f env.FS, dir string, _ []string) error { return cut(f, dir+"/manifest", 40) }, 0, ""},
		{"manifest with a flipped bit", func(f env.FS, dir string, _ []string) error { return flip(f, dir+"/manifest", 60) }, 0, ""},
		{"manifest of a newer format", func(f env.FS, dir string, _ []string) error { return flip(f, dir+"/manifest", 8) }, -1, "version 1"},
		{"third layer missing", func(f env.FS, _ string, l []string) error { return f.Remove(l[2]) }, 2, ""},
		{"second layer cut short", func(f env.FS, _ string, l []string) error { return cut(f, l[1], 300) }, 1, ""},
		{"last layer with a damaged header", func(f env.FS, _ string, l []string) error { return flip(f, l[3], 20) }, 3, ""},
		{"two layers changed places", func(f env.FS, _ string, l []string) error {
			return errors.Join(f.Rename(l[0], "x"), f.Rename(l[1], l[0]), f.Rename("x", l[1]))
		}, 0, ""},
		{"leftovers", func(f env.FS, dir string, l []string) error {
			x, _ := layer.ParseExtent(filepath.Base(l[3]))
			x.LSNs.Start, x.LSNs.End = x.LSNs.End, x.LSNs.End+8
			_, err := f.Open(dir+"/"+x.Name(), env.Write|env.Create)
			_, err2 := f.Open(dir+"/manifest.new", env.Write|env.Create)
			return errors.Join(err, err2)
		}, 4, ""},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			s := newScript(w)
			dir := w.own(t)
			tl := w.openIn(t, dir)
			rng := rand.New(rand.NewPCG(3, 3))
			var flushed []pageserver.Record
			flushed = append(flushed, tl.LastRecord())
			for range 4 {
				for n := len(s.recs); len(s.recs) < n+15; {
					s.step(t, rng.IntN)
				}
				ingestRest(t, tl, s)
				if err := tl.Flush(context.Background()); err != nil {
					t.Fatal(err)
				}
				flushed = append(flushed, tl.DiskConsistent())
			}
			paths := tl.LayerPaths()
			tl.Close()
			if err := c.damage(w.env.FS(), dir, paths); err != nil {
				t.Fatal(err)
			}
			tl, err := pageserver.OpenTimeline(context.Background(), w.env, testTimeline, dir, layer.NewCache(1<<20))
			if c.resumes < 0 {
				if err == nil || !strings.Contains(err.Error(), c.words) {
					t.Errorf("%v, want %q", err, c.words)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer func() { tl.Close() }()
			if at := tl.LastRecord(); at != flushed[c.resumes] {
				t.Errorf("resumes behind %v, want %v", at, flushed[c.resumes])
			}
			ingestRest(t, tl, s)
			for _, lsn := range s.lsns {
				for _, diff := range s.compare(tl, lsn) {
					t.Error(diff)
				}
			}
			// It goes on from there, and no file is left that belongs to nothing.
			if err := tl.Flush(context.Background()); err != nil {
				t.Fatal(err)
			}
			entries, err := w.env.FS().ReadDir(dir)
			if n, _ := tl.LayerCount(); err != nil || len(entries) != n+1 {
				t.Errorf("%d files, want %d layers and the manifest: %v (%v)", len(entries), n, entries, err)
			}
		})
	}
}

// TestDamagedBlocks flips bytes all over a layer: reads of what
// it has are right or an error that says it is corrupt.
func TestDamagedBlocks(t *testing.T) {
	w := newWorld(t)
	s := newScript(w)
	dir := w.own(t)
	tl := w.openIn(t, dir)
	rng := rand.New(rand.NewPCG(4, 4))
	for len(s.recs) < 40 {
		s.step(t, rng.IntN)
	}
	for i := range 500 { // several blocks of pages, beside that of the metadata
		s.fpi(t, heapRel, uint32(i%6))
	}
	ingestRest(t, tl, s)
	if err := tl.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	path := tl.LayerPaths()[0]
	tl.Close()
	info, err := w.env.FS().Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	refused, failed := 0, 0
	for off := int64(0); off < info.Size; off += 1 + info.Size/16 {
		if err := flip(w.env.FS(), path, off); err != nil {
			t.Fatal(err)
		}
		tl := w.openIn(t, dir)
		if tl.LastRecord().LSN < s.last() {
			refused++
			ingestRest(t, tl, s)
		}
		for i := 0; i < len(s.lsns); i += 41 {
			for _, diff := range s.compare(tl, s.lsns[i]) {
				if !strings.Contains(diff, "corrupt data") {
					t.Errorf("byte %d: %s", off, diff)
				}
				failed++
			}
		}
		tl.Close()
		if _, err := w.env.FS().Stat(path); err != nil {
			// It was swept away. Make it again.
			tl := w.openIn(t, dir)
			ingestRest(t, tl, s)
			if err := tl.Flush(context.Background()); err != nil {
				t.Fatal(err)
			}
			path = tl.LayerPaths()[0]
			tl.Close()
			continue
		}
		if err := flip(w.env.FS(), path, off); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d layers lost, %d reads failed", refused, failed)
	if refused == 0 || failed == 0 {
		t.Error("the damage is not seen where it should be")
	}
}

// ingestRest takes in what the timeline has not.
func ingestRest(t testing.TB, tl *pageserver.Timeline, s *script) {
	t.Helper()
	at := tl.LastRecord().LSN
	for _, rec := range s.recs {
		if rec.End > at {
			if err := tl.Ingest(rec); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// flip changes the lowest bit of a byte of a file.
func flip(fsys env.FS, name string, off int64) error {
	f, err := fsys.Open(name, env.Write)
	if err != nil {
		return err
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], off); err != nil {
		return err
	}
	b[0] ^= 1
	_, err = f.WriteAt(b[:], off)
	return err
}

func cut(fsys env.FS, name string, size int64) error {
	f, err := fsys.Open(name, env.Write)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Truncate(size)
}
