package redo

import (
	"xenon/core"
	"xenon/core/faults"
	"xenon/core/wal"
)

// Opcodes and flags of Storage (src/include/catalog/storage_xlog.h).
const (
	smgrCreate   = 0x10
	smgrTruncate = 0x20

	truncateHeap = 1
	truncateVM   = 2
)

func (c *cursor) rel() core.Rel {
	return core.Rel{Spc: core.OID(c.u32()), DB: core.OID(c.u32()), Node: core.OID(c.u32())}
}

func (d *Effects) smgr(rec *wal.Record) error {
	r := cursor{b: rec.Main}
	if rec.Op() == smgrCreate {
		rel, fork := r.rel(), r.u32()
		if r.bad || fork > uint32(core.InitFork) {
			return fail(rec, ErrMalformed, "fork %d, main data of %d bytes", fork, len(rec.Main))
		}
		rel.Fork = core.Fork(fork)
		d.add(Effect{Kind: RelCreate, Rel: rel})
		return nil
	}
	blocks, rel, flags := r.u32(), r.rel(), r.u32()
	if r.bad {
		return fail(rec, ErrMalformed, "main data of %d bytes", len(rec.Main))
	}
	if flags&truncateHeap != 0 && !(faults.On && faults.Hit(faults.RedoKeepLength)) {
		d.add(Effect{Kind: RelTruncate, Rel: rel, Blocks: blocks})
	}
	if flags&truncateVM != 0 {
		d.truncateVM(rel, blocks)
	}
	return nil
}

// truncateVM shortens the map of a heap cut to blocks blocks: the page on the
// boundary loses its tail (visibilitymap_prepare_truncate).
func (d *Effects) truncateVM(rel core.Rel, blocks uint32) {
	vmBlock, index := vmPlace(blocks)
	size := vmBlock
	if index != 0 {
		size++
		start := len(d.arena)
		d.arena = append(d.arena, opVMTruncate, byte(index), byte(index>>8))
		d.sealPatch(vmKey(rel, vmBlock), start)
	}
	rel.Fork = core.VMFork
	d.add(Effect{Kind: RelTruncate, Rel: rel, Blocks: size})
}
