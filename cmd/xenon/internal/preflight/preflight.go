// Package preflight checks a machine before anything is created on it. Each
// failure names the command, or the flag of a container, that mends it.
//
// Start at [Check].
package preflight

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A Plan is what is about to be used.
type Plan struct {
	Dir    string // the installation's directory; it need not exist yet
	Listen string // host:port of the endpoint; port 0 needs no check
}

// minFiles is how many descriptors a sidecar may need: one per relation
// segment it has written, and the connections.
const minFiles = 4096

// minShm is the room in /dev/shm that PostgreSQL's parallel queries expect;
// containers often get 64 MiB, which is enough to start.
const minShm = 32 << 20

// Check returns everything that is wrong, joined, or nil.
func Check(p Plan) error {
	return errors.Join(
		checkFuse("/dev/fuse"),
		checkMountRight("/etc/mtab"),
		checkDir(p.Dir),
		checkPort(p.Listen),
		checkFiles(),
		checkShm("/dev/shm"),
	)
}

func checkFuse(name string) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	switch {
	case err == nil:
		return f.Close()
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("no %s: run modprobe fuse, or start the container with --device /dev/fuse", name)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%s may not be opened: run chmod 666 %s as root, or start the container with --device /dev/fuse --cap-add SYS_ADMIN", name, name)
	}
	return fmt.Errorf("%s: %w: run modprobe fuse", name, err)
}

// checkMountRight wants CAP_SYS_ADMIN, or the set-uid fusermount3 and the list
// of mounts without which it takes nothing away again.
func checkMountRight(mtab string) error {
	if MayMount() {
		return nil
	}
	name, err := exec.LookPath("fusermount3")
	if err != nil {
		return errors.New("cannot mount: neither CAP_SYS_ADMIN nor fusermount3: apt-get install fuse3, run as root, or start the container with --cap-add SYS_ADMIN")
	}
	info, err := os.Stat(name)
	if err != nil || info.Mode()&os.ModeSetuid == 0 {
		return fmt.Errorf("cannot mount: %s is not set-uid root: chmod u+s %s, or run as root", name, name)
	}
	return checkMtab(mtab)
}

func checkMtab(mtab string) error {
	if _, err := os.Stat(mtab); err != nil {
		return fmt.Errorf("could mount but not unmount: fusermount3 needs %s (%w): run ln -s /proc/self/mounts %s as root", mtab, err, mtab)
	}
	return nil
}

// MayMount tells whether this process has CAP_SYS_ADMIN.
func MayMount() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&header, &data[0]) != nil {
		return os.Getuid() == 0
	}
	return data[0].Effective&(1<<unix.CAP_SYS_ADMIN) != 0
}

// Magic numbers of statfs(2), from linux/magic.h.
const (
	fuseMagic = 0x65735546
	nfsMagic  = 0x6969
	smb2Magic = 0xFE534D42
)

// checkDir wants a directory that can be made and written, on a file system
// whose fsync means something to this machine alone.
func checkDir(dir string) error {
	at := dir
	for {
		if info, err := os.Stat(at); err == nil && !info.IsDir() {
			return fmt.Errorf("%s is not a directory: choose another directory with --dir DIR", at)
		} else if err == nil || at == filepath.Dir(at) {
			break
		}
		at = filepath.Dir(at)
	}
	if err := unix.Access(at, unix.W_OK|unix.X_OK); err != nil {
		return fmt.Errorf("%s cannot be written (%w): choose another directory with --dir DIR", at, err)
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(at, &fs); err != nil {
		return fmt.Errorf("%s: %w: choose another directory with --dir DIR", at, err)
	}
	for magic, name := range map[int64]string{fuseMagic: "FUSE", nfsMagic: "NFS", smb2Magic: "SMB"} {
		if int64(fs.Type) == magic {
			return fmt.Errorf("%s is on %s: choose a directory on a local file system with --dir DIR", at, name)
		}
	}
	return nil
}

func checkPort(listen string) error {
	if listen == "" || strings.HasSuffix(listen, ":0") {
		return nil
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w: choose another port with --port N", listen, err)
	}
	return l.Close()
}

func checkFiles() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	if limit.Cur >= minFiles {
		return nil
	}
	limit.Cur = min(limit.Max, max(limit.Cur, 1<<20))
	if unix.Setrlimit(unix.RLIMIT_NOFILE, &limit) == nil && limit.Cur >= minFiles {
		return nil
	}
	return fmt.Errorf("only %d open files allowed: ulimit -n %d, or start the container with --ulimit nofile=%d", limit.Max, minFiles, minFiles)
}

func checkShm(dir string) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return fmt.Errorf("no %s: mount -t tmpfs tmpfs %s", dir, dir)
	}
	if free := fs.Bavail * uint64(fs.Bsize); free < minShm {
		return fmt.Errorf("only %s MiB free in %s: remove old files there, or start the container with --shm-size 256m", strconv.FormatUint(free>>20, 10), dir)
	}
	return nil
}
