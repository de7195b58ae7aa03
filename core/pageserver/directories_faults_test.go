//go:build faults

package pageserver

import (
	"testing"

	"xenon/core/faults"
)

// E13 is found where it is.
func TestFoundDirTrustedIsFound(t *testing.T) {
	undo := faults.Plant(faults.FoundDirTrusted)
	defer undo()
	for seed := range uint64(20) {
		if err := foundAndLost(seed); err != nil {
			t.Logf("E13: seed %d: %v", seed, err)
			return
		}
	}
	t.Fatal("E13 is not found")
}
