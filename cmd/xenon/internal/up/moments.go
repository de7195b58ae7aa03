package up

import (
	"context"
	"fmt"
	"time"

	"xenon/cmd/xenon/internal/branch"
	"xenon/cmd/xenon/internal/moment"
	"xenon/core"
	"xenon/core/wal"
)

// resolve is the LSN at which a branch was as it was at a moment: the newest
// is whatever was acknowledged before the question.
func (m *branches) resolve(ctx context.Context, b branch.Branch, at moment.Moment) (core.LSN, error) {
	if !at.Time.IsZero() {
		if err := checkTime(b, at.Time, time.Now()); err != nil {
			return 0, err
		}
	}
	end, err := m.end(ctx, b)
	switch {
	case err != nil:
		return 0, err
	case !at.Time.IsZero():
		return m.lsnAt(ctx, b, at.Time, end)
	case at.LSN != 0:
		return at.LSN, checkLSN(b, at.LSN, end)
	}
	return end, nil
}

// startAt is where a server begins that sees a branch as of an LSN.
func startAt(b branch.Branch, lsn core.LSN) core.LSN {
	return wal.Format{SegmentSize: b.SegmentSize}.RoundUp(lsn)
}

// end is the newest LSN of a branch that is known to be committed.
func (m *branches) end(ctx context.Context, b branch.Branch) (core.LSN, error) {
	ours, err := m.newest(ctx, b)
	if err != nil {
		return 0, err
	}
	if ours != 0 {
		return ours, nil
	}
	theirs, err := m.cluster.Committed(ctx, b.TTID())
	if err != nil {
		return 0, fmt.Errorf("ask how far branch %s goes: %w", b.Name, err)
	}
	return max(theirs, b.Start), nil
}

// checkLSN refuses an LSN that a branch does not have.
func checkLSN(b branch.Branch, lsn, end core.LSN) error {
	switch {
	case lsn > end:
		return fmt.Errorf("LSN %s is beyond the end of branch %s, which is at %s", lsn, b.Name, end)
	case lsn < b.Start:
		return fmt.Errorf("LSN %s is before branch %s began, at %s%s", lsn, b.Name, b.Start, elsewhere(b))
	}
	return nil
}

// checkTime refuses a time at which a branch was not there.
func checkTime(b branch.Branch, t, now time.Time) error {
	switch {
	case t.After(now):
		return fmt.Errorf("%s is ahead: it is %s", t.Format(time.RFC3339), now.Format(time.RFC3339))
	case t.Before(b.Created):
		return fmt.Errorf("%s is before branch %s began, at %s%s", t.Format(time.RFC3339), b.Name, b.Created.In(t.Location()).Format(time.RFC3339), elsewhere(b))
	}
	return nil
}

// elsewhere says who may have what came before a branch.
func elsewhere(b branch.Branch) string {
	if b.Parent == "" {
		return ""
	}
	return fmt.Sprintf(": ask its parent, %s", b.Parent)
}

// lsnPatience is how long a question for a time waits for the pageserver to
// know of all commits up to now.
const lsnPatience = 30 * time.Second

// lsnAt is the LSN of a branch at a time, which is not before it began. The
// pageserver knows the times of commits as far as it has come.
func (m *branches) lsnAt(ctx context.Context, b branch.Branch, t time.Time, end core.LSN) (core.LSN, error) {
	if err := m.awaitPages(ctx, b, end); err != nil {
		return 0, err
	}
	lsn, kind, err := m.cluster.LSNAt(ctx, b.TTID(), t)
	if err != nil {
		return 0, fmt.Errorf("find branch %s at %s: %w", b.Name, t.Format(time.RFC3339), err)
	}
	switch {
	case kind == "past" && b.Created.IsZero():
		return 0, fmt.Errorf("%s is before the first commit of branch %s", t.Format(time.RFC3339), b.Name)
	case kind == "past" || kind == "nodata":
		return b.Start, nil // it was there, and nobody had written to it
	}
	return max(lsn, b.Start), nil
}

// awaitPages waits until the pageserver has a branch up to an LSN.
func (m *branches) awaitPages(ctx context.Context, b branch.Branch, lsn core.LSN) error {
	format := wal.Format{SegmentSize: b.SegmentSize}
	ctx, cancel := context.WithTimeout(ctx, lsnPatience)
	defer cancel()
	for {
		info, err := m.cluster.Pages(ctx, b.TTID())
		if err == nil && format.Reached(info.LastRecord, lsn) {
			return nil
		}
		if ctx.Err() != nil {
			if err == nil {
				err = fmt.Errorf("it is at %s", info.LastRecord)
			}
			return fmt.Errorf("the pageserver does not have branch %s up to %s within %v: %w", b.Name, lsn, lsnPatience, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Millisecond):
		}
	}
}
