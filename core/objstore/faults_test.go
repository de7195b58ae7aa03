//go:build faults

package objstore_test

import (
	"testing"

	"xenon/core/faults"
)

// TestPlantedFaults: each wrong line is seen by the test it is there for.
func TestPlantedFaults(t *testing.T) {
	for _, tt := range []struct {
		name  string
		check func(*testing.T) error
	}{
		{"G04", sentOnce},
		{"G05", changedWhileRead},
	} {
		point, ok := faults.ByName(tt.name)
		if !ok {
			t.Fatalf("there is no fault %s", tt.name)
		}
		undo := faults.Plant(point)
		err := tt.check(t)
		undo()
		if err == nil {
			t.Errorf("%s is not found", tt.name)
		}
		t.Logf("%s: %v", tt.name, err)
	}
}
