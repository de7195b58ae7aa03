package redo

import (
	"xenon/core/faults"
	"xenon/core/wal"
)

// Opcodes and flags of Heap2 (src/include/access/heapam_xlog.h).
const (
	heap2Rewrite     = 0x00
	heap2Prune       = 0x10
	heap2Vacuum      = 0x20
	heap2Freeze      = 0x30
	heap2Visible     = 0x40
	heap2MultiInsert = 0x50
	heap2LockUpdated = 0x60
	heap2NewCID      = 0x70

	multiTupleHeader  = 7 // SizeOfMultiInsertTuple
	visibleVMBlock    = 0 // block references of VISIBLE
	visibleHeapBlock  = 1
	heap2OpMask       = 0x70
	heap2InitPage     = 0x80
	multiInsertOffset = 4 // of xl_heap_multi_insert.offsets
)

// redoHeap2 changes one page by a Heap2 record. VISIBLE is apart: it alone
// decides for itself whether the page's LSN moves.
func (a *Applier) redoHeap2(p *Page, rec *wal.Record, blk *wal.Block) bool {
	c := cursor{b: rec.Main}
	switch op := rec.Info & heap2OpMask; op {
	case heap2Prune, heap2Vacuum, heap2Freeze:
		return a.redoClean(p, rec, blk, c)
	case heap2MultiInsert:
		return redoMultiInsert(p, rec, blk, c)
	case heap2LockUpdated:
		xmax, n, bits, _ := c.u32(), c.u16(), c.u8(), c.u8()
		t, ok := heapTuple(p, int(n))
		if c.bad || !ok {
			return false
		}
		t.clearXmax()
		t.setInfobits(bits)
		t.setXmax(xmax)
		return true
	}
	return false
}

func redoMultiInsert(p *Page, rec *wal.Record, blk *wal.Block, c cursor) bool {
	isInit := rec.Info&heap2InitPage != 0
	if isInit {
		initPage(p, 0)
	}
	flags, _, count := c.u8(), c.u8(), int(c.u16())
	if c.bad || !isInit && len(c.b) < 2*count {
		return false
	}
	at := 0
	for i := 0; i < count; i++ {
		n := uint16(i + 1)
		if !isInit {
			n = c.u16()
		}
		if !faults.On || !faults.Hit(faults.RedoMultiUnaligned) {
			at = shortAlign(at) // relative to the start of the block's data
		}
		if at > len(blk.Data) {
			return false
		}
		d := cursor{b: blk.Data[at:]}
		size := int(d.u16())
		var nt newTuple
		nt.readHeader(&d)
		nt.data = d.take(size)
		if d.bad || !nt.put(p, rec, blk, n) {
			return false
		}
		at += multiTupleHeader + size
	}
	if at != len(blk.Data) {
		return false
	}
	if flags&insertVMCleared != 0 {
		clearFlags(p, flagAllVisible)
	}
	if flags&insertAllFrozenSet != 0 {
		setFlags(p, flagAllVisible)
	}
	return true
}

func isVisible(rec *wal.Record) bool {
	return rec.Rmgr == wal.RmgrHeap2 && rec.Info&heap2OpMask == heap2Visible
}

// redoVisible sets a heap block's bits in the map, and the hint on the heap
// page that they are set.
func (a *Applier) redoVisible(p *Page, rec *wal.Record, blk *wal.Block) bool {
	c := cursor{b: rec.Main}
	_, flags := c.u32(), c.u8()
	heap := rec.Block(visibleHeapBlock)
	if c.bad || heap == nil {
		return false
	}
	if blk.ID == visibleHeapBlock {
		setFlags(p, flagAllVisible)
		if a.LogHints || faults.On && faults.Hit(faults.RedoVisibleLSN) {
			setLSN(p, rec.End)
		}
		return true
	}
	vmBlock, index := vmPlace(heap.Block)
	if vmBlock != blk.Block {
		return false
	}
	vmPage(p)
	if vmBitsOf(p, int(index)) != flags&vmBits {
		setVMBits(p, int(index), flags)
		setLSN(p, rec.End)
	}
	return true
}
