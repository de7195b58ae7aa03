//go:build faults

package modelcheck

import (
	"testing"

	"xenon/core/faults"
)

// expectKilled: with a planted fault the production code reaches a state that
// breaks an invariant, the shortest way after steps actions.
func expectKilled(t *testing.T, p faults.Point, b Bounds, steps int, invariant string) {
	t.Helper()
	undo := faults.Plant(p)
	defer undo()
	r, err := RunReal(model(t, b), Options{Memory: 8 << 30})
	if err != nil {
		t.Fatal(err)
	}
	if r.Violation == nil {
		t.Errorf("%v survives %d states in %d levels", p, r.Distinct, r.Depth)
		return
	}
	name, _ := faults.Name(p)
	if n := r.Violation.Trace.Len(); n != steps || r.Violation.Invariant.Name != invariant {
		t.Errorf("%v: %s after %d steps, want %s after %d:\n%s", p, r.Violation.Invariant.Name, n, invariant, steps, table(r.Violation))
	}
	t.Logf("%-18s %-22s %2d steps %7d states", name, r.Violation.Invariant.Name, r.Violation.Trace.Len(), r.Distinct)
}

// TestProductionCodeWithoutARule: faults of the production code that show when
// every action is undisturbed. Those that need a message on its way, a crash
// between two actions or an old connection do not: the simulator has those.
func TestProductionCodeWithoutARule(t *testing.T) {
	expectKilled(t, faults.VoteNotDurable, static22, 1, "Kept")
	expectKilled(t, faults.AckBeforeFsync, static22, 6, "Kept")
	expectKilled(t, faults.VoteTwice, static22, 2, "Model")
	expectKilled(t, faults.HalfElects, static22, 2, "Model")
	expectKilled(t, faults.OldVotesCount, static22, 2, "Model")
	expectKilled(t, faults.DonorAny, static22, 9, "Model")
	expectKilled(t, faults.HalfCommits, static22, 7, "Model")
	expectKilled(t, faults.KeepTail, static22, 12, "Model")
	expectKilled(t, faults.AppendOldTerm, static22, 8, "Model")
	expectKilled(t, faults.NoPrefixKeepsLog, static22, 13, "Model")
	expectKilled(t, faults.StrictUpTo, static22, 6, "Model")
	expectKilled(t, faults.CommitOldTerm, static22, 16, "Model")
	expectKilled(t, faults.IgnoreProposerEnd, static22, 14, "Model")
	expectKilled(t, faults.DonorByLength, static22, 9, "Model")
}

// TestChangesOfMembersWithoutARule: the same of configurations and of the driver
// that changes them. A sync point by too few (M45b) needs an old set of two.
func TestChangesOfMembersWithoutARule(t *testing.T) {
	small := Bounds{Proposers: 2, Acceptors: 2, Terms: 1, Entries: 1, Generations: 3}
	expectKilled(t, faults.JointElectsByOne, small, 3, "Model")
	expectKilled(t, faults.JointCommitsByOne, small, 11, "Model")
	expectKilled(t, faults.JointCountsShort, small, 3, "Model")
	expectKilled(t, faults.FinishUnsynced, small, 5, "Model")
	expectKilled(t, faults.FinishUnheard, small, 3, "Model")
	expectKilled(t, faults.SyncByTerm, small, 8, "Model")
	expectKilled(t, faults.MembersSwapped, small, 1, "Model")
}
