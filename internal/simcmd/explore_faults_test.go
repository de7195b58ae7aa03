//go:build faults

package simcmd_test

import (
	"testing"
	"time"

	"xenon/fuzz"
	"xenon/internal/simcmd"
)

// TestExploringKeepsFailures: a failure is made smaller, and kept as a plan that
// still fails; a plan that fails is told of again.
func TestExploringKeepsFailures(t *testing.T) {
	classes, err := fuzz.ParseClasses("power-safekeeper")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	o := simcmd.Options{From: 1, Explore: true, Within: time.Minute, Classes: classes, Corpus: dir, Mutant: "M30", Minimise: 5 * time.Second}
	var failed *fuzz.Result
	o.Done = func(r *fuzz.Result) {
		if r.Err != nil {
			failed = r
		}
	}
	s, err := simcmd.Run(o)
	if err != nil || s.Failures != 1 || failed == nil || s.Failed[0].Plan == "" {
		t.Fatalf("%+v, %v", s, err)
	}
	if n := len(failed.Plan.Steps) + len(failed.Plan.Acts); n > 2 {
		t.Errorf("%d steps are left of the plan", n)
	}
	if again, err := simcmd.Run(simcmd.Options{Plan: failed.Plan, Mutant: "M30"}); err != nil || again.Failures != 1 {
		t.Errorf("the kept plan does not fail: %+v, %v", again, err)
	}
}
