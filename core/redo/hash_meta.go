package redo

import (
	"math"
	"math/bits"

	"xenon/core/faults"
	"xenon/core/wal"
)

// Offsets in HashMetaPageData (src/include/access/hash.h), which follows the
// page header.
const (
	hashMagic      = headerSize
	hashVersion    = headerSize + 4
	hashTuples     = headerSize + 8 // a double
	hashFillFactor = headerSize + 16
	hashPageSize   = headerSize + 18 // bytes for content
	hashMapSize    = headerSize + 20 // bytes of a bitmap
	hashMapShift   = headerSize + 22
	hashMaxBucket  = headerSize + 24
	hashHighMask   = headerSize + 28
	hashLowMask    = headerSize + 32
	hashOvflPoint  = headerSize + 36
	hashFirstFree  = headerSize + 40
	hashMaps       = headerSize + 44
	hashProc       = headerSize + 48
	hashSpares     = headerSize + 52
	hashMapBlocks  = hashSpares + 4*maxHashSplits
	hashMetaEnd    = headerSize + 4544

	hashMagicValue   = 0x06440640
	hashVersionValue = 4
	maxHashSplits    = 98   // HASH_MAX_SPLITPOINTS
	maxHashMaps      = 1024 // HASH_MAX_BITMAPS
)

// initHashMeta makes the meta page of a new index (_hash_init_metabuffer): how
// many buckets it begins with depends on the number of tuples expected.
func initHashMeta(p *Page, c cursor) bool {
	tuples, proc, fill := math.Float64frombits(c.u64()), c.u32(), c.u16()
	if c.bad {
		return false
	}
	buckets := hashFirstBuckets(tuples / float64(fill))
	point := hashSplitpoint(buckets)
	initHash(p, invalidBlock, invalidBlock, hashMeta)
	put32(p[:], hashMagic, hashMagicValue)
	put32(p[:], hashVersion, hashVersionValue)
	put16(p[:], hashFillFactor, fill)
	size := special(p) - headerSize
	shift := bits.Len(uint(size)) - 1 // a bitmap has the highest power of two that fits
	put16(p[:], hashPageSize, uint16(size))
	put16(p[:], hashMapSize, 1<<shift)
	put16(p[:], hashMapShift, uint16(shift+3))
	put32(p[:], hashMaxBucket, buckets-1)
	high := uint32(1)<<bits.Len32(buckets) - 1
	put32(p[:], hashHighMask, high)
	put32(p[:], hashLowMask, high>>1)
	put32(p[:], hashOvflPoint, point)
	put32(p[:], hashProc, proc)
	put32(p[:], hashSpares+4*int(point), 1)
	setLower(p, hashMetaEnd)
	return true
}

// hashFirstBuckets is how many buckets an index begins with. What is no number
// means two, as any small number does.
func hashFirstBuckets(wanted float64) uint32 {
	const most = 0x40000000
	switch {
	case wanted >= most:
		return most
	case wanted > 2:
		return hashBuckets(hashSplitpoint(uint32(wanted)))
	}
	return 2
}

// Buckets are allocated by powers of two up to this splitpoint, from there on
// each doubling is done in four phases (_hash_spareindex).
const (
	hashWholeGroups = 10 // HASH_SPLITPOINT_GROUPS_WITH_ONE_PHASE
	hashPhases      = 4  // HASH_SPLITPOINT_PHASES_PER_GRP
)

// hashSplitpoint is the splitpoint by which there are at least so many buckets.
func hashSplitpoint(buckets uint32) uint32 {
	group := uint32(bits.Len32(buckets - 1))
	if group < hashWholeGroups {
		return group
	}
	return hashWholeGroups + (group-hashWholeGroups)*hashPhases + (buckets-1)>>(group-3)&(hashPhases-1)
}

// hashBuckets is how many buckets there are at a splitpoint
// (_hash_get_totalbuckets).
func hashBuckets(point uint32) uint32 {
	if point < hashWholeGroups {
		return 1 << point
	}
	group, phase := (point-hashWholeGroups)/hashPhases+hashWholeGroups, (point-hashWholeGroups)%hashPhases
	half := uint32(1) << (group - 1)
	return half + half/hashPhases*(phase+1)
}

// initHashBitmap makes a bitmap page that has every overflow page in use
// (_hash_initbitmapbuffer).
func initHashBitmap(p *Page, size int) bool {
	initHash(p, invalidBlock, invalidBlock, hashBitmap)
	if headerSize+size > special(p) {
		return false
	}
	for i := headerSize; i < headerSize+size; i++ {
		p[i] = 0xFF
	}
	setLower(p, headerSize+size)
	return true
}

// addHashMap appends a bitmap page to the list on the meta page.
func addHashMap(p *Page, block uint32) bool {
	n := u32(p[:], hashMaps)
	if n >= maxHashMaps {
		return false
	}
	put32(p[:], hashMapBlocks+4*int(n), block)
	put32(p[:], hashMaps, n+1)
	return true
}

// redoHashInitBitmap makes the first bitmap page of an index, block 0, which
// lies behind the first buckets, and notes it on the meta page.
func redoHashInitBitmap(p *Page, blk *wal.Block, c cursor) bool {
	size := int(c.u16())
	switch {
	case c.bad:
		return false
	case blk.ID == 0:
		return initHashBitmap(p, size)
	case blk.ID == 1:
		return addHashMap(p, u32(p[:], hashMaxBucket)+2)
	}
	return false
}

// redoHashAddOverflow makes block 0 an overflow page behind block 1. Block 2 is
// the bitmap page that has it if it was free, block 3 a new bitmap page, block
// 4 the meta page.
func redoHashAddOverflow(p *Page, rec *wal.Record, blk *wal.Block, c cursor) bool {
	size, reused := int(c.u16()), c.u8() != 0
	left, right := rec.Block(1), rec.Block(0)
	d := cursor{b: blk.Data}
	if c.bad || left == nil || right == nil {
		return false
	}
	switch blk.ID {
	case 0:
		bucket := d.u32()
		initHash(p, left.Block, bucket, hashOverflow)
		return !d.bad
	case 1:
		return setHashNext(p, right.Block)
	case 2:
		return setHashBit(p, d, true)
	case 3:
		return initHashBitmap(p, size)
	case 4:
		return addHashOverflow(p, rec.Block(3), reused, d)
	}
	return false
}

// addHashOverflow notes on the meta page that there is one overflow page more
// unless a free one was reused, and perhaps a new bitmap page.
func addHashOverflow(p *Page, newMap *wal.Block, reused bool, d cursor) bool {
	put32(p[:], hashFirstFree, d.u32())
	if d.bad || reused {
		return !d.bad
	}
	more := uint32(1)
	if newMap != nil {
		more++
		if !addHashMap(p, newMap.Block) {
			return false
		}
	}
	point := u32(p[:], hashOvflPoint)
	if point >= maxHashSplits {
		return false
	}
	if faults.On && faults.Hit(faults.RedoHashSpares) {
		more = 0
	}
	at := hashSpares + 4*int(point)
	put32(p[:], at, u32(p[:], at)+more)
	return true
}

func setHashNext(p *Page, block uint32) bool {
	o, ok := hashSpecial(p)
	if !ok {
		return false
	}
	if !faults.On || !faults.Hit(faults.RedoHashLink) {
		o.setNext(block)
	}
	return true
}

// setHashBit marks an overflow page, by its number in the bitmap of the page,
// as in use or as free.
func setHashBit(p *Page, d cursor, used bool) bool {
	bit := int64(d.u32())
	at := headerSize + bit/8
	if d.bad || at >= int64(special(p)) {
		return false
	}
	if faults.On && faults.Hit(faults.RedoHashBit) {
		return true
	}
	if used {
		p[at] |= 1 << (bit % 8)
	} else {
		p[at] &^= 1 << (bit % 8)
	}
	return true
}

// Flags of xl_hash_split_allocate_page.
const (
	hashNewMasks      = 1 << 0 // XLH_SPLIT_META_UPDATE_MASKS
	hashNewSplitpoint = 1 << 1 // XLH_SPLIT_META_UPDATE_SPLITPOINT
)

// newHashBucket notes a new bucket on the meta page.
func newHashBucket(p *Page, bucket uint32, flags uint8, d cursor) bool {
	put32(p[:], hashMaxBucket, bucket)
	if flags&hashNewMasks != 0 {
		low, high := d.u32(), d.u32()
		put32(p[:], hashLowMask, low)
		if !faults.On || !faults.Hit(faults.RedoHashMasks) {
			put32(p[:], hashHighMask, high)
		}
	}
	if flags&hashNewSplitpoint != 0 {
		point, spares := d.u32(), d.u32()
		if point >= maxHashSplits {
			return false
		}
		put32(p[:], hashSpares+4*int(point), spares)
		put32(p[:], hashOvflPoint, point)
	}
	return !d.bad
}
