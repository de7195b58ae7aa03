//go:build faults

package proposer_test

import (
	"testing"

	"xenon/core/faults"
)

// The simulated runs can fail: a planted fault that loses acknowledged WAL
// is caught.
func TestSimulatedFaultsAreCaught(t *testing.T) {
	for _, name := range []string{"M29"} {
		t.Run(name, func(t *testing.T) {
			point, _ := faults.ByName(name)
			defer faults.Plant(point)()
			for seed := uint64(12); seed < 24; seed++ {
				if err := newSim(seed).run(); err != nil {
					line := err.Error()
					t.Logf("seed %d: %.300s", seed, line)
					return
				}
			}
			t.Error("survives")
		})
	}
}
