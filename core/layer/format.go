package layer

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"xenon/core"
	"xenon/core/env"
)

// A layer file, format version 0. Integers are little-endian, but for those in
// keys, which are ordered as bytes.
//
//	header   128 bytes   what the layer is
//	blocks               data blocks and index leaves, then the index root
//	footer    64 bytes   where the root is
//
// A file is a table of sorted values. The key of an image layer's table is the
// 18 bytes of a [core.Key], the value is the key's; the key of a delta layer's
// table is those 18 bytes and 8 of the LSN, big-endian, and value.go has its
// values.
//
// A stored block is its bytes (as they are, or one zstd frame), a codec byte
// and a CRC-32C. A data block holds sorted values: a count, a directory of
// (key, end of value) and the values. An index block is a count and entries
// (first key, offset, stored length, raw length) of the blocks below it. The
// index has two levels: the root's entries are leaves, the leaves' entries are
// data blocks.
const (
	// FormatVersion is the format that this code writes and the only one it reads.
	FormatVersion = 0

	headerSize  = 128
	footerSize  = 64
	trailerSize = 5 // codec, CRC

	imageWidth = core.KeySize     // of a key in the table of an image layer
	deltaWidth = core.KeySize + 8 // of one in the table of a delta layer
	dirEnd     = 4                // beside the key in a directory: end of the value from the first value's begin
	handleSize = 16               // beside the key in an index: offset, stored, raw

	// blockTarget is the raw size at which a block is closed: four pages. A
	// bigger one compresses better, and makes a cold page dearer.
	blockTarget = 32 << 10
	// MaxValue bounds one value, and with it what a reader allocates.
	MaxValue    = 64 << 20
	maxBlockRaw = MaxValue + blockTarget

	codecRaw  = 0
	codecZstd = 1
)

var (
	imageMagic  = [8]byte{'X', 'E', 'N', 'O', 'N', 'I', 'M', 'G'}
	deltaMagic  = [8]byte{'X', 'E', 'N', 'O', 'N', 'D', 'L', 'T'}
	footerMagic = [4]byte{'X', 'E', 'N', 'D'}
	castagnoli  = crc32.MakeTable(crc32.Castagnoli)
	le          = binary.LittleEndian
	be          = binary.BigEndian
)

// corrupt is an error that names the layer and the place in it.
func corrupt(layer string, off int64, format string, args ...any) error {
	return fmt.Errorf("layer %s at byte %d: %s: %w", layer, off, fmt.Sprintf(format, args...), env.ErrCorrupt)
}

// An identity is what a header says: whose layer it is, and of what.
type identity struct {
	core.TTID
	Shard core.ShardID
	Extent
}

func (id identity) String() string {
	return fmt.Sprintf("%s of %s shard %s", id.Name(), id.TTID, id.Shard)
}

// width is the size of a key in the layer's table.
func (id identity) width() int {
	if id.Delta {
		return deltaWidth
	}
	return imageWidth
}

func encodeHeader(id identity) (b [headerSize]byte) {
	magic := imageMagic
	if id.Delta {
		magic = deltaMagic
		le.PutUint64(b[96:], uint64(id.LSNs.End))
	}
	copy(b[0:], magic[:])
	le.PutUint16(b[8:], FormatVersion)
	le.PutUint16(b[10:], headerSize)
	b[12], b[13] = id.Shard.Number, id.Shard.Count
	copy(b[16:], id.Tenant[:])
	copy(b[32:], id.Timeline[:])
	copy(b[48:], id.Keys.Start[:])
	copy(b[66:], id.Keys.End[:])
	le.PutUint64(b[88:], uint64(id.LSNs.Start))
	le.PutUint32(b[124:], crc32.Checksum(b[:124], castagnoli))
	return b
}

// decodeHeader returns what the layer is and the header's CRC, which every
// block's CRC starts from.
func decodeHeader(name string, b []byte) (id identity, seed uint32, err error) {
	if len(b) < headerSize || [8]byte(b[:8]) != imageMagic && [8]byte(b[:8]) != deltaMagic {
		return id, 0, corrupt(name, 0, "neither an image nor a delta layer")
	}
	if v := le.Uint16(b[8:]); v != FormatVersion {
		return id, 0, fmt.Errorf("layer %s has format version %d, this program reads version %d: use the program that wrote it, or `xenon export`", name, v, FormatVersion)
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
	lsn := core.LSN(le.Uint64(b[88:]))
	id.LSNs = LSNRange{lsn, lsn + 1}
	if id.Delta = [8]byte(b[:8]) == deltaMagic; id.Delta {
		id.LSNs.End = core.LSN(le.Uint64(b[96:]))
	}
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
	le.PutUint16(b[48:], FormatVersion)
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
