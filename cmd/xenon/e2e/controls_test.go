package e2e_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// controlled marks the tests that a control runs with a binary that is wrong.
const controlled = "XENON_E2E_CONTROLLED"

// TestControls shows that the checks of these tests can fail: each test is run
// with a binary in which a fault is planted, and must find it.
func TestControls(t *testing.T) {
	needs(t)
	if os.Getenv(controlled) != "" {
		t.Skip("skipped: it is a control that runs this")
	}
	wrong := filepath.Join(t.TempDir(), "xenon")
	if out, err := exec.Command("go", "build", "-tags", "faults", "-o", wrong, "xenon/cmd/xenon").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	if err := os.Chmod(filepath.Dir(wrong), 0o711); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ fault, test, finds string }{
		{"C01", "TestQuorumPaused", "the INSERT ended without a quorum"},
		{"C01", "TestQuorumGone", "was acknowledged"},
		{"C01", "TestPlansOnRealProcesses", "is not linearizable"},
		{"X01", "TestCrossCheckSettings", "what the page is made of"},
	}
	for _, test := range tests {
		t.Run(test.test+" with "+test.fault, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run", "^"+test.test+"$", "-test.v")
			cmd.Env = append(os.Environ(), "XENON_BIN="+wrong, "XENON_FAULTS="+test.fault, controlled+"=1")
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: "+test.test) || !strings.Contains(string(out), test.finds) {
				t.Errorf("the fault was not found (%v), want %q:\n%s", err, test.finds, tail(string(out), 4000))
			}
		})
	}
}

// TestQuorumGone stops all safekeepers under load and then kills everything,
// them too: what was not acknowledged may be lost, what was is there. It is the
// one moment at which an acknowledgement that came too early shows for sure:
// what a process has written survives its kill otherwise.
func TestQuorumGone(t *testing.T) {
	in := install(t, "--processes")
	in.sql(ledgerTable)
	load := in.write(1, 4)
	eventually(t, "load", func() bool { return load.rows() > 20 })
	for _, k := range in.status().Safekeepers {
		freeze(t, k.PID)
	}
	time.Sleep(500 * time.Millisecond)
	in.killEverything()
	load.running.Wait()
	<-in.done
	in.start()
	load.check()
}

// TestWALThatDiffers: the comparison of the histories on all safekeepers finds
// one byte.
func TestWALThatDiffers(t *testing.T) {
	const name = "000000010000000000000001"
	segment := bytes.Repeat([]byte("abcdefgh"), segmentSize/8)
	same, other, partial := t.TempDir(), t.TempDir(), t.TempDir()
	for dir, file := range map[string]string{same: name, other: name, partial: name + ".partial"} {
		b := bytes.Clone(segment)
		if dir == other {
			b[5000] ^= 1
		}
		if err := os.WriteFile(filepath.Join(dir, file), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := differing(t, []string{same, partial, other}, segmentSize+40, segmentSize+5001); len(got) != 1 || got[0] != 2 {
		t.Errorf("these differ: %v, want the last", got)
	}
	if got := differing(t, []string{same, partial, other}, segmentSize+40, segmentSize+5000); len(got) != 0 {
		t.Errorf("these differ where none does: %v", got)
	}
}
