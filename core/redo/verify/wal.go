package verify

import (
	"errors"
	"fmt"
	"io"

	"xenon/core"
	"xenon/core/wal"
	"xenon/core/wal/segments"
)

// readWAL replays all records of wal/ from start on. A flaw in the WAL is its
// end, unless there is more behind it.
func (v *verifier) readWAL(f wal.Format, start core.LSN) error {
	set, err := segments.Open(v.fsys, "wal", 0)
	if err != nil {
		return fmt.Errorf("read the WAL of the corpus: %w", err)
	}
	if g := set.Format; g.Version != f.Version || g.SystemID != f.SystemID || g.SegmentSize != f.SegmentSize {
		return fmt.Errorf("wal/ is of another cluster than initial/: %s, system %d, segments of %d bytes; want %s, %d, %d",
			g.Version, g.SystemID, g.SegmentSize, f.Version, f.SystemID, f.SegmentSize)
	}
	r := set.NewReader(start)
	defer r.Close()
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return v.ended(r)
		}
		if err != nil {
			return fmt.Errorf("read the WAL of the corpus: %w", err)
		}
		if err := v.record(rec); err != nil {
			return err
		}
	}
}

// ended tells whether the place where a reader stopped is the end of the WAL.
func (v *verifier) ended(r *segments.Reader) error {
	var missing *segments.MissingError
	switch next, more := r.GoesOn(r.End()); {
	case v.res.Records == 0:
		return fmt.Errorf("the WAL of the corpus has no record at %s: %w", r.End(), r.Stop())
	case more || errors.As(r.Stop(), &missing) && missing.Gap:
		return fmt.Errorf("the WAL ends within the corpus, and goes on at %s: %w", next, r.Stop())
	}
	return nil
}
