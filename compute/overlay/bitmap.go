package overlay

// A bitmap is a set of block numbers, as long as its highest member.
type bitmap []uint64

func (b bitmap) has(i uint32) bool {
	w := int(i / 64)
	return w < len(b) && b[w]>>(i%64)&1 != 0
}

// setRange adds from to to-1.
func (b *bitmap) setRange(from, to uint32) {
	for need := (int(to) + 63) / 64; len(*b) < need; {
		*b = append(*b, 0)
	}
	for i := from; i < to; i++ {
		(*b)[i/64] |= 1 << (i % 64)
	}
}

// clearFrom takes out from and everything above.
func (b *bitmap) clearFrom(from uint32) {
	w := int(from / 64)
	if w >= len(*b) {
		return
	}
	(*b)[w] &= 1<<(from%64) - 1
	*b = (*b)[:w+1]
	for len(*b) > 0 && (*b)[len(*b)-1] == 0 {
		*b = (*b)[:len(*b)-1]
	}
}

// any tells whether from or anything above is a member.
func (b bitmap) any(from uint32) bool {
	for w := int(from / 64); w < len(b); w++ {
		v := b[w]
		if w == int(from/64) {
			v >>= from % 64
		}
		if v != 0 {
			return true
		}
	}
	return false
}
