package redo

import (
	"fmt"

	"xenon/core/wal"
)

// The resource managers (src/include/access/rmgrlist.h); ids did not change
// from 14 to 18.
const (
	rmXLOG wal.RmgrID = iota
	rmXact
	rmSMGR
	rmCLOG
	rmDbase
	rmTblspc
	rmMulti
	rmRelmap
	rmStandby
	rmHeap2
	rmHeap
	rmBtree
	rmHash
	rmGin
	rmGist
	rmSeq
	rmSpgist
	rmBrin
	rmCommitTs
	rmOrigin
	rmGeneric
	rmLogicalMsg
	rmCount
)

// An rmgr is what is known of a resource manager's records.
type rmgr struct {
	name   string
	opMask uint8 // the bits of xl_info that are the opcode
	ops    map[uint8]string
	stored bool // its redo of pages is not there
}

// rmgrs names every opcode of 15 as pg_waldump does.
var rmgrs = [rmCount]rmgr{
	rmXLOG: {"XLOG", 0xF0, map[uint8]string{
		0x00: "CHECKPOINT_SHUTDOWN", 0x10: "CHECKPOINT_ONLINE", 0x20: "NOOP", 0x30: "NEXTOID", 0x40: "SWITCH",
		0x50: "BACKUP_END", 0x60: "PARAMETER_CHANGE", 0x70: "RESTORE_POINT", 0x80: "FPW_CHANGE",
		0x90: "END_OF_RECOVERY", 0xA0: "FPI_FOR_HINT", 0xB0: "FPI", 0xD0: "OVERWRITE_CONTRECORD"}, false},
	rmXact: {"Transaction", 0x70, map[uint8]string{
		0x00: "COMMIT", 0x10: "PREPARE", 0x20: "ABORT", 0x30: "COMMIT_PREPARED", 0x40: "ABORT_PREPARED",
		0x50: "ASSIGNMENT", 0x60: "INVALIDATION"}, false},
	rmSMGR: {"Storage", 0xF0, map[uint8]string{0x10: "CREATE", 0x20: "TRUNCATE"}, false},
	rmCLOG: {"CLOG", 0xF0, map[uint8]string{0x00: "ZEROPAGE", 0x10: "TRUNCATE"}, false},
	rmDbase: {"Database", 0xF0, map[uint8]string{
		0x00: "CREATE_FILE_COPY", 0x10: "CREATE_WAL_LOG", 0x20: "DROP"}, false},
	rmTblspc: {"Tablespace", 0xF0, map[uint8]string{0x00: "CREATE", 0x10: "DROP"}, false},
	rmMulti: {"MultiXact", 0xF0, map[uint8]string{
		0x00: "ZERO_OFF_PAGE", 0x10: "ZERO_MEM_PAGE", 0x20: "CREATE_ID", 0x30: "TRUNCATE_ID"}, false},
	rmRelmap:  {"RelMap", 0xF0, map[uint8]string{0x00: "UPDATE"}, false},
	rmStandby: {"Standby", 0xF0, map[uint8]string{0x00: "LOCK", 0x10: "RUNNING_XACTS", 0x20: "INVALIDATIONS"}, false},
	rmHeap2: {"Heap2", 0x70, map[uint8]string{
		0x00: "REWRITE", 0x10: "PRUNE", 0x20: "VACUUM", 0x30: "FREEZE_PAGE", 0x40: "VISIBLE",
		0x50: "MULTI_INSERT", 0x60: "LOCK_UPDATED", 0x70: "NEW_CID"}, false},
	rmHeap: {"Heap", 0x70, map[uint8]string{
		0x00: "INSERT", 0x10: "DELETE", 0x20: "UPDATE", 0x30: "TRUNCATE", 0x40: "HOT_UPDATE",
		0x50: "HEAP_CONFIRM", 0x60: "LOCK", 0x70: "INPLACE"}, false},
	rmBtree: {"Btree", 0xF0, map[uint8]string{
		0x00: "INSERT_LEAF", 0x10: "INSERT_UPPER", 0x20: "INSERT_META", 0x30: "SPLIT_L", 0x40: "SPLIT_R",
		0x50: "INSERT_POST", 0x60: "DEDUP", 0x70: "DELETE", 0x80: "UNLINK_PAGE", 0x90: "UNLINK_PAGE_META",
		0xA0: "NEWROOT", 0xB0: "MARK_PAGE_HALFDEAD", 0xC0: "VACUUM", 0xD0: "REUSE_PAGE", 0xE0: "META_CLEANUP"}, false},
	rmHash: {"Hash", 0xF0, map[uint8]string{
		0x00: "INIT_META_PAGE", 0x10: "INIT_BITMAP_PAGE", 0x20: "INSERT", 0x30: "ADD_OVFL_PAGE",
		0x40: "SPLIT_ALLOCATE_PAGE", 0x50: "SPLIT_PAGE", 0x60: "SPLIT_COMPLETE", 0x70: "MOVE_PAGE_CONTENTS",
		0x80: "SQUEEZE_PAGE", 0x90: "DELETE", 0xA0: "SPLIT_CLEANUP", 0xB0: "UPDATE_META_PAGE",
		0xC0: "VACUUM_ONE_PAGE"}, true},
	rmGin: {"Gin", 0xF0, map[uint8]string{
		0x10: "CREATE_PTREE", 0x20: "INSERT", 0x30: "SPLIT", 0x40: "VACUUM_PAGE", 0x50: "DELETE_PAGE",
		0x60: "UPDATE_META_PAGE", 0x70: "INSERT_LISTPAGE", 0x80: "DELETE_LISTPAGE",
		0x90: "VACUUM_DATA_LEAF_PAGE"}, true},
	rmGist: {"Gist", 0xF0, map[uint8]string{
		0x00: "PAGE_UPDATE", 0x10: "DELETE", 0x20: "PAGE_REUSE", 0x30: "PAGE_SPLIT", 0x60: "PAGE_DELETE",
		0x70: "ASSIGN_LSN"}, true},
	rmSeq: {"Sequence", 0xF0, map[uint8]string{0x00: "LOG"}, false},
	rmSpgist: {"SPGist", 0xF0, map[uint8]string{
		0x10: "ADD_LEAF", 0x20: "MOVE_LEAFS", 0x30: "ADD_NODE", 0x40: "SPLIT_TUPLE", 0x50: "PICKSPLIT",
		0x60: "VACUUM_LEAF", 0x70: "VACUUM_ROOT", 0x80: "VACUUM_REDIRECT"}, true},
	rmBrin: {"BRIN", 0x70, map[uint8]string{
		0x00: "CREATE_INDEX", 0x10: "INSERT", 0x20: "UPDATE", 0x30: "SAMEPAGE_UPDATE", 0x40: "REVMAP_EXTEND",
		0x50: "DESUMMARIZE"}, true},
	rmCommitTs:   {"CommitTs", 0xF0, map[uint8]string{0x00: "ZEROPAGE", 0x10: "TRUNCATE"}, false},
	rmOrigin:     {"ReplicationOrigin", 0xF0, map[uint8]string{0x00: "SET", 0x10: "DROP"}, false},
	rmGeneric:    {"Generic", 0xF0, map[uint8]string{0x00: "Generic"}, true},
	rmLogicalMsg: {"LogicalMessage", 0xF0, map[uint8]string{0x00: "MESSAGE"}, false},
}

// Name is what pg_waldump calls a record, Heap/INSERT, with its manager and
// opcode in numbers if it is not known.
func Name(id wal.RmgrID, info uint8) string {
	if id >= rmCount {
		return fmt.Sprintf("rmgr%d/%02X", id, info&0xF0)
	}
	m := &rmgrs[id]
	if op, ok := m.ops[info&m.opMask]; ok {
		return m.name + "/" + op
	}
	return fmt.Sprintf("%s/%02X", m.name, info&0xF0)
}

// IsStored tells whether the pages of a manager cannot be made yet: see
// [ErrStored].
func IsStored(id wal.RmgrID) bool { return id < rmCount && rmgrs[id].stored }

// Check tells whether the record's manager and opcode are known.
func Check(rec *wal.Record) error {
	if rec.Rmgr >= rmCount {
		return fail(rec, ErrUnknown, "no such resource manager; an extension wrote it")
	}
	m := &rmgrs[rec.Rmgr]
	if _, ok := m.ops[rec.Info&m.opMask]; !ok {
		return fail(rec, ErrUnknown, "no such opcode")
	}
	return nil
}
