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
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
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

// A Postgres is the installed PostgreSQL and the user it runs as: the caller,
// or postgres if that is root, whom it refuses.
type Postgres struct {
	t        testing.TB
	bin      string
	UID, GID uint32
}

// Need finds PostgreSQL 15, in XENON_PG_BIN or where Debian has it, or skips
// the test.
func Need(t testing.TB) Postgres {
	t.Helper()
	p := Postgres{t: t, bin: os.Getenv("XENON_PG_BIN"), UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
	if p.bin == "" {
		p.bin = "/usr/lib/postgresql/15/bin"
	}
	if _, err := os.Stat(filepath.Join(p.bin, "initdb")); err != nil {
		Skip(t, "PostgreSQL 15 (install postgresql-15 or set XENON_PG_BIN)", err)
	}
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
	if path := filepath.Join(p.bin, name); exists(path) {
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

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
