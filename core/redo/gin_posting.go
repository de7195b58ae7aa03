package redo

import "xenon/core/faults"

// A posting list is its first TID, the count of bytes that follow, and these:
// the distances from each TID to the next, of which a TID counts as block
// number << 11 | offset number, seven bits a byte, the lowest first, with the
// high bit in all but the last (src/backend/access/gin/ginpostinglist.c). A
// list takes an even number of bytes; a byte of padding is zero.
const (
	postingHead     = tidSize + 2
	tidOffsetBits   = 11
	maxPackedTID    = 1<<(32+tidOffsetBits) - 1
	maxVarbyte      = 7 // bytes of the largest distance
	varbyteMore     = 0x80
	varbyteBits     = 0x7F
	varbyteBitCount = 7
)

// postingSegment is the size of the posting list at the start of b.
func postingSegment(b []byte) (int, bool) {
	if len(b) < postingHead {
		return 0, false
	}
	size := postingHead + shortAlign(int(u16(b, tidSize)))
	return size, size <= len(b)
}

// packTID is a TID as a number. There is none for offset numbers above those
// of a heap page.
func packTID(tid []byte) (uint64, bool) {
	off := u16(tid, 4)
	return uint64(tidBlock(tid))<<tidOffsetBits | uint64(off), off>>tidOffsetBits == 0
}

// A postingReader yields the TIDs of a posting list.
type postingReader struct {
	b    []byte // distances to come
	next uint64 // the TID that is due
	left bool   // there is one
}

// readPosting begins a posting list, whose size postingSegment has checked.
func readPosting(list []byte) (r postingReader, ok bool) {
	r.b = list[postingHead : postingHead+int(u16(list, tidSize))]
	r.next, ok = packTID(list)
	r.left = true
	return r, ok
}

// advance steps to the next TID. It takes only what PostgreSQL writes:
// distances above zero in as few bytes as they need.
func (r *postingReader) advance() bool {
	if len(r.b) == 0 {
		r.left = false
		return true
	}
	var delta uint64
	for i, c := range r.b {
		delta |= uint64(c&varbyteBits) << (varbyteBitCount * i)
		if c&varbyteMore == 0 {
			r.b = r.b[i+1:]
			r.next += delta
			return c != 0 && r.next <= maxPackedTID
		}
		if i == maxVarbyte-1 {
			break
		}
	}
	return false
}

// A postingWriter makes a posting list of TIDs in ascending order.
type postingWriter struct {
	dst  []byte
	n    int // bytes written
	last uint64
}

// add appends a TID.
func (w *postingWriter) add(tid uint64) bool {
	if w.n == 0 {
		if len(w.dst) < postingHead {
			return false
		}
		putTID(w.dst, uint32(tid>>tidOffsetBits), uint16(tid&(1<<tidOffsetBits-1)))
		w.n, w.last = postingHead, tid
		return true
	}
	if tid <= w.last {
		return false
	}
	delta := tid - w.last
	w.last = tid
	for ; delta > varbyteBits; delta >>= varbyteBitCount {
		if w.n == len(w.dst) {
			return false
		}
		w.dst[w.n] = byte(delta) | varbyteMore
		w.n++
	}
	if w.n == len(w.dst) {
		return false
	}
	w.dst[w.n] = byte(delta)
	w.n++
	return true
}

// rest appends distances that need no change.
func (w *postingWriter) rest(distances []byte) bool {
	if len(distances) > len(w.dst)-w.n {
		return false
	}
	w.n += copy(w.dst[w.n:], distances)
	return true
}

// finish sets the count of bytes and pads the list; it gives its size.
func (w *postingWriter) finish() (int, bool) {
	size := w.n - postingHead
	if size < 0 || size > 0xFFFF {
		return 0, false
	}
	put16(w.dst, tidSize, uint16(size))
	if size%2 != 0 {
		if w.n == len(w.dst) {
			return 0, false
		}
		w.dst[w.n] = 0
		w.n++
	}
	return w.n, true
}

// packPosting writes a posting list of TIDs, six bytes each in ascending
// order, and gives its size (ginCompressPostingList).
func packPosting(dst, tids []byte) (int, bool) {
	w := postingWriter{dst: dst}
	for ; len(tids) >= tidSize; tids = tids[tidSize:] {
		tid, ok := packTID(tids)
		if !ok || !w.add(tid) {
			return 0, false
		}
	}
	return w.finish()
}

// mergePosting writes the posting list old with tids added, six bytes each in
// ascending order, and gives its size. One that is in both is there once
// (ginMergeItemPointers). dst and old must not overlap.
func mergePosting(dst, old, tids []byte) (int, bool) {
	w := postingWriter{dst: dst}
	r, ok := readPosting(old)
	if !ok {
		return 0, false
	}
	if faults.On && faults.Hit(faults.RedoGinAddLess) && len(tids) > 0 {
		tids = tids[tidSize:]
	}
	for ; len(tids) >= tidSize; tids = tids[tidSize:] {
		tid, ok := packTID(tids)
		if !ok {
			return 0, false
		}
		for r.left && r.next < tid {
			if !w.add(r.next) || !r.advance() {
				return 0, false
			}
		}
		if r.left && r.next == tid {
			continue // the list's own is written in its turn
		}
		if !w.add(tid) {
			return 0, false
		}
	}
	if r.left && (!w.add(r.next) || !w.rest(r.b)) {
		return 0, false
	}
	return w.finish()
}
