//go:build faults

package fuzz_test

import (
	"slices"
	"testing"

	"xenon/core/faults"
	"xenon/fuzz"
)

// Every oracle fails for code that is wrong in the way it watches for, within
// the number of seeds given.
func TestPlantedFaults(t *testing.T) {
	tests := []struct {
		point   faults.Point
		seeds   uint64
		oracles []fuzz.Oracle // any of them
		classes string        // what plans are drawn from; all if empty
	}{
		{faults.AckBeforeFsync, 200, []fuzz.Oracle{fuzz.DurableFlush}, ""},
		{faults.VoteNotDurable, 2000, []fuzz.Oracle{fuzz.DurableVote}, ""},
		{faults.VoteTwice, 100, []fuzz.Oracle{fuzz.OneWinner}, "duel"},
		{faults.DonorAny, 200, []fuzz.Oracle{fuzz.LostCommit}, ""},
		{faults.HalfCommits, 50, []fuzz.Oracle{fuzz.DurableQuorum}, ""},
		{faults.KeepTail, 100, []fuzz.Oracle{fuzz.Prefix}, ""},
		{faults.CommitUncapped, 100, []fuzz.Oracle{fuzz.CommitFalls}, ""},
		{faults.ServeUncommitted, 100, []fuzz.Oracle{fuzz.IngestBound}, ""},
		{faults.NewerPage, 20, []fuzz.Oracle{fuzz.PageReplay}, ""},
		{faults.TruncateForgotten, 300, []fuzz.Oracle{fuzz.TreesKeep}, "kill-compute,takeover"},
		{faults.ShowUncommitted, 300, []fuzz.Oracle{fuzz.Linearizable}, "strand,zombie,kill-compute"},
		{faults.AppendOldTerm, 100, []fuzz.Oracle{fuzz.Liveness, fuzz.Prefix, fuzz.LostCommit, fuzz.DurableQuorum}, ""},
	}
	for _, test := range tests {
		name, _ := faults.Name(test.point)
		t.Run(name, func(t *testing.T) {
			undo := faults.Plant(test.point)
			defer undo()
			o := fuzz.Options{}
			if test.classes != "" {
				var err error
				if o.Classes, err = fuzz.ParseClasses(test.classes); err != nil {
					t.Fatal(err)
				}
			}
			for o.Seed = 1; o.Seed <= test.seeds; o.Seed++ {
				r := fuzz.Run(o)
				if r.Err == nil {
					continue
				}
				t.Logf("found at seed %d by %s", o.Seed, r.Oracle())
				if !slices.Contains(test.oracles, fuzz.Oracle(r.Oracle())) {
					t.Fatalf("seed %d failed by %s, want %v:\n%v", o.Seed, r.Oracle(), test.oracles, r.Err)
				}
				return
			}
			t.Fatalf("not found in %d seeds", test.seeds)
		})
	}
}
