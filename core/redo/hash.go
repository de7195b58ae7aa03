package redo

import (
	"math"

	"xenon/core/faults"
	"xenon/core/wal"
)

// Opcodes of Hash (src/include/access/hash_xlog.h).
const (
	hashInitMetaPage     = 0x00
	hashInitBitmapPage   = 0x10
	hashInsert           = 0x20
	hashAddOvflPage      = 0x30
	hashSplitAllocate    = 0x40
	hashSplitPage        = 0x50
	hashSplitComplete    = 0x60
	hashMovePageContents = 0x70
	hashSqueezePage      = 0x80
	hashDelete           = 0x90
	hashSplitCleanup     = 0xA0
	hashUpdateMetaPage   = 0xB0
	hashVacuumOnePage    = 0xC0
)

// The special space of a hash page (src/include/access/hash.h,
// HashPageOpaqueData), and its flags.
const (
	hashOpaqueSize = 16
	hashPrev       = 0
	hashNext       = 4
	hashBucketNo   = 8
	hashFlags      = 12
	hashPageID     = 14

	hashPageTypes    = 0x000F
	hashUnused       = 0
	hashOverflow     = 1 << 0
	hashBucket       = 1 << 1
	hashBitmap       = 1 << 2
	hashMeta         = 1 << 3
	hashSplitCleanUp = 1 << 6 // LH_BUCKET_NEEDS_SPLIT_CLEANUP
	hashHasDead      = 1 << 7

	hashPageIDValue = 0xFF80 // HASHO_PAGE_ID

	// invalidBlock is InvalidBlockNumber, and the bucket of a page that belongs
	// to none.
	invalidBlock = 0xFFFFFFFF
)

// A hashOpaque is the special space of a hash page.
type hashOpaque []byte

func (o hashOpaque) flags() uint16         { return u16(o, hashFlags) }
func (o hashOpaque) setPrev(block uint32)  { put32(o, hashPrev, block) }
func (o hashOpaque) setNext(block uint32)  { put32(o, hashNext, block) }
func (o hashOpaque) setFlags(flags uint16) { put16(o, hashFlags, flags) }

// hashSpecial is the special space if the page has one of a hash page's size.
func hashSpecial(p *Page) (hashOpaque, bool) {
	o, ok := specialOf(p, hashOpaqueSize)
	return o, ok
}

// initHash makes an empty page of a hash index (_hash_initbuf and the other
// places that call _hash_pageinit). In a bucket's first page prev is the
// highest bucket there was when the page was made.
func initHash(p *Page, prev, bucket uint32, flags uint16) {
	initPage(p, hashOpaqueSize)
	o := hashOpaque(p[special(p):])
	o.setPrev(prev)
	o.setNext(invalidBlock)
	put32(o, hashBucketNo, bucket)
	o.setFlags(flags)
	put16(o, hashPageID, hashPageIDValue)
}

// redoHash changes one page by a Hash record. Every routine below looks at the
// id of the block to see which of the record's pages it is given.
func (a *Applier) redoHash(p *Page, rec *wal.Record, blk *wal.Block) bool {
	c := cursor{b: rec.Main}
	if faults.On && hashLockOnly(rec, blk) {
		return true // a planted fault sent it here, to get an LSN
	}
	switch rec.Op() {
	case hashInitMetaPage:
		return initHashMeta(p, c)
	case hashInitBitmapPage:
		return redoHashInitBitmap(p, blk, c)
	case hashInsert:
		return redoHashInsert(p, blk, c)
	case hashAddOvflPage:
		return redoHashAddOverflow(p, rec, blk, c)
	case hashSplitAllocate:
		return redoHashSplitAllocate(p, blk, c)
	case hashSplitComplete:
		return redoHashSplitComplete(p, blk, c)
	case hashMovePageContents:
		return a.redoHashMove(p, blk, c)
	case hashSqueezePage:
		return redoHashSqueeze(p, blk, c)
	case hashDelete:
		return a.redoHashDelete(p, blk, c)
	case hashSplitCleanup:
		return clearHashFlags(p, hashSplitCleanUp)
	case hashUpdateMetaPage:
		tuples := c.u64()
		put64(p[:], hashTuples, tuples)
		return !c.bad
	case hashVacuumOnePage:
		return a.redoHashVacuum(p, rec, blk, c)
	}
	return false // SPLIT_PAGE always has an image
}

// hashRestored does what follows the restoring of an image: the two pages of a
// split get their flags even then.
func hashRestored(p *Page, rec *wal.Record, blk *wal.Block) bool {
	c := cursor{b: rec.Main}
	switch {
	case rec.Rmgr != wal.RmgrHash:
		return true
	case rec.Op() == hashSplitAllocate && blk.ID == 0:
		return redoHashSplitAllocate(p, blk, c)
	case rec.Op() == hashSplitComplete:
		return redoHashSplitComplete(p, blk, c)
	}
	return true
}

// LockOnly tells whether rec names the block only to have it locked: a bucket
// of a hash index whose overflow pages change. The page stays as it is, its LSN
// too.
func LockOnly(rec *wal.Record, blk *wal.Block) bool {
	return rec.Rmgr == wal.RmgrHash && hashLockOnly(rec, blk) && (!faults.On || !faults.Hit(faults.RedoHashLock))
}

func hashLockOnly(rec *wal.Record, blk *wal.Block) bool {
	switch rec.Op() {
	case hashMovePageContents, hashDelete:
		return blk.ID == 0
	case hashSqueezePage:
		return blk.ID == 0 || blk.ID == 1 && hashSqueezeKeeps(rec)
	}
	return false
}

func clearHashFlags(p *Page, gone uint16) bool {
	o, ok := hashSpecial(p)
	if ok {
		o.setFlags(o.flags() &^ gone)
	}
	return ok
}

// redoHashInsert puts a tuple on block 0 and counts it on the meta page.
func redoHashInsert(p *Page, blk *wal.Block, c cursor) bool {
	n := int(c.u16())
	switch {
	case c.bad:
		return false
	case blk.ID == 0:
		if faults.On && faults.Hit(faults.RedoHashOrder) {
			n = maxOffset(p) + 1
		}
		return addItem(p, blk.Data, n)
	case blk.ID == 1:
		addHashTuples(p, 1)
		return true
	}
	return false
}

// addHashTuples changes the meta page's count of tuples.
func addHashTuples(p *Page, n float64) {
	put64(p[:], hashTuples, math.Float64bits(math.Float64frombits(u64(p[:], hashTuples))+n))
}

// redoHashSplitAllocate begins the split of a bucket, block 0: block 1 becomes
// the first page of the new bucket, block 2 is the meta page.
func redoHashSplitAllocate(p *Page, blk *wal.Block, c cursor) bool {
	bucket, oldFlags, newFlags, flags := c.u32(), c.u16(), c.u16(), c.u8()
	if c.bad {
		return false
	}
	switch blk.ID {
	case 0:
		o, ok := hashSpecial(p)
		if ok {
			o.setFlags(oldFlags)
			o.setPrev(bucket)
		}
		return ok
	case 1:
		initHash(p, bucket, bucket, newFlags)
		return true
	case 2:
		return newHashBucket(p, bucket, flags, cursor{b: blk.Data})
	}
	return false
}

// redoHashSplitComplete ends the split of block 0 into itself and block 1.
func redoHashSplitComplete(p *Page, blk *wal.Block, c cursor) bool {
	oldFlags, newFlags := c.u16(), c.u16()
	o, ok := hashSpecial(p)
	if !ok || c.bad {
		return false
	}
	switch blk.ID {
	case 0:
		o.setFlags(oldFlags)
	case 1:
		o.setFlags(newFlags)
	default:
		return false
	}
	return true
}

// redoHashDelete removes the tuples that block 1's data list from block 1.
func (a *Applier) redoHashDelete(p *Page, blk *wal.Block, c cursor) bool {
	clearDead := c.u8() != 0
	if c.bad || blk.ID != 1 || !a.deleteItems(p, blk.Data) {
		return false
	}
	return !clearDead || clearHashFlags(p, hashHasDead)
}

// redoHashVacuum removes tuples that scans found dead from block 0, and from
// the count on the meta page.
func (a *Applier) redoHashVacuum(p *Page, rec *wal.Record, blk *wal.Block, c cursor) bool {
	_, count := c.u32(), hashVacuumed(rec, &c)
	list := c.take(2 * count)
	switch {
	case c.bad:
		return false
	case blk.ID == 0:
		return a.deleteItems(p, list) && clearHashFlags(p, hashHasDead)
	case blk.ID == 1:
		if faults.On && faults.Hit(faults.RedoHashCount) {
			count--
		}
		addHashTuples(p, -float64(count))
		return true
	}
	return false
}

// hashVacuumed reads the count of xl_hash_vacuum_one_page: 16 made place
// beside it for isCatalogRel.
func hashVacuumed(rec *wal.Record, c *cursor) int {
	if rec.Major() < 16 {
		return int(c.u32() & 0x7FFFFFFF)
	}
	count, _ := c.u16(), c.u16()
	return int(count)
}
