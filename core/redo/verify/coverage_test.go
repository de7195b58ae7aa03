package verify_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"xenon/core/redo/verify"
	"xenon/core/wal"
)

// notWritten are record types that no corpus has, and why.
var notWritten = map[string]string{
	"XLOG/NOOP":            "no server writes it",
	"Heap/HOT_UPDATE+INIT": "a HOT update stays on its page, which the old version is on",
	"Gist/ASSIGN_LSN":      "only wal_level = minimal has it, which is refused: changes are missing in its WAL",
}

// noBlocks are record types without block references. What they do is held to
// the files that PostgreSQL's own replay makes.
var noBlocks = map[string]bool{
	"Heap/TRUNCATE": true, "Heap2/NEW_CID": true, "Heap2/REWRITE": true,
	"Btree/REUSE_PAGE": true, "Gist/PAGE_REUSE": true,
}

// managersWithoutBlocks are those of which noBlocks holds for every record type.
var managersWithoutBlocks = map[wal.RmgrID]bool{
	wal.RmgrXLOG: true, wal.RmgrXact: true, wal.RmgrSMGR: true, wal.RmgrCLOG: true, wal.RmgrDBase: true,
	wal.RmgrTblSpc: true, wal.RmgrMultiXact: true, wal.RmgrRelMap: true, wal.RmgrStandby: true,
	wal.RmgrCommitTs: true, wal.RmgrReplOrigin: true, wal.RmgrLogicalMsg: true,
}

// forcedImages are record types whose every block is an image to restore, so
// that there is nothing to compare with but the files of replayed/.
var forcedImages = map[string]bool{
	"XLOG/FPI": true, "XLOG/FPI_FOR_HINT": true,
	"Hash/SPLIT_PAGE": true, "Gin/VACUUM_PAGE": true,
}

// TestEveryRecordType replays everything that is recorded of each major. It
// wants no disagreement with PostgreSQL, no page taken from its image, and
// every record type that the major knows: blocks that redo made held to images,
// or restored, or a reason why it is not there.
func TestEveryRecordType(t *testing.T) {
	for _, major := range majors() {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			t.Parallel()
			version, err := wal.VersionByMajor(major)
			if err != nil {
				t.Fatal(err)
			}
			all := new(verify.Result)
			for _, r := range recordings {
				res := verifyDir(t, r.dir(t, major))
				wantClean(t, res)
				all.Merge(res)
			}
			t.Logf("PostgreSQL %d\n%s", major, all.Table())
			for _, reason := range slices.Sorted(maps.Keys(all.AllowedBy)) {
				t.Logf("%d files not compared: %s", all.AllowedBy[reason], reason)
			}
			for id, info := range version.RecordTypes() {
				name := version.RecordName(id, info)
				if flaw := flawOf(name, id, all.Ops[name]); flaw != "" {
					t.Errorf("%s: %s", name, flaw)
				}
			}
		})
	}
}

// flawOf is what is missing of a record type.
func flawOf(name string, id wal.RmgrID, op *verify.Op) string {
	reason, absent := notWritten[name]
	switch {
	case op == nil && !absent:
		return "no workload provoked it"
	case op == nil:
		return ""
	case absent:
		return "it is there although " + reason
	case op.Adopted != 0 || op.Mismatched != 0:
		return fmt.Sprintf("%d records adopted, %d blocks mismatched", op.Adopted, op.Mismatched)
	case forcedImages[name]:
		if op.Restored == 0 || op.Redone != 0 {
			return fmt.Sprintf("%d blocks restored, %d redone: want images only", op.Restored, op.Redone)
		}
	case noBlocks[name] || managersWithoutBlocks[id]:
		if op.Restored+op.Redone+op.Untouched != 0 {
			return "it has blocks after all"
		}
	case op.Compared == 0:
		return "no block was compared"
	}
	return ""
}
