package pgdist_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"xenon/cmd/xenon/internal/pgdist"
)

// fake makes a directory whose postgres says version.
func fake(t *testing.T, version string) string {
	t.Helper()
	dir := t.TempDir()
	script := "#!/bin/sh\necho '" + version + "'\n"
	if err := os.WriteFile(filepath.Join(dir, "postgres"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestFindByDirectory(t *testing.T) {
	tests := []struct{ says, want, err string }{
		{"postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", "15.18", ""},
		{"postgres (PostgreSQL) 15devel", "15devel", ""},
		{"postgres (PostgreSQL) 14.23", "14.23", ""},
		{"postgres (PostgreSQL) 18.4", "18.4", ""},
		{"postgres (PostgreSQL) 13.9", "", "this xenon runs PostgreSQL 14 to 18"},
		{"postgres (PostgreSQL) 19beta1", "", "this xenon runs PostgreSQL 14 to 18"},
		{"mysqld 8", "", "not PostgreSQL"},
	}
	for _, test := range tests {
		t.Run(test.says, func(t *testing.T) {
			d, err := pgdist.Find(fake(t, test.says))
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Fatalf("got %v, want an error with %q", err, test.err)
				}
				return
			}
			if err != nil || d.Version != test.want {
				t.Fatalf("got %q, %v; want %q", d.Version, err, test.want)
			}
			if _, err := d.Path("psql"); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("postgresql-client-%d", d.Major)) {
				t.Errorf("missing psql: %v, want a hint at the package", err)
			}
		})
	}
	if _, err := pgdist.Find(t.TempDir()); err == nil {
		t.Error("an empty directory was accepted")
	}
}

func TestRunAsNeverRoot(t *testing.T) {
	if os.Getuid() != 0 {
		u, err := pgdist.RunAs("ignored")
		if err != nil || u.Switch {
			t.Fatalf("as ourselves: %+v, %v", u, err)
		}
		return
	}
	for _, name := range []string{"root", "nobody-of-this-name"} {
		if _, err := pgdist.RunAs(name); err == nil || !strings.Contains(err.Error(), "--user") {
			t.Errorf("RunAs(%q): %v, want an error that names --user", name, err)
		}
	}
}
