//go:build faults

package consensus_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"xenon/core/faults"
)

// TestPlantedFaultsOfWounds: a wounded safekeeper that votes, that forgets or is
// taken for whole too early, and a proposer that goes by what it had before, lose
// what was committed.
func TestPlantedFaultsOfWounds(t *testing.T) {
	for _, test := range []struct {
		name  string
		point faults.Point
		from  uint64 // a few seeds before one that finds it
	}{
		{"K08", faults.WoundedVotes, 530}, {"K09", faults.WoundForgotten, 0},
		{"K11", faults.OldAckCounts, 360},
	} {
		t.Run(test.name, func(t *testing.T) {
			defer faults.Plant(test.point)()
			err := wounded(test.from)
			if err == nil {
				t.Fatal("survives")
			}
			t.Log(err)
		})
	}
}

func TestPlantedFaultOfHealing(t *testing.T) {
	defer faults.Plant(faults.HealedEarly)()
	err := healsLate()
	if err == nil {
		t.Fatal("K10 survives")
	}
	t.Log(err)
}

func wounded(from uint64) error {
	for seed := from; seed < from+4000; seed++ {
		if _, err := runWounded(3+2*int(seed%4/3), 2, 700, rand.New(rand.NewPCG(seed, 7)).IntN); err != nil {
			return fmt.Errorf("seed %d: %w", seed, err)
		}
	}
	return nil
}
