//go:build faults

package modelcheck

import (
	"testing"

	"xenon/core/faults"
)

// TestProductionCodeMessageByMessage: faults of the production code that break an
// invariant once messages, crashes and wounds are followed.
func TestProductionCodeMessageByMessage(t *testing.T) {
	for _, x := range []struct {
		point     faults.Point
		bounds    Bounds
		budget    Budget
		invariant string
	}{
		{faults.VoteNotDurable, wire21, Budget{Crashes: 1}, "ElectionSafetyFull"},
		{faults.VoteTwice, wire21, Budget{}, "ElectionSafety"},
		{faults.HalfElects, wire21, Budget{}, "ElectionSafetyFull"},
		{faults.OldVotesCount, wire21, Budget{}, "ElectionSafety"},
		{faults.DonorByLength, wire31, Budget{}, "LeaderCompleteness"},
		{faults.DonorAny, wire21, Budget{Losses: 1}, "LeaderCompleteness"},
		{faults.KeepTail, wire21, Budget{}, "Sound"},
		{faults.IgnoreProposerEnd, wire21, Budget{}, "Sound"},
		{faults.AppendOldTerm, wire21, Budget{}, "Durable"},
		{faults.WoundedVotes, wire21, Budget{Wounds: 1}, "LeaderCompleteness"},
		{faults.WoundForgotten, wire21, Budget{Wounds: 1}, "Durable"},
		{faults.HealedEarly, wire21, Budget{Wounds: 1, Delays: 1}, "Durable"},
	} {
		undo := faults.Plant(x.point)
		r := runWire(t, x.bounds, Nothing, x.budget, Options{})
		undo()
		name, _ := faults.Name(x.point)
		if r.Violation == nil || r.Violation.Invariant.Name != x.invariant {
			t.Errorf("%s: nothing breaks %s in %d states", name, x.invariant, r.Distinct)
			continue
		}
		t.Logf("%-5s %-20s %2d steps %6d states", name, r.Violation.Invariant.Name, r.Violation.Trace.Len(), r.Distinct)
	}
}
