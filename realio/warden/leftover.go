package warden

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A mount is one line of /proc/self/mountinfo.
type mount struct {
	point, source string
	minor         uint32 // of the device: the number of a FUSE connection
}

var octal = regexp.MustCompile(`\\[0-7]{3}`)

// unescape undoes the \040 that the kernel writes for a space.
func unescape(s string) string {
	return octal.ReplaceAllStringFunc(s, func(o string) string {
		n, _ := strconv.ParseUint(o[1:], 8, 8)
		return string([]byte{byte(n)})
	})
}

// mounts lists what is mounted, without touching any of it.
func mounts() ([]mount, error) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var all []mount
	for _, line := range strings.Split(string(b), "\n") {
		left, right, ok := strings.Cut(line, " - ")
		f, g := strings.Fields(left), strings.Fields(right)
		if !ok || len(f) < 5 || len(g) < 2 {
			continue
		}
		_, minor, _ := strings.Cut(f[2], ":")
		n, _ := strconv.ParseUint(minor, 10, 32)
		all = append(all, mount{point: unescape(f[4]), source: unescape(g[1]), minor: uint32(n)})
	}
	return all, nil
}

func find(point string) (mount, bool) {
	all, _ := mounts()
	for _, m := range all {
		if m.point == point {
			return m, true
		}
	}
	return mount{}, false
}

// Mounted lists the mount points whose source has the prefix.
func Mounted(sourcePrefix string) ([]string, error) {
	all, err := mounts()
	var points []string
	for _, m := range all {
		if strings.HasPrefix(m.source, sourcePrefix) {
			points = append(points, m.point)
		}
	}
	return points, err
}

// abortMount makes every request of a FUSE mount fail that nobody answers.
func abortMount(point string) {
	if m, ok := find(point); ok {
		abortConnection(m)
		unix.Unmount(point, unix.MNT_FORCE|unix.MNT_DETACH)
	}
}

func abortConnection(m mount) {
	os.WriteFile(fmt.Sprintf("/sys/fs/fuse/connections/%d/abort", m.minor), []byte("1"), 0)
}

// Unmount takes a FUSE mount away, also one that nobody serves or that is
// busy; one that is not there is fine. It never looks into the mount.
func Unmount(point string) error {
	for range 8 { // mounts may be stacked
		m, ok := find(point)
		if !ok {
			return nil
		}
		err := unix.Unmount(point, unix.MNT_DETACH)
		if err == unix.EPERM {
			err = exec.Command("fusermount3", "-u", "-z", "-q", point).Run()
		}
		// Somebody else may have unmounted it meanwhile: the number of its
		// connection is then free for another mount.
		if now, still := find(point); err != nil && still && now == m {
			abortConnection(m)
		}
	}
	if Mounts(point) {
		return fmt.Errorf("%s stays mounted: umount -l %s", point, point)
	}
	return nil
}

// Mounts tells whether something is mounted at point or below.
func Mounts(point string) bool {
	all, _ := mounts()
	return slices.ContainsFunc(all, func(m mount) bool {
		return m.point == point || strings.HasPrefix(m.point, point+"/")
	})
}

// removeTree removes a directory with what is in it, unless something is
// mounted there: it would be emptied too.
func removeTree(dir string) {
	if !Mounts(dir) {
		os.RemoveAll(dir)
	}
}

// shmName is how PostgreSQL names a dynamic segment
// (src/backend/storage/ipc/dsm_impl.c, dsm_impl_posix: "/PostgreSQL.%u").
const shmName = "/dev/shm/PostgreSQL."

// The System V segment of a postmaster begins with a PGShmemHeader
// (src/include/storage/pg_shmem.h): magic, the postmaster's pid, two sizes,
// then the handle of the DSM control segment. It outlives every process.
const (
	shmemMagic   = 679834894
	shmemCreator = 4
	shmemControl = 24
	shmemHeader  = 28
)

// controlSegment is the file of the DSM control segment of the server whose
// postmaster made the System V segment id, "" if it made another's.
func controlSegment(id, postmaster int) string {
	b, err := unix.SysvShmAttach(id, 0, unix.SHM_RDONLY)
	if err != nil {
		return ""
	}
	defer unix.SysvShmDetach(b)
	le := binary.LittleEndian
	if len(b) < shmemHeader || le.Uint32(b) != shmemMagic || int(le.Uint32(b[shmemCreator:])) != postmaster {
		return ""
	}
	return shmName + strconv.FormatUint(uint64(le.Uint32(b[shmemControl:])), 10)
}

// The control segment (src/backend/storage/ipc/dsm.c): dsm_control_header is
// magic, nitems and maxitems, then items of 40 bytes that begin with the
// handle and a reference count.
const (
	controlMagic  = 0x9a503d32
	controlHeader = 16
	controlItem   = 40
)

// segmentsOf lists the files of the segments that a control segment names,
// as PostgreSQL itself does after a crash (dsm_cleanup_using_control_segment).
func segmentsOf(control []byte) []string {
	le := binary.LittleEndian
	if len(control) < controlHeader || le.Uint32(control) != controlMagic {
		return nil
	}
	var names []string
	n := int(le.Uint32(control[4:]))
	for i := 0; i < n && controlHeader+(i+1)*controlItem <= len(control); i++ {
		item := control[controlHeader+i*controlItem:]
		if handle, refs := le.Uint32(item), le.Uint32(item[4:]); refs != 0 {
			names = append(names, shmName+strconv.FormatUint(uint64(handle), 10))
		}
	}
	return names
}

// removeShared removes the shared memory of a dead server: the System V
// segment that its postmaster made, and the POSIX segments that are found by
// way of it. The former goes last: it is what leads to the others.
func removeShared(postmaster int) {
	for _, id := range sysvSegments(postmaster) {
		if control := controlSegment(id, postmaster); control != "" {
			if b, err := os.ReadFile(control); err == nil {
				for _, name := range segmentsOf(b) {
					os.Remove(name)
				}
				os.Remove(control)
			}
		}
		unix.SysvShmCtl(id, unix.IPC_RMID, nil)
	}
}

// sysvSegments lists the segments that pid made and nobody is attached to.
func sysvSegments(pid int) []int {
	b, err := os.ReadFile("/proc/sysvipc/shm")
	if err != nil {
		return nil
	}
	var ids []int
	for _, line := range strings.Split(string(b), "\n")[1:] {
		f := strings.Fields(line) // key shmid perms size cpid lpid nattch ...
		if len(f) < 7 || f[4] != strconv.Itoa(pid) || f[6] != "0" {
			continue
		}
		if id, err := strconv.Atoi(f[1]); err == nil {
			ids = append(ids, id)
		}
	}
	return ids
}
