//go:build faults

package consensus_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"xenon/core/faults"
)

// Every law fails on a planted fault: each row is one wrong line of code and
// the laws that may catch it.
func TestMutantsAreCaught(t *testing.T) {
	mutants := []string{"M01", "M02", "M03", "M04", "M05", "M06", "M08", "M09", "M13", "M14", "M16", "M17", "M18", "M19",
		"M25", "M27", "M27b", "M28", "M29", "M30", "M33", "M34"}
	for _, name := range mutants {
		t.Run(name, func(t *testing.T) {
			point, ok := faults.ByName(name)
			if !ok {
				t.Fatalf("no fault point %s", name)
			}
			defer faults.Plant(point)()
			for seed := range 30000 {
				r := rand.New(rand.NewPCG(uint64(seed), 2))
				nodes := 3
				if seed%4 == 3 {
					nodes = 5
				}
				if _, err := runWorld(nodes, 2, 500, r.IntN); err != nil {
					line, _, _ := strings.Cut(err.Error(), "\n")
					t.Logf("seed %d: %s", seed, line)
					return
				}
			}
			t.Errorf("survives")
		})
	}
}
