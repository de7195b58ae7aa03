package layer

import (
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"xenon/core"
)

// A tableWriter writes the table of one layer file front to back. It holds one
// open data block, one open index leaf and the root, which has an entry for
// each megabyte or so of packed values: nothing that grows with the file
// noticeably.
type tableWriter struct {
	name  string
	w     io.Writer
	width int // bytes of a key
	pack  bool
	seed  uint32
	off   int64 // of the next stored byte

	first []byte // first key of the open block
	dir   []byte // of the open block
	data  []byte // of the open block

	leafFirst []byte
	leaf      []byte // entries of the open index leaf
	root      []byte // entries of the root

	buf  []byte // a raw block
	out  []byte // a stored block
	foot footer
}

// begin writes the header.
func (w *tableWriter) begin(to io.Writer, id identity, pack bool) error {
	core.Must(id.Shard.Count > 0, "layer %s: shard count 0", id.Name())
	h := encodeHeader(id)
	*w = tableWriter{name: id.Name(), w: to, width: id.width(), pack: pack, seed: le.Uint32(h[124:])}
	return w.write(h[:])
}

// room makes room for a value of size bytes under key k: the caller appends the
// value to data, then calls added.
func (w *tableWriter) room(k []byte, size int) error {
	if len(w.dir) > 0 && len(w.dir)+len(w.data)+size+w.width+dirEnd > blockTarget {
		if err := w.closeBlock(); err != nil {
			return err
		}
	}
	if len(w.dir) == 0 {
		w.first = append(w.first[:0], k...)
	}
	return nil
}

// added notes the value that was appended to data.
func (w *tableWriter) added(k []byte) {
	w.dir = append(w.dir, k...)
	w.dir = le.AppendUint32(w.dir, uint32(len(w.data)))
	w.foot.values++
}

// finish writes what is open, the index and the footer, and returns the size
// of the file.
func (w *tableWriter) finish() (int64, error) {
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

func (w *tableWriter) closeBlock() error {
	if len(w.dir) == 0 {
		return nil
	}
	w.buf = le.AppendUint32(w.buf[:0], uint32(len(w.dir)/(w.width+dirEnd)))
	w.buf = append(append(w.buf, w.dir...), w.data...)
	w.dir, w.data = w.dir[:0], w.data[:0]
	h, err := w.store(w.buf)
	if err != nil {
		return err
	}
	w.foot.blocks++
	if len(w.leaf) == 0 {
		w.leafFirst = append(w.leafFirst[:0], w.first...)
	}
	w.leaf = appendIndexEntry(w.leaf, w.first, h)
	if len(w.leaf)+w.width+handleSize+4 > blockTarget {
		return w.closeLeaf()
	}
	return nil
}

func (w *tableWriter) closeLeaf() error {
	if len(w.leaf) == 0 {
		return nil
	}
	h, err := w.store(w.indexBlock(w.leaf))
	w.leaf = w.leaf[:0]
	w.foot.leaves++
	w.root = appendIndexEntry(w.root, w.leafFirst, h)
	return err
}

func appendIndexEntry(b []byte, k []byte, h handle) []byte {
	b = append(b, k...)
	var enc [handleSize]byte
	h.put(enc[:])
	return append(b, enc[:]...)
}

func (w *tableWriter) indexBlock(entries []byte) []byte {
	w.buf = le.AppendUint32(w.buf[:0], uint32(len(entries)/(w.width+handleSize)))
	w.buf = append(w.buf, entries...)
	return w.buf
}

// store writes one block with its trailer.
func (w *tableWriter) store(raw []byte) (handle, error) {
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

func (w *tableWriter) write(b []byte) error {
	n, err := w.w.Write(b)
	w.off += int64(n)
	if err != nil {
		return fmt.Errorf("write layer %s at byte %d: %w", w.name, w.off, err)
	}
	return nil
}
