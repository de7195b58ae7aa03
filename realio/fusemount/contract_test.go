package fusemount_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"xenon/compute/names"
	"xenon/compute/overlay"
	"xenon/realio"
	"xenon/realio/fusemount"
)

// A test binary with this variable set is a process that uses a mount: the one
// that serves it must not. Its value is a mount, a plain directory and a seed.
const useVar = "XENON_TEST_USE_MOUNT"

func TestMain(m *testing.M) {
	if v := os.Getenv(useVar); v != "" {
		f := strings.Split(v, ":")
		if err := compare(f[0], f[1], f[2]); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestMountIsAFileSystem does the same to a mount and to a directory of the
// operating system, and compares every answer.
func TestMountIsAFileSystem(t *testing.T) {
	needFUSE(t)
	e := realio.New(realio.Options{Root: t.TempDir()})
	t.Cleanup(func() { e.Close() })
	scratch, err := overlay.NewScratch(e, "scratch", 4)
	if err != nil {
		t.Fatal(err)
	}
	for seed := range 3 {
		path, plain := t.TempDir(), t.TempDir()
		m, err := fusemount.New(e.Context(), names.New(e, scratch), fusemount.Options{
			Path: path, ID: fmt.Sprintf("test%d/contract%d", os.Getpid(), seed), UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()), Sync: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		exe, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		c := exec.Command(exe)
		c.Dir = "/"
		c.Env = append(os.Environ(), fmt.Sprintf("%s=%s:%s:%d", useVar, path, plain, seed))
		out, err := c.CombinedOutput()
		if err := errors.Join(err, m.Unmount()); err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, out)
		}
	}
}

// A place is one of the two directories, with the files held open in it.
type place struct {
	dir  string
	open [4]*os.File
}

// An answer is what a system call said: an error number and what came with it.
type answer struct {
	errno syscall.Errno
	text  string
}

func (a answer) String() string { return fmt.Sprintf("%d %.60s", a.errno, a.text) }

func result(err error, format string, args ...any) answer {
	a := answer{text: fmt.Sprintf(format, args...)}
	if err != nil {
		a.text = err.Error()
		if errors.As(err, &a.errno) {
			a.text = ""
		}
	}
	return a
}

var openFlags = []int{
	os.O_RDWR, os.O_RDONLY, os.O_RDWR | os.O_CREATE | os.O_EXCL, os.O_WRONLY | os.O_CREATE | os.O_TRUNC,
	os.O_RDWR | os.O_CREATE, os.O_RDWR | os.O_CREATE | os.O_TRUNC, os.O_RDWR | os.O_TRUNC, os.O_RDWR | os.O_SYNC, os.O_RDWR | syscall.O_DSYNC,
}

var fileNames = []string{"a", "b", "d", "d/a", "d/b", "d/e", "d/e/a", strings.Repeat("n", 256)}

// compare takes 3,000 steps in both directories.
func compare(mount, plain, seed string) error {
	var n uint64
	fmt.Sscan(seed, &n)
	places := []*place{{dir: mount}, {dir: plain}}
	defer func() { // so that the test can remove it
		for _, name := range fileNames {
			os.Chmod(filepath.Join(plain, name), 0o700)
		}
	}()
	var room unix.Statfs_t
	if err := unix.Statfs(mount, &room); err != nil || room.Bavail == 0 || room.Bavail > room.Blocks || room.Bsize == 0 {
		return fmt.Errorf("the mount says that it has %d of %d blocks of %d bytes left, %v", room.Bavail, room.Blocks, room.Bsize, err)
	}
	for step := range 3000 {
		var got [2]answer
		for i, p := range places {
			got[i] = p.step(rand.New(rand.NewPCG(n, uint64(step))))
		}
		if got[0] != got[1] {
			return fmt.Errorf("step %d of seed %s: the mount says %s, the directory %s", step, seed, got[0], got[1])
		}
	}
	return nil
}

// step does what r says.
func (p *place) step(r *rand.Rand) answer {
	path, other := p.path(r), p.path(r)
	slot := r.IntN(len(p.open))
	off := int64(r.IntN(5)) * 8192
	size := 1 + r.IntN(3)*8192
	if r.IntN(3) == 0 {
		off += int64(r.IntN(9000))
	}
	switch r.IntN(14) {
	case 0, 1:
		return p.openFile(slot, path, openFlags[r.IntN(len(openFlags))])
	case 2:
		return result(os.Mkdir(path, 0o750), "")
	case 3:
		return result(syscall.Unlink(path), "")
	case 4:
		return result(syscall.Rmdir(path), "")
	case 5:
		return result(syscall.Rename(path, other), "")
	case 6:
		return p.stat(path)
	case 7:
		return p.list(filepath.Dir(path))
	case 8:
		return result(syscall.Truncate(path, off), "")
	case 9:
		return result(os.Chmod(path, []os.FileMode{0o600, 0o640, 0o700}[r.IntN(3)]), "")
	case 10:
		return result(syscall.Link(path, other), "")
	}
	if p.open[slot] == nil {
		return answer{}
	}
	return p.use(p.open[slot], r, off, size)
}

func (p *place) path(r *rand.Rand) string {
	return filepath.Join(p.dir, fileNames[r.IntN(len(fileNames))])
}

func (p *place) openFile(slot int, path string, flag int) answer {
	if f := p.open[slot]; f != nil {
		f.Close()
		p.open[slot] = nil
	}
	f, err := os.OpenFile(path, flag, 0o600)
	if err == nil {
		if info, serr := f.Stat(); serr == nil && info.IsDir() {
			f.Close()
			return answer{text: "a directory"}
		}
		p.open[slot] = f
	}
	return result(err, "opened")
}

func (p *place) use(f *os.File, r *rand.Rand, off int64, size int) answer {
	switch r.IntN(7) {
	case 0, 1, 2:
		b := bytes.Repeat([]byte{byte(r.IntN(4))}, size)
		n, err := f.WriteAt(b, off)
		return result(err, "wrote %d", n)
	case 3, 4:
		b := make([]byte, size)
		n, err := syscall.Pread(int(f.Fd()), b, off)
		return result(err, "%d %x", n, b[:max(n, 0)])
	case 5:
		return result(errors.Join(f.Sync(), unix.Fdatasync(int(f.Fd()))), "synced")
	}
	if r.IntN(2) == 0 {
		return result(f.Truncate(off), "cut")
	}
	return result(unix.Fallocate(int(f.Fd()), 0, off, int64(size)), "allocated")
}

func (p *place) stat(path string) answer {
	var st syscall.Stat_t
	err := syscall.Lstat(path, &st)
	if st.Mode&syscall.S_IFMT == syscall.S_IFDIR {
		st.Size, st.Nlink = 0, 0 // every file system has its own idea
	}
	return result(err, "mode %o, %d bytes, %d links", st.Mode, st.Size, st.Nlink)
}

func (p *place) list(dir string) answer {
	entries, err := os.ReadDir(dir)
	var names []string
	for _, e := range entries {
		names = append(names, fmt.Sprintf("%s %v", e.Name(), e.IsDir()))
	}
	slices.Sort(names)
	return result(err, "%q", names)
}
