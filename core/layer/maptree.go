package layer

import (
	"cmp"
	"slices"

	"xenon/core"
	"xenon/core/faults"
)

// A node is a layer in a treap of layers of one sort, ordered by where their
// LSNs begin, then by where their keys begin. Once a change of a map is
// complete its nodes are never written again: the next change makes new ones
// on the way from the root to what it changes and shares the rest.
//
// A node knows exactly which keys the layers of its tree cover. That is what
// finds the newest layer of a key without looking at the layers that do not
// have it. The list is short where layers meet, as those of one compaction do:
// ranges that touch are one.
type node[L any] struct {
	Extent
	layer       L
	priority    uint64 // above those of the children
	left, right *node[L]

	// Of the whole tree; covers is nil while a change is being made.
	covers []KeyRange // ascending, neither overlapping nor touching
	newest core.LSN   // the largest LSNs.Start
	end    core.LSN   // the largest LSNs.End
}

// order is the order of layers in a tree.
func order(a, b Extent) int {
	return cmp.Or(cmp.Compare(a.LSNs.Start, b.LSNs.Start), a.Keys.Start.Compare(b.Keys.Start))
}

// priorityOf mixes the place of a layer in the order: a tree of the same layers
// has one shape, whatever was added and removed before.
func priorityOf(x Extent) uint64 {
	h := mix(uint64(x.LSNs.Start) + 0x9E3779B97F4A7C15)
	h = mix(h ^ be.Uint64(x.Keys.Start[0:]))
	h = mix(h ^ be.Uint64(x.Keys.Start[8:]))
	return mix(h ^ uint64(be.Uint16(x.Keys.Start[16:])))
}

// mix is the finalizer of splitmix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}

// own is a copy of n that the change being made may write.
func (n *node[L]) own() *node[L] {
	if n.covers == nil || faults.On && faults.Hit(faults.MapEditShared) {
		n.covers = nil
		return n
	}
	c := *n
	c.covers = nil
	return &c
}

// split cuts a tree into what lies before x in the order and what does not.
func split[L any](n *node[L], x Extent) (before, rest *node[L]) {
	if n == nil {
		return nil, nil
	}
	n = n.own()
	if order(n.Extent, x) < 0 {
		n.right, rest = split(n.right, x)
		return n, rest
	}
	before, n.left = split(n.left, x)
	return before, n
}

// join makes one tree of two of which the first lies before the second.
func join[L any](a, b *node[L]) *node[L] {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	case a.priority > b.priority:
		a = a.own()
		a.right = join(a.right, b)
		return a
	}
	b = b.own()
	b.left = join(a, b.left)
	return b
}

// insert adds a node whose place in the order is free.
func (n *node[L]) insert(x *node[L]) *node[L] {
	if n == nil || x.priority > n.priority {
		x.left, x.right = split(n, x.Extent)
		return x
	}
	n = n.own()
	if order(x.Extent, n.Extent) < 0 {
		n.left = n.left.insert(x)
	} else {
		n.right = n.right.insert(x)
	}
	return n
}

// remove takes out the layer at the place of x, which is there.
func (n *node[L]) remove(x Extent) *node[L] {
	c := order(x, n.Extent)
	if c == 0 {
		return join(n.left, n.right)
	}
	n = n.own()
	if c < 0 {
		n.left = n.left.remove(x)
	} else {
		n.right = n.right.remove(x)
	}
	return n
}

// find is the layer at the place of x, nil if that is free.
func (n *node[L]) find(x Extent) *node[L] {
	for n != nil {
		c := order(x, n.Extent)
		if c == 0 {
			return n
		}
		if c < 0 {
			n = n.left
		} else {
			n = n.right
		}
	}
	return nil
}

// seal ends a change: it computes what the nodes know of their trees. scratch
// is used again and returned.
func (n *node[L]) seal(scratch []KeyRange) []KeyRange {
	if n == nil || n.covers != nil {
		return scratch
	}
	scratch = n.left.seal(scratch)
	scratch = n.right.seal(scratch)
	n.newest, n.end = n.LSNs.Start, n.LSNs.End
	var left, right []KeyRange
	if n.left != nil {
		left, n.end = n.left.covers, max(n.end, n.left.end)
	}
	if n.right != nil {
		right, n.end, n.newest = n.right.covers, max(n.end, n.right.end), n.right.newest
	}
	if faults.On && faults.Hit(faults.MapUnionLeft) {
		right = nil
	}
	scratch = merge(scratch[:0], left, right, n.Keys)
	switch {
	case slices.Equal(scratch, left):
		n.covers = left
	case slices.Equal(scratch, right):
		n.covers = right
	default:
		n.covers = slices.Clone(scratch)
	}
	return scratch
}

// merge appends to dst the union of two lists and a range.
func merge(dst, a, b []KeyRange, c KeyRange) []KeyRange {
	one := []KeyRange{c}
	for {
		// The list that begins first is next.
		first := &a
		if len(b) > 0 && (len(*first) == 0 || b[0].Start.Compare((*first)[0].Start) < 0) {
			first = &b
		}
		if len(one) > 0 && (len(*first) == 0 || one[0].Start.Compare((*first)[0].Start) < 0) {
			first = &one
		}
		if len(*first) == 0 {
			return dst
		}
		r := (*first)[0]
		*first = (*first)[1:]
		if n := len(dst); n > 0 && r.Start.Compare(dst[n-1].End) <= 0 {
			if r.End.Compare(dst[n-1].End) > 0 {
				dst[n-1].End = r.End
			}
			continue
		}
		dst = append(dst, r)
	}
}

// before is the newest layer of k whose LSNs begin below an LSN, nil if there
// is none. It narrows same to keys for which the answer is the same one.
func (n *node[L]) before(k core.Key, below core.LSN, same *KeyRange) *node[L] {
	for n != nil {
		if n.LSNs.Start >= below {
			n = n.left
			continue
		}
		// Of a tree that lies below the LSN as a whole, covers says for sure
		// whether it has the layer; the others are those on one way down.
		if n.newest < below && !covered(n.covers, k, same) {
			return nil
		}
		if found := n.right.before(k, below, same); found != nil {
			return found
		}
		if inside(n.Keys, k, same) {
			return n
		}
		n = n.left
	}
	return nil
}

// covered tells whether a range of the list has k; if none does, it narrows
// same to the gap.
func covered(list []KeyRange, k core.Key, same *KeyRange) bool {
	lo, hi := 0, len(list)
	for lo < hi { // the first range that ends above k
		mid := int(uint(lo+hi) >> 1)
		if list[mid].End.Compare(k) > 0 {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	if lo > 0 {
		same.raise(list[lo-1].End)
	}
	if lo == len(list) {
		return false
	}
	if list[lo].Contains(k) {
		return true
	}
	same.lower(list[lo].Start)
	return false
}

// inside tells whether r has k, and narrows same to the keys of which the same
// is true.
func inside(r KeyRange, k core.Key, same *KeyRange) bool {
	switch {
	case k.Compare(r.Start) < 0:
		same.lower(r.Start)
		return false
	case k.Compare(r.End) >= 0:
		same.raise(r.End)
		return false
	}
	same.raise(r.Start)
	same.lower(r.End)
	return true
}

func (r *KeyRange) raise(start core.Key) {
	if r.Start.Compare(start) < 0 {
		r.Start = start
	}
}

func (r *KeyRange) lower(end core.Key) {
	if end.Compare(r.End) < 0 {
		r.End = end
	}
}

// overlap is a layer other than x itself that has a key and an LSN in common
// with it, nil if there is none.
func (n *node[L]) overlap(x Extent) *node[L] {
	if n == nil || n.end <= x.LSNs.Start || !anyOverlap(n.covers, x.Keys) {
		return nil
	}
	if found := n.left.overlap(x); found != nil {
		return found
	}
	if n.LSNs.Start >= x.LSNs.End {
		return nil
	}
	if n.Extent != x && n.Extent.Overlaps(x) {
		return n
	}
	return n.right.overlap(x)
}

// anyOverlap tells whether a range of the list overlaps r.
func anyOverlap(list []KeyRange, r KeyRange) bool {
	i, _ := slices.BinarySearchFunc(list, r.Start, func(e KeyRange, k core.Key) int {
		if e.End.Compare(k) <= 0 {
			return -1
		}
		return 1
	})
	return i < len(list) && list[i].Overlaps(r)
}

// each calls visit for the layers of the tree in order while it returns true.
func (n *node[L]) each(visit func(*node[L]) bool) bool {
	return n == nil || n.left.each(visit) && visit(n) && n.right.each(visit)
}
