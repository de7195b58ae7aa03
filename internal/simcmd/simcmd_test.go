package simcmd_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"xenon/core/faults"
	"xenon/fuzz"
	"xenon/internal/simcmd"
)

// TestMain makes the test binary the second process of a comparison: it prints
// the trails of seeds 1 to 3, the last one of them
// wrong if XENON_SIM_WRONG is set. Asked for the events of a run it prints them,
// one of them wrong then.
func TestMain(m *testing.M) {
	if slices.Contains(os.Args, "--events") {
		events()
		os.Exit(0)
	}
	if os.Getenv("XENON_SIM_WORKER") != "" {
		explorer()
		os.Exit(0)
	}
	if os.Getenv("XENON_SIM_SECOND") == "" {
		os.Exit(m.Run())
	}
	last := simcmd.Trail{}
	_, err := simcmd.Run(simcmd.Options{From: 1, To: 3, Classes: []fuzz.Class{}, Workers: 1, Done: func(r *fuzz.Result) {
		if last.Seed != 0 {
			last.Write(os.Stdout)
		}
		last = simcmd.NewTrail(r)
	}})
	if os.Getenv("XENON_SIM_WRONG") != "" {
		last.Hash++
		last.Windows[1]++
	}
	last.Write(os.Stdout)
	if err != nil {
		os.Exit(1)
	}
}

func events() {
	var b bytes.Buffer
	if err := simcmd.Events(simcmd.Options{From: 3, Classes: []fuzz.Class{}}, 1025, 1024, &b); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	out := b.String()
	if simcmd.Second() && os.Getenv("XENON_SIM_WRONG") != "" {
		out = strings.Replace(out, "step 1500 at", "step 1500 not at", 1)
	}
	fmt.Print(out)
}

// calm runs seeds without faults.
func calm(t *testing.T, o simcmd.Options) *simcmd.Summary {
	t.Helper()
	if o.Classes == nil {
		o.Classes = []fuzz.Class{}
	}
	s, err := simcmd.Run(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSummaryAddsUp: every seed runs once, and what is told is the sum of what
// came of each.
func TestSummaryAddsUp(t *testing.T) {
	seen := map[uint64]bool{}
	var want fuzz.Counts
	last := uint64(0)
	kill, err := fuzz.ParseClasses("kill-compute")
	if err != nil {
		t.Fatal(err)
	}
	s := calm(t, simcmd.Options{From: 3, To: 8, Classes: kill, Workers: 3, Done: func(r *fuzz.Result) {
		if seen[r.Seed] {
			t.Errorf("seed %d ran twice", r.Seed)
		}
		if r.Seed < last {
			t.Errorf("seed %d is told after %d", r.Seed, last)
		}
		seen[r.Seed], last = true, r.Seed
		want.Writes += r.Counts.Writes
		want.PagesCompared += r.Counts.PagesCompared
		want.CrossChecked += r.Counts.CrossChecked
		want.Uploads += r.Counts.Uploads
		want.Injected[fuzz.KillServer] += r.Counts.Injected[fuzz.KillServer]
	}})
	if len(seen) != 6 || s.Seeds != 6 || s.Failures != 0 {
		t.Errorf("%d seeds ran, %d are told, %d failed", len(seen), s.Seeds, s.Failures)
	}
	got := s.Classes[fuzz.KillServer.String()]
	if s.Writes != want.Writes || s.Pages != want.PagesCompared || s.CrossChecked != want.CrossChecked || s.Uploads != want.Uploads || got.Injected != want.Injected[fuzz.KillServer] {
		t.Errorf("told %+v, want %+v", s, want)
	}
	if want.Writes == 0 || got.Injected == 0 || s.SimSeconds == 0 || s.Steps == 0 {
		t.Errorf("nothing happened: %+v", s)
	}
	var told map[string]any
	b, err := json.Marshal(s)
	if err == nil {
		err = json.Unmarshal(b, &told)
	}
	for _, key := range []string{"seeds", "failures", "sim_seconds", "cpu_seconds", "steps", "fault_classes_effective", "gates",
		"branch_creations", "restarts_from_bucket", "generation_changes", "flushes", "uploads", "downloads", "deletions"} {
		if _, ok := told[key]; !ok || err != nil {
			t.Errorf("JSON has no %q (%v)", key, err)
		}
	}
	for _, word := range []string{"seeds 6", "kill-compute", "branches created", "restart_from_bucket"} {
		if !strings.Contains(s.Text(), word) {
			t.Errorf("the text says nothing of %q:\n%s", word, s.Text())
		}
	}
}

// TestGates: many clean runs in which nothing happens are no proof.
func TestGates(t *testing.T) {
	s := calm(t, simcmd.Options{From: 1, To: 2})
	if err := s.Err(); err != nil {
		t.Errorf("two calm seeds: %v", err)
	}
	all := &simcmd.Summary{Seeds: 100, Gates: map[string]simcmd.Gate{}}
	if err := all.Err(); err != nil {
		t.Errorf("gates that are passed: %v", err)
	}
	all.Gates["restart_from_bucket"] = simcmd.Gate{Runs: 29, Ratio: 0.29, Least: 0.3}
	if err := all.Err(); err == nil || !strings.Contains(err.Error(), "restart_from_bucket") {
		t.Errorf("a gate that is not passed: %v", err)
	}
	all.Failures = 1
	if err := all.Err(); err == nil || !strings.Contains(err.Error(), "1 of 100") {
		t.Errorf("a failure: %v", err)
	}
}

// TestSecondProcess: equal runs are found equal, and of others the place is
// told where they part.
func TestSecondProcess(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var trails simcmd.Trails
	calm(t, simcmd.Options{From: 1, To: 3, Workers: 2, Done: trails.Add})
	c, err := simcmd.Twice(exe, nil, nil, trails.All(), os.Stderr)
	if err != nil || c.Compared != 3 || c.Different != 0 {
		t.Fatalf("equal runs: %+v, %v", c, err)
	}
	t.Setenv("XENON_SIM_WRONG", "1")
	if c, err = simcmd.Twice(exe, nil, nil, trails.All(), os.Stderr); err != nil || c.Different != 1 || !strings.Contains(c.First, "seed 3") || !strings.Contains(c.First, "steps 1025 to 2048") ||
		!strings.Contains(c.First, "here   step 1500 at") || !strings.Contains(c.First, "there  step 1500 not at") {
		t.Errorf("a run that differs: %+v, %v", c, err)
	}
	s := &simcmd.Summary{Hashes: c}
	if s.Err() == nil {
		t.Error("a difference is no error")
	}
	missing := append(trails.All(), simcmd.Trail{Seed: 9})
	if c, err = simcmd.Twice(exe, nil, nil, missing, os.Stderr); err != nil || c.Different != 2 {
		t.Errorf("a seed that did not run: %+v, %v", c, err)
	}
}

// TestReplay: the command that is told of a failure is one that runs it again.
func TestReplay(t *testing.T) {
	some, _ := fuzz.ParseClasses("zombie,duel")
	tests := []struct {
		o    simcmd.Options
		want string
	}{
		{simcmd.Options{}, "xenon sim --seed 7"},
		{simcmd.Options{Classes: []fuzz.Class{}}, "xenon sim --seed 7 --faults none"},
		{simcmd.Options{Classes: some}, "xenon sim --seed 7 --faults duel,zombie"},
		{simcmd.Options{Mutant: "M30"}, "go run -tags faults ./cmd/xenon sim --mutant M30 --seed 7"},
		{simcmd.Options{Plan: &fuzz.Plan{}, File: "x.plan"}, "xenon sim --plan x.plan"},
	}
	for _, tt := range tests {
		if got := simcmd.Replay(tt.o, 7); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}

// TestPlan: a plan that was written down runs as it did.
func TestPlan(t *testing.T) {
	var first *fuzz.Result
	calm(t, simcmd.Options{From: 5, To: 5, Done: func(r *fuzz.Result) { first = r }})
	var b bytes.Buffer
	if _, err := first.Plan.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	p, err := fuzz.ReadPlan(strings.NewReader("# for people\n" + b.String()))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "5.plan")
	s := calm(t, simcmd.Options{Plan: p, File: file, Done: func(r *fuzz.Result) {
		if r.Hash != first.Hash || r.Steps != first.Steps {
			t.Errorf("hash %x after %d steps, want %x after %d", r.Hash, r.Steps, first.Hash, first.Steps)
		}
	}})
	if s.Seeds != 1 {
		t.Errorf("%d runs of one plan", s.Seeds)
	}
}

// TestMutants: a binary without them says how to get one that has them.
func TestMutants(t *testing.T) {
	_, err := simcmd.Run(simcmd.Options{From: 1, To: 1, Mutant: "M999"})
	var no simcmd.ErrNoMutants
	if errors.As(err, &no) == faults.On {
		t.Errorf("unknown mutant with faults %v: %v", faults.On, err)
	}
	if !faults.On {
		return
	}
	s, err := simcmd.Run(simcmd.Options{From: 1, To: 1000, Mutant: "M29", Workers: 1})
	if err != nil || s.Failures != 1 || s.Seeds == 1000 {
		t.Errorf("M29: %+v, %v", s, err)
	}
	if len(s.Failed) != 1 || !strings.Contains(s.Failed[0].Replay, "--mutant M29") {
		t.Errorf("failures: %+v", s.Failed)
	}
}
