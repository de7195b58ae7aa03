package wal

import "fmt"

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
)

// The low bits of Record.Info (src/include/access/xlogrecord.h).
const (
	InfoSpecialRelUpdate = 0x01
	InfoCheckConsistency = 0x02
)

// Valid tells whether a resource manager may write records at all.
func (id RmgrID) Valid() bool { return id <= maxBuiltinRmgr || id >= minCustomRmgr }

// An rmgr is what one resource manager's records are called.
type rmgr struct {
	name string
	// mask takes the opcode out of xl_info; the other high bits are flags.
	mask uint8
	ops  map[uint8]string
}

// rmgrs has the names that pg_waldump prints (rm_identify of each manager).
var rmgrs = [maxBuiltinRmgr + 1]rmgr{
	RmgrXLOG: {"XLOG", 0xF0, map[uint8]string{
		0x00: "CHECKPOINT_SHUTDOWN", 0x10: "CHECKPOINT_ONLINE", 0x20: "NOOP", 0x30: "NEXTOID",
		0x40: "SWITCH", 0x50: "BACKUP_END", 0x60: "PARAMETER_CHANGE", 0x70: "RESTORE_POINT",
		0x80: "FPW_CHANGE", 0x90: "END_OF_RECOVERY", 0xA0: "FPI_FOR_HINT", 0xB0: "FPI",
		0xD0: "OVERWRITE_CONTRECORD"}},
	RmgrXact: {"Transaction", 0x70, map[uint8]string{
		0x00: "COMMIT", 0x10: "PREPARE", 0x20: "ABORT", 0x30: "COMMIT_PREPARED",
		0x40: "ABORT_PREPARED", 0x50: "ASSIGNMENT", 0x60: "INVALIDATION"}},
	RmgrSMGR: {"Storage", 0xF0, map[uint8]string{0x10: "CREATE", 0x20: "TRUNCATE"}},
	RmgrCLOG: {"CLOG", 0xF0, map[uint8]string{0x00: "ZEROPAGE", 0x10: "TRUNCATE"}},
	RmgrDBase: {"Database", 0xF0, map[uint8]string{
		0x00: "CREATE_FILE_COPY", 0x10: "CREATE_WAL_LOG", 0x20: "DROP"}},
	RmgrTblSpc: {"Tablespace", 0xF0, map[uint8]string{0x00: "CREATE", 0x10: "DROP"}},
	RmgrMultiXact: {"MultiXact", 0xF0, map[uint8]string{
		0x00: "ZERO_OFF_PAGE", 0x10: "ZERO_MEM_PAGE", 0x20: "CREATE_ID", 0x30: "TRUNCATE_ID"}},
	RmgrRelMap: {"RelMap", 0xF0, map[uint8]string{0x00: "UPDATE"}},
	RmgrStandby: {"Standby", 0xF0, map[uint8]string{
		0x00: "LOCK", 0x10: "RUNNING_XACTS", 0x20: "INVALIDATIONS"}},
	RmgrHeap2: {"Heap2", 0xF0, map[uint8]string{
		0x00: "REWRITE", 0x10: "PRUNE", 0x20: "VACUUM", 0x30: "FREEZE_PAGE", 0x40: "VISIBLE",
		0x50: "MULTI_INSERT", 0xD0: "MULTI_INSERT+INIT", 0x60: "LOCK_UPDATED", 0x70: "NEW_CID"}},
	RmgrHeap: {"Heap", 0xF0, map[uint8]string{
		0x00: "INSERT", 0x80: "INSERT+INIT", 0x10: "DELETE", 0x20: "UPDATE", 0xA0: "UPDATE+INIT",
		0x30: "TRUNCATE", 0x40: "HOT_UPDATE", 0xC0: "HOT_UPDATE+INIT", 0x50: "HEAP_CONFIRM",
		0x60: "LOCK", 0x70: "INPLACE"}},
	RmgrBtree: {"Btree", 0xF0, map[uint8]string{
		0x00: "INSERT_LEAF", 0x10: "INSERT_UPPER", 0x20: "INSERT_META", 0x30: "SPLIT_L",
		0x40: "SPLIT_R", 0x50: "INSERT_POST", 0x60: "DEDUP", 0x70: "DELETE", 0x80: "UNLINK_PAGE",
		0x90: "UNLINK_PAGE_META", 0xA0: "NEWROOT", 0xB0: "MARK_PAGE_HALFDEAD", 0xC0: "VACUUM",
		0xD0: "REUSE_PAGE", 0xE0: "META_CLEANUP"}},
	RmgrHash: {"Hash", 0xF0, map[uint8]string{
		0x00: "INIT_META_PAGE", 0x10: "INIT_BITMAP_PAGE", 0x20: "INSERT", 0x30: "ADD_OVFL_PAGE",
		0x40: "SPLIT_ALLOCATE_PAGE", 0x50: "SPLIT_PAGE", 0x60: "SPLIT_COMPLETE",
		0x70: "MOVE_PAGE_CONTENTS", 0x80: "SQUEEZE_PAGE", 0x90: "DELETE", 0xA0: "SPLIT_CLEANUP",
		0xB0: "UPDATE_META_PAGE", 0xC0: "VACUUM_ONE_PAGE"}},
	RmgrGin: {"Gin", 0xF0, map[uint8]string{
		0x10: "CREATE_PTREE", 0x20: "INSERT", 0x30: "SPLIT", 0x40: "VACUUM_PAGE",
		0x50: "DELETE_PAGE", 0x60: "UPDATE_META_PAGE", 0x70: "INSERT_LISTPAGE",
		0x80: "DELETE_LISTPAGE", 0x90: "VACUUM_DATA_LEAF_PAGE"}},
	RmgrGist: {"Gist", 0xF0, map[uint8]string{
		0x00: "PAGE_UPDATE", 0x10: "DELETE", 0x20: "PAGE_REUSE", 0x30: "PAGE_SPLIT",
		0x60: "PAGE_DELETE", 0x70: "ASSIGN_LSN"}},
	RmgrSeq: {"Sequence", 0xF0, map[uint8]string{0x00: "LOG"}},
	RmgrSPGist: {"SPGist", 0xF0, map[uint8]string{
		0x10: "ADD_LEAF", 0x20: "MOVE_LEAFS", 0x30: "ADD_NODE", 0x40: "SPLIT_TUPLE",
		0x50: "PICKSPLIT", 0x60: "VACUUM_LEAF", 0x70: "VACUUM_ROOT", 0x80: "VACUUM_REDIRECT"}},
	RmgrBrin: {"BRIN", 0xF0, map[uint8]string{
		0x00: "CREATE_INDEX", 0x10: "INSERT", 0x90: "INSERT+INIT", 0x20: "UPDATE",
		0xA0: "UPDATE+INIT", 0x30: "SAMEPAGE_UPDATE", 0x40: "REVMAP_EXTEND", 0x50: "DESUMMARIZE"}},
	RmgrCommitTs:   {"CommitTs", 0xF0, map[uint8]string{0x00: "ZEROPAGE", 0x10: "TRUNCATE"}},
	RmgrReplOrigin: {"ReplicationOrigin", 0xF0, map[uint8]string{0x00: "SET", 0x10: "DROP"}},
	RmgrGeneric:    {"Generic", 0x00, map[uint8]string{0x00: "Generic"}},
	RmgrLogicalMsg: {"LogicalMessage", 0xF0, map[uint8]string{0x00: "MESSAGE"}},
}

// String is the name that pg_waldump prints.
func (id RmgrID) String() string {
	switch {
	case id <= maxBuiltinRmgr:
		return rmgrs[id].name
	case id >= minCustomRmgr:
		return fmt.Sprintf("custom%03d", uint8(id))
	}
	return fmt.Sprintf("unknown resource manager %d", uint8(id))
}

// Name is the manager and opcode of a record as pg_waldump --stats=record
// prints them, like Heap/INSERT+INIT.
func (r *Record) Name() string { return RecordName(r.Rmgr, r.Info) }

// RecordName is Name for a manager and an xl_info.
func RecordName(id RmgrID, info uint8) string {
	if id <= maxBuiltinRmgr {
		m := &rmgrs[id]
		if name, ok := m.ops[info&m.mask]; ok {
			return m.name + "/" + name
		}
	}
	return fmt.Sprintf("%s/UNKNOWN (%x)", id, info&0xF0)
}

// KnownOp tells whether PostgreSQL 15 has the record type. An extension's
// records never are.
func KnownOp(id RmgrID, info uint8) bool {
	if id > maxBuiltinRmgr {
		return false
	}
	m := &rmgrs[id]
	_, ok := m.ops[info&m.mask]
	return ok
}
