package modelcheck

import "testing"

// toFigure8 is how figure 8 of the Raft paper begins, with proposers outside of
// three acceptors: p1 writes two entries in term 1 that only a1 gets, p2 one in
// term 2 that only a3 gets, and p1 is elected in term 3 by a1's log.
var toFigure8 = []string{
	"Vote(p1, a1)", "Vote(p1, a2)", "BecomeLeader(p1) donor a1", "NewEntry(p1)", "NewEntry(p1)",
	"Truncate(p1, a1)", "Append(p1, a1)", "Append(p1, a1)",
	"Restart(p2)", "Vote(p2, a2)", "Vote(p2, a3)", "BecomeLeader(p2) donor a2", "NewEntry(p2)",
	"Truncate(p2, a3)", "Append(p2, a3)",
	"Restart(p1)", "Vote(p1, a1)", "Vote(p1, a2)", "BecomeLeader(p1) donor a1",
}

// TestFigure8 looks from there on at everything that can follow: without the
// rule that only what a majority has in the own term is committed, two entries
// are committed in one place. From the start that takes tens of millions of
// states.
func TestFigure8(t *testing.T) {
	b := Bounds{Proposers: 2, Acceptors: 3, Terms: 4, Entries: 2}
	m := model(t, b)
	m.Break = OwnTermCommits
	r := run(t, m, Options{After: toFigure8})
	if r.Violation == nil || r.Violation.Invariant.Name != "LogSafety" && r.Violation.Invariant.Name != "CommittedNotTruncated" {
		t.Fatalf("nothing is committed that is lost, in %d states of %d levels", r.Distinct, r.Depth)
	}
	t.Logf("%d steps, %d states\n%s", r.Violation.Trace.Len(), r.Distinct, table(r.Violation))
}
