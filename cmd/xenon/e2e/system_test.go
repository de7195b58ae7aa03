package e2e_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// killEverything kills every process of the installation at once, wardens and
// servers included, and waits until up is gone.
func (in *installation) killEverything() {
	in.t.Helper()
	in.noteSegments()
	for _, p := range in.processes() {
		syscall.Kill(p, syscall.SIGKILL)
	}
	<-in.done
	in.done <- errors.New("killed")
	for _, p := range in.processes() {
		syscall.Kill(p, syscall.SIGKILL)
	}
}

// processes are up, its descendants, and servers that run on its mounts.
func (in *installation) processes() []int {
	names, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		in.t.Fatal(err)
	}
	parent := map[int]int{}
	var own []int
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		pid, ppid, ok := family(string(b))
		if !ok {
			continue
		}
		parent[pid] = ppid
		if cwd, err := os.Readlink(filepath.Join(filepath.Dir(name), "cwd")); err == nil && in.onMounts(cwd) {
			own = append(own, pid)
		}
	}
	for pid := range parent {
		for at := pid; at > 1; at = parent[at] {
			if at == in.up.Process.Pid {
				own = append(own, pid)
				break
			}
		}
	}
	return own
}

// family reads a pid and its parent's from /proc/PID/stat; zombies are not
// there.
func family(stat string) (pid, parent int, ok bool) {
	open, end := strings.IndexByte(stat, '('), strings.LastIndexByte(stat, ')')
	if open < 0 || end < 0 {
		return 0, 0, false
	}
	f := strings.Fields(stat[end+1:])
	if len(f) < 2 || f[0] == "Z" {
		return 0, 0, false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(stat[:open]))
	parent, perr := strconv.Atoi(f[1])
	return pid, parent, err == nil && perr == nil
}

// onMounts tells whether a path lies on a mount of this installation.
func (in *installation) onMounts(path string) bool {
	for _, m := range in.mounts() {
		if path == m || strings.HasPrefix(path, m+"/") {
			return true
		}
	}
	return false
}

// mounts are the mount points of this installation.
func (in *installation) mounts() (points []string) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		in.t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 4 && strings.Contains(line, " xenon:"+in.id()+"/") {
			points = append(points, f[4])
		}
	}
	return points
}

// id names the installation on this machine, as its mounts do.
func (in *installation) id() string {
	in.t.Helper()
	if in.name == "" {
		in.name = filepath.Base(filepath.Dir(filepath.Dir(in.endpoint("main").SocketDir)))
	}
	return in.name
}

// nothingLeft checks that a stopped installation left nothing in the system.
func (in *installation) nothingLeft() {
	in.t.Helper()
	if m := in.mounts(); len(m) > 0 {
		in.t.Errorf("mounts are left: %v", m)
	}
	if p := in.processes(); len(p) > 0 {
		in.t.Errorf("processes are left: %v", p)
	}
	if s := in.sockets(); len(s) > 0 {
		in.t.Errorf("sockets are left: %v", s)
	}
	for s := range in.segments {
		if s.exists(in.t) {
			in.t.Errorf("shared memory is left: %s", s)
		}
	}
	for _, pattern := range []string{filepath.Join("/run/xenon", in.id()), filepath.Join(in.dir, "run", "*")} {
		if names, err := filepath.Glob(pattern); err != nil || len(names) > 0 {
			in.t.Errorf("files are left: %v %v", names, err)
		}
	}
}

// sockets are the installation's Unix sockets that somebody has bound.
func (in *installation) sockets() (names []string) {
	b, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		in.t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if name := f[len(f)-1]; strings.Contains(name, "/"+in.id()+"/") || strings.HasPrefix(name, in.dir+"/") {
			names = append(names, name)
		}
	}
	return names
}

// A segment is one of a server's shared memory segments: a file in /dev/shm,
// or the id of a System V segment.
type segment string

// noteSegments remembers the shared memory of the servers that run now.
func (in *installation) noteSegments() {
	for _, pid := range in.processes() {
		b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/maps")
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			f := strings.Fields(line)
			if len(f) < 6 || !strings.HasPrefix(f[5], "/SYSV") && !strings.HasPrefix(f[5], "/dev/shm/PostgreSQL.") {
				continue
			}
			if in.segments == nil {
				in.segments = map[segment]bool{}
			}
			if strings.HasPrefix(f[5], "/SYSV") {
				in.segments[segment(f[4])] = true // the inode is the id
			} else {
				in.segments[segment(f[5])] = true
			}
		}
	}
}

func (s segment) exists(t *testing.T) bool {
	if strings.HasPrefix(string(s), "/") {
		_, err := os.Stat(string(s))
		return err == nil
	}
	b, err := os.ReadFile("/proc/sysvipc/shm")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 && f[1] == string(s) {
			return true
		}
	}
	return false
}
