package register

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"xenon/core/env"
)

// A register's object, format version 0, numbers little-endian:
//
//	magic "xenoregs", format version u16
//	version u64, nonce [16]byte
//	number of earlier nonces u8, they, the latest first
//	length of the payload u32, payload
//	CRC-32C of all before, u32
const (
	magic         = "xenoregs"
	formatVersion = 0
	fixedSize     = len(magic) + 2 + 8 + 16 + 1 + 4 + 4

	// keptNonces is how many writers before the last one can still be told
	// apart: one that reads back later than this many changes after its own
	// does not learn what became of it.
	keptNonces = 16
)

// MaxPayload is how many bytes a register holds at most, unless it was made
// by [NewSized]. Each read and each change moves all of them.
const MaxPayload = 1 << 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type nonce [16]byte

// content is what an object holds.
type content struct {
	version uint64 // 1 is the first
	nonce   nonce
	earlier []nonce // of the versions before, the latest first
	payload []byte
}

// wrote tells whether the version was written with n, if that can be told.
func (c *content) wrote(version uint64, n nonce) (yes, known bool) {
	if version > c.version {
		return false, false
	}
	back := c.version - version
	switch {
	case back == 0:
		return c.nonce == n, true
	case back <= uint64(len(c.earlier)):
		return c.earlier[back-1] == n, true
	}
	return false, false
}

// next is the content that follows c, of which the zero content is none.
func (c *content) next(n nonce, payload []byte) content {
	next := content{version: c.version + 1, nonce: n, payload: payload}
	if c.version > 0 {
		next.earlier = append([]nonce{c.nonce}, c.earlier[:min(len(c.earlier), keptNonces-1)]...)
	}
	return next
}

func (c *content) encode() []byte {
	b := make([]byte, 0, fixedSize+len(c.earlier)*len(nonce{})+len(c.payload))
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint16(b, formatVersion)
	b = binary.LittleEndian.AppendUint64(b, c.version)
	b = append(b, c.nonce[:]...)
	b = append(b, byte(len(c.earlier)))
	for _, n := range c.earlier {
		b = append(b, n[:]...)
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(c.payload)))
	b = append(b, c.payload...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// decode reads an object. The payload is a part of b.
func decode(b []byte) (c content, err error) {
	if len(b) < fixedSize || string(b[:len(magic)]) != magic {
		return c, fmt.Errorf("no register begins here: %w", env.ErrCorrupt)
	}
	body, sum := b[:len(b)-4], binary.LittleEndian.Uint32(b[len(b)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return c, fmt.Errorf("register fails its checksum: %w", env.ErrCorrupt)
	}
	body = body[len(magic):]
	if v := binary.LittleEndian.Uint16(body); v != formatVersion {
		return c, fmt.Errorf("register has format version %d, this program knows %d: use the program that wrote it", v, formatVersion)
	}
	c.version = binary.LittleEndian.Uint64(body[2:])
	copy(c.nonce[:], body[10:])
	count := int(body[26])
	body = body[27:]
	if count > keptNonces || len(body) < count*len(nonce{})+4 || c.version == 0 {
		return c, fmt.Errorf("register contradicts itself: %w", env.ErrCorrupt)
	}
	for range count {
		c.earlier = append(c.earlier, nonce(body))
		body = body[len(nonce{}):]
	}
	c.payload = body[4:]
	if size := binary.LittleEndian.Uint32(body); uint64(size) != uint64(len(c.payload)) {
		return c, fmt.Errorf("register has %d bytes of payload and says %d: %w", len(c.payload), size, env.ErrCorrupt)
	}
	return c, nil
}
