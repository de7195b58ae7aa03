//go:build faults

package verify_test

import (
	"testing"

	"xenon/core/faults"
)

func TestEveryFaultOfOtherIndexesIsCaught(t *testing.T) {
	tests := []struct {
		name  string
		point faults.Point
		major int
	}{
		{"LSN of a bucket that is only locked", faults.RedoHashLock, 15},
		{"LSN of a page that a squeeze leaves alone", faults.RedoHashKept, 17},
		{"hash tuple at the end of its page", faults.RedoHashOrder, 15},
		{"count of hash tuples", faults.RedoHashCount, 15},
		{"new overflow page not counted", faults.RedoHashSpares, 15},
		{"link of an overflow page kept", faults.RedoHashLink, 15},
		{"bit of an overflow page kept", faults.RedoHashBit, 15},
		{"mask of buckets kept", faults.RedoHashMasks, 15},
		{"moved hash tuples at the end", faults.RedoHashMoved, 15},

		{"redirects not counted", faults.RedoSpgCounters, 15},
		{"redirect of no transaction", faults.RedoSpgXID, 15},
		{"downlink kept", faults.RedoSpgLink, 15},
		{"chain without its new tuple", faults.RedoSpgChain, 15},
		{"leaf tuples on the wrong page", faults.RedoSpgAllSource, 15},
		{"head of a chain not replaced", faults.RedoSpgMove, 15},

		{"moved BRIN tuple kept", faults.RedoBrinKeepOld, 15},
		{"slot of the next range", faults.RedoBrinSlot, 15},
		{"content of a BRIN tuple kept", faults.RedoBrinSamepage, 15},
		{"new revmap page not noted", faults.RedoBrinLast, 15},
		{"line pointer of a BRIN tuple kept", faults.RedoBrinShift, 15},

		{"hole not zeroed", faults.RedoGenericHole, 15},
		{"last piece left out", faults.RedoGenericLast, 15},
		{"header left out", faults.RedoGenericFirst, 15},
		{"piece too short", faults.RedoGenericShort, 15},
		{"piece one byte too far", faults.RedoGenericShift, 15},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := corpusDir(t, test.major, otherIndexes)
			defer faults.Plant(test.point)()
			if !turnsRed(t, dir) {
				t.Error("no mismatch")
			}
		})
	}
}
