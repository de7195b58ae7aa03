package fusemount_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"xenon/compute/boot"
	"xenon/compute/overlay"
	"xenon/core"
	"xenon/core/pageserver/bootset"
	"xenon/core/wal"
	"xenon/realio"
	"xenon/realio/fusemount"
)

// patience bounds waits; machines may be ten times slower than a quiet one.
const patience = 3 * time.Minute

// A server is a stock PostgreSQL on two mounts.
type server struct {
	t    *testing.T
	pg   postgres
	env  *realio.Env
	dir  string
	q    *quorum
	plan *boot.Plan
	data *fusemount.Mount
	wal  *fusemount.Mount
	cmd  *exec.Cmd
	log  *bytes.Buffer
	done chan struct{}
	exit error

	mu   sync.Mutex
	kept map[string]string
}

// start boots a server on src.
func start(t *testing.T, pg postgres, src *stopped, conf ...bootset.File) *server {
	t.Helper()
	s := &server{t: t, pg: pg, dir: pg.Dir(), log: &bytes.Buffer{}, done: make(chan struct{}), kept: map[string]string{}}
	for _, d := range []string{"data", "wal", "sock"} {
		path := filepath.Join(s.dir, d)
		if err := errors.Join(os.Mkdir(path, 0o700), os.Chown(path, int(pg.UID), int(pg.GID))); err != nil {
			t.Fatal(err)
		}
	}
	s.env = realio.New(realio.Options{Root: t.TempDir()})
	t.Cleanup(func() { s.env.Close() })
	var err error
	if s.plan, err = boot.New(src.set(), src.tail.Last, time.Now(), conf); err != nil {
		t.Fatal(err)
	}
	s.q = newQuorum(s.plan.Boot.X)
	if err := s.q.Offer(s.plan.Boot.X, s.plan.Boot.WAL); err != nil {
		t.Fatal(err)
	}
	s.mount(src)
	s.launch()
	return s
}

func (s *server) mount(src *stopped) {
	t, ctx := s.t, s.env.Context()
	scratch, err := overlay.NewScratch(s.env, "overlay", 64)
	if err != nil {
		t.Fatal(err)
	}
	data, err := s.plan.Data(ctx, s.env, scratch, src, "../wal", s.keep)
	if err != nil {
		t.Fatal(err)
	}
	stream := s.plan.Stream(s.env, s.q, func(err error) { t.Errorf("the server's WAL: %v", err) })
	wal, err := s.plan.WAL(ctx, s.env, scratch, stream)
	if err != nil {
		t.Fatal(err)
	}
	opt := fusemount.Options{Path: filepath.Join(s.dir, "data"), ID: fmt.Sprintf("test%d/data", os.Getpid()), UID: s.pg.UID, GID: s.pg.GID}
	if s.data, err = fusemount.New(ctx, data, opt); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.data.Unmount(); err != nil {
			t.Error(err)
		}
	})
	opt.Path, opt.ID, opt.Sync = filepath.Join(s.dir, "wal"), fmt.Sprintf("test%d/wal", os.Getpid()), true
	if s.wal, err = fusemount.New(ctx, wal, opt); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.wal.Unmount(); err != nil {
			t.Error(err)
		}
	})
}

func (s *server) keep(_ context.Context, name string, content []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept[name] = string(content)
	return nil
}

func (s *server) launch() {
	args := []string{"-D", filepath.Join(s.dir, "data"), "-k", filepath.Join(s.dir, "sock"), "-c", "listen_addresses="}
	for _, v := range []string{
		"fsync=on", "wal_sync_method=fdatasync", "full_page_writes=off", "wal_init_zero=off", "wal_recycle=off",
		"restart_after_crash=off", "wal_level=replica", "wal_buffers=64kB", "wal_writer_delay=1ms", "shared_buffers=4MB", "max_prepared_transactions=4",
	} {
		args = append(args, "-c", v)
	}
	s.cmd = s.pg.command(context.Background(), "postgres", args...)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() {
		s.exit = s.cmd.Wait()
		close(s.done)
	}()
	s.t.Cleanup(s.kill)
	deadline := time.Now().Add(patience)
	for {
		out, err := s.try("postgres", "SELECT 1")
		if err == nil {
			return
		}
		select {
		case <-s.done:
			s.t.Fatalf("server ended: %v\n%s", s.exit, s.log)
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("server does not answer: %s\n%s", out, s.log)
		}
	}
}

// kill ends the server in the order that leaves nothing waiting: first the
// mounts answer EIO.
func (s *server) kill() {
	s.q.fence()
	s.data.Fence(errors.New("test is over"))
	s.wal.Fence(errors.New("test is over"))
	s.cmd.Process.Signal(syscall.SIGQUIT)
	select {
	case <-s.done:
	case <-time.After(patience):
		s.cmd.Process.Kill()
		<-s.done
	}
	if s.t.Failed() {
		s.t.Logf("server log:\n%s", s.log)
	}
}

func (s *server) psql(db string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	s.t.Cleanup(cancel)
	return s.pg.command(ctx, "psql", "-h", filepath.Join(s.dir, "sock"), "-U", "postgres", "-d", db, "-v", "ON_ERROR_STOP=1", "-qAt")
}

func (s *server) try(db, sql string) (string, error) {
	c := s.psql(db)
	c.Stdin = strings.NewReader(sql)
	out, err := c.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (s *server) sql(db, sql string) string {
	s.t.Helper()
	out, err := s.try(db, sql)
	if err != nil {
		s.t.Fatalf("%s: %v\n%s\nserver log:\n%s", sql, err, out, s.log)
	}
	return out
}

func (s *server) want(db, sql, want string) {
	s.t.Helper()
	if got := s.sql(db, sql); got != want {
		s.t.Errorf("%s: %q, want %q", sql, got, want)
	}
}

const history = `
	CREATE TABLE t (id int PRIMARY KEY, v text);
	INSERT INTO t SELECT i, repeat('x', 100) || i FROM generate_series(1, 5000) i;
	CREATE UNLOGGED TABLE u (id int PRIMARY KEY);
	INSERT INTO u SELECT generate_series(1, 100);
	CREATE TABLE gone (id int); INSERT INTO gone SELECT generate_series(1, 1000);
	VACUUM;`

func TestPostgresRunsOnMounts(t *testing.T) {
	needFUSE(t)
	pg := needPostgres(t)
	src := pg.initdb(t, history)
	s := start(t, pg, src)
	s.checkDescriptors()
	s.want("postgres", "SELECT count(*), max(v) FROM t", "5000|"+strings.Repeat("x", 100)+"999")
	s.want("postgres", "SELECT count(*) FROM u", "0") // unlogged: begins as its init fork
	s.sql("postgres", "INSERT INTO u VALUES (1); CHECKPOINT")
	s.want("postgres", "SELECT count(*) FROM u", "1")
	s.sql("postgres", `
		UPDATE t SET v = 'y' WHERE id <= 2500;
		DELETE FROM t WHERE id > 4000;
		CREATE INDEX ON t (v);
		TRUNCATE gone;
		CREATE TABLE n AS SELECT i, md5(i::text) m FROM generate_series(1, 20000) i;
		CREATE INDEX ON n USING gin (to_tsvector('simple', m));
		CREATE TEMP TABLE tmp AS SELECT * FROM n;
		VACUUM FULL t;
		CHECKPOINT;
		SELECT pg_switch_wal();
		INSERT INTO n VALUES (0, 'after');`)
	s.want("postgres", "SELECT count(*), count(*) FILTER (WHERE v = 'y') FROM t", "4000|2500")
	s.want("postgres", "SELECT count(*) FROM gone", "0")
	s.want("postgres", "SELECT count(*), sum(i) FROM n", "20001|200010000")
	// A record over many segments, segments filled with zeros first, and WAL
	// that is flushed in the middle of records.
	s.sql("postgres", "SELECT pg_logical_emit_message(false, 'x', repeat('y', 20000000))")
	s.sql("postgres", "SET wal_init_zero = on; SET wal_recycle = on; SET synchronous_commit = off; INSERT INTO n SELECT 0, repeat('z', 1000) FROM generate_series(1, 8000); CHECKPOINT; DELETE FROM n WHERE m LIKE 'z%'")
	s.sql("postgres", "DROP TABLE gone; CREATE DATABASE d1 STRATEGY wal_log")
	s.sql("postgres", "CREATE DATABASE d2 STRATEGY file_copy TEMPLATE template0")
	s.sql("d1", "CREATE TABLE x AS SELECT generate_series(1, 1000) i")
	s.sql("d2", "CREATE TABLE x AS SELECT generate_series(1, 1000) i")
	s.want("d2", "SELECT count(*) FROM x", "1000")
	s.sql("postgres", "DROP DATABASE d1")
	s.sql("postgres", "BEGIN; INSERT INTO n VALUES (-1, 'prepared'); PREPARE TRANSACTION 'p'")
	s.sql("postgres", "CHECKPOINT")
	s.sql("postgres", "COMMIT PREPARED 'p'")
	s.want("postgres", "SELECT m FROM n WHERE i = -1", "prepared")
	s.sql("postgres", "COPY (SELECT 1) TO '"+filepath.Join(s.dir, "sock")+"/out'")
	s.checkTablespaceRefused()
	s.checkListing()
	s.checkKept()
	s.checkLog()
}

// checkDescriptors checks that the server has not inherited the mount: it would
// keep it half alive after our death.
func (s *server) checkDescriptors() {
	dir := fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid)
	fds, err := os.ReadDir(dir)
	if err != nil || len(fds) < 3 {
		s.t.Fatalf("descriptors of the server: %d, %v", len(fds), err)
	}
	for _, fd := range fds {
		if to, _ := os.Readlink(filepath.Join(dir, fd.Name())); to == "/dev/fuse" {
			s.t.Errorf("the server has descriptor %s of /dev/fuse", fd.Name())
		}
	}
}

// checkTablespaceRefused checks that nothing of it is in the WAL either.
func (s *server) checkTablespaceRefused() {
	loc := filepath.Join(s.dir, "sock", "spc")
	if err := errors.Join(os.Mkdir(loc, 0o700), os.Chown(loc, int(s.pg.UID), int(s.pg.GID))); err != nil {
		s.t.Fatal(err)
	}
	out, err := s.try("postgres", "CREATE TABLESPACE spc LOCATION '"+loc+"'")
	if err == nil || !strings.Contains(out, "Operation not supported") {
		s.t.Errorf("CREATE TABLESPACE: %v, %s", err, out)
	}
	s.want("postgres", "SELECT count(*) FROM pg_tablespace", "2")
}

func (s *server) checkListing() {
	s.want("postgres", "SELECT count(*) FROM pg_ls_dir('.', false, true) f WHERE f IN ('.', '..', 'base', 'pg_wal')", "4")
	s.want("postgres", `SELECT count(*) FROM pg_class c WHERE relkind = 'r' AND relpersistence = 'p' AND reltablespace = 0
		AND NOT EXISTS (SELECT FROM pg_ls_dir('base/' || (SELECT oid FROM pg_database WHERE datname = current_database())) f
			WHERE f = pg_relation_filenode(c.oid)::text)`, "0")
}

func (s *server) checkKept() {
	s.sql("postgres", "ALTER SYSTEM SET work_mem = '7MB'; SELECT pg_reload_conf()")
	s.mu.Lock()
	defer s.mu.Unlock()
	if !strings.Contains(s.kept["postgresql.auto.conf"], "work_mem = '7MB'") {
		s.t.Errorf("kept: %q", s.kept)
	}
}

// checkLog checks that what the quorum has is one WAL from X on.
func (s *server) checkLog() {
	s.q.mu.Lock()
	log, begin := bytes.Clone(s.q.log.Bytes()), s.q.begin
	s.q.mu.Unlock()
	read := func(p []byte, at core.LSN) (int, error) { return copy(p, log[at-begin:]), nil }
	tail, err := wal.FindEnd(s.plan.Format, read, begin, 0)
	if err != nil || tail.Stop != nil || tail.End != begin+core.LSN(len(log)) {
		s.t.Errorf("the quorum's WAL from %s of %d bytes ends at %s: %v, %v", begin, len(log), tail.End, tail.Stop, err)
	}
	if tail.Records < 1000 {
		s.t.Errorf("the quorum has %d records", tail.Records)
	}
}

// TestCommitWaitsForQuorum holds the quorum: whatever is done to the waiting
// backend, it neither returns nor shows its row.
func TestCommitWaitsForQuorum(t *testing.T) {
	needFUSE(t)
	pg := needPostgres(t)
	s := start(t, pg, pg.initdb(t, history))
	s.sql("postgres", "CREATE TABLE c (i int); INSERT INTO c VALUES (1); ALTER SYSTEM SET wal_sync_method = open_datasync; ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf()")
	s.sql("postgres", "SELECT 1")
	s.q.hold(true)
	c := s.psql("postgres")
	c.Stdin = strings.NewReader("SET statement_timeout = 100; SET application_name = 'waiter'; INSERT INTO c VALUES (2)")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	s.q.awaitWaiting()
	s.sql("postgres", "SELECT pg_cancel_backend(pid), pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'waiter'")
	pid, err := strconv.Atoi(s.sql("postgres", "SELECT pid FROM pg_stat_activity WHERE application_name = 'waiter'"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		sig := []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGHUP}[i%4]
		if err := syscall.Kill(pid, sig); err != nil {
			t.Fatalf("signal %d: %v", i, err)
		}
	}
	s.want("postgres", "SELECT string_agg(i::text, ',') FROM c", "1")
	s.q.hold(false)
	_ = c.Wait() // it was terminated meanwhile; its row is committed
	s.want("postgres", "SELECT string_agg(i::text, ',' ORDER BY i) FROM c", "1,2")
}

// TestFenceEndsServer fences the quorum under a commit: EIO makes the server
// panic, and nothing of it lives on.
func TestFenceEndsServer(t *testing.T) {
	needFUSE(t)
	pg := needPostgres(t)
	s := start(t, pg, pg.initdb(t, history))
	s.sql("postgres", "CREATE TABLE c (i int)")
	s.q.hold(true)
	c := s.psql("postgres")
	c.Stdin = strings.NewReader("INSERT INTO c VALUES (2)")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	s.q.awaitWaiting()
	s.q.fence()
	if err := c.Wait(); err == nil {
		t.Error("a commit was acknowledged by a fenced server")
	}
	select {
	case <-s.done:
	case <-time.After(patience):
		t.Fatal("the server goes on after EIO")
	}
	if !strings.Contains(s.log.String(), "PANIC") {
		t.Errorf("no PANIC in the log:\n%s", s.log)
	}
}
