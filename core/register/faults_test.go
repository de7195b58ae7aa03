//go:build faults

package register_test

import (
	"testing"

	"xenon/core/faults"
)

// TestPlantedFaults: each wrong line is seen by the linearizability check.
func TestPlantedFaults(t *testing.T) {
	for _, name := range []string{"G01", "G02", "G03"} {
		point, ok := faults.ByName(name)
		if !ok {
			t.Fatalf("there is no fault %s", name)
		}
		undo := faults.Plant(point)
		found := false
		for seed := uint64(0); seed < 150 && !found; seed++ {
			h, _, err := simulate(seed)
			if found = err != nil || h.check() != nil; found {
				t.Logf("%s is found at seed %d", name, seed)
			}
		}
		undo()
		if !found {
			t.Errorf("%s is not found", name)
		}
	}
}
