package report

import (
	"slices"

	"xenon/fuzz"
)

// Passing finds a run that does not fail and has most in common with one that
// does: the same plan without one step or one act, the last one whose absence
// saves the run, so that both go the same way for as long as possible. It takes
// budget runs at most; nil if it finds none.
func Passing(r *Run, budget int) *Run {
	for i := len(r.Plan.Steps) - 1; i >= 0 && budget > 0; i-- {
		p := *r.Plan
		p.Steps = slices.Delete(slices.Clone(p.Steps), i, i+1)
		if budget--; fuzz.Run(fuzz.Options{Plan: &p}).Err == nil {
			return Record(fuzz.Options{Plan: &p})
		}
	}
	for i := len(r.Plan.Acts) - 1; i >= 0 && budget > 0; i-- {
		p := *r.Plan
		p.Acts = slices.Delete(slices.Clone(p.Acts), i, i+1)
		if budget--; fuzz.Run(fuzz.Options{Plan: &p}).Err == nil {
			return Record(fuzz.Options{Plan: &p})
		}
	}
	return nil
}
