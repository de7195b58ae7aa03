package wal_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"xenon/internal/pgtest"
)

// A cluster is a throwaway PostgreSQL of 1 MiB segments that keeps all its WAL.
type cluster struct {
	pgtest.Postgres
	t    *testing.T
	dir  string   // holds data/ and the socket
	opts []string // of the server, beyond those of all
}

// newCluster makes a cluster and starts it.
func newCluster(t *testing.T) *cluster { return newClusterOf(t, pgtest.Need(t)) }

// newClusterOf is newCluster of any version.
func newClusterOf(t *testing.T, p pgtest.Postgres, opts ...string) *cluster {
	c := &cluster{t: t, Postgres: p, opts: append([]string{"wal_level=replica"}, opts...)}
	c.dir = c.Dir()
	c.run("initdb", "-D", c.data(), "-U", "postgres", "-N", "-E", "UTF8", "--locale=C", "-A", "trust", "--wal-segsize=1")
	c.start()
	t.Cleanup(c.stop)
	return c
}

func (c *cluster) data() string { return filepath.Join(c.dir, "data") }

func (c *cluster) start() {
	c.t.Helper()
	opts := []string{"listen_addresses=", "unix_socket_directories=" + c.dir, "fsync=off", "shared_buffers=16MB",
		"wal_keep_size=1GB", "max_wal_size=4GB", "autovacuum=off", "max_prepared_transactions=10",
		"checkpoint_timeout=1h", "bgwriter_lru_maxpages=0"}
	opts = append(opts, c.opts...)
	c.run("pg_ctl", "-D", c.data(), "-s", "-w", "-t", "300", "-l", filepath.Join(c.dir, "log"), "-o", "-c "+strings.Join(opts, " -c "), "start")
}

// stop is a fast shutdown; a server that was stopped stays so.
func (c *cluster) stop() {
	if _, err := os.Stat(filepath.Join(c.data(), "postmaster.pid")); err != nil {
		return
	}
	c.t.Helper()
	c.run("pg_ctl", "-D", c.data(), "-s", "-w", "-t", "300", "-m", "fast", "stop")
}

// sql runs a script and returns what it printed, unaligned.
func (c *cluster) sql(script string) string {
	c.t.Helper()
	return strings.TrimSpace(c.run("psql", "-h", c.dir, "-U", "postgres", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", script))
}

// script runs statements one by one, as psql reads them from a file.
func (c *cluster) script(script string) string {
	c.t.Helper()
	cmd := c.command("psql", "-h", c.dir, "-U", "postgres", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1")
	cmd.Stdin = strings.NewReader(script)
	return c.finish(cmd)
}

func (c *cluster) run(name string, args ...string) string {
	c.t.Helper()
	return c.finish(c.command(name, args...))
}

func (c *cluster) command(name string, args ...string) *exec.Cmd {
	cmd := c.Command(context.Background(), name, args...)
	cmd.Dir = c.dir
	return cmd
}

func (c *cluster) finish(cmd *exec.Cmd) string {
	c.t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		log, _ := os.ReadFile(filepath.Join(c.dir, "log"))
		c.t.Fatalf("%s: %v\n%s\n%s", cmd, err, errs.Bytes(), log)
	}
	return out.String()
}

// waldump is the lines of pg_waldump from start on; it ends, with an error that
// is not one here, where the log does.
func (c *cluster) waldump(args ...string) []string {
	c.t.Helper()
	cmd := c.command("pg_waldump", args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && !strings.Contains(errs.String(), "error in WAL record at") {
		c.t.Fatalf("pg_waldump: %v: %s", err, errs.Bytes())
	}
	return strings.Split(strings.TrimSpace(out.String()), "\n")
}

func (c *cluster) read(name string) []byte {
	c.t.Helper()
	b, err := os.ReadFile(filepath.Join(c.data(), name))
	if err != nil {
		c.t.Fatal(err)
	}
	return b
}

// write makes a file that the server may read and write.
func (c *cluster) write(name string, b []byte) {
	c.t.Helper()
	path := filepath.Join(c.data(), name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		c.t.Fatal(err)
	}
	c.Own(path)
}
