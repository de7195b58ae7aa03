package e2e_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// A refusal is a command that must fail, and what its error has to name.
type refusal struct {
	name   string
	args   []string
	status int
	want   []string
}

// check runs the command and looks at its end.
func (r refusal) check(t *testing.T, in *installation) {
	t.Helper()
	t.Run(r.name, func(t *testing.T) {
		args := r.args
		if in != nil {
			args = append(args, "--dir", in.dir)
		}
		cmd := exec.Command(bin(t), args...)
		out, err := cmd.CombinedOutput()
		if exitStatus(err) != r.status {
			t.Errorf("%s ends with %v, want exit status %d\n%s", strings.Join(args, " "), err, r.status, out)
		}
		for _, w := range r.want {
			if !strings.Contains(string(out), w) {
				t.Errorf("says %q, want %q in it", out, w)
			}
		}
	})
}

// TestWrongUse gives commands what they cannot do to a running installation,
// which goes on.
func TestWrongUse(t *testing.T) {
	in := install(t)
	in.psql("main", "CREATE TABLE t AS SELECT 1 AS n")
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	port := strconv.Itoa(busy.Addr().(*net.TCPAddr).Port)
	rel := in.psql("main", "SELECT '1663/' || (SELECT oid FROM pg_database WHERE datname = 'postgres') || '/' || pg_relation_filenode('t')")
	committed := in.branch("main").CommitLSN.String()
	noPsql := t.TempDir()
	if err := os.Symlink(filepath.Join(in.dist.Dir, "postgres"), filepath.Join(noPsql, "postgres")); err != nil {
		t.Fatal(err)
	}
	page := func(args ...string) []string { return append([]string{"page", "get"}, args...) }
	for _, r := range []refusal{
		{"page of an unknown branch", page("--branch", "nope", "--rel", rel), 1, []string{"no such branch: nope"}},
		{"page of an unknown relation", page("--branch", "main", "--rel", "1663/5/99999"), 1, []string{"relation 1663/5/99999", "does not exist"}},
		{"page of an unknown database", page("--branch", "main", "--rel", "1663/77777/1259"), 1, []string{"1663/77777/1259", "does not exist"}},
		{"block behind the end", page("--branch", "main", "--rel", rel, "--block", "7"), 1, []string{rel, "has 1 blocks", "no block 7"}},
		{"LSN beyond the end", page("--branch", "main", "--rel", rel, "--lsn", "FF/0", "--wait", "1s"), 1, []string{"FF/0", "up to " + committed}},
		{"LSN before the start", page("--branch", "main", "--rel", rel, "--lsn", "0/8"), 1, []string{"0/8", in.branch("main").StartLSN.String()}},
		{"no relation", page("--branch", "main", "--rel", "t"), 2, []string{"t"}},
		{"no fork", page("--branch", "main", "--rel", rel, "--fork", "spoon"), 2, []string{"spoon"}},
		{"no LSN", page("--branch", "main", "--rel", rel, "--lsn", "x/y/z"), 2, []string{"x/y/z"}},
		{"psql is not installed", []string{"psql", "main", "--pg-bin", noPsql}, 1, []string{"no psql in " + noPsql, "apt-get install"}},
		{"PostgreSQL is not installed", []string{"psql", "main", "--pg-bin", t.TempDir()}, 1, []string{"no PostgreSQL in"}},
		{"psql on an unknown branch", []string{"psql", "nope", "-c", "SELECT 1"}, 1, []string{"no such branch: nope"}},
		{"endpoint on an unknown branch", []string{"endpoint", "start", "nope"}, 1, []string{"no such branch: nope"}},
		{"a second endpoint", []string{"endpoint", "start", "main"}, 1, []string{"main", "--takeover"}},
		{"stop of no endpoint", []string{"endpoint", "stop", "nope"}, 1, []string{"no endpoint nope runs"}},
		{"endpoint on a port that is taken", []string{"endpoint", "start", "main", "--takeover", "--port", port}, 1, []string{port, "--port N"}},
		{"a store that is not supported", []string{"up", "--remote", "azure://container/x"}, 2, []string{"azure://container/x", "file:///path", "s3://bucket/prefix"}},
		{"a misspelt option of a bucket", []string{"up", "--remote", "s3://bucket/x?endpiont=http://h"}, 2, []string{"endpiont", "want endpoint and region"}},
		{"no such command", []string{"stauts"}, 2, []string{"stauts"}},
	} {
		r.check(t, in)
	}
	if got := in.psql("main", "SELECT n FROM t"); got != "1" {
		t.Errorf("afterwards: %s", got)
	}
}

// TestPortTaken asks for a port that somebody else has.
func TestPortTaken(t *testing.T) {
	needs(t)
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	dir, addr := filepath.Join(workDir(t), "x"), busy.Addr().String()
	refusal{"up", []string{"up", "--dir", dir, "--port", strconv.Itoa(busy.Addr().(*net.TCPAddr).Port)}, 1, []string{addr, "--port N"}}.check(t, nil)
	if _, err := os.Stat(dir); err == nil {
		t.Errorf("%s was made", dir)
	}
}

// TestRoleConfigurations gives roles configurations that are wrong.
func TestRoleConfigurations(t *testing.T) {
	file := func(name, text string) string {
		name = filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	misspelt := file("sk.toml", "dir = '/nowhere'\nid = 1\nlissten = '127.0.0.1:0'\n")
	used := t.TempDir()
	if err := os.WriteFile(filepath.Join(used, "precious"), []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	for _, r := range []refusal{
		{"a misspelt key", []string{"run", "safekeeper", "--config", misspelt}, 2, []string{misspelt, "line 3", "lissten", "did you mean listen?"}},
		{"a misspelt setting", []string{"run", "pageserver", "-c", "remote_storage={locl_path='/x'}"}, 2, []string{"locl_path", "did you mean remote_storage.local_path?"}},
		{"no TOML", []string{"run", "compute", "--config", file("c.toml", "name main\n")}, 2, []string{"c.toml", "line 1"}},
		{"no file", []string{"run", "compute", "--config", "/no/such/file"}, 2, []string{"/no/such/file"}},
		{"nothing", []string{"run", "safekeeper"}, 2, []string{"--config FILE"}},
		{"no directory", []string{"run", "safekeeper", "-c", "id=1", "-c", "listen=127.0.0.1:0"}, 1, []string{"dir"}},
		{"no id", []string{"run", "safekeeper", "-c", "dir=" + t.TempDir(), "-c", "listen=127.0.0.1:0"}, 1, []string{"id must be"}},
		{"an empty compute", []string{"run", "compute", "-c", "name=x", "-c", "dir=" + t.TempDir()}, 1, []string{"branch", "safekeepers", "pageserver"}},
		{"a port that is taken", []string{"run", "safekeeper", "-c", "id=1", "-c", "dir=" + t.TempDir(), "-c", fmt.Sprintf("listen=%q", busy.Addr())}, 1, []string{"listen on " + busy.Addr().String()}},
		{"an object store that is not supported", []string{"run", "pageserver", "-c", "id=1", "-c", "dir=" + t.TempDir(), "-c", "remote_storage={container_name='c'}"}, 1, []string{"not supported yet"}},
		{"two object stores", []string{"run", "pageserver", "-c", "id=1", "-c", "dir=" + t.TempDir(), "-c", "remote_storage={local_path='/a', bucket_name='b'}"}, 1, []string{"one of them"}},
		{"no object store", []string{"run", "pageserver", "-c", "id=1", "-c", "dir=" + t.TempDir(), "-c", "listen=127.0.0.1:0"}, 1, []string{"remote_storage.local_path"}},
	} {
		r.check(t, nil)
	}
}
