package layer

import (
	"sort"
	"sync"

	"github.com/klauspost/compress/zstd"

	"xenon/core"
	"xenon/core/faults"
)

// A block is an unpacked data block. It is immutable, and shared by the cache
// and everybody who holds a value of it.
type block struct {
	raw   []byte
	n     int
	width int // bytes of a key
}

// key is the i-th key.
func (b block) key(i int) []byte { return b.raw[4+i*(b.width+dirEnd):][:b.width] }

// end is the end of the i-th value, from the first value's begin.
func (b block) end(i int) uint32 { return le.Uint32(b.raw[4+i*(b.width+dirEnd)+b.width:]) }

// data is all values, one after the other.
func (b block) data() []byte { return b.raw[4+b.n*(b.width+dirEnd):] }

// value is the value of the i-th key.
func (b block) value(i int) []byte {
	begin, end := uint32(0), b.end(i)
	if i > 0 {
		begin = b.end(i - 1)
	}
	return b.data()[begin:end:end]
}

// seek is the index of the first key ≥ k.
func (b block) seek(k []byte) int {
	return sort.Search(b.n, func(i int) bool { return string(b.key(i)) >= string(k) })
}

// last is the index of the last key ≤ k, -1 if all are above it.
func (b block) last(k []byte) int {
	return sort.Search(b.n, func(i int) bool { return string(b.key(i)) > string(k) }) - 1
}

// get finds a key's value.
func (b block) get(k []byte) ([]byte, bool) {
	i := b.seek(k)
	if i == b.n || string(b.key(i)) != string(k) {
		return nil, false
	}
	return b.value(i), true
}

// parseBlock checks the directory of a data block once, so that reading it
// needs no checks.
func parseBlock(name string, off int64, raw []byte, width int) (block, error) {
	n := int(le.Uint32(raw))
	if n <= 0 || n > (len(raw)-4)/(width+dirEnd) {
		return block{}, corrupt(name, off, "a block of %d bytes with %d values", len(raw), n)
	}
	b := block{raw, n, width}
	size, last := uint32(len(b.data())), uint32(0)
	for i := range n {
		end := b.end(i)
		if end < last || end > size || i > 0 && string(b.key(i-1)) >= string(b.key(i)) {
			return block{}, corrupt(name, off, "value %d of a block is out of order", i)
		}
		last = end
	}
	if last != size {
		return block{}, corrupt(name, off, "a block has %d bytes of values, its directory %d", size, last)
	}
	return b, nil
}

// An index is an unpacked index block.
type index struct {
	raw   []byte
	n     int
	width int // bytes of a key
}

func (x index) key(i int) []byte { return x.raw[4+i*(x.width+handleSize):][:x.width] }

func (x index) handle(i int) handle {
	return getHandle(x.raw[4+i*(x.width+handleSize)+x.width:])
}

// seek is the entry whose block holds k if any does: the last one with a first
// key ≤ k, -1 if k lies before all.
func (x index) seek(k []byte) int {
	return sort.Search(x.n, func(i int) bool { return string(x.key(i)) > string(k) }) - 1
}

// parseIndex checks order and that every handle lies before limit: entries
// point backwards only.
func parseIndex(name string, off int64, raw []byte, width int, limit int64) (index, error) {
	n := int(le.Uint32(raw))
	if n < 0 || len(raw) != 4+n*(width+handleSize) {
		return index{}, corrupt(name, off, "an index block of %d bytes with %d entries", len(raw), n)
	}
	x := index{raw, n, width}
	for i := range n {
		if !x.handle(i).within(limit) || i > 0 && string(x.key(i-1)) >= string(x.key(i)) {
			return index{}, corrupt(name, off, "entry %d of an index block is out of order", i)
		}
	}
	return x, nil
}

// Encoders and decoders are pooled because each holds tables of many
// kilobytes; concurrency 1 keeps them from starting goroutines.
var (
	encoders = sync.Pool{New: func() any {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest),
			zstd.WithWindowSize(1<<17), zstd.WithEncoderCRC(false))
		core.Must(err == nil, "zstd encoder: %v", err)
		return e
	}}
	decoders = sync.Pool{New: func() any {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(2*maxBlockRaw))
		core.Must(err == nil, "zstd decoder: %v", err)
		return d
	}}
)

// unpack checks a stored block, trailer included, and returns its raw bytes.
func unpack(name string, seed uint32, h handle, stored []byte) ([]byte, error) {
	body, want := stored[:len(stored)-4], le.Uint32(stored[len(stored)-4:])
	if got := blockCRC(seed, h.off, body); got != want && !(faults.On && faults.Hit(faults.BlockUnchecked)) {
		return nil, corrupt(name, h.off, "block checksum is %08X, computed %08X", want, got)
	}
	codec, body := body[len(body)-1], body[:len(body)-1]
	switch codec {
	case codecRaw:
		if uint32(len(body)) != h.raw {
			return nil, corrupt(name, h.off, "a block of %d bytes, the index says %d", len(body), h.raw)
		}
		return body, nil
	case codecZstd:
		d := decoders.Get().(*zstd.Decoder)
		raw, err := d.DecodeAll(body, make([]byte, 0, h.raw))
		decoders.Put(d)
		if err != nil || uint32(len(raw)) != h.raw {
			return nil, corrupt(name, h.off, "a block unpacks to %d bytes, the index says %d (%v)", len(raw), h.raw, err)
		}
		return raw, nil
	}
	return nil, corrupt(name, h.off, "a block with unknown codec %d", codec)
}
