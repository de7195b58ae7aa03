package e2e_test

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"xenon/cmd/xenon/internal/stock"
)

// outside is a cluster of data checksums with what is not in base: a tablespace
// in place, with a table and a database, and the progress of an origin.
var outside = []string{
	"CREATE TABLE t (i int PRIMARY KEY, pad text)",
	"INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(1, 5000) i",
	"SET allow_in_place_tablespaces = on",
	"CREATE TABLESPACE near LOCATION ''",
	"CREATE TABLE n (i int, pad text) TABLESPACE near",
	"INSERT INTO n SELECT i, 'n' FROM generate_series(1, 3000) i",
	"CREATE DATABASE within TABLESPACE near",
	"SELECT pg_replication_origin_create('far')",
	"SELECT pg_replication_origin_advance('far', '0/5000')",
}

// TestDataChecksums runs a cluster of data checksums: every page that a server
// reads has the right one, and so has every page of an export. Tablespaces and
// replication origins come along, and go on.
func TestDataChecksums(t *testing.T) {
	majors := []int{15}
	if full() {
		majors = []int{14, 15, 16, 17, 18}
	}
	for _, major := range majors {
		t.Run(strconv.Itoa(major), func(t *testing.T) {
			d := stock.FindMajor(t, major)
			in := install(t)
			c := stock.Of(t, d, "--data-checksums")
			c.Single("postgres", outside...)
			if out := in.must("import", c.Dir, "sums"); !strings.Contains(out, "data checksums are on") {
				t.Errorf("import says %q", out)
			}
			in.must("endpoint", "start", "sums")
			in.growOutside()
			in.killEverything()
			in.start()
			in.outsideHolds("sums")
			// The branch is read from layers and from its ancestor.
			in.must("branch", "create", "twig", "--from", "sums")
			in.psql("twig", "UPDATE n SET pad = 'twig' WHERE i % 50 = 0", "DROP TABLE moved")
			in.must("endpoint", "stop", "twig")
			in.exportsChecked("twig", major)
			in.exportsChecked("sums", major)
		})
	}
}

// growOutside changes all of it: hints on pages old and new, a table that moves
// into the tablespace, another tablespace, commits of an origin.
func (in *installation) growOutside() {
	in.t.Helper()
	in.psql("sums",
		"UPDATE t SET pad = pad || 'y' WHERE i % 7 = 0", "SELECT count(*) FROM t", "DELETE FROM n WHERE i % 3 = 0", "SELECT count(*) FROM n",
		"VACUUM t", "CHECKPOINT", "SELECT count(*), sum(i) FROM t", "UPDATE n SET pad = 'm' WHERE i % 5 = 0",
		"CREATE TABLE moved AS SELECT i FROM generate_series(1, 2000) i", "ALTER TABLE moved SET TABLESPACE near",
		"SET allow_in_place_tablespaces = on", "CREATE TABLESPACE later LOCATION ''", "CREATE INDEX n_i ON n (i) TABLESPACE later",
		"SELECT pg_replication_origin_session_setup('far')", "BEGIN", "SELECT pg_replication_origin_xact_setup('0/7000', now())",
		"INSERT INTO t VALUES (-1, 'from afar')", "COMMIT")
}

// outsideHolds checks that it is there.
func (in *installation) outsideHolds(branch string) {
	in.t.Helper()
	for _, q := range [][2]string{
		{"SELECT count(*), sum(i) FROM t", "5001|12502499"},
		{"SELECT count(*), count(*) FILTER (WHERE pad = 'm') FROM n", "2000|400"},
		{"SET enable_seqscan = off; SELECT pad FROM n WHERE i = 100", "m"},
		{"SELECT count(*), sum(i) FROM moved", "2000|2001000"},
		{"SELECT remote_lsn FROM pg_replication_origin_status", "0/7000"},
		{"SELECT string_agg(spcname, ',' ORDER BY spcname) FROM pg_tablespace WHERE spcname !~ '^pg_'", "later,near"},
		{"SHOW data_checksums", "on"},
		// The sessions that read all of this met no page with a wrong checksum.
		{"SELECT coalesce(sum(checksum_failures), 0) FROM pg_stat_database", "0"},
	} {
		if got := in.psql(branch, strings.Split(q[0], "; ")...); got != q[1] {
			in.t.Errorf("%s: %s, want %s", q[0], got, q[1])
		}
	}
	if got := in.must("psql", branch, "-d", "within", "-c", "CREATE TABLE w AS SELECT 'rows:' || count(*) FROM pg_class; SELECT * FROM w"); !strings.Contains(got, "rows:") {
		in.t.Errorf("database within: %s", got)
	}
	e := in.endpoint(branch)
	if _, err := in.pg("pg_amcheck", "--all", "--install-missing", "-h", e.SocketDir, "-p", strconv.Itoa(e.Port), "-U", "postgres"); err != nil {
		in.t.Error(err)
	}
}

// exportsChecked exports a branch and has pg_checksums look at every page of
// it. A wrong one is found, too.
func (in *installation) exportsChecked(branch string, major int) {
	in.t.Helper()
	dir := filepath.Join(workDir(in.t), "data")
	in.must("export", branch, dir)
	if major != in.dist.Major {
		return // pg_checksums reads its own version alone
	}
	out, err := in.pg("pg_checksums", "--check", "-D", dir)
	if err != nil || !strings.Contains(out, "Bad checksums:  0") {
		in.t.Errorf("%s: %v\n%s", branch, err, out)
	}
	table := in.psql(branch, "SELECT pg_relation_filepath('n')")
	if !strings.HasPrefix(table, "pg_tblspc/") {
		in.t.Fatalf("table n is in %s", table)
	}
	spoil(in.t, filepath.Join(dir, table), 4000)
	if out, err := in.pg("pg_checksums", "--check", "-D", dir); err == nil || !strings.Contains(fmt.Sprint(out, err), "Bad checksums:  1") {
		in.t.Errorf("a byte flipped by hand: %v\n%s", err, out)
	}
}
