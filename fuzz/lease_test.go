package fuzz_test

import (
	"testing"
	"time"

	"xenon/compute"
	"xenon/fuzz"
)

// leased is the plan of a seed with linearizable reads and clients that are
// busy throughout, as edit has it.
func leased(t *testing.T, seed uint64, classes string, edit func(*fuzz.Plan)) *fuzz.Plan {
	t.Helper()
	list, err := fuzz.ParseClasses(classes)
	if err != nil {
		t.Fatal(err)
	}
	p := fuzz.Draw(seed, list)
	p.Load.Reads, p.Load.Gate = compute.Linearizable, true
	p.Length, p.Busy = 7*time.Second, nil
	for i := range p.Steps {
		p.Steps[i].At %= p.Length
	}
	edit(p)
	return p
}

// firstStale runs plans until one fails by what clients saw, and returns its
// seed, 0 if none does.
func firstStale(t *testing.T, upTo uint64, classes string, edit func(*fuzz.Plan)) uint64 {
	t.Helper()
	for seed := uint64(1); seed <= upTo; seed++ {
		r := fuzz.Run(fuzz.Options{Plan: leased(t, seed, classes, edit)})
		if fuzz.Oracle(r.Oracle()) == fuzz.Linearizable {
			return seed
		}
	}
	return 0
}

// TestLeaseBreaksBeyondItsBounds: what read leases rest on is really needed,
// and the oracle sees it go. The same plans pass within the bounds.
func TestLeaseBreaksBeyondItsBounds(t *testing.T) {
	const upTo = 40
	for _, c := range []struct {
		name, classes string
		within        func(*fuzz.Plan)
		beyond        func(*fuzz.Plan)
	}{
		// A holder whose clock is slow takes its lease for longer than others
		// wait.
		{"clock drift", "zombie",
			func(p *fuzz.Plan) { p.Load.Skew = 500 },
			func(p *fuzz.Plan) { p.Load.Skew = 500_000 }},
		// A machine that stands still, warden and server, and goes on: the server
		// may answer before the warden has looked at the clock.
		{"a pause of warden and server without the gate", "pause-compute,takeover", paused,
			func(p *fuzz.Plan) { paused(p); p.Load.Gate = false }},
	} {
		t.Run(c.name, func(t *testing.T) {
			seed := firstStale(t, upTo, c.classes, c.beyond)
			if seed == 0 {
				t.Fatalf("%d plans beyond the bounds, and no client saw anything wrong", upTo)
			}
			t.Logf("seed %d breaks it", seed)
			if stale := firstStale(t, seed, c.classes, c.within); stale != 0 {
				t.Errorf("within the bounds seed %d fails", stale)
			}
		})
	}
}

// paused makes a compute stand still while another takes over.
func paused(p *fuzz.Plan) {
	p.Steps = []fuzz.Step{
		{At: 2 * time.Second, Class: fuzz.PauseServer, Which: int(p.Seed), For: 4 * time.Second},
		{At: 2200 * time.Millisecond, Class: fuzz.Takeover, For: time.Second},
	}
}
