package fuzz_test

import (
	"os"
	"strconv"
	"testing"

	"xenon/fuzz"
)

// TestSeeds runs some seeds with all faults.
func TestSeeds(t *testing.T) {
	n, from := uint64(30), uint64(0)
	if s := os.Getenv("SEED"); s != "" {
		from, _ = strconv.ParseUint(s, 10, 64)
		n = 1
	}
	if s := os.Getenv("N"); s != "" {
		n, _ = strconv.ParseUint(s, 10, 64)
	}
	for seed := from; seed < from+n; seed++ {
		r := fuzz.Run(fuzz.Options{Seed: seed})
		t.Logf("seed %d: %s %d steps elections %d load %d tails %d lost %d writes %d", seed, r.Elapsed, r.Steps, r.Counts.Elections, r.Counts.ElectionsUnderLoad, r.Counts.TailsCut, r.Counts.LostWrites, r.Counts.Writes)
		if r.Err != nil {
			for _, s := range r.Plan.Steps {
				t.Log(s)
			}
			t.Errorf("seed %d: %v", seed, r.Err)
		}
	}
}
