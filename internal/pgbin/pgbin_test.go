package pgbin_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"xenon/internal/pgbin"
)

// fake makes dir/postgres, which says version.
func fake(t *testing.T, dir, version string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "postgres"), []byte("#!/bin/sh\necho '"+version+"'\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestProbe(t *testing.T) {
	for _, tt := range []struct {
		says, version string
		major         int
		err           string
	}{
		{"postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", "15.18", 15, ""},
		{"postgres (PostgreSQL) 18devel", "18devel", 18, ""},
		{"mysqld 8", "", 0, "not PostgreSQL"},
	} {
		i, err := pgbin.Probe(fake(t, t.TempDir(), tt.says))
		if i.Version != tt.version || i.Major != tt.major || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %+v, %v", tt.says, i, err)
		}
	}
	if _, err := pgbin.Probe(t.TempDir()); err == nil {
		t.Error("an empty directory was accepted")
	}
}

func TestFindLooksWhereTheUserSays(t *testing.T) {
	root := t.TempDir()
	t.Setenv("XENON_PG_DIR", root)
	t.Setenv("XENON_PG_BIN", fake(t, filepath.Join(root, "mine"), "postgres (PostgreSQL) 90.1"))
	fake(t, filepath.Join(root, "91", "bin"), "postgres (PostgreSQL) 91.2")
	for major, want := range map[int]string{90: "90.1", 91: "91.2"} {
		if i, err := pgbin.Find(major); err != nil || i.Version != want {
			t.Errorf("%d: %+v, %v, want %s", major, i, err, want)
		}
	}
	_, err := pgbin.Find(92)
	var missing pgbin.MissingError
	if !errors.As(err, &missing) || missing.Major != 92 {
		t.Fatalf("92: %v, want it to be missing", err)
	}
	for _, want := range []string{"PostgreSQL 92", "postgresql-92", filepath.Join(root, "91", "bin", "postgres"), filepath.Join(root, "92", "bin")} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v: want it to say %s", err, want)
		}
	}
}

func TestPath(t *testing.T) {
	dir := fake(t, t.TempDir(), "postgres (PostgreSQL) 93.1")
	i, err := pgbin.Probe(dir)
	if err != nil {
		t.Fatal(err)
	}
	if name, err := i.Path("postgres"); err != nil || name != filepath.Join(dir, "postgres") {
		t.Errorf("%s, %v", name, err)
	}
	if _, err := i.Path("initdb"); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("postgresql-%d", i.Major)) {
		t.Errorf("a program of the server: %v, want a hint at the package", err)
	}
	sh, err := i.Client("sh")
	if err != nil || filepath.Base(sh) != "sh" {
		t.Errorf("a client that is in PATH: %s, %v", sh, err)
	}
	if name, err := i.Client("initdb"); err == nil {
		t.Errorf("a program of the server: that of another version, %s", name)
	}
	if _, err := i.Client("no-such-client"); err == nil || !strings.Contains(err.Error(), "postgresql-client-93") {
		t.Errorf("a client that is nowhere: %v", err)
	}
}
