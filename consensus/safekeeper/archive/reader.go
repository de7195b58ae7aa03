package archive

import (
	"context"
	"fmt"
	"io"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
)

// A Reader reads WAL of a timeline out of whole segments, best in order. It
// keeps one object open.
type Reader struct {
	store env.ObjectStore
	id    core.TTID
	size  uint32 // of a segment
	open  *object
}

// NewReader is a reader of segments of size bytes. Close ends it.
func NewReader(s env.ObjectStore, id core.TTID, size uint32) *Reader {
	return &Reader{store: s, id: id, size: size}
}

// Read fills p with WAL from lsn on, up to the end of its segment. A segment
// that is not stored is env.ErrNotFound; what fails its checksum is named, an
// env.ErrCorrupt, and nothing of it is returned.
func (r *Reader) Read(ctx context.Context, p []byte, lsn core.LSN) (int, error) {
	seg := lsn.Segment(r.size)
	begin := core.SegmentStart(seg, r.size)
	if r.open == nil || r.open.head.begin != begin {
		r.Close()
		o, err := openObject(ctx, r.store, SegmentKey(r.id, seg, r.size), r.id, begin, core.SegmentStart(seg+1, r.size))
		if err != nil {
			return 0, err
		}
		r.open = o
	}
	n, err := r.open.read(ctx, p, lsn)
	if err != nil {
		r.Close()
	}
	return n, err
}

// Close lets go of what is open.
func (r *Reader) Close() {
	if r.open != nil {
		r.open.close()
		r.open = nil
	}
}

// ReadPartial gives the WAL of a partial segment to take, in order and checked.
func ReadPartial(ctx context.Context, s env.ObjectStore, id core.TTID, p Partial, size uint32, take func(at core.LSN, b []byte) error) error {
	o, err := openObject(ctx, s, p.Key(id, size), id, core.SegmentStart(p.Segment, size), p.Flush)
	if err != nil {
		return err
	}
	defer o.close()
	buf := make([]byte, blockSize)
	for at := o.head.begin; at < o.head.end; {
		n, err := o.read(ctx, buf, at)
		if err == nil {
			err = take(at, buf[:n])
		}
		if err != nil {
			return err
		}
		at += core.LSN(n)
	}
	return nil
}

// An object is one that is read.
type object struct {
	store env.ObjectStore
	key   string
	head  *head
	body  io.ReadCloser // nil if none is open; it stands behind block
	block int           // which one buf has, -1 for none
	buf   []byte
}

func openObject(ctx context.Context, s env.ObjectStore, key string, id core.TTID, begin, end core.LSN) (*object, error) {
	h, err := readHead(ctx, s, key, id, begin, end)
	if err != nil {
		return nil, fmt.Errorf("WAL from %s on: %w", begin, err)
	}
	return &object{store: s, key: key, head: h, block: -1}, nil
}

func (o *object) close() {
	if o.body != nil {
		o.body.Close()
		o.body = nil
	}
}

// read copies WAL from lsn on to p, up to the end of a block.
func (o *object) read(ctx context.Context, p []byte, lsn core.LSN) (int, error) {
	off := lsn - o.head.begin
	if block := int(off / blockSize); block != o.block {
		if err := o.load(ctx, block); err != nil {
			return 0, fmt.Errorf("object %s: %w", o.key, err)
		}
	}
	return copy(p, o.buf[off%blockSize:]), nil
}

// load reads a block and checks it.
func (o *object) load(ctx context.Context, block int) error {
	if o.body == nil || block != o.block+1 {
		o.close()
		body, _, err := o.store.Get(ctx, o.key, env.GetOpts{Off: o.head.size() + int64(block)*blockSize})
		if err != nil {
			return err
		}
		o.body = body
	}
	o.block = -1
	if o.buf == nil {
		o.buf = make([]byte, blockSize)
	}
	o.buf = o.buf[:min(o.head.end-o.head.begin-core.LSN(block)*blockSize, blockSize)]
	if _, err := io.ReadFull(o.body, o.buf); err != nil {
		return err
	}
	if err := o.head.check(block, o.buf); err != nil && !(faults.On && faults.Hit(faults.ArchiveUnchecked)) {
		return err
	}
	if o.block = block; block == len(o.head.sums)-1 {
		o.close()
	}
	return nil
}
