package redo

import "xenon/core/wal"

// IsStored tells whether the records of a manager are kept although their
// pages cannot be made: see [ErrStored].
func IsStored(id wal.RmgrID) bool {
	switch id {
	case wal.RmgrGin, wal.RmgrGist:
		return true
	}
	return false
}

// Opcodes of stored managers that matter all the same
// (src/include/access/gistxlog.h).
const (
	gistPageUpdate = 0x00
	gistPageSplit  = 0x30
)

// gistLeftChild tells whether the block is a left child whose follow-right
// flag GiST clears even after it has restored the page's image.
func gistLeftChild(rec *wal.Record, blk *wal.Block) bool {
	if rec.Rmgr != wal.RmgrGist {
		return false
	}
	return rec.Op() == gistPageUpdate && blk.ID == 1 || rec.Op() == gistPageSplit && blk.ID == 0
}
