package redo

import (
	"xenon/core/faults"
	"xenon/core/wal"
)

// heapVM lists the bits that a Heap record clears in the visibility map. No
// block reference says so, and it happens whatever the heap page's LSN is.
func (d *Effects) heapVM(rec *wal.Record) error {
	r := cursor{b: rec.Main}
	switch rec.Info & heapOpMask {
	case heapInsert:
		_, flags := r.u16(), r.u8()
		return d.clearVM(rec, r.bad, flags&insertVMCleared != 0, vmBits)
	case heapDelete:
		_, _, _, flags := r.u32(), r.u16(), r.u8(), r.u8()
		return d.clearVM(rec, r.bad, flags&deleteVMCleared != 0, vmBits)
	case heapLock:
		_, _, _, flags := r.u32(), r.u16(), r.u8(), r.u8()
		return d.clearVM(rec, r.bad, flags&lockFrozenCleared != 0, vmAllFrozen)
	case heapUpdate, heapHotUpdate:
		_, _, _, flags := r.u32(), r.u16(), r.u8(), r.u8()
		return d.updateVM(rec, r.bad, flags)
	}
	return nil
}

// heap2VM is heapVM for Heap2 records. The bits that VISIBLE sets are in a
// block that it names.
func (d *Effects) heap2VM(rec *wal.Record) error {
	r := cursor{b: rec.Main}
	switch rec.Info & heap2OpMask {
	case heap2MultiInsert:
		flags := r.u8()
		return d.clearVM(rec, r.bad, flags&insertVMCleared != 0, vmBits)
	case heap2LockUpdated:
		_, _, _, flags := r.u32(), r.u16(), r.u8(), r.u8()
		return d.clearVM(rec, r.bad, flags&lockFrozenCleared != 0, vmAllFrozen)
	}
	return nil
}

// clearVM clears bits for the heap page that is block 0, if on.
func (d *Effects) clearVM(rec *wal.Record, bad, on bool, bits uint8) error {
	blk := rec.Block(0)
	if bad || blk == nil {
		return fail(rec, ErrMalformed, "main data of %d bytes, %d blocks", len(rec.Main), len(rec.Blocks))
	}
	if !on || faults.On && faults.Hit(faults.RedoSkipVMClear) {
		return nil
	}
	vmBlock, index := vmPlace(blk.Block)
	start := len(d.arena)
	d.arena = appendVMClear(d.arena, index, bits)
	d.sealPatch(vmKey(blk.Rel, vmBlock), start)
	return nil
}

// updateVM clears both bits of the old page, the new one, or both: then in one
// patch if one map page has them.
func (d *Effects) updateVM(rec *wal.Record, bad bool, flags uint8) error {
	if flags&(updateOldVMCleared|updateNewVMCleared) == 0 {
		return d.clearVM(rec, bad, false, 0)
	}
	newBlk := rec.Block(0)
	oldBlk := rec.Block(1)
	if oldBlk == nil {
		oldBlk = newBlk
	}
	if flags&updateNewVMCleared == 0 || newBlk == nil {
		newBlk = oldBlk
	}
	if flags&updateOldVMCleared == 0 {
		oldBlk = newBlk
	}
	if bad || newBlk == nil {
		return fail(rec, ErrMalformed, "main data of %d bytes, %d blocks", len(rec.Main), len(rec.Blocks))
	}
	if faults.On && faults.Hit(faults.RedoSkipVMClear) {
		return nil
	}
	oldVM, oldIndex := vmPlace(oldBlk.Block)
	newVM, newIndex := vmPlace(newBlk.Block)
	start := len(d.arena)
	d.arena = appendVMClear(d.arena, oldIndex, vmBits)
	if newVM != oldVM {
		d.sealPatch(vmKey(oldBlk.Rel, oldVM), start)
		start = len(d.arena)
	}
	if newBlk.Block != oldBlk.Block {
		d.arena = appendVMClear(d.arena, newIndex, vmBits)
	}
	d.sealPatch(vmKey(newBlk.Rel, newVM), start)
	return nil
}

func appendVMClear(b []byte, index uint16, bits uint8) []byte {
	return append(b, opVMClear, byte(index), byte(index>>8), bits)
}
