package redo

import (
	"xenon/core/faults"
	"xenon/core/wal"
)

// redoHashMove moves tuples of an overflow page, block 2, to a page before it
// in the bucket, block 1.
func (a *Applier) redoHashMove(p *Page, blk *wal.Block, c cursor) bool {
	count := int(c.u16())
	switch {
	case c.bad:
		return false
	case blk.ID == 1:
		return addHashMoved(p, blk.Data, count)
	case blk.ID == 2:
		return a.deleteItems(p, blk.Data)
	}
	return false
}

// addHashMoved adds count tuples: data are their offset numbers, then
// themselves, each padded, which counts as part of the item.
func addHashMoved(p *Page, data []byte, count int) bool {
	d := cursor{b: data}
	places := d.take(2 * count)
	if d.bad {
		return false
	}
	for ; count > 0; count-- {
		tuple := takeTuple(&d)
		if d.bad {
			return false
		}
		n := int(u16(places, 0))
		if faults.On && faults.Hit(faults.RedoHashMoved) {
			n = maxOffset(p) + 1
		}
		if !addItem(p, tuple, n) {
			return false
		}
		places = places[2:]
	}
	return len(d.b) == 0
}

// A hashSqueeze is xl_hash_squeeze_page.
type hashSqueeze struct {
	prev, next uint32 // neighbours of the page that is freed
	count      int    // tuples that were on it
	// toBucket and toPrev tell whether the page that takes the tuples is the
	// bucket's first page, and the one right before the freed page.
	toBucket, toPrev bool
}

func readHashSqueeze(c *cursor) hashSqueeze {
	return hashSqueeze{prev: c.u32(), next: c.u32(), count: int(c.u16()), toBucket: c.u8() != 0, toPrev: c.u8() != 0}
}

// hashSqueezeKeeps tells whether the page for the tuples, block 1, gets none
// and no new link, so that nothing is done to it. Up to 16 such a page had its
// LSN moved.
func hashSqueezeKeeps(rec *wal.Record) bool {
	c := cursor{b: rec.Main}
	s := readHashSqueeze(&c)
	if faults.On && faults.Hit(faults.RedoHashKept) {
		return false
	}
	return rec.Major() >= 17 && !c.bad && s.count == 0 && !s.toPrev
}

// redoHashSqueeze frees an overflow page, block 2, after its last tuples went
// to block 1. Blocks 3 and 4 are its neighbours, block 5 its bitmap page, block
// 6 the meta page.
func redoHashSqueeze(p *Page, blk *wal.Block, c cursor) bool {
	s := readHashSqueeze(&c)
	d := cursor{b: blk.Data}
	if c.bad {
		return false
	}
	switch blk.ID {
	case 1:
		return addHashMoved(p, blk.Data, s.count) && (!s.toPrev || setHashNext(p, s.next))
	case 2:
		initHash(p, invalidBlock, invalidBlock, hashUnused)
		return true
	case 3:
		return setHashNext(p, s.next)
	case 4:
		o, ok := hashSpecial(p)
		if ok {
			o.setPrev(s.prev)
		}
		return ok
	case 5:
		return setHashBit(p, d, false)
	case 6:
		put32(p[:], hashFirstFree, d.u32())
		return !d.bad
	}
	return false
}
