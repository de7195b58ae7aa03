package redo

import "xenon/core"

// An index tuple begins with a TID and 16 bits of size and flags
// (src/include/access/itup.h, IndexTupleData). A posting list tuple
// (src/include/access/nbtree.h) has an alternative TID: its block number is
// the place of the list, its offset number the count of TIDs with a flag.
const (
	indexHeader   = 8
	tidSize       = 6
	tInfo         = 6
	indexSizeMask = 0x1FFF
	indexAltTID   = 0x2000 // INDEX_ALT_TID_MASK
	btIsPosting   = 0x2000 // BT_IS_POSTING
	btCountMask   = 0x0FFF // BT_OFFSET_MASK

	// maxBtreeItems is above the number of tuples that fit on a page.
	maxBtreeItems = core.PageSize / indexHeader
)

// tupleSize is the length of the index tuple at the start of b.
func tupleSize(b []byte) (int, bool) {
	if len(b) < indexHeader {
		return 0, false
	}
	size := int(u16(b, tInfo) & indexSizeMask)
	return size, size >= indexHeader && size <= len(b)
}

// takeTuple reads an index tuple with the padding behind it.
func takeTuple(d *cursor) []byte {
	size, ok := tupleSize(d.b)
	if !ok {
		d.bad = true
		return nil
	}
	return d.take(maxAlign(size))
}

func setTupleSize(t []byte, size int) {
	put16(t, tInfo, u16(t, tInfo)&^indexSizeMask|uint16(size))
}

func tidBlock(t []byte) uint32           { return uint32(u16(t, 0))<<16 | uint32(u16(t, 2)) }
func setTIDBlock(t []byte, block uint32) { put16(t, 0, uint16(block>>16)); put16(t, 2, uint16(block)) }

func isPosting(t []byte) bool {
	return u16(t, tInfo)&indexAltTID != 0 && u16(t, 4)&btIsPosting != 0
}

// postingList is where the key of tuple t ends, and its TIDs: those of its
// list, or its own one.
func postingList(t []byte) (keySize int, tids []byte, ok bool) {
	size, ok := tupleSize(t)
	if !ok {
		return 0, nil, false
	}
	if !isPosting(t) {
		return size, t[:tidSize], true
	}
	at, count := int(tidBlock(t)), int(u16(t, 4)&btCountMask)
	if at < indexHeader || at+count*tidSize > size || count == 0 {
		return 0, nil, false
	}
	return at, t[at : at+count*tidSize], true
}

// lastTID is the highest TID of the posting list tuple n.
func lastTID(p *Page, n int) ([]byte, bool) {
	t, ok := item(p, n)
	if !ok {
		return nil, false
	}
	_, tids, ok := postingList(t)
	if !ok || !isPosting(t) {
		return nil, false
	}
	return tids[len(tids)-tidSize:], true
}

// swapPosting puts the TID of tuple into the posting list of list at place at,
// and the list's last TID into tuple (_bt_swap_posting).
func swapPosting(tuple, list []byte, at int) bool {
	_, tids, ok := postingList(list)
	if !ok || !isPosting(list) || at <= 0 || at >= len(tids)/tidSize {
		return false
	}
	var last [tidSize]byte
	copy(last[:], tids[len(tids)-tidSize:])
	copy(tids[(at+1)*tidSize:], tids[at*tidSize:])
	copy(tids[at*tidSize:(at+1)*tidSize], tuple)
	copy(tuple, last[:])
	return true
}

// postingSize is the size of a tuple with count TIDs after its key.
func postingSize(keySize, count int) int {
	if count > 1 {
		return maxAlign(keySize + count*tidSize)
	}
	return keySize
}

// beginPosting writes the head of a tuple of postingSize bytes with the key of
// base and returns where its count TIDs belong (_bt_form_posting).
func beginPosting(dst, base []byte, keySize, count int) []byte {
	copy(dst, base[:keySize])
	clear(dst[keySize:])
	setTupleSize(dst, len(dst))
	if count == 1 {
		put16(dst, tInfo, u16(dst, tInfo)&^indexAltTID)
		return dst[:tidSize]
	}
	put16(dst, tInfo, u16(dst, tInfo)|indexAltTID)
	setTIDBlock(dst, uint32(keySize))
	put16(dst, 4, uint16(count)|btIsPosting)
	return dst[keySize : keySize+count*tidSize]
}
