package modelcheck

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

var (
	static22   = Bounds{Proposers: 2, Acceptors: 3, Terms: 2, Entries: 2}
	static32   = Bounds{Proposers: 2, Acceptors: 3, Terms: 3, Entries: 2}
	reconfig22 = Bounds{Proposers: 2, Acceptors: 2, Terms: 2, Entries: 2, Generations: 3}
)

func model(t *testing.T, b Bounds) *Model {
	t.Helper()
	m, err := newModel(b)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func run(t *testing.T, m *Model, o Options) *Result {
	t.Helper()
	r, err := Run(m, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func table(v *Violation) string {
	var b strings.Builder
	b.WriteString(v.Invariant.Name + ": " + v.Invariant.Words + "\n")
	v.Trace.Write(&b)
	return b.String()
}

// A size of a model is known: a change of an action, of the symmetry or of the
// search shows in it.
func expectSize(t *testing.T, b Bounds, distinct int64, depth int) {
	t.Helper()
	r := run(t, model(t, b), Options{})
	if r.Violation != nil {
		t.Fatal(table(r.Violation))
	}
	if r.Distinct != distinct || r.Depth != depth {
		t.Errorf("%s: %d states in %d levels, want %d in %d", b, r.Distinct, r.Depth, distinct, depth)
	}
}

func TestSmallestModelHolds(t *testing.T) { expectSize(t, static22, 61506, 30) }

// Without a rule an invariant breaks. steps is the length of the way there, 0
// if nobody has counted.
func expectBroken(t *testing.T, rule Rule, b Bounds, steps int, invariant string) {
	t.Helper()
	m := model(t, b)
	m.Break = rule
	r := run(t, m, Options{Memory: 8 << 30})
	if r.Violation == nil {
		t.Fatalf("%s: nothing broke in %d states", rule, r.Distinct)
	}
	if n := r.Violation.Trace.Len(); r.Violation.Invariant.Name != invariant || steps != 0 && n != steps {
		t.Errorf("%s: %d steps, want %s after %d:\n%s", rule, n, invariant, steps, table(r.Violation))
	}
}

func TestRulesAreNeeded(t *testing.T) {
	expectBroken(t, VoteOnce, static22, 6, "ElectionSafety")
	expectBroken(t, MajorityElects, static22, 4, "ElectionSafety")
	expectBroken(t, MajorityCommits, static22, 12, "CommittedNotTruncated")
	expectBroken(t, FreshestDonor, static22, 13, "CommittedNotTruncated")
	expectBroken(t, TruncateFirst, static22, 7, "CommittedNotTruncated")
	expectBroken(t, BothMajorities, reconfig22, 11, "ElectionSafetyFull")
	expectBroken(t, SyncedTerm, reconfig22, 10, "ElectionSafetyFull")
	expectBroken(t, OldMajorityKnows, reconfig22, 9, "ElectionSafetyFull")
	expectBroken(t, NewMajorityKnows, reconfig22, 11, "ElectionSafetyFull")
	expectBroken(t, SameGeneration, reconfig22, 10, "ElectionSafetyFull")
	expectBroken(t, NextGeneration, reconfig22, 3, "ConfigSafety")
}

// The models do what they are there for: claims that nothing much happens are
// found to be wrong.
func TestModelsAreNotVacuous(t *testing.T) {
	small := Bounds{Proposers: 1, Acceptors: 2, Terms: 2, Entries: 2, Generations: 3}
	for _, b := range []Bounds{static32, small} {
		for _, claim := range model(t, b).Vacuous() {
			if claim.Name == "MaxTruncatedTerms" && b == small {
				continue // one proposer has nothing to cut
			}
			m := model(t, b)
			r := run(t, m, Options{Also: []string{claim.Name}})
			if r.Violation == nil || r.Violation.Invariant.Name != claim.Name {
				t.Errorf("%s: nothing contradicts %q", b, claim.Words)
			}
		}
	}
	if _, err := Run(model(t, small), Options{Also: []string{"Nonsense"}}); err == nil {
		t.Error("a claim that nobody makes was taken")
	}
}

// A counterexample does not depend on how many workers look for it, and is a
// way: each state follows from the one before.
func TestTheSameTraceEveryTime(t *testing.T) {
	var first string
	for _, workers := range []int{1, 2, 7} {
		m := model(t, static22)
		m.Break = FreshestDonor
		v := run(t, m, Options{Workers: workers}).Violation
		if first == "" {
			first = table(v)
		}
		if got := table(v); got != first {
			t.Errorf("%d workers found\n%s\none found\n%s", workers, got, first)
		}
		for i, to := range v.Trace.steps[1:] {
			from, ok := v.Trace.steps[i], false
			m.successors(&from.state, func(n *state, what func() Action) { ok = ok || *n == to.state && what() == to.action })
			if !ok {
				t.Errorf("step %d, %s, does not follow", i+1, to.action)
			}
		}
	}
}

// Without taking names into account there are more states; those that differ in
// names only are as many classes as the search counts.
func TestNamesDoNotMatter(t *testing.T) {
	for _, b := range []Bounds{
		{Proposers: 2, Acceptors: 3, Terms: 2, Entries: 1},
		{Proposers: 2, Acceptors: 2, Terms: 1, Entries: 1, Generations: 2},
	} {
		m := model(t, b)
		ps, as := []int{0, 1}, []int{0, 1, 2}[:b.Acceptors]
		plain, least := m.codec(), m.codec()
		encode := func(s *state) string {
			plain.best = plain.best[:0]
			plain.tryOrder(s, ps, as)
			return string(plain.best)
		}
		init := m.initial()
		all, classes := map[string]bool{encode(&init): true}, map[string]bool{string(least.encode(&init)): true}
		for queue := []state{init}; len(queue) > 0; {
			s := queue[0]
			queue = queue[1:]
			m.successors(&s, func(n *state, _ func() Action) {
				if !m.inside(n) || all[encode(n)] {
					return
				}
				all[encode(n)], classes[string(least.encode(n))] = true, true
				queue = append(queue, *n)
			})
		}
		r := run(t, m, Options{})
		if r.Distinct != int64(len(classes)) || len(classes) >= len(all) {
			t.Errorf("%s: %d states, %d of them apart from names; the search found %d", b, len(all), len(classes), r.Distinct)
		}
		for enc := range classes {
			s := m.decode([]byte(enc))
			if !bytes.Equal(least.encode(&s), []byte(enc)) {
				t.Fatalf("a state is not what was written of it: %x", enc)
			}
		}
	}
}

func TestSearchKeepsItsMemory(t *testing.T) {
	_, err := Run(model(t, static32), Options{Memory: 1 << 20})
	if !errors.Is(err, ErrMemory) {
		t.Errorf("%v, want %v", err, ErrMemory)
	}
}

func TestBoundsAreChecked(t *testing.T) {
	for _, b := range []Bounds{{}, {Proposers: 9, Acceptors: 3, Terms: 1}, {Proposers: 2, Acceptors: 6, Terms: 1}, {Proposers: 1, Acceptors: 1, Terms: 99}} {
		if _, err := Static(b); !errors.Is(err, ErrBounds) {
			t.Errorf("%+v: %v", b, err)
		}
	}
	if _, err := Reconfig(Bounds{Proposers: 2, Acceptors: 3, Terms: 2, Entries: 2}); !errors.Is(err, ErrBounds) {
		t.Errorf("no generations: %v", err)
	}
}

func BenchmarkStatic(b *testing.B) {
	var generated int64
	for b.Loop() {
		m, _ := Static(static22)
		r, err := Run(m, Options{})
		if err != nil {
			b.Fatal(err)
		}
		generated += r.Generated
	}
	b.ReportMetric(float64(generated)/b.Elapsed().Seconds(), "generated/s")
}
