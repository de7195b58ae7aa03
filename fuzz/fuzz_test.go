package fuzz_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"xenon/fuzz"
)

// seeds is how many a test runs: few, or many with XENON_FULL.
func seeds(few, many uint64) uint64 {
	if os.Getenv("XENON_FULL") == "1" {
		return many
	}
	return few
}

// TestSeeds runs some seeds with all faults.
func TestSeeds(t *testing.T) {
	var total fuzz.Counts
	for seed := uint64(1); seed <= seeds(12, 200); seed++ {
		r := fuzz.Run(fuzz.Options{Seed: seed})
		if r.Err != nil {
			t.Errorf("seed %d: %v", seed, r.Err)
		}
		total.Elections += r.Counts.Elections
		total.PagesCompared += r.Counts.PagesCompared
		total.CrossChecked += r.Counts.CrossChecked
		total.Writes += r.Counts.Writes
	}
	t.Logf("%d elections, %d writes, %d pages compared, %d written ones", total.Elections, total.Writes, total.PagesCompared, total.CrossChecked)
	if total.Writes == 0 || total.PagesCompared == 0 || total.CrossChecked == 0 {
		t.Error("nothing happened")
	}
}

// TestSameSeedSameRun runs seeds twice.
func TestSameSeedSameRun(t *testing.T) {
	for seed := uint64(1); seed <= seeds(2, 50); seed++ {
		a, b := fuzz.Run(fuzz.Options{Seed: seed}), fuzz.Run(fuzz.Options{Seed: seed})
		if a.Hash != b.Hash || a.Steps != b.Steps {
			t.Errorf("seed %d: hashes %x and %x after %d and %d steps", seed, a.Hash, b.Hash, a.Steps, b.Steps)
		}
	}
}

// TestCorpus runs every plan that once failed, or that a mutant fails on. A file
// of testdata/corpus says in its first lines what was wrong.
func TestCorpus(t *testing.T) {
	for _, c := range corpus(t) {
		t.Run(c.name, func(t *testing.T) {
			if r := fuzz.Run(fuzz.Options{Plan: c.plan}); r.Err != nil {
				t.Error(r.Err)
			}
		})
	}
}

// A kept plan is one of the corpus.
type kept struct {
	name   string
	plan   *fuzz.Plan
	mutant string // that it fails on: "# mutant M30" in a line of its own; else empty
}

func corpus(t *testing.T) (list []kept) {
	t.Helper()
	files, err := filepath.Glob("testdata/corpus/*.plan")
	if err != nil || len(files) == 0 {
		t.Fatalf("no corpus: %v", err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		c := kept{name: filepath.Base(name)}
		if c.plan, err = fuzz.ReadPlan(bytes.NewReader(b)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for line := range strings.Lines(string(b)) {
			if m, ok := strings.CutPrefix(line, "# mutant "); ok {
				c.mutant = strings.TrimSpace(m)
			}
		}
		list = append(list, c)
	}
	return list
}

// TestPlanText: a plan that is read is the one that was written, and what is no
// plan is refused.
func TestPlanText(t *testing.T) {
	for _, c := range corpus(t) {
		var a, b bytes.Buffer
		c.plan.WriteTo(&a)
		again, err := fuzz.ReadPlan(&a)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		c.plan.WriteTo(&a)
		if again.WriteTo(&b); a.Len() == 0 || a.String() != b.String() {
			t.Errorf("%s: %s, read again %s", c.name, a.String(), b.String())
		}
	}
	for _, bad := range []string{"", "{}", `{"seed": 1, "steps": ["1s nothing #1 for 1s"]}`, `{"seed": 1, "acts": ["1s fork"]}`, `{"sed": 1}`} {
		if _, err := fuzz.ReadPlan(strings.NewReader(bad)); err == nil {
			t.Errorf("%q is a plan", bad)
		}
	}
}
