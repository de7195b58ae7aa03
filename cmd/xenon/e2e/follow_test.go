package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"xenon/cmd/xenon/internal/ctl"
	"xenon/core"
)

// A follower is pg_receivewal on one safekeeper.
type follower struct {
	t   *testing.T
	dir string
	log bytes.Buffer
}

// follow starts pg_receivewal by the line that status prints for a safekeeper
// and a branch.
func (in *installation) follow(branch string, safekeeper core.NodeID) *follower {
	in.t.Helper()
	b := in.branch(branch)
	line := ""
	for _, k := range in.status().Safekeepers {
		for _, tl := range k.Timelines {
			if k.ID == safekeeper && tl.Timeline == b.Timeline {
				line = tl.Receive
			}
		}
	}
	f := &follower{t: in.t, dir: in.t.TempDir()}
	if !strings.HasPrefix(line, "pg_receivewal -D DIR ") {
		in.t.Fatalf("status prints %q", line)
	}
	line = "exec " + in.dist.Dir + "/" + strings.Replace(line, "DIR", f.dir, 1)
	cmd := exec.Command("sh", "-c", line)
	cmd.Stderr, cmd.Stdout = &f.log, &f.log
	if err := cmd.Start(); err != nil {
		in.t.Fatal(err)
	}
	in.t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGINT)
		cmd.Wait()
		if in.t.Failed() {
			in.t.Logf("pg_receivewal: %s", tail(f.log.String(), 2000))
		}
	})
	return f
}

// branch is what status tells of a branch.
func (in *installation) branch(name string) ctl.Branch {
	in.t.Helper()
	for _, b := range in.status().Branches {
		if b.Name == name {
			return b
		}
	}
	in.t.Fatalf("no branch %s", name)
	return ctl.Branch{}
}

// walBytes reads the first n bytes of a segment below dir, under its own name
// or as .partial; nil if there are not so many.
func walBytes(t *testing.T, dir string, seg uint64, n int) []byte {
	t.Helper()
	name := filepath.Join(dir, core.SegmentName(1, seg, core.DefaultSegmentSize))
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		b, err = os.ReadFile(name + ".partial")
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if len(b) < n {
		return nil
	}
	return b[:n]
}

// eachSegment calls f for every segment with WAL from one LSN to another, with
// the bytes of it that lie between.
func eachSegment(from, to core.LSN, f func(seg uint64, first, end int)) {
	const size = core.DefaultSegmentSize
	for seg := from.Segment(size); core.SegmentStart(seg, size) < to; seg++ {
		start := core.SegmentStart(seg, size)
		f(seg, int(max(from, start)-start), int(min(to, start+size)-start))
	}
}

// has waits until the follower's files have the same bytes as those below dir,
// from one LSN to another. Whole segments may have left dir for the object store,
// but the last has not.
func (f *follower) has(dir string, from, to core.LSN) {
	f.t.Helper()
	eventually(f.t, fmt.Sprintf("WAL up to %s in %s and %s", to, f.dir, dir), func() bool {
		same := true
		eachSegment(from, to, func(seg uint64, first, end int) {
			a, b := walBytes(f.t, f.dir, seg, end), walBytes(f.t, dir, seg, end)
			if b == nil && end == core.DefaultSegmentSize && core.SegmentStart(seg+1, core.DefaultSegmentSize) < to {
				same = same && a != nil
				return
			}
			same = same && a != nil && b != nil && bytes.Equal(a[first:], b[first:])
		})
		return same
	})
}

// whole copies what was received to a directory in which the last segment has
// its own name, for programs that know no .partial.
func (f *follower) whole() string {
	f.t.Helper()
	dir := filepath.Join(workDir(f.t), "wal")
	if err := os.CopyFS(dir, os.DirFS(f.dir)); err != nil {
		f.t.Fatal(err)
	}
	partial, err := filepath.Glob(filepath.Join(dir, "*.partial"))
	if err != nil || len(partial) > 1 {
		f.t.Fatalf("partial segments %v, %v: want one at most", partial, err)
	}
	for _, name := range partial {
		if err := os.Rename(name, strings.TrimSuffix(name, ".partial")); err != nil {
			f.t.Fatal(err)
		}
	}
	return dir
}

// A stretch is what one server wrote: WAL from its X on.
type stretch struct {
	from, to core.LSN
	dir      string
}

// keepWAL copies the WAL that the running server has written and flushed. It
// reads the server's own directory, as the server would.
func (in *installation) keepWAL(branch string) stretch {
	in.t.Helper()
	e := in.endpoint(branch)
	s := stretch{from: e.StartLSN, dir: in.t.TempDir()}
	var err error
	if s.to, err = core.ParseLSN(in.psql(branch, "SELECT pg_current_wal_flush_lsn()")); err != nil {
		in.t.Fatal(err)
	}
	mounts := slices.DeleteFunc(in.mounts(), func(m string) bool {
		return filepath.Base(m) != "wal" || !strings.Contains(m, "/"+branch+"/")
	})
	if len(mounts) != 1 {
		in.t.Fatalf("mounts of WAL: %v", mounts)
	}
	eachSegment(s.from, s.to, func(seg uint64, _, end int) {
		b := walBytes(in.t, mounts[0], seg, end)
		if b == nil {
			in.t.Fatalf("the server has no WAL segment %d", seg)
		}
		if err := os.WriteFile(filepath.Join(s.dir, core.SegmentName(1, seg, core.DefaultSegmentSize)), b, 0o600); err != nil {
			in.t.Fatal(err)
		}
	})
	return s
}

// psql runs statements with xenon psql on a branch, over the private socket,
// and returns the rows.
func (in *installation) psql(branch string, statements ...string) string {
	in.t.Helper()
	args := []string{"psql", branch, "-c", `\set QUIET on`, "-c", `\pset format unaligned`, "-c", `\pset tuples_only`}
	for _, s := range statements {
		args = append(args, "-c", s)
	}
	return strings.TrimSpace(in.must(args...))
}

// killPostmaster ends the server of a branch and waits for the next one.
func (in *installation) killPostmaster(branch string) {
	in.t.Helper()
	e := in.endpoint(branch)
	if err := syscall.Kill(e.Postmaster, syscall.SIGKILL); err != nil {
		in.t.Fatal(err)
	}
	eventually(in.t, "the next server of "+branch, func() bool {
		now := in.endpoint(branch)
		return now.Starts > e.Starts && now.State == "ready"
	})
}

// TestFollow follows a timeline with PostgreSQL's own pg_receivewal from its
// first segment on, over restarts of the compute.
func TestFollow(t *testing.T) {
	in := install(t)
	b := in.branch("main")
	f := in.follow("main", 2)
	in.psql("main", "CREATE TABLE t (n int, pad text)")
	var lives []stretch
	for life := range 4 {
		if life == 2 {
			in.must("endpoint", "stop", "main")
			in.must("endpoint", "start", "main")
		} else if life > 0 {
			in.killPostmaster("main")
		}
		in.psql("main",
			fmt.Sprintf("INSERT INTO t SELECT n, repeat('x', 1000) FROM generate_series(1, %d) n", sized(2000, 40000)),
			"SELECT pg_switch_wal()",
			"INSERT INTO t SELECT generate_series(1, 100)",
			// A record longer than a segment.
			fmt.Sprintf("SELECT pg_logical_emit_message(true, 'long', repeat('%d', %d))", life, []int{10, 17 << 20, 10, sized(10, 40<<20)}[life]))
		lives = append(lives, in.keepWAL("main"))
	}
	in.must("endpoint", "stop", "main")
	end := in.branch("main").CommitLSN
	first := core.SegmentStart(b.StartLSN.Segment(core.DefaultSegmentSize), core.DefaultSegmentSize)
	for _, k := range in.status().Safekeepers {
		dir := filepath.Join(in.dir, fmt.Sprintf("safekeeper-%d", k.ID), "timelines", b.Tenant.String(), b.Timeline.String())
		f.has(dir, first, end)
	}
	for i, l := range lives {
		t.Logf("server %d wrote %s to %s", i+1, l.from, l.to)
		f.has(l.dir, l.from, l.to)
	}
	f.has(filepath.Join(in.dir, "template", "15-C.UTF-8", "pg_wal"), first, b.StartLSN)
	dir := f.whole()
	out, err := in.pg("pg_waldump", "--stats=record", "-p", dir, "-s", firstRecord(first), "-e", end.String())
	if err != nil {
		t.Fatal(err)
	}
	// One shutdown checkpoint at least for each server and for the import.
	if n := recordsOf(out, "XLOG/CHECKPOINT_SHUTDOWN"); n <= len(lives) {
		t.Errorf("%d shutdown checkpoints for %d servers\n%s", n, len(lives), out)
	}
	if n := recordsOf(out, "LogicalMessage/MESSAGE"); n != len(lives) {
		t.Errorf("%d messages, want %d\n%s", n, len(lives), out)
	}
	if n, want := recordsOf(out, "Heap/INSERT")+recordsOf(out, "Heap/INSERT+INIT"), len(lives)*(sized(2000, 40000)+100); n < want {
		t.Errorf("%d rows inserted, want %d\n%s", n, want, out)
	}
}

// recordsOf is how many records of a kind the statistics of pg_waldump name.
func recordsOf(stats, kind string) (n int) {
	for line := range strings.Lines(stats) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == kind {
			n, _ = strconv.Atoi(f[1])
		}
	}
	return n
}

// firstRecord is the LSN of the first record of a cluster whose first segment
// begins at first: behind the long header of its page (XLogLongPageHeaderData,
// src/include/access/xlog_internal.h).
func firstRecord(first core.LSN) string { return (first + 40).String() }
