package redo

import (
	"xenon/core"
	"xenon/core/faults"
)

// The routines below put, move and remove the items of a page byte for byte
// as src/backend/storage/page/bufpage.c does: where an item lies, and what
// stale bytes stay between the items, is part of what replay must reproduce.
// They check every pointer they follow and return false for a page or a
// request that does not fit; the page is then undefined.

// maxHeapItems is MaxHeapTuplesPerPage (src/include/access/htup_details.h).
const maxHeapItems = (core.PageSize - headerSize) / (24 + itemSize)

// item is the bytes of the item at n if it has any inside the page.
func item(p *Page, n int) ([]byte, bool) {
	if n < 1 || n > maxOffset(p) {
		return nil, false
	}
	it := itemAt(p, n)
	if !it.hasStorage() || !inside(p, it) {
		return nil, false
	}
	return p[it.off() : it.off()+it.len()], true
}

// inside tells whether an item lies between the line pointers and the special
// space.
func inside(p *Page, it itemID) bool {
	return it.off() >= upper(p) && it.off()+it.len() <= special(p)
}

// reserveItem makes room for an item of size bytes at offset number n and
// points n at it (PageAddItemExtended). With overwrite a line pointer in use
// is refused; without it the line pointers from n on move up by one. The
// caller writes the size bytes at the returned place.
func reserveItem(p *Page, n, size int, overwrite bool) ([]byte, bool) {
	limit := maxOffset(p) + 1
	if n < 1 || n > limit || size <= 0 || size > core.PageSize {
		return nil, false
	}
	newLower := lower(p)
	shuffle := false
	if n < limit {
		if overwrite {
			if it := itemAt(p, n); it.flags() != lpUnused || it.hasStorage() {
				return nil, false
			}
		} else {
			shuffle = true
		}
	}
	if n == limit || shuffle {
		newLower += itemSize
	}
	newUpper := upper(p) - maxAlign(size)
	if newLower > newUpper {
		return nil, false
	}
	if shuffle {
		at := headerSize + (n-1)*itemSize
		copy(p[at+itemSize:newLower], p[at:lower(p)])
	}
	setItem(p, n, makeItem(newUpper, lpNormal, size))
	setLower(p, newLower)
	setUpper(p, newUpper)
	return p[newUpper : newUpper+size], true
}

// addItem puts a copy of data at offset number n, moving later line pointers.
func addItem(p *Page, data []byte, n int) bool {
	dst, ok := reserveItem(p, n, len(data), false)
	if ok {
		copy(dst, data)
	}
	return ok
}

// appendTuples adds index tuples that lie end to end, count of them and no
// bytes more, behind the items of a page.
func appendTuples(p *Page, data []byte, count int) bool {
	for ; count > 0; count-- {
		size, ok := tupleSize(data)
		if !ok || !addItem(p, data[:size], maxOffset(p)+1) {
			return false
		}
		data = data[size:]
	}
	return len(data) == 0
}

// setUnused, setDead and setRedirect change a line pointer and leave the
// item's bytes where they are.
func setUnused(p *Page, n int)       { setItem(p, n, 0) }
func setDead(p *Page, n int)         { setItem(p, n, makeItem(0, lpDead, 0)) }
func setRedirect(p *Page, n, to int) { setItem(p, n, makeItem(to, lpRedirect, 0)) }

// repairFragmentation packs a heap page's items against the special space in
// the order of their line pointers and sets the hint that there are unused
// ones (PageRepairFragmentation). It forgets those at the end if truncate, as
// it does since 15.
func (a *Applier) repairFragmentation(p *Page, truncate bool) bool {
	lines, lastUsed, unused := maxOffset(p), 0, 0
	for n := 1; n <= lines; n++ {
		if itemAt(p, n).flags() == lpUnused {
			setUnused(p, n)
			unused++
			continue
		}
		lastUsed = n
	}
	if !a.compact(p) {
		return false
	}
	if truncate {
		unused -= lines - lastUsed
		setLower(p, headerSize+lastUsed*itemSize)
	}
	setFreeLinesHint(p, unused > 0)
	return true
}

func setFreeLinesHint(p *Page, on bool) {
	if on {
		setFlags(p, flagHasFreeLines)
	} else {
		clearFlags(p, flagHasFreeLines)
	}
}

// compact moves every item that has storage against the special space, in the
// order of line pointers (compactify_tuples). The bytes below stay.
func (a *Applier) compact(p *Page) bool {
	lines, low, end := maxOffset(p), upper(p), special(p)
	total, last, sorted := 0, end, true
	for n := 1; n <= lines; n++ {
		it := itemAt(p, n)
		if !it.hasStorage() {
			continue
		}
		size := maxAlign(it.len())
		if it.off() < low || it.off()+size > end {
			return false
		}
		sorted = sorted && it.off() < last
		last = it.off()
		total += size
	}
	if total > end-lower(p) {
		return false
	}
	// Sorted items move up in place; moving others there could overwrite some
	// that have yet to move, so they are put together elsewhere first.
	dst := p
	if !sorted {
		dst = &a.scratch
	}
	r := itemRun{src: p, dst: dst}
	to := end
	for n := 1; n <= lines; n++ {
		it := itemAt(p, n)
		if !it.hasStorage() {
			continue
		}
		size := maxAlign(it.len())
		to -= size
		if it.off() == to && r.top == 0 {
			continue // in place, as all before it
		}
		r.add(it.off(), to, size)
		setItem(p, n, makeItem(to, it.flags(), it.len()))
	}
	r.flush()
	if !sorted && r.top > 0 {
		copy(p[to:r.top], a.scratch[to:r.top])
	}
	setUpper(p, to)
	return true
}

// An itemRun moves items that lie side by side, before and after, at once: most
// of a page's do, and each copy has its price.
type itemRun struct {
	src, dst      *Page
	from, to, len int // of the run that has yet to be moved
	top           int // where the highest item that moves will end; 0: none does
}

// add takes in the next item, which goes right below the one before.
func (r *itemRun) add(from, to, size int) {
	if r.top == 0 {
		r.top = to + size
	}
	if r.len == 0 || from+size != r.from {
		r.flush()
	}
	r.from, r.to, r.len = from, to, r.len+size
}

func (r *itemRun) flush() {
	copy(r.dst[r.to:r.to+r.len], r.src[r.from:r.from+r.len])
	r.len = 0
}

// truncateLinePointers forgets unused line pointers at the end, but the first
// one stays (PageTruncateLinePointerArray).
func truncateLinePointers(p *Page) {
	n := maxOffset(p)
	for n > 1 && itemAt(p, n).flags() == lpUnused {
		n--
	}
	if n < maxOffset(p) {
		setLower(p, headerSize+n*itemSize)
	}
	hint := false
	for ; n >= 1 && !hint; n-- {
		hint = itemAt(p, n).flags() == lpUnused
	}
	setFreeLinesHint(p, hint)
}

// deleteItem removes item n of an index page and closes both gaps
// (PageIndexTupleDelete).
func deleteItem(p *Page, n int) bool {
	if n < 1 || n > maxOffset(p) {
		return false
	}
	gone := itemAt(p, n)
	size := maxAlign(gone.len())
	if !inside(p, gone) || gone.off()+size > special(p) || gone.off()%8 != 0 {
		return false
	}
	at := headerSize + (n-1)*itemSize
	copy(p[at:lower(p)-itemSize], p[at+itemSize:lower(p)])
	copy(p[upper(p)+size:gone.off()+size], p[upper(p):gone.off()])
	setUpper(p, upper(p)+size)
	setLower(p, lower(p)-itemSize)
	shiftItems(p, gone.off(), size)
	return true
}

// deleteItemInPlace removes item n of an index page and the gap it leaves
// between the items; the others keep their offset numbers
// (PageIndexTupleDeleteNoCompact).
func deleteItemInPlace(p *Page, n int) bool {
	if n < 1 || n > maxOffset(p) {
		return false
	}
	gone := itemAt(p, n)
	size := maxAlign(gone.len())
	if !inside(p, gone) || gone.off()+size > special(p) || gone.off()%8 != 0 {
		return false
	}
	switch {
	case faults.On && faults.Hit(faults.RedoBrinShift):
	case n < maxOffset(p):
		setUnused(p, n)
	default:
		setLower(p, lower(p)-itemSize)
	}
	copy(p[upper(p)+size:gone.off()+size], p[upper(p):gone.off()])
	setUpper(p, upper(p)+size)
	for i := 1; i <= maxOffset(p); i++ {
		if it := itemAt(p, i); it.hasStorage() && it.off() <= gone.off() {
			setItem(p, i, makeItem(it.off()+size, it.flags(), it.len()))
		}
	}
	return true
}

// shiftItems tells the line pointers that everything at or below off moved up
// by size.
func shiftItems(p *Page, off, size int) {
	for n := 1; n <= maxOffset(p); n++ {
		if it := itemAt(p, n); it.off() <= off {
			setItem(p, n, makeItem(it.off()+size, it.flags(), it.len()))
		}
	}
}

// deleteItems removes the items that list names, u16 offset numbers in
// ascending order (PageIndexMultiDelete): one by one up to two of them, else
// by packing what stays.
func (a *Applier) deleteItems(p *Page, list []byte) bool {
	count := len(list) / 2
	if count == 2 && u16(list, 0) >= u16(list, 2) {
		return false
	}
	if count <= 2 {
		for i := count - 1; i >= 0; i-- {
			if !deleteItem(p, int(u16(list, 2*i))) {
				return false
			}
		}
		return true
	}
	kept, next := 0, 0
	for n := 1; n <= maxOffset(p); n++ {
		if next < count && int(u16(list, 2*next)) == n {
			next++
			continue
		}
		kept++
		setItem(p, kept, itemAt(p, n))
	}
	if next != count {
		return false // a number too high, or out of order
	}
	setLower(p, headerSize+kept*itemSize)
	return a.compact(p)
}

// resizeItem gives item n of an index page size bytes, moving the items below
// it, and returns them to be written (PageIndexTupleOverwrite). What was in
// the item is then elsewhere or gone.
func resizeItem(p *Page, n, size int) ([]byte, bool) {
	if _, ok := item(p, n); !ok || size <= 0 || size > core.PageSize {
		return nil, false
	}
	it := itemAt(p, n)
	more := maxAlign(size) - maxAlign(it.len())
	if more > upper(p)-lower(p) || it.off()+maxAlign(it.len()) > special(p) {
		return nil, false
	}
	if more != 0 {
		copy(p[upper(p)-more:], p[upper(p):it.off()])
		setUpper(p, upper(p)-more)
		for i := 1; i <= maxOffset(p); i++ {
			if o := itemAt(p, i); o.hasStorage() && o.off() <= it.off() {
				setItem(p, i, makeItem(o.off()-more, o.flags(), o.len()))
			}
		}
	}
	off := it.off() - more
	setItem(p, n, makeItem(off, it.flags(), size))
	return p[off : off+size], true
}

// overwriteItem makes data the content of item n of an index page; its line
// pointer keeps its flags (PageIndexTupleOverwrite).
func overwriteItem(p *Page, n int, data []byte) bool {
	dst, ok := resizeItem(p, n, len(data))
	if ok {
		copy(dst, data)
	}
	return ok
}
