//go:build faults

package safekeeper_test

import (
	"testing"

	"xenon/core/faults"
)

// TestPlantedFaultsOfStoring: what stores WAL, removes it and takes it off the
// disk is seen to be wrong where it is. What else there is of it, xenon sim
// finds.
func TestPlantedFaultsOfStoring(t *testing.T) {
	for _, tt := range []struct {
		name string
		find func(*testing.T) error
	}{
		{"M53", goesAndIsServed},
		{"M52c", goesAndIsServed},
		{"M54", leavesAndReturns},
		{"A03", leavesAndReturns},
		{"A04", leavesAndReturns},
		{"M56", copiesHold},
		{"A05", rottenIsNotStored},
		{"K06", rottenIsNotCopied},
	} {
		t.Run(tt.name, func(t *testing.T) {
			point, ok := faults.ByName(tt.name)
			if !ok {
				t.Fatalf("there is no fault %s", tt.name)
			}
			undo := faults.Plant(point)
			err := tt.find(t)
			undo()
			if err == nil {
				t.Errorf("%s is not found", tt.name)
			}
			t.Logf("%s: %v", tt.name, err)
		})
	}
}

// TestPlantedFaultOfMending: what a member gives is checked where it is taken,
// too. Where the member has not looked itself (K06) that is what keeps rotten WAL
// out, and without it (K07) it comes in.
func TestPlantedFaultOfMending(t *testing.T) {
	defer faults.Plant(faults.CopyUnchecked)()
	if err := mendedByTheGood(t); err != nil {
		t.Errorf("with K06 alone: %v", err)
	}
	defer faults.Plant(faults.MendUnchecked)()
	err := mendedByTheGood(t)
	if err == nil {
		t.Error("K07 is not found")
	}
	t.Logf("K07: %v", err)
}
