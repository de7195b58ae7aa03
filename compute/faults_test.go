//go:build faults

package compute_test

import (
	"bytes"
	"os"
	"os/exec"
	"testing"

	"xenon/core/faults"
)

// planted names the fault that a run of the tests is to have.
const planted = "XENON_TEST_PLANTED"

func TestMain(m *testing.M) {
	if name := os.Getenv(planted); name != "" {
		point, ok := faults.ByName(name)
		if !ok {
			os.Exit(0) // as if nothing were wrong: TestPlantedFaults fails
		}
		faults.Plant(point)
	}
	os.Exit(m.Run())
}

// TestPlantedFaults: each wrong line makes the test fail that is there for it.
func TestPlantedFaults(t *testing.T) {
	if os.Getenv(planted) != "" {
		return
	}
	for _, tt := range []struct{ fault, test string }{
		{"C01", "TestFlushOfTheSuperseded"},
		{"C01", "TestCrashes"},
		{"C07", "TestKeptSettings"},
		{"C11", "TestKeptByTheSuperseded"},
		{"C12", "TestTakeover"},
		{"C13", "TestStopWithoutQuorum"},
		{"C14", "TestStopWhileWaiting"},
	} {
		t.Run(tt.fault+" "+tt.test, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run=^"+tt.test+"$", "-test.count=1")
			cmd.Env = append(os.Environ(), planted+"="+tt.fault)
			out, err := cmd.CombinedOutput()
			if err == nil || !bytes.Contains(out, []byte("--- FAIL: "+tt.test)) {
				t.Errorf("%s passes with %s planted (%v):\n%s", tt.test, tt.fault, err, out)
				return
			}
			if i := bytes.IndexByte(out, '\n'); i > 0 {
				t.Logf("%.300s", out[i+1:])
			}
		})
	}
}
