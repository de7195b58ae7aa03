package safekeeper

import (
	"context"
	"fmt"
	"time"

	"xenon/consensus/safekeeper/archive"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
	"xenon/core/xsync"
)

// What a deleted timeline leaves in the object store.
//
// Its WAL there is of no use to anybody: nobody reads WAL across a branch point,
// and a timeline with children is not deleted. So every safekeeper that has a
// tombstone for good deletes all of it, also what others stored: one of them is
// the last to hear of the deletion, and stores nothing after its tombstone. A
// request from before may still take effect late; so a safekeeper looks again,
// and is done once it finds nothing a while later.

const (
	// leftoverAgain is how long after its first look a safekeeper looks again.
	leftoverAgain = 2 * time.Minute
	// leftoverRetry is the pause after a look that failed.
	leftoverRetry = 10 * time.Second
)

// A leftover is a deleted timeline whose WAL may be in the object store.
type leftover struct {
	first, next env.Instant // when it was looked at first, and is to be looked at next
	failed      bool
}

// sweepLeftovers deletes WAL of deleted timelines in the object store, until ctx
// ends.
func (n *Node) sweepLeftovers(ctx context.Context) error {
	if n.e.Objects() == nil {
		return nil
	}
	known := map[core.TTID]*leftover{}
	for {
		if err := n.e.Clock().Sleep(ctx, storeEvery); err != nil {
			return err
		}
		for _, id := range n.unswept() {
			now, x := n.e.Clock().Mono(), known[id]
			if x == nil {
				x = &leftover{first: now, next: now}
				known[id] = x
			}
			if now < x.next {
				continue
			}
			if n.sweepLeftover(ctx, id, x) {
				delete(known, id)
			}
			if ctx.Err() != nil {
				return xsync.Cause(ctx)
			}
		}
	}
}

// unswept lists the timelines that are deleted for good and may have WAL in the
// object store.
func (n *Node) unswept() (ids []core.TTID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range n.roster.Timelines {
		if e.Deleted && e.Excluded == 0 && e.Copying == 0 && !e.Swept {
			ids = append(ids, e.ttid())
		}
	}
	return ids
}

// sweepLeftover looks once; done tells that there is nothing, and will be
// nothing.
func (n *Node) sweepLeftover(ctx context.Context, id core.TTID, x *leftover) (done bool) {
	if faults.On && faults.Hit(faults.LeftoversStay) {
		return false
	}
	step, cancel := xsync.WithTimeout(ctx, n.e, storePatience)
	defer cancel()
	now := n.e.Clock().Mono()
	gone, err := n.deleteArchive(step, id)
	last := now.Sub(x.first) >= leftoverAgain
	if err == nil && gone == 0 && last {
		err = n.markSwept(id)
		done = err == nil
	}
	if err != nil && !x.failed && ctx.Err() == nil {
		n.e.Log().Warn("WAL of a deleted timeline is left in the object store for now", "timeline", id.String(), "error", err)
	}
	if gone > 0 {
		n.e.Log().Info("WAL of a deleted timeline left the object store", "timeline", id.String(), "objects", gone)
	}
	x.failed = err != nil
	switch now = n.e.Clock().Mono(); {
	case err != nil:
		x.next = now.Add(leftoverRetry)
	case last: // it came late; what else may?
		x.next = now.Add(leftoverAgain)
	default:
		x.next = x.first.Add(leftoverAgain)
	}
	return done
}

// deleteArchive deletes all objects of a timeline's WAL, and says how many.
func (n *Node) deleteArchive(ctx context.Context, id core.TTID) (gone int, err error) {
	prefix := archive.Prefix(id)
	for o := (env.ListOpts{Prefix: prefix}); ; {
		page, err := n.store.List(ctx, o)
		if err != nil {
			return gone, fmt.Errorf("list objects %s*: %w", prefix, err)
		}
		for _, m := range page.Objects {
			if err := n.store.Delete(ctx, m.Key); err != nil {
				return gone, fmt.Errorf("delete %s: %w", m.Key, err)
			}
			gone++
		}
		if page.Next == "" {
			return gone, nil
		}
		o.Token = page.Next
	}
}

// markSwept notes that nothing is left.
func (n *Node) markSwept(id core.TTID) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	next := n.roster.clone()
	if e := next.entry(id); e != nil && e.Deleted && e.Excluded == 0 {
		e.Swept = true
	}
	return n.saveRoster(next)
}
