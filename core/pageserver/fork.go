package pageserver

import (
	"encoding/binary"
	"sort"

	"xenon/core"
	"xenon/core/faults"
)

// A fork is the history of a fork of a relation, or of a segment of an SLRU:
// its sizes. The versions of its pages are in the layers.
//
// A block exists while the size is above its number. It may come and go many
// times (truncation, drop and reuse of a relfilenode), and each time it comes
// it begins anew: as zeroes, or as what the base or a copied database has. So
// a chain of versions is never followed past the latest moment at which the
// size was not above the block, however little the records in between say
// about it: nothing tells a page of the visibility map that the relation it
// belonged to is another one now.
type fork struct {
	first core.Key // of block 0
	sizes []size   // ascending by LSN
	dips  []int32  // places in sizes where a size is below the one before

	// journal is where the first change since the last freeze is noted, nil if
	// nobody wants to know; noted tells that it was.
	journal *journal
	noted   bool
}

// A size is how many blocks a fork has from an LSN on.
type size struct {
	lsn    core.LSN
	blocks uint32
	from   origin
}

// An origin says what blocks are before their first version, for those that
// came with this size; gone says that the fork does not exist.
type origin uint32

const (
	fromZeroes origin = iota
	fromBase          // the base image layers
	gone
	fromCopies // and above: copies[origin-fromCopies]
)

// key is the key of a block.
func (f *fork) key(blk uint32) core.Key {
	k := f.first
	binary.BigEndian.PutUint32(k[14:], blk)
	return k
}

// now is the size at the end, gone if there never was one.
func (f *fork) now() size {
	if len(f.sizes) == 0 {
		return size{from: gone}
	}
	return f.sizes[len(f.sizes)-1]
}

// at is the place in sizes that holds as of lsn, -1 if the fork came later.
func (f *fork) at(lsn core.LSN) int {
	return sort.Search(len(f.sizes), func(i int) bool { return f.sizes[i].lsn > lsn }) - 1
}

// resize notes a size. LSNs do not go back.
func (f *fork) resize(s size) {
	n := len(f.sizes)
	if n > 0 && f.sizes[n-1].lsn > s.lsn {
		core.Must(false, "size of %s at %s after %s", f.first, s.lsn, f.now().lsn)
	}
	if f.journal != nil && !f.noted {
		f.noted = true
		f.journal.forks = append(f.journal.forks, f)
	}
	if n > 0 && f.sizes[n-1].lsn == s.lsn && f.sizes[n-1].from == s.from && s.blocks >= f.sizes[n-1].blocks {
		// One record may touch several new blocks.
		f.sizes[n-1].blocks = s.blocks
		return
	}
	if n > 0 && s.blocks < f.sizes[n-1].blocks {
		f.dips = append(f.dips, int32(n))
	}
	f.sizes = append(f.sizes, s)
}

// grow makes the fork at least blocks long; a fork that is not there comes
// into being.
func (f *fork) grow(lsn core.LSN, blocks uint32) {
	if s := f.now(); s.from == gone || s.blocks < blocks {
		f.resize(size{lsn, blocks, fromZeroes})
	}
}

// drop ends the fork if it is there.
func (f *fork) drop(lsn core.LSN) {
	if f.now().from != gone {
		f.resize(size{lsn, 0, gone})
	}
}

// life finds what a block is made of as of lsn: versions up to floor belong to
// earlier blocks of that number, and came is the size with which this one came
// into being. ok is false if there is no such block.
func (f *fork) life(blk uint32, lsn core.LSN) (floor core.LSN, came size, ok bool) {
	pos := f.at(lsn)
	if pos < 0 || f.sizes[pos].blocks <= blk {
		return 0, size{}, false
	}
	i := f.lastWithout(blk, pos)
	if i >= 0 {
		floor = f.sizes[i].lsn
	}
	if faults.On && faults.Hit(faults.ForgetTruncate) {
		return 0, f.sizes[0], true
	}
	return floor, f.sizes[i+1], true
}

// lastWithout is the last place in sizes[:pos] at which the block did not
// exist, -1 if it always did. Between two dips sizes only grow, so that each
// stretch is searched by halving.
func (f *fork) lastWithout(blk uint32, pos int) int {
	d := sort.Search(len(f.dips), func(i int) bool { return int(f.dips[i]) > pos })
	for end := pos; ; d-- {
		begin := 0
		if d > 0 {
			begin = int(f.dips[d-1])
		}
		n := sort.Search(end-begin, func(i int) bool { return f.sizes[begin+i].blocks > blk })
		if n > 0 {
			return begin + n - 1
		}
		if d == 0 {
			return -1
		}
		end = begin
	}
}
