// Package stock is plain PostgreSQL for tests: a throwaway cluster that is
// made, changed and recovered without a port, a socket or a process that
// stays, by PostgreSQL's single-user mode.
//
// Start at [New].
package stock

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"xenon/cmd/xenon/internal/pgdist"
	"xenon/internal/pgtest"
)

// Find finds the PostgreSQL of new installations, or skips the test, or fails it
// under XENON_NO_SKIP.
func Find(t testing.TB) pgdist.Dist {
	t.Helper()
	return found(t, pgdist.Find)
}

// FindMajor is Find for a major version.
func FindMajor(t testing.TB, major int) pgdist.Dist {
	t.Helper()
	return found(t, func(string) (pgdist.Dist, error) { return pgdist.ForMajor(major) })
}

func found(t testing.TB, find func(string) (pgdist.Dist, error)) pgdist.Dist {
	t.Helper()
	d, err := find("")
	if err != nil {
		pgtest.Skip(t, "PostgreSQL", err)
	}
	return d
}

// A Cluster is a data directory that no server runs on.
type Cluster struct {
	Dir string

	t    testing.TB
	dist pgdist.Dist
	user pgdist.User
}

// New makes a cluster with initdb and further arguments of it. It is removed
// with the test.
func New(t testing.TB, args ...string) *Cluster {
	t.Helper()
	return Of(t, Find(t), args...)
}

// Of is New for binaries of any version.
func Of(t testing.TB, d pgdist.Dist, args ...string) *Cluster {
	t.Helper()
	c := open(t, d, "")
	args = append([]string{"-D", c.Dir, "-U", "postgres", "-E", "UTF8", "--locale=C", "-A", "trust", "-N"}, args...)
	if out, err := c.run("", "initdb", args...); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	return c
}

// Open makes a cluster of a copy of a data directory that was shut down. From
// "" it makes an empty directory.
func Open(t testing.TB, from string) *Cluster {
	t.Helper()
	return open(t, Find(t), from)
}

func open(t testing.TB, d pgdist.Dist, from string) *Cluster {
	t.Helper()
	c := &Cluster{t: t, dist: d}
	var err error
	if c.user, err = pgdist.RunAs("postgres"); err != nil {
		t.Fatal(err)
	}
	// Not below t.TempDir, which the server's user could not enter.
	parent, err := os.MkdirTemp("/var/tmp", "xenon-stock-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(parent) })
	c.Dir = filepath.Join(parent, "data")
	if err := os.Chmod(parent, 0o711); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(c.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if from != "" {
		if err := os.CopyFS(c.Dir, os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	c.Own()
	return c
}

// Own gives all files to the server's user, also those a test has written.
func (c *Cluster) Own() {
	c.t.Helper()
	if !c.user.Switch {
		return
	}
	err := filepath.WalkDir(c.Dir, func(name string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(name, int(c.user.UID), int(c.user.GID))
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

// Mkdir makes a directory beside the cluster's that its server can write, and
// returns its path.
func (c *Cluster) Mkdir(name string) string {
	c.t.Helper()
	dir := filepath.Join(filepath.Dir(c.Dir), name)
	err := os.Mkdir(dir, 0o700)
	if err == nil && c.user.Switch {
		err = os.Chown(dir, int(c.user.UID), int(c.user.GID))
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return dir
}

// Append adds text to a file of the cluster.
func (c *Cluster) Append(name, text string) {
	c.t.Helper()
	f, err := os.OpenFile(filepath.Join(c.Dir, name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteString(text)
		f.Close()
	}
	if err != nil {
		c.t.Fatal(err)
	}
	c.Own()
}

// Single runs statements, one a line, in a server of the one session, which
// recovers the cluster first if it has to, and shuts it down cleanly. It
// returns what the server printed.
func (c *Cluster) Single(db string, statements ...string) string {
	c.t.Helper()
	out, err := c.run(strings.Join(statements, "\n")+"\n", "postgres", "--single", "-D", c.Dir,
		"-c", "exit_on_error=on", "-c", "fsync=off", "-c", "autovacuum=off", "-c", "log_min_messages=warning", "-c", "lc_messages=C", db)
	if err != nil {
		c.t.Fatalf("single-user PostgreSQL: %v\n%s", err, out)
	}
	return out
}

// Run runs a program of PostgreSQL as the server's user.
func (c *Cluster) Run(program string, args ...string) string {
	c.t.Helper()
	out, err := c.run("", program, args...)
	if err != nil {
		c.t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return out
}

func (c *Cluster) run(stdin, program string, args ...string) (string, error) {
	cmd, err := c.dist.Command(context.Background(), c.user, program, args...)
	if err != nil {
		return "", err
	}
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
