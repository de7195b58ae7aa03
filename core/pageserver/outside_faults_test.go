//go:build faults

package pageserver_test

import (
	"testing"

	"xenon/core/faults"
)

// TestOutsideCatches plants wrong lines into what is kept beside pages.
func TestOutsideCatches(t *testing.T) {
	w := newWorld(t)
	for name, p := range map[string]faults.Point{
		"a tablespace is forgotten":        faults.SpaceForgotten,
		"progress of origins is not kept":  faults.RedoOriginStays,
		"a branch adopts the state of now": faults.BranchAdoptsNow,
	} {
		t.Run(name, func(t *testing.T) {
			defer faults.Plant(p)()
			if diffs := differencesOutside(t, w, 1); len(diffs) == 0 {
				t.Error("no difference")
			}
		})
	}
}
