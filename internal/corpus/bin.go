package corpus

import (
	"fmt"
	"os"
	"path/filepath"
)

// Majors are the versions of PostgreSQL that corpora are made of.
var Majors = []int{14, 15, 16, 17, 18}

// debianBin is where Debian's PostgreSQL 15 is, and the clients for all majors.
const debianBin = "/usr/lib/postgresql/15/bin"

// Bin is the directory of the server's programs of a major: of 15
// $XENON_PG_BIN, else Debian's if it is there, else, as of all others, where
// scripts/setup.sh unpacks servers ($XENON_PG_DIR).
func Bin(major int) string {
	if major == 15 {
		if dir := os.Getenv("XENON_PG_BIN"); dir != "" {
			return dir
		}
		if _, err := os.Stat(debianBin); err == nil {
			return debianBin
		}
	}
	return filepath.Join(serversDir(), fmt.Sprint(major), "bin")
}

func serversDir() string {
	if dir := os.Getenv("XENON_PG_DIR"); dir != "" {
		return dir
	}
	if home, err := os.UserHomeDir(); err == nil && os.Getuid() != 0 {
		return filepath.Join(home, ".cache", "xenon", "postgres")
	}
	return "/var/cache/xenon/postgres"
}

// program is the path of one of PostgreSQL's programs: the server's own, else
// that of PostgreSQL 15, whose clients speak to every major.
func program(bin, name string) string {
	for _, dir := range []string{bin, Bin(15)} {
		if path := filepath.Join(dir, name); exists(path) {
			return path
		}
	}
	return filepath.Join(debianBin, name)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Available is nil where a server of the major can be started, else it says
// what to do.
func Available(major int) error {
	for _, name := range []string{"initdb", "postgres", "pg_ctl"} {
		if _, err := os.Stat(filepath.Join(Bin(major), name)); err != nil {
			return fmt.Errorf("needs PostgreSQL %d: run scripts/setup.sh or set XENON_PG_DIR: %w", major, err)
		}
	}
	for _, name := range []string{"psql", "pgbench"} {
		if _, err := os.Stat(program(Bin(major), name)); err != nil {
			return fmt.Errorf("needs the clients of PostgreSQL 15: install postgresql-15 or set XENON_PG_BIN: %w", err)
		}
	}
	return nil
}
