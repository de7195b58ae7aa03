// Package pgbin finds installed PostgreSQL, of any major version: where the
// programs of a server are, and the clients that speak to it.
//
// Start at [Find].
package pgbin

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// An Install is the programs of one version of PostgreSQL.
type Install struct {
	Dir     string // of postgres, initdb, ...
	Version string // as in "15.18"
	Major   int
}

// Cache is where scripts/setup.sh unpacks servers, each in a directory named
// by its major version: $XENON_PG_DIR, else in the cache of the machine for
// root, and in their own for others.
func Cache() string {
	if dir := os.Getenv("XENON_PG_DIR"); dir != "" {
		return dir
	}
	if home, err := os.UserHomeDir(); err == nil && os.Geteuid() != 0 {
		return filepath.Join(home, ".cache", "xenon", "postgres")
	}
	return "/var/cache/xenon/postgres"
}

// Dirs are where a major version may be, the first to be looked at first: what
// the user names ($XENON_PG_BIN, $XENON_PG_DIR), Debian's place, the cache.
// The first one may be of another version.
func Dirs(major int) []string {
	var dirs []string
	if dir := os.Getenv("XENON_PG_BIN"); dir != "" {
		dirs = append(dirs, dir)
	}
	cached := filepath.Join(Cache(), strconv.Itoa(major), "bin")
	debian := fmt.Sprintf("/usr/lib/postgresql/%d/bin", major)
	if os.Getenv("XENON_PG_DIR") != "" {
		return append(dirs, cached, debian)
	}
	return append(dirs, debian, cached)
}

// A MissingError says which major version is nowhere.
type MissingError struct{ Major int }

func (e MissingError) Error() string {
	s := fmt.Sprintf("no PostgreSQL %d found", e.Major)
	if found := all(); len(found) > 0 {
		s += " (only " + strings.Join(found, ", ") + ")"
	}
	return s + fmt.Sprintf(": apt-get install postgresql-%d, or put its programs in %s", e.Major, filepath.Join(Cache(), strconv.Itoa(e.Major), "bin"))
}

// all are the programs named postgres in the usual places.
func all() []string {
	debian, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	cached, _ := filepath.Glob(filepath.Join(Cache(), "*", "bin", "postgres"))
	return append(debian, cached...)
}

// Find finds a major version. The error is a [MissingError] if it is nowhere.
func Find(major int) (Install, error) {
	for _, dir := range Dirs(major) {
		if i, err := Probe(dir); err == nil && i.Major == major {
			return i, nil
		}
	}
	return Install{}, MissingError{major}
}

var versionLine = regexp.MustCompile(`\(PostgreSQL\) (\d+)(\S*)`)

// Probe asks the postgres in a directory for its version.
func Probe(dir string) (Install, error) {
	name := filepath.Join(dir, "postgres")
	out, err := versionOf(name)
	if err != nil {
		return Install{}, fmt.Errorf("no PostgreSQL in %s: %w", dir, err)
	}
	m := versionLine.FindStringSubmatch(out)
	if m == nil {
		return Install{}, fmt.Errorf("%s --version says %q: not PostgreSQL", name, strings.TrimSpace(out))
	}
	major, err := strconv.Atoi(m[1])
	if err != nil {
		return Install{}, err
	}
	return Install{Dir: dir, Version: m[1] + m[2], Major: major}, nil
}

// Known is the install in a directory whose version the caller knows.
func Known(dir, version string) (Install, error) {
	digits := version
	if end := strings.IndexFunc(version, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
		digits = version[:end]
	}
	major, err := strconv.Atoi(digits)
	if err != nil {
		return Install{}, fmt.Errorf("version %q of PostgreSQL in %s: want one such as 15.18", version, dir)
	}
	return Install{Dir: dir, Version: version, Major: major}, nil
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

func versionOf(name string) (string, error) {
	at, err := os.Stat(name)
	if err != nil {
		return "", err
	}
	key := program{name, at.Size(), at.ModTime()}
	if said, ok := versions.Load(key); ok {
		return said.(string), nil
	}
	out, err := exec.Command(name, "--version").Output()
	if err == nil {
		versions.Store(key, string(out))
	}
	return string(out), err
}

// Path is the full name of a program. The error says how to get it.
func (i Install) Path(program string) (string, error) {
	name := filepath.Join(i.Dir, program)
	_, err := os.Stat(name)
	switch {
	case err == nil:
		return name, nil
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("no %s in %s: install the rest of PostgreSQL %d (apt-get install postgresql-%d postgresql-client-%d)", program, i.Dir, i.Major, i.Major, i.Major)
	}
	return "", err
}

// Client is Path for a program that only speaks to servers, like psql. Those
// of other versions do as well: it is that of the newest of Debian's packages,
// or what is in PATH, where the version came without. A server's own programs are
// never another version's.
func (i Install) Client(program string) (string, error) {
	name, err := i.Path(program)
	if err == nil || program == "postgres" || program == "initdb" || program == "pg_ctl" {
		return name, err
	}
	newest, other := 0, ""
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + program)
	for _, f := range found {
		if major, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(f)))); err == nil && major > newest {
			newest, other = major, f
		}
	}
	if other == "" {
		other, _ = exec.LookPath(program)
	}
	if other == "" {
		return "", err
	}
	return other, nil
}
