package netsim_test

import (
	"testing"

	"xenon/core/env/envtest"
	"xenon/netsim"
)

// worlds are those in which the contracts must hold: calm, and with every
// choice that a world has made against its users.
func worlds() map[string]netsim.Options {
	rough := netsim.DefaultLink
	rough.Splits, rough.Window = 500, 1000
	return map[string]netsim.Options{
		"calm":     {Seed: 1},
		"in order": {Seed: 2, Policy: netsim.Policy{Kind: netsim.InOrder}},
		"rough":    {Seed: 3, Yields: 100, Wakes: 100, Link: rough},
		"priority": {Seed: 4, Yields: 20, Policy: netsim.Policy{Kind: netsim.ByPriority, Depth: 5, Horizon: 200}},
		"starved":  {Seed: 5, Policy: netsim.Policy{Kind: netsim.StarveTask}},
	}
}

func TestContract(t *testing.T) {
	for name, o := range worlds() {
		open := func(t *testing.T, s envtest.Scenario) { run(t, o, netsim.Main(s)) }
		t.Run(name+"/clock", func(t *testing.T) { envtest.Clock(t, open) })
		t.Run(name+"/net", func(t *testing.T) { envtest.Net(t, open) })
	}
}
