package layer

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"xenon/core"
	"xenon/core/env"
)

// An image layer, format version 0. Integers are little-endian, keys are their
// 18 bytes.
//
//	header   128 bytes   what the layer is
//	blocks               data blocks, then index leaves, then the index root
//	footer    64 bytes   where the root is
//
// A stored block is its bytes (as they are, or one zstd frame), a codec byte
// and a CRC-32C. A data block holds sorted values: a count, a directory of
// (key, end of value) and the values. An index block is a count and entries
// (first key, offset, stored length, raw length) of the blocks below it. The
// index has two levels: the root's entries are leaves, the leaves' entries are
// data blocks.
const (
	// Version is the format that this code writes and the only one it reads.
	Version = 0

	headerSize  = 128
	footerSize  = 64
	trailerSize = 5  // codec, CRC
	dirEntry    = 22 // key, end of the value from the first value's begin
	indexEntry  = 34 // key, offset, stored, raw

	// blockTarget is the raw size at which a block is closed: four pages. A
	// bigger one compresses better, and makes a cold page dearer.
	blockTarget = 32 << 10
	// MaxValue bounds one value, and with it what a reader allocates.
	MaxValue    = 64 << 20
	maxBlockRaw = MaxValue + blockTarget + 4 + dirEntry

	codecRaw  = 0
	codecZstd = 1
)

var (
	headerMagic = [8]byte{'X', 'E', 'N', 'O', 'N', 'I', 'M', 'G'}
	footerMagic = [4]byte{'X', 'E', 'N', 'D'}
	castagnoli  = crc32.MakeTable(crc32.Castagnoli)
	le          = binary.LittleEndian
)

// corrupt is an error that names the layer and the place in it.
func corrupt(layer string, off int64, format string, args ...any) error {
	return fmt.Errorf("layer %s at byte %d: %s: %w", layer, off, fmt.Sprintf(format, args...), env.ErrCorrupt)
}

func encodeHeader(id ImageID) (b [headerSize]byte) {
	copy(b[0:], headerMagic[:])
	le.PutUint16(b[8:], Version)
	le.PutUint16(b[10:], headerSize)
	b[12], b[13] = id.Shard.Number, id.Shard.Count
	copy(b[16:], id.Tenant[:])
	copy(b[32:], id.Timeline[:])
	copy(b[48:], id.Keys.Start[:])
	copy(b[66:], id.Keys.End[:])
	le.PutUint64(b[88:], uint64(id.LSN))
	le.PutUint32(b[124:], crc32.Checksum(b[:124], castagnoli))
	return b
}

// decodeHeader returns what the layer is and the header's CRC, which every
// block's CRC starts from.
func decodeHeader(name string, b []byte) (id ImageID, seed uint32, err error) {
	if len(b) < headerSize || [8]byte(b[:8]) != headerMagic {
		return id, 0, corrupt(name, 0, "not an image layer")
	}
	if v := le.Uint16(b[8:]); v != Version {
		return id, 0, fmt.Errorf("layer %s has format version %d, this program reads version %d: use the program that wrote it, or `xenon export`", name, v, Version)
	}
	seed = le.Uint32(b[124:])
	if got := crc32.Checksum(b[:124], castagnoli); got != seed {
		return id, 0, corrupt(name, 0, "header checksum is %08X, computed %08X", seed, got)
	}
	id.Shard = core.ShardID{Number: b[12], Count: b[13]}
	copy(id.Tenant[:], b[16:])
	copy(id.Timeline[:], b[32:])
	copy(id.Keys.Start[:], b[48:])
	copy(id.Keys.End[:], b[66:])
	id.LSN = core.LSN(le.Uint64(b[88:]))
	return id, seed, nil
}

// A handle says where a block is stored and how long it is unpacked.
type handle struct {
	off         int64
	stored, raw uint32 // stored is without the trailer
}

// end is the offset of the first byte after the block and its trailer.
func (h handle) end() int64 { return h.off + int64(h.stored) + trailerSize }

func (h handle) put(b []byte) {
	le.PutUint64(b, uint64(h.off))
	le.PutUint32(b[8:], h.stored)
	le.PutUint32(b[12:], h.raw)
}

func getHandle(b []byte) handle {
	return handle{int64(le.Uint64(b)), le.Uint32(b[8:]), le.Uint32(b[12:])}
}

// within refuses a handle that points outside [headerSize, end), before
// anything is allocated for it.
func (h handle) within(end int64) bool {
	return h.off >= headerSize && h.off < end && h.end() <= end && h.raw <= maxBlockRaw && h.raw >= 4
}

// A footer is the last thing in a file.
type footer struct {
	root   handle
	values uint64
	blocks uint32 // data blocks
	leaves uint32 // index leaves
	seed   uint32 // the header's CRC, so that both ends are of one file
	size   int64  // of the whole file
}

func (f footer) encode() (b [footerSize]byte) {
	f.root.put(b[0:])
	le.PutUint64(b[16:], f.values)
	le.PutUint32(b[24:], f.blocks)
	le.PutUint32(b[28:], f.leaves)
	le.PutUint32(b[32:], f.seed)
	le.PutUint64(b[40:], uint64(f.size))
	le.PutUint16(b[48:], Version)
	le.PutUint32(b[56:], crc32.Checksum(b[:56], castagnoli))
	copy(b[60:], footerMagic[:])
	return b
}

func decodeFooter(name string, b []byte, size int64) (f footer, err error) {
	at := size - footerSize
	if len(b) != footerSize || [4]byte(b[60:]) != footerMagic {
		return f, corrupt(name, at, "no footer: the file is cut short or not a layer")
	}
	if want, got := le.Uint32(b[56:]), crc32.Checksum(b[:56], castagnoli); want != got {
		return f, corrupt(name, at, "footer checksum is %08X, computed %08X", want, got)
	}
	f = footer{
		root: getHandle(b), values: le.Uint64(b[16:]), blocks: le.Uint32(b[24:]),
		leaves: le.Uint32(b[28:]), seed: le.Uint32(b[32:]), size: int64(le.Uint64(b[40:])),
	}
	if f.size != size {
		return f, corrupt(name, at, "the footer says %d bytes, the file has %d", f.size, size)
	}
	if !f.root.within(at) {
		return f, corrupt(name, at, "the index root is said to be at byte %d", f.root.off)
	}
	return f, nil
}

// blockCRC covers the layer's identity, the block's place and its bytes.
func blockCRC(seed uint32, off int64, storedAndCodec []byte) uint32 {
	var at [12]byte
	le.PutUint32(at[:], seed)
	le.PutUint64(at[4:], uint64(off))
	return crc32.Update(crc32.Checksum(at[:], castagnoli), castagnoli, storedAndCodec)
}
