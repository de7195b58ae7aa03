// Package pgdist finds an installed PostgreSQL and runs its programs as the
// right user in a clean environment. PostgreSQL refuses to run as root, so
// root runs it as another user.
//
// Start at [Find] and [RunAs].
package pgdist

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Major is the version of PostgreSQL that this xenon supports.
const Major = 15

// A Dist is a set of PostgreSQL's binaries.
type Dist struct {
	Bin     string // directory of postgres, initdb, ...
	Version string // as in "15.18"
	Major   int
}

// debian is where Debian's packages put a major version.
func debian(major int) string { return fmt.Sprintf("/usr/lib/postgresql/%d/bin", major) }

// Find finds the binaries: in dir if it is given, else in $XENON_PG_BIN, else
// where Debian puts them, else beside the postgres in PATH.
func Find(dir string) (Dist, error) {
	if dir == "" {
		dir = os.Getenv("XENON_PG_BIN")
	}
	if dir != "" {
		return probe(dir)
	}
	if d, err := probe(debian(Major)); err == nil {
		return d, nil
	}
	if name, err := exec.LookPath("postgres"); err == nil {
		if real, err := filepath.EvalSymlinks(name); err == nil {
			return probe(filepath.Dir(real))
		}
	}
	return Dist{}, fmt.Errorf("no PostgreSQL %d found%s: apt-get install postgresql-%d, or name its binaries with --pg-bin DIR", Major, others(), Major)
}

func others() string {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(found) == 0 {
		return ""
	}
	return " (only " + strings.Join(found, ", ") + ")"
}

var versionLine = regexp.MustCompile(`\(PostgreSQL\) (\d+)(\S*)`)

func probe(dir string) (Dist, error) {
	name := filepath.Join(dir, "postgres")
	out, err := versionOf(name)
	if err != nil {
		return Dist{}, fmt.Errorf("no PostgreSQL in %s: %w", dir, err)
	}
	m := versionLine.FindSubmatch(out)
	if m == nil {
		return Dist{}, fmt.Errorf("%s --version says %q: not PostgreSQL", name, strings.TrimSpace(string(out)))
	}
	major, err := strconv.Atoi(string(m[1]))
	if err != nil {
		return Dist{}, err
	}
	d := Dist{Bin: dir, Version: string(m[1]) + string(m[2]), Major: major}
	if major != Major {
		return Dist{}, fmt.Errorf("%s is PostgreSQL %s: this xenon runs PostgreSQL %d (apt-get install postgresql-%d)", dir, d.Version, Major, Major)
	}
	return d, nil
}

// versions keeps what programs said of their version: to ask costs a server's
// start some 20 ms.
var versions sync.Map // from program to string

// A program is a file that was not replaced meanwhile.
type program struct {
	name     string
	size     int64
	modified time.Time
}

func versionOf(name string) ([]byte, error) {
	at, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	key := program{name, at.Size(), at.ModTime()}
	if said, ok := versions.Load(key); ok {
		return []byte(said.(string)), nil
	}
	out, err := exec.Command(name, "--version").Output()
	if err == nil {
		versions.Store(key, string(out))
	}
	return out, err
}

// Path is the full name of a program, or an error that says how to get it.
func (d Dist) Path(program string) (string, error) {
	name := filepath.Join(d.Bin, program)
	if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("no %s in %s: install the rest of PostgreSQL %d (apt-get install postgresql-%d postgresql-client-%d)", program, d.Bin, d.Major, d.Major, d.Major)
	} else if err != nil {
		return "", err
	}
	return name, nil
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
	cmd, err := d.Command(ctx, u, "initdb", "-D", dir, "-U", "postgres", "-E", "UTF8", "--locale="+locale, "-A", "trust", "--no-instructions")
	if err != nil {
		return err
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb in %s: %w:\n%s", dir, err, strings.TrimSpace(string(out)))
	}
	return nil
}
