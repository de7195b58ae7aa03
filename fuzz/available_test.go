package fuzz_test

import (
	"testing"
	"time"

	"xenon/fuzz"
)

// TestAvailabilityIsJudged: most runs have times in which clients must be
// served, so that what is judged there means something.
func TestAvailabilityIsJudged(t *testing.T) {
	judged, most, whose := 0, 0, uint64(0)
	n := seeds(12, 120)
	for seed := uint64(1); seed <= n; seed++ {
		r := fuzz.Run(fuzz.Options{Seed: seed})
		if r.Err != nil {
			t.Errorf("seed %d: %v", seed, r.Err)
		}
		if time.Duration(r.Counts.Judged)*time.Millisecond >= 5*time.Second {
			judged++
		}
		if r.Counts.Kept > most {
			most, whose = r.Counts.Kept, seed
		}
	}
	t.Logf("in %d of %d runs clients had to be served for 5 s or more before everything was mended; the longest that one was kept waiting is %d ms (seed %d)", judged, n, most, whose)
	if uint64(judged) < n/3 {
		t.Errorf("clients had to be served in %d of %d runs", judged, n)
	}
}
