package wal

import (
	"fmt"
	"iter"
)

// The resource managers (src/include/access/rmgrlist.h).
const (
	RmgrXLOG       RmgrID = 0
	RmgrXact       RmgrID = 1
	RmgrSMGR       RmgrID = 2
	RmgrCLOG       RmgrID = 3
	RmgrDBase      RmgrID = 4
	RmgrTblSpc     RmgrID = 5
	RmgrMultiXact  RmgrID = 6
	RmgrRelMap     RmgrID = 7
	RmgrStandby    RmgrID = 8
	RmgrHeap2      RmgrID = 9
	RmgrHeap       RmgrID = 10
	RmgrBtree      RmgrID = 11
	RmgrHash       RmgrID = 12
	RmgrGin        RmgrID = 13
	RmgrGist       RmgrID = 14
	RmgrSeq        RmgrID = 15
	RmgrSPGist     RmgrID = 16
	RmgrBrin       RmgrID = 17
	RmgrCommitTs   RmgrID = 18
	RmgrReplOrigin RmgrID = 19
	RmgrGeneric    RmgrID = 20
	RmgrLogicalMsg RmgrID = 21

	maxBuiltinRmgr = RmgrLogicalMsg
	minCustomRmgr  = 128 // RM_MIN_CUSTOM_ID
)

// Opcodes of resource manager XLOG (src/include/catalog/pg_control.h).
const (
	XLOGCheckpointShutdown  = 0x00
	XLOGCheckpointOnline    = 0x10
	XLOGNoop                = 0x20
	XLOGNextOID             = 0x30
	XLOGSwitch              = 0x40
	XLOGBackupEnd           = 0x50
	XLOGParameterChange     = 0x60
	XLOGRestorePoint        = 0x70
	XLOGFPWChange           = 0x80
	XLOGEndOfRecovery       = 0x90
	XLOGFPIForHint          = 0xA0
	XLOGFPI                 = 0xB0
	XLOGOverwriteContrecord = 0xD0
	XLOGCheckpointRedo      = 0xE0 // since 17: where an online checkpoint begins
)

// The low bits of Record.Info (src/include/access/xlogrecord.h).
const (
	InfoSpecialRelUpdate = 0x01
	InfoCheckConsistency = 0x02
)

// Valid tells whether a resource manager may write records at all.
func (id RmgrID) Valid() bool { return id <= maxBuiltinRmgr || id >= minCustomRmgr }

// rmgrNames are the names that pg_waldump prints of the built-in managers.
var rmgrNames = [maxBuiltinRmgr + 1]string{
	RmgrXLOG: "XLOG", RmgrXact: "Transaction", RmgrSMGR: "Storage", RmgrCLOG: "CLOG",
	RmgrDBase: "Database", RmgrTblSpc: "Tablespace", RmgrMultiXact: "MultiXact", RmgrRelMap: "RelMap",
	RmgrStandby: "Standby", RmgrHeap2: "Heap2", RmgrHeap: "Heap", RmgrBtree: "Btree", RmgrHash: "Hash",
	RmgrGin: "Gin", RmgrGist: "Gist", RmgrSeq: "Sequence", RmgrSPGist: "SPGist", RmgrBrin: "BRIN",
	RmgrCommitTs: "CommitTs", RmgrReplOrigin: "ReplicationOrigin", RmgrGeneric: "Generic",
	RmgrLogicalMsg: "LogicalMessage",
}

// opOf is where an opTable has a record: the bits of xl_info that are the
// opcode, without the flags of the manager.
func opOf(id RmgrID, info uint8) uint8 {
	switch id {
	case RmgrXact:
		info &= XactOpMask
	case RmgrGeneric:
		info = 0 // has none
	}
	return info >> 4
}

// An opTable has the names of a version's opcodes, by manager and by the high
// four bits of xl_info. "" is no record of that version.
type opTable [maxBuiltinRmgr + 1][16]string

// but is the table with other opcodes for one manager.
func (t opTable) but(id RmgrID, ops [16]string) *opTable {
	t[id] = ops
	return &t
}

// with is the table with one opcode more.
func (t opTable) with(id RmgrID, info uint8, name string) *opTable {
	t[id][opOf(id, info)] = name
	return &t
}

// named is the table with each manager's name and a slash before its opcodes.
func (t opTable) named() *opTable {
	for id := range t {
		for op, name := range t[id] {
			if name != "" {
				t[id][op] = rmgrNames[id] + "/" + name
			}
		}
	}
	return &t
}

// names14, names15 and names17 are what [Record.Name] gives.
var names14, names15, names17 = ops14.named(), ops15.named(), ops17.named()

// ops14 has the opcodes of 14: every CREATE DATABASE copies files.
var ops14 = ops15.but(RmgrDBase, [16]string{0x0: "CREATE", 0x1: "DROP"})

// ops17 has those of 17 and 18: an online checkpoint says where it begins, and
// one record prunes, vacuums and freezes a heap page.
var ops17 = ops15.with(RmgrXLOG, XLOGCheckpointRedo, "CHECKPOINT_REDO").but(RmgrHeap2, [16]string{
	0x0: "REWRITE", 0x1: "PRUNE_ON_ACCESS", 0x2: "PRUNE_VACUUM_SCAN", 0x3: "PRUNE_VACUUM_CLEANUP", 0x4: "VISIBLE",
	0x5: "MULTI_INSERT", 0xD: "MULTI_INSERT+INIT", 0x6: "LOCK_UPDATED", 0x7: "NEW_CID"})

// ops15 has the opcodes of 15 and 16, as pg_waldump prints them (rm_identify of
// each manager).
var ops15 = &opTable{
	RmgrXLOG: {
		0x0: "CHECKPOINT_SHUTDOWN", 0x1: "CHECKPOINT_ONLINE", 0x2: "NOOP", 0x3: "NEXTOID",
		0x4: "SWITCH", 0x5: "BACKUP_END", 0x6: "PARAMETER_CHANGE", 0x7: "RESTORE_POINT",
		0x8: "FPW_CHANGE", 0x9: "END_OF_RECOVERY", 0xA: "FPI_FOR_HINT", 0xB: "FPI",
		0xD: "OVERWRITE_CONTRECORD"},
	RmgrXact: {
		0x0: "COMMIT", 0x1: "PREPARE", 0x2: "ABORT", 0x3: "COMMIT_PREPARED",
		0x4: "ABORT_PREPARED", 0x5: "ASSIGNMENT", 0x6: "INVALIDATION"},
	RmgrSMGR: {0x1: "CREATE", 0x2: "TRUNCATE"},
	RmgrCLOG: {0x0: "ZEROPAGE", 0x1: "TRUNCATE"},
	RmgrDBase: {
		0x0: "CREATE_FILE_COPY", 0x1: "CREATE_WAL_LOG", 0x2: "DROP"},
	RmgrTblSpc: {0x0: "CREATE", 0x1: "DROP"},
	RmgrMultiXact: {
		0x0: "ZERO_OFF_PAGE", 0x1: "ZERO_MEM_PAGE", 0x2: "CREATE_ID", 0x3: "TRUNCATE_ID"},
	RmgrRelMap: {0x0: "UPDATE"},
	RmgrStandby: {
		0x0: "LOCK", 0x1: "RUNNING_XACTS", 0x2: "INVALIDATIONS"},
	RmgrHeap2: {
		0x0: "REWRITE", 0x1: "PRUNE", 0x2: "VACUUM", 0x3: "FREEZE_PAGE", 0x4: "VISIBLE",
		0x5: "MULTI_INSERT", 0xD: "MULTI_INSERT+INIT", 0x6: "LOCK_UPDATED", 0x7: "NEW_CID"},
	RmgrHeap: {
		0x0: "INSERT", 0x8: "INSERT+INIT", 0x1: "DELETE", 0x2: "UPDATE", 0xA: "UPDATE+INIT",
		0x3: "TRUNCATE", 0x4: "HOT_UPDATE", 0xC: "HOT_UPDATE+INIT", 0x5: "HEAP_CONFIRM",
		0x6: "LOCK", 0x7: "INPLACE"},
	RmgrBtree: {
		0x0: "INSERT_LEAF", 0x1: "INSERT_UPPER", 0x2: "INSERT_META", 0x3: "SPLIT_L",
		0x4: "SPLIT_R", 0x5: "INSERT_POST", 0x6: "DEDUP", 0x7: "DELETE", 0x8: "UNLINK_PAGE",
		0x9: "UNLINK_PAGE_META", 0xA: "NEWROOT", 0xB: "MARK_PAGE_HALFDEAD", 0xC: "VACUUM",
		0xD: "REUSE_PAGE", 0xE: "META_CLEANUP"},
	RmgrHash: {
		0x0: "INIT_META_PAGE", 0x1: "INIT_BITMAP_PAGE", 0x2: "INSERT", 0x3: "ADD_OVFL_PAGE",
		0x4: "SPLIT_ALLOCATE_PAGE", 0x5: "SPLIT_PAGE", 0x6: "SPLIT_COMPLETE",
		0x7: "MOVE_PAGE_CONTENTS", 0x8: "SQUEEZE_PAGE", 0x9: "DELETE", 0xA: "SPLIT_CLEANUP",
		0xB: "UPDATE_META_PAGE", 0xC: "VACUUM_ONE_PAGE"},
	RmgrGin: {
		0x1: "CREATE_PTREE", 0x2: "INSERT", 0x3: "SPLIT", 0x4: "VACUUM_PAGE",
		0x5: "DELETE_PAGE", 0x6: "UPDATE_META_PAGE", 0x7: "INSERT_LISTPAGE",
		0x8: "DELETE_LISTPAGE", 0x9: "VACUUM_DATA_LEAF_PAGE"},
	RmgrGist: {
		0x0: "PAGE_UPDATE", 0x1: "DELETE", 0x2: "PAGE_REUSE", 0x3: "PAGE_SPLIT",
		0x6: "PAGE_DELETE", 0x7: "ASSIGN_LSN"},
	RmgrSeq: {0x0: "LOG"},
	RmgrSPGist: {
		0x1: "ADD_LEAF", 0x2: "MOVE_LEAFS", 0x3: "ADD_NODE", 0x4: "SPLIT_TUPLE",
		0x5: "PICKSPLIT", 0x6: "VACUUM_LEAF", 0x7: "VACUUM_ROOT", 0x8: "VACUUM_REDIRECT"},
	RmgrBrin: {
		0x0: "CREATE_INDEX", 0x1: "INSERT", 0x9: "INSERT+INIT", 0x2: "UPDATE",
		0xA: "UPDATE+INIT", 0x3: "SAMEPAGE_UPDATE", 0x4: "REVMAP_EXTEND", 0x5: "DESUMMARIZE"},
	RmgrCommitTs:   {0x0: "ZEROPAGE", 0x1: "TRUNCATE"},
	RmgrReplOrigin: {0x0: "SET", 0x1: "DROP"},
	RmgrGeneric:    {0x0: "Generic"},
	RmgrLogicalMsg: {0x0: "MESSAGE"},
}

// String is the name that pg_waldump prints.
func (id RmgrID) String() string {
	switch {
	case id <= maxBuiltinRmgr:
		return rmgrNames[id]
	case id >= minCustomRmgr:
		return fmt.Sprintf("custom%03d", uint8(id))
	}
	return fmt.Sprintf("unknown resource manager %d", uint8(id))
}

// Name is the manager and opcode of a record as pg_waldump --stats=record
// prints them, like Heap/INSERT+INIT.
func (r *Record) Name() string { return r.Version.RecordName(r.Rmgr, r.Info) }

// KnownOp tells whether the major that wrote the record has such records.
func (r *Record) KnownOp() bool { return r.Version.KnownOp(r.Rmgr, r.Info) }

// RecordName is [Record.Name] for a manager and an xl_info. No version stands
// for [PG15].
func (v *Version) RecordName(id RmgrID, info uint8) string {
	if id <= maxBuiltinRmgr {
		if name := v.orDefault().names[id][opOf(id, info)]; name != "" {
			return name
		}
	}
	return fmt.Sprintf("%s/UNKNOWN (%x)", id, info&0xF0)
}

// KnownOp tells whether the version has the record type. An extension's
// records never are known. No version stands for [PG15].
func (v *Version) KnownOp(id RmgrID, info uint8) bool {
	return id <= maxBuiltinRmgr && v.orDefault().ops[id][opOf(id, info)] != ""
}

// RecordTypes yields every manager and opcode that the version's own managers
// have, in ascending order; what a flag makes of a record (+INIT) is one of its own.
func (v *Version) RecordTypes() iter.Seq2[RmgrID, uint8] {
	return func(yield func(RmgrID, uint8) bool) {
		for id := range v.ops {
			for op, name := range v.ops[id] {
				if name != "" && !yield(RmgrID(id), uint8(op)<<4) {
					return
				}
			}
		}
	}
}
