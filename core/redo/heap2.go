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

	freezeXvac        = 0x02 // XLH_FREEZE_XVAC
	invalidXvac       = 0x04 // XLH_INVALID_XVAC
	freezeSize        = 12   // xl_heap_freeze_tuple with its padding
	frozenXID         = 2    // FrozenTransactionId
	multiTupleHeader  = 7    // SizeOfMultiInsertTuple
	visibleVMBlock    = 0    // block references of VISIBLE
	visibleHeapBlock  = 1
	heap2OpMask       = 0x70
	heap2InitPage     = 0x80
	multiInsertOffset = 4 // of xl_heap_multi_insert.offsets
)

// redoHeap2 changes one page by a Heap2 record. VISIBLE is apart: it alone
// decides for itself whether the page's LSN moves.
func (a *Applier) redoHeap2(p *Page, rec *wal.Record, blk *wal.Block) bool {
	c := cursor{b: rec.Main}
	switch rec.Info & heap2OpMask {
	case heap2Prune:
		return a.redoPrune(p, blk, c)
	case heap2Vacuum:
		return redoVacuum(p, blk, c)
	case heap2Freeze:
		return redoFreeze(p, blk, c)
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

// redoPrune cuts HOT chains: the block's data lists pairs (from, to) of
// redirects, then the dead, then the unused line pointers.
func (a *Applier) redoPrune(p *Page, blk *wal.Block, c cursor) bool {
	_, redirects, dead := c.u32(), int(c.u16()), int(c.u16())
	d := cursor{b: blk.Data}
	for ; redirects > 0 && !d.bad; redirects-- {
		from, to := int(d.u16()), int(d.u16())
		if from < 1 || from > maxOffset(p) || to < 1 || to > maxOffset(p) {
			return false
		}
		setRedirect(p, from, to)
	}
	for ; dead > 0 && !d.bad; dead-- {
		n := int(d.u16())
		if n < 1 || n > maxOffset(p) {
			return false
		}
		setDead(p, n)
	}
	if c.bad || d.bad || !setAllUnused(p, d.b) {
		return false
	}
	if faults.On && faults.Hit(faults.RedoNoCompaction) {
		return true
	}
	return a.repairFragmentation(p)
}

// setAllUnused frees the line pointers that list names.
func setAllUnused(p *Page, list []byte) bool {
	for i := 0; i+2 <= len(list); i += 2 {
		n := int(u16(list, i))
		if n < 1 || n > maxOffset(p) {
			return false
		}
		setUnused(p, n)
	}
	return true
}

func redoVacuum(p *Page, blk *wal.Block, c cursor) bool {
	count := int(c.u16())
	if c.bad || 2*count > len(blk.Data) || !setAllUnused(p, blk.Data[:2*count]) {
		return false
	}
	if faults.On && faults.Hit(faults.RedoKeepLinePointers) {
		return true
	}
	truncateLinePointers(p)
	return true
}

func redoFreeze(p *Page, blk *wal.Block, c cursor) bool {
	_, count := c.u32(), int(c.u16())
	d := cursor{b: blk.Data}
	for ; count > 0; count-- {
		e := cursor{b: d.take(freezeSize)}
		xmax, n, mask2, mask, flags := e.u32(), e.u16(), e.u16(), e.u16(), e.u8()
		t, ok := heapTuple(p, int(n))
		if d.bad || !ok {
			return false
		}
		t.setXmax(xmax)
		if flags&freezeXvac != 0 {
			put32(t, tCID, frozenXID)
		}
		if flags&invalidXvac != 0 {
			put32(t, tCID, 0)
		}
		t.setMask(mask)
		t.setMask2(mask2)
		if faults.On && faults.Hit(faults.RedoFreezeMask) {
			t.setMask(mask &^ 0x0200)
		}
	}
	return !c.bad
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
		at = shortAlign(at) // relative to the start of the block's data
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
		if a.LogHints {
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
