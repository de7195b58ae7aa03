package archive

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"xenon/core"
	"xenon/core/env"
)

// An object is a head and the WAL itself:
//
//	8 bytes   magic
//	4 bytes   format version, little-endian, as all numbers
//	4 bytes   bytes of a block
//	16 + 16   tenant and timeline
//	8 bytes   LSN of the first byte of WAL, a segment's start
//	8 bytes   LSN behind the last
//	4 bytes   for each block, the last one may be short: CRC-32C of it
//	4 bytes   CRC-32C of all before
//	WAL
const (
	magic   = "xnwalob\n"
	version = 0
	// blockSize is what is read at least to check a byte.
	blockSize = 64 << 10
	fixedHead = 64
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A head says what an object holds.
type head struct {
	id         core.TTID
	begin, end core.LSN
	sums       []uint32 // of the blocks
}

// headSize is the length of the head of an object with n bytes of WAL.
func headSize(n core.LSN) int64 { return fixedHead + 4*int64(blocks(n)) + 4 }

func blocks(n core.LSN) int { return int((n + blockSize - 1) / blockSize) }

func (h *head) size() int64 { return headSize(h.end - h.begin) }

func (h *head) encode() []byte {
	le := binary.LittleEndian
	b := make([]byte, 0, h.size())
	b = append(b, magic...)
	b = le.AppendUint32(b, version)
	b = le.AppendUint32(b, blockSize)
	b = append(b, h.id.Tenant[:]...)
	b = append(b, h.id.Timeline[:]...)
	b = le.AppendUint64(b, uint64(h.begin))
	b = le.AppendUint64(b, uint64(h.end))
	for _, sum := range h.sums {
		b = le.AppendUint32(b, sum)
	}
	return le.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// decodeHead reads the head of the object that should hold WAL of id from begin
// to end. Its errors are env.ErrCorrupt, but for a version that a newer program
// wrote.
func decodeHead(b []byte, id core.TTID, begin, end core.LSN) (*head, error) {
	le := binary.LittleEndian
	if int64(len(b)) != headSize(end-begin) {
		return nil, fmt.Errorf("a head of %d bytes, want %d: %w", len(b), headSize(end-begin), env.ErrCorrupt)
	}
	if got := string(b[:len(magic)]); got != magic {
		return nil, fmt.Errorf("begins with %q, want %q: %w", got, magic, env.ErrCorrupt)
	}
	if v := le.Uint32(b[8:]); v != version {
		return nil, fmt.Errorf("format version %d, this program reads version %d", v, version)
	}
	last := len(b) - 4
	if want, got := le.Uint32(b[last:]), crc32.Checksum(b[:last], castagnoli); want != got {
		return nil, fmt.Errorf("checksum %08X of its head, want %08X: %w", got, want, env.ErrCorrupt)
	}
	h := &head{begin: core.LSN(le.Uint64(b[48:])), end: core.LSN(le.Uint64(b[56:]))}
	copy(h.id.Tenant[:], b[16:])
	copy(h.id.Timeline[:], b[32:])
	if h.id != id || h.begin != begin || h.end != end || le.Uint32(b[12:]) != blockSize {
		return nil, fmt.Errorf("it holds WAL of %s from %s to %s: %w", h.id, h.begin, h.end, env.ErrCorrupt)
	}
	for at := fixedHead; at < last; at += 4 {
		h.sums = append(h.sums, le.Uint32(b[at:]))
	}
	return h, nil
}

// check compares a block with its checksum.
func (h *head) check(block int, b []byte) error {
	if got := crc32.Checksum(b, castagnoli); got != h.sums[block] {
		return fmt.Errorf("checksum %08X of the WAL from %s on, want %08X: %w",
			got, h.begin+core.LSN(block)*blockSize, h.sums[block], env.ErrCorrupt)
	}
	return nil
}

// Decode reads a whole object, whose key is only for errors, and checks all of
// it. The WAL is part of b.
func Decode(key string, b []byte) (id core.TTID, begin core.LSN, wal []byte, err error) {
	if len(b) < fixedHead {
		return id, 0, nil, fmt.Errorf("object %s: %d bytes: %w", key, len(b), env.ErrCorrupt)
	}
	le := binary.LittleEndian
	copy(id.Tenant[:], b[16:])
	copy(id.Timeline[:], b[32:])
	begin, end := core.LSN(le.Uint64(b[48:])), core.LSN(le.Uint64(b[56:]))
	if end < begin || uint64(end-begin) > uint64(len(b)) || headSize(end-begin)+int64(end-begin) != int64(len(b)) {
		return id, begin, nil, fmt.Errorf("object %s: %d bytes for WAL from %s to %s: %w", key, len(b), begin, end, env.ErrCorrupt)
	}
	n := headSize(end - begin)
	h, err := decodeHead(b[:n], id, begin, end)
	for at := core.LSN(0); err == nil && at < end-begin; at += blockSize {
		err = h.check(int(at/blockSize), b[n:][at:min(at+blockSize, end-begin)])
	}
	if err != nil {
		return id, begin, nil, fmt.Errorf("object %s: %w", key, err)
	}
	return id, begin, b[n:], nil
}
