//go:build faults

package fuzz_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"xenon/core/faults"
	"xenon/fuzz"
)

// smaller is a failure by a mutant and what minimising made of it.
type smaller struct {
	name, oracle      string
	seed              uint64
	before, faults    int // steps and acts of the plan that was found; faults that are left
	acts, safekeepers int
	took              time.Duration
}

func (s smaller) steps() int { return s.faults + s.acts }

// TestMinimisedMutants makes the failure that finds each mutant smaller, prints
// a table of what is left, and holds it to: half of them have at most 10 steps,
// of which at most 3 are faults, and 95 of 100 take at most a minute of this
// machine. It takes the mutants that are found soon, and all of them with
// XENON_FULL; XENON_MINIMISE names those to take.
func TestMinimisedMutants(t *testing.T) {
	if seeds(0, 1) == 0 && os.Getenv("XENON_MINIMISE") == "" {
		minimiseMutant(t, mutants[slices.IndexFunc(mutants, func(m mutant) bool { return m.point == faults.AckBeforeFsync })], 60)
		return
	}
	var all []smaller
	for _, m := range mutants {
		name, _ := faults.Name(m.point)
		if only := os.Getenv("XENON_MINIMISE"); only != "" && !slices.Contains(strings.Split(only, ","), name) {
			continue
		}
		if s, ok := minimiseMutant(t, m, 100_000); ok {
			all = append(all, s)
			fmt.Println(row(s))
		}
	}
	t.Log("\n" + table(all))
	median := func(of func(smaller) int) int {
		var list []int
		for _, s := range all {
			list = append(list, of(s))
		}
		slices.Sort(list)
		return list[len(list)/2]
	}
	late := slices.DeleteFunc(slices.Clone(all), func(s smaller) bool { return s.took <= time.Minute })
	if steps, strikes := median(smaller.steps), median(func(s smaller) int { return s.faults }); steps > 10 || strikes > 3 || 20*len(late) > len(all) {
		t.Errorf("half of all failures keep more than %d steps and %d faults, %d of %d took more than a minute", steps, strikes, len(late), len(all))
	}
}

// minimiseMutant finds a mutant and makes its failure smaller, by so many runs
// and in a minute and a half at most.
func minimiseMutant(t *testing.T, m mutant, runs int) (s smaller, ok bool) {
	t.Helper()
	name, _ := faults.Name(m.point)
	defer faults.Plant(m.point)()
	o := fuzz.Options{}
	if m.classes != "" {
		var err error
		if o.Classes, err = fuzz.ParseClasses(m.classes); err != nil {
			t.Fatal(err)
		}
	}
	for o.Seed = 1; o.Seed <= m.bound(); o.Seed++ {
		r := fuzz.Run(o)
		if r.Err == nil || !slices.Contains(m.oracles, fuzz.Oracle(r.Oracle())) {
			continue
		}
		began := time.Now()
		b := fuzz.Budget{Runs: runs, Left: func() bool { return time.Since(began) < 90*time.Second }}
		p, small := b.Minimise(r.Plan)
		if small == nil || !fuzz.SameFailure(small, r) {
			t.Fatalf("%s: what came of seed %d does not fail in the same way", name, o.Seed)
		}
		if again := fuzz.Run(fuzz.Options{Plan: p}); again.Hash != small.Hash {
			t.Errorf("%s: the smaller plan does not run the same twice", name)
		}
		if len(p.Steps) > len(r.Plan.Steps) || len(p.Acts) > len(r.Plan.Acts) {
			t.Errorf("%s: the smaller plan is larger", name)
		}
		return smaller{name, r.Oracle(), o.Seed, len(r.Plan.Steps) + len(r.Plan.Acts), len(p.Steps), len(p.Acts), p.Topology.Safekeepers, time.Since(began)}, true
	}
	t.Logf("%s was not found in %d seeds", name, m.bound())
	return s, false
}

func row(s smaller) string {
	return fmt.Sprintf("| %s | %s | %d | %d | %d | %d | %d | %.0f |", s.name, s.oracle, s.seed, s.before, s.faults, s.acts, s.safekeepers, s.took.Seconds())
}

// table is what is printed for people, and what docs/checks.md shows.
func table(all []smaller) string {
	var b strings.Builder
	b.WriteString("| mutant | failed by | seed | steps | faults left | acts left | safekeepers left | seconds |\n|---|---|---|---|---|---|---|---|\n")
	for _, s := range all {
		b.WriteString(row(s) + "\n")
	}
	return b.String()
}
