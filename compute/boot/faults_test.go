//go:build faults

package boot_test

import (
	"testing"

	"xenon/core/faults"
)

// TestFaultsAreSeen: the simulated servers lose acknowledged commits if a
// flush does not wait for the quorum, and notice.
func TestFaultsAreSeen(t *testing.T) {
	defer faults.Plant(faults.FlushBeforeQuorum)()
	for seed := range uint64(30) {
		if err := newSim(seed).run(); err != nil {
			t.Logf("seed %d: %.300v", seed, err)
			return
		}
	}
	t.Error("survives")
}
