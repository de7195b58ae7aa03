package verify_test

import (
	"testing"

	"xenon/internal/corpus"
)

// otherIndexes are the workloads of hash, SP-GiST, BRIN and generic records.
const otherIndexes = "hash+spgist+brin+bloom"

// TestOtherIndexes wants every opcode of the four managers but Hash/SPLIT_PAGE,
// whose block is always an image.
func TestOtherIndexes(t *testing.T) {
	testWorkload(t, otherIndexes, `
		Hash/INIT_META_PAGE Hash/INIT_BITMAP_PAGE Hash/INSERT Hash/ADD_OVFL_PAGE Hash/SPLIT_ALLOCATE_PAGE
		Hash/SPLIT_COMPLETE Hash/MOVE_PAGE_CONTENTS Hash/SQUEEZE_PAGE Hash/DELETE Hash/SPLIT_CLEANUP
		Hash/UPDATE_META_PAGE Hash/VACUUM_ONE_PAGE
		SPGist/ADD_LEAF SPGist/MOVE_LEAFS SPGist/ADD_NODE SPGist/SPLIT_TUPLE SPGist/PICKSPLIT
		SPGist/VACUUM_LEAF SPGist/VACUUM_ROOT SPGist/VACUUM_REDIRECT
		BRIN/CREATE_INDEX BRIN/INSERT BRIN/INSERT+INIT BRIN/UPDATE BRIN/UPDATE+INIT BRIN/SAMEPAGE_UPDATE
		BRIN/REVMAP_EXTEND BRIN/DESUMMARIZE
		Generic/Generic`)
}

// TestOtherIndexesWithFullPageWrites restores pages where the other runs redo
// them; what follows the restoring of a split bucket is seen in replayed/ only.
func TestOtherIndexesWithFullPageWrites(t *testing.T) {
	needMajor(t, 15)
	o := corpus.Options{Major: 15, FullPageWrites: true, Rows: 100}
	dir := once(t, "15-other-indexes-fpw", func(dir string) error {
		return corpus.Make(t.Context(), dir, "hash+spgist", o)
	})
	res := verifyDir(t, dir)
	wantClean(t, res)
	if op := res.Ops["Hash/SPLIT_ALLOCATE_PAGE"]; op == nil || res.PagesCompared == 0 {
		t.Errorf("no bucket was split: %+v", op)
	}
}
