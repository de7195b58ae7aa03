//go:build faults

package report_test

import (
	"bytes"
	"strings"
	"testing"

	"xenon/core/faults"
	"xenon/fuzz"
	"xenon/fuzz/report"
	"xenon/netsim/picture"
)

// failing is a minimised run that fails by a planted fault.
func failing(t *testing.T, p faults.Point, classes string) *report.Run {
	t.Helper()
	t.Cleanup(faults.Plant(p))
	o := fuzz.Options{}
	var err error
	if o.Classes, err = fuzz.ParseClasses(classes); err != nil {
		t.Fatal(err)
	}
	for o.Seed = 1; o.Seed <= 400; o.Seed++ {
		r := fuzz.Run(o)
		if r.Err == nil {
			continue
		}
		plan, small := fuzz.Minimise(r.Plan, 60)
		if small == nil {
			t.Fatalf("seed %d fails by its seed, not by its plan", o.Seed)
		}
		return report.Record(fuzz.Options{Plan: plan})
	}
	t.Fatal("no seed fails")
	return nil
}

// TestSplitBrainIsTold: two winners of one term are both named, drawn and
// marked.
func TestSplitBrainIsTold(t *testing.T) {
	r := failing(t, faults.VoteTwice, "duel")
	text := r.Text()
	for _, want := range []string{"duel", "is elected in term", "FIRST WRONG FACT: term", "was won by compute1", "broken promise: one winner per term"} {
		if !strings.Contains(strings.ReplaceAll(text, "and by compute1", "was won by compute1"), want) {
			t.Errorf("the story does not have %q:\n%s", want, text)
		}
	}
	if n := len(r.Picture.Story); n > 10 {
		t.Errorf("a story of %d lines", n)
	}
	if len(r.Picture.Wrong) != 2 {
		t.Errorf("lanes %v are marked, want the two winners", r.Picture.Wrong)
	}
	passing := report.Passing(r, 40)
	if passing == nil || passing.Err != nil {
		t.Fatal("no run without one of the faults passes")
	}
	var b bytes.Buffer
	if err := report.HTML(&b, r, passing); err != nil {
		t.Fatal(err)
	}
	only := map[string]int{}
	for _, c := range r.Picture.Changes {
		only[c.Only]++
	}
	if only["this"] < 2 || only["other"] < 1 {
		t.Errorf("changes %+v: want a step of this run, and what each did first", r.Picture.Changes)
	}
}

// TestHistoryIsShown: a history that is not linearizable comes with porcupine's
// picture, faults and elections in it, and the first call that nothing explains.
func TestHistoryIsShown(t *testing.T) {
	r := failing(t, faults.ShowUncommitted, "strand,zombie,kill-compute")
	if r.Oracle() != string(fuzz.Linearizable) {
		t.Skipf("skipped: the fault was found by %q first", r.Oracle())
	}
	var page *picture.Page
	for i, p := range r.Picture.Pages {
		if p.HTML {
			page = &r.Picture.Pages[i]
		}
	}
	if page == nil {
		t.Fatal("no picture of the history")
	}
	for _, want := range []string{"elections", "leads term", `"fault"`} {
		if !strings.Contains(page.Text, want) {
			t.Errorf("the picture of the history does not have %q", want)
		}
	}
	if text := r.Text(); !strings.Contains(text, "no order of the calls on key") {
		t.Errorf("no call is named:\n%s", text)
	}
	if r.Picture.WrongAt >= r.Picture.Failure {
		t.Error("the first wrong fact is not before the judgement")
	}
}

// TestParkedTasksAreShown: what never ends shows what everybody waits for.
func TestParkedTasksAreShown(t *testing.T) {
	r := failing(t, faults.FlushGivesUp, "pageserver-full,pageserver-io")
	if r.Oracle() != string(fuzz.Liveness) {
		t.Fatalf("found by %q, want liveness", r.Oracle())
	}
	for _, p := range r.Picture.Pages {
		if p.Name == "Parked tasks" {
			if !strings.Contains(p.Text, "waits for:") || !strings.Contains(p.Text, "xenon/core/pageserver") {
				t.Errorf("the stacks do not tell: %.500s", p.Text)
			}
			return
		}
	}
	t.Error("no stacks")
}
