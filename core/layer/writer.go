package layer

import (
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"xenon/core"
)

// A Writer writes one image layer, in ascending order of keys.
type Writer struct {
	id   ImageID
	w    io.Writer
	pack bool
	seed uint32
	off  int64 // of the next stored byte

	last  core.Key // the key added last
	first core.Key // first key of the open block
	dir   []byte   // of the open block
	data  []byte   // of the open block

	leafFirst core.Key
	leaf      []byte // entries of the open index leaf
	root      []byte // entries of the root

	buf  []byte // a raw block
	out  []byte // a stored block
	foot footer
}

// NewWriter writes the header of layer id to w. With pack, blocks are
// compressed where that saves an eighth or more. The caller syncs or closes w
// after Finish; w gets one Write for each block.
func NewWriter(w io.Writer, id ImageID, pack bool) (*Writer, error) {
	core.Must(id.Shard.Count > 0, "layer %s: shard count 0", id.Name())
	h := encodeHeader(id)
	wr := &Writer{id: id, w: w, pack: pack, seed: le.Uint32(h[124:])}
	return wr, wr.write(h[:])
}

// Size is the number of bytes written so far.
func (w *Writer) Size() int64 { return w.off }

// Add appends a value, which is copied. Keys out of order or outside the
// layer's range are a bug of the caller.
func (w *Writer) Add(k core.Key, value []byte) error {
	core.Must(w.id.Keys.Contains(k), "layer %s: key %s lies outside", w.id.Name(), k)
	core.Must(w.foot.values == 0 || w.last.Compare(k) < 0, "layer %s: key %s after %s", w.id.Name(), k, w.last)
	if len(value) > MaxValue {
		return fmt.Errorf("layer %s: value of key %s has %d bytes, the limit is %d", w.id.Name(), k, len(value), MaxValue)
	}
	if len(w.dir) > 0 && len(w.dir)+len(w.data)+len(value)+dirEntry > blockTarget {
		if err := w.closeBlock(); err != nil {
			return err
		}
	}
	if len(w.dir) == 0 {
		w.first = k
	}
	w.data = append(w.data, value...)
	w.dir = append(w.dir, k[:]...)
	w.dir = le.AppendUint32(w.dir, uint32(len(w.data)))
	w.last = k
	w.foot.values++
	return nil
}

// Finish writes what is open, the index and the footer, and returns the size
// of the file.
func (w *Writer) Finish() (int64, error) {
	if err := w.closeBlock(); err != nil {
		return 0, err
	}
	if err := w.closeLeaf(); err != nil {
		return 0, err
	}
	var err error
	if w.foot.root, err = w.store(w.indexBlock(w.root)); err != nil {
		return 0, err
	}
	w.foot.seed = w.seed
	w.foot.size = w.off + footerSize
	b := w.foot.encode()
	return w.foot.size, w.write(b[:])
}

func (w *Writer) closeBlock() error {
	if len(w.dir) == 0 {
		return nil
	}
	w.buf = le.AppendUint32(w.buf[:0], uint32(len(w.dir)/dirEntry))
	w.buf = append(append(w.buf, w.dir...), w.data...)
	w.dir, w.data = w.dir[:0], w.data[:0]
	h, err := w.store(w.buf)
	if err != nil {
		return err
	}
	w.foot.blocks++
	if len(w.leaf) == 0 {
		w.leafFirst = w.first
	}
	w.leaf = appendIndexEntry(w.leaf, w.first, h)
	if len(w.leaf)+indexEntry+4 > blockTarget {
		return w.closeLeaf()
	}
	return nil
}

func (w *Writer) closeLeaf() error {
	if len(w.leaf) == 0 {
		return nil
	}
	h, err := w.store(w.indexBlock(w.leaf))
	w.leaf = w.leaf[:0]
	w.foot.leaves++
	w.root = appendIndexEntry(w.root, w.leafFirst, h)
	return err
}

func appendIndexEntry(b []byte, k core.Key, h handle) []byte {
	b = append(b, k[:]...)
	n := len(b)
	b = append(b, make([]byte, indexEntry-core.KeySize)...)
	h.put(b[n:])
	return b
}

func (w *Writer) indexBlock(entries []byte) []byte {
	w.buf = le.AppendUint32(w.buf[:0], uint32(len(entries)/indexEntry))
	w.buf = append(w.buf, entries...)
	return w.buf
}

// store writes one block with its trailer.
func (w *Writer) store(raw []byte) (handle, error) {
	codec := byte(codecRaw)
	w.out = w.out[:0]
	if w.pack {
		e := encoders.Get().(*zstd.Encoder)
		w.out = e.EncodeAll(raw, w.out)
		encoders.Put(e)
		codec = codecZstd
	}
	if codec == codecRaw || len(w.out) > len(raw)-len(raw)/8 {
		codec = codecRaw
		w.out = append(w.out[:0], raw...)
	}
	h := handle{off: w.off, stored: uint32(len(w.out)), raw: uint32(len(raw))}
	w.out = append(w.out, codec)
	w.out = le.AppendUint32(w.out, blockCRC(w.seed, h.off, w.out))
	return h, w.write(w.out)
}

func (w *Writer) write(b []byte) error {
	n, err := w.w.Write(b)
	w.off += int64(n)
	if err != nil {
		return fmt.Errorf("write layer %s at byte %d: %w", w.id.Name(), w.off, err)
	}
	return nil
}

// A Buffer collects a layer in memory; it is the env.Body of the Put that
// follows.
type Buffer struct {
	chunks [][]byte
	size   int64
}

const bufferChunk = 1 << 20

// Write appends b; it never fails.
func (b *Buffer) Write(p []byte) (int, error) {
	n := len(p)
	b.size += int64(n)
	for len(p) > 0 {
		if k := len(b.chunks); k == 0 || len(b.chunks[k-1]) == cap(b.chunks[k-1]) {
			b.chunks = append(b.chunks, make([]byte, 0, bufferChunk))
		}
		last := &b.chunks[len(b.chunks)-1]
		take := min(len(p), cap(*last)-len(*last))
		*last = append(*last, p[:take]...)
		p = p[take:]
	}
	return n, nil
}

// Size is the number of bytes written.
func (b *Buffer) Size() int64 { return b.size }

// Open reads the bytes from the first on.
func (b *Buffer) Open() (io.ReadCloser, error) {
	return io.NopCloser(&bufferReader{chunks: b.chunks}), nil
}

type bufferReader struct{ chunks [][]byte }

func (r *bufferReader) Read(p []byte) (int, error) {
	if len(r.chunks) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.chunks[0])
	rest := r.chunks[0][n:]
	r.chunks = append([][]byte{rest}, r.chunks[1:]...)
	if len(rest) == 0 {
		r.chunks = r.chunks[1:]
	}
	return n, nil
}
