package modelcheck

import (
	"errors"
	"os"
	"testing"
)

var (
	wire21 = Bounds{Proposers: 2, Acceptors: 3, Terms: 2, Entries: 1}
	wire31 = Bounds{Proposers: 2, Acceptors: 3, Terms: 3, Entries: 1}
)

func runWire(t *testing.T, b Bounds, rule Rule, g Budget, o Options) *Result {
	t.Helper()
	m := model(t, b)
	m.Break = rule
	r, err := RunWire(m, g, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func expectWire(t *testing.T, b Bounds, g Budget, distinct int64, depth int) {
	t.Helper()
	r := runWire(t, b, Nothing, g, Options{Memory: 12 << 30})
	if r.Violation != nil {
		t.Fatal(table(r.Violation))
	}
	if r.Distinct != distinct || r.Depth != depth {
		t.Errorf("%s, %s: %d states in %d levels, want %d in %d", b, g, r.Distinct, r.Depth, distinct, depth)
	}
	t.Logf("%s, %s: %d states in %d levels", b, g, r.Distinct, r.Depth)
}

// TestMessageByMessage: production code keeps its promises with messages that
// are late, connections that break, crashes and wounds. The sizes are known: a
// change of the code, or of what may go wrong, shows in them.
func TestMessageByMessage(t *testing.T) {
	expectWire(t, wire21, Budget{}, 4768, 71)
	expectWire(t, wire21, Budget{Losses: 1}, 32283, 78)
	expectWire(t, wire31, Budget{}, 23078, 92)
	if os.Getenv("XENON_FULL") == "" {
		return
	}
	expectWire(t, wire21, Budget{Wounds: 1}, 81917, 83)
	expectWire(t, wire21, Budget{Crashes: 1}, 144431, 80)
	expectWire(t, wire21, Budget{Delays: 1}, 225889, 77)
}

// TestPromisesOfANode: what a node owes an acceptor's step is needed, and in this
// order. Where a step is one with what it owes, as without a crash, it does not show.
func TestPromisesOfANode(t *testing.T) {
	for _, x := range []struct {
		rule      Rule
		invariant string
	}{
		{AnswerLast, "ElectionSafetyFull"},
		{CutFirst, "Sound"},
		{SyncFirst, "Durable"},
	} {
		r := runWire(t, wire21, x.rule, Budget{Crashes: 1}, Options{})
		if r.Violation == nil || r.Violation.Invariant.Name != x.invariant {
			t.Errorf("%s: nothing breaks %s in %d states", x.rule, x.invariant, r.Distinct)
			continue
		}
		t.Logf("%-12s %-20s %2d steps %6d states", x.rule, r.Violation.Invariant.Name, r.Violation.Trace.Len(), r.Distinct)
		if x.rule == SyncFirst {
			continue // the judge sees the disk
		}
		if r := runWire(t, wire21, x.rule, Budget{}, Options{}); r.Violation != nil {
			t.Errorf("%s shows without a crash:\n%s", x.rule, table(r.Violation))
		}
	}
}

// TestMessagesReach: claims that nothing much happens are wrong.
func TestMessagesReach(t *testing.T) {
	for _, claim := range []string{"MaxTerm", "MaxAccWalLen", "MaxCommitLsn"} {
		r := runWire(t, Bounds{Proposers: 1, Acceptors: 3, Terms: 2, Entries: 2}, Nothing, Budget{}, Options{Also: []string{claim}})
		if r.Violation == nil || r.Violation.Invariant.Name != claim {
			t.Errorf("nothing contradicts %s", claim)
		}
	}
}

func TestMessagesKeepTheirMemory(t *testing.T) {
	if _, err := RunWire(model(t, wire21), Budget{Losses: 1}, Options{Memory: 1 << 20}); !errors.Is(err, ErrMemory) {
		t.Errorf("%v, want %v", err, ErrMemory)
	}
	if _, err := RunWire(model(t, reconfig22), Budget{}, Options{}); !errors.Is(err, ErrBounds) {
		t.Errorf("a model that changes members: %v", err)
	}
}
