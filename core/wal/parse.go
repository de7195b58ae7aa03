package wal

import (
	"encoding/binary"
	"hash/crc32"

	"xenon/core"
	"xenon/core/faults"
)

// Block ids with a meaning of their own, and the flags of a block reference
// (src/include/access/xlogrecord.h).
const (
	maxBlockID = 32 // XLR_MAX_BLOCK_ID

	idMainShort = 255
	idMainLong  = 254
	idOrigin    = 253
	idTopXID    = 252

	blockForkMask = 0x0F
	blockHasImage = 0x10
	blockHasData  = 0x20
	blockWillInit = 0x40
	blockSameRel  = 0x80
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// crcOf is CRC-32C, as PostgreSQL computes it (src/include/port/pg_crc32c.h).
func crcOf(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// recordCRC is xl_crc: the checksum of what follows the header, then of the
// header without the checksum itself.
func recordCRC(raw []byte) uint32 {
	return crc32.Update(crc32.Checksum(raw[RecordHeaderSize:], castagnoli), castagnoli, raw[:20])
}

// ParseRecord takes a record apart that is whole and without page headers. at
// is where it begins, for the error, which is an [*InvalidError]. The slices
// of r point into raw; those it had are used again. Start and End stay as they
// are: they cannot be known from raw.
func (v *Version) ParseRecord(raw []byte, at core.LSN, r *Record) error {
	le := binary.LittleEndian
	if len(raw) < RecordHeaderSize || int64(le.Uint32(raw)) != int64(len(raw)) {
		return invalid(BadLength, at, "record of %d bytes does not say so", len(raw))
	}
	unchecked := faults.On && faults.Hit(faults.RecordCRCUnchecked)
	if want, got := le.Uint32(raw[20:]), recordCRC(raw); want != got && !unchecked {
		return invalid(BadCRC, at, "record has checksum %08X, its bytes have %08X", want, got)
	}
	// Field by field: a whole Record is many bytes to clear and copy.
	r.Version, r.Blocks, r.Main, r.Raw = v, r.Blocks[:0], nil, raw
	r.Len, r.XID, r.Prev = uint32(len(raw)), le.Uint32(raw[4:]), core.LSN(le.Uint64(raw[8:]))
	r.Info, r.Rmgr = raw[16], RmgrID(raw[17])
	r.Origin, r.HasOrigin, r.TopXID = 0, false, 0
	p := parser{v: v, r: r, b: raw[RecordHeaderSize:], at: at}
	if err := p.headers(); err != nil {
		return err
	}
	p.payload()
	return nil
}

// A parser reads the list of headers at the front of a record. The sizes in it
// may all be rubbish: each is checked against what is left.
type parser struct {
	v  *Version
	r  *Record
	b  []byte // not read yet
	at core.LSN

	main  int // length of the main data
	total int // length of all data and images declared so far
}

func (p *parser) bad(format string, args ...any) error {
	return invalid(BadContent, p.at, format, args...)
}

func (p *parser) take(n int) ([]byte, bool) {
	if len(p.b) < n {
		return nil, false
	}
	b := p.b[:n]
	p.b = p.b[n:]
	return b, true
}

// headers reads the list. It has no end mark: it ends where the bytes left are
// just those declared.
func (p *parser) headers() error {
	le := binary.LittleEndian
	for len(p.b) > p.total {
		id := p.b[0]
		size := 0
		switch {
		case id <= maxBlockID:
			if err := p.block(id); err != nil {
				return err
			}
			continue
		case id == idMainShort:
			size = 1
		case id == idMainLong, id == idTopXID:
			size = 4
		case id == idOrigin:
			size = 2
		default:
			return p.bad("record has a block with the id %d", id)
		}
		h, ok := p.take(1 + size)
		if !ok {
			return p.bad("record ends in its headers")
		}
		switch id {
		case idMainShort:
			p.main = int(h[1])
		case idMainLong:
			p.main = int(le.Uint32(h[1:]))
		case idOrigin:
			p.r.Origin, p.r.HasOrigin = le.Uint16(h[1:]), true
		case idTopXID:
			p.r.TopXID = le.Uint32(h[1:])
		}
		if id >= idMainLong {
			// Main data is declared last.
			p.total += p.main
			break
		}
	}
	if len(p.b) != p.total {
		return p.bad("record holds %d bytes of data, its headers say %d", len(p.b), p.total)
	}
	return nil
}

// block reads one XLogRecordBlockHeader.
func (p *parser) block(id uint8) error {
	le := binary.LittleEndian
	if n := len(p.r.Blocks); n > 0 && p.r.Blocks[n-1].ID >= id {
		return p.bad("block %d follows block %d", id, p.r.Blocks[n-1].ID)
	}
	h, ok := p.take(4)
	if !ok {
		return p.bad("record ends in its headers")
	}
	flags, dataLen := h[1], le.Uint16(h[2:])
	if (flags&blockHasData != 0) != (dataLen != 0) {
		return p.bad("block %d: %d bytes of data contradict flags %02X", id, dataLen, flags)
	}
	blk := p.nextBlock()
	*blk = Block{ID: id, WillInit: flags&blockWillInit != 0, HasImage: flags&blockHasImage != 0}
	if blk.HasImage {
		if err := p.imageHeader(blk); err != nil {
			return err
		}
	}
	if err := p.relation(blk, flags); err != nil {
		return err
	}
	if dataLen != 0 {
		if blk.Data, ok = p.declare(int(dataLen)); !ok {
			return p.bad("block %d: %d bytes of data are more than the record has", id, dataLen)
		}
	}
	return nil
}

// nextBlock is the next element of the record's blocks, with what it held.
func (p *parser) nextBlock() *Block {
	n := len(p.r.Blocks)
	if n == cap(p.r.Blocks) {
		p.r.Blocks = append(p.r.Blocks, Block{})
	} else {
		p.r.Blocks = p.r.Blocks[:n+1]
	}
	return &p.r.Blocks[n]
}

// declare counts a piece of the payload. The slice has its length already; where
// it begins is known once all headers are read.
func (p *parser) declare(n int) ([]byte, bool) {
	if n > len(p.b) {
		return nil, false
	}
	p.total += n
	return p.b[:n], true
}

// imageHeader reads XLogRecordBlockImageHeader and, if there is one,
// XLogRecordBlockCompressHeader.
func (p *parser) imageHeader(blk *Block) error {
	le := binary.LittleEndian
	h, ok := p.take(5)
	if !ok {
		return p.bad("record ends in its headers")
	}
	length := le.Uint16(h)
	blk.HoleOffset, blk.ImageInfo = le.Uint16(h[2:]), h[4]
	flags := p.v.image
	if faults.On && faults.Hit(faults.ImagesOf15) {
		flags = image15
	}
	blk.ApplyImage = blk.ImageInfo&flags.apply != 0
	hole := blk.ImageInfo&flags.hole != 0
	compressed := blk.ImageInfo & flags.compressed()
	switch {
	case compressed == 0:
		if length > core.PageSize {
			return p.bad("block %d: image of %d bytes", blk.ID, length)
		}
		blk.HoleLen = core.PageSize - length
	case hole:
		c, ok := p.take(2)
		if !ok {
			return p.bad("record ends in its headers")
		}
		blk.HoleLen = le.Uint16(c)
	}
	if blk.Compression, ok = flags.compression(compressed); !ok {
		return p.bad("block %d: image has compression flags %02X", blk.ID, compressed)
	}
	if err := p.checkHole(blk, hole, length); err != nil {
		return err
	}
	if blk.Image, ok = p.declare(int(length)); !ok {
		return p.bad("block %d: image of %d bytes is more than the record has", blk.ID, length)
	}
	return nil
}

func (f imageFlags) compression(bits uint8) (Compression, bool) {
	switch bits {
	case 0:
		return Uncompressed, true
	case f.pglz:
		return PGLZ, true
	case f.lz4:
		return LZ4, true
	case f.zstd:
		return Zstd, true
	}
	return 0, false
}

// checkHole is what DecodeXLogRecord checks
// (src/backend/access/transam/xlogreader.c), and that the hole lies in the
// page.
func (p *parser) checkHole(blk *Block, hole bool, length uint16) error {
	end := int(blk.HoleOffset) + int(blk.HoleLen)
	switch {
	case hole && (blk.HoleOffset == 0 || blk.HoleLen == 0 || end > core.PageSize),
		!hole && (blk.HoleOffset != 0 || blk.HoleLen != 0):
		return p.bad("block %d: image of %d bytes with a hole of %d at %d contradicts flags %02X",
			blk.ID, length, blk.HoleLen, blk.HoleOffset, blk.ImageInfo)
	case blk.Compression != Uncompressed && (length == 0 || length >= core.PageSize):
		return p.bad("block %d: compressed image of %d bytes", blk.ID, length)
	}
	return nil
}

// relation reads which page the block is. It makes the relation in one piece:
// one that is copied right after its fields were written waits for them.
func (p *parser) relation(blk *Block, flags uint8) error {
	le := binary.LittleEndian
	fork := core.Fork(flags & blockForkMask)
	if flags&blockSameRel != 0 {
		h, ok := p.take(4)
		if !ok {
			return p.bad("record ends in its headers")
		}
		n := len(p.r.Blocks)
		if n == 1 {
			return p.bad("block %d: same relation as the block before, but there is none", blk.ID)
		}
		before := &p.r.Blocks[n-2].Rel
		blk.Rel = core.Rel{Spc: before.Spc, DB: before.DB, Node: before.Node, Fork: fork}
		blk.Block = le.Uint32(h)
		return nil
	}
	h, ok := p.take(16)
	if !ok {
		return p.bad("record ends in its headers")
	}
	blk.Rel = core.Rel{Spc: core.OID(le.Uint32(h)), DB: core.OID(le.Uint32(h[4:])), Node: core.OID(le.Uint32(h[8:])), Fork: fork}
	blk.Block = le.Uint32(h[12:])
	return nil
}

// payload cuts the data, whose length was found right, into its pieces.
func (p *parser) payload() {
	b := p.b
	for i := range p.r.Blocks {
		blk := &p.r.Blocks[i]
		if n := len(blk.Image); n > 0 {
			blk.Image, b = b[:n], b[n:]
		}
		if n := len(blk.Data); n > 0 {
			blk.Data, b = b[:n], b[n:]
		}
	}
	p.r.Main = b
}
