//go:build faults

package archive_test

import (
	"testing"

	"xenon/core/faults"
)

// TestPlantedFault: a reader that does not compare checksums is found.
func TestPlantedFault(t *testing.T) {
	defer faults.Plant(faults.ArchiveUnchecked)()
	if damage(t) == nil {
		t.Error("A02 is not found")
	}
}
