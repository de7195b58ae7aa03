package realio

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"xenon/core/env"
)

// TestFailedSyncPoisons: after a failed sync no handle of the file syncs, and
// a file opened anew after all were closed does.
func TestFailedSyncPoisons(t *testing.T) {
	e := New(Options{Root: t.TempDir()})
	defer e.Close()
	open := func() *file {
		f, err := e.fs.Open("a", env.Write|env.Create)
		if err != nil {
			t.Fatal(err)
		}
		return f.(*file)
	}
	a, b := open(), open()
	a.sync = func(int, env.SyncMode) error { return syscall.EIO }
	if err := a.Sync(env.SyncData); !errors.Is(err, env.ErrIO) {
		t.Errorf("failing sync: %v", err)
	}
	a.sync = syncFD
	for _, f := range []*file{a, b} {
		if err := f.Sync(env.SyncFull); !errors.Is(err, env.ErrIO) {
			t.Errorf("sync after a failed one: %v, want ErrIO", err)
		}
	}
	a.Close()
	b.Close()
	c := open()
	defer c.Close()
	if err := c.Sync(env.SyncData); err != nil {
		t.Errorf("sync of the file opened anew: %v", err)
	}
}

// TestSymlinksStayInside: a symbolic link does not lead out of the root.
func TestSymlinksStayInside(t *testing.T) {
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	if err := os.Mkdir(root, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../secret", filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	e := New(Options{Root: root})
	defer e.Close()
	if f, err := e.FS().Open("link", 0); err == nil {
		f.Close()
		t.Error("a link out of the root was followed")
	}
}

// TestMissingRoot: every call says what is wrong.
func TestMissingRoot(t *testing.T) {
	for _, root := range []string{"", filepath.Join(t.TempDir(), "none")} {
		e := New(Options{Root: root})
		if _, err := e.FS().Open("a", env.Write|env.Create); err == nil {
			t.Errorf("root %q: a file was made nowhere", root)
		}
		if _, err := e.FS().Free(); err == nil {
			t.Errorf("root %q: there is free space nowhere", root)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestFullDisk fills a file system of 1 MiB.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m,mode=0700"); err != nil {
		if os.Getenv("XENON_NO_SKIP") != "" {
			t.Fatalf("needs the right to mount a tmpfs: %v", err)
		}
		t.Skipf("skipped: needs the right to mount a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	e := New(Options{Root: dir})
	defer e.Close()
	f, err := e.FS().Open("a", env.Write|env.Create)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if n, err := f.WriteAt(make([]byte, 2<<20), 0); !errors.Is(err, env.ErrNoSpace) || n >= 2<<20 {
		t.Errorf("write of 2 MiB: %d, %v", n, err)
	}
	if free, err := e.FS().Free(); err != nil || free != 0 {
		t.Errorf("free: %d, %v", free, err)
	}
	if err := f.Allocate(0, 4<<20); !errors.Is(err, env.ErrNoSpace) {
		t.Errorf("allocate: %v", err)
	}
	if err := f.Truncate(0); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("fits"), 0); err != nil {
		t.Error(err)
	}
}
