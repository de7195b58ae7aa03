package describe

import "xenon/core/wal"

// A shape is what the main data of a kind of record looks like, in the majors
// from one to another (0: to the newest).
type shape struct {
	rmgr     wal.RmgrID
	op       uint8
	from, to int
	line     string
	tail     tail
	layout   layout
}

// A tail describes what follows the fixed part of main data, and what the
// record keeps with its blocks.
type tail func(w *writer, rec *wal.Record, rest []byte)

const (
	walLevels = "{minimal|replica|logical}"
	infobits  = "{XMAX_IS_MULTI|XMAX_LOCK_ONLY|XMAX_EXCL_LOCK|XMAX_KEYSHR_LOCK|KEYS_UPDATED}"
	spgState  = "myXid:xid isBuild:bool pad:pad1 pad:pad2"

	checkPointTail = "nextXid:u64 nextOid:u32 nextMulti:u32 nextMultiOffset:u32 oldestXid:xid oldestXidDB:u32 " +
		"oldestMulti:u32 oldestMultiDB:u32 time:unix oldestCommitTsXid:xid newestCommitTsXid:xid oldestActiveXid:xid"
	checkPoint   = "redo:lsn ThisTimeLineID:u32 PrevTimeLineID:u32 fullPageWrites:bool " + checkPointTail
	checkPoint17 = "redo:lsn ThisTimeLineID:u32 PrevTimeLineID:u32 fullPageWrites:bool wal_level:e32" + walLevels + " " + checkPointTail

	ginMeta = "head:u32 tail:u32 tailFreeSize:u32 nPendingPages:u32 nPendingHeapTuples:u64 nTotalPages:u32 " +
		"nEntryPages:u32 nDataPages:u32 nEntries:u64 ginVersion:i32 pad:pad4"
)

// shapes is every kind of record with a main data of its own, by
// src/include/access/*xlog*.h, catalog/pg_control.h, catalog/storage_xlog.h,
// commands/dbcommands_xlog.h, tablespace.h, sequence.h, storage/standbydefs.h,
// utils/relmapper.h and replication/{origin,message}.h of each major.
var shapes = []shape{
	{rmgr: wal.RmgrXLOG, op: 0x00, to: 16, line: checkPoint},
	{rmgr: wal.RmgrXLOG, op: 0x10, to: 16, line: checkPoint},
	{rmgr: wal.RmgrXLOG, op: 0x00, from: 17, line: checkPoint17},
	{rmgr: wal.RmgrXLOG, op: 0x10, from: 17, line: checkPoint17},
	{rmgr: wal.RmgrXLOG, op: 0x30, line: "nextOid:u32"},
	{rmgr: wal.RmgrXLOG, op: 0x50, line: "startpoint:lsn"},
	{rmgr: wal.RmgrXLOG, op: 0x60, line: "MaxConnections:i32 max_worker_processes:i32 max_wal_senders:i32 max_prepared_xacts:i32 " +
		"max_locks_per_xact:i32 wal_level:e32" + walLevels + " wal_log_hints:bool track_commit_timestamp:bool"},
	{rmgr: wal.RmgrXLOG, op: 0x70, line: "rp_time:time rp_name:text64"},
	{rmgr: wal.RmgrXLOG, op: 0x80, line: "fullPageWrites:bool"},
	{rmgr: wal.RmgrXLOG, op: 0x90, to: 16, line: "end_time:time ThisTimeLineID:u32 PrevTimeLineID:u32"},
	{rmgr: wal.RmgrXLOG, op: 0x90, from: 17, line: "end_time:time ThisTimeLineID:u32 PrevTimeLineID:u32 wal_level:e32" + walLevels},
	{rmgr: wal.RmgrXLOG, op: 0xD0, line: "overwritten_lsn:lsn overwrite_time:time"},
	{rmgr: wal.RmgrXLOG, op: 0xE0, from: 17, line: "wal_level:e32" + walLevels},

	{rmgr: wal.RmgrSMGR, op: 0x10, line: "rnode:rel forkNum:e32{main|fsm|vm|init}"},
	{rmgr: wal.RmgrSMGR, op: 0x20, line: "blkno:u32 rnode:rel flags:f32{HEAP|VM|FSM}"},

	{rmgr: wal.RmgrCLOG, op: 0x00, to: 16, line: "pageno:i32"},
	{rmgr: wal.RmgrCLOG, op: 0x00, from: 17, line: "pageno:u64"},
	{rmgr: wal.RmgrCLOG, op: 0x10, to: 16, line: "pageno:i32 oldestXact:xid oldestXactDb:u32"},
	{rmgr: wal.RmgrCLOG, op: 0x10, from: 17, line: "pageno:u64 oldestXact:xid oldestXactDb:u32"},
	{rmgr: wal.RmgrCommitTs, op: 0x00, to: 16, line: "pageno:i32"},
	{rmgr: wal.RmgrCommitTs, op: 0x00, from: 17, line: "pageno:u64"},
	{rmgr: wal.RmgrCommitTs, op: 0x10, to: 16, line: "pageno:i32 oldestXid:xid"},
	{rmgr: wal.RmgrCommitTs, op: 0x10, from: 17, line: "pageno:u64 oldestXid:xid"},

	{rmgr: wal.RmgrMultiXact, op: 0x00, to: 16, line: "pageno:i32"},
	{rmgr: wal.RmgrMultiXact, op: 0x00, from: 17, line: "pageno:u64"},
	{rmgr: wal.RmgrMultiXact, op: 0x10, to: 16, line: "pageno:i32"},
	{rmgr: wal.RmgrMultiXact, op: 0x10, from: 17, line: "pageno:u64"},
	{rmgr: wal.RmgrMultiXact, op: 0x20, line: "mid:u32 moff:u32 nmembers:i32", tail: multiMembers},
	{rmgr: wal.RmgrMultiXact, op: 0x30, line: "oldestMultiDB:u32 startTruncOff:u32 endTruncOff:u32 startTruncMemb:u32 endTruncMemb:u32"},

	{rmgr: wal.RmgrDBase, op: 0x00, to: 14, line: "db_id:u32 tablespace_id:u32 src_db_id:u32 src_tablespace_id:u32"},
	{rmgr: wal.RmgrDBase, op: 0x10, to: 14, line: "db_id:u32 ntablespaces:i32", tail: u32List("tablespace_ids")},
	{rmgr: wal.RmgrDBase, op: 0x00, from: 15, line: "db_id:u32 tablespace_id:u32 src_db_id:u32 src_tablespace_id:u32"},
	{rmgr: wal.RmgrDBase, op: 0x10, from: 15, line: "db_id:u32 tablespace_id:u32"},
	{rmgr: wal.RmgrDBase, op: 0x20, from: 15, line: "db_id:u32 ntablespaces:i32", tail: u32List("tablespace_ids")},

	{rmgr: wal.RmgrTblSpc, op: 0x00, line: "ts_id:u32", tail: textTail("ts_path")},
	{rmgr: wal.RmgrTblSpc, op: 0x10, line: "ts_id:u32"},
	{rmgr: wal.RmgrRelMap, op: 0x00, line: "dbid:u32 tsid:u32 nbytes:i32"},

	{rmgr: wal.RmgrStandby, op: 0x00, line: "nlocks:i32", tail: standbyLocks},
	{rmgr: wal.RmgrStandby, op: 0x10, line: "xcnt:i32 subxcnt:i32 subxid_overflow:bool nextXid:xid oldestRunningXid:xid latestCompletedXid:xid",
		tail: u32List("xids")},
	{rmgr: wal.RmgrStandby, op: 0x20, line: "dbId:u32 tsId:u32 relcacheInitFileInval:bool nmsgs:i32"},

	{rmgr: wal.RmgrReplOrigin, op: 0x00, line: "remote_lsn:lsn node_id:u16 force:bool"},
	{rmgr: wal.RmgrReplOrigin, op: 0x10, line: "node_id:u16"},
	{rmgr: wal.RmgrLogicalMsg, op: 0x00, line: "dbId:u32 transactional:bool prefix_size:u64 message_size:u64", tail: messageTail},
	{rmgr: wal.RmgrGeneric, op: 0x00, tail: genericRuns},
	{rmgr: wal.RmgrSeq, op: 0x00, line: "node:rel", tail: sequenceTail},

	{rmgr: wal.RmgrHeap, op: 0x00, line: "offnum:u16 flags:f8" + insertFlags, tail: newTuple},
	{rmgr: wal.RmgrHeap, op: 0x10, line: "xmax:xid offnum:u16 infobits_set:f8" + infobits + " flags:f8" + deleteFlags},
	{rmgr: wal.RmgrHeap, op: 0x20, line: updateLine, tail: updatedTuple},
	{rmgr: wal.RmgrHeap, op: 0x30, line: "dbId:u32 nrelids:u32 flags:f8{CASCADE|RESTART_SEQS} pad:pad1 pad:pad2", tail: u32List("relids")},
	{rmgr: wal.RmgrHeap, op: 0x40, line: updateLine, tail: updatedTuple},
	{rmgr: wal.RmgrHeap, op: 0x50, line: "offnum:u16"},
	{rmgr: wal.RmgrHeap, op: 0x60, to: 15, line: "locking_xid:xid offnum:u16 infobits_set:f8" + infobits + " flags:f8{ALL_FROZEN_CLEARED}"},
	{rmgr: wal.RmgrHeap, op: 0x60, from: 16, line: "xmax:xid offnum:u16 infobits_set:f8" + infobits + " flags:f8{ALL_FROZEN_CLEARED}"},
	{rmgr: wal.RmgrHeap, op: 0x70, to: 17, line: "offnum:u16"},
	{rmgr: wal.RmgrHeap, op: 0x70, from: 18, line: "offnum:u16 dbId:u32 tsId:u32 relcacheInitFileInval:bool nmsgs:i32"},

	{rmgr: wal.RmgrHeap2, op: 0x00, line: "mapped_xid:xid mapped_db:u32 mapped_rel:u32 offset:u64 num_mappings:u32 start_lsn:lsn"},
	{rmgr: wal.RmgrHeap2, op: 0x10, to: 15, line: "latestRemovedXid:xid nredirected:u16 ndead:u16", tail: pruneLists},
	{rmgr: wal.RmgrHeap2, op: 0x10, from: 16, to: 16, line: "snapshotConflictHorizon:xid nredirected:u16 ndead:u16 isCatalogRel:bool", tail: pruneLists},
	{rmgr: wal.RmgrHeap2, op: 0x20, to: 16, line: "nunused:u16", tail: blockOffsets("unused")},
	{rmgr: wal.RmgrHeap2, op: 0x30, to: 15, line: "cutoff_xid:xid ntuples:u16", tail: freezeTuples},
	{rmgr: wal.RmgrHeap2, op: 0x30, from: 16, to: 16, line: "snapshotConflictHorizon:xid nplans:u16 isCatalogRel:bool", tail: freezePlans16},
	{rmgr: wal.RmgrHeap2, op: 0x10, from: 17, line: pruneFreeze, tail: pruneFreezeLists},
	{rmgr: wal.RmgrHeap2, op: 0x20, from: 17, line: pruneFreeze, tail: pruneFreezeLists},
	{rmgr: wal.RmgrHeap2, op: 0x30, from: 17, line: pruneFreeze, tail: pruneFreezeLists},
	{rmgr: wal.RmgrHeap2, op: 0x40, to: 15, line: "cutoff_xid:xid flags:f8{ALL_VISIBLE|ALL_FROZEN}"},
	{rmgr: wal.RmgrHeap2, op: 0x40, from: 16, line: "snapshotConflictHorizon:xid flags:f8{ALL_VISIBLE|ALL_FROZEN|CATALOG_REL}"},
	{rmgr: wal.RmgrHeap2, op: 0x50, line: "flags:f8" + insertFlags + " ntuples:u16", tail: u16List("offsets")},
	{rmgr: wal.RmgrHeap2, op: 0x60, line: "xmax:xid offnum:u16 infobits_set:f8" + infobits + " flags:f8{ALL_FROZEN_CLEARED}"},
	{rmgr: wal.RmgrHeap2, op: 0x70, line: "top_xid:xid cmin:u32 cmax:u32 combocid:u32 target_node:rel target_tid:tid"},

	{rmgr: wal.RmgrBtree, op: 0x00, line: "offnum:u16"},
	{rmgr: wal.RmgrBtree, op: 0x10, line: "offnum:u16"},
	{rmgr: wal.RmgrBtree, op: 0x20, line: "offnum:u16"},
	{rmgr: wal.RmgrBtree, op: 0x30, line: btreeSplit},
	{rmgr: wal.RmgrBtree, op: 0x40, line: btreeSplit},
	{rmgr: wal.RmgrBtree, op: 0x50, line: "offnum:u16", tail: postingOffset},
	{rmgr: wal.RmgrBtree, op: 0x60, line: "nintervals:u16", tail: dedupIntervals},
	{rmgr: wal.RmgrBtree, op: 0x70, to: 15, line: "latestRemovedXid:xid ndeleted:u16 nupdated:u16", tail: btreeDeleted},
	{rmgr: wal.RmgrBtree, op: 0x70, from: 16, line: "snapshotConflictHorizon:xid ndeleted:u16 nupdated:u16 isCatalogRel:bool", tail: btreeDeleted},
	{rmgr: wal.RmgrBtree, op: 0x80, line: btreeUnlink},
	{rmgr: wal.RmgrBtree, op: 0x90, line: btreeUnlink},
	{rmgr: wal.RmgrBtree, op: 0xA0, line: "rootblk:u32 level:u32"},
	{rmgr: wal.RmgrBtree, op: 0xB0, line: "poffset:u16 leafblk:u32 leftblk:u32 rightblk:u32 topparent:u32"},
	{rmgr: wal.RmgrBtree, op: 0xC0, line: "ndeleted:u16 nupdated:u16", tail: btreeDeleted},
	{rmgr: wal.RmgrBtree, op: 0xD0, to: 15, line: "node:rel block:u32 latestRemovedFullXid:u64"},
	{rmgr: wal.RmgrBtree, op: 0xD0, from: 16, line: "locator:rel block:u32 snapshotConflictHorizon:u64 isCatalogRel:bool"},
	{rmgr: wal.RmgrBtree, op: 0xE0, tail: metaCleanup},

	{rmgr: wal.RmgrHash, op: 0x00, line: "num_tuples:f64 procid:u32 ffactor:u16"},
	{rmgr: wal.RmgrHash, op: 0x10, line: "bmsize:u16"},
	{rmgr: wal.RmgrHash, op: 0x20, line: "offnum:u16"},
	{rmgr: wal.RmgrHash, op: 0x30, line: "bmsize:u16 bmpage_found:bool"},
	{rmgr: wal.RmgrHash, op: 0x40, line: "new_bucket:u32 old_bucket_flag:u16 new_bucket_flag:u16 flags:f8{META_UPDATE_MASKS|META_UPDATE_SPLITPOINT}"},
	{rmgr: wal.RmgrHash, op: 0x60, line: "old_bucket_flag:u16 new_bucket_flag:u16"},
	{rmgr: wal.RmgrHash, op: 0x70, line: "ntups:u16 is_prim_bucket_same_wrt:bool"},
	{rmgr: wal.RmgrHash, op: 0x80, line: "prevblkno:u32 nextblkno:u32 ntups:u16 is_prim_bucket_same_wrt:bool is_prev_bucket_same_wrt:bool"},
	{rmgr: wal.RmgrHash, op: 0x90, line: "clear_dead_marking:bool is_primary_bucket_page:bool", tail: hashDeleted},
	{rmgr: wal.RmgrHash, op: 0xB0, line: "ntuples:f64"},
	{rmgr: wal.RmgrHash, op: 0xC0, to: 15, line: "latestRemovedXid:xid ntuples:i32", tail: u16List("deleted")},
	{rmgr: wal.RmgrHash, op: 0xC0, from: 16, line: "snapshotConflictHorizon:xid ntuples:u16 isCatalogRel:bool pad:pad1", tail: u16List("deleted")},

	{rmgr: wal.RmgrGin, op: 0x10, line: "size:u32"},
	{rmgr: wal.RmgrGin, op: 0x20, line: "flags:f16{INSERT_ISDATA|INSERT_ISLEAF}", tail: ginChildren},
	{rmgr: wal.RmgrGin, op: 0x30, line: "node:rel rrlink:u32 leftChildBlkno:u32 rightChildBlkno:u32 flags:f16{INSERT_ISDATA|INSERT_ISLEAF|SPLIT_ROOT}"},
	{rmgr: wal.RmgrGin, op: 0x50, line: "parentOffset:u16 rightLink:u32 deleteXid:xid"},
	{rmgr: wal.RmgrGin, op: 0x60, line: "node:rel pad:pad4 " + ginMeta + " prevTail:u32 newRightlink:u32 ntuples:i32"},
	{rmgr: wal.RmgrGin, op: 0x70, line: "rightlink:u32 ntuples:i32"},
	{rmgr: wal.RmgrGin, op: 0x80, line: ginMeta + " ndeleted:i32"},

	{rmgr: wal.RmgrGist, op: 0x00, line: "ntodelete:u16 ntoinsert:u16", tail: gistDeleted},
	{rmgr: wal.RmgrGist, op: 0x10, to: 15, line: "latestRemovedXid:xid ntodelete:u16", tail: u16List("deleted")},
	{rmgr: wal.RmgrGist, op: 0x10, from: 16, line: "snapshotConflictHorizon:xid ntodelete:u16 isCatalogRel:bool pad:pad1", tail: u16List("deleted")},
	{rmgr: wal.RmgrGist, op: 0x20, to: 15, line: "node:rel block:u32 latestRemovedFullXid:u64"},
	{rmgr: wal.RmgrGist, op: 0x20, from: 16, line: "locator:rel block:u32 snapshotConflictHorizon:u64 isCatalogRel:bool"},
	{rmgr: wal.RmgrGist, op: 0x30, line: "origrlink:u32 orignsn:lsn origleaf:bool npage:u16 markfollowright:bool"},
	{rmgr: wal.RmgrGist, op: 0x60, line: "deleteXid:u64 downlinkOffset:u16"},

	{rmgr: wal.RmgrSPGist, op: 0x10, line: "newPage:bool storesNulls:bool offnumLeaf:u16 offnumHeadLeaf:u16 offnumParent:u16 nodeI:u16"},
	{rmgr: wal.RmgrSPGist, op: 0x20, line: "nMoves:u16 newPage:bool replaceDead:bool storesNulls:bool offnumParent:u16 nodeI:u16 " + spgState},
	{rmgr: wal.RmgrSPGist, op: 0x30, line: "offnum:u16 offnumNew:u16 newPage:bool parentBlk:u8 offnumParent:u16 nodeI:u16 " + spgState},
	{rmgr: wal.RmgrSPGist, op: 0x40, line: "offnumPrefix:u16 offnumPostfix:u16 newPage:bool postfixBlkSame:bool"},
	{rmgr: wal.RmgrSPGist, op: 0x50, line: "isRootSplit:bool nDelete:u16 nInsert:u16 initSrc:bool initDest:bool offnumInner:u16 initInner:bool " +
		"storesNulls:bool innerIsParent:bool offnumParent:u16 nodeI:u16 " + spgState},
	{rmgr: wal.RmgrSPGist, op: 0x60, line: "nDead:u16 nPlaceholder:u16 nMove:u16 nChain:u16 " + spgState},
	{rmgr: wal.RmgrSPGist, op: 0x70, line: "nDelete:u16 " + spgState, tail: u16List("deleted")},
	{rmgr: wal.RmgrSPGist, op: 0x80, to: 15, line: "nToPlaceholder:u16 firstPlaceholder:u16 newestRedirectXid:xid", tail: u16List("toPlaceholder")},
	{rmgr: wal.RmgrSPGist, op: 0x80, from: 16, line: "nToPlaceholder:u16 firstPlaceholder:u16 snapshotConflictHorizon:xid isCatalogRel:bool pad:pad1",
		tail: u16List("toPlaceholder")},

	{rmgr: wal.RmgrBrin, op: 0x00, line: "pagesPerRange:u32 version:u16"},
	{rmgr: wal.RmgrBrin, op: 0x10, line: "heapBlk:u32 pagesPerRange:u32 offnum:u16"},
	{rmgr: wal.RmgrBrin, op: 0x20, line: "oldOffnum:u16 heapBlk:u32 pagesPerRange:u32 offnum:u16"},
	{rmgr: wal.RmgrBrin, op: 0x30, line: "offnum:u16"},
	{rmgr: wal.RmgrBrin, op: 0x40, line: "targetBlk:u32"},
	{rmgr: wal.RmgrBrin, op: 0x50, line: "pagesPerRange:u32 heapBlk:u32 regOffset:u16"},
}

const (
	insertFlags = "{ALL_VISIBLE_CLEARED|LAST_IN_MULTI|IS_SPECULATIVE|CONTAINS_NEW_TUPLE|ON_TOAST_RELATION|ALL_FROZEN_SET}"
	deleteFlags = "{ALL_VISIBLE_CLEARED|CONTAINS_OLD_TUPLE|CONTAINS_OLD_KEY|IS_SUPER|IS_PARTITION_MOVE}"
	updateLine  = "old_xmax:xid old_offnum:u16 old_infobits_set:f8" + infobits +
		" flags:f8{OLD_ALL_VISIBLE_CLEARED|NEW_ALL_VISIBLE_CLEARED|CONTAINS_OLD_TUPLE|CONTAINS_OLD_KEY|CONTAINS_NEW_TUPLE|PREFIX_FROM_OLD|SUFFIX_FROM_OLD}" +
		" new_xmax:xid new_offnum:u16"
	pruneFreeze = "reason:u8 flags:f8{|IS_CATALOG_REL|CLEANUP_LOCK|HAS_CONFLICT_HORIZON|HAS_FREEZE_PLANS|HAS_REDIRECTIONS|HAS_DEAD_ITEMS|HAS_NOW_UNUSED_ITEMS}"
	btreeSplit  = "level:u32 firstrightoff:u16 newitemoff:u16 postingoff:u16"
	btreeUnlink = "leftsib:u32 rightsib:u32 level:u32 safexid:u64 leafleftsib:u32 leafrightsib:u32 leaftopparent:u32"
)

// byOp finds shapes by manager and the number of the opcode.
var byOp = func() (t [wal.RmgrLogicalMsg + 1][16][]*shape) {
	for i := range shapes {
		s := &shapes[i]
		s.layout = parse(s.line)
		t[s.rmgr][s.op>>4] = append(t[s.rmgr][s.op>>4], s)
	}
	return t
}()

// shapeOf is the shape of a record, nil if it has none.
func shapeOf(rec *wal.Record) *shape {
	if int(rec.Rmgr) >= len(byOp) {
		return nil
	}
	op := rec.Op()
	switch rec.Rmgr {
	case wal.RmgrHeap, wal.RmgrHeap2, wal.RmgrBrin:
		op &^= 0x80 // the page is made anew
	}
	for _, s := range byOp[rec.Rmgr][op>>4] {
		if major := rec.Major(); major >= s.from && (s.to == 0 || major <= s.to) {
			return s
		}
	}
	return nil
}
