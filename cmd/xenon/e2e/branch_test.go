package e2e_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"xenon/cmd/xenon/internal/ctl"
	"xenon/realio/host"
)

// TestBranches makes branches of branches, at several moments, runs all of
// them at once, and finds them again after a stop and after a kill.
func TestBranches(t *testing.T) {
	for _, layout := range layouts {
		t.Run(layout.name, func(t *testing.T) {
			in := install(t, layout.args...)
			in.makeBranches()
			in.branchesAreApart()
			in.serversAreApart()
			in.must("stop")
			in.await()
			in.nothingLeft()
			in.start()
			in.branchesAreBack()
			in.killEverything()
			// The pageserver makes what it had anew, branches and all.
			in.lose("pageserver-1")
			in.start()
			in.branchesAreBack()
			in.deleteBranches()
			in.must("stop")
			in.nothingLeft()
		})
	}
}

// heldBy is what each branch holds: rows that were written on it or before it
// began.
var heldBy = map[string]string{"main": "main 200", "now": "main 200", "then": "main 100", "nested": "main 100", "timed": "main 100"}

func (in *installation) makeBranches() {
	t := in.t
	t.Helper()
	in.psql("main", "CREATE TABLE t (who text, n int)", "INSERT INTO t SELECT 'main', n FROM generate_series(1, 100) n", "ALTER SYSTEM SET work_mem = '7MB'", "SELECT pg_reload_conf()")
	then := in.psql("main", "SELECT pg_current_wal_lsn()")
	written := time.Now()
	time.Sleep(3 * time.Second) // the times of commits are kept to the second
	in.psql("main", "INSERT INTO t SELECT 'main', n FROM generate_series(101, 200) n")

	var now ctl.Branch
	if err := json.Unmarshal([]byte(in.must("branch", "create", "now", "--json")), &now); err != nil {
		t.Fatal(err)
	}
	if main := in.branch("main"); now.Parent != "main" || now.StartLSN <= main.StartLSN || now.StartLSN > main.CommitLSN || now.Created.IsZero() {
		t.Errorf("made %+v of %+v", now, main)
	}
	if out := in.must("branch", "create", "then", "--from", "main", "--at", then); !strings.Contains(out, "begins from main at ") {
		t.Errorf("create at an LSN says %q", out)
	}
	in.must("branch", "create", "nested", "--from", "then")
	ago := time.Since(written.Add(time.Second)).Round(10 * time.Millisecond)
	in.must("branch", "create", "timed", "--at", "-"+ago.String())
	for name, rows := range heldBy {
		if got := in.rowsOn(name); got != rows {
			t.Errorf("branch %s begins with %q, want %q", name, got, rows)
		}
		if got := in.psql(name, "SHOW work_mem"); got != "7MB" {
			t.Errorf("branch %s has work_mem %s", name, got)
		}
	}
	list := in.must("branch", "list")
	for _, want := range []string{"nested  then", "then    main", "main    -"} {
		if !strings.Contains(list, want) {
			t.Errorf("branch list has no %q:\n%s", want, list)
		}
	}
}

// rowsOn is who wrote how many rows of t, in the order of names.
func (in *installation) rowsOn(branch string) string {
	in.t.Helper()
	return in.psql(branch, "SELECT string_agg(who || ' ' || n, ', ' ORDER BY who) FROM (SELECT who, count(*) AS n FROM t GROUP BY who) s")
}

// branchesAreApart writes to all branches; nobody sees what others wrote.
func (in *installation) branchesAreApart() {
	in.t.Helper()
	for name := range heldBy {
		in.psql(name, fmt.Sprintf("INSERT INTO t SELECT 'on %s', n FROM generate_series(1, 7) n", name),
			"ALTER SYSTEM SET maintenance_work_mem = '"+fmt.Sprint(60+len(name))+"MB'")
	}
	in.holdTheirOwn()
}

func (in *installation) holdTheirOwn() {
	in.t.Helper()
	for name, rows := range heldBy {
		want := rows + ", on " + name + " 7"
		if got := in.rowsOn(name); got != want {
			in.t.Errorf("branch %s holds %q, want %q", name, got, want)
		}
		if got, want := in.psql(name, "SHOW work_mem"), "7MB"; got != want {
			in.t.Errorf("branch %s has work_mem %s, want %s", name, got, want)
		}
	}
}

// serversAreApart loads all branches at once and kills the server of one: the
// others go on as if nothing were.
func (in *installation) serversAreApart() {
	t := in.t
	t.Helper()
	loads := map[string]*ledger{}
	for name := range heldBy {
		in.psql(name, ledgerTable)
		loads[name] = in.writeOn(name, 1, 2)
	}
	busy := func() {
		for name, l := range loads {
			before := l.rows()
			eventually(t, "load on "+name, func() bool { return l.rows() > before+20 || name == "then" && l.rows() > 20 })
		}
	}
	busy()
	older := in.endpoint("then")
	kill(t, older.Postmaster)
	loads["then"].running.Wait()
	eventually(t, "another server on then", func() bool {
		now := in.endpoint("then")
		return now.State == "ready" && now.Term > older.Term
	})
	busy()
	for name, l := range loads {
		l.close()
		if f := l.failures(); name != "then" && len(f) > 0 {
			t.Errorf("on %s: %v", name, f)
		}
		l.checkOn(in.endpoint(name))
		in.psql(name, "DROP TABLE ledger")
	}
}

// branchesAreBack checks that what ran before the installation ended runs
// again, and holds what it held.
func (in *installation) branchesAreBack() {
	t := in.t
	t.Helper()
	for name := range heldBy {
		eventually(t, "the endpoint on "+name, func() bool {
			for _, e := range in.status().Endpoints {
				if e.Branch == name && e.State == "ready" {
					return true
				}
			}
			return false
		})
	}
	in.holdTheirOwn()
}

func (in *installation) deleteBranches() {
	t := in.t
	t.Helper()
	for _, r := range []refusal{
		{"a parent", []string{"branch", "delete", "then"}, 1, []string{"delete nested first"}},
		{"in use", []string{"branch", "delete", "now"}, 1, []string{"endpoint now runs on branch now", "xenon endpoint stop now"}},
	} {
		r.check(t, in)
	}
	before := in.branch("now")
	in.must("endpoint", "stop", "now")
	in.must("branch", "delete", "now")
	for _, r := range []refusal{
		{"psql on a deleted branch", []string{"psql", "now", "-c", "SELECT 1"}, 1, []string{"no such branch: now"}},
		{"deleted twice", []string{"branch", "delete", "now"}, 1, []string{"no such branch: now"}},
	} {
		r.check(t, in)
	}
	for _, k := range in.status().Safekeepers {
		if dirs, _ := filepath.Glob(in.walDir(k, before)); len(dirs) > 0 {
			t.Errorf("safekeeper %d still has %v", k.ID, dirs)
		}
	}
	// The name is free: nothing of the older branch comes with it.
	in.must("branch", "create", "now", "--from", "nested")
	if got := in.rowsOn("now"); got != "main 100, on nested 7" {
		t.Errorf("a branch of a name that was used before holds %q", got)
	}
	for _, name := range []string{"now", "nested", "then", "timed"} {
		in.must("endpoint", "stop", name)
		in.must("branch", "delete", name)
	}
	if s := in.status(); len(s.Branches) != 1 || len(s.Pageservers[0].Timelines) != 1 || len(s.Notes) > 0 {
		t.Errorf("after all were deleted: %+v", s)
	}
}

// TestWrongBranches asks for branches that cannot be.
func TestWrongBranches(t *testing.T) {
	in := install(t)
	in.psql("main", "CREATE TABLE t AS SELECT 1 AS n")
	in.must("branch", "create", "dev")
	start := in.branch("main").StartLSN
	create := func(args ...string) []string { return append([]string{"branch", "create"}, args...) }
	for _, r := range []refusal{
		{"taken", create("dev"), 1, []string{"exists already: dev, made from main at 0/", "branch delete dev"}},
		{"malformed", create("My.Branch"), 2, []string{"a-z", "how about my.branch?"}},
		{"unknown parent", create("x", "--from", "mani"), 1, []string{"no such branch: mani", "did you mean main?"}},
		{"beyond the end", create("x", "--at", "FF/0"), 1, []string{"FF/0 is beyond the end of branch main, which is at 0/"}},
		{"before it began", create("x", "--at", (start - 8).String()), 1, []string{"before branch main began, at " + start.String()}},
		{"before a child began", create("x", "--from", "dev", "--at", start.String()), 1, []string{"before branch dev began", "ask its parent, main"}},
		{"a time before", create("x", "--at", "-5h"), 1, []string{"is before branch main began, at 2"}},
		{"a time before a child", create("x", "--from", "dev", "--at", "2001-01-01T00:00:00Z"), 1, []string{"ask its parent, main"}},
		{"a time ahead", create("x", "--at", "2101-01-01T00:00:00Z"), 1, []string{"is ahead"}},
		{"no moment", create("x", "--at", "teatime"), 2, []string{"--at", "0/16B3748", "-5m"}},
		{"delete main", []string{"branch", "delete", "main"}, 1, []string{"main cannot be deleted"}},
		{"delete none", []string{"branch", "delete", "deev"}, 1, []string{"no such branch: deev", "did you mean dev?"}},
		{"psql at no moment", []string{"psql", "main@never"}, 2, []string{"no moment"}},
		{"psql beyond the end", []string{"psql", "main@FF/0"}, 1, []string{"beyond the end"}},
		{"psql before", []string{"psql", "dev@-5h"}, 1, []string{"before branch dev began", "ask its parent, main"}},
		{"psql on none", []string{"psql", "deev"}, 1, []string{"did you mean dev?"}},
		{"a second endpoint", []string{"endpoint", "start", "main"}, 1, []string{"has a running endpoint, main", "--takeover"}},
		{"an endpoint's name", []string{"endpoint", "start", "dev", "--name", "main"}, 1, []string{"endpoint main runs already, on branch main"}},
		{"an endpoint's port", []string{"endpoint", "start", "dev", "--port", fmt.Sprint(in.endpoint("main").Port)}, 1, []string{"is taken", "--port"}},
		{"a port for root alone", []string{"endpoint", "start", "dev", "--port", "80"}, 1, []string{"80", "--port"}},
		{"stop none", []string{"endpoint", "stop", "dev"}, 1, []string{"no endpoint dev runs"}},
	} {
		r.check(t, in)
	}
	if s := in.status(); len(s.Branches) != 2 || len(s.Notes) > 0 {
		t.Errorf("after all that: %+v", s)
	}
	port, err := host.FreePort("127.0.0.1", 57000)
	if err != nil {
		t.Fatal(err)
	}
	in.must("endpoint", "start", "dev", "--name", "alpha", "--port", fmt.Sprint(port))
	if list := strings.Join(strings.Fields(in.must("endpoint", "list")), " "); !strings.Contains(list, fmt.Sprintf("alpha dev ready postgres://postgres@127.0.0.1:%d/postgres", port)) {
		t.Errorf("endpoint list: %s", list)
	}
	if got := in.psql("dev", "SHOW port"); got != fmt.Sprint(port) {
		t.Errorf("psql went to port %s, want %d", got, port)
	}
	in.must("endpoint", "stop", "alpha")
	in.psql("dev", "SELECT n FROM t")
}

// TestPast opens main as it was, with psql: at an LSN, some time ago, and at a
// time.
func TestPast(t *testing.T) {
	for _, layout := range layouts {
		t.Run(layout.name, func(t *testing.T) {
			in := install(t, layout.args...)
			in.psql("main", "CREATE TABLE t AS SELECT n FROM generate_series(1, 100) n")
			lsn := in.psql("main", "SELECT pg_current_wal_lsn()")
			written := time.Now()
			time.Sleep(3 * time.Second) // the times of commits are kept to the second
			in.psql("main", "DROP TABLE t")
			at := written.Add(time.Second)
			for _, then := range []string{lsn, at.Format(time.RFC3339Nano), "-" + time.Since(at).Round(time.Millisecond).String()} {
				if got := in.psql("main@"+then, "SELECT count(*) FROM t"); got != "100" {
					t.Errorf("main@%s has %s rows", then, got)
				}
			}
			if _, err := in.xenon("psql", "main@"+lsn, "-c", "INSERT INTO t VALUES (1)"); err == nil || !strings.Contains(err.Error(), "read-only transaction") {
				t.Errorf("an INSERT in the past: %v", err)
			}
			in.endsWithPsql(lsn)
			if got := in.psql("main", "SELECT to_regclass('t')"); got != "" {
				t.Errorf("main has %s again", got)
			}
			in.must("stop")
			in.nothingLeft()
		})
	}
}

// endsWithPsql kills a psql in the past, which takes its endpoint with it.
func (in *installation) endsWithPsql(lsn string) {
	t := in.t
	t.Helper()
	cmd := exec.Command(bin(t), "psql", "main@"+lsn, "-c", "SELECT pg_sleep(600)", "--dir", in.dir)
	// Its children end with it, as those of a terminal do.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	shown := func() (all []ctl.Endpoint) {
		for _, e := range in.status().Endpoints {
			if e.ReadOnlyLSN != 0 {
				all = append(all, e)
			}
		}
		return all
	}
	eventually(t, "the read-only endpoint", func() bool { e := shown(); return len(e) == 1 && e[0].State == "ready" })
	in.noteSegments()
	past := shown()[0]
	if past.Branch != "main" || past.Name == "main" || past.Port == in.endpoint("main").Port || past.CommitLSN != 0 && past.Term != 0 {
		t.Errorf("the read-only endpoint is %+v", past)
	}
	syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	cmd.Wait()
	eventually(t, "its end", func() bool { return len(shown()) == 0 && !existsProcess(past.Postmaster) })
	if left, _ := filepath.Glob(filepath.Join(in.dir, "compute", "main@*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestKilledWhileBranching kills xenon up at random moments while branches are
// made and deleted: each is there as a whole afterwards, or not at all, and
// the same command then does what it says.
func TestKilledWhileBranching(t *testing.T) {
	in := install(t)
	in.psql("main", "CREATE TABLE t AS SELECT n FROM generate_series(1, 100) n")
	whole, gone := 0, 0
	for round := range sized(4, 40) {
		name := fmt.Sprintf("b%d", round)
		work := [][]string{{"branch", "create", name}, {"branch", "delete", name}}[round%2]
		if round%2 == 1 {
			in.must("branch", "create", name)
		}
		ended := make(chan struct{})
		go func() { in.xenon(work...); close(ended) }()
		time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond)
		in.killEverything()
		<-ended
		in.start()
		there := false
		for _, b := range in.status().Branches {
			there = there || b.Name == name
		}
		_, err := in.xenon(work...)
		if done := there == (work[1] == "create"); done != (err != nil) || err != nil && !strings.Contains(err.Error(), "exists already") && !strings.Contains(err.Error(), "no such branch") {
			t.Errorf("round %d, %v, there %v: again: %v", round, work, there, err)
		}
		if there {
			whole++
		} else {
			gone++
		}
		if round%2 == 1 {
			in.must("branch", "create", name)
		}
		if got := in.psql(name, "SELECT count(*) FROM t"); got != "100" {
			t.Errorf("round %d: %s rows", round, got)
		}
		in.must("endpoint", "stop", name)
		in.must("branch", "delete", name)
	}
	t.Logf("whole %d times, gone %d times", whole, gone)
	eventually(t, "nothing to be left", func() bool {
		s := in.status()
		return len(s.Branches) == 1 && len(s.Notes) == 0
	})
	if got := in.timelines(); len(strings.Fields(got)) != 3 {
		t.Errorf("timelines on the safekeepers: %s", got)
	}
}

// TestNodesAwayWhileBranching makes branches while a safekeeper is frozen, and
// while the pageserver is killed again and again, under load: no transaction
// fails, no branch does, and each holds what its parent held.
func TestNodesAwayWhileBranching(t *testing.T) {
	in := install(t, "--processes")
	in.psql("main", ledgerTable, "CREATE TABLE t AS SELECT n FROM generate_series(1, 100) n")
	load := in.write(1, 2)
	eventually(t, "load", func() bool { return load.rows() > 20 })

	frozen := in.status().Safekeepers[2]
	freeze(t, frozen.PID)
	in.must("branch", "create", "without-one")
	if got := in.psql("without-one", "SELECT count(*) FROM t"); got != "100" {
		t.Errorf("without a safekeeper: %s rows", got)
	}
	if err := syscall.Kill(frozen.PID, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	timeline := in.branch("without-one").Timeline
	eventually(t, "the safekeeper to take part", func() bool {
		for _, tl := range in.status().Safekeepers[2].Timelines {
			if tl.Timeline == timeline {
				return tl.State == "active" && tl.Term > 0
			}
		}
		return false
	})

	for round := range sized(4, 50) {
		var pid int
		eventually(t, "the pageserver", func() bool { pid = in.status().Pageservers[0].PID; return pid != 0 })
		kill(t, pid)
		time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
		before := load.rows()
		name := fmt.Sprintf("b%d", round)
		in.must("branch", "create", name)
		got := in.psql(name, "SELECT count(*), count(DISTINCT client), (SELECT sum(n) FROM t) FROM ledger")
		var rows, clients, sum int
		if _, err := fmt.Sscanf(got, "%d|%d|%d", &rows, &clients, &sum); err != nil || rows < before || clients != 2 || sum != 5050 {
			t.Errorf("round %d: %s, at least %d rows were acknowledged before", round, got, before)
		}
		in.must("endpoint", "stop", name)
		in.must("branch", "delete", name)
	}
	load.close()
	if f := load.failures(); len(f) > 0 {
		t.Errorf("failed: %v", f)
	}
	load.check()
}
