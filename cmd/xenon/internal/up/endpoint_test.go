package up

import (
	"errors"
	"os/exec"
	"testing"

	"xenon/compute"
)

// Requests to stop reach whatever runs, once each, whenever it begins to run.
func TestStopsAreNeitherLostNorDoubled(t *testing.T) {
	var first, second int
	e := &endpoint{}
	e.stop(1) // before anything runs
	e.reach(func() { first++ })
	e.stop(1)
	if first != 1 {
		t.Errorf("asked %d times, want once", first)
	}
	e.reach(nil)
	e.stop(2) // while nothing runs
	e.reach(func() { second++ })
	e.stop(1)
	if first != 1 || second != 2 {
		t.Errorf("asked %d and %d times, want 1 and 2", first, second)
	}
}

func TestVerdict(t *testing.T) {
	status := func(command string) error {
		return childError(exec.Command("/bin/sh", "-c", command).Run(), "/dev/null")
	}
	tests := []struct {
		name    string
		stopped bool
		err     error
		final   bool
	}{
		{"gave up", false, status("exit 1"), true},
		{"broken invariant", false, status("exit 2"), false},
		{"killed", false, status("kill -9 $$"), false},
		{"killed while it was to stop", true, status("kill -9 $$"), true},
		{"superseded in a process", false, status("exit 3"), true},
		{"superseded in this process", false, compute.ErrSuperseded, true},
	}
	for _, test := range tests {
		e := &endpoint{}
		if test.stopped {
			e.stop(1)
		}
		got := e.verdict(test.err)
		if got == nil || errors.Is(got, errFinal) != test.final {
			t.Errorf("%s: %v; final %v, want %v", test.name, got, errors.Is(got, errFinal), test.final)
		}
	}
	if err := (&endpoint{}).verdict(nil); err != nil {
		t.Errorf("a clean end: %v", err)
	}
}
