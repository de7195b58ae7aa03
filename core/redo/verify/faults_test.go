//go:build faults

package verify_test

import (
	"testing"

	"xenon/core/faults"
)

// TestEveryFaultIsCaught plants each wrong line of redo and wants the verifier
// to see it: a run without mismatches proves nothing unless broken redo turns
// it red.
func TestEveryFaultIsCaught(t *testing.T) {
	tests := []struct {
		name     string
		point    faults.Point
		workload string
	}{
		{"flipped byte of a tuple", faults.RedoFlipByte, "smoke"},
		{"wrong xmax of a delete", faults.RedoDeleteXmax, "smoke"},
		{"ctid of a deleted tuple kept", faults.RedoDeleteCtid, "heap"},
		{"suffix of an update off by one", faults.RedoSuffixOff, "heap"},
		{"hot-updated left by a lock", faults.RedoLockHot, "heap"},
		{"no compaction after pruning", faults.RedoNoCompaction, "heap"},
		{"line pointers kept by vacuum", faults.RedoKeepLinePointers, "heap"},
		{"frozen not marked", faults.RedoFreezeMask, "heap"},
		{"map bits not cleared", faults.RedoSkipVMClear, "heap"},
		{"no shift of line pointers", faults.RedoNoShift, "btree"},
		{"wrong link after a split", faults.RedoSplitLink, "btree"},
		{"split left incomplete", faults.RedoKeepIncomplete, "btree"},
		{"one deletion too few", faults.RedoDeleteLess, "btree"},
		{"left link not moved by an unlink", faults.RedoUnlinkRight, "btree"},
		{"aborted marked committed", faults.RedoClogStatus, "xact"},
		{"members one too far", faults.RedoMemberShift, "xact"},
		{"tail of a truncated map kept", faults.RedoKeepTail, "heap"},
		{"next multixact not moved", faults.RedoNextMulti, "xact"},
		{"truncated relation as long as before", faults.RedoKeepLength, "heap"},
		{"relations not dropped", faults.RedoDropNothing, "ddl"},
		{"TIDs of a posting list swapped", faults.RedoDedupOrder, "btree"},

		{"GIN: split left incomplete", faults.RedoGinKeepIncomplete, "gin"},
		{"GIN: replaced tuple kept", faults.RedoGinKeepReplaced, "gin"},
		{"GIN: link to a deleted page kept", faults.RedoGinKeepRight, "gin"},
		{"GIN: pending row not counted", faults.RedoGinRowUncounted, "gin"},
		{"GIN: downlink of a split not moved", faults.RedoGinChildUnmoved, "gin"},
		{"GIN: deleted segment kept", faults.RedoGinKeepSegment, "gin"},
		{"GIN: one TID too few", faults.RedoGinAddLess, "gin"},

		{"GiST: follow-right kept", faults.RedoGistKeepFollowRight, "gist"},
		{"GiST: no replacement in place", faults.RedoGistNoOverwrite, "gist"},
		{"GiST: one deletion too few", faults.RedoGistDeleteLess, "gist"},
		{"GiST: halves of a split not linked", faults.RedoGistSplitLink, "gist"},
		{"GiST: downlink of a deleted page kept", faults.RedoGistKeepDownlink, "gist"},
		{"GiST: leaf that lost tuples not marked", faults.RedoGistUnmarked, "gist"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := corpusDir(t, 15, test.workload)
			defer faults.Plant(test.point)()
			if !turnsRed(t, dir) {
				t.Errorf("workload %s: no mismatch", test.workload)
			}
		})
	}
}
