package redo

import "testing"

// What cleans a heap page differs between 14, 16 and 17: 15 is like 14 but for
// the end of the line pointers, 18 like 17.
func FuzzHeap(f *testing.F) {
	fuzzSeeds(f, "heap.seeds", "heap2_14.seeds", "heap2_16.seeds", "heap2_18.seeds")
}
func FuzzBtree(f *testing.F) { fuzzSeeds(f, "btree.seeds", "seq.seeds") }
