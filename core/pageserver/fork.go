package pageserver

import (
	"encoding/binary"
	"sort"

	"xenon/core"
	"xenon/core/faults"
)

// A version is one version of a page: what its record or patch made of the
// version before.
type version struct {
	lsn core.LSN // end of the record
	ref ref
}

// A fork is the history of a fork of a relation, or of a segment of an SLRU:
// its sizes and the versions of its pages.
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
	pages map[uint32][]version
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

// add notes a version of a page.
func (f *fork) add(blk uint32, v version) {
	if f.pages == nil {
		f.pages = map[uint32][]version{}
	}
	f.pages[blk] = append(f.pages[blk], v)
}

// chain appends to dst the versions of a block in (floor, lsn] that make it,
// the newest first, back to the first that needs no older one; based tells
// that there was none, so that what the block came from is needed.
func (f *fork) chain(dst []version, blk uint32, floor, lsn core.LSN) (_ []version, based bool) {
	vs := f.pages[blk]
	n := sort.Search(len(vs), func(i int) bool { return vs[i].lsn > lsn })
	if faults.On && n < len(vs) && faults.Hit(faults.NewerPage) {
		n++
	}
	for n--; n >= 0 && vs[n].lsn > floor; n-- {
		dst = append(dst, vs[n])
		if vs[n].ref.kind().init() {
			return dst, false
		}
	}
	return dst, true
}

// keep puts an image of a block in its place, so that later reads start from
// it: behind the versions of its LSN, unless there is one already.
func (f *fork) keep(blk uint32, v version) {
	vs := f.pages[blk]
	n := sort.Search(len(vs), func(i int) bool { return vs[i].lsn > v.lsn })
	if n == 0 || vs[n-1].lsn != v.lsn || vs[n-1].ref.kind() == kindImage {
		return
	}
	vs = append(vs, version{})
	copy(vs[n+1:], vs[n:])
	vs[n] = v
	f.pages[blk] = vs
}
