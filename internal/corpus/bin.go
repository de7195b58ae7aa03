package corpus

import (
	"path/filepath"

	"xenon/internal/pgbin"
)

// Majors are the versions of PostgreSQL that corpora are made of.
var Majors = []int{14, 15, 16, 17, 18}

// bin is the directory of the server's programs of a major, "" if it is nowhere.
func bin(major int) string {
	i, err := pgbin.Find(major)
	if err != nil {
		return ""
	}
	return i.Dir
}

// program is the path of one of PostgreSQL's programs: the server's own, else
// that of another version, whose clients speak to every major.
func program(bin, name string) string {
	path, err := pgbin.Install{Dir: bin}.Client(name)
	if err != nil {
		return filepath.Join(bin, name) // whoever runs it is told
	}
	return path
}

// Available is nil where a server of the major can be started and used, else it
// says what to do.
func Available(major int) error {
	i, err := pgbin.Find(major)
	if err != nil {
		return err
	}
	for _, name := range []string{"initdb", "postgres", "pg_ctl"} {
		if _, err := i.Path(name); err != nil {
			return err
		}
	}
	for _, name := range []string{"psql", "pgbench"} {
		if _, err := i.Client(name); err != nil {
			return err
		}
	}
	return nil
}
