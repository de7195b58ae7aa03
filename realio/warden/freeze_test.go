package warden_test

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"xenon/realio/warden"
)

func bootTime(t *testing.T) int64 {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		t.Fatal(err)
	}
	return ts.Nano()
}

// state is the letter of a process in /proc/PID/stat.
func state(pid int) string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "gone"
	}
	return strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))[0]
}

// TestFreeze: a server whose lease ends is stopped with every descendant, also
// one in a session of its own, goes on when the lease is extended, and can be
// ended while it is stopped.
func TestFreeze(t *testing.T) {
	dir := t.TempDir()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	spec := family(dir)
	spec.Freeze = bootTime(t) + int64(time.Hour)
	s, err := warden.Start(exe, spec, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	defer s.End()
	pids := []int{s.PID, pid(t, dir, "grandchild")}
	await := func(want func(string) bool) {
		t.Helper()
		for _, p := range pids {
			for tries := 0; !want(state(p)); tries++ {
				if tries > 6000 {
					t.Fatalf("process %d is in state %s", p, state(p))
				}
				time.Sleep(5 * time.Millisecond)
			}
		}
	}
	stopped := func(s string) bool { return s == "T" }
	await(func(s string) bool { return !stopped(s) })
	for range 3 {
		s.Extend(bootTime(t) + int64(20*time.Millisecond))
		await(stopped)
		s.Extend(bootTime(t) + int64(time.Hour))
		await(func(s string) bool { return !stopped(s) })
	}
	s.Extend(bootTime(t) - 1)
	await(stopped)
	s.End()
	await(func(s string) bool { return s == "gone" })
}
