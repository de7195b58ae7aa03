package modelcheck

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"sync"
)

// A fingerprint stands for a state. 128 bits, so that two of a thousand million
// states have the same one with a probability of 10^-21.
type fingerprint struct{ hi, lo uint64 }

func cmpFingerprint(a, b fingerprint) int {
	return cmp.Or(cmp.Compare(a.hi, b.hi), cmp.Compare(a.lo, b.lo))
}

// sum is the fingerprint of an encoded state: two sums of its words, multiplied
// and folded with different odd constants (the fraction of the golden ratio and
// those of square roots of primes).
func sum(b []byte) fingerprint {
	const (
		k0, k1 = 0x9E3779B97F4A7C15, 0x6A09E667F3BCC909
		k2, k3 = 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B
	)
	x, y := uint64(k0)^uint64(len(b)), uint64(k1)
	for len(b) >= 8 {
		v := binary.LittleEndian.Uint64(b)
		x, y = fold(x^v, k2), fold(y+v, k3)^x
		b = b[8:]
	}
	var rest uint64
	for i, c := range b {
		rest |= uint64(c) << (8 * i)
	}
	x, y = fold(x^rest, k3), fold(y+rest, k2)^x
	return fingerprint{fold(x, k0) | 1, fold(y^x, k1)}
}

func fold(x, k uint64) uint64 {
	hi, lo := bits.Mul64(x^k, k)
	return hi ^ lo ^ bits.RotateLeft64(x, 29)
}

// seen is the set of states found so far, each with the one it was found from.
// Its shards have a lock each.
type seen struct{ shards [64]shard }

type shard struct {
	mu    sync.Mutex
	used  int
	slots []slot
}

// A slot is free while its fingerprint is zero, which sum never returns.
type slot struct {
	key    fingerprint
	parent uint64 // the lower half of the fingerprint of where it was found from
	depth  uint32
}

const slotSize = 32

func newSeen() *seen {
	s := &seen{}
	for i := range s.shards {
		s.shards[i].slots = make([]slot, 64)
	}
	return s
}

// add tells whether a state is new. Of states of one level that lead to it the
// one with the lowest fingerprint is remembered, so that it does not depend on
// who came first.
func (s *seen) add(key, parent fingerprint, depth uint32) bool {
	sh := s.shard(key.lo)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if 4*sh.used >= 3*len(sh.slots) {
		sh.grow()
	}
	at := sh.find(key)
	if at.key == key {
		if at.depth == depth && parent.lo < at.parent {
			at.parent = parent.lo
		}
		return false
	}
	*at = slot{key, parent.lo, depth}
	sh.used++
	return true
}

// find is the slot of a key, or the free one where it belongs.
func (sh *shard) find(key fingerprint) *slot {
	mask := uint64(len(sh.slots) - 1)
	for i := key.lo & mask; ; i = (i + 1) & mask {
		if at := &sh.slots[i]; at.key == key || at.key == (fingerprint{}) {
			return at
		}
	}
}

func (sh *shard) grow() {
	old := sh.slots
	sh.slots = make([]slot, 2*len(old))
	for i := range old {
		if old[i].key != (fingerprint{}) {
			*sh.find(old[i].key) = old[i]
		}
	}
}

// has tells whether a state is among them.
func (s *seen) has(key fingerprint) bool { return s.shard(key.lo).find(key).key == key }

func (s *seen) shard(lo uint64) *shard { return &s.shards[lo>>58] }

// parent is what led to the state whose fingerprint has this lower half, and on
// which level the state was found.
func (s *seen) parent(lo uint64) (from uint64, depth uint32) {
	sh := s.shard(lo)
	mask := uint64(len(sh.slots) - 1)
	for i := lo & mask; ; i = (i + 1) & mask {
		if at := &sh.slots[i]; at.key.lo == lo {
			return at.parent, at.depth
		}
	}
}

// bytes is what the set takes.
func (s *seen) bytes() (n int64) {
	for i := range s.shards {
		n += int64(len(s.shards[i].slots)) * slotSize
	}
	return n
}
