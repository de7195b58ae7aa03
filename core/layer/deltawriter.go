package layer

import (
	"hash/crc32"
	"io"

	"xenon/core"
)

const (
	// shareMin is from how many bytes on a record of several pages is stored
	// once. A shorter one is stored for each: a reader then finds it beside the
	// page's other versions, and compression takes most of the copies back.
	shareMin = 512
	// shareWindow is how many long records a writer remembers the keys of,
	// which bounds its memory; the copies of a record that it has forgotten are
	// stored in full.
	shareWindow = 1 << 14
)

// A DeltaWriter writes one delta layer, in ascending order of keys and, for
// each key, of LSNs. Its memory does not grow with the layer.
type DeltaWriter struct {
	t       tableWriter
	id      DeltaID
	lastKey core.Key // of the version added last
	lastLSN core.LSN
	shared  sharing
}

// NewDeltaWriter writes the header of layer id to w. The rules of [NewWriter]
// hold.
func NewDeltaWriter(w io.Writer, id DeltaID, pack bool) (*DeltaWriter, error) {
	wr := &DeltaWriter{id: id, shared: sharing{places: map[core.LSN]place{}}}
	return wr, wr.t.begin(w, id.identity(), pack)
}

// Size is the number of bytes written so far.
func (w *DeltaWriter) Size() int64 { return w.t.off }

// Add appends a version, whose data is copied. There is one at most of a key
// at an LSN, and at most one record ends at an LSN. Versions out of order or
// outside the layer's ranges are a bug of the caller.
func (w *DeltaWriter) Add(k core.Key, v Version) error {
	if !w.id.Keys.Contains(k) || !w.id.LSNs.Contains(v.LSN) || w.t.foot.values > 0 && !w.follows(k, v.LSN) {
		core.Must(false, "layer %s: key %s at %s added after %s at %s", w.id.Name(), k, v.LSN, w.lastKey, w.lastLSN)
	}
	if !v.Kind.known() || v.Kind == KindGone && len(v.Data) > 0 || !v.Kind.record() && v.Start != 0 {
		core.Must(false, "layer %s: key %s at %s: kind %d with start %s and %d bytes", w.id.Name(), k, v.LSN, v.Kind, v.Start, len(v.Data))
	}
	if len(v.Data) > MaxValue-recordHead {
		return tooLong(w.t.name, k, v.Data)
	}
	key := deltaKey(k, v.LSN)
	holder, shared := w.shared.find(k, v)
	size := recordHead + len(v.Data)
	if shared {
		size = 1 + core.KeySize
	}
	if err := w.t.room(key[:], size); err != nil {
		return err
	}
	if shared {
		w.t.data = appendShared(w.t.data, v.Kind, holder)
	} else {
		w.t.data = appendValue(w.t.data, v.Value)
	}
	w.t.added(key[:])
	w.lastKey, w.lastLSN = k, v.LSN
	return nil
}

// follows tells whether a version comes after the last one.
func (w *DeltaWriter) follows(k core.Key, lsn core.LSN) bool {
	c := w.lastKey.Compare(k)
	return c < 0 || c == 0 && w.lastLSN < lsn
}

// Finish writes what is open, the index and the footer, and returns the size
// of the file.
func (w *DeltaWriter) Finish() (int64, error) { return w.t.finish() }

// sharing remembers under which key a long record is stored.
type sharing struct {
	places map[core.LSN]place // by the record's end
	recent []core.LSN         // ring of the ends in places
	oldest int                // the one to be forgotten next
}

// A place is where a record is stored, and how it is known again.
type place struct {
	key   core.Key
	start core.LSN
	size  int
	crc   uint32
}

// find is the key under which a record is stored already. If there is none,
// this key is it from now on.
func (s *sharing) find(k core.Key, v Version) (holder core.Key, ok bool) {
	if !v.Kind.record() || len(v.Data) < shareMin {
		return k, false
	}
	now := place{k, v.Start, len(v.Data), crc32.Checksum(v.Data, castagnoli)}
	if p, ok := s.places[v.LSN]; ok {
		now.key = p.key
		return p.key, now == p
	}
	if len(s.recent) < shareWindow {
		s.recent = append(s.recent, v.LSN)
	} else {
		delete(s.places, s.recent[s.oldest])
		s.recent[s.oldest] = v.LSN
		s.oldest = (s.oldest + 1) % shareWindow
	}
	s.places[v.LSN] = now
	return k, false
}
