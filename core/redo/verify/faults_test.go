//go:build faults

package verify_test

import (
	"testing"

	"xenon/core/faults"
)

// A fault is a wrong line of redo, and the recording of a major that shows it.
type fault struct {
	name  string
	point faults.Point
	from  recording
	major int
}

// redoFaults are spread over all managers that change anything: of a logical
// message no redo can be wrong.
var redoFaults = []fault{
	{"flipped byte of a tuple", faults.RedoFlipByte, everything, 15},
	{"wrong xmax of a delete", faults.RedoDeleteXmax, everything, 15},
	{"ctid of a deleted tuple kept", faults.RedoDeleteCtid, everything, 15},
	{"suffix of an update off by one", faults.RedoSuffixOff, everything, 15},
	{"hot-updated left by a lock", faults.RedoLockHot, everything, 15},
	{"no compaction after pruning", faults.RedoNoCompaction, everything, 15},
	{"line pointers kept by vacuum", faults.RedoKeepLinePointers, everything, 15},
	{"frozen not marked", faults.RedoFreezeMask, everything, 15},
	{"map bits not cleared", faults.RedoSkipVMClear, everything, 15},
	{"no shift of line pointers", faults.RedoNoShift, everything, 15},
	{"wrong link after a split", faults.RedoSplitLink, everything, 15},
	{"split left incomplete", faults.RedoKeepIncomplete, everything, 15},
	{"one deletion too few", faults.RedoDeleteLess, everything, 15},
	{"left link not moved by an unlink", faults.RedoUnlinkRight, everything, 15},
	{"aborted marked committed", faults.RedoClogStatus, everything, 15},
	{"members one too far", faults.RedoMemberShift, everything, 15},
	{"tail of a truncated map kept", faults.RedoKeepTail, everything, 15},
	{"next multixact not moved", faults.RedoNextMulti, everything, 15},
	{"truncated relation as long as before", faults.RedoKeepLength, everything, 15},
	{"relations not dropped", faults.RedoDropNothing, everything, 15},
	{"TIDs of a posting list swapped", faults.RedoDedupOrder, everything, 15},

	{"tuples frozen as the first plan says", faults.RedoFreezePlans, everything, 17},
	{"no compaction after pruning and freezing", faults.RedoNoCompaction, everything, 17},
	{"line pointers kept by vacuum's second pass", faults.RedoKeepLinePointers, everything, 17},
	{"tuples of one record not aligned", faults.RedoMultiUnaligned, everything, 15},
	{"LSN of a heap page moved with its map", faults.RedoVisibleLSN, everything, 15},
	{"hint without an image refused", faults.RedoHintRefused, hinted, 15},
	{"meta page of a btree that counts tuples", faults.RedoMetaZero, everything, 15},
	{"page of a sequence without magic", faults.RedoSeqMagic, everything, 15},
	{"relation map kept", faults.RedoKeepRelMap, everything, 15},
	{"database copied empty", faults.RedoCopyNothing, everything, 15},
	{"commit a microsecond late", faults.RedoCommitTime, everything, 15},
	{"truncated segments kept", faults.RedoKeepSegments, everything, 15},
	{"prepared transaction kept", faults.RedoKeepPrepared, everything, 15},
	{"settings not followed", faults.RedoKeepSettings, everything, 15},
	{"dropped tablespace kept", faults.RedoKeepSpace, everything, 15},
	{"progress of origins forgotten", faults.RedoOriginStays, everything, 15},
	{"offset after a multixact not written", faults.RedoOffsetLost, everything, 15},
	{"next transaction id not moved", faults.RedoNextXID, everything, 15},

	{"GIN: split left incomplete", faults.RedoGinKeepIncomplete, everything, 15},
	{"GIN: replaced tuple kept", faults.RedoGinKeepReplaced, everything, 15},
	{"GIN: link to a deleted page kept", faults.RedoGinKeepRight, everything, 15},
	{"GIN: pending row not counted", faults.RedoGinRowUncounted, everything, 15},
	{"GIN: downlink of a split not moved", faults.RedoGinChildUnmoved, everything, 15},
	{"GIN: deleted segment kept", faults.RedoGinKeepSegment, everything, 15},
	{"GIN: one TID too few", faults.RedoGinAddLess, everything, 15},
	{"GiST: follow-right kept", faults.RedoGistKeepFollowRight, everything, 15},
	{"GiST: no replacement in place", faults.RedoGistNoOverwrite, everything, 15},
	{"GiST: one deletion too few", faults.RedoGistDeleteLess, everything, 15},
	{"GiST: halves of a split not linked", faults.RedoGistSplitLink, everything, 15},
	{"GiST: downlink of a deleted page kept", faults.RedoGistKeepDownlink, everything, 15},
	{"GiST: leaf that lost tuples not marked", faults.RedoGistUnmarked, everything, 15},
}

// TestEveryFaultIsCaught plants each wrong line of redo and wants the verifier
// to see it: a run without mismatches proves nothing unless broken redo turns
// it red.
func TestEveryFaultIsCaught(t *testing.T) {
	if len(redoFaults) < 40 {
		t.Errorf("%d faults, want at least 40", len(redoFaults))
	}
	for _, f := range redoFaults {
		t.Run(f.name, func(t *testing.T) {
			dir := f.from.dir(t, f.major)
			defer faults.Plant(f.point)()
			if !turnsRed(t, dir) {
				t.Error("no mismatch")
			}
		})
	}
}
