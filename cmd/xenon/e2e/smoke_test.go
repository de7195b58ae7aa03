package e2e_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestUp is what a person does first: start, write, kill everything, start
// again, stop.
func TestUp(t *testing.T) {
	for _, layout := range layouts {
		t.Run(layout.name, func(t *testing.T) {
			in := install(t, layout.args...)
			in.sql("CREATE TABLE t (n int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 1000)")
			if out, err := exec.Command(bin(t), "up", "--dir", in.dir).CombinedOutput(); err == nil || !strings.Contains(string(out), "pid "+strconv.Itoa(in.up.Process.Pid)) {
				t.Errorf("a second up: %v, %s; want an error that names pid %d", err, out, in.up.Process.Pid)
			}
			in.killEverything()
			in.start()
			if got := in.sql("SELECT count(*), sum(n) FROM t"); got != "1000|500500" {
				t.Errorf("after kill -9 of everything: %s", got)
			}
			if got := in.must("psql", "main", "-c", "SELECT 7 * 6"); !strings.Contains(got, "42") {
				t.Errorf("xenon psql: %s", got)
			}
			in.must("stop")
			if status := in.await(); status != 0 {
				t.Errorf("up exits with %d after stop", status)
			}
			in.must("stop") // of a stopped one
			if _, err := in.xenon("status"); err == nil || !strings.Contains(err.Error(), "start it with xenon up") {
				t.Errorf("status of a stopped one: %v", err)
			}
			in.nothingLeft()
		})
	}
}

// layouts are the two ways to run an installation.
var layouts = []struct {
	name string
	args []string
}{{"one process", nil}, {"processes", []string{"--processes"}}}

// killEverything kills every process of the installation at once, wardens and
// servers included, and waits until up is gone.
func (in *installation) killEverything() {
	in.t.Helper()
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
	if got := sharedMemory(in.t); got != in.shared {
		in.t.Errorf("shared memory before: %s\nafter: %s", in.shared, got)
	}
}

// sharedMemory lists System V and POSIX segments of PostgreSQL.
func sharedMemory(t *testing.T) string {
	t.Helper()
	posix, err := filepath.Glob("/dev/shm/PostgreSQL.*")
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile("/proc/sysvipc/shm")
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] != "key" {
			ids = append(ids, f[1])
		}
	}
	return strings.Join(posix, " ") + "; System V " + strings.Join(ids, " ")
}
