package proposer

import (
	"slices"

	"xenon/consensus"
	"xenon/core"
)

// blockSize is the unit in which WAL is kept: a multiple of what one append
// carries, so that an append's WAL lies in one block.
const blockSize = 2 * consensus.MaxAppend

// A block holds WAL from start, a multiple of blockSize. It is not overwritten
// while a send refers to it: a safekeeper that stalls keeps its block, not the
// buffer.
type block struct {
	start core.LSN
	buf   []byte // blockSize
	refs  int
	gone  bool // no longer in the buffer; free once refs is 0
}

// A buffer is the recent WAL [begin, end), in memory. Its user locks it.
type buffer struct {
	limit  int // bytes of committed WAL kept at most, give or take a block
	begin  core.LSN
	end    core.LSN
	blocks []*block
	free   []*block
}

// reset empties the buffer; WAL comes from lsn on.
func (b *buffer) reset(lsn core.LSN) {
	for len(b.blocks) > 0 {
		b.drop()
	}
	b.begin, b.end = lsn, lsn
}

// append copies wal to the end.
func (b *buffer) append(wal []byte) {
	for len(wal) > 0 {
		last := len(b.blocks) - 1
		if last < 0 || b.end == b.blocks[last].start+blockSize {
			b.blocks = append(b.blocks, b.take(b.end/blockSize*blockSize))
			last++
		}
		n := copy(b.blocks[last].buf[b.end%blockSize:], wal)
		wal = wal[n:]
		b.end += core.LSN(n)
	}
}

func (b *buffer) take(start core.LSN) *block {
	if n := len(b.free); n > 0 {
		k := b.free[n-1]
		b.free = b.free[:n-1]
		*k = block{start: start, buf: k.buf}
		return k
	}
	return &block{start: start, buf: make([]byte, blockSize)}
}

// trim drops blocks beyond the limit that end at or below committed, and
// returns where the buffer begins now. WAL that is not committed is never
// dropped: a server syncs every segment it finishes, so that is little more
// than a segment and its WAL buffers.
func (b *buffer) trim(committed core.LSN) core.LSN {
	for len(b.blocks) > 1 && len(b.blocks)*blockSize > b.limit {
		end := b.blocks[0].start + blockSize
		if end > committed {
			break
		}
		b.drop()
		b.begin = end
	}
	return b.begin
}

func (b *buffer) drop() {
	k := b.blocks[0]
	b.blocks = slices.Delete(b.blocks, 0, 1)
	k.gone = true
	b.recycle(k)
}

func (b *buffer) recycle(k *block) {
	if k.gone && k.refs == 0 && len(b.free) < 4 {
		b.free = append(b.free, k)
	}
}

// pin returns WAL [begin, end), which lies in one block and stays as it is
// until unpin.
func (b *buffer) pin(begin, end core.LSN) (*block, []byte) {
	if begin < b.begin || begin >= end || end > b.end { // guarded: arguments of Must are allocated
		core.Must(false, "WAL %s to %s is not in the buffer of %s to %s", begin, end, b.begin, b.end)
	}
	k := b.blocks[(begin/blockSize*blockSize-b.blocks[0].start)/blockSize]
	k.refs++
	return k, k.buf[begin-k.start : end-k.start]
}

func (b *buffer) unpin(k *block) {
	k.refs--
	b.recycle(k)
}

// read copies WAL from lsn on to dst, as much as is there.
func (b *buffer) read(lsn core.LSN, dst []byte) int {
	n := 0
	for n < len(dst) && lsn >= b.begin && lsn < b.end {
		k := b.blocks[(lsn/blockSize*blockSize-b.blocks[0].start)/blockSize]
		m := copy(dst[n:], k.buf[lsn-k.start:min(b.end-k.start, blockSize)])
		n += m
		lsn += core.LSN(m)
	}
	return n
}
