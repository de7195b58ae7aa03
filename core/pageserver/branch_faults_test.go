//go:build faults

package pageserver_test

import (
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
