package layer

import (
	"fmt"
	"io"

	"xenon/core"
)

// A Writer writes one image layer, in ascending order of keys.
type Writer struct {
	t    tableWriter
	id   ImageID
	last core.Key // the key added last
}

// NewWriter writes the header of layer id to w. With pack, blocks are
// compressed where that saves an eighth or more. The caller syncs or closes w
// after Finish; w gets one Write for each block.
func NewWriter(w io.Writer, id ImageID, pack bool) (*Writer, error) {
	wr := &Writer{id: id}
	return wr, wr.t.begin(w, id.identity(), pack)
}

// Size is the number of bytes written so far.
func (w *Writer) Size() int64 { return w.t.off }

// Add appends a value, which is copied. Keys out of order or outside the
// layer's range are a bug of the caller.
func (w *Writer) Add(k core.Key, value []byte) error {
	if !w.id.Keys.Contains(k) || w.t.foot.values > 0 && w.last.Compare(k) >= 0 {
		core.Must(false, "layer %s: key %s added after %s", w.id.Name(), k, w.last)
	}
	if len(value) > MaxValue {
		return tooLong(w.t.name, k, value)
	}
	if err := w.t.room(k[:], len(value)); err != nil {
		return err
	}
	w.t.data = append(w.t.data, value...)
	w.t.added(k[:])
	w.last = k
	return nil
}

// tooLong refuses a value that a reader would refuse.
func tooLong(layer string, k core.Key, value []byte) error {
	return fmt.Errorf("layer %s: value of key %s has %d bytes, the limit is %d", layer, k, len(value), MaxValue)
}

// Finish writes what is open, the index and the footer, and returns the size
// of the file.
func (w *Writer) Finish() (int64, error) { return w.t.finish() }
