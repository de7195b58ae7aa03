package compute

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"xenon/compute/filetree"
	"xenon/compute/intake"
	"xenon/compute/pageclient"
	"xenon/core"
	"xenon/core/pageserver/bootset"
	"xenon/core/wal"
	"xenon/core/wire/http1"
	"xenon/core/xsync"
)

// A read-only endpoint shows a branch as it was at one LSN (Config.Static). It
// boots there as any other, and then nothing it does counts: it takes no
// register, asks no safekeeper, and its WAL stays on its scratch disk, where
// it is durable enough for a server of which nothing is kept. Nobody has to be
// fenced for it, and any number of them may run.

// ErrNoSuchMoment reports an LSN of a read-only endpoint that its branch does
// not have.
var ErrNoSuchMoment = errors.New("the branch has no such moment")

// staticPatience is how long a read-only endpoint waits for a pageserver to
// have its LSN. What was ever committed arrives much sooner.
const staticPatience = 20 * time.Second

// staticSettings make a server what its users expect of the past: they may
// turn the first off, and write what vanishes with the server.
func staticSettings() []Setting {
	return []Setting{{"default_transaction_read_only", "on"}, {"autovacuum", "off"}}
}

func (ep *Endpoint) static() bool { return ep.cfg.Static != 0 }

// lookBack fetches what a server needs that starts at the LSN of a read-only
// endpoint, rounded up as that of a branch is.
func (l *life) lookBack(ctx context.Context) (*bootset.Set, error) {
	ep := l.ep
	ep.note("waiting for the pageserver to have %s", ep.cfg.Static)
	at, err := ep.reached(ctx)
	if err != nil {
		return nil, err
	}
	set, err := ep.fetchBoot(ctx, at)
	if err != nil {
		return nil, unlessThere(err)
	}
	l.quorum = newScratchLog(at)
	ep.say(func(s *Status) { s.Start = at })
	return set, nil
}

// unlessThere tells what the pageserver will never have from what it cannot
// give now.
func unlessThere(err error) error {
	var status *http1.StatusError
	if errors.As(err, &status) && status.Status < 500 {
		return fmt.Errorf("%w: %w", ErrNoSuchMoment, err)
	}
	return err
}

// reached waits until the pageserver has the LSN of a read-only endpoint, and
// returns where a server starts there.
func (ep *Endpoint) reached(ctx context.Context) (core.LSN, error) {
	wait, cancel := xsync.WithTimeout(ctx, ep.env, staticPatience)
	defer cancel()
	var last core.LSN
	for {
		now, err := pageclient.FetchPosition(wait, ep.env, ep.cfg.Pageserver, ep.cfg.TTID)
		if err == nil {
			f := wal.Format{SegmentSize: now.SegmentSize}
			at := f.RoundUp(ep.cfg.Static)
			if last = now.Last; f.Reached(last, at) {
				return at, nil
			}
			err = ep.env.Clock().Sleep(wait, 50*time.Millisecond)
		}
		switch {
		case err == nil:
		case xsync.Cause(ctx) != nil:
			return 0, xsync.Cause(ctx)
		case last != 0:
			return 0, fmt.Errorf("%w: LSN %s is beyond the end of branch %s, which is at %s", ErrNoSuchMoment, ep.cfg.Static, ep.cfg.Branch, last)
		default:
			return 0, unlessThere(err)
		}
	}
}

// staticFiles are the settings files of a read-only server: the branch's own,
// which are left as they are.
func (ep *Endpoint) staticFiles(ctx context.Context, files []bootset.File) ([]bootset.File, error) {
	for _, name := range filetree.KeptFiles {
		content, there, err := KeptFile(ctx, ep.env, ep.registers(), name)
		if err != nil {
			return nil, err
		}
		if there {
			files = override(files, name, content)
		}
	}
	return files, nil
}

// keeper is where settings files go that the server replaces. Those of a
// read-only one vanish with it.
func (ep *Endpoint) keeper() filetree.KeepFunc {
	if ep.static() {
		return func(context.Context, string, []byte) error { return nil }
	}
	return ep.keep
}

// A scratchLog is the quorum of a read-only server: it has none.
type scratchLog struct{ end atomic.Uint64 }

var _ intake.Quorum = (*scratchLog)(nil)

func newScratchLog(at core.LSN) *scratchLog {
	l := &scratchLog{}
	l.end.Store(uint64(at))
	return l
}

// Offer implements intake.Quorum.
func (l *scratchLog) Offer(begin core.LSN, b []byte) error {
	core.Must(begin == l.Committed(), "WAL offered from %s, the log ends at %s", begin, l.Committed())
	l.end.Store(uint64(begin) + uint64(len(b)))
	return nil
}

// Committed implements intake.Quorum.
func (l *scratchLog) Committed() core.LSN { return core.LSN(l.end.Load()) }

// AwaitCommit implements intake.Quorum.
func (l *scratchLog) AwaitCommit(context.Context, core.LSN) error { return nil }
