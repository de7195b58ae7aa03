package e2e_test

import (
	"os"
	"strings"
	"testing"

	"xenon/cmd/xenon/internal/pgdist"
)

// TestKindsOfObjects makes what PostgreSQL logs in a way of its own, or not at
// all, kills everything, and looks.
func TestKindsOfObjects(t *testing.T) {
	in := install(t, "-c", "max_prepared_transactions=10")
	want := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	in.psql("main",
		"CREATE UNLOGGED TABLE u (n int PRIMARY KEY)",
		"INSERT INTO u SELECT generate_series(1, 1000)",
		"CREATE UNLOGGED SEQUENCE us",
		"CREATE TABLE a (n int PRIMARY KEY, t text)",
		"INSERT INTO a SELECT n, repeat('a', 200) FROM generate_series(1, 5000) n",
		"CREATE TABLE p (n int)",
		"CREATE TEMP TABLE tmp AS SELECT generate_series(1, 1000) AS n",
		"CREATE INDEX ON tmp (n)")
	in.psql("main", "BEGIN", "INSERT INTO p VALUES (1)", "SAVEPOINT s", "INSERT INTO p VALUES (2)", "PREPARE TRANSACTION 'kept'")
	in.psql("main", "BEGIN", "INSERT INTO p VALUES (4)", "LOCK a IN EXCLUSIVE MODE", "PREPARE TRANSACTION 'given up'")
	in.psql("main", "CREATE DATABASE source")
	in.must("psql", "main", "-d", "source", "-c", "CREATE TABLE s AS SELECT generate_series(1, 3000) AS n")
	in.psql("main", "CREATE DATABASE logged TEMPLATE source STRATEGY wal_log", "CREATE DATABASE copied TEMPLATE source STRATEGY file_copy")
	in.must("psql", "main", "-d", "copied", "-c", "DELETE FROM s WHERE n > 2000", "-c", "CREATE TABLE own AS SELECT 1 AS n")
	in.killEverything()
	in.start()

	want("an unlogged table", in.psql("main", "SELECT count(*) FROM u"), "0")
	in.psql("main", "INSERT INTO u VALUES (1)", "SELECT nextval('us')")
	want("a temporary table", in.psql("main", "CREATE TEMP TABLE tmp AS SELECT 7 AS n", "SELECT n FROM tmp"), "7")
	want("before COMMIT PREPARED", in.psql("main", "SELECT count(*) FROM p"), "0")
	want("prepared transactions", in.psql("main", "SELECT string_agg(gid, ',' ORDER BY gid) FROM pg_prepared_xacts"), "given up,kept")
	if _, err := in.xenon("psql", "main", "-c", "SET lock_timeout = '100ms'", "-c", "UPDATE a SET n = n"); err == nil {
		t.Error("the lock of a prepared transaction is gone")
	}
	in.psql("main", "COMMIT PREPARED 'kept'", "ROLLBACK PREPARED 'given up'")
	want("after COMMIT PREPARED", in.psql("main", "SELECT sum(n) FROM p"), "3")
	for db, rows := range map[string]string{"source": "3000", "logged": "3000", "copied": "2000"} {
		if got := in.must("psql", "main", "-d", db, "-c", "SELECT 'rows:' || count(*) FROM s"); !strings.Contains(got, "rows:"+rows) {
			t.Errorf("database %s: %s, want %s rows", db, got, rows)
		}
	}

	// The new files of a table that was emptied, and of a database whose name
	// is used again.
	in.psql("main", "TRUNCATE a", "INSERT INTO a SELECT n, 'b' FROM generate_series(1, 300) n", "VACUUM FULL p", "DROP DATABASE copied", "DROP DATABASE logged",
		"CREATE DATABASE copied TEMPLATE source STRATEGY file_copy")
	in.killEverything()
	in.start()
	want("a table that was emptied", in.psql("main", "SELECT count(*), max(t), sum(n) FROM a"), "300|b|45150")
	want("its index", in.psql("main", "SET enable_seqscan = off", "SELECT t FROM a WHERE n = 300"), "b")
	want("after both", in.psql("main", "SELECT sum(n) FROM p"), "3")
	want("an unlogged table again", in.psql("main", "SELECT count(*) FROM u"), "0")
	want("databases", in.psql("main", "SELECT string_agg(datname, ',' ORDER BY datname) FROM pg_database"), "copied,postgres,source,template0,template1")
	if got := in.must("psql", "main", "-d", "copied", "-c", "SELECT 'rows:' || count(*) FROM s"); !strings.Contains(got, "rows:3000") {
		t.Errorf("a database made again: %s", got)
	}
	in.refusesTablespaces()
	in.psql("main", "CREATE EXTENSION amcheck")
	want("amcheck", in.psql("main", "SELECT count(*) FROM pg_class c, LATERAL verify_heapam(c.oid) WHERE c.relkind IN ('r', 't') AND c.relpersistence = 'p'"), "0")
}

// refusesTablespaces checks that a tablespace is refused before anything is
// logged of it: the server goes on, and so does the pageserver.
func (in *installation) refusesTablespaces() {
	in.t.Helper()
	before := in.endpoint("main")
	out, err := in.xenon("psql", "main", "-c", "CREATE TABLESPACE s LOCATION '"+in.serversDir()+"'")
	if err == nil || !strings.Contains(err.Error(), `could not create symbolic link "pg_tblspc/`) || !strings.Contains(err.Error(), "Operation not supported") {
		in.t.Errorf("CREATE TABLESPACE: %v, %s; want a refusal", err, out)
	}
	if log := in.log.String(); !strings.Contains(log, "only tablespaces in place are supported") || !strings.Contains(log, "allow_in_place_tablespaces = on") {
		in.t.Errorf("the log does not say what to do instead:\n%s", tail(log, 2000))
	}
	in.psql("main", "SET allow_in_place_tablespaces = on", "CREATE TABLESPACE s LOCATION ''", "CREATE TABLE spaced TABLESPACE s AS SELECT 7 AS n",
		"DROP TABLE spaced", "CHECKPOINT", "DROP TABLESPACE s")
	if got := in.psql("main", "SELECT count(*) FROM pg_tablespace"); got != "2" {
		in.t.Errorf("%s tablespaces, want 2", got)
	}
	if now := in.endpoint("main"); now.Postmaster != before.Postmaster {
		in.t.Error("the server did not survive CREATE TABLESPACE")
	}
	for _, p := range in.status().Pageservers {
		for _, tl := range p.Timelines {
			if tl.State != "active" {
				in.t.Errorf("pageserver: %s", tl.State)
			}
		}
	}
}

// serversDir is an empty directory that the server's user owns.
func (in *installation) serversDir() string {
	in.t.Helper()
	dir := workDir(in.t)
	user, err := pgdist.RunAs("postgres")
	if err == nil && user.Switch {
		err = os.Chown(dir, int(user.UID), int(user.GID))
	}
	if err != nil {
		in.t.Fatal(err)
	}
	return dir
}
