package pageserver_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/pageserver/remote"
)

// A cutter is an object store that refuses all writes after a number of them:
// what is stored is what a pageserver that died there leaves.
type cutter struct {
	env.ObjectStore
	left atomic.Int64 // writes to come, if it is set
	set  atomic.Bool
}

func (s *cutter) write() error {
	if s.set.Load() && s.left.Add(-1) < 0 {
		return fmt.Errorf("test: %w", env.ErrForbidden)
	}
	return nil
}

func (s *cutter) Put(ctx context.Context, key string, b env.Body, o env.PutOpts) (env.ObjectMeta, error) {
	if err := s.write(); err != nil {
		return env.ObjectMeta{}, err
	}
	return s.ObjectStore.Put(ctx, key, b, o)
}

func (s *cutter) Delete(ctx context.Context, key string) error {
	if err := s.write(); err != nil {
		return err
	}
	return s.ObjectStore.Delete(ctx, key)
}

func (s *cutter) cutAfter(writes int) {
	s.left.Store(int64(writes))
	s.set.Store(true)
}

// A cutting is a pageserver with a parent of which a branch is made and
// deleted over and over.
type cutting struct {
	w     *world
	p     *pserver
	store *cutter
	k     *keeper
	at    core.LSN
}

func newCutting(t *testing.T) *cutting {
	w := newWorld(t)
	s := longScript(t, w, 20)
	c := &cutting{w: w, store: &cutter{ObjectStore: w.store}, k: newKeeper(t, s, s.last()), at: s.lsns[10] + 8}
	c.p = runOver(t, t.TempDir(), c.store)
	c.p.attach(c.k)
	c.p.reaches(s.last())
	return c
}

// named tells whether the parent's index names a child that lives, and is an
// error if it does not though it should.
func (c *cutting) named(child core.TTID) error {
	parent, err := remote.Peek(context.Background(), c.w.env, testTimeline)
	if err != nil {
		return err
	}
	x, err := remote.Peek(context.Background(), c.w.env, child)
	names := slices.ContainsFunc(parent.Children, func(b remote.BranchPoint) bool { return b.Timeline == child.Timeline })
	switch {
	case errors.Is(err, env.ErrNotFound):
		return nil
	case err != nil:
		return err
	case !x.Deleted && !names:
		return fmt.Errorf("%s has an index, and its parent does not know it", child.Timeline)
	}
	return nil
}

// cutBranches makes a branch, cut off after every number of writes, and then
// makes it again, or gives it up; and the same with its deletion.
func cutBranches(t *testing.T) error {
	c := newCutting(t)
	for n := 0; ; n++ {
		child := timelineID(byte(0x10 + n))
		c.store.cutAfter(n)
		err := c.p.branch(testTimeline, child, c.at, c.k.addr)
		c.store.set.Store(false)
		if bad := c.named(child); bad != nil {
			return fmt.Errorf("cut after %d writes: %w", n, bad)
		}
		if n%2 == 0 {
			if again := c.p.branch(testTimeline, child, c.at, c.k.addr); again != nil {
				return fmt.Errorf("made again after %d writes and %v: %w", n, err, again)
			}
		} else if gone := c.p.remove(child); gone != nil && statusOf(gone) != 404 {
			return fmt.Errorf("deleted after %d writes and %v: %w", n, err, gone)
		} else if again := c.p.branch(testTimeline, child, c.at, c.k.addr); gone == nil && statusOf(again) != 410 {
			return fmt.Errorf("deleted after %d writes and %v, it is made again: %v", n, err, again)
		}
		if err == nil {
			break
		}
	}
	for n := 0; ; n++ {
		child := timelineID(byte(0x50 + n))
		if err := c.p.branch(testTimeline, child, c.at, c.k.addr); err != nil {
			return err
		}
		c.store.cutAfter(n)
		err := c.p.remove(child)
		c.store.set.Store(false)
		if bad := c.named(child); bad != nil {
			return fmt.Errorf("deletion cut after %d writes: %w", n, bad)
		}
		if again := c.p.remove(child); again != nil {
			return fmt.Errorf("deleted again after %d writes and %v: %w", n, err, again)
		}
		if err == nil {
			break
		}
	}
	return c.leafless()
}

// leafless deletes the branches that were made to the end, and then the parent:
// nothing of the others is in its way.
func (c *cutting) leafless() error {
	parent, err := remote.Peek(context.Background(), c.w.env, testTimeline)
	if err != nil {
		return err
	}
	for _, b := range parent.Children {
		x, err := remote.Peek(context.Background(), c.w.env, core.TTID{Tenant: testTimeline.Tenant, Timeline: b.Timeline})
		if err != nil || x.Deleted {
			return fmt.Errorf("the parent names %s, which is not there: %w", b.Timeline, err)
		}
		if err := c.p.remove(x.TTID()); err != nil {
			return err
		}
	}
	return c.p.remove(testTimeline)
}

// TestBranchCutShort: wherever the making or the deletion of a branch ends,
// the parent knows of every child that is there, and all can be done again.
func TestBranchCutShort(t *testing.T) {
	if err := cutBranches(t); err != nil {
		t.Error(err)
	}
}
