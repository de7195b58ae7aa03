package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"xenon/cmd/xenon/internal/ctl"
	"xenon/cmd/xenon/internal/stock"
)

// TestImportRefusals gives import what it must refuse, before it writes
// anything.
func TestImportRefusals(t *testing.T) {
	in := install(t)
	base := stock.New(t, "-k")
	fresh := func(statements ...string) *stock.Cluster {
		c := stock.Open(t, base.Dir)
		if len(statements) > 0 {
			c.Single("postgres", statements...)
		}
		return c
	}
	withServer := fresh()
	socket := withServer.Mkdir("socket")
	start := func() {
		withServer.Run("pg_ctl", "-D", withServer.Dir, "-s", "-w", "-l", filepath.Join(withServer.Dir, "log"),
			"-o", "-c listen_addresses= -c unix_socket_directories="+socket, "start")
	}
	minimal := fresh()
	minimal.Append("postgresql.conf", "wal_level = minimal\nmax_wal_senders = 0\n")
	minimal.Single("postgres", "SELECT 1")
	older := fresh()
	if err := os.WriteFile(filepath.Join(older.Dir, "PG_VERSION"), []byte("13\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	damaged := fresh("CREATE TABLE t AS SELECT generate_series(1, 1000) AS n", "CHECKPOINT")
	spoil(t, filepath.Join(damaged.Dir, "base", "5", firstTable(t, damaged)), 4000)
	spaced := fresh()
	spaced.Single("postgres", "CREATE TABLESPACE s LOCATION '"+spaced.Mkdir("space")+"'")
	tests := []struct {
		name, dir, branch string
		before            func()
		want              []string
	}{
		{"a server runs", withServer.Dir, "x", start, []string{"postmaster.pid", "pg_ctl stop"}},
		{"killed", withServer.Dir, "x", func() {
			withServer.Run("pg_ctl", "-D", withServer.Dir, "-s", "-w", "-m", "immediate", "stop")
		}, []string{"pg_control", "runs or crashed", "pg_ctl stop"}},
		{"tablespace", spaced.Dir, "x", nil, []string{"pg_tblspc", "SET TABLESPACE pg_default"}},
		{"wal_level minimal", minimal.Dir, "x", nil, []string{"wal_level=minimal", "wal_level=replica"}},
		{"another segment size", stock.New(t, "--wal-segsize=1").Dir, "x", nil, []string{"segments of 1048576 bytes", "--wal-segsize=16"}},
		{"another major version", older.Dir, "x", nil, []string{`PG_VERSION says "13"`, "pg_upgrade"}},
		{"missing locale", fresh("UPDATE pg_database SET datctype = 'tlh_QO.UTF-8' WHERE datname = 'template0'").Dir, "x", nil, []string{"tlh_QO.UTF-8", "localedef"}},
		{"damaged page", damaged.Dir, "x", nil, []string{"block 0 has checksum", "restore it"}},
		{"no cluster", workDir(t), "x", nil, []string{"PG_VERSION", "not a PostgreSQL data directory"}},
		{"no directory", "/no/such/directory", "x", nil, []string{"/no/such/directory is not a data directory"}},
		{"a name twice", base.Dir, "main", nil, []string{"exists already: main"}},
		{"a bad name", base.Dir, "Main!", nil, []string{`branch name "Main!"`, "a-z"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.before != nil {
				test.before()
			}
			before := listing(t, filepath.Join(in.dir, "objects")) + in.timelines()
			_, err := in.xenon("import", test.dir, test.branch)
			if err == nil {
				t.Fatal("was imported")
			}
			for _, w := range test.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("says %q, want %q in it", err, w)
				}
			}
			if after := listing(t, filepath.Join(in.dir, "objects")) + in.timelines(); after != before {
				t.Errorf("something was written; before:\n%s\nafter:\n%s", before, after)
			}
		})
	}
}

// timelines are the directories of timelines on the safekeepers.
func (in *installation) timelines() string {
	in.t.Helper()
	dirs, err := filepath.Glob(filepath.Join(in.dir, "safekeeper-*", "timelines", "*", "*"))
	if err != nil {
		in.t.Fatal(err)
	}
	return strings.Join(dirs, "\n")
}

// firstTable is the file of table t in database postgres.
func firstTable(t *testing.T, c *stock.Cluster) string {
	t.Helper()
	out := c.Single("postgres", "SELECT 'file:' || relfilenode AS f FROM pg_class WHERE relname = 't'")
	_, after, ok := strings.Cut(out, `"file:`)
	node, _, ok2 := strings.Cut(after, `"`)
	if !ok || !ok2 {
		t.Fatalf("no relfilenode in %s", out)
	}
	return node
}

// spoil changes one byte of a file.
func spoil(t *testing.T, name string, at int64) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x10
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
}

// TestImport brings a cluster along that plain PostgreSQL made: with
// checksums, a long WAL, roles, settings, a prepared transaction and an
// unlogged table.
func TestImport(t *testing.T) {
	in := install(t)
	c := stock.New(t, "-k")
	c.Append("postgresql.conf", "max_prepared_transactions = 4\nmax_connections = 55\n")
	c.Single("postgres",
		"CREATE DATABASE shop",
		"CREATE ROLE clerk LOGIN PASSWORD 'geheim'",
		"ALTER SYSTEM SET work_mem = '7MB'",
		// The timeline begins late in its first segment.
		"SELECT pg_logical_emit_message(false, 'x', repeat('x', 13000000))")
	c.Single("shop",
		"CREATE TABLE goods AS SELECT n, md5(n::text) AS text FROM generate_series(1, 20000) n",
		"GRANT SELECT ON goods TO clerk",
		"CREATE UNLOGGED TABLE basket AS SELECT 1 AS n",
		"CREATE INDEX ON goods (text)",
		"BEGIN",
		"INSERT INTO goods VALUES (0, 'prepared')",
		"PREPARE TRANSACTION 'p'")
	before := listing(t, c.Dir)
	out := in.must("import", c.Dir, "shop")
	for _, want := range []string{"branch shop", "data checksums are on", "1 unlogged"} {
		if !strings.Contains(out, want) {
			t.Errorf("import says %q, want %q in it", out, want)
		}
	}
	if listing(t, c.Dir) != before {
		t.Error("the import changed the cluster")
	}
	if _, err := in.xenon("import", c.Dir, "shop"); err == nil || !strings.Contains(err.Error(), "exists already: shop") {
		t.Errorf("imported twice: %v", err)
	}
	shop := func(db string, sql ...string) string {
		t.Helper()
		args := []string{"psql", "shop", "-d", db, "-c", `\pset format unaligned`, "-c", `\pset tuples_only`}
		for _, s := range sql {
			args = append(args, "-c", s)
		}
		return in.must(args...)
	}
	want := func(what, got, want string) {
		t.Helper()
		if !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q in it", what, got, want)
		}
	}
	want("rows", shop("shop", "SELECT count(*), sum(n), md5(string_agg(text, ',' ORDER BY n)) FROM goods"),
		plainRow(c, "shop", "SELECT count(*) || '|' || sum(n) || '|' || md5(string_agg(text, ',' ORDER BY n)) AS v FROM goods"))
	want("settings", shop("postgres", "SELECT current_setting('work_mem'), current_setting('max_connections'), current_setting('data_checksums')"), "7MB|55|on")
	want("an unlogged table", shop("shop", "SELECT count(*) FROM basket", "INSERT INTO basket VALUES (2)"), "\n0\n")
	want("an index", shop("shop", "SET enable_seqscan = off", "SELECT n FROM goods WHERE text = md5('777')"), "777")
	want("a prepared transaction", shop("shop", "COMMIT PREPARED 'p'", "SELECT text FROM goods WHERE n = 0"), "prepared")
	in.logsIn(in.endpoint("shop"), "clerk", "geheim")
	in.killEverything()
	in.start()
	in.must("endpoint", "stop", "main")
	want("after kill -9 of everything", shop("shop", "SELECT count(*) FROM goods"), "20001")
}

// TestImportDump dumps a cluster that plain PostgreSQL made, before it is
// imported and after.
func TestImportDump(t *testing.T) {
	in := install(t)
	c := stock.New(t)
	c.Single("postgres", "CREATE DATABASE shop", "CREATE ROLE clerk LOGIN PASSWORD 'geheim'")
	c.Single("shop",
		"CREATE TABLE goods (n int PRIMARY KEY, text text, tags text[], place point)",
		"INSERT INTO goods SELECT n, repeat(md5(n::text), n % 200), ARRAY[n::text, 'x'], point(n, -n) FROM generate_series(1, 3000) n",
		"CREATE INDEX ON goods USING gin (tags)", "CREATE INDEX ON goods USING gist (place)", "CREATE INDEX ON goods USING hash (text)",
		"CREATE SEQUENCE s START 7", "SELECT lo_from_bytea(0, 'large')", "DELETE FROM goods WHERE n % 9 = 0", "VACUUM goods")
	p := startPlain(t, in.dist, c.Dir)
	want := in.dump(p.url())
	p.stop()
	in.must("import", c.Dir, "shop")
	in.must("endpoint", "start", "shop")
	e := in.endpoint("shop")
	if got := in.dump(fmt.Sprintf("postgres:///postgres?host=%s&port=%d&user=postgres", e.SocketDir, e.Port)); got != want {
		t.Errorf("the dump of the branch differs from that of the cluster: %s", difference(got, want))
	}
}

// plainRow is the value v that plain PostgreSQL says, of a copy of the cluster.
func plainRow(c *stock.Cluster, db, query string) string {
	out := c.Single(db, query)
	_, after, _ := strings.Cut(out, `v = "`)
	v, _, _ := strings.Cut(after, `"`)
	return v
}

// logsIn checks that a role of an imported cluster can connect over TCP, by
// its password alone.
func (in *installation) logsIn(e ctl.Endpoint, role, password string) {
	in.t.Helper()
	for _, try := range []struct {
		password string
		ok       bool
	}{{password, true}, {password + "x", false}} {
		url := strings.Replace(e.URL, "postgres://postgres@", "postgres://"+role+":"+try.password+"@", 1)
		if _, err := in.pg("psql", "-X", "-c", "SELECT 1", url); (err == nil) != try.ok {
			in.t.Errorf("log in as %s with password %s: %v", role, try.password, err)
		}
	}
}
