package e2e_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"xenon/cmd/xenon/internal/export"
	"xenon/cmd/xenon/internal/pgdist"
	"xenon/core"
	"xenon/realio/host"
)

// TestExport exports a branch as of an LSN of the past: plain PostgreSQL
// starts from the directory without recovery, finds nothing wrong, and dumps
// what the branch had. Imported again, it is the same once more.
func TestExport(t *testing.T) {
	in := install(t)
	in.psql("main", "ALTER SYSTEM SET max_prepared_transactions = 4", "ALTER SYSTEM SET work_mem = '7MB'")
	in.must("endpoint", "stop", "main")
	in.must("endpoint", "start", "main")
	in.pgbenchInit(sized(1, 20))
	in.psql("main", "CREATE DATABASE copied STRATEGY file_copy", "CREATE ROLE clerk PASSWORD 'geheim'",
		"CREATE UNLOGGED TABLE basket AS SELECT generate_series(1, 100) AS n",
		"CREATE TABLE empty (n int PRIMARY KEY)", "CREATE SEQUENCE s", "SELECT setval('s', 5)",
		"DELETE FROM pgbench_accounts WHERE aid % 7 = 0", "VACUUM pgbench_accounts",
		"BEGIN", "INSERT INTO empty VALUES (1)", "PREPARE TRANSACTION 'p'")
	lsn := in.psql("main", "SELECT pg_current_wal_flush_lsn()")
	want := in.dump(in.url)
	in.psql("main", "DROP TABLE pgbench_accounts", "ROLLBACK PREPARED 'p'", "CREATE TABLE later (n int)", "VACUUM FULL", "CHECKPOINT",
		// Of the settings of today a server could not start as of then.
		"ALTER SYSTEM RESET max_prepared_transactions")

	dir, again := filepath.Join(workDir(t), "a", "data"), filepath.Join(workDir(t), "b")
	for _, d := range []string{dir, again} {
		if out := in.must("export", "main@"+lsn, d); !strings.Contains(out, lsn) || !strings.Contains(out, "pg_ctl -D "+d) {
			t.Errorf("export says %q", out)
		}
	}
	p := startPlain(t, in.dist, dir)
	if log := p.log(); !strings.Contains(log, "database system was shut down at") || strings.Contains(log, "recovery") || strings.Contains(log, "redo") {
		t.Errorf("no plain start:\n%s", log)
	}
	if got := in.dump(p.url()); got != want {
		t.Errorf("the dump of the exported directory differs: %s", difference(got, want))
	}
	in.checkAll(p.port)
	for _, q := range [][2]string{
		{"SELECT count(*) FROM basket", "0"},
		{"SELECT current_setting('work_mem'), current_setting('data_checksums')", "7MB|off"},
		{"SELECT count(*) FROM empty", "0"},
		{"COMMIT PREPARED 'p'", ""},
		{"SELECT count(*) FROM empty", "1"},
		{"INSERT INTO basket VALUES (1)", ""},
		{"UPDATE pgbench_branches SET filler = 'x'", ""},
	} {
		if got := in.sqlAt(p.url(), q[0]); got != q[1] {
			t.Errorf("%s: %q, want %q", q[0], got, q[1])
		}
	}
	p.stop()

	in.psql("main", "ALTER SYSTEM SET max_prepared_transactions = 4") // a branch begins with the settings of today
	in.must("branch", "create", "there", "--at", lsn)
	in.must("endpoint", "start", "there")
	if got := in.dump(in.urlOf("there")); got != want {
		t.Errorf("the dump of a branch there differs: %s", difference(got, want))
	}
	in.must("import", again, "again")
	in.must("endpoint", "start", "again")
	if got := in.dump(in.urlOf("again")); got != want {
		t.Errorf("the dump of the import of the exported directory differs: %s", difference(got, want))
	}
}

// TestExportAnywhere exports at LSNs where no record ends, and where a segment
// does: plain PostgreSQL starts from each, and finds nothing wrong.
func TestExportAnywhere(t *testing.T) {
	in := install(t)
	in.psql("main", "CREATE TABLE t AS SELECT n, md5(n::text) FROM generate_series(1, 20000) n")
	text := in.psql("main", "SELECT pg_current_wal_flush_lsn()")
	in.psql("main", "INSERT INTO t SELECT 0, ''", "SELECT pg_switch_wal()", "INSERT INTO t SELECT 0, ''")
	end, err := core.ParseLSN(text)
	if err != nil {
		t.Fatal(err)
	}
	page := end &^ (core.WALPageSize - 1)
	segment := core.SegmentStart(end.Segment(core.DefaultSegmentSize)+1, core.DefaultSegmentSize)
	for _, at := range []core.LSN{page - 20*core.WALPageSize, page + 5, page - 1000, page - 1, segment, segment + 17} {
		dir := filepath.Join(workDir(t), "data")
		in.must("export", "main@"+at.String(), dir)
		p := startPlain(t, in.dist, dir)
		in.checkAll(p.port)
		if rows := in.sqlAt(p.url(), "SELECT count(*) FROM pg_class WHERE relname = 't'"); rows != "0" && rows != "1" || at >= segment && rows != "1" {
			t.Errorf("as of %s there are %s tables", at, rows)
		}
		p.stop()
	}
}

// TestExportRefusals gives export what it must refuse; nothing is written.
func TestExportRefusals(t *testing.T) {
	in := install(t)
	dir := workDir(t)
	make := func(name, file string) string {
		d := filepath.Join(dir, name)
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(d, file), []byte("main@0/10 as of 0/10\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return d
	}
	file := filepath.Join(make("plain", "file"), "file")
	began := in.branch("main").StartLSN
	fresh := filepath.Join(dir, "fresh")
	tests := []refusal{
		{"a directory with a file", []string{"export", "main", make("full", "precious")}, 1, []string{"full is not empty", "precious"}},
		{"a data directory", []string{"export", "main", make("data", "PG_VERSION")}, 1, []string{"a data directory already"}},
		{"an export that did not end", []string{"export", "main", make("half", export.Unfinished)}, 1, []string{"did not end", "main@0/10", "remove it"}},
		{"a file", []string{"export", "main", file}, 1, []string{"file is no directory"}},
		{"below a file", []string{"export", "main", file + "/x"}, 1, []string{"file/x"}},
		{"no such branch", []string{"export", "nobody", fresh}, 1, []string{"no such branch: nobody"}},
		{"a malformed name", []string{"export", "No!", fresh}, 1, []string{`"No!"`, "a-z"}},
		{"beyond the end", []string{"export", "main@F/0", fresh}, 1, []string{"F/0", "main"}},
		{"before the beginning", []string{"export", "main@" + (began - 8).String(), fresh}, 1, []string{(began - 8).String(), began.String()}},
		{"no moment", []string{"export", "main@noon", fresh}, 2, []string{`"noon"`, "-5m"}},
		{"no directory", []string{"export", "main"}, 2, []string{"<dir>"}},
	}
	if os.Getuid() == 0 {
		tests = append(tests, refusal{"no such user", []string{"export", "main", fresh, "--user", "nobody-here"}, 1, []string{`"nobody-here"`}})
	}
	before := listing(t, dir)
	for _, r := range tests {
		r.check(t, in)
	}
	if after := listing(t, dir); after != before {
		t.Errorf("something was written; before:\n%s\nafter:\n%s", before, after)
	}
	if _, err := os.Stat(fresh); err == nil {
		t.Errorf("%s was made", fresh)
	}
}

// TestExportInterrupted ends an export in its midst: no server starts from
// what is there, and it says what it is.
func TestExportInterrupted(t *testing.T) {
	in := install(t)
	in.pgbenchInit(2)
	for try := range 10 {
		dir := filepath.Join(workDir(t), "data")
		if !in.interruptExport(dir) {
			t.Logf("try %d: the export was done before it was interrupted", try)
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, "global", "pg_control")); err == nil {
			t.Error("there is a control file")
		}
		if b, err := os.ReadFile(filepath.Join(dir, export.Unfinished)); err != nil || !strings.Contains(string(b), "main@") {
			t.Errorf("%s: %q, %v", export.Unfinished, b, err)
		}
		if out, err := plainCtl(t, in.dist, dir, "start"); err == nil {
			t.Errorf("a server started:\n%s", out)
		}
		refusal{"the same directory again", []string{"export", "main", dir}, 1, []string{"did not end", "main@"}}.check(t, in)
		return
	}
	t.Error("no export was interrupted")
}

// interruptExport runs an export, lets the pageserver hang once the directory
// is there, and interrupts. It tells whether the export had not ended by then.
func (in *installation) interruptExport(dir string) bool {
	in.t.Helper()
	cmd := exec.Command(bin(in.t), "export", "main", dir, "--dir", in.dir)
	if err := cmd.Start(); err != nil {
		in.t.Fatal(err)
	}
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(filepath.Join(dir, export.Unfinished)); err == nil {
			break
		}
		if time.Now().After(end) {
			in.t.Fatal("the export does not begin")
		}
	}
	in.signal(syscall.SIGSTOP)
	cmd.Process.Signal(syscall.SIGINT)
	err := cmd.Wait()
	in.signal(syscall.SIGCONT)
	return exitStatus(err) == 1
}

// dump is everything in a cluster, as text.
func (in *installation) dump(url string) string {
	in.t.Helper()
	out, err := in.pg("pg_dumpall", "--no-unlogged-table-data", "--restrict-key=xenon", "-d", url)
	if err != nil {
		in.t.Fatal(err)
	}
	return out
}

// difference is the first line of two texts that is not the same.
func difference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d is %q, want %q", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(g), len(w))
}

// checkAll checks every table and index of every database of a server.
func (in *installation) checkAll(port int) {
	in.t.Helper()
	if _, err := in.pg("pg_amcheck", "--all", "--install-missing", "-h", "127.0.0.1", "-p", strconv.Itoa(port), "-U", "postgres"); err != nil {
		in.t.Error(err)
	}
}

// sqlAt runs a statement with psql over TCP and returns the rows.
func (in *installation) sqlAt(url, statement string) string {
	in.t.Helper()
	out, err := in.pg("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statement, url)
	if err != nil {
		in.t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// urlOf is where clients connect to a branch that runs.
func (in *installation) urlOf(branch string) string {
	in.t.Helper()
	e := in.endpoint(branch)
	return fmt.Sprintf("postgres://postgres@%s:%d/postgres", e.Host, e.Port)
}

// A plain is PostgreSQL on a data directory, without any of ours.
type plain struct {
	t    *testing.T
	dist pgdist.Dist
	dir  string
	port int
}

// plainCtl runs pg_ctl as the server's user.
func plainCtl(t *testing.T, d pgdist.Dist, dir string, args ...string) (string, error) {
	t.Helper()
	user, err := pgdist.RunAs("postgres")
	if err != nil {
		t.Fatal(err)
	}
	cmd, err := d.Command(context.Background(), user, "pg_ctl", append([]string{"-D", dir, "-w", "-t", "60", "-l", filepath.Join(dir, "log")}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(filepath.Join(t.TempDir(), "pg_ctl"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	// A file: the server keeps the descriptor, and a pipe would never end.
	cmd.Stdout, cmd.Stderr = out, out
	err = cmd.Run()
	text, _ := os.ReadFile(out.Name())
	return string(text), err
}

// startPlain starts a server with pg_ctl; it is stopped with the test.
func startPlain(t *testing.T, d pgdist.Dist, dir string) *plain {
	t.Helper()
	return startPlainOn(t, d, dir, "")
}

// startPlainOn is startPlain with a directory for the server's socket.
func startPlainOn(t *testing.T, d pgdist.Dist, dir, socketDir string) *plain {
	t.Helper()
	port, err := host.FreePort("127.0.0.1", 57432)
	if err != nil {
		t.Fatal(err)
	}
	p := &plain{t, d, dir, port}
	t.Cleanup(func() { plainCtl(t, d, dir, "stop", "-m", "immediate") })
	out, err := plainCtl(t, d, dir, "-o", fmt.Sprintf("-p %d -c unix_socket_directories=%s", port, socketDir), "start")
	if err != nil {
		t.Fatalf("pg_ctl start: %v\n%s\n%s", err, out, p.log())
	}
	return p
}

func (p *plain) stop() {
	p.t.Helper()
	if out, err := plainCtl(p.t, p.dist, p.dir, "stop"); err != nil {
		p.t.Errorf("pg_ctl stop: %v\n%s", err, out)
	}
}

func (p *plain) log() string {
	b, _ := os.ReadFile(filepath.Join(p.dir, "log"))
	return string(b)
}

// url is where clients connect who have the password of an installation.
func (p *plain) url() string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres", p.port)
}
