package redo

import (
	"xenon/core"
	"xenon/core/faults"
)

// The bits of a heap block in its visibility map
// (src/include/access/visibilitymapdefs.h).
const (
	vmAllVisible = 1
	vmAllFrozen  = 2
	vmBits       = 3
)

// vmPlace is the map's block and the place in it for a heap block.
func vmPlace(heapBlock uint32) (vmBlock uint32, index uint16) {
	return heapBlock / heapBlocksPerVMPage, uint16(heapBlock % heapBlocksPerVMPage)
}

// vmPage makes a map page that was never written an empty one, as reading it
// does in PostgreSQL (vm_readbuf).
func vmPage(p *Page) {
	if IsNew(p) {
		initPage(p, 0)
	}
}

func clearVMBits(p *Page, index int, bits uint8) {
	vmPage(p)
	p[headerSize+index/4] &^= bits & vmBits << (2 * (index % 4))
}

func setVMBits(p *Page, index int, bits uint8) {
	p[headerSize+index/4] |= bits & vmBits << (2 * (index % 4))
}

// truncateVMPage forgets the bits from heap block index on
// (visibilitymap_prepare_truncate).
func truncateVMPage(p *Page, index int) {
	vmPage(p)
	if faults.On && faults.Hit(faults.RedoKeepTail) {
		return
	}
	at := headerSize + index/4
	clear(p[at+1:])
	p[at] &= 1<<(2*(index%4)) - 1
}

// vmKey is the key of the map page of a heap block.
func vmKey(heap core.Rel, vmBlock uint32) core.Key {
	heap.Fork = core.VMFork
	return core.BlockKey(heap, vmBlock)
}

func vmBitsOf(p *Page, index int) uint8 {
	return p[headerSize+index/4] >> (2 * (index % 4)) & vmBits
}
