package redo

import "xenon/core/faults"

// A page of a posting tree has its right bound, a TID, behind the page header,
// and then the items of an inner page or the posting lists of a leaf
// (src/include/access/ginblock.h). pd_lower is where these end.
const (
	ginDataStart = headerSize + 8
	postingItem  = 10 // PostingItem: a child's block number and its highest TID
)

// redoGinCreatePTree makes the first page of a posting tree, a leaf.
func redoGinCreatePTree(p *Page, c cursor) bool {
	size := int(c.u32())
	lists := c.take(size)
	initGin(p, ginData|ginLeaf|ginCompressed)
	if c.bad || ginDataStart+size > upper(p) {
		return false
	}
	copy(p[ginDataStart:], lists)
	setLower(p, ginDataStart+size)
	return true
}

// postingItems is the special space of an inner page of a posting tree and the
// bytes of its items; there is room for one more if grow is set.
func postingItems(p *Page, grow int) (ginOpaque, []byte, bool) {
	o, ok := ginOpaqueOf(p)
	if !ok || !o.is(ginData|ginLeaf, ginData) {
		return nil, nil, false
	}
	end := ginDataStart + o.maxoff()*postingItem
	if end+grow*postingItem > upper(p) {
		return nil, nil, false
	}
	return o, p[ginDataStart:end], true
}

// setPostingItems notes how many items an inner page has.
func setPostingItems(p *Page, o ginOpaque, count int) {
	o.setMaxoff(count)
	setLower(p, ginDataStart+count*postingItem)
}

// insertPostingItem puts an item before item n of an inner page, which is for
// the block right from now on. The data are n and the new item.
func insertPostingItem(p *Page, data []byte, right uint32) bool {
	d := cursor{b: data}
	n, fresh := int(d.u16()), d.take(postingItem)
	o, items, ok := postingItems(p, 1)
	if d.bad || !ok || n < 1 || n > len(items)/postingItem {
		return false
	}
	at := (n - 1) * postingItem
	if !faults.On || !faults.Hit(faults.RedoGinChildUnmoved) {
		setTIDBlock(items[at:], right)
	}
	copy(p[ginDataStart+at+postingItem:], items[at:])
	copy(items[at:], fresh)
	setPostingItems(p, o, o.maxoff()+1)
	return true
}

// deletePostingItem takes item n out of an inner page.
func deletePostingItem(p *Page, n int) bool {
	o, items, ok := postingItems(p, 0)
	if !ok || n < 1 || n > len(items)/postingItem {
		return false
	}
	copy(items[(n-1)*postingItem:], items[n*postingItem:])
	setPostingItems(p, o, o.maxoff()-1)
	return true
}

// What a recompression does to a posting list, a segment of a leaf
// (src/include/access/ginxlog.h).
const (
	segmentDelete   = 1
	segmentInsert   = 2
	segmentReplace  = 3
	segmentAddItems = 4
)

// A leafRewrite is the recompression of a leaf under way.
type leafRewrite struct {
	p     *Page
	old   []byte // the segments to come: on the page until one changes, then in scratch
	moved bool   // old is in scratch
	seg   int    // number of the first of them
	to    int    // where on the page the next segment belongs
	end   int    // of the room for segments
}

// recompressLeaf changes segments of a leaf of a posting tree. The data are
// the count of changes, and for each one the number of its segment, what to do
// and the segment or TIDs to do it with (ginRedoRecompress).
//
// Segments before the first change stay in place; what follows is written anew
// from a copy. Bytes behind the last segment are left as they were.
func (a *Applier) recompressLeaf(p *Page, data []byte) bool {
	o, ok := ginOpaqueOf(p)
	if !ok || !o.is(ginData|ginLeaf, ginData|ginLeaf) {
		return false
	}
	if o.is(ginCompressed, 0) && !a.compressLeaf(p, o) {
		return false
	}
	if lower(p) < ginDataStart {
		return false
	}
	w := leafRewrite{p: p, old: p[ginDataStart:lower(p)], to: ginDataStart, end: upper(p)}
	d := cursor{b: data}
	for range d.u16() {
		seg, action := int(d.u8()), d.u8()
		if d.bad || !w.passTo(seg) {
			return false
		}
		if !w.moved {
			w.old, w.moved = a.scratch[:copy(a.scratch[:], w.old)], true
		}
		if !w.change(action, &d) {
			return false
		}
	}
	if d.bad || !w.keep(len(w.old)) {
		return false
	}
	setLower(p, w.to)
	return true
}

// passTo leaves the segments before seg as they are.
func (w *leafRewrite) passTo(seg int) bool {
	for ; w.seg < seg; w.seg++ {
		size, ok := postingSegment(w.old)
		if !ok || !w.keep(size) {
			return false
		}
	}
	return w.seg == seg
}

// keep passes over size bytes of old segments, which the page gets again if
// they have been moved.
func (w *leafRewrite) keep(size int) bool {
	if w.moved && !w.write(w.old[:size]) {
		return false
	}
	if !w.moved {
		w.to += size
	}
	w.old = w.old[size:]
	return true
}

// write adds a segment.
func (w *leafRewrite) write(segment []byte) bool {
	if len(segment) > w.end-w.to {
		return false
	}
	w.to += copy(w.p[w.to:], segment)
	return true
}

// change does one action to the first of the old segments; an insertion comes
// before it.
func (w *leafRewrite) change(action uint8, d *cursor) bool {
	if action == segmentInsert {
		fresh, ok := takeSegment(d)
		return ok && w.write(fresh)
	}
	size, ok := postingSegment(w.old)
	if !ok {
		return false
	}
	switch action {
	case segmentDelete:
		if faults.On && faults.Hit(faults.RedoGinKeepSegment) {
			ok = w.write(w.old[:size])
		}
	case segmentReplace:
		var fresh []byte
		fresh, ok = takeSegment(d)
		ok = ok && w.write(fresh)
	case segmentAddItems:
		tids := d.take(int(d.u16()) * tidSize)
		var n int
		n, ok = mergePosting(w.p[w.to:w.end], w.old[:size], tids)
		ok = ok && !d.bad
		w.to += n
	default:
		return false
	}
	w.old = w.old[size:]
	w.seg++
	return ok
}

// takeSegment reads a posting list with its padding.
func takeSegment(d *cursor) ([]byte, bool) {
	size, ok := postingSegment(d.b)
	return d.take(size), ok
}

// compressLeaf turns a leaf of before 9.4, an array of TIDs whose count the
// special space has, into one posting list.
func (a *Applier) compressLeaf(p *Page, o ginOpaque) bool {
	end := ginDataStart + o.maxoff()*tidSize
	if end > upper(p) {
		return false
	}
	size := 0
	if end > ginDataStart {
		var ok bool
		if size, ok = packPosting(a.scratch[:upper(p)-ginDataStart], p[ginDataStart:end]); !ok {
			return false
		}
		copy(p[ginDataStart:], a.scratch[:size])
	}
	setLower(p, ginDataStart+size)
	o.setFlags(ginCompressed)
	if !faults.On || !faults.Hit(faults.RedoGinOldCount) {
		o.setMaxoff(0)
	}
	return true
}
