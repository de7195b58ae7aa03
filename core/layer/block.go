package layer

import (
	"sort"
	"sync"

	"github.com/klauspost/compress/zstd"

	"xenon/core"
)

// A block is an unpacked data block. It is immutable, and shared by the cache
// and everybody who holds a value of it.
type block struct {
	raw []byte
	n   int
}

// key is the i-th key, 18 bytes.
func (b block) key(i int) []byte { return b.raw[4+i*dirEntry:][:core.KeySize] }

// value is the value of the i-th key.
func (b block) value(i int) []byte {
	data := b.raw[4+b.n*dirEntry:]
	begin := uint32(0)
	if i > 0 {
		begin = le.Uint32(b.raw[4+(i-1)*dirEntry+core.KeySize:])
	}
	end := le.Uint32(b.raw[4+i*dirEntry+core.KeySize:])
	return data[begin:end:end]
}

// seek is the index of the first key ≥ k.
func (b block) seek(k core.Key) int {
	return sort.Search(b.n, func(i int) bool { return string(b.key(i)) >= string(k[:]) })
}

// get finds a key's value.
func (b block) get(k core.Key) ([]byte, bool) {
	i := b.seek(k)
	if i == b.n || string(b.key(i)) != string(k[:]) {
		return nil, false
	}
	return b.value(i), true
}

// parseBlock checks the directory of a data block once, so that reading it
// needs no checks.
func parseBlock(name string, off int64, raw []byte) (block, error) {
	n := int(le.Uint32(raw))
	if n <= 0 || n > (len(raw)-4)/dirEntry {
		return block{}, corrupt(name, off, "a block of %d bytes with %d values", len(raw), n)
	}
	b := block{raw, n}
	size := uint32(len(raw) - 4 - n*dirEntry)
	last := uint32(0)
	for i := range n {
		end := le.Uint32(raw[4+i*dirEntry+core.KeySize:])
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
	raw []byte
	n   int
}

func (x index) key(i int) []byte    { return x.raw[4+i*indexEntry:][:core.KeySize] }
func (x index) handle(i int) handle { return getHandle(x.raw[4+i*indexEntry+core.KeySize:]) }

// seek is the entry whose block holds k if any does: the last one with a first
// key ≤ k, -1 if k lies before all.
func (x index) seek(k core.Key) int {
	return sort.Search(x.n, func(i int) bool { return string(x.key(i)) > string(k[:]) }) - 1
}

// parseIndex checks order and that every handle lies before limit: entries
// point backwards only.
func parseIndex(name string, off int64, raw []byte, limit int64) (index, error) {
	n := int(le.Uint32(raw))
	if n < 0 || len(raw) != 4+n*indexEntry {
		return index{}, corrupt(name, off, "an index block of %d bytes with %d entries", len(raw), n)
	}
	x := index{raw, n}
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
	if got := blockCRC(seed, h.off, body); got != want {
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
