//go:build faults

package fuzz_test

import (
	"testing"

	"xenon/core/faults"
	"xenon/fuzz"
)

// TestWrittenPagesSeeRedo: a pageserver whose redo is wrong, while that of the
// stand-in is right, is found by the pages that the stand-in writes. Readers
// that compare with a reference may be first; not in every run.
func TestWrittenPagesSeeRedo(t *testing.T) {
	defer faults.Plant(faults.ServedFlipped)()
	const seeds = 30
	for seed := uint64(1); seed <= seeds; seed++ {
		r := fuzz.Run(fuzz.Options{Seed: seed})
		switch fuzz.Oracle(r.Oracle()) {
		case fuzz.WrittenPages:
			t.Logf("found at seed %d: %v", seed, r.Err)
			return
		case "":
			t.Errorf("seed %d is clean", seed)
		}
	}
	t.Fatalf("not found by the pages written in %d seeds", seeds)
}
