package waltool

import (
	"fmt"

	"xenon/core"
	"xenon/core/wal"
)

// A Stream is WAL that a safekeeper sends: what is committed of a branch.
type Stream struct {
	Format wal.Format
	// Begin is where the branch's own WAL begins; what lies before is its
	// parent's.
	Begin core.LSN
	// Committed is how far the WAL was committed when the stream was made: who
	// does not follow stops there.
	Committed core.LSN
	// Open begins to read at an LSN. Next gives the bytes that follow, valid
	// until its next call; it waits for them, until Done is closed.
	Open func(at core.LSN) (next func() ([]byte, error), err error)
}

// stream calls f for each record of a stream until it returns false.
func (c *Scan) stream(s *Source, f func(*wal.Record) (bool, error)) (End, error) {
	st := s.Stream
	start := max(c.Start, st.Begin)
	if c.Start != 0 && c.Start < st.Begin {
		return End{}, fmt.Errorf("%s has no WAL at %s: it begins at %s, what is before that is its parent's", s.Name, c.Start, st.Begin)
	}
	if start > st.Committed && !c.Follow {
		return End{}, fmt.Errorf("%s has no WAL at %s: it is committed up to %s", s.Name, start, st.Committed)
	}
	next, err := st.Open(start)
	if err != nil {
		return End{}, err
	}
	d, end := wal.NewDecoder(st.Format, start, 0), start
	for n := 1; ; {
		rec, ok, err := d.Next()
		switch {
		case err != nil:
			return End{LSN: end, Stop: fmt.Sprintf("the safekeeper sent what is no WAL: %v", err), Damaged: true}, nil
		case ok && c.End != 0 && rec.Start >= c.End:
			return End{LSN: rec.Start, Stop: fmt.Sprintf("the end that was asked for, %s", c.End), Asked: true}, nil
		case ok:
			if n++; n%progressEvery == 0 && c.Progress != nil {
				c.Progress(int64(rec.End-start), int64(st.Committed-start))
			}
			if end = rec.End; !c.Follow && c.End == 0 && rec.Start >= st.Committed {
				return committed(end), nil
			}
			if goOn, err := f(rec); err != nil || !goOn {
				return End{LSN: end, Stop: "as many as were asked for", Asked: true}, err
			}
			continue
		case !c.Follow && d.Pos() >= st.Committed:
			return committed(end), nil
		}
		b, err := next()
		if err != nil {
			if c.asked() {
				return End{LSN: end, Stop: "interrupted", Asked: true}, nil
			}
			return End{LSN: end}, err
		}
		if err := d.Feed(d.Pos(), b); err != nil {
			return End{LSN: end}, err
		}
	}
}

func committed(end core.LSN) End {
	return End{LSN: end, Stop: fmt.Sprintf("all that is committed, up to %s", end)}
}

// asked tells whether the caller wants no more.
func (c *Scan) asked() bool {
	select {
	case <-c.Done:
		return true
	default:
		return false
	}
}
