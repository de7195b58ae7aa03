package verify

import (
	"fmt"
	"io"
	"io/fs"
	"path"

	"xenon/core"
	"xenon/core/wal"
)

// findSegments finds the file of every segment in wal/. Where PostgreSQL
// changed its timeline the new one's first segment begins as a copy of the old
// one's, and what the old one has beyond is not part of the cluster: so the
// highest timeline that has a segment is the one to read. It returns the
// format of all of them.
func (v *verifier) findSegments(f wal.Format) (wal.Format, error) {
	list, err := fs.ReadDir(v.fsys, "wal")
	if err != nil {
		return f, fmt.Errorf("read the WAL of the corpus: %w", err)
	}
	v.segments = map[uint64]string{}
	for _, e := range list { // ascending, so that a later timeline comes last
		tli, seg, ok := core.ParseSegmentName(e.Name(), f.SegmentSize)
		if !ok {
			continue // a history
		}
		v.segments[seg] = path.Join("wal", e.Name())
		if tli != f.TimelineID {
			f.TimelineID = 0 // pages of any
		}
	}
	return f, nil
}

// readWAL replays all segments from start on. A flaw in the WAL is its end, if
// no later segment is there.
func (v *verifier) readWAL(f wal.Format, start core.LSN) error {
	f, err := v.findSegments(f)
	if err != nil {
		return err
	}
	d := wal.NewDecoder(f, start, 0)
	for {
		seg := d.Pos().Segment(f.SegmentSize)
		name, ok := v.segments[seg]
		if !ok && v.res.Records > 0 {
			return nil
		}
		if !ok {
			return fmt.Errorf("the WAL of the corpus has no segment at %s: %w", start, fs.ErrNotExist)
		}
		b, err := v.readSegment(name, int(f.SegmentSize))
		if err != nil {
			return err
		}
		if err := d.Feed(d.Pos(), b[d.Pos().SegmentOffset(f.SegmentSize):]); err != nil {
			return err
		}
		stop, err := v.replay(d)
		if err != nil {
			return err
		}
		if stop != nil {
			if v.goesOn(f, seg+1) {
				return fmt.Errorf("the WAL ends within the corpus: %w", stop)
			}
			return nil
		}
	}
}

// readSegment is a whole segment, good until the next call: the decoder keeps
// nothing of what it was fed once it asks for more.
func (v *verifier) readSegment(name string, size int) ([]byte, error) {
	f, err := v.fsys.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read the WAL of the corpus: %w", err)
	}
	defer f.Close()
	r, ok := f.(io.ReaderAt)
	if !ok {
		return nil, fmt.Errorf("read %s: the file system has no ReadAt", name)
	}
	if cap(v.segment) < size {
		v.segment = make([]byte, size)
	}
	if n, err := r.ReadAt(v.segment[:size], 0); n < size {
		return nil, fmt.Errorf("%s has %d bytes, want %d: %w", name, n, size, err)
	}
	return v.segment[:size], nil
}

// goesOn tells whether a segment holds WAL: a server makes segments ahead.
func (v *verifier) goesOn(f wal.Format, seg uint64) bool {
	name, ok := v.segments[seg]
	if !ok {
		return false
	}
	b, err := fs.ReadFile(v.fsys, name)
	if err != nil || len(b) < wal.LongHeaderSize {
		return false
	}
	_, err = f.ParsePageHeader(b[:wal.LongHeaderSize], core.SegmentStart(seg, f.SegmentSize))
	return err == nil
}
