package overlay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
	"xenon/core/xsync"
)

// BlockSize is the unit in which a file is its own or its base's: a page.
const BlockSize = core.PageSize

// A Base holds the blocks that lie below a file.
type Base interface {
	// ReadBlocks fills dst, whole blocks, from block first on.
	ReadBlocks(ctx context.Context, first uint32, dst []byte) error
}

// A File is what a server sees of one file: the blocks it wrote, over those of
// a base, over zeros. A block once written is the file's own for good.
//
// Reads do not wait for writes. A read beside a write of the same block sees
// the block as it was before or after, or torn as on any file system.
type File struct {
	scratch *Scratch
	slot    *slot
	base    Base

	writing xsync.Mutex // one Write, Truncate or Allocate at a time

	mu   sync.Mutex // leaf; guards what follows
	size int64      // bytes
	// limit is the number of blocks that the base still has a say in: its
	// size, or the shortest the file has been since. A block cut off does not
	// come back when the file grows again.
	limit uint32
	own   bitmap
}

// NewFile makes a file over the first blocks of base, which may be nil if
// there are none.
func NewFile(e env.Env, s *Scratch, base Base, blocks uint32) *File {
	f := &File{scratch: s, slot: s.slot(), base: base, limit: blocks, size: int64(blocks) * BlockSize}
	f.writing.Init(e)
	return f
}

// Size is the file's length in bytes.
func (f *File) Size() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.size
}

// A source says where the bytes of a block are.
type source uint8

const (
	zeros source = iota
	ours
	base
)

func (f *File) sourceOf(blk uint32) source {
	switch {
	case f.own.has(blk):
		return ours
	case blk < f.limit:
		return base
	}
	return zeros
}

// run finds where the bytes at off come from, and how many of the next n do,
// none of them past the end of the file.
func (f *File) run(off int64, n int) (source, int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n = int(min(int64(n), f.size-off))
	if n <= 0 {
		return zeros, 0
	}
	blk := uint32(off / BlockSize)
	from := f.sourceOf(blk)
	end := int64(blk+1) * BlockSize
	for end < off+int64(n) && f.sourceOf(uint32(end/BlockSize)) == from {
		end += BlockSize
	}
	return from, int(min(int64(n), end-off))
}

// ReadAt fills p from off, and returns fewer bytes only at the end of the
// file. It may wait for the base.
func (f *File) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) {
		from, n := f.run(off+int64(done), len(p)-done)
		if n == 0 {
			break
		}
		if err := f.readRun(ctx, from, p[done:done+n], off+int64(done)); err != nil {
			return done, err
		}
		done += n
	}
	return done, nil
}

func (f *File) readRun(ctx context.Context, from source, p []byte, off int64) error {
	switch from {
	case ours:
		return f.readOwn(p, off)
	case base:
		return f.readBase(ctx, p, off)
	}
	clear(p)
	return nil
}

func (f *File) readOwn(p []byte, off int64) error {
	file, err := f.scratch.use(f.slot)
	if err != nil {
		return err
	}
	defer f.scratch.release(f.slot)
	n, err := file.ReadAt(p, off)
	if errors.Is(err, io.EOF) {
		// The file on disk ends with the last byte written.
		clear(p[n:])
		return nil
	}
	return err
}

// readBase reads part of the base, in whole blocks.
func (f *File) readBase(ctx context.Context, p []byte, off int64) error {
	first, skip := uint32(off/BlockSize), int(off%BlockSize)
	if skip == 0 && len(p)%BlockSize == 0 {
		return f.base.ReadBlocks(ctx, first, p)
	}
	whole := make([]byte, (skip+len(p)+BlockSize-1)/BlockSize*BlockSize)
	if err := f.base.ReadBlocks(ctx, first, whole); err != nil {
		return err
	}
	copy(p, whole[skip:])
	return nil
}

// WriteAt stores all of p at off or fails, after which its blocks hold what
// they held, p, or a mixture. It waits for the base only where p covers part of
// one of the base's blocks, which a server never does to a relation.
func (f *File) WriteAt(ctx context.Context, p []byte, off int64) error {
	if err := checkRange(off, len(p)); err != nil {
		return err
	}
	if len(p) == 0 {
		return nil
	}
	f.writing.Lock()
	defer f.writing.Unlock()
	end := off + int64(len(p))
	if f.zerosOverZeros(p, off) {
		f.grow(end)
		return nil
	}
	whole, at, err := f.compose(ctx, p, off)
	if err != nil {
		return err
	}
	if err := f.store(whole, at); err != nil {
		return err
	}
	f.mu.Lock()
	f.own.setRange(uint32(off/BlockSize), uint32((end-1)/BlockSize)+1)
	f.size = max(f.size, end)
	f.mu.Unlock()
	return nil
}

// maxFile bounds sizes, and with them the memory of bitmaps. A server cuts
// relations and temporary files into pieces of a gigabyte.
const maxFile = int64(1) << 40

func checkRange(off int64, n int) error {
	if off < 0 || off > maxFile-int64(n) {
		return fmt.Errorf("%d bytes at %d of a file", n, off)
	}
	return nil
}

// zerosOverZeros tells whether p changes nothing but the file's size. Servers
// extend relations, and zero whole WAL segments, with writes of zeros.
func (f *File) zerosOverZeros(p []byte, off int64) bool {
	f.mu.Lock()
	for blk := uint32(off / BlockSize); int64(blk)*BlockSize < off+int64(len(p)); blk++ {
		if f.sourceOf(blk) != zeros {
			f.mu.Unlock()
			return false
		}
	}
	f.mu.Unlock()
	return allZero(p)
}

func allZero(p []byte) bool {
	for len(p) >= 8 {
		if p[0]|p[1]|p[2]|p[3]|p[4]|p[5]|p[6]|p[7] != 0 {
			return false
		}
		p = p[8:]
	}
	for _, b := range p {
		if b != 0 {
			return false
		}
	}
	return true
}

// compose completes p to whole blocks where it covers a part of a block that
// is not the file's own yet. What else is in such a block comes from the base;
// what the disk holds there is never looked at.
func (f *File) compose(ctx context.Context, p []byte, off int64) ([]byte, int64, error) {
	end := off + int64(len(p))
	head, tail := off%BlockSize != 0, end%BlockSize != 0
	first, last := uint32(off/BlockSize), uint32((end-1)/BlockSize)
	f.mu.Lock()
	head = head && f.sourceOf(first) != ours
	tail = tail && f.sourceOf(last) != ours
	f.mu.Unlock()
	if !head && !tail || faults.On && faults.Hit(faults.PartialWriteForgets) {
		return p, off, nil
	}
	at, to := off, end
	if head {
		at = int64(first) * BlockSize
	}
	if tail {
		to = int64(last+1) * BlockSize
	}
	whole := make([]byte, to-at)
	if head {
		if err := f.fillBlock(ctx, whole[:BlockSize], first); err != nil {
			return nil, 0, err
		}
	}
	if tail && (!head || first != last) {
		if err := f.fillBlock(ctx, whole[len(whole)-BlockSize:], last); err != nil {
			return nil, 0, err
		}
	}
	copy(whole[off-at:], p)
	return whole, at, nil
}

// fillBlock reads a block that is not the file's own.
func (f *File) fillBlock(ctx context.Context, dst []byte, blk uint32) error {
	f.mu.Lock()
	from := f.sourceOf(blk)
	f.mu.Unlock()
	if from == base {
		return f.base.ReadBlocks(ctx, blk, dst)
	}
	clear(dst)
	return nil
}

func (f *File) store(p []byte, off int64) error {
	file, err := f.scratch.use(f.slot)
	if err != nil {
		return err
	}
	defer f.scratch.release(f.slot)
	_, err = file.WriteAt(p, off)
	return err
}

func (f *File) grow(size int64) {
	f.mu.Lock()
	f.size = max(f.size, size)
	f.mu.Unlock()
}

// Truncate sets the size. Bytes cut off are gone: a file that grows again has
// zeros there. It waits for the base only to cut one of its blocks in two.
func (f *File) Truncate(ctx context.Context, size int64) error {
	if err := checkRange(size, 0); err != nil {
		return err
	}
	f.writing.Lock()
	defer f.writing.Unlock()
	if size >= f.Size() {
		f.grow(size)
		return nil
	}
	blocks := uint32((size + BlockSize - 1) / BlockSize)
	if size%BlockSize != 0 {
		if err := f.cutBlock(ctx, blocks-1); err != nil {
			return err
		}
	}
	if err := f.cutOwn(size, blocks); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.size = size
	f.own.clearFrom(blocks)
	if faults.On && faults.Hit(faults.TruncateForgotten) {
		return nil
	}
	f.limit = min(f.limit, blocks)
	return nil
}

// cutBlock makes a block of the base the file's own, before a part of it is
// cut off.
func (f *File) cutBlock(ctx context.Context, blk uint32) error {
	f.mu.Lock()
	from := f.sourceOf(blk)
	f.mu.Unlock()
	if from != base {
		return nil
	}
	page := make([]byte, BlockSize)
	if err := f.base.ReadBlocks(ctx, blk, page); err != nil {
		return err
	}
	if err := f.store(page, int64(blk)*BlockSize); err != nil {
		return err
	}
	f.mu.Lock()
	f.own.setRange(blk, blk+1)
	f.mu.Unlock()
	return nil
}

// cutOwn cuts the file on disk if it may be longer than size.
func (f *File) cutOwn(size int64, blocks uint32) error {
	f.mu.Lock()
	longer := f.own.any(blocks) || size%BlockSize != 0 && f.own.has(blocks-1)
	f.mu.Unlock()
	if !longer {
		return nil
	}
	file, err := f.scratch.use(f.slot)
	if err != nil {
		return err
	}
	defer f.scratch.release(f.slot)
	return file.Truncate(size)
}

// Allocate makes room for [off, off+n) on the disk and extends the file to its
// end.
func (f *File) Allocate(off, n int64) error {
	if n <= 0 || off < 0 || off > maxFile-n {
		return fmt.Errorf("allocate %d bytes at %d of a file", n, off)
	}
	f.writing.Lock()
	defer f.writing.Unlock()
	file, err := f.scratch.use(f.slot)
	if err != nil {
		return err
	}
	defer f.scratch.release(f.slot)
	if err := file.Allocate(off, n); err != nil {
		return err
	}
	f.grow(off + n)
	return nil
}

// Drop gives the file's room back. Nothing may use the file any more.
func (f *File) Drop() error { return f.scratch.remove(f.slot) }
