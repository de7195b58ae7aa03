package register_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"example.org/register"

	"xenon/linearizability"
	"xenon/netsim/picture"
)

// TestCorrectStore: nothing that forty seeds do to it can be seen by clients.
func TestCorrectStore(t *testing.T) {
	calls := 0
	for seed := range uint64(40) {
		r := register.Simulate(seed+1, register.Bugs{}, false)
		if r.Err != nil {
			t.Fatalf("seed %d: %v", r.Seed, r.Err)
		}
		calls += r.Calls
	}
	if calls < 8_000 {
		t.Errorf("%d calls in all: the runs prove little", calls)
	}
	t.Logf("%d calls", calls)
}

// TestBugsAreFound: each planted bug shows within a few seeds, as a history that
// has no order, and its seed shows it again.
func TestBugsAreFound(t *testing.T) {
	for name, bugs := range map[string]register.Bugs{"no write-back": {NoWriteBack: true}, "no sync": {NoSync: true}} {
		t.Run(name, func(t *testing.T) {
			for seed := uint64(1); seed <= 300; seed++ {
				r := register.Simulate(seed, bugs, false)
				if r.Err == nil {
					continue
				}
				var v *linearizability.Violation
				if !errors.As(r.Err, &v) {
					t.Fatalf("seed %d fails by something else: %v", seed, r.Err)
				}
				again := register.Simulate(seed, bugs, true)
				if again.Hash != r.Hash || again.Err == nil {
					t.Fatalf("seed %d goes another way when it is recorded: %v", seed, again.Err)
				}
				call, ok := v.Unexplained()
				t.Logf("seed %d: %v: %s (%v)", seed, r.Err, call.Text, ok)
				page(t, again)
				return
			}
			t.Fatal("no seed finds it")
		})
	}
}

// page looks at the picture of a run.
func page(t *testing.T, r *register.Run) {
	t.Helper()
	var b bytes.Buffer
	if err := picture.Write(&b, r.Picture(), nil); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"node3", "client4", "not linearizable", `put \"`} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the page does not have %s", want)
		}
	}
}
