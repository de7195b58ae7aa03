package realio_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"xenon/core/env"
	"xenon/realio"
)

func openDir(t *testing.T, dir string) *realio.ObjectDir {
	t.Helper()
	s, err := realio.DirStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// Environment of a process that TestBetweenProcesses starts.
const (
	childDir  = "XENON_TEST_CHILD_DIR"
	childName = "XENON_TEST_CHILD_NAME"
)

// rounds of the race between processes.
const rounds = 20

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := raceAsChild(dir, os.Getenv(childName)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// raceAsChild tries to create each of a row of keys, counts its victories
// under its own name, and adds to a counter that all processes share.
func raceAsChild(dir, name string) error {
	s, err := realio.DirStore(dir)
	if err != nil {
		return err
	}
	defer s.Close()
	ctx := context.Background()
	for i := range rounds {
		_, err := s.Put(ctx, fmt.Sprintf("won/%d", i), env.Bytes([]byte(name)), env.PutOpts{IfNoneMatch: true})
		if err == nil {
			fmt.Printf("won %d\n", i)
		} else if !errors.Is(err, env.ErrPrecondition) {
			return err
		}
		for {
			text, m, err := env.ReadObject(ctx, s, "count")
			if err != nil {
				return err
			}
			_, err = s.Put(ctx, "count", env.Bytes(append(text, name...)), env.PutOpts{IfMatch: m.ETag})
			if err == nil {
				break
			}
			if !errors.Is(err, env.ErrPrecondition) {
				return err
			}
		}
	}
	return nil
}

// TestBetweenProcesses: conditions hold between processes, not only between
// the goroutines of one.
func TestBetweenProcesses(t *testing.T) {
	const processes = 4
	dir := t.TempDir()
	s := openDir(t, dir)
	ctx := context.Background()
	if _, err := s.Put(ctx, "count", env.Bytes(nil), env.PutOpts{}); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var running []*exec.Cmd
	var outs []*bytes.Buffer
	for n := range processes {
		c := exec.Command(self)
		c.Env = append(os.Environ(), childDir+"="+dir, fmt.Sprintf("%s=%c", childName, 'a'+n))
		out := new(bytes.Buffer)
		c.Stdout, c.Stderr = out, os.Stderr
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		running, outs = append(running, c), append(outs, out)
	}
	winners := make(map[string]string) // by what was won
	for n, c := range running {
		if err := c.Wait(); err != nil {
			t.Fatalf("process %c: %v", 'a'+n, err)
		}
		for line := range strings.Lines(outs[n].String()) {
			won := strings.TrimSpace(line)
			if other, twice := winners[won]; twice {
				t.Errorf("processes %s and %c both %s", other, 'a'+n, won)
			}
			winners[won] = fmt.Sprintf("%c", 'a'+n)
		}
	}
	for i := range rounds {
		text, _, err := env.ReadObject(ctx, s, fmt.Sprintf("won/%d", i))
		if winner := winners[fmt.Sprintf("won %d", i)]; err != nil || winner != string(text) {
			t.Errorf("round %d was won by %q and holds %q, %v", i, winner, text, err)
		}
	}
	text, _, err := env.ReadObject(ctx, s, "count")
	if err != nil {
		t.Fatal(err)
	}
	for n := range processes {
		if got := strings.Count(string(text), string(rune('a'+n))); got != rounds {
			t.Errorf("%d of the %d changes of process %c are in", got, rounds, 'a'+n)
		}
	}
}

// objectFiles lists the files of all objects.
func objectFiles(t *testing.T, dir string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(dir, "objects"), func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestDamagedObject flips each byte of an object's file, cuts the file at each
// length, and lengthens it: every read is right or says ErrCorrupt.
func TestDamagedObject(t *testing.T) {
	dir := t.TempDir()
	s := openDir(t, dir)
	ctx := context.Background()
	const key = "dir/object"
	content := bytes.Repeat([]byte("content "), 5000) // two blocks
	if _, err := s.Put(ctx, key, env.Bytes(content), env.PutOpts{}); err != nil {
		t.Fatal(err)
	}
	file := objectFiles(t, dir)[0]
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, damaged []byte) {
		t.Helper()
		if err := os.WriteFile(file, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, err := env.ReadObject(ctx, s, key)
		// A changed format version is no damage as far as a reader can tell,
		// but its checksum is wrong.
		if !errors.Is(err, env.ErrCorrupt) {
			t.Errorf("%s: got error %v, want ErrCorrupt", what, err)
		}
		if err != nil && !strings.Contains(err.Error(), key) {
			t.Errorf("%s: the error %q does not name the object", what, err)
		}
	}
	step := 1
	for at := 0; at < len(whole); at += step {
		damaged := bytes.Clone(whole)
		damaged[at] ^= 0x10
		check(fmt.Sprintf("byte %d flipped", at), damaged)
		check(fmt.Sprintf("cut at %d", at), whole[:at])
		if at > 100 {
			step = 509
		}
	}
	check("lengthened", append(bytes.Clone(whole), 0))

	// It is listed, refuses to be created anew, and can be replaced and deleted.
	page, err := s.List(ctx, env.ListOpts{})
	if err != nil || len(page.Objects) != 1 || page.Objects[0].ETag != "" {
		t.Errorf("list of a damaged object: %v, %v", page.Objects, err)
	}
	if _, err := s.Put(ctx, key, env.Bytes(nil), env.PutOpts{IfNoneMatch: true}); !errors.Is(err, env.ErrPrecondition) {
		t.Errorf("create over a damaged object: %v", err)
	}
	if _, err := s.Put(ctx, key, env.Bytes(nil), env.PutOpts{IfMatch: "1"}); !errors.Is(err, env.ErrCorrupt) {
		t.Errorf("change of a damaged object: %v", err)
	}
	if _, err := s.Put(ctx, key, env.Bytes(content), env.PutOpts{}); err != nil {
		t.Error(err)
	}
	if got, _, err := env.ReadObject(ctx, s, key); err != nil || !bytes.Equal(got, content) {
		t.Errorf("after replacing: %d bytes, %v", len(got), err)
	}
}

// TestMisplacedObject: an object's file under another key's name is no object
// of that key.
func TestMisplacedObject(t *testing.T) {
	dir := t.TempDir()
	s := openDir(t, dir)
	ctx := context.Background()
	if _, err := s.Put(ctx, "a", env.Bytes([]byte("text")), env.PutOpts{}); err != nil {
		t.Fatal(err)
	}
	file := objectFiles(t, dir)[0]
	if err := os.Rename(file, filepath.Join(filepath.Dir(file), "b.obj")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := env.ReadObject(ctx, s, "b"); !errors.Is(err, env.ErrCorrupt) {
		t.Errorf("got %v, want ErrCorrupt", err)
	}
	// Files that no key maps to are somebody else's.
	for _, name := range []string{"README", "%zz.obj", "%2e.obj", ".obj.swp"} {
		if err := os.WriteFile(filepath.Join(dir, "objects", name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	page, err := s.List(ctx, env.ListOpts{})
	if err != nil || len(page.Objects) != 1 || page.Objects[0].Key != "b" {
		t.Errorf("list: %v, %v", page.Objects, err)
	}
}

// TestRemovedDirectories: an operator who removes directories of the store
// loses objects, and does not keep new ones out.
func TestRemovedDirectories(t *testing.T) {
	dir := t.TempDir()
	s := openDir(t, dir)
	ctx := context.Background()
	put := func() error {
		_, err := s.Put(ctx, "x/y/z", env.Bytes([]byte("text")), env.PutOpts{})
		return err
	}
	if err := put(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "objects", "x")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := env.ReadObject(ctx, s, "x/y/z"); !errors.Is(err, env.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
	if err := put(); err != nil {
		t.Fatal(err)
	}
}
