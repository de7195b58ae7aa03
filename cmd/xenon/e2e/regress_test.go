package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"xenon/cmd/xenon/internal/pgdist"
	"xenon/cmd/xenon/internal/stock"
	"xenon/core"
	"xenon/internal/pgtest"
)

// smallSchedule is tests of PostgreSQL's suite that depend on nothing but each
// other: every index method, and what changes files and settings of a cluster.
var smallSchedule = []string{
	"test_setup", "tablespace", "copy copydml insert insert_conflict", "create_misc create_table",
	"create_index create_index_spgist index_including index_including_gist", "vacuum", "hash_index btree_index update delete",
	"brin gin gist spgist", "brin_bloom brin_multi", "sequence truncate prepared_xacts",
}

// A regression is PostgreSQL's own regression suite, run on one server.
type regression struct {
	t     *testing.T
	dist  pgdist.Dist
	suite string // src/test/regress of the sources, with its libraries
	input string // where tests and what they should print are; the suite, or a copy
	out   string // where results go
	// schedule is lines of tests; nil is the suite's own. least is how many tests
	// must have been run.
	schedule []string
	least    int
}

// newRegression finds the suite, which scripts/regress.sh fetches.
func newRegression(t *testing.T, d pgdist.Dist) *regression {
	t.Helper()
	script, err := filepath.Abs("../../../scripts/regress.sh")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(script).Output()
	if err != nil {
		pgtest.Skip(t, "the sources of PostgreSQL's regression suite (scripts/regress.sh says why they cannot be had)", err)
	}
	suite := strings.TrimSpace(string(out))
	r := &regression{t: t, dist: d, suite: suite, input: suite, out: workDir(t), least: 20}
	if !full() {
		r.schedule = smallSchedule
	}
	return r
}

// failedTest is how pg_regress names a test that failed.
var failedTest = regexp.MustCompile(`(?m)^(?:test|    ) (\S+) +\.\.\. FAILED`)

// run runs a schedule on the server of a socket and returns which of its tests
// failed. Servers write results, too, and run as somebody else.
func (r *regression) run(name, socketDir string, port int) (failed []string) {
	r.t.Helper()
	out := filepath.Join(r.out, name)
	schedule := filepath.Join(r.suite, "parallel_schedule")
	if r.schedule != nil {
		schedule = filepath.Join(r.out, "schedule")
		text := "test: " + strings.Join(r.schedule, "\ntest: ") + "\n"
		if err := os.WriteFile(schedule, []byte(text), 0o644); err != nil {
			r.t.Fatal(err)
		}
	}
	for _, dir := range []string{out, filepath.Join(out, "results")} {
		if err := os.Mkdir(dir, 0o777); err != nil {
			r.t.Fatal(err)
		}
		if err := os.Chmod(dir, 0o777); err != nil {
			r.t.Fatal(err)
		}
	}
	cmd := exec.Command(filepath.Join(filepath.Dir(r.dist.Dir), "lib/pgxs/src/test/regress/pg_regress"),
		"--bindir="+r.dist.Dir, "--dlpath="+r.suite, "--inputdir="+r.input, "--outputdir="+out, "--schedule="+schedule,
		"--host="+socketDir, "--port="+strconv.Itoa(port), "--user=postgres", "--max-connections=10")
	cmd.Dir = out
	cmd.Env = append(pgdist.Environ(pgdist.User{Name: "postgres"}), "PATH="+os.Getenv("PATH"))
	began := time.Now()
	text, err := cmd.CombinedOutput()
	for _, m := range failedTest.FindAllSubmatch(text, -1) {
		failed = append(failed, string(m[1]))
	}
	if err != nil && len(failed) == 0 || !strings.Contains(string(text), " tests ") {
		r.t.Fatalf("pg_regress on %s: %v\n%s", name, err, tail(string(text), 3000))
	}
	passed := strings.Count(string(text), "... ok")
	r.t.Logf("%s: %d tests passed, %d failed %v, %v", name, passed, len(failed), failed, time.Since(began).Round(time.Second))
	if passed+len(failed) < r.least {
		r.t.Errorf("%s: %d tests were run", name, passed+len(failed))
	}
	return failed
}

// differences are what pg_regress has to say about a run.
func (r *regression) differences(name string) string {
	b, err := os.ReadFile(filepath.Join(r.out, name, "regression.diffs"))
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// TestRegressionSuite runs PostgreSQL's own regression suite on xenon. A test
// that fails there must fail on a plain directory as well. Afterwards every
// page that the server has is held to what redo makes of the WAL alone.
func TestRegressionSuite(t *testing.T) {
	in := install(t, "--cross-check", strconv.Itoa(sized(10, 100)))
	r := newRegression(t, in.dist)
	base := stock.New(t)
	in.must("import", base.Dir, "suite")
	in.must("endpoint", "stop", "main")
	in.must("endpoint", "start", "suite")
	f := in.follow("suite", 1)
	e := in.endpoint("suite")
	failed := r.run("xenon", e.SocketDir, e.Port)
	if alone := r.alone(base, failed); len(alone) > 0 {
		t.Errorf("tests %q fail on xenon alone\n%s", alone, tail(r.differences("xenon"), 8000))
	}
	if now := in.endpoint("suite"); now.Starts != 1 {
		t.Errorf("%d servers were started, want 1", now.Starts)
	}
	in.checkedThroughout("suite")
	in.everyPage("suite", base, f)
}

// alone is which of the tests that failed on xenon pass on a plain directory.
func (r *regression) alone(base *stock.Cluster, failed []string) []string {
	r.t.Helper()
	if len(failed) == 0 {
		return nil
	}
	plain := r.onPlain(base)
	return slices.DeleteFunc(failed, func(name string) bool { return slices.Contains(plain, name) })
}

// TestRegressionComparison plants failures into the suite: one that every
// server has is not xenon's, one that only xenon has is.
func TestRegressionComparison(t *testing.T) {
	in := install(t)
	r := newRegression(t, in.dist)
	// What tests read is looked up from the suite, what they print is planted.
	r.input = filepath.Join(workDir(t), "suite")
	for _, dir := range []string{"sql", "expected", "data"} {
		if err := os.CopyFS(filepath.Join(r.input, dir), os.DirFS(filepath.Join(r.suite, dir))); err != nil {
			t.Fatal(err)
		}
	}
	// A plain directory has full_page_writes on unless somebody says otherwise.
	for name, says := range map[string]string{"planted_everywhere": "neither", "planted_on_xenon": "on"} {
		const query = "SELECT current_setting('full_page_writes') AS said;\n"
		r.plant("sql/"+name+".sql", query)
		r.plant("expected/"+name+".out", query+" said \n------\n "+says+"\n(1 row)\n\n")
	}
	r.schedule, r.least = []string{"test_setup", "planted_everywhere planted_on_xenon insert"}, 4
	base := stock.New(t)
	in.must("import", base.Dir, "suite")
	in.must("endpoint", "start", "suite")
	e := in.endpoint("suite")
	failed := r.run("xenon", e.SocketDir, e.Port)
	slices.Sort(failed)
	if want := []string{"planted_everywhere", "planted_on_xenon"}; !slices.Equal(failed, want) {
		t.Fatalf("%q failed, want %q\n%s", failed, want, tail(r.differences("xenon"), 4000))
	}
	if alone := r.alone(base, failed); !slices.Equal(alone, []string{"planted_on_xenon"}) {
		t.Errorf("%q are xenon's, want planted_on_xenon\n%s", alone, tail(r.differences("plain"), 4000))
	}
}

// plant writes a file into the suite.
func (r *regression) plant(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.input, name), []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// onPlain runs the suite on a copy of the cluster.
func (r *regression) onPlain(base *stock.Cluster) []string {
	r.t.Helper()
	c := stock.Open(r.t, base.Dir)
	socket := c.Mkdir("socket")
	p := startPlainOn(r.t, r.dist, c.Dir, socket)
	defer p.stop()
	return r.run("plain", socket, p.port)
}

// checkedThroughout waits until the pages that were chosen are compared: none
// differs from redo's.
func (in *installation) checkedThroughout(branch string) {
	in.t.Helper()
	in.psql(branch, "CHECKPOINT")
	last := uint64(0)
	eventually(in.t, "the cross-check", func() bool {
		c := in.endpoint(branch).CrossCheck
		done := c != nil && c.Checked > 0 && c.Checked == last
		if c != nil {
			last = c.Checked
		}
		if !done {
			time.Sleep(500 * time.Millisecond)
		}
		return done
	})
	c := in.endpoint(branch).CrossCheck
	in.t.Logf("cross-check: %d pages, %d differ, skipped %v", c.Checked, c.Mismatched, c.Skipped)
	if c.Mismatched > 0 {
		in.t.Errorf("%d of %d pages that the server wrote differ from redo:\n%s", c.Mismatched, c.Checked, in.reports(c.Reports))
	}
}

// everyPage compares all files of relations that the server of a branch has
// with pages that redo makes of the imported cluster and the WAL since.
func (in *installation) everyPage(branch string, base *stock.Cluster, f *follower) {
	in.t.Helper()
	in.psql(branch, "ALTER SYSTEM SET autovacuum = off", "SELECT pg_reload_conf()")
	eventually(in.t, "autovacuum to end", func() bool {
		return in.psql(branch, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'autovacuum worker'") == "0"
	})
	// Twice: what the first checkpoint changes on its way is written by the next.
	in.psql(branch, "CHECKPOINT", "CHECKPOINT")
	at, err := core.ParseLSN(in.psql(branch, "SELECT pg_current_wal_insert_lsn()"))
	if err != nil {
		in.t.Fatal(err)
	}
	b := in.branch(branch)
	f.has(filepath.Join(in.dir, "safekeeper-1", "timelines", b.Tenant.String(), b.Timeline.String()), b.StartLSN, at)
	data, err := os.Readlink("/proc/" + strconv.Itoa(in.endpoint(branch).Postmaster) + "/cwd")
	if err != nil {
		in.t.Fatal(err)
	}
	c := rebuild(in.t, base.Dir, f.whole(), at)
	c.compareAll(data)
	in.t.Logf("as of %s: %d relations, %d pages equal, of which %d of maps; %d initialised and no more, %d beyond the end and empty",
		at, c.rels, c.pages, c.maps, c.unlogged, c.beyond)
	if c.pages < 3000 || c.maps == 0 {
		in.t.Errorf("only %d pages, %d of maps, were compared", c.pages, c.maps)
	}
}
