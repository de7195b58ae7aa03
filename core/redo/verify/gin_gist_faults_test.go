//go:build faults

package verify_test

import (
	"testing"

	"xenon/core/faults"
)

// TestRareTreeFaults: what only corpora made for it can show.
func TestRareTreeFaults(t *testing.T) {
	tests := []struct {
		name  string
		point faults.Point
		dir   func() string
	}{
		{"GiST: left half as its image has it", faults.RedoGistImageKept, func() string { return leftChildImages(t, 18) }},
		{"GIN: array that became lists still counted", faults.RedoGinOldCount, func() string { return corpusDir(t, 15, "oldgin") }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := test.dir()
			defer faults.Plant(test.point)()
			if !turnsRed(t, dir) {
				t.Error("no mismatch")
			}
		})
	}
}
