package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// smallDisk mounts a file system of so many MiB for a test.
func smallDisk(t *testing.T, mib string) string {
	t.Helper()
	dir := filepath.Join(workDir(t), "disk")
	if err := os.Mkdir(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("xenon-e2e", dir, "tmpfs", 0, "mode=0711,size="+mib+"m"); err != nil {
		if os.Getenv("XENON_NO_SKIP") != "" {
			t.Fatal(err)
		}
		t.Skipf("skipped: needs the right to mount a small file system: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// freeBytes is what is free on a file system.
func freeBytes(t *testing.T, dir string) int64 {
	t.Helper()
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		t.Fatal(err)
	}
	return int64(s.Bavail) * s.Bsize
}

// ballast takes all but so many bytes of a file system.
func ballast(t *testing.T, dir string, leave int64) (remove func()) {
	t.Helper()
	name := filepath.Join(dir, "ballast")
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Fallocate(int(f.Fd()), 0, 0, freeBytes(t, dir)-leave); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFullDisk fills the disk below the low-water mark: commits wait and the
// status says why; they end once there is room, and nothing is lost.
func TestFullDisk(t *testing.T) {
	disk := smallDisk(t, "600")
	in := &installation{t: t, dist: needs(t), dir: filepath.Join(disk, "x")}
	in.start()
	t.Cleanup(in.destroy)
	in.psql("main", "CREATE TABLE t (n int)", "INSERT INTO t VALUES (1)", "CREATE TABLE other AS SELECT 42 AS n")
	remove := ballast(t, disk, 2<<20)
	done := make(chan error, 1)
	eventually(t, "safekeepers that see the full disk", func() bool {
		return strings.Contains(strings.Join(in.status().Notes, "\n"), "limits.low_water_bytes")
	})
	go func() {
		_, err := in.xenon("psql", "main", "-c", "INSERT INTO t VALUES (2)")
		done <- err
	}()
	select {
	case err := <-done:
		t.Fatalf("a commit on a full disk ended: %v", err)
	case <-time.After(2 * time.Second):
	}
	if got := in.psql("main", "SELECT n FROM other"); got != "42" {
		t.Errorf("a read meanwhile: %s", got)
	}
	notes := strings.Join(in.status().Notes, "\n")
	for _, want := range []string{"bytes free", "free space there"} {
		if !strings.Contains(notes, want) {
			t.Errorf("status notes %q, want %q in it", notes, want)
		}
	}
	remove()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("the commit that waited: %v", err)
		}
	case <-time.After(patience):
		t.Fatal("the commit still waits though there is room")
	}
	if got := in.psql("main", "SELECT sum(n) FROM t"); got != "3" {
		t.Errorf("afterwards: %s", got)
	}
	eventually(t, "status without notes", func() bool { return len(in.status().Notes) == 0 })
}
