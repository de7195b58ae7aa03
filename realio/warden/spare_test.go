package warden_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"xenon/realio/warden"
)

// TestSpare: a warden that was kept ready runs a server like any other, and its
// log is where its order says; closing ends the one that nobody took.
func TestSpare(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	spare, dir := warden.NewSpare(exe), prepare(t)
	w := spare.Take()
	if w == nil {
		t.Fatal("none is ready")
	}
	if spare.Take() != nil {
		t.Error("one warden is given away twice")
	}
	spec := family(dir)
	spec.Log = filepath.Join(dir, "log")
	spec.Argv[2] = "echo started; echo warned >&2\n" + spec.Argv[2]
	s, err := w.Start(spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.End)
	await(t, "the family", func() bool { return exists(dir, "ready") && exists(dir, "grandchild") })
	if b, err := os.ReadFile(spec.Log); err != nil || !strings.HasPrefix(string(b), "started\nwarned\n") {
		t.Errorf("the log: %q, %v", b, err)
	}
	grandchild := pid(t, dir, "grandchild")
	s.End()
	if !gone(s.PID) || !gone(grandchild) {
		t.Error("somebody outlives the server")
	}
	spare.Close()
	if spare.Take() != nil {
		t.Error("a closed spare gives wardens away")
	}
	// Nothing waits for it: it is only to end.
	warden.NewSpare(exe).Close()
}
