package home_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"xenon/cmd/xenon/internal/home"
)

func TestOpenMakesAndRemembers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	if got := home.Major(dir); got != 0 {
		t.Errorf("a directory that is not there is of PostgreSQL %d", got)
	}
	h, err := home.Open(dir, 17)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := home.Open(dir, 17); !errors.As(err, new(home.InUseError)) {
		t.Fatalf("second open: %v, want an InUseError", err)
	}
	if got := home.Holder(dir); got != os.Getpid() {
		t.Errorf("holder is %d, want %d", got, os.Getpid())
	}
	h.Close()
	if got := home.Holder(dir); got != 0 {
		t.Errorf("holder after close is %d", got)
	}
	if got := home.Major(dir); got != 17 {
		t.Errorf("it is of PostgreSQL %d, want 17", got)
	}
	h, err = home.Open(dir, 17)
	if err != nil {
		t.Fatalf("open again: %v", err)
	}
	h.Close()
}

func TestOpenRefuses(t *testing.T) {
	write := func(name, text string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	tests := []struct {
		name    string
		prepare func(t *testing.T, dir string)
		want    string
	}{
		{"a foreign directory", write("letter.txt", "dear"), "holds letter.txt"},
		{"another format", write("xenon.toml", "format = 7\npostgres = 15\n"), "format 7"},
		{"another major", write("xenon.toml", "format = 0\npostgres = 17\n"), "made with PostgreSQL 17"},
		{"a mark that is no TOML", write("xenon.toml", "format ="), "xenon.toml"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			test.prepare(t, dir)
			_, err := home.Open(dir, 15)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, want an error with %q", err, test.want)
			}
			if names, _ := os.ReadDir(dir); len(names) != 1 {
				t.Errorf("refusing wrote something: %v", names)
			}
		})
	}
}

func TestFind(t *testing.T) {
	root := t.TempDir()
	t.Setenv("HOME", filepath.Join(root, "user"))
	t.Setenv("XENON_DIR", "")
	below := filepath.Join(root, "project", "src")
	if err := os.MkdirAll(below, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir(below)
	check := func(flag, want string) {
		t.Helper()
		if got, err := home.Find(flag); err != nil || got != want {
			t.Errorf("Find(%q) = %q, %v; want %q", flag, got, err, want)
		}
	}
	check("", filepath.Join(root, "user", ".xenon"))
	above := filepath.Join(root, "project", ".xenon")
	if err := os.Mkdir(above, 0o755); err != nil {
		t.Fatal(err)
	}
	check("", above)
	t.Setenv("XENON_DIR", filepath.Join(root, "env"))
	check("", filepath.Join(root, "env"))
	check(filepath.Join(root, "flag"), filepath.Join(root, "flag"))
}

// Asking who holds a directory is no reason for another to be refused it.
func TestHolderDisturbsNobody(t *testing.T) {
	dir := t.TempDir()
	asked := make(chan struct{})
	defer close(asked)
	go func() {
		for {
			select {
			case <-asked:
				return
			default:
				home.Holder(dir)
			}
		}
	}()
	for range 200 {
		h, err := home.Open(dir, 15)
		if err != nil {
			t.Fatal(err)
		}
		h.Close()
	}
}
