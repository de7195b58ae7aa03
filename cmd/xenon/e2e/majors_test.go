package e2e_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"xenon/cmd/xenon/internal/stock"
	"xenon/core/wal"
)

// TestMajors runs an installation of each major version: load, a kill of
// everything in the midst of it, the start after that, and the past of it all.
func TestMajors(t *testing.T) {
	for _, v := range wal.Versions {
		t.Run(strconv.Itoa(v.Major), func(t *testing.T) {
			in := installMajor(t, v.Major)
			if got := in.sql("SELECT current_setting('server_version_num')::int / 10000, current_setting('data_checksums')"); got != fmt.Sprintf("%d|off", v.Major) {
				t.Fatalf("the server is of version and data checksums %s, want %d|off", got, v.Major)
			}
			in.fill()
			then := in.sql("SELECT pg_current_wal_insert_lsn()")
			in.changeAll()
			in.killEverything()
			in.await()
			in.start()
			in.oldStateIsBack(then)
			in.exportRuns(then)
			in.stateIsBack()
			e := in.endpoint("main")
			if out, err := in.pg("pg_amcheck", "--all", "--install-missing", "--heapallindexed", "-h", e.Host, "-p", strconv.Itoa(e.Port), "-U", "postgres"); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			in.must("stop")
			in.await()
			in.nothingLeft()
		})
	}
}

// installMajor makes an installation of a major version and starts it. The
// later starts of it have to find the binaries by themselves.
func installMajor(t *testing.T, major int) *installation {
	t.Helper()
	needs(t)
	d := stock.FindMajor(t, major)
	dir := workDir(t)
	// Where nobody would look for them.
	hidden := filepath.Join(dir, "binaries")
	if err := os.Symlink(d.Dir, hidden); err != nil {
		t.Fatal(err)
	}
	in := &installation{t: t, dist: d, dir: filepath.Join(dir, "x"), args: []string{"--pg-bin", hidden, "-c", "max_prepared_transactions=4"}}
	in.start()
	in.args = in.args[2:]
	t.Cleanup(in.destroy)
	return in
}

// fill makes something of everything that WAL is written about and that each
// version writes in its own way.
func (in *installation) fill() {
	in.t.Helper()
	in.pgbenchInit(1)
	in.sql("CREATE TABLE t (id serial PRIMARY KEY, n int, pad text); CREATE INDEX ON t (n)")
	in.sql("INSERT INTO t (n, pad) SELECT g % 100, repeat('x', 100) FROM generate_series(1, 5000) g")
	in.sql("CREATE UNLOGGED TABLE u AS SELECT generate_series(1, 10) AS n")
	in.sql("CREATE DATABASE other")
	in.sql("BEGIN; INSERT INTO t (n) VALUES (-1); SAVEPOINT s; INSERT INTO t (n) VALUES (-2); PREPARE TRANSACTION 'half'")
	in.sql("CHECKPOINT")
}

// changeAll makes what fill made into something else.
func (in *installation) changeAll() {
	in.t.Helper()
	e := in.endpoint("main")
	if out, err := in.pg("pgbench", "-n", "-c", "4", "-t", "25", "-h", e.SocketDir, "-p", strconv.Itoa(e.Port), "-U", "postgres", "postgres"); err != nil {
		in.t.Fatalf("%v\n%s", err, out)
	}
	in.sql("DELETE FROM t WHERE n < 50")
	in.sql("VACUUM (FREEZE, ANALYZE) t")
	in.sql("UPDATE t SET n = n + 1000 WHERE n >= 90")
	in.sql("VACUUM FULL pgbench_branches")
	in.sql("DROP DATABASE other")
}

// stateIsBack holds main to what changeAll left.
func (in *installation) stateIsBack() {
	in.t.Helper()
	in.checkSums()
	if got, want := in.sql("SELECT count(*), count(*) FILTER (WHERE n >= 1000), (SELECT count(*) FROM u) FROM t"), "2500|500|0"; got != want {
		in.t.Errorf("main has %s, want %s", got, want)
	}
	if got := in.sql("SELECT gid FROM pg_prepared_xacts"); got != "half" {
		in.t.Errorf("prepared transactions: %q, want half", got)
	}
	in.sql("COMMIT PREPARED 'half'")
	if got, want := in.sql("SELECT count(*), min(n), (SELECT count(*) FROM pg_database WHERE datname = 'other') FROM t"), "2502|-2|0"; got != want {
		in.t.Errorf("main with what was prepared has %s, want %s", got, want)
	}
	if got := in.sql("SELECT nextval('t_id_seq') > 5002"); got != "t" {
		in.t.Error("the sequence went back")
	}
}

// oldStateIsBack holds a branch at an LSN to what fill left.
func (in *installation) oldStateIsBack(lsn string) {
	in.t.Helper()
	in.must("branch", "create", "then", "--at", lsn)
	if got, want := in.psql("then", "SELECT count(*), sum(n) FROM t", "SELECT sum(abalance) FROM pgbench_accounts",
		"SELECT count(*) FROM pg_database WHERE datname = 'other'", "SELECT gid FROM pg_prepared_xacts"), "5000|247500\n0\n1\nhalf"; got != want {
		in.t.Errorf("the branch has %q, want %q", got, want)
	}
	in.psql("then", "ROLLBACK PREPARED 'half'", "INSERT INTO t (n) VALUES (7)")
	if got := in.psql("then", "SELECT count(*) FROM t"); got != "5001" {
		in.t.Errorf("the branch has %s rows after one more, want 5001", got)
	}
}

// exportRuns exports main as of an LSN, and starts plain PostgreSQL of the same
// version on that.
func (in *installation) exportRuns(lsn string) {
	in.t.Helper()
	dir := filepath.Join(workDir(in.t), "export")
	in.must("export", "main@"+lsn, dir)
	// What up was given with -c is no part of the branch.
	appendTo(in.t, filepath.Join(dir, "postgresql.conf"), "max_prepared_transactions = 4\n")
	p := startPlain(in.t, in.dist, dir)
	if got, want := in.sqlAt(p.url(), "SELECT count(*), sum(n), (SELECT gid FROM pg_prepared_xacts) FROM t"), "5000|247500|half"; got != want {
		in.t.Errorf("the export has %q, want %q", got, want)
	}
	p.stop()
}

func appendTo(t *testing.T, name, text string) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(text)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestMajorsTogether has branches of several major versions in one
// installation: each is run by its own, from wherever it was found.
func TestMajorsTogether(t *testing.T) {
	in := install(t)
	in.sql("CREATE TABLE t AS SELECT 'main' AS whose")
	for _, c := range []struct {
		major int
		args  []string // of initdb
	}{{14, nil}, {17, []string{"-k"}}, {18, nil}} {
		d := stock.FindMajor(t, c.major)
		cluster := stock.Of(t, d, c.args...)
		name := fmt.Sprintf("pg%d", c.major)
		cluster.Single("postgres", "CREATE TABLE t AS SELECT '"+name+"' AS whose")
		if c.major == 17 {
			in.refusesOtherBinaries(cluster.Dir)
		}
		in.must("import", cluster.Dir, name, "--pg-bin", d.Dir)
		in.must("branch", "create", name+"-child", "--from", name)
	}
	check := func() {
		t.Helper()
		for name, want := range map[string]string{
			"main": fmt.Sprintf("main|%d|off", in.dist.Major), "pg14": "pg14|14|off", "pg17": "pg17|17|on", "pg18-child": "pg18|18|on",
		} {
			got := in.psql(name, "SELECT whose, current_setting('server_version_num')::int / 10000, current_setting('data_checksums') FROM t")
			if got != want {
				t.Errorf("branch %s says %q, want %q", name, got, want)
			}
		}
		for _, b := range in.status().Branches {
			if b.Name == "pg17-child" && b.Postgres != 17 {
				t.Errorf("status says that branch %s is of PostgreSQL %d, want 17", b.Name, b.Postgres)
			}
		}
	}
	check()
	in.must("stop")
	in.await()
	d := stock.FindMajor(t, 18)
	wrong := *in
	wrong.args = append([]string{"--pg-bin", d.Dir}, in.args...)
	err := wrong.tryStart()
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("was made with PostgreSQL %d, this is PostgreSQL 18", in.dist.Major)) {
		t.Errorf("a start with binaries of another version: %v", err)
	}
	in.start()
	check()
}

// refusesOtherBinaries imports a cluster of 17 with binaries that are not.
func (in *installation) refusesOtherBinaries(dir string) {
	in.t.Helper()
	_, err := in.xenon("import", dir, "wrong", "--pg-bin", in.dist.Dir)
	for _, want := range []string{"is of PostgreSQL 17", in.dist.Dir + " has PostgreSQL " + in.dist.Version, "--pg-bin"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			in.t.Errorf("an import with other binaries: %v, want %q", err, want)
		}
	}
}
