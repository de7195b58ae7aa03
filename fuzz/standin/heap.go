package standin

import (
	"bytes"
	"encoding/binary"

	"xenon/core"
	"xenon/core/redo"
	"xenon/core/wal"
)

// Opcodes and flags of records (src/include/access/heapam_xlog.h,
// src/include/catalog/storage_xlog.h).
const (
	heapInsert    = 0x00
	heapDelete    = 0x10
	heapInitPage  = 0x80
	heap2Visible  = 0x40
	smgrTruncate  = 0x20
	truncateAll   = 7    // SMGR_TRUNCATE_ALL
	vmAllBits     = 3    // VISIBILITYMAP_VALID_BITS
	vmWasCleared  = 0x01 // XLH_INSERT_ALL_VISIBLE_CLEARED and its like
	keysUpdated   = 0x10 // XLHL_KEYS_UPDATED
	xmaxInvalid   = 0x0800
	tupleOverhead = 24 // t_hoff: header and one byte of padding
	lineSize      = 4  // ItemIdData
)

// A heapPage reads the layout of src/include/storage/bufpage.h.
type heapPage redo.Page

func (p *heapPage) u16(off int) int { return int(binary.LittleEndian.Uint16(p[off:])) }

// tuples is the number of line pointers.
func (p *heapPage) tuples() int { return max(0, p.u16(12)-24) / lineSize }

// fits tells whether there is room for a tuple of n bytes of data; a new page
// has it.
func (p *heapPage) fits(n int) bool {
	return redo.IsNew((*redo.Page)(p)) || p.u16(14)-p.u16(12) >= (tupleOverhead+n+7)&^7+lineSize
}

// allVisible is PD_ALL_VISIBLE.
func (p *heapPage) allVisible() bool { return p.u16(10)&4 != 0 }

// tuple is the n-th tuple: who wrote it and its data. xmin is 0 if the line
// pointer has none.
func (p *heapPage) tuple(n int) (xmin uint32, data []byte) {
	it := binary.LittleEndian.Uint32(p[24+(n-1)*lineSize:])
	off, size := int(it&0x7FFF), int(it>>17)
	if it>>15&3 != 1 || size < tupleOverhead || off+size > len(p) {
		return 0, nil
	}
	return binary.LittleEndian.Uint32(p[off:]), p[off+tupleOverhead : off+size]
}

// insertion makes the record that adds a tuple to a page, or makes the page.
func insertion(p *redo.Page, b block, xid uint32, data []byte, clearVM bool) *wal.Record {
	n, info := (*heapPage)(p).tuples()+1, uint8(heapInsert)
	if n == 1 {
		info |= heapInitPage
	}
	flags := byte(0)
	if clearVM {
		flags = vmWasCleared
	}
	tuple := []byte{1, 0, xmaxInvalid & 0xFF, xmaxInvalid >> 8, tupleOverhead, 0} // one attribute, a byte of padding
	return &wal.Record{Rmgr: wal.RmgrHeap, Info: info, XID: xid, Main: []byte{byte(n), byte(n >> 8), flags},
		Blocks: []wal.Block{{Rel: b.rel, Block: b.num, WillInit: n == 1, Data: append(tuple, data...)}}}
}

// deletion makes the record that deletes the n-th tuple.
func deletion(b block, xid uint32, n int, clearVM bool) *wal.Record {
	flags := byte(0)
	if clearVM {
		flags = vmWasCleared
	}
	main := binary.LittleEndian.AppendUint32(nil, xid)
	return &wal.Record{Rmgr: wal.RmgrHeap, Info: heapDelete, XID: xid,
		Main: append(main, byte(n), byte(n>>8), keysUpdated, flags), Blocks: []wal.Block{{Rel: b.rel, Block: b.num}}}
}

// visible makes the record that marks a block all-visible and all-frozen.
func visible(b block) *wal.Record {
	vm := b.rel
	vm.Fork = core.VMFork
	return &wal.Record{Rmgr: wal.RmgrHeap2, Info: heap2Visible, Main: []byte{0, 0, 0, 0, vmAllBits},
		Blocks: []wal.Block{{ID: 0, Rel: vm}, {ID: 1, Rel: b.rel, Block: b.num}}}
}

// image makes the record that replaces a page.
func image(b block, p *redo.Page) *wal.Record {
	blk := wal.Block{Rel: b.rel, Block: b.num}
	blk.SetImage(wal.PG15, p, wal.ImageOpts{Apply: true, Standard: true})
	return &wal.Record{Rmgr: wal.RmgrXLOG, Info: wal.XLOGFPI, Blocks: []wal.Block{blk}}
}

// truncation makes the record that cuts a relation to n blocks.
func truncation(r core.Rel, n uint32) *wal.Record {
	main := binary.LittleEndian.AppendUint32(nil, n)
	for _, id := range []core.OID{r.Spc, r.DB, r.Node} {
		main = binary.LittleEndian.AppendUint32(main, uint32(id))
	}
	return &wal.Record{Rmgr: wal.RmgrSMGR, Info: smgrTruncate, Main: binary.LittleEndian.AppendUint32(main, truncateAll)}
}

// end makes the record that commits or aborts a transaction; micros is the
// time since 2000.
func end(xid uint32, micros int64, commit bool) *wal.Record {
	info := uint8(wal.XactCommit)
	if !commit {
		info = wal.XactAbort
	}
	return &wal.Record{Rmgr: wal.RmgrXact, Info: info, XID: xid, Main: binary.LittleEndian.AppendUint64(nil, uint64(micros))}
}

// bulk makes a record of n bytes that changes nothing.
func bulk(n int, fill byte) *wal.Record {
	return &wal.Record{Rmgr: wal.RmgrXLOG, Info: wal.XLOGNoop, Main: bytes.Repeat([]byte{fill}, n)}
}

// committed tells from a page of pg_xact whether a transaction is
// (src/include/access/clog.h).
func committed(clog *redo.Page, xid uint32) bool {
	return clog[xid%32768/4]>>(xid%4*2)&3 == 1
}
