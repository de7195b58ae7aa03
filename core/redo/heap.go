package redo

import (
	"xenon/core/faults"
	"xenon/core/wal"
)

// Opcodes and flags of Heap (src/include/access/heapam_xlog.h).
const (
	heapInsert    = 0x00
	heapDelete    = 0x10
	heapUpdate    = 0x20
	heapTruncate  = 0x30
	heapHotUpdate = 0x40
	heapConfirm   = 0x50
	heapLock      = 0x60
	heapInplace   = 0x70
	heapOpMask    = 0x70
	heapInitPage  = 0x80

	insertVMCleared     = 0x01
	insertAllFrozenSet  = 0x20
	deleteVMCleared     = 0x01
	deleteSuper         = 0x08
	deletePartitionMove = 0x10
	updateOldVMCleared  = 0x01
	updateNewVMCleared  = 0x02
	updatePrefix        = 0x20
	updateSuffix        = 0x40
	lockFrozenCleared   = 0x01
)

// redoHeap changes one page by a Heap record.
func redoHeap(p *Page, rec *wal.Record, blk *wal.Block) bool {
	if rec.Info&heapInitPage != 0 && blk.ID == 0 {
		initPage(p, 0)
	}
	c := cursor{b: rec.Main}
	switch rec.Info & heapOpMask {
	case heapInsert:
		return redoInsert(p, rec, blk, c)
	case heapDelete:
		return redoDelete(p, rec, blk, c)
	case heapUpdate, heapHotUpdate:
		return redoUpdate(p, rec, blk, c)
	case heapConfirm:
		n := c.u16()
		t, ok := heapTuple(p, int(n))
		if ok {
			t.setCtid(blk.Block, n)
		}
		return ok
	case heapLock:
		return redoLock(p, blk, c)
	case heapInplace:
		return redoInplace(p, blk, c)
	}
	return false
}

// A newTuple is a tuple as records hold it: without what redo rebuilds.
type newTuple struct {
	mask2, mask uint16
	hoff        uint8
	xmax        uint32
	prefix      []byte // after the bitmap, from the old version
	data        []byte // everything after the fixed header but prefix and suffix
	suffix      []byte
}

// put builds the tuple at offset number n of the page.
func (nt *newTuple) put(p *Page, rec *wal.Record, blk *wal.Block, n uint16) bool {
	size := tupleHeader + len(nt.prefix) + len(nt.data) + len(nt.suffix)
	if int(n) > maxHeapItems {
		return false
	}
	t, ok := reserveItem(p, int(n), size, true)
	if !ok {
		return false
	}
	h := tuple(t)
	h.setXmin(rec.XID)
	h.setXmax(nt.xmax)
	put32(h, tCID, 0)
	h.setCtid(blk.Block, n)
	h.setMask2(nt.mask2)
	h.setMask(nt.mask)
	h[tHoff] = nt.hoff
	to, data := t[tupleHeader:], nt.data
	if len(nt.prefix) > 0 {
		bitmap := int(nt.hoff) - tupleHeader
		if bitmap < 0 || bitmap > len(data) {
			return false
		}
		to = to[copy(to, data[:bitmap]):]
		to = to[copy(to, nt.prefix):]
		data = data[bitmap:]
	}
	to = to[copy(to, data):]
	copy(to, nt.suffix)
	if faults.On && faults.Hit(faults.RedoFlipByte) {
		t[len(t)-1] ^= 1
	}
	return true
}

func (nt *newTuple) readHeader(c *cursor) {
	nt.mask2, nt.mask, nt.hoff = c.u16(), c.u16(), c.u8()
}

func redoInsert(p *Page, rec *wal.Record, blk *wal.Block, c cursor) bool {
	n, flags := c.u16(), c.u8()
	d := cursor{b: blk.Data}
	var nt newTuple
	nt.readHeader(&d)
	nt.data = d.b
	if c.bad || d.bad || !nt.put(p, rec, blk, n) {
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

func redoDelete(p *Page, rec *wal.Record, blk *wal.Block, c cursor) bool {
	xmax, n, bits, flags := c.u32(), c.u16(), c.u8(), c.u8()
	t, ok := heapTuple(p, int(n))
	if c.bad || !ok {
		return false
	}
	t.clearXmax()
	t.setHotUpdated(false)
	t.setInfobits(bits)
	switch {
	case flags&deleteSuper != 0:
		t.setXmin(0)
	case faults.On && faults.Hit(faults.RedoDeleteXmax):
		t.setXmax(xmax + 1)
	default:
		t.setXmax(xmax)
	}
	t.setCmax()
	setPrunable(p, rec.XID)
	if flags&deleteVMCleared != 0 {
		clearFlags(p, flagAllVisible)
	}
	if flags&deletePartitionMove != 0 {
		t.setCtid(0xFFFFFFFF, 0xFFFD) // ItemPointerSetMovedPartitions
	} else if !faults.On || !faults.Hit(faults.RedoDeleteCtid) {
		t.setCtid(blk.Block, n)
	}
	return true
}

// redoUpdate changes the old page (block 1, or 0 if both versions are on one
// page) and the new page (block 0).
func redoUpdate(p *Page, rec *wal.Record, blk *wal.Block, c cursor) bool {
	oldXmax, oldN, bits, flags := c.u32(), c.u16(), c.u8(), c.u8()
	newXmax, newN := c.u32(), c.u16()
	if c.bad {
		return false
	}
	newBlock := rec.Block(0)
	if newBlock == nil {
		return false
	}
	samePage := rec.Block(1) == nil
	var old tuple
	if blk.ID == 1 || samePage {
		var ok bool
		if old, ok = heapTuple(p, int(oldN)); !ok {
			return false
		}
		old.clearXmax()
		old.setHotUpdated(rec.Info&heapOpMask == heapHotUpdate)
		old.setInfobits(bits)
		old.setXmax(oldXmax)
		old.setCmax()
		old.setCtid(newBlock.Block, newN)
		setPrunable(p, rec.XID)
		if flags&updateOldVMCleared != 0 {
			clearFlags(p, flagAllVisible)
		}
	}
	if blk.ID != 0 {
		return blk.ID == 1
	}
	d := cursor{b: blk.Data}
	nt := newTuple{xmax: newXmax}
	if !nt.readAffixes(&d, flags, old) {
		return false
	}
	nt.readHeader(&d)
	nt.data = d.b
	if d.bad || !nt.put(p, rec, blk, newN) {
		return false
	}
	if flags&updateNewVMCleared != 0 {
		clearFlags(p, flagAllVisible)
	}
	return true
}

// readAffixes finds the head and tail that the new version shares with the
// old one; records say them only when both are on one page.
func (nt *newTuple) readAffixes(d *cursor, flags uint8, old tuple) bool {
	var prefix, suffix int
	if flags&updatePrefix != 0 {
		prefix = int(d.u16())
	}
	if flags&updateSuffix != 0 {
		suffix = int(d.u16())
	}
	if faults.On && faults.Hit(faults.RedoSuffixOff) && suffix > 0 && len(d.b) > 6 {
		suffix--
	}
	if prefix == 0 && suffix == 0 {
		return true
	}
	if old == nil || old.hoff()+prefix > len(old) || suffix > len(old) {
		return false
	}
	nt.prefix = old[old.hoff() : old.hoff()+prefix]
	nt.suffix = old[len(old)-suffix:]
	return true
}

func redoLock(p *Page, blk *wal.Block, c cursor) bool {
	xid, n, bits, _ := c.u32(), c.u16(), c.u8(), c.u8()
	t, ok := heapTuple(p, int(n))
	if c.bad || !ok {
		return false
	}
	t.clearXmax()
	t.setInfobits(bits)
	if t.lockedOnly() && (!faults.On || !faults.Hit(faults.RedoLockHot)) {
		// Somebody's update was undone: the tuple is its own newest version.
		t.setHotUpdated(false)
		t.setCtid(blk.Block, n)
	}
	t.setXmax(xid)
	t.setCmax()
	return true
}

func redoInplace(p *Page, blk *wal.Block, c cursor) bool {
	n := c.u16()
	t, ok := heapTuple(p, int(n))
	if c.bad || !ok || len(t)-t.hoff() != len(blk.Data) {
		return false
	}
	copy(t[t.hoff():], blk.Data)
	return true
}
