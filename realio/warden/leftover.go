package warden

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"regexp"
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
		os.WriteFile(fmt.Sprintf("/sys/fs/fuse/connections/%d/abort", m.minor), []byte("1"), 0)
		unix.Unmount(point, unix.MNT_FORCE|unix.MNT_DETACH)
	}
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
		if err != nil {
			os.WriteFile(fmt.Sprintf("/sys/fs/fuse/connections/%d/abort", m.minor), []byte("1"), 0)
		}
	}
	if _, still := find(point); still {
		return fmt.Errorf("%s stays mounted: umount -l %s", point, point)
	}
	return nil
}

// shmName is how PostgreSQL names a dynamic segment
// (src/backend/storage/ipc/dsm_impl.c, PG_DYNSHMEM_... "/PostgreSQL.%u").
const shmName = "/dev/shm/PostgreSQL."

// controlSegment is the file of the DSM control segment that a process of a
// server maps. The postmaster maps it at its start and maps no other.
func controlSegment(pid int) string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/maps")
	if err != nil {
		return ""
	}
	for _, line := range strings.Split(string(b), "\n") {
		if at := strings.Index(line, shmName); at >= 0 {
			if name := line[at:]; isControl(name) {
				return name
			}
		}
	}
	return ""
}

// The control segment (src/backend/storage/ipc/dsm.c): dsm_control_header is
// magic, nitems and maxitems, then items of 40 bytes that begin with the
// handle and a reference count.
const (
	controlMagic  = 0x9a503d32
	controlHeader = 16
	controlItem   = 40
)

func isControl(name string) bool {
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	var b [4]byte
	_, err = f.ReadAt(b[:], 0)
	return err == nil && binary.LittleEndian.Uint32(b[:]) == controlMagic
}

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
// segment that its postmaster made, and the POSIX segments its control
// segment names.
func removeShared(postmaster int, control string) {
	for _, id := range sysvSegments(postmaster) {
		unix.SysvShmCtl(id, unix.IPC_RMID, nil)
	}
	if control == "" {
		return
	}
	if b, err := os.ReadFile(control); err == nil {
		for _, name := range segmentsOf(b) {
			os.Remove(name)
		}
		os.Remove(control)
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
