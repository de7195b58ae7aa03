package redo

import "xenon/core/wal"

// IsStored tells whether the records of a manager are kept although their
// pages cannot be made: see [ErrStored].
func IsStored(id wal.RmgrID) bool {
	switch id {
	case wal.RmgrHash, wal.RmgrGin, wal.RmgrGist, wal.RmgrSPGist, wal.RmgrBrin, wal.RmgrGeneric:
		return true
	}
	return false
}

// Opcodes of stored managers that matter all the same
// (src/include/access/hash_xlog.h, gistxlog.h).
const (
	hashMovePageContents = 0x70
	hashSqueezePage      = 0x80
	hashDelete           = 0x90
	gistPageUpdate       = 0x00
	gistPageSplit        = 0x30
)

// LockOnly tells whether rec names the block only to have it locked: a bucket
// whose overflow pages change. The page stays as it is, its LSN too.
func LockOnly(rec *wal.Record, blk *wal.Block) bool {
	if rec.Rmgr != wal.RmgrHash || blk.ID != 0 {
		return false
	}
	op := rec.Op()
	return op == hashMovePageContents || op == hashSqueezePage || op == hashDelete
}

// gistLeftChild tells whether the block is a left child whose follow-right
// flag GiST clears even after it has restored the page's image.
func gistLeftChild(rec *wal.Record, blk *wal.Block) bool {
	if rec.Rmgr != wal.RmgrGist {
		return false
	}
	return rec.Op() == gistPageUpdate && blk.ID == 1 || rec.Op() == gistPageSplit && blk.ID == 0
}
