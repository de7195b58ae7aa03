// Package pgtest finds the PostgreSQL that tests compare with, and runs its
// programs as a user that they accept. Tests alone use it.
//
// Start at [Need].
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
	"testing"

	"xenon/internal/pgbin"
)

// Skip skips a test for want of something, or fails it where nothing may be
// skipped (XENON_NO_SKIP).
func Skip(t testing.TB, want string, err error) {
	t.Helper()
	text := "needs " + want
	if err != nil {
		text = fmt.Sprintf("%s: %v", text, err)
	}
	if os.Getenv("XENON_NO_SKIP") != "" {
		t.Fatal(text)
	}
	t.Skip("skipped: " + text)
}

// A Postgres is an installed PostgreSQL and the user it runs as: the caller,
// or postgres if that is root, whom it refuses.
type Postgres struct {
	Install  pgbin.Install
	UID, GID uint32

	t testing.TB
}

// Need finds PostgreSQL 15, or skips the test.
func Need(t testing.TB) Postgres {
	t.Helper()
	return NeedMajor(t, 15)
}

// NeedMajor finds a major version of PostgreSQL with the programs of a server,
// as [pgbin.Find] does, or skips the test. Clients may be of another version.
func NeedMajor(t testing.TB, major int) Postgres {
	t.Helper()
	i, err := pgbin.Find(major)
	for _, name := range []string{"postgres", "initdb", "pg_ctl"} {
		if err == nil {
			_, err = i.Path(name)
		}
	}
	if err != nil {
		Skip(t, fmt.Sprintf("PostgreSQL %d (scripts/setup.sh check installs it)", major), err)
	}
	p := Postgres{Install: i, UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()), t: t}
	if p.UID != 0 {
		return p
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		Skip(t, "the user postgres, since we are root", err)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	p.UID, p.GID = uint32(uid), uint32(gid)
	return p
}

// Dir makes a directory of the server's user that the test's end removes. Its
// path is short, for sockets, and everybody can reach it, unlike t.TempDir's.
func (p Postgres) Dir() string {
	p.t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "xenon-pg-")
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { os.RemoveAll(dir) })
	p.Own(dir)
	return dir
}

// Own gives files to the server's user.
func (p Postgres) Own(names ...string) {
	p.t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	for _, name := range names {
		if err := os.Chown(name, int(p.UID), int(p.GID)); err != nil {
			p.t.Fatal(err)
		}
	}
}

// Command is a program of PostgreSQL, or else of the system, as the server's
// user, in an environment without surprises. The end of ctx kills it.
func (p Postgres) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	if path, err := p.Install.Client(name); err == nil {
		name = path
	}
	c := exec.CommandContext(ctx, name, args...)
	c.Dir = "/"
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	c.SysProcAttr = &syscall.SysProcAttr{}
	if os.Geteuid() == 0 {
		c.SysProcAttr.Credential = &syscall.Credential{Uid: p.UID, Gid: p.GID}
	}
	return c
}
