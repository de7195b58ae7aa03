package verify_test

import (
	"fmt"
	"testing"

	"xenon/core/wal"
	"xenon/internal/corpus"
)

// TestTrees: every page of a Gin/SPLIT but the child, and that of a
// Gin/VACUUM_PAGE, is a forced image, which files check; Gist/PAGE_REUSE names
// no page.
func TestTrees(t *testing.T) {
	testWorkload(t, "gin+gist", "Gin/CREATE_PTREE Gin/INSERT Gin/SPLIT Gin/DELETE_PAGE Gin/UPDATE_META_PAGE Gin/INSERT_LISTPAGE "+
		"Gin/DELETE_LISTPAGE Gin/VACUUM_DATA_LEAF_PAGE Gist/PAGE_UPDATE Gist/DELETE Gist/PAGE_SPLIT Gist/PAGE_DELETE")
}

// TestOldGin: an array of TIDs becomes posting lists.
func TestOldGin(t *testing.T) { testWorkload(t, "oldgin", "Gin/INSERT Gin/VACUUM_DATA_LEAF_PAGE") }

// leftChildImages is a corpus of GiST, but where a record completes a split
// the image of the left half, which is there to be compared, is one to be
// restored. PostgreSQL writes such records if a checkpoint comes between the
// split and its completion, which no workload can bring about.
func leftChildImages(t *testing.T, major int) string {
	t.Helper()
	from := recording{name: "gist", workloads: "gist"}.dir(t, major)
	return once(t, fmt.Sprintf("%d-left-child-images", major), func(dir string) error {
		n, err := corpus.Derive(t.Context(), dir, from, corpus.Options{Major: major}, restoreLeftChild)
		if err == nil && n < 10 {
			err = fmt.Errorf("%d records complete a split, want more", n)
		}
		return err
	})
}

func restoreLeftChild(rec *wal.Record) bool {
	const pageUpdate, pageSplit = 0x00, 0x30 // their left halves are blocks 1 and 0
	var left *wal.Block
	switch {
	case rec.Rmgr != wal.RmgrGist:
	case rec.Op() == pageUpdate:
		left = rec.Block(1)
	case rec.Op() == pageSplit:
		left = rec.Block(0)
	}
	if left == nil || !left.HasImage {
		return false
	}
	left.ApplyImage = true
	return true
}

// TestLeftChildImages: PostgreSQL restores the image and changes it then.
func TestLeftChildImages(t *testing.T) {
	for _, major := range []int{14, 18} {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			res := verifyDir(t, leftChildImages(t, major))
			wantClean(t, res)
			if update, split := res.Ops["Gist/PAGE_UPDATE"], res.Ops["Gist/PAGE_SPLIT"]; update.Restored == 0 || split.Restored == 0 {
				t.Errorf("%d and %d left halves restored, want some of both", update.Restored, split.Restored)
			}
		})
	}
}
