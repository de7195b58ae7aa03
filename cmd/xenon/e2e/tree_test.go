package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"xenon/cmd/xenon/internal/ctl"
	"xenon/cmd/xenon/internal/stock"
	"xenon/compute/boot"
	"xenon/core"
	"xenon/core/pageserver/bootset"
	"xenon/core/wal"
)

// A limb is a branch and the LSNs of it that are its own.
type limb struct {
	name     string
	from, to core.LSN
}

// TestTreeOfBranches opens random LSNs of a history of pgbench, with branches
// of branches that were made meanwhile, as branches: each is whole.
func TestTreeOfBranches(t *testing.T) {
	in := install(t)
	in.pgbenchInit(sized(1, 10))
	rng := rand.New(rand.NewPCG(uint64(os.Getpid()), 8))
	t.Logf("seed %d", os.Getpid())
	tree := in.growTree(rng)
	page := tree[0].to &^ (core.WALPageSize - 1)
	in.opens("header", "main", page+8)
	in.opens("record", "main", in.withinRecord(tree[0]))
	for i := range sized(3, 20) {
		b := tree[rng.IntN(len(tree))]
		in.opens(fmt.Sprintf("r%d", i), b.name, b.from+core.LSN(rng.Int64N(int64(b.to-b.from)+1)))
	}
	in.writesDoNotMeet(tree)
	in.must("stop")
	in.nothingLeft()
}

// bench runs transactions of pgbench on a branch.
func (in *installation) bench(branch string, transactions int) error {
	e := in.running(branch)
	_, err := in.pg("pgbench", "-n", "-c", "4", "-t", strconv.Itoa(transactions/4), "-h", e.Host, "-p", strconv.Itoa(e.Port), "-U", "postgres", "postgres")
	return err
}

// running is the endpoint of a branch, started if it has none.
func (in *installation) running(branch string) ctl.Endpoint {
	in.t.Helper()
	in.psql(branch, "SELECT 1")
	return in.endpoint(branch)
}

// limbOf is what a branch has of its own by now.
func (in *installation) limbOf(name string, from core.LSN) limb {
	in.t.Helper()
	in.psql(name, "SELECT 1")
	lsn, err := core.ParseLSN(in.psql(name, "SELECT pg_current_wal_flush_lsn()"))
	if err != nil {
		in.t.Fatal(err)
	}
	return limb{name, max(from, in.branch(name).StartLSN), lsn}
}

// growTree makes four branches of main and of each other while pgbench runs on
// their parents.
func (in *installation) growTree(rng *rand.Rand) []limb {
	t := in.t
	t.Helper()
	n := sized(200, 4000)
	begin := in.limbOf("main", 0).to
	somewhere := func(b limb) core.LSN { return b.from + core.LSN(rng.Int64N(int64(b.to-b.from))) }
	done := make(chan error, 1)
	grow := func(name, parent, at string) {
		t.Helper()
		in.running(parent)
		go func() { done <- in.bench(parent, n) }()
		time.Sleep(100 * time.Millisecond)
		args := []string{"branch", "create", name, "--from", parent}
		if at != "" {
			args = append(args, "--at", at)
		}
		in.must(args...)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if err := in.bench(name, n); err != nil {
			t.Fatal(err)
		}
	}
	grow("one", "main", "")
	grow("two", "one", somewhere(in.limbOf("one", 0)).String())
	grow("three", "main", somewhere(in.limbOf("main", begin)).String())
	grow("four", "two", "")
	tree := []limb{in.limbOf("main", begin)}
	for _, name := range []string{"one", "two", "three", "four"} {
		tree = append(tree, in.limbOf(name, 0))
	}
	t.Logf("%+v", tree)
	return tree
}

// withinRecord is an LSN in the middle of a long record, which is made for it.
func (in *installation) withinRecord(b limb) core.LSN {
	in.t.Helper()
	lsn, err := core.ParseLSN(in.psql(b.name, "SELECT pg_logical_emit_message(true, 'long', repeat('x', 4000))"))
	if err != nil {
		in.t.Fatal(err)
	}
	return lsn - 2001
}

// sumsOf is how many different sums the tables of pgbench have: one.
const sumsOf = `SELECT count(DISTINCT s) FROM (SELECT sum(abalance) AS s FROM pgbench_accounts
	UNION ALL SELECT sum(tbalance) FROM pgbench_tellers UNION ALL SELECT sum(bbalance) FROM pgbench_branches
	UNION ALL SELECT coalesce(sum(delta), 0) FROM pgbench_history) AS sums`

// opens makes a branch, checks that it is whole, and deletes it.
func (in *installation) opens(name, from string, at core.LSN) {
	t := in.t
	t.Helper()
	in.must("branch", "create", name, "--from", from, "--at", at.String())
	in.wholeIs(name)
	if b := in.branch(name); b.StartLSN < at || b.StartLSN > at+core.WALPageSize {
		t.Errorf("a branch at %s begins at %s", at, b.StartLSN)
	}
	in.must("endpoint", "stop", name)
	in.must("branch", "delete", name)
}

// wholeIs checks the sums of pgbench and every heap and index of a branch.
func (in *installation) wholeIs(branch string) {
	t := in.t
	t.Helper()
	if got := in.psql(branch, sumsOf); got != "1" {
		t.Errorf("branch %s, from %s on: %s different sums", branch, in.branch(branch).StartLSN, got)
	}
	e := in.running(branch)
	if out, err := in.pg("pg_amcheck", "--all", "--install-missing", "-h", e.Host, "-p", strconv.Itoa(e.Port), "-U", "postgres"); err != nil {
		t.Errorf("branch %s: %v\n%s", branch, err, out)
	}
}

// writesDoNotMeet runs pgbench on all branches at once.
func (in *installation) writesDoNotMeet(tree []limb) {
	t := in.t
	t.Helper()
	before := map[string]int{}
	rows := func(name string) int {
		n, err := strconv.Atoi(in.psql(name, "SELECT count(*) FROM pgbench_history"))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	done := make(chan error, len(tree))
	for i, b := range tree {
		before[b.name] = rows(b.name)
		go func() { done <- in.bench(b.name, 40+8*i) }()
	}
	for range tree {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	for i, b := range tree {
		if got, want := rows(b.name), before[b.name]+40+8*i; got != want {
			t.Errorf("branch %s has %d rows of history, want %d", b.name, got, want)
		}
		in.wholeIs(b.name)
	}
}

// twigHistory changes what a branch began with, and makes things of its own.
var twigHistory = []string{
	"CREATE TABLE mine (id int PRIMARY KEY, t text) WITH (fillfactor = 80)",
	"INSERT INTO mine SELECT i, repeat('m', i % 90) FROM generate_series(1, 2000) i",
	"UPDATE a SET n = n + 5 WHERE id % 3 = 0",
	"VACUUM a",
	"UPDATE mine SET t = 'n' WHERE id % 4 = 0",
	"VACUUM mine",
	"DELETE FROM mine WHERE id > 1500",
	"VACUUM mine",
	"CREATE INDEX a_v ON a (v)",
	"CREATE DATABASE twigs STRATEGY wal_log",
	"INSERT INTO a SELECT i, 'twig', i FROM generate_series(10001, 11000) i",
	"VACUUM (FREEZE) a",
	"CHECKPOINT",
}

// TestTreeEqualsStock compares pages of a branch as of random records, its own
// and its parent's, with what plain PostgreSQL has: it recovers the parent to
// the branch point, is given the control file that a server boots with there,
// and replays the branch's WAL.
func TestTreeEqualsStock(t *testing.T) {
	in := install(t)
	base := historyCluster(t)
	in.must("import", base.Dir, "tree")
	in.must("endpoint", "stop", "main")
	rng := rand.New(rand.NewPCG(uint64(os.Getpid()), 9))
	t.Logf("seed %d", os.Getpid())
	in.must("endpoint", "start", "tree")
	f := in.follow("tree", 1)
	in.psql("tree", mixedHistory[0][:6]...)
	first := in.limbOf("tree", 0).to
	in.psql("tree", mixedHistory[0][6:]...)
	last := in.limbOf("tree", 0).to
	at := first + core.LSN(rng.Int64N(int64(last-first)))
	in.must("branch", "create", "twig", "--from", "tree", "--at", at.String())
	in.must("endpoint", "start", "twig")
	ft := in.follow("twig", 1)
	in.psql("twig", twigHistory...)
	in.must("endpoint", "stop", "twig")
	in.must("endpoint", "stop", "tree")

	parent := in.followed(f, "tree", base, rng)
	b := in.branch("tree")
	targets := parent.targets(b.StartLSN, b.CommitLSN, sized(2, 10))
	for _, lsn := range targets {
		parent.check(lsn, sized(10, 20))
	}
	twig := in.branch("twig")
	parent.branch = "twig"
	before := parent.records(b.StartLSN, twig.StartLSN)
	for range sized(1, 5) {
		parent.check(before[rng.IntN(len(before))], sized(10, 20))
	}
	// The record that the branch point cuts, or that begins there, is not part
	// of the branch.
	all := parent.records(b.StartLSN, b.CommitLSN)
	cut := all[0]
	for _, lsn := range all {
		if lsn <= (wal.Format{SegmentSize: core.DefaultSegmentSize}).RecordStart(twig.StartLSN) {
			cut = lsn
		}
	}
	child := in.followed(ft, "twig", in.bootAt(parent.recover(cut), twig), rng)
	own := child.records(wal.Format{SegmentSize: core.DefaultSegmentSize}.RecordStart(twig.StartLSN), twig.CommitLSN)
	lsns := []core.LSN{own[1], own[len(own)-1]}
	for range sized(1, 8) {
		lsns = append(lsns, own[1+rng.IntN(len(own)-1)])
	}
	for _, lsn := range lsns {
		child.check(lsn, sized(10, 20))
	}
	t.Logf("branch at %s: %d pages compared, %d of them VM pages", twig.StartLSN, parent.pages+child.pages, parent.vms+child.vms)
	if child.pages == 0 || child.vms == 0 {
		t.Error("the sample has no page, or no VM page, of the branch")
	}
}

// followed makes a check of a branch out of what pg_receivewal got of it.
func (in *installation) followed(f *follower, branch string, base *stock.Cluster, rng *rand.Rand) *pageCheck {
	in.t.Helper()
	b := in.branch(branch)
	f.has(filepath.Join(in.dir, "safekeeper-1", "timelines", b.Tenant.String(), b.Timeline.String()), b.StartLSN, b.CommitLSN)
	return &pageCheck{in: in, branch: branch, base: base, wal: f.whole(), rng: rng}
}

// bootAt gives a recovered cluster the control file that a server of a branch
// boots with where the branch begins.
func (in *installation) bootAt(c *stock.Cluster, b ctl.Branch) *stock.Cluster {
	t := in.t
	t.Helper()
	resp, err := http.Get("http://" + in.status().Pageservers[0].Listen + bootset.Path(core.TTID{Tenant: b.Tenant, Timeline: b.Timeline}, b.StartLSN))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	var set bootset.Set
	if err == nil {
		err = json.Unmarshal(body, &set)
	}
	if err != nil {
		t.Fatalf("%v in %.200s", err, body)
	}
	plan, err := boot.New(&set, set.Prev, time.Now(), nil)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(c.Dir, "global", "pg_control")
	if err := os.WriteFile(name, plan.Boot.Control.Encode(), 0o600); err != nil {
		t.Fatal(err)
	}
	old, _ := filepath.Glob(filepath.Join(c.Dir, "pg_wal", "*.history"))
	for _, name := range old {
		os.Remove(name)
	}
	c.Own()
	if out := c.Run("pg_controldata", c.Dir); !strings.Contains(out, "shut down") {
		t.Fatal(out)
	}
	return c
}
