package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"xenon/cmd/xenon/internal/ctl"
	"xenon/compute/crosscheck"
	"xenon/internal/pgtest"
)

// crossChecked waits until enough of the pages that main's server wrote have
// been compared, and holds the count of mismatches to none: a failure shows the
// reports.
func (in *installation) crossChecked(least uint64) ctl.CrossCheck {
	in.t.Helper()
	var c ctl.CrossCheck
	eventually(in.t, fmt.Sprintf("%d pages compared with redo", least), func() bool {
		got := in.endpoint("main").CrossCheck
		if got == nil {
			in.t.Fatal("no page is compared with redo")
		}
		c = *got
		return c.Checked >= least
	})
	if c.Mismatched > 0 {
		in.t.Errorf("%d of %d written pages are mismatched; reports:\n%s", c.Mismatched, c.Checked, in.reports(c.Reports))
	}
	return c
}

// reports is what xenon redo report shows of a directory of reports, and of the
// first of them.
func (in *installation) reports(dir string) string {
	in.t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*", crosscheck.ReportFile))
	if err != nil || len(names) == 0 {
		in.t.Fatalf("no reports in %s (%v)", dir, err)
	}
	return in.must("redo", "report", dir) + "\n" + in.must("redo", "report", filepath.Dir(names[0]))
}

// otherPages are pages that are no samples, or have rules of their own.
var otherPages = []string{
	"CREATE UNLOGGED TABLE u(i int PRIMARY KEY, p point); CREATE INDEX ON u USING gist(p); INSERT INTO u SELECT i, point(i, i) FROM generate_series(1, 5000) i",
	"CREATE TEMP TABLE tt AS SELECT generate_series(1, 20000)",
	"CREATE SEQUENCE up; CREATE SEQUENCE down INCREMENT -7; CREATE SEQUENCE cached CACHE 20 MAXVALUE 300 CYCLE",
	"SELECT nextval('up'), nextval('down'), nextval('cached')",
	"CHECKPOINT",
	"SELECT nextval('up'), nextval('down') FROM generate_series(1, 40)",
	"CHECKPOINT",
	"SELECT nextval('cached') FROM generate_series(1, 400)",
	"BEGIN; CREATE TABLE frozen(i int); COPY frozen FROM PROGRAM 'seq 1 3000' WITH (FREEZE); DELETE FROM frozen WHERE i % 2 = 0; COMMIT",
	"CHECKPOINT",
	"BEGIN; INSERT INTO u SELECT i, point(i, i) FROM generate_series(5001, 6000) i; TRUNCATE frozen; INSERT INTO frozen SELECT generate_series(1, 3000); ROLLBACK",
	"VACUUM FULL t", "CLUSTER t USING t_name", "REINDEX TABLE t",
	"CHECKPOINT",
}

// TestWrittenPagesEqualRedo has every page that PostgreSQL writes compared with
// redo: all types of indexes, databases copied in both ways, and what is no
// sample. A buffer pool of 2 MB makes it write pages all the time.
func TestWrittenPagesEqualRedo(t *testing.T) {
	for _, major := range indexMajors() {
		t.Run(strconv.Itoa(major), func(t *testing.T) {
			pg := pgtest.NeedMajor(t, major)
			in := install(t, "--pg-bin", pg.Install.Dir, "--cross-check", "100", "-c", "shared_buffers=2MB")
			in.psql("main", indexedTable(major)...)
			in.workIndexes(2, sized(2, 3), sized(500, 1500))
			in.psql("main", otherPages...)
			in.copyDatabases(major)
			c := in.crossChecked(uint64(sized(2000, 20_000)))
			for _, why := range []string{"no_lsn", "unlogged", "not_main_fork"} {
				if c.Skipped[why] == 0 {
					t.Errorf("no page was left out for %q: %v", why, c.Skipped)
				}
			}
			if c.Skipped["unanswered"] > 0 {
				t.Errorf("the pageserver did not answer: %v", c.Skipped)
			}
			t.Logf("PostgreSQL %d: %+v", major, c)
		})
	}
}

// copyDatabases makes databases of one with every index, and works on them.
func (in *installation) copyDatabases(major int) {
	in.t.Helper()
	at := func(db string) string { return strings.TrimSuffix(in.url, "postgres") + db }
	run := func(db string, statements ...string) {
		for _, s := range statements {
			if out, err := in.pg("psql", at(db), "-qAtX", "-v", "ON_ERROR_STOP=1", "-c", s); err != nil {
				in.t.Fatalf("%s in %s: %v\n%s", s, db, err, out)
			}
		}
	}
	copies := []string{"CREATE DATABASE copied TEMPLATE postgres"}
	if major >= 15 {
		copies = append(copies, "CREATE DATABASE files TEMPLATE postgres STRATEGY file_copy")
	}
	run("template1", copies...)
	for i := range copies {
		run([]string{"copied", "files"}[i],
			"UPDATE t SET same = same + 1, at = at + 1, said = said || ' more' WHERE id % 7 = 0",
			"SELECT nextval('up'), nextval('down') FROM generate_series(1, 5)", "VACUUM t", "CHECKPOINT")
	}
	run("template1", "DROP DATABASE copied", "CHECKPOINT")
}

// TestCrossCheckSettings: who says how many pages are compared, in every
// layout, and that none are where that is asked for.
func TestCrossCheckSettings(t *testing.T) {
	in := install(t)
	percent := func() float64 {
		t.Helper()
		if c := in.endpoint("main").CrossCheck; c != nil {
			return c.Percent
		}
		return 0
	}
	restart := func(args ...string) {
		t.Helper()
		in.must("stop")
		in.await()
		in.args = args
		in.start()
	}
	if got := percent(); got != 1 {
		t.Errorf("%v percent by default, want 1", got)
	}
	mark := filepath.Join(in.dir, "xenon.toml")
	b, err := os.ReadFile(mark)
	if err == nil {
		err = os.WriteFile(mark, append(b, "cross_check = 100\n"...), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	restart("--processes")
	if got := percent(); got != 100 {
		t.Errorf("%v percent with xenon.toml, want 100", got)
	}
	in.pg("pgbench", "-i", "-s", "1", "-q", in.url)
	in.psql("main", "CHECKPOINT")
	in.crossChecked(200)
	restart("--cross-check", "0")
	if got := percent(); got != 0 {
		t.Errorf("%v percent with --cross-check 0", got)
	}
}
