//go:build faults

package pageserver_test

import (
	"bytes"
	"os"
	"os/exec"
	"testing"

	"xenon/core/faults"
)

// TestBranchesCatch plants wrong lines into what a branch takes of its
// ancestor: the comparison of trees with the reference must see each.
func TestBranchesCatch(t *testing.T) {
	w := newWorld(t)
	for name, p := range map[string]faults.Point{
		"adopts the state of now": faults.BranchAdoptsNow,
		"reads pages of now":      faults.BranchReadsNow,
		"owns the past":           faults.BranchOwnsPast,
		"boot counters now":       faults.BootNow,
	} {
		t.Run(name, func(t *testing.T) {
			defer faults.Plant(p)()
			bad, first := runTrees(t, w, 8)
			if bad == 0 {
				t.Error("8 trees, no difference")
			}
			t.Logf("%d of 8 trees differ: %s", bad, first)
		})
	}
}

// TestCutShortCatches: a child that is made before its parent knows of it is
// seen when the pageserver dies in between.
func TestCutShortCatches(t *testing.T) {
	defer faults.Plant(faults.BranchChildFirst)()
	err := cutBranches(t)
	if err == nil {
		t.Error("no difference")
	}
	t.Log(err)
}

// TestBranchRequestsCatch: wrong lines in what a node does for a branch.
func TestBranchRequestsCatch(t *testing.T) {
	const planted = "XENON_TEST_BRANCH"
	if name := os.Getenv(planted); name != "" {
		return
	}
	for _, tt := range []struct{ fault, test string }{
		{"B05", "TestBranchOverHTTP"},
		{"B06", "TestBranchWaitsForParent"},
		{"B07", "TestBranchWhileParentGoes"},
	} {
		t.Run(tt.fault, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run=^"+tt.test+"$", "-test.count=1")
			cmd.Env = append(os.Environ(), planted+"="+tt.fault)
			out, err := cmd.CombinedOutput()
			if err == nil || !bytes.Contains(out, []byte("--- FAIL: "+tt.test)) {
				t.Errorf("%s passes with %s planted (%v):\n%s", tt.test, tt.fault, err, out)
			}
		})
	}
}

func TestMain(m *testing.M) {
	if name := os.Getenv("XENON_TEST_BRANCH"); name != "" {
		if point, ok := faults.ByName(name); ok {
			faults.Plant(point)
		}
	}
	os.Exit(m.Run())
}
