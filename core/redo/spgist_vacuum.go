package redo

import (
	"xenon/core/faults"
	"xenon/core/wal"
)

// redoSpgVacuumLeaf removes tuples of a leaf page. The first tuple of a chain
// must stay where it is: if it goes and others stay, one of these moves there.
func (a *Applier) redoSpgVacuumLeaf(p *Page, c cursor) bool {
	dead, placeholders, moves, links := int(c.u16()), int(c.u16()), int(c.u16()), int(c.u16())
	s := readSpgState(&c)
	toDead, toPlaceholder := c.take(2*dead), c.take(2*placeholders)
	from, to := c.take(2*moves), c.take(2*moves)
	links1, links2 := c.take(2*links), c.take(2*links)
	if c.bad || !a.buryItems(p, toDead, s, spgDead, spgDead, nowhere) ||
		!a.buryItems(p, toPlaceholder, s, spgPlaceholder, spgPlaceholder, nowhere) {
		return false
	}
	if !faults.On || !faults.Hit(faults.RedoSpgMove) {
		if !swapItems(p, from, to) {
			return false
		}
	}
	if !a.buryItems(p, from, s, spgPlaceholder, spgPlaceholder, nowhere) {
		return false
	}
	for ; len(links1) > 0; links1, links2 = links1[2:], links2[2:] {
		if !chainSpg(p, int(u16(links1, 0)), u16(links2, 0)) {
			return false
		}
	}
	return true
}

// swapItems lets the tuples of two lists of offset numbers change places, one
// pair after the other.
func swapItems(p *Page, x, y []byte) bool {
	for ; len(x) > 0; x, y = x[2:], y[2:] {
		i, j := int(u16(x, 0)), int(u16(y, 0))
		if i < 1 || j < 1 || max(i, j) > maxOffset(p) {
			return false
		}
		t := itemAt(p, i)
		setItem(p, i, itemAt(p, j))
		setItem(p, j, t)
	}
	return true
}

// redoSpgVacuumRedirect makes placeholders of redirects that no scan needs any
// more, and removes the placeholders from firstPlaceholder to the end.
func (a *Applier) redoSpgVacuumRedirect(p *Page, rec *wal.Record, c cursor) bool {
	count, first, _ := int(c.u16()), int(c.u16()), c.u32()
	if rec.Major() >= 16 {
		c.take(2) // isCatalogRel and a byte of padding
	}
	list := c.take(2 * count)
	if c.bad {
		return false
	}
	for ; len(list) > 0; list = list[2:] {
		t, ok := item(p, int(u16(list, 0)))
		if !ok || len(t) < spgDeadSize {
			return false
		}
		t[0] |= spgPlaceholder
		nowhere.put(t[spgDeadPointer:])
	}
	if !spgCount(p, spgRedirects, -count) || !spgCount(p, spgPlaceholders, count) {
		return false
	}
	return first == 0 || a.dropPlaceholders(p, first)
}

// dropPlaceholders removes all items from the offset number first on.
func (a *Applier) dropPlaceholders(p *Page, first int) bool {
	count := maxOffset(p) - first + 1
	if count < 0 || count > maxIndexItems || !spgCount(p, spgPlaceholders, -count) {
		return false
	}
	var list [2 * maxIndexItems]byte
	for i := range count {
		put16(list[:], 2*i, uint16(first+i))
	}
	return a.deleteItems(p, list[:2*count])
}
