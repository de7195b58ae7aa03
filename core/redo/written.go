package redo

import (
	"fmt"

	"xenon/core"
	"xenon/core/wal"
)

// What the special space of a page says of whose page it is: its size, and
// then its last two bytes, which the managers keep apart for this purpose
// (src/include/access/hash.h, HASHO_PAGE_ID, and its like; brin_page.h).
const (
	pageIDHash   = 0xFF80
	pageIDGist   = 0xFF81
	pageIDSPGist = 0xFF82
	pageIDBloom  = 0xFF83 // contrib/bloom/bloom.h: written by generic records

	maxCycleID   = 0xFF7F // MAX_BT_CYCLE_ID (src/include/access/nbtree.h)
	brinTypeLow  = 0xF091 // BRIN_PAGETYPE_META, REVMAP, REGULAR
	brinTypeHigh = 0xF093
	maxGinFlags  = 0x01FF // src/include/access/ginblock.h
)

// ManagerOf tells from a page's bytes whose layout block number block of a
// main fork has: heap, an index method, sequence, or generic for the pages of
// an extension that says so. ok is false for a page that nobody has
// initialised and for one of nobody known here.
func ManagerOf(p *Page, block uint32) (id wal.RmgrID, ok bool) {
	at := special(p)
	if IsNew(p) || at > core.PageSize {
		return 0, false
	}
	switch core.PageSize - at {
	case 0:
		return wal.RmgrHeap, true
	case 16:
		switch last := u16(p[:], core.PageSize-2); {
		case last == pageIDHash:
			return wal.RmgrHash, true
		case last == pageIDGist:
			return wal.RmgrGist, true
		case last <= maxCycleID:
			return wal.RmgrBtree, true
		}
	case 8:
		return managerOfSmall(p[at:], block)
	}
	return 0, false
}

// managerOfSmall is ManagerOf for a special space of 8 bytes.
func managerOfSmall(s []byte, block uint32) (wal.RmgrID, bool) {
	switch last := u16(s, 6); {
	case last == pageIDSPGist:
		return wal.RmgrSPGist, true
	case last == pageIDBloom:
		return wal.RmgrGeneric, true
	case last >= brinTypeLow && last <= brinTypeHigh:
		return wal.RmgrBrin, true
	// A GIN page may link to the block whose number is the magic; its block 0
	// is the metapage, which has a flag.
	case block == 0 && u32(s, 0) == seqMagic && u32(s, 4) == 0:
		return wal.RmgrSeq, true
	case last <= maxGinFlags:
		return wal.RmgrGin, true
	}
	return 0, false
}

// MaskWritten overwrites what may differ between a page that a server wrote to
// its file and the same version rebuilt from WAL: what [Mask] hides of pages of
// its manager, and what a server changes without a record at all.
func MaskWritten(p *Page, id wal.RmgrID, block uint32) {
	Mask(p, id, block)
	switch id {
	case wal.RmgrHeap, wal.RmgrHeap2:
		maskComboCIDs(p)
	case wal.RmgrSPGist:
		maskLastUsed(p)
	case wal.RmgrSeq:
		if v, ok := sequenceOf(p); ok {
			clear(v[:16])
		}
	}
}

// maskComboCIDs hides which tuples have a combo command id. Mask hides it with
// the hints of a tuple, but for a frozen one: who copies with FREEZE and
// deletes in the same transaction has one.
func maskComboCIDs(p *Page) {
	const comboCID = 0x0020 // HEAP_COMBOCID (src/include/access/htup_details.h)
	for n := 1; n <= maxOffset(p) && headerSize+n*itemSize <= core.PageSize; n++ {
		it := itemAt(p, n)
		if it.flags() == lpNormal && it.len() >= tupleHeader && it.off()+it.len() <= core.PageSize {
			t := tuple(p[it.off() : it.off()+it.len()])
			t.setMask(t.mask() &^ comboCID)
		}
	}
}

// maskLastUsed hides the metapage's cache of pages with room, which is written
// without a record (SpGistUpdateMetaPage; src/include/access/spgist_private.h,
// SpGistMetaPageData).
func maskLastUsed(p *Page) {
	const (
		meta   = 1 << 0 // SPGIST_META
		caches = headerSize + 4
		size   = 8 * 8 // SPGIST_CACHED_PAGES of block number and free space
	)
	if o, ok := specialOf(p, 8); ok && u16(o, 0)&meta != 0 {
		clear(p[caches : caches+size])
	}
}

// DiffWritten says in what a page that a server wrote differs from the same
// block rebuilt from WAL as of its LSN: the first field by its PostgreSQL name,
// "" if in nothing that counts. Block is its number in the main fork.
//
// The LSN counts: without a record that moves it, a page has only hints to
// change. A page of nobody known ([ManagerOf]) is held to redo as one of a
// generic record.
func DiffWritten(written, rebuilt *Page, block uint32) string {
	if w, r := PageLSN(written), PageLSN(rebuilt); w != r {
		return fmt.Sprintf("pd_lsn (byte 0): redo has %s, PostgreSQL wrote %s", r, w)
	}
	w, r := *written, *rebuilt
	id, known := ManagerOf(&w, block)
	other, same := ManagerOf(&r, block)
	if known != same || id != other {
		return fmt.Sprintf("special space: redo has %s, PostgreSQL wrote %s", describeManager(other, same), describeManager(id, known))
	}
	if !known {
		id = wal.RmgrGeneric
	}
	if why := diffSequence(&w, &r, id); why != "" {
		return why
	}
	MaskWritten(&w, id, block)
	MaskWritten(&r, id, block)
	if w == r {
		return ""
	}
	// Copies, so that the pages above need no heap where all is well.
	got, want := r, w
	return Diff(&got, &want, id)
}

func describeManager(id wal.RmgrID, known bool) string {
	if !known {
		return "a page of no known manager"
	}
	return "a page of " + id.String()
}

// sequenceOf is the columns of a sequence's tuple: last_value and log_cnt, 8
// bytes each, and is_called (src/include/commands/sequence.h).
func sequenceOf(p *Page) ([]byte, bool) {
	if maxOffset(p) < 1 {
		return nil, false
	}
	it := itemAt(p, 1)
	if it.flags() != lpNormal || it.len() < tupleHeader+1 || it.off()+it.len() > core.PageSize {
		return nil, false
	}
	t := p[it.off() : it.off()+it.len()]
	hoff := int(t[22])
	if hoff+17 > len(t) {
		return nil, false
	}
	return t[hoff:], true
}

// diffSequence holds the value of a sequence to that of redo. A record logs
// values ahead of those given out: redo has the last of them, and the server,
// log_cnt steps before it, counts what is left. So the values are as far apart
// as the counts, in steps of the sequence's increment, whose size and sign no
// page tells.
//
// Redo has a count of its own only where CREATE DATABASE logged the whole page.
// Such a sequence gives out the rest of its values without a record, and redo is
// then behind it: so is every server that replays this WAL.
func diffSequence(written, rebuilt *Page, id wal.RmgrID) string {
	if id != wal.RmgrSeq {
		return ""
	}
	w, ok := sequenceOf(written)
	r, ok2 := sequenceOf(rebuilt)
	if !ok || !ok2 {
		if ok == ok2 {
			return ""
		}
		return "a sequence without its tuple"
	}
	const value, left = 0, 8
	ahead, steps := int64(u64(r, value)-u64(w, value)), int64(u64(w, left)-u64(r, left))
	if steps == 0 && ahead == 0 || steps != 0 && ahead != 0 && ahead%steps == 0 {
		return ""
	}
	return fmt.Sprintf("last_value: redo has %d with log_cnt %d, PostgreSQL wrote %d with log_cnt %d",
		int64(u64(r, value)), int64(u64(r, left)), int64(u64(w, value)), int64(u64(w, left)))
}
