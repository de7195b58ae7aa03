package verify_test

import "testing"

func TestHeapAndBtree(t *testing.T) {
	testWorkload(t, "smoke+heap+btree", "Heap/INSERT Heap/INSERT+INIT Heap/UPDATE Heap/DELETE Btree/INSERT_LEAF Btree/NEWROOT")
}
