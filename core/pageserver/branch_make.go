package pageserver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
	"xenon/core/pageserver/remote"
	"xenon/core/xsync"
)

// Making and deleting branches. The parent's index names the child before the
// child's index exists, and forgets it only after the child has its tombstone:
// whoever finds a timeline's index may rely on its ancestor's naming it, and on
// nobody's deleting the ancestor meanwhile. What was cut short in between is a
// name in the parent's index of a child that is not there; making the child
// again uses it, deleting the child or the parent removes it.

// A branchRequest asks for a branch.
type branchRequest struct {
	child  core.TimelineID
	lsn    core.LSN // of its parent, as the user gave it
	who    string   // asks, for those who look at the objects
	wait   time.Duration
	parent *Timeline
	owner  *remote.Owner // of parent
}

// point is where the branch begins: at the LSN asked for, or where the next
// record could begin. The parent must get there.
func (q *branchRequest) point(ctx context.Context) (core.LSN, error) {
	p := q.parent
	at := p.ctl.Format().RoundUp(q.lsn)
	if at < p.index.LSN {
		return 0, fmt.Errorf("%w: branch at %s: timeline %s begins at %s", ErrBadLSN, q.lsn, p.id, p.index.LSN)
	}
	if faults.On && faults.Hit(faults.BranchTooEarly) {
		return at, nil
	}
	if err := p.Wait(ctx, at, q.wait); err != nil {
		return 0, fmt.Errorf("branch at %s: %w", q.lsn, err)
	}
	return at, nil
}

// make makes the branch durably, or finds it as it is to be. The owner is nil
// if somebody made it before: then it is to be acquired as any other timeline.
func (q *branchRequest) make(ctx context.Context, e env.Env) (*remote.Owner, error) {
	at, err := q.point(ctx)
	if err != nil {
		return nil, err
	}
	x := branchIndex(q.parent.index, q.child, at)
	// The record before is known where the parent ends now; elsewhere the
	// branch's first record has a link to nowhere.
	if last := q.parent.LastRecord(); last.LSN == at {
		x.PrevLSN = last.Prev
	}
	if there, err := q.made(ctx, e, &x); there || err != nil {
		return nil, err
	}
	if faults.On && faults.Hit(faults.BranchChildFirst) {
		o, err := q.claim(ctx, e, &x)
		if err == nil {
			err = o.Change(ctx, nil)
		}
		return nil, errors.Join(err, q.announce(ctx, at))
	}
	// A generation of the child is nothing that anybody finds before its index
	// is there, so that it may come beside its name in the parent's.
	g := xsync.NewGroup(ctx, e)
	g.Go("announce a branch", func(ctx context.Context) error { return q.announce(ctx, at) })
	o, err := q.claim(ctx, e, &x)
	if err = errors.Join(g.Wait(), err); err == nil {
		err = o.Change(ctx, nil)
	}
	if err != nil {
		return nil, fmt.Errorf("branch %s at %s: %w", q.child, at, err)
	}
	return o, nil
}

// branchIndex is what the object store is to say of a branch off a timeline.
func branchIndex(from *Index, child core.TimelineID, at core.LSN) Index {
	return Index{
		Tenant: from.Tenant, Timeline: child, Major: from.Major, SystemID: from.SystemID, SegmentSize: from.SegmentSize,
		DataChecksums: from.DataChecksums, WALLogHints: from.WALLogHints,
		LSN: at, Ancestor: &remote.BranchPoint{Timeline: from.Timeline, LSN: at},
	}
}

// made tells whether the branch is there already, from the same parent and at
// the same LSN.
func (q *branchRequest) made(ctx context.Context, e env.Env, x *Index) (bool, error) {
	have, err := remote.Peek(ctx, e, x.TTID())
	switch {
	case errors.Is(err, env.ErrNotFound):
		return false, nil
	case err != nil:
		return false, err
	case have.Deleted:
		return false, fmt.Errorf("make timeline %s: %w: take another id", x.TTID(), remote.ErrDeleted)
	case have.Ancestor == nil || *have.Ancestor != *x.Ancestor:
		return false, fmt.Errorf("make timeline %s: %w, and is no branch of %s at %s", x.TTID(), remote.ErrExists, x.Ancestor.Timeline, x.LSN)
	}
	return true, nil
}

// announce enters the child in the parent's index.
func (q *branchRequest) announce(ctx context.Context, at core.LSN) error {
	return q.owner.Change(ctx, func(x *Index) error {
		for _, c := range x.Children {
			if c.Timeline == q.child && c.LSN != at {
				return fmt.Errorf("%w: it was begun as a branch of %s at %s", remote.ErrExists, x.Timeline, c.LSN)
			}
		}
		x.AddChild(remote.BranchPoint{Timeline: q.child, LSN: at})
		return nil
	})
}

// claim makes this pageserver the owner of the branch, of which nothing is
// stored yet but that.
func (q *branchRequest) claim(ctx context.Context, e env.Env, x *Index) (*remote.Owner, error) {
	return remote.Create(ctx, e, *x, q.who)
}

// forget takes children out of a parent's index that have their tombstone. One
// that is not there gets it first: an earlier owner of the parent may still be
// about to make it.
func forget(ctx context.Context, e env.Env, parent *remote.Owner, who string) error {
	var dead []core.TimelineID
	for _, c := range parent.Index().Children {
		x, err := remote.Peek(ctx, e, core.TTID{Tenant: parent.ID().Tenant, Timeline: c.Timeline})
		if errors.Is(err, env.ErrNotFound) {
			err = entomb(ctx, e, parent, c, who)
		} else if err == nil && !x.Deleted {
			continue
		}
		if err != nil {
			return err
		}
		dead = append(dead, c.Timeline)
	}
	if len(dead) == 0 {
		return nil
	}
	return parent.Change(ctx, func(x *Index) error {
		for _, id := range dead {
			x.RemoveChild(id)
		}
		return nil
	})
}

// entomb gives a branch its tombstone of which no more is there than its name
// in its parent's index. Whoever still wants to make it is refused: either he
// finds the tombstone, or a newer generation behind the index that he wrote. If
// he was faster the error is [remote.ErrExists].
func entomb(ctx context.Context, e env.Env, parent *remote.Owner, c remote.BranchPoint, who string) error {
	if faults.On && faults.Hit(faults.BranchUnentombed) {
		return nil
	}
	o, err := remote.Create(ctx, e, branchIndex(parent.Index(), c.Timeline, c.LSN), who)
	switch {
	case errors.Is(err, remote.ErrDeleted):
		return nil
	case err != nil:
		return err
	}
	return o.Destroy(ctx)
}

// destroy deletes a timeline of the object store. One with children is refused
// by name ([remote.ErrChildren]).
func destroy(ctx context.Context, e env.Env, o *remote.Owner) error {
	if faults.On && faults.Hit(faults.BranchOrphans) {
		if err := o.Change(ctx, func(x *Index) error { x.Children = nil; return nil }); err != nil {
			return err
		}
	}
	return o.Destroy(ctx)
}
