//go:build faults

package remote_test

import (
	"testing"

	"xenon/core/faults"
)

// TestPlantedFaults: each wrong line is seen by the judge of racing owners.
func TestPlantedFaults(t *testing.T) {
	for _, name := range []string{"O01", "O02", "O03", "O04", "O05", "O06", "O07", "O08", "O10", "G02"} {
		point, ok := faults.ByName(name)
		if !ok {
			t.Fatalf("there is no fault %s", name)
		}
		undo := faults.Plant(point)
		found := false
		for seed := uint64(0); seed < 200 && !found; seed++ {
			j, _, err := race(seed)
			if found = err != nil || j.wrong != nil; found {
				t.Logf("%s is found at seed %d: %v %v", name, seed, err, j.wrong)
			}
		}
		undo()
		if !found {
			t.Errorf("%s is not found", name)
		}
	}
}

// TestSweepUnseen: seeds find it, but not the first few hundred.
func TestSweepUnseen(t *testing.T) {
	defer faults.Plant(faults.RemoteSweepsUnseen)()
	if err := sweepUnsure(t); err == nil {
		t.Error("O11 is not found")
	}
}

// TestDownloadUnchecked: a damaged object is not taken for the layer.
func TestDownloadUnchecked(t *testing.T) {
	defer faults.Plant(faults.RemoteDownloadUnchecked)()
	s := newShelf(t)
	s.w.bucket.Corrupt(s.x.Object(s.l), 4000, 1)
	if err := s.fetcher.Fetch(t.Context(), s.l, "layer"); err != nil {
		t.Errorf("O09 is not planted: %v", err)
	}
}
