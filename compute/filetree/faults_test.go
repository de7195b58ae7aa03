//go:build faults

package filetree_test

import (
	"testing"

	"xenon/core/faults"
)

// TestFaultsAreSeen plants each fault and wants the scenario to fail.
func TestFaultsAreSeen(t *testing.T) {
	for p, name := range map[faults.Point]string{
		faults.TruncateForgotten:   "blocks cut off do not come back",
		faults.PartialWriteForgets: "part of a page",
		faults.ReuseSeesBase:       "a relfilenode is used again",
		faults.DropForgotten:       "a dropped relation is not listed",
		faults.UnloggedFromBase:    "an unlogged relation begins as its init fork",
		faults.RenameNotKept:       "settings are kept when renamed into place",
	} {
		for _, s := range scenarios {
			if s.name != name {
				continue
			}
			undo := faults.Plant(p)
			err := runScenario(t, s)
			undo()
			if err == nil {
				t.Errorf("nobody saw it: %q with a fault planted", name)
			}
		}
	}
}
