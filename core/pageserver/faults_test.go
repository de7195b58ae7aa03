//go:build faults

package pageserver_test

import (
	"testing"

	"xenon/core/faults"
)

// TestReferenceCatches plants one wrong line after the other: the comparison
// with the reference must see each.
func TestReferenceCatches(t *testing.T) {
	w := newWorld(t)
	for name, p := range map[string]faults.Point{
		"forget truncate":   faults.ForgetTruncate,
		"newer page":        faults.NewerPage,
		"skip VM clear":     faults.SkipVMClear,
		"chain off by one":  faults.ChainOffByOne,
		"short fork":        faults.ShortFork,
		"drop main only":    faults.DropMainOnly,
		"copy later":        faults.CopyLater,
		"boot counters now": faults.BootNow,
	} {
		t.Run(name, func(t *testing.T) {
			defer faults.Plant(p)()
			bad, first := runSeeds(t, w, 10)
			if bad == 0 {
				t.Error("10 histories, no difference")
			}
			t.Logf("%d of 10 histories differ: %s", bad, first)
		})
	}
}
