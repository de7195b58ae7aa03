package wal

import (
	"encoding/binary"
	"fmt"
	"math"

	"xenon/core"
)

// AppendRecord appends the bytes of a record without page headers, made of XID,
// Rmgr, Info, Prev, origin, Blocks and Main. Of a block's image it reads
// Image, Compression, ApplyImage and the hole. Block ids must ascend. It is
// the inverse of [Version.ParseRecord].
func (v *Version) AppendRecord(dst []byte, r *Record) ([]byte, error) {
	le := binary.LittleEndian
	begin := len(dst)
	dst = append(dst, make([]byte, RecordHeaderSize)...)
	dst, err := v.appendHeaders(dst, r)
	if err != nil {
		return dst[:begin], err
	}
	for i := range r.Blocks {
		dst = append(dst, r.Blocks[i].Image...)
		dst = append(dst, r.Blocks[i].Data...)
	}
	dst = append(dst, r.Main...)
	raw := dst[begin:]
	if len(raw) > MaxRecordSize {
		return dst[:begin], fmt.Errorf("WAL record of %d bytes, want %d at most", len(raw), MaxRecordSize)
	}
	le.PutUint32(raw, uint32(len(raw)))
	le.PutUint32(raw[4:], r.XID)
	raw[16], raw[17] = r.Info, uint8(r.Rmgr)
	seal(raw, r.Prev)
	return dst, nil
}

// seal links a record to the one before and sets its checksum.
func seal(raw []byte, prev core.LSN) {
	binary.LittleEndian.PutUint64(raw[8:], uint64(prev))
	binary.LittleEndian.PutUint32(raw[20:], recordCRC(raw))
}

func (v *Version) appendHeaders(dst []byte, r *Record) ([]byte, error) {
	le := binary.LittleEndian
	if !r.Rmgr.Valid() {
		return dst, fmt.Errorf("WAL record of %s", r.Rmgr)
	}
	for i := range r.Blocks {
		b := &r.Blocks[i]
		if i > 0 && r.Blocks[i-1].ID >= b.ID {
			return dst, fmt.Errorf("WAL record: block %d follows block %d", b.ID, r.Blocks[i-1].ID)
		}
		same := i > 0 && sameRelation(r.Blocks[i-1].Rel, b.Rel)
		var err error
		if dst, err = v.appendBlock(dst, b, same); err != nil {
			return dst, err
		}
	}
	if r.HasOrigin {
		dst = le.AppendUint16(append(dst, idOrigin), r.Origin)
	}
	if r.TopXID != 0 {
		dst = le.AppendUint32(append(dst, idTopXID), r.TopXID)
	}
	switch n := len(r.Main); {
	case n > math.MaxUint8:
		dst = le.AppendUint32(append(dst, idMainLong), uint32(min(uint64(n), math.MaxUint32)))
	case n > 0:
		dst = append(dst, idMainShort, uint8(n))
	}
	return dst, nil
}

// sameRelation compares all but the fork, which each block header names.
func sameRelation(a, b core.Rel) bool {
	a.Fork = b.Fork
	return a == b
}

func (v *Version) appendBlock(dst []byte, b *Block, same bool) ([]byte, error) {
	le := binary.LittleEndian
	if b.ID > maxBlockID || b.Rel.Fork > blockForkMask || len(b.Data) > math.MaxUint16 {
		return dst, fmt.Errorf("WAL record: block %d, fork %d with %d bytes of data", b.ID, b.Rel.Fork, len(b.Data))
	}
	flags := uint8(b.Rel.Fork)
	for _, f := range [...]struct {
		on  bool
		bit uint8
	}{{b.HasImage, blockHasImage}, {len(b.Data) > 0, blockHasData}, {b.WillInit, blockWillInit}, {same, blockSameRel}} {
		if f.on {
			flags |= f.bit
		}
	}
	dst = le.AppendUint16(append(dst, b.ID, flags), uint16(len(b.Data)))
	if b.HasImage {
		if err := v.checkImage(b); err != nil {
			return dst, err
		}
		dst = le.AppendUint16(dst, uint16(len(b.Image)))
		dst = le.AppendUint16(dst, b.HoleOffset)
		dst = append(dst, v.image.encode(b))
		if b.Compression != Uncompressed && b.HoleLen > 0 {
			dst = le.AppendUint16(dst, b.HoleLen)
		}
	} else if len(b.Image) > 0 {
		return dst, fmt.Errorf("WAL record: block %d has an image but says it has none", b.ID)
	}
	if !same {
		for _, oid := range [...]core.OID{b.Rel.Spc, b.Rel.DB, b.Rel.Node} {
			dst = le.AppendUint32(dst, uint32(oid))
		}
	}
	return le.AppendUint32(dst, b.Block), nil
}

func (v *Version) checkImage(b *Block) error {
	if b.Compression != Uncompressed && v.image.encode(b)&v.image.compressed() == 0 {
		return fmt.Errorf("WAL record: block %d has a %s image, which %s cannot read", b.ID, b.Compression, v)
	}
	n, full := len(b.Image), core.PageSize-int(b.HoleLen)
	if b.Compression == Uncompressed && n != full || b.Compression != Uncompressed && (n == 0 || n >= core.PageSize) {
		return fmt.Errorf("WAL record: block %d has a %s image of %d bytes and a hole of %d", b.ID, b.Compression, n, b.HoleLen)
	}
	return nil
}

// An Encoder writes records one after the other, with the page headers and
// links between them.
type Encoder struct {
	f    Format
	pos  core.LSN // the next byte written
	prev core.LSN
	raw  []byte
}

// NewEncoder makes an encoder that writes its first byte at f.RoundUp(at). prev
// is the start of the record before, 0 if there is none. The header of the
// page is written if at is its first byte; else it stands there already.
//
// It panics if f.Check does not hold.
func NewEncoder(f Format, at, prev core.LSN) *Encoder {
	err := f.Check()
	core.Must(err == nil, "encoder made with %v", err)
	return &Encoder{f: f, pos: f.RoundUp(at), prev: prev}
}

// Pos is where the next byte goes: the end of the last record.
func (e *Encoder) Pos() core.LSN { return e.pos }

// Prev is the start of the last record.
func (e *Encoder) Prev() core.LSN { return e.prev }

// Append appends to dst the bytes from Pos to the end of r, padding included,
// and sets r's Start, End, Prev and Len. A [XLOGSwitch] record fills its
// segment with zeroes; PostgreSQL writes none at a segment's first byte.
func (e *Encoder) Append(dst []byte, r *Record) ([]byte, error) {
	r.Prev = e.prev
	raw, err := e.f.Version.AppendRecord(e.raw[:0], r)
	if err != nil {
		return dst, err
	}
	e.raw = raw
	r.Len = uint32(len(raw))
	r.Start = e.f.RecordStart(e.pos)
	dst = e.write(dst, raw)
	e.prev = r.Start
	if r.isSwitch() {
		end := e.f.segmentEnd(e.pos)
		dst = append(dst, make([]byte, end-e.pos)...)
		e.pos = end
	}
	r.End = e.pos
	return dst, nil
}

// write appends raw with the headers of the pages it lies on and the padding
// behind it.
func (e *Encoder) write(dst, raw []byte) []byte {
	cont := false
	for len(raw) > 0 {
		if pageOf(e.pos) == e.pos {
			dst = e.header(dst, cont, len(raw))
		}
		n := min(len(raw), pageRoom(e.pos))
		dst = append(dst, raw[:n]...)
		raw, cont = raw[n:], true
		e.pos += core.LSN(n)
	}
	for ; e.pos != e.pos.Align(); e.pos++ {
		dst = append(dst, 0)
	}
	return dst
}

func (e *Encoder) header(dst []byte, cont bool, rem int) []byte {
	info := uint16(0)
	if cont {
		info = FirstIsContRecord
	} else {
		rem = 0
	}
	n := e.f.HeaderSize(e.pos)
	dst = e.f.appendPageHeader(dst, e.pos, info, uint32(rem))
	e.pos += core.LSN(n)
	return dst
}
