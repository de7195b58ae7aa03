package modelcheck

import (
	"os"
	"testing"
)

// TestProductionCodeIsTheModel ties the model to the code it is a model of: the
// sets of states are equal. ./check has the command do so for three acceptors.
func TestProductionCodeIsTheModel(t *testing.T) {
	expectReal(t, Bounds{Proposers: 2, Acceptors: 2, Terms: 2, Entries: 2}, 1153, 21)
	if os.Getenv("XENON_FULL") != "" {
		expectReal(t, static22, 61506, 30)
		expectReal(t, static32, 2797577, 39)
	}
}

func expectReal(t *testing.T, b Bounds, distinct int64, depth int) {
	t.Helper()
	r, err := RunReal(model(t, b), Options{Memory: 12 << 30})
	if err != nil {
		t.Fatal(err)
	}
	if r.Violation != nil {
		t.Fatal(table(r.Violation))
	}
	if r.Distinct != distinct || r.Depth != depth {
		t.Errorf("%s: %d states in %d levels, want %d in %d", b, r.Distinct, r.Depth, distinct, depth)
	}
	t.Logf("%s: %d states in %d levels, %d made", b, r.Distinct, r.Depth, r.Generated)
}

// TestClaimsAboutProductionCode: a claim that is wrong on purpose is found to be
// wrong, so that what the code reaches is more than the beginning.
func TestClaimsAboutProductionCode(t *testing.T) {
	for _, claim := range []string{"MaxTerm", "MaxCommitLsn"} {
		r, err := RunReal(model(t, Bounds{Proposers: 2, Acceptors: 2, Terms: 2, Entries: 2}), Options{Also: []string{claim}})
		if err != nil {
			t.Fatal(err)
		}
		if r.Violation == nil || r.Violation.Invariant.Name != claim {
			t.Errorf("nothing contradicts %s", claim)
		}
	}
}

// TestProductionCodeChangesMembers: configurations, changes of them and what a
// driver does about them are production's too.
func TestProductionCodeChangesMembers(t *testing.T) {
	expectReal(t, Bounds{Proposers: 2, Acceptors: 2, Terms: 1, Entries: 1, Generations: 3}, 2366, 20)
	if os.Getenv("XENON_FULL") != "" {
		expectReal(t, Bounds{Proposers: 2, Acceptors: 2, Terms: 2, Entries: 1, Generations: 3}, 97626, 28)
		expectReal(t, reconfig22, 387130, 33)
	}
}
