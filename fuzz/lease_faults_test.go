//go:build faults

package fuzz_test

import (
	"testing"
	"time"

	"xenon/core/faults"
	"xenon/fuzz"
)

// TestPlantedFaultsOfLeases: what makes reads under a lease right is needed, all
// of it: each fault alone lets a client see an old value, in plans that pass
// without it. A lease that is dated late is a matter of package consensus: what
// takes long enough for it to show ends the connection.
func TestPlantedFaultsOfLeases(t *testing.T) {
	for _, c := range []struct {
		point   faults.Point
		classes string
		edit    func(*fuzz.Plan)
	}{
		{faults.LeaseForgotten, "zombie", cutOff},
		{faults.LeaseAwaitNone, "zombie", cutOff},
		{faults.LeaseUnfrozen, "zombie", func(p *fuzz.Plan) { cutOff(p); p.Load.Gate = false }},
		{faults.GateOpen, "pause-compute,takeover", paused},
	} {
		name, _ := faults.Name(c.point)
		t.Run(name, func(t *testing.T) {
			const upTo = 60
			undo := faults.Plant(c.point)
			seed := firstStale(t, upTo, c.classes, c.edit)
			undo()
			if seed == 0 {
				t.Fatalf("%d plans, and no client saw anything wrong", upTo)
			}
			t.Logf("seed %d breaks it", seed)
			if stale := firstStale(t, seed, c.classes, c.edit); stale != 0 {
				t.Errorf("without the fault seed %d fails", stale)
			}
		})
	}
}

// cutOff leaves a server alone with its clients while another one takes over.
func cutOff(p *fuzz.Plan) {
	p.Steps = []fuzz.Step{{At: 2 * time.Second, Class: fuzz.Zombie, Which: int(p.Seed), For: 3 * time.Second}}
}
