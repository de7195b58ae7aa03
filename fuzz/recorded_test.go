package fuzz_test

import (
	"testing"

	"xenon/fuzz"
)

// TestRecorded: runs in which servers write what PostgreSQL wrote get through
// records of every kind of relation.
func TestRecorded(t *testing.T) {
	played := 0
	for seed := uint64(1); seed <= seeds(6, 60); seed++ {
		p := fuzz.Draw(seed, nil)
		p.Load.Recorded, p.Load.Churn = true, 600
		r := fuzz.Run(fuzz.Options{Plan: p})
		if r.Err != nil {
			t.Errorf("seed %d: %v", seed, r.Err)
		}
		played += r.Counts.Played
	}
	if played < 150 {
		t.Errorf("only %d recorded records were committed", played)
	}
	t.Logf("%d recorded records were committed", played)
}
