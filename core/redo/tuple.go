package redo

// A tuple is the bytes of one heap tuple, header first
// (src/include/access/htup_details.h, HeapTupleHeaderData).
type tuple []byte

const (
	tupleHeader = 23 // SizeofHeapTupleHeader
	tXmin       = 0
	tXmax       = 4
	tCID        = 8 // also xvac
	tCtid       = 12
	tMask2      = 18
	tMask       = 20
	tHoff       = 22

	maskComboCID     = 0x0020
	maskXmaxKeyshr   = 0x0010
	maskXmaxExcl     = 0x0040
	maskXmaxLockOnly = 0x0080
	maskXmaxMulti    = 0x1000
	maskLocks        = maskXmaxKeyshr | maskXmaxExcl
	maskXmaxBits     = 0x0400 | 0x0800 | maskXmaxMulti | maskLocks | maskXmaxLockOnly // HEAP_XMAX_BITS
	maskMoved        = 0xC000

	mask2KeysUpdated = 0x2000
	mask2HotUpdated  = 0x4000
)

// The bits of xl_heap_delete.infobits_set and its like
// (src/include/access/heapam_xlog.h).
const (
	infoMulti       = 0x01
	infoLockOnly    = 0x02
	infoExcl        = 0x04
	infoKeyshr      = 0x08
	infoKeysUpdated = 0x10
)

func (t tuple) mask() uint16       { return u16(t, tMask) }
func (t tuple) mask2() uint16      { return u16(t, tMask2) }
func (t tuple) setMask(v uint16)   { put16(t, tMask, v) }
func (t tuple) setMask2(v uint16)  { put16(t, tMask2, v) }
func (t tuple) setXmin(xid uint32) { put32(t, tXmin, xid) }
func (t tuple) setXmax(xid uint32) { put32(t, tXmax, xid) }
func (t tuple) hoff() int          { return int(t[tHoff]) }

// setCtid points the tuple at its newest version. A block number is two u16,
// high half first (src/include/storage/block.h).
func (t tuple) setCtid(block uint32, offset uint16) { putTID(t[tCtid:], block, offset) }

func putTID(b []byte, block uint32, offset uint16) {
	put16(b, 0, uint16(block>>16))
	put16(b, 2, uint16(block))
	put16(b, 4, offset)
}

// clearXmax takes out everything that xmax meant
// (HEAP_XMAX_BITS, HEAP_MOVED, HEAP_KEYS_UPDATED).
func (t tuple) clearXmax() {
	t.setMask(t.mask() &^ (maskXmaxBits | maskMoved))
	t.setMask2(t.mask2() &^ mask2KeysUpdated)
}

// setInfobits sets what xmax means from a record (fix_infomask_from_infobits).
func (t tuple) setInfobits(bits uint8) {
	m, m2 := t.mask(), t.mask2()
	m &^= maskXmaxMulti | maskXmaxLockOnly | maskLocks
	m2 &^= mask2KeysUpdated
	if bits&infoMulti != 0 {
		m |= maskXmaxMulti
	}
	if bits&infoLockOnly != 0 {
		m |= maskXmaxLockOnly
	}
	if bits&infoExcl != 0 {
		m |= maskXmaxExcl
	}
	if bits&infoKeyshr != 0 {
		m |= maskXmaxKeyshr
	}
	if bits&infoKeysUpdated != 0 {
		m2 |= mask2KeysUpdated
	}
	t.setMask(m)
	t.setMask2(m2)
}

// setCmax is HeapTupleHeaderSetCmax to the first command: WAL has no command
// ids.
func (t tuple) setCmax() {
	put32(t, tCID, 0)
	t.setMask(t.mask() &^ maskComboCID)
}

func (t tuple) setHotUpdated(on bool) {
	if on {
		t.setMask2(t.mask2() | mask2HotUpdated)
	} else {
		t.setMask2(t.mask2() &^ mask2HotUpdated)
	}
}

// lockedOnly is HEAP_XMAX_IS_LOCKED_ONLY.
func (t tuple) lockedOnly() bool {
	return t.mask()&maskXmaxLockOnly != 0 || t.mask()&(maskXmaxMulti|maskLocks) == maskXmaxExcl
}

// heapTuple is the tuple at offset number n, which must be a normal one.
func heapTuple(p *Page, n int) (tuple, bool) {
	b, ok := item(p, n)
	if !ok || itemAt(p, n).flags() != lpNormal || len(b) < tupleHeader {
		return nil, false
	}
	return b, true
}

// precedes is TransactionIdPrecedes: permanent xids, below 3, are older than
// all others, and those compare modulo 2^32.
func precedes(a, b uint32) bool {
	if a < 3 || b < 3 {
		return a < b
	}
	return int32(a-b) < 0
}

// setPrunable notes the oldest xid whose end may make a tuple removable.
func setPrunable(p *Page, xid uint32) {
	if old := u32(p[:], pdPruneXID); old == 0 || precedes(xid, old) {
		setPruneXID(p, xid)
	}
}
