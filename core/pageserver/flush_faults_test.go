//go:build faults

package pageserver_test

import (
	"testing"

	"xenon/core/faults"
)

// TestFlushesCatch plants wrong lines into what goes to layers and comes from
// there: the comparison with the reference must see each.
func TestFlushesCatch(t *testing.T) {
	w := newWorld(t)
	for name, p := range map[string]faults.Point{
		"a flush drops the last version": faults.FlushDropsLast,
		"layers are read past the floor": faults.LayersPastFloor,
		"origins are lost":               faults.OriginLost,
		"a restart resumes earlier":      faults.RestartEarlier,
		"newer page":                     faults.NewerPage,
		"boot counters now":              faults.BootNow,
	} {
		t.Run(name, func(t *testing.T) {
			defer faults.Plant(p)()
			bad, first := flushSeeds(t, w, 10, 100)
			if bad == 0 {
				t.Error("10 histories, no difference")
			}
			t.Logf("%d of 10 histories differ: %s", bad, first)
		})
	}
}

// TestImagesCatch does so with images that a flush makes.
func TestImagesCatch(t *testing.T) {
	w := newWorld(t)
	for name, p := range map[string]faults.Point{
		"an image is another page's":    faults.ImageOfNeighbour,
		"an image lacks its own record": faults.ImageTooEarly,
	} {
		t.Run(name, func(t *testing.T) {
			defer faults.Plant(p)()
			diffs, _ := hotPages(t, w)
			if len(diffs) == 0 {
				t.Fatal("no difference")
			}
			t.Logf("%d differences: %s", len(diffs), diffs[0])
		})
	}
}

// TestPowerCutsCatch does so with what is said to be durable too early.
func TestPowerCutsCatch(t *testing.T) {
	for name, p := range map[string]faults.Point{
		"a layer is not synced":    faults.LayerNotSynced,
		"a manifest is not synced": faults.ManifestNotSynced,
	} {
		t.Run(name, func(t *testing.T) {
			defer faults.Plant(p)()
			for seed := range uint64(10) {
				if diffs := runCrashes(t, seed); len(diffs) > 0 {
					t.Logf("seed %d: %s", seed, diffs[0])
					return
				}
			}
			t.Error("10 worlds, nothing is wrong")
		})
	}
}
