//go:build faults

package safekeeper

import (
	"testing"

	"xenon/core/faults"
)

// K12 is found where it is.
func TestWipeTrustedIsFound(t *testing.T) {
	undo := faults.Plant(faults.WipeTrusted)
	defer undo()
	for seed := range uint64(20) {
		if err := cutOffStaysOff(seed); err != nil {
			t.Logf("K12: seed %d: %v", seed, err)
			return
		}
	}
	t.Fatal("K12 is not found")
}
