// Package pgdist finds an installed PostgreSQL that xenon runs, and runs its
// programs as the right user in a clean environment. PostgreSQL refuses to run
// as root, so root runs it as another user.
//
// Start at [Find], [ForMajor] and [RunAs].
package pgdist

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"xenon/core/wal"
	"xenon/internal/pgbin"
)

// DefaultMajor is the version of a new installation whose maker names none.
const DefaultMajor = 15

// A Dist is a set of PostgreSQL's binaries, of a version that xenon runs.
type Dist struct{ pgbin.Install }

// Known is the binaries in dir, of which the caller knows the version, as
// "15.18". They are not asked: that costs a server's start some 20 ms.
func Known(dir, version string) (Dist, error) {
	i, err := pgbin.Known(dir, version)
	return Dist{i}, err
}

// Find finds the binaries for something new: in dir if it is given, of
// whatever version they are, else in $XENON_PG_BIN, else those of
// [DefaultMajor] where they usually are, else those beside the postgres in
// PATH, else of the newest version there is.
func Find(dir string) (Dist, error) {
	if dir == "" {
		dir = os.Getenv("XENON_PG_BIN")
	}
	if dir != "" {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return Dist{}, err
		}
		return probe(abs)
	}
	i, missing := pgbin.Find(DefaultMajor)
	if missing == nil {
		return Dist{i}, nil
	}
	if name, err := exec.LookPath("postgres"); err == nil {
		if real, err := filepath.EvalSymlinks(name); err == nil {
			return probe(filepath.Dir(real))
		}
	}
	for at := len(wal.Versions) - 1; at >= 0; at-- {
		if i, err := pgbin.Find(wal.Versions[at].Major); err == nil {
			return Dist{i}, nil
		}
	}
	return Dist{}, fmt.Errorf("%w, or name the binaries of PostgreSQL %s with --pg-bin DIR", missing, wal.Supported())
}

// ForMajor finds the binaries of a major version, for data that is of it: in
// the first of dirs that has them, else where they usually are. Empty names
// are passed over.
func ForMajor(major int, dirs ...string) (Dist, error) {
	for _, dir := range dirs {
		if dir == "" {
			continue
		}
		if i, err := pgbin.Probe(dir); err == nil && i.Major == major {
			return Dist{i}, nil
		}
	}
	i, err := pgbin.Find(major)
	if err != nil {
		return Dist{}, fmt.Errorf("%w, or name its binaries with --pg-bin DIR", err)
	}
	return Dist{i}, nil
}

func probe(dir string) (Dist, error) {
	i, err := pgbin.Probe(dir)
	if err != nil {
		return Dist{}, err
	}
	if _, err := wal.VersionByMajor(i.Major); err != nil {
		return Dist{}, fmt.Errorf("%s is PostgreSQL %s: this xenon runs PostgreSQL %s (apt-get install postgresql-%d)", dir, i.Version, wal.Supported(), DefaultMajor)
	}
	return Dist{i}, nil
}

// A User is who runs PostgreSQL.
type User struct {
	Name     string
	UID, GID uint32
	Switch   bool // we are root: processes change to the user
}

// RunAs is the user that PostgreSQL runs as: the caller, or name if the
// caller is root.
func RunAs(name string) (User, error) {
	if os.Getuid() != 0 {
		u, err := user.Current()
		if err != nil {
			return User{}, fmt.Errorf("PostgreSQL needs a user with an entry in /etc/passwd, uid %d has none: %w", os.Getuid(), err)
		}
		return User{Name: u.Username, UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return User{}, fmt.Errorf("PostgreSQL does not run as root, and there is no user %q: name another with --user NAME, or make it with useradd --system %s", name, name)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return User{}, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return User{}, err
	}
	if uid == 0 {
		return User{}, fmt.Errorf("PostgreSQL does not run as root: name another user than %q with --user NAME", name)
	}
	return User{Name: u.Username, UID: uint32(uid), GID: uint32(gid), Switch: true}, nil
}

// Environ is the environment of PostgreSQL's programs: clean, so that no
// PG* or LC_* of the caller changes what a cluster becomes.
func Environ(u User) []string {
	return []string{
		"PATH=/usr/local/bin:/usr/bin:/bin",
		"HOME=/", "USER=" + u.Name, "LOGNAME=" + u.Name,
		"LC_ALL=C.UTF-8", "TZ=UTC",
	}
}

// Command prepares a program to run as u in a clean environment.
func (d Dist) Command(ctx context.Context, u User, program string, args ...string) (*exec.Cmd, error) {
	name, err := d.Path(program)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = Environ(u)
	cmd.Dir = "/"
	if u.Switch {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: u.UID, Gid: u.GID, Groups: []uint32{}}}
	}
	return cmd, nil
}

// InitDB makes a cluster in dir, which must not exist; its parent must be
// writable for us. On an error nothing is left.
func (d Dist) InitDB(ctx context.Context, u User, dir, locale string) (err error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("make a directory for initdb: %w", err)
	}
	defer func() {
		if err != nil {
			os.RemoveAll(dir)
		}
	}()
	if u.Switch {
		if err := os.Chown(dir, int(u.UID), int(u.GID)); err != nil {
			return err
		}
	}
	args := []string{"-D", dir, "-U", "postgres", "-E", "UTF8", "--locale=" + locale, "-A", "trust", "--no-instructions"}
	if d.Major >= 18 {
		// They are on by default, and make a server log hint bits. Every stored
		// block has a checksum of its own here.
		args = append(args, "--no-data-checksums")
	}
	cmd, err := d.Command(ctx, u, "initdb", args...)
	if err != nil {
		return err
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb in %s: %w:\n%s", dir, err, strings.TrimSpace(string(out)))
	}
	return nil
}
