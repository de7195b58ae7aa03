package wal

import (
	"encoding/binary"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
)

// A Compression is how a page image is stored in a record.
type Compression uint8

// The compressions that wal_compression chooses.
const (
	Uncompressed Compression = iota
	PGLZ
	LZ4 // the raw block format
	Zstd
)

func (c Compression) String() string {
	return [...]string{"uncompressed", "pglz", "lz4", "zstd"}[c&3]
}

// zstdFrames decodes whole frames. It is made when the program starts: it
// holds a channel, which must belong to no simulated world.
var zstdFrames = func() *zstd.Decoder {
	// A page's frame needs no more than the page; the limit is for rubbish.
	d, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(64<<10), zstd.WithDecoderLowmem(true))
	core.Must(err == nil, "zstd decoder: %v", err)
	return d
}()

// RestoreImage writes the page that b's image shows to dst. Its LSN is the one
// from before the record, and its checksum is stale. The error matches
// env.ErrCorrupt.
func RestoreImage(b *Block, dst *[core.PageSize]byte) error {
	hole, end := int(b.HoleOffset), int(b.HoleOffset)+int(b.HoleLen)
	if !b.HasImage || end > core.PageSize {
		return fmt.Errorf("block %d (%s block %d): no usable image: %w", b.ID, b.Rel, b.Block, env.ErrCorrupt)
	}
	page := dst[:core.PageSize-int(b.HoleLen)]
	n, err := b.unpack(page)
	if err == nil && n != len(page) {
		err = fmt.Errorf("%d bytes, want %d", n, len(page))
	}
	if err != nil {
		return fmt.Errorf("block %d (%s block %d): %s image: %v: %w", b.ID, b.Rel, b.Block, b.Compression, err, env.ErrCorrupt)
	}
	if b.HoleLen > 0 {
		copy(dst[end:], page[hole:])
		if !(faults.On && faults.Hit(faults.HoleKept)) {
			clear(dst[hole:end])
		}
	}
	return nil
}

// unpack fills dst from the stored image; it returns how many bytes there are.
func (b *Block) unpack(dst []byte) (int, error) {
	switch b.Compression {
	case Uncompressed:
		return max(copy(dst, b.Image), len(b.Image)), nil
	case PGLZ:
		return decodePGLZ(dst, b.Image)
	case LZ4:
		return decodeLZ4(dst, b.Image)
	case Zstd:
		out, err := zstdFrames.DecodeAll(b.Image, dst[:0:len(dst)])
		return len(out), err
	}
	return 0, fmt.Errorf("unknown compression %d", b.Compression)
}

// ImageOpts say what an image is for.
type ImageOpts struct {
	// Apply: redo must restore the image, not only check by it.
	Apply bool
	// Standard: the page has the standard layout, so that the bytes between its
	// lower and upper bounds mean nothing and are left out. Never true of the
	// visibility map.
	Standard bool
}

// SetImage makes page the image of b, uncompressed
// (src/backend/access/transam/xloginsert.c, XLogRecordAssemble). The image
// points into page unless a hole is left out.
func (b *Block) SetImage(v *Version, page *[core.PageSize]byte, o ImageOpts) {
	b.HasImage, b.ApplyImage, b.Compression = true, o.Apply, Uncompressed
	b.HoleOffset, b.HoleLen, b.Image = 0, 0, page[:]
	lower := binary.LittleEndian.Uint16(page[12:])
	upper := binary.LittleEndian.Uint16(page[14:])
	if o.Standard && lower >= 24 && upper > lower && upper <= core.PageSize {
		b.HoleOffset, b.HoleLen = lower, upper-lower
		b.Image = append(append(make([]byte, 0, core.PageSize-int(b.HoleLen)), page[:lower]...), page[upper:]...)
	}
	b.ImageInfo = v.image.encode(b)
}

// encode is the bimg_info that says what b's other fields say.
func (f imageFlags) encode(b *Block) (info uint8) {
	if b.HoleLen > 0 {
		info |= f.hole
	}
	if b.ApplyImage {
		info |= f.apply
	}
	return info | [...]uint8{0, f.pglz, f.lz4, f.zstd}[b.Compression&3]
}
