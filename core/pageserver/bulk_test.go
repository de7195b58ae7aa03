package pageserver_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"xenon/core/layer"
	"xenon/core/pageserver"
	"xenon/core/xsync"
)

// TestBulkLoad ingests what pgbench -i writes, with the memory that a
// pageserver has by default, while a task flushes: the process stays small, and
// so do the layers.
func TestBulkLoad(t *testing.T) {
	s := needPostgres(t)
	scale := "2"
	if os.Getenv("XENON_FULL") == "1" {
		scale = "100"
	}
	s.initdb("initial")
	s.run("cp", "-a", s.path("initial"), s.path("data"))
	s.start("data", "full_page_writes=off")
	s.run("pgbench", "-h", s.dir, "-U", "postgres", "-i", "-q", "-s", scale, "postgres")
	s.stop("data")

	w := importOf(t, s.path("initial"))
	d := pageserver.DefaultConfig
	ctx, cancel := xsync.WithCancel(context.Background())
	index := w.im.Index
	tl, err := pageserver.Open(ctx, w.env, pageserver.Opening{ID: testTimeline, Dir: w.own(t), Cache: layer.NewCache(d.CacheBytes),
		Index: index, Memory: pageserver.NewMemory(w.env, d.MemoryBytes)})
	if err != nil {
		t.Fatal(err)
	}
	tasks := xsync.NewGroup(ctx, w.env)
	tasks.Go("flush", func(ctx context.Context) error { tl.Flushes(ctx); return nil })
	forgetPeak(t)
	before, records := time.Now(), 0
	ingestEach(t, &tl, s.path("data/pg_wal"), func() {
		if records++; records%200 == 0 {
			if err := tl.MakeRoom(ctx); err != nil {
				t.Fatal(err)
			}
		}
	})
	took := time.Since(before)
	if err := tl.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	peak := peakMemory(t)
	wal := int64(tl.LastRecord().LSN - index.LSN)
	n, bytes := tl.LayerCount()
	t.Logf("%d bytes of WAL, %d records in %s; %d layers of %d bytes; at most %d MiB of memory", wal, records, took, n, bytes, peak>>20)
	if bytes > wal+wal*3/10 {
		t.Errorf("%d bytes of layers for %d of WAL", bytes, wal)
	}
	if peak > 512<<20 {
		t.Errorf("%d bytes of memory", peak)
	}
	cancel(nil)
	tasks.Wait()
	tl.Close()
}

// forgetPeak makes the kernel count the process's peak of memory anew.
func forgetPeak(t *testing.T) {
	t.Helper()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		t.Log(err) // then it is that of all tests
	}
}

// peakMemory is the most resident memory that the process has had.
func peakMemory(t *testing.T) int64 {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(string(b), "\n") {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kb << 10
		}
	}
	t.Fatal(fmt.Errorf("no VmHWM"))
	return 0
}
