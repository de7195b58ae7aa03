package archive

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"

	"xenon/core"
	"xenon/core/env"
)

// A Source reads WAL at an LSN, all of p or an error.
type Source func(p []byte, at core.LSN) error

// Survey reads WAL [begin, end) of a segment once and makes the body of its
// object. look is shown all bytes in order and may refuse them. The bytes are
// read again when the body is: other ones then are an error.
func Survey(id core.TTID, begin, end core.LSN, read Source, look func(at core.LSN, b []byte) error) (*Body, error) {
	b := &Body{head: head{id: id, begin: begin, end: end}, read: read}
	buf := blockBuffers.Get().(*[blockSize]byte)
	defer blockBuffers.Put(buf)
	for at := begin; at < end; at += blockSize {
		part := buf[:min(end-at, blockSize)]
		if err := read(part, at); err != nil {
			return nil, err
		}
		if err := look(at, part); err != nil {
			return nil, err
		}
		b.head.sums = append(b.head.sums, crc32.Checksum(part, castagnoli))
	}
	return b, nil
}

// blockBuffers are buffers for blocks on their way.
var blockBuffers = sync.Pool{New: func() any { return new([blockSize]byte) }}

// A Body is an object that is about to be stored.
type Body struct {
	head head
	read Source
}

// Size is the length of the object.
func (b *Body) Size() int64 { return b.head.size() + int64(b.head.end-b.head.begin) }

// Open reads the object from its start.
func (b *Body) Open() (io.ReadCloser, error) {
	return &bodyReader{of: b, out: b.head.encode()}, nil
}

// A bodyReader makes an object block by block.
type bodyReader struct {
	of    *Body
	out   []byte // made and not read yet
	block int    // the next one
	buf   *[blockSize]byte
}

func (r *bodyReader) Read(p []byte) (int, error) {
	for len(r.out) == 0 {
		h := &r.of.head
		if r.block == len(h.sums) {
			return 0, io.EOF
		}
		at := h.begin + core.LSN(r.block)*blockSize
		if r.buf == nil {
			r.buf = blockBuffers.Get().(*[blockSize]byte)
		}
		part := r.buf[:min(h.end-at, blockSize)]
		if err := r.of.read(part, at); err != nil {
			return 0, err
		}
		if err := h.check(r.block, part); err != nil {
			return 0, fmt.Errorf("WAL changed while it was stored: %w", err)
		}
		r.out = part
		r.block++
	}
	n := copy(p, r.out)
	r.out = r.out[n:]
	return n, nil
}

func (r *bodyReader) Close() error {
	if r.buf != nil {
		blockBuffers.Put(r.buf)
		*r = bodyReader{of: r.of, block: len(r.of.head.sums)}
	}
	return nil
}

// ErrOther reports an object that holds something else than it should.
var ErrOther = errors.New("the object store has another one")

// PutSegment stores a whole segment under key, and returns nil once it is
// there, whoever stored it. It asks once: the caller tries again.
func PutSegment(ctx context.Context, s env.ObjectStore, key string, b *Body) error {
	_, err := s.Put(ctx, key, b, env.PutOpts{IfNoneMatch: true})
	if !errors.Is(err, env.ErrPrecondition) {
		return err
	}
	// It may be one's own, stored by a request whose answer was lost.
	there, err := readHead(ctx, s, key, b.head.id, b.head.begin, b.head.end)
	if err != nil {
		return err
	}
	for i, sum := range b.head.sums {
		if there.sums[i] != sum {
			return fmt.Errorf("%s: checksum %08X of the WAL from %s on, here it is %08X: %w",
				key, there.sums[i], b.head.begin+core.LSN(i)*blockSize, sum, ErrOther)
		}
	}
	return nil
}

// PutPartial stores a partial segment under a key that nobody has used before.
func PutPartial(ctx context.Context, s env.ObjectStore, key string, b *Body) error {
	_, err := s.Put(ctx, key, b, env.PutOpts{})
	return err
}

// readHead reads the head of an object and checks that the object is as long as
// it should be.
func readHead(ctx context.Context, s env.ObjectStore, key string, id core.TTID, begin, end core.LSN) (*head, error) {
	n := headSize(end - begin)
	body, meta, err := s.Get(ctx, key, env.GetOpts{Len: n})
	if err != nil {
		return nil, err
	}
	defer body.Close()
	if want := n + int64(end-begin); meta.Size != want {
		return nil, fmt.Errorf("object %s has %d bytes, want %d: %w", key, meta.Size, want, env.ErrCorrupt)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(body, b); err != nil {
		return nil, fmt.Errorf("read object %s: %w", key, err)
	}
	h, err := decodeHead(b, id, begin, end)
	if err != nil {
		return nil, fmt.Errorf("object %s: %w", key, err)
	}
	return h, nil
}
