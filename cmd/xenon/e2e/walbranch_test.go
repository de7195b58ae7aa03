package e2e_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"xenon/core"
)

// TestWALOfBranch looks into the WAL of branches that run: what xenon wal reads
// from a safekeeper are the records that pg_waldump finds in what the server
// wrote, and a follower sees a commit as it comes. xenon redo page tells of one
// of them how it made its page.
func TestWALOfBranch(t *testing.T) {
	in := install(t)
	in.psql("main", "CREATE TABLE t (n int, pad text)", "INSERT INTO t SELECT n, repeat('x', 100) FROM generate_series(1, 3000) n", "SELECT pg_switch_wal()")
	in.psql("main", "UPDATE t SET n = -n WHERE n % 100 = 0")
	in.dumpsAsStock("main")

	in.must("branch", "create", "twig")
	in.must("endpoint", "start", "twig")
	in.psql("twig", "CREATE TABLE only_here (n int)", "INSERT INTO only_here SELECT generate_series(1, 500)")
	in.dumpsAsStock("twig")
	if _, err := in.xenon("wal", "dump", "--branch", "twig", "--start", in.branch("main").StartLSN.String()); err == nil || !strings.Contains(err.Error(), "its parent's") {
		t.Errorf("WAL from before the branch: %v", err)
	}

	in.followsBranch("twig")
	in.showsPage("twig")
	for _, args := range [][]string{{"--branch", "none"}, {"--branch", "main", in.dir}, {}} {
		if _, err := in.xenon(append([]string{"wal", "dump"}, args...)...); err == nil {
			t.Errorf("wal dump %q was taken", args)
		}
	}
}

// dumpsAsStock compares wal dump and wal stats of a branch with pg_waldump on
// the server's own directory.
func (in *installation) dumpsAsStock(branch string) {
	t := in.t
	t.Helper()
	s := in.keepWAL(branch)
	out, err := in.pg("pg_waldump", "-p", s.dir, "-s", s.from.String(), "-e", s.to.String())
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, m := range recordLine.FindAllStringSubmatch(out, -1) {
		lsn, err := core.ParseLSN(m[1]) // pg_waldump has leading zeroes
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, lsn.String())
	}
	var got []string
	for line := range strings.Lines(in.must("wal", "dump", "--branch", branch, "--start", s.from.String(), "--end", s.to.String())) {
		got = append(got, strings.Fields(line)[0])
	}
	if len(want) < 100 || !slices.Equal(got, want) {
		t.Errorf("branch %s from %s to %s: %d records, pg_waldump has %d of what the server wrote", branch, s.from, s.to, len(got), len(want))
	}
	var stats struct{ Total struct{ Count int } }
	if err := json.Unmarshal([]byte(in.must("wal", "stats", "--branch", branch, "--start", s.from.String(), "--end", s.to.String(), "--json")), &stats); err != nil {
		t.Fatal(err)
	}
	if stats.Total.Count != len(want) {
		t.Errorf("branch %s: wal stats counts %d records, want %d", branch, stats.Total.Count, len(want))
	}
}

// followsBranch runs a follower of one transaction's kind of record while a
// session commits, and ends it as a terminal would.
func (in *installation) followsBranch(branch string) {
	t := in.t
	t.Helper()
	cmd := exec.Command(bin(t), "wal", "dump", "--branch", branch, "--follow", "--rmgr", "LogicalMessage", "--dir", in.dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	lines := make(chan string)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
	}()
	for i := range 3 {
		in.psql(branch, fmt.Sprintf("SELECT pg_logical_emit_message(true, 'hail', 'number %d')", i))
		select {
		case line := <-lines:
			if want := fmt.Sprintf("number %d", i); !strings.Contains(line, want) {
				t.Fatalf("the follower says %q, want %q", line, want)
			}
		case <-time.After(patience):
			t.Fatal("the follower does not see what was committed")
		}
	}
	cmd.Process.Signal(syscall.SIGINT)
	for range lines {
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("a follower that is interrupted ends with %v", err)
	}
}

// showsPage asks how a page of a branch came about: the last step is the last
// record that names it, and its page is the one that the pageserver serves.
func (in *installation) showsPage(branch string) {
	t := in.t
	t.Helper()
	rel := strings.Replace(in.psql(branch, "SELECT pg_relation_filepath('only_here')"), "base", "1663", 1)
	in.psql(branch, "DELETE FROM only_here WHERE n = 77")
	at := in.psql(branch, "SELECT pg_current_wal_flush_lsn()")
	records := strings.Split(strings.TrimSpace(in.must("wal", "dump", "--branch", branch, "--rel", rel, "--block", "0", "--end", at)), "\n")
	var shown struct {
		Steps []struct {
			LSN  core.LSN
			What string
		}
		Page   []byte
		Failed string
	}
	if err := json.Unmarshal([]byte(in.must("redo", "page", "--branch", branch, "--rel", rel, "--lsn", at, "--json")), &shown); err != nil {
		t.Fatal(err)
	}
	last := records[len(records)-1]
	if n := len(shown.Steps); n < 100 || shown.Failed != "" || !strings.HasPrefix(last, shown.Steps[n-1].LSN.String()+" ") || !strings.Contains(last, "Heap/DELETE") {
		t.Errorf("%d steps %q, the last is not %s", n, shown.Failed, last)
	}
	got := in.must("page", "get", "--branch", branch, "--rel", rel, "--block", "0", "--lsn", at)
	if got != string(shown.Page) {
		t.Errorf("redo page shows another page than the pageserver serves: %s", base64.StdEncoding.EncodeToString(shown.Page[:64]))
	}
	text := in.must("redo", "page", "--branch", branch, "--rel", rel, "--lsn", at)
	if !strings.Contains(text, "Heap/DELETE") || !strings.Contains(text, "pd_lower") {
		t.Errorf("redo page says\n%s", tail(text, 2000))
	}
}
