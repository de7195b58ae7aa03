package realio

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"sync"
	"time"

	"xenon/core/env"
	"xenon/core/xsync"
)

// An object's file, format version 0, numbers little-endian:
//
//	magic "xenobj", version u16
//	nonce [16]byte, payload size u64, modified u64 (Unix ns), key length u16, key
//	CRC-32C of all before, u32
//	the payload in blocks of 32 KiB, each followed by its CRC-32C, u32
//
// A block's checksum begins with the nonce and the block's number, so that no
// block of another object or another place passes.
const (
	objectMagic     = "xenobj"
	objectVersion   = 0
	fixedHeaderSize = 6 + 2 + 16 + 8 + 8 + 2
	crcSize         = 4
	objectBlock     = 32 << 10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type objectHeader struct {
	key      string
	nonce    [16]byte // the ETag
	size     int64    // of the payload
	modified time.Time
}

func (h *objectHeader) etag() env.ETag { return env.ETag(hex.EncodeToString(h.nonce[:])) }

func (h *objectHeader) meta() env.ObjectMeta {
	return env.ObjectMeta{Key: h.key, Size: h.size, ETag: h.etag(), Modified: h.modified}
}

// payloadAt is where the first block begins.
func (h *objectHeader) payloadAt() int64 { return int64(fixedHeaderSize + len(h.key) + crcSize) }

// fileSize is how long the whole file must be.
func (h *objectHeader) fileSize() int64 {
	blocks := (h.size + objectBlock - 1) / objectBlock
	return h.payloadAt() + h.size + blocks*crcSize
}

func (h *objectHeader) encode() []byte {
	b := make([]byte, 0, h.payloadAt())
	b = append(b, objectMagic...)
	b = binary.LittleEndian.AppendUint16(b, objectVersion)
	b = append(b, h.nonce[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.size))
	b = binary.LittleEndian.AppendUint64(b, uint64(h.modified.UnixNano()))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(h.key)))
	b = append(b, h.key...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// decodeObjectHeader reads the header at the start of b, which has at least
// the file's first maxHeaderSize bytes or all of them.
func decodeObjectHeader(b []byte) (h objectHeader, err error) {
	if len(b) < fixedHeaderSize || string(b[:6]) != objectMagic {
		return h, fmt.Errorf("no object begins here: %w", env.ErrCorrupt)
	}
	end := fixedHeaderSize + int(binary.LittleEndian.Uint16(b[40:]))
	if len(b) < end+crcSize || crc32.Checksum(b[:end], castagnoli) != binary.LittleEndian.Uint32(b[end:]) {
		return h, fmt.Errorf("header fails its checksum: %w", env.ErrCorrupt)
	}
	if v := binary.LittleEndian.Uint16(b[6:]); v != objectVersion {
		return h, fmt.Errorf("object has format version %d, this program knows %d: use the program that wrote it", v, objectVersion)
	}
	copy(h.nonce[:], b[8:])
	h.size = int64(binary.LittleEndian.Uint64(b[24:]))
	h.modified = time.Unix(0, int64(binary.LittleEndian.Uint64(b[32:])))
	h.key = string(b[fixedHeaderSize:end])
	return h, nil
}

const maxHeaderSize = fixedHeaderSize + maxKey + crcSize

// openObject opens the file of key and checks its header and length.
func (d *ObjectDir) openObject(name, key string) (env.File, objectHeader, error) {
	f, err := d.fs.Open(name, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, objectHeader{}, env.ErrNotFound
	}
	if err != nil {
		return nil, objectHeader{}, err
	}
	h, err := readObjectHeader(f, key)
	if err != nil {
		f.Close()
		return nil, objectHeader{}, fmt.Errorf("object file %s: %w", name, err)
	}
	return f, h, nil
}

func readObjectHeader(f env.File, key string) (objectHeader, error) {
	var buf [maxHeaderSize]byte
	n, err := f.ReadAt(buf[:], 0)
	if err != nil && err != io.EOF {
		return objectHeader{}, err
	}
	h, err := decodeObjectHeader(buf[:n])
	if err != nil {
		return h, err
	}
	if h.key != key {
		return h, fmt.Errorf("holds the object %q: %w", h.key, env.ErrCorrupt)
	}
	size, err := f.Size()
	if err == nil && (h.size < 0 || size != h.fileSize()) {
		err = fmt.Errorf("has %d bytes, not %d: %w", size, h.fileSize(), env.ErrCorrupt)
	}
	return h, err
}

// blockSum is the checksum of block number n of an object.
func blockSum(nonce [16]byte, n int64, block []byte) uint32 {
	var place [24]byte
	copy(place[:], nonce[:])
	binary.LittleEndian.PutUint64(place[16:], uint64(n))
	return crc32.Update(crc32.Checksum(place[:], castagnoli), castagnoli, block)
}

// blockBuffers hold one block and its checksum.
var blockBuffers = sync.Pool{New: func() any { return new([objectBlock + crcSize]byte) }}

// upload writes an object's file and makes its bytes durable.
func (d *ObjectDir) upload(ctx context.Context, name string, h objectHeader, body env.Body) (err error) {
	src, err := body.Open()
	if err != nil {
		return fmt.Errorf("open body: %w", err)
	}
	defer src.Close()
	f, err := d.fs.Open(name, env.Write|env.Create|env.Excl)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}()
	if _, err := f.WriteAt(h.encode(), 0); err != nil {
		return err
	}
	if err := writeBlocks(ctx, f, h, src); err != nil {
		return err
	}
	return f.Sync(env.SyncData)
}

func writeBlocks(ctx context.Context, f env.File, h objectHeader, src io.Reader) error {
	buf := blockBuffers.Get().(*[objectBlock + crcSize]byte)
	defer blockBuffers.Put(buf)
	at := h.payloadAt()
	for n, left := int64(0), h.size; left > 0; n++ {
		if err := xsync.Cause(ctx); err != nil {
			return err
		}
		size := min(left, objectBlock)
		if _, err := io.ReadFull(src, buf[:size]); err != nil {
			return fmt.Errorf("read body, %d bytes before its end: %w", left, err)
		}
		binary.LittleEndian.PutUint32(buf[size:], blockSum(h.nonce, n, buf[:size]))
		if _, err := f.WriteAt(buf[:size+crcSize], at); err != nil {
			return err
		}
		at += size + crcSize
		left -= size
	}
	if n, _ := src.Read(buf[:1]); n != 0 {
		return fmt.Errorf("the body is longer than the %d bytes it said: %w", h.size, fs.ErrInvalid)
	}
	return nil
}

// An objectReader reads a range of an object, checking each block.
type objectReader struct {
	f      env.File
	h      objectHeader
	off    int64 // of the next byte to give out
	end    int64 // of the range
	block  int64 // which block is in buf; -1 for none
	buf    *[objectBlock + crcSize]byte
	closed bool
}

func newObjectReader(f env.File, h objectHeader, o env.GetOpts) (*objectReader, error) {
	if o.Off < 0 || o.Len < 0 || o.Off > h.size {
		return nil, fmt.Errorf("range %d+%d of %d bytes: %w", o.Off, o.Len, h.size, fs.ErrInvalid)
	}
	end := h.size
	if o.Len > 0 && o.Len < h.size-o.Off {
		end = o.Off + o.Len
	}
	buf := blockBuffers.Get().(*[objectBlock + crcSize]byte)
	return &objectReader{f: f, h: h, off: o.Off, end: end, block: -1, buf: buf}, nil
}

func (r *objectReader) Read(p []byte) (int, error) {
	if r.closed {
		return 0, fs.ErrClosed
	}
	if r.off >= r.end {
		return 0, io.EOF
	}
	n := r.off / objectBlock
	size := min(r.h.size-n*objectBlock, objectBlock)
	if n != r.block {
		if err := r.load(n, size); err != nil {
			return 0, fmt.Errorf("object %q, block %d: %w", r.h.key, n, err)
		}
	}
	from := r.off - n*objectBlock
	to := min(size, r.end-n*objectBlock)
	copied := copy(p, r.buf[from:to])
	r.off += int64(copied)
	return copied, nil
}

// load reads block n of size bytes.
func (r *objectReader) load(n, size int64) error {
	r.block = -1
	_, err := r.f.ReadAt(r.buf[:size+crcSize], r.h.payloadAt()+n*(objectBlock+crcSize))
	if err == io.EOF {
		return fmt.Errorf("the file ends too early: %w", env.ErrCorrupt)
	}
	if err != nil {
		return err
	}
	if blockSum(r.h.nonce, n, r.buf[:size]) != binary.LittleEndian.Uint32(r.buf[size:]) {
		return fmt.Errorf("fails its checksum: %w", env.ErrCorrupt)
	}
	r.block = n
	return nil
}

func (r *objectReader) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	blockBuffers.Put(r.buf)
	return r.f.Close()
}
