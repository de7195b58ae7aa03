package fuzz

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
	"xenon/netsim"
)

// TestPlansStandApart: a class of faults more, or less, moves no step of another
// class, no act and no knob.
func TestPlansStandApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		all := Classes()
		gone := all[rapid.IntRange(0, len(all)-1).Draw(t, "class")]
		some := slices.DeleteFunc(slices.Clone(all), func(c Class) bool { return c == gone })
		a, b := drawPlan(seed, all), drawPlan(seed, some)
		a.Steps = slices.DeleteFunc(a.Steps, func(s Step) bool { return s.Class == gone })
		if text(a) != text(b) {
			t.Fatalf("without %s the plan is\n%s\nwith it\n%s", gone, text(b), text(a))
		}
	})
}

func text(p *Plan) string {
	var b bytes.Buffer
	p.WriteTo(&b)
	return b.String()
}

// TestMutations: what comes of plans are plans that can be written, read and
// run, and their parents stay as they were.
func TestMutations(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawPlan(rapid.Uint64().Draw(t, "a"), Classes()), drawPlan(rapid.Uint64().Draw(t, "b"), Classes())
		wasA, wasB := text(a), text(b)
		dice := netsim.Stream(rapid.Uint64().Draw(t, "dice"), "mutate")
		p := a
		for range 10 {
			p = mutate(p, b, Classes(), dice)
			q, err := ReadPlan(strings.NewReader(text(p)))
			if err != nil || text(q) != text(p) {
				t.Fatalf("%v:\n%s", err, text(p))
			}
			at := func(s Step) time.Duration { return s.At }
			if !slices.IsSortedFunc(p.Steps, func(x, y Step) int { return int(at(x) - at(y)) }) {
				t.Fatalf("steps are in no order:\n%s", text(p))
			}
		}
		if text(a) != wasA || text(b) != wasB {
			t.Fatal("a mutation changed what it came from")
		}
	})
}

// TestVictimsStay: with a node more, few steps befall another one, and if so
// that one.
func TestVictimsStay(t *testing.T) {
	w := netsim.New(netsim.Options{})
	defer w.Close()
	var nodes []*node
	for _, name := range []string{"sk1", "sk2", "sk3", "ps1", "compute1"} {
		nodes = append(nodes, &node{Proc: w.Proc(name, netsim.ProcOptions{})})
	}
	moved, hit := 0, map[string]int{}
	for which := range 1000 {
		before, after := victim(which, nodes[:4]), victim(which, nodes)
		hit[after.Name()]++
		if before != after {
			if moved++; after != nodes[4] {
				t.Fatalf("#%d befalls %s, and %s once there is compute1", which, before.Name(), after.Name())
			}
		}
	}
	for name, n := range hit {
		if n < 140 || n > 260 {
			t.Errorf("%s was hit %d times of 1000", name, n)
		}
	}
	if moved < 140 || moved > 260 {
		t.Errorf("%d of 1000 steps moved", moved)
	}
}

// TestExplorer: half of all plans at least are fresh, the others come of those
// that reached something new; the same answers give the same plans.
func TestExplorer(t *testing.T) {
	run := func() (plans []string, fresh int) {
		x := NewExplorer(7, nil)
		for i := range 200 {
			p, isFresh := x.Next()
			if isFresh {
				fresh++
			}
			plans = append(plans, text(p))
			x.Learn(&Result{Plan: p, Signals: []uint64{uint64(i / 10), uint64(1000 + i%7)}})
		}
		signals, kept := x.Reached()
		if signals != 27 || kept != 26 {
			t.Errorf("%d signals, %d plans kept, want 27 and 26", signals, kept)
		}
		return plans, fresh
	}
	a, fresh := run()
	b, _ := run()
	if fresh < 100 || fresh == 200 {
		t.Errorf("%d of 200 plans were fresh", fresh)
	}
	if !slices.Equal(a, b) {
		t.Error("two explorers chose differently")
	}
}

// TestExplorerForgets: a corpus has a bound, and the plans that gave most stay.
func TestExplorerForgets(t *testing.T) {
	x := NewExplorer(1, nil)
	best := drawPlan(0, nil)
	x.Learn(&Result{Plan: best, Signals: []uint64{1 << 40, 1<<40 + 1, 1<<40 + 2}})
	for i := range uint64(2 * maxCorpus) {
		x.Learn(&Result{Plan: drawPlan(i, nil), Signals: []uint64{i}})
	}
	if len(x.corpus) != maxCorpus || x.corpus[0].plan != best {
		t.Errorf("%d plans, the first one gave %d", len(x.corpus), x.corpus[0].new)
	}
}

// TestSignals: a run gives the same signals again, hardly those of another one,
// and gathering them changes nothing.
func TestSignals(t *testing.T) {
	p := drawPlan(3, Classes())
	plain, a, b := Run(Options{Plan: p}), Run(Options{Plan: p, Signals: true}), Run(Options{Plan: p, Signals: true})
	if plain.Hash != a.Hash || plain.Signals != nil {
		t.Error("signals change the run")
	}
	if len(a.Signals) < 20 || !slices.Equal(a.Signals, b.Signals) {
		t.Errorf("%d and %d signals of one plan", len(a.Signals), len(b.Signals))
	}
	other := Run(Options{Seed: 4, Signals: true})
	if slices.Equal(a.Signals, other.Signals) {
		t.Error("another plan gives the same signals")
	}
}

// TestForkKeepsPrefix: a plan that forks goes as before up to that step.
func TestForkKeepsPrefix(t *testing.T) {
	trail := func(p *Plan) (events []netsim.Event) {
		Run(Options{Plan: p, Observe: func(e netsim.Event) { events = append(events, e) }})
		return events
	}
	p := drawPlan(3, Classes())
	forked := p.clone()
	forked.Forks = []netsim.Fork{{Step: 2000, Seed: 5}}
	a, b := trail(p), trail(forked)
	same := 0
	for same < min(len(a), len(b)) && a[same] == b[same] {
		same++
	}
	if same < 500 || same == len(a) {
		t.Errorf("of %d and %d events the first %d are the same", len(a), len(b), same)
	}
}

// TestUntil: a run ends where it is told to, and says what everybody is at.
func TestUntil(t *testing.T) {
	elected, err := ParseExpr("elections() >= 1 && term(sk1) > 0 && commit_lsn(sk1) <= end_lsn(main)")
	if err != nil {
		t.Fatal(err)
	}
	full := Run(Options{Seed: 3})
	for name, u := range map[string]Until{"step": {Step: 3000}, "time": {At: 200 * time.Millisecond}, "event": {Event: "proposer.elected"}, "condition": {When: elected}} {
		r := Run(Options{Seed: 3, Until: u})
		if r.Err != nil || !strings.Contains(r.Stopped, "sk1") || r.Steps >= full.Steps {
			t.Errorf("%s: %v after %d of %d steps:\n%s", name, r.Err, r.Steps, full.Steps, r.Stopped)
		}
		if name == "step" && r.Steps != 3000 {
			t.Errorf("stopped after %d steps, want 3000", r.Steps)
		}
		if again := Run(Options{Seed: 3, Until: u}); again.Hash != r.Hash || again.Stopped != r.Stopped {
			t.Errorf("%s: not the same twice", name)
		}
	}
	never, err := ParseExpr("step() < 0")
	if err != nil {
		t.Fatal(err)
	}
	if r := Run(Options{Seed: 3, Until: Until{When: never}}); r.Stopped != "" || r.Hash != full.Hash {
		t.Errorf("a condition that is never met changes the run:\n%s", r.Stopped)
	}
	nobody, err := ParseExpr("running(sk9)")
	if err != nil {
		t.Fatal(err)
	}
	if r := Run(Options{Seed: 3, Until: Until{When: nobody}}); r.Err == nil || !strings.Contains(r.Err.Error(), "sk9") {
		t.Errorf("a node that there is not: %v", r.Err)
	}
}

// TestExpr: what expressions mean, and what is none.
func TestExpr(t *testing.T) {
	w := netsim.New(netsim.Options{})
	defer w.Close()
	r := &run{w: w, result: &Result{}, c: &cluster{}, j: &judge{}}
	r.result.Counts.Elections = 3
	good := map[string]bool{
		"1": true, "0": false, "2 > 1": true, "0/3000 == 12288": true, "0/10 > 15 && 1.5s == 1500000000": true, "elections() == 3": true,
		"elections == 4 - 1": true, "!(1 == 1)": false, "!0": true, "1 == 2 || 3 != 4": true, "0 || 0 && 1": false, "0x10 == 16": true,
		"1 + 2 == 3 && !elections()-3": true, "step()>=0": true, "commit_lsn(sk1, branch-2) > 0": false,
	}
	for text, want := range good {
		x, err := ParseExpr(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, err := x.holds(r); got != want || err != nil || x.String() != text {
			t.Errorf("%s is %v, %v", text, got, err)
		}
	}
	bad := []string{"", "1 +", "(1", "1)", "nothing(sk1)", "term()", "term(a, b, c)", "term(sk1", "1 = 1", "&& 1", "0/zz", "1 2", ")", "term(,)",
		strings.Repeat("(", 2*maxDepth) + "1", strings.Repeat("1+", maxExpr) + "1", "§"}
	for _, text := range bad {
		if x, err := ParseExpr(text); err == nil {
			t.Errorf("%q is an expression: %v", text, x)
		}
	}
}

// FuzzExpr: no text makes the parser fail other than by an error.
func FuzzExpr(f *testing.F) {
	for _, s := range []string{"commit_lsn(sk1) > 0/3000", "!(a && b) || 1.5s", "term(sk1,", "((((", "0x", "-", "1 - 2", "running(ps1)==1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if x, err := ParseExpr(s); err == nil {
			x.eval(&sight{r: &run{result: &Result{}, c: &cluster{}, j: &judge{}, w: netsim.New(netsim.Options{})}})
		}
	})
}

// FuzzReadPlan: no text makes the reader fail other than by an error, and what
// it takes is what it writes.
func FuzzReadPlan(f *testing.F) {
	f.Add(text(drawPlan(1, Classes())))
	f.Add("# for people\n{\"seed\": 1}")
	f.Add(`{"version": 3}`)
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ReadPlan(strings.NewReader(s))
		if err != nil {
			return
		}
		again, err := ReadPlan(strings.NewReader(text(p)))
		if err != nil || text(again) != text(p) {
			t.Errorf("%v: %s", err, text(p))
		}
	})
}

// TestVersions: plans from before versions are read as what they were, and
// those of a later one refused with a reason.
func TestVersions(t *testing.T) {
	old := `{"seed": 5, "blank": 1, "load": {"clients": 2, "think": 20000000, "value_max": 24, "bulk_max": 500},
		"policy": {"Kind": 2, "Depth": 9, "Horizon": 0, "Starved": "sk1"}, "length": 5046000000, "steps": ["1.532s zombie #58001 for 0.065s"]}`
	p, err := ReadPlan(strings.NewReader(old))
	if err != nil || p.Topology != usual || p.Length != 5046*time.Millisecond || p.Load.Think != 20*time.Millisecond ||
		p.Policy.Kind != netsim.ByPriority || p.Policy.Depth != 9 || len(p.Steps) != 1 {
		t.Errorf("%+v, %v", p, err)
	}
	for _, tt := range []struct{ change, with, want string }{
		{`"seed"`, `"version": 3, "seed"`, "versions up to 2"},
		{`"seed"`, `"version": 2, "seed"`, "topology"},
		{`"blank": 1`, `"blank": 99`, "blank 99"},
		{"zombie", "zombi", "zombi"},
		{"#58001", "#-1", "below 0"},
		{`"length": 5046000000`, `"length": "-3s"`, "length"},
		{`"length": 5046000000`, `"length": "3 s"`, "3 s"},
		{`"clients": 2`, `"clients": 0`, "clients"},
		{`"clients"`, `"client"`, "client"},
		{`"seed"`, `"forks": ["step 5 moon #3"], "seed"`, "moon"},
		{`"Kind": 2`, `"Kind": 17`, "17"},
	} {
		if p, err := ReadPlan(strings.NewReader(strings.Replace(old, tt.change, tt.with, 1))); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %+v, %v", tt.with, p, err)
		}
	}
}
