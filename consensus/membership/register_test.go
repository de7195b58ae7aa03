package membership_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"xenon/consensus"
	"xenon/consensus/membership"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/register"
	"xenon/diskdrv"
	"xenon/netsim"
)

var ttid = core.TTID{Tenant: core.TenantID{1}, Timeline: core.TimelineID{2}}

// with runs f on an empty object store.
func with(t *testing.T, f func(ctx context.Context, e env.Env) error) error {
	t.Helper()
	return alone(f)
}

// alone is with, of a check that knows of no test.
func alone(f func(ctx context.Context, e env.Env) error) error {
	w := netsim.New(netsim.Options{Seed: 1})
	bucket := diskdrv.BucketIn(w, "bucket", diskdrv.BucketFaults{})
	p := w.Proc("driver", netsim.ProcOptions{Objects: func(e env.Env) env.ObjectStore { return bucket.Objects(e, "driver") }})
	err := p.Do(time.Minute, f)
	if cerr := w.Close(); err == nil {
		err = cerr
	}
	return err
}

// oneOfTwo: of two that change the same entry one is told what the other did.
func oneOfTwo(ctx context.Context, e env.Env) error {
	first := consensus.Configuration{Generation: 1, Members: set(1, 2, 3)}
	a, err := membership.Enter(ctx, e, ttid, first)
	if err != nil {
		return err
	}
	b, err := membership.Enter(ctx, e, ttid, consensus.Configuration{Generation: 1, Members: set(7)})
	if err != nil || !b.Config.Same(first) {
		return errors.Join(err, errors.New("entered twice"))
	}
	if _, err := a.Set(ctx, e, record(2, set(1, 2, 3), set(1, 2, 4))); err != nil {
		return err
	}
	now, err := b.Set(ctx, e, record(2, set(1, 2, 3), set(1, 2, 5)))
	if !errors.Is(err, register.ErrChanged) {
		return errors.New("generation 2 was written twice, with different members")
	}
	if now.Config.Generation != 2 || !now.Config.Has(4) || !now.Newer(b) {
		return errors.New("the loser is not told what is there")
	}
	return nil
}

func TestOneOfTwoChanges(t *testing.T) {
	if err := with(t, oneOfTwo); err != nil {
		t.Error(err)
	}
}

func TestDeleteIsRemembered(t *testing.T) {
	err := with(t, func(ctx context.Context, e env.Env) error {
		if err := membership.Delete(ctx, e, ttid); err != nil {
			return err
		}
		if _, err := membership.Find(ctx, e, ttid); !errors.Is(err, membership.ErrUnknown) {
			return errors.New("a timeline without an entry has one once it is deleted")
		}
		if _, err := membership.Enter(ctx, e, ttid, consensus.Configuration{Generation: 1, Members: set(1)}); err != nil {
			return err
		}
		if err := membership.Delete(ctx, e, ttid); err != nil {
			return err
		}
		n, err := membership.Find(ctx, e, ttid)
		if err == nil && !n.Deleted {
			err = errors.New("not deleted")
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// moves: safekeepers that moved are entered at the same generation, whatever
// else was entered meanwhile, and those of no concern are left out.
func moves(ctx context.Context, e env.Env) error {
	first := consensus.Configuration{Generation: 1, Members: set(1, 2, 3)}
	old, err := membership.Enter(ctx, e, ttid, first)
	if err != nil {
		return err
	}
	if _, err := old.Set(ctx, e, record(2, set(1, 2, 3), set(1, 2, 4))); err != nil {
		return err
	}
	listed := set(2, 4, 9)
	for i := range listed {
		listed[i].Host = "elsewhere"
	}
	now, err := old.Move(ctx, e, listed)
	if err != nil {
		return err
	}
	where := map[core.NodeID]string{}
	for _, m := range now.Config.Union() {
		where[m.ID] = m.Host
	}
	if now.Config.Generation != 2 || len(where) != 4 || where[2] != "elsewhere" || where[4] != "elsewhere" || where[1] == "elsewhere" {
		return fmt.Errorf("after the move there is %+v", now.Config)
	}
	again, err := now.Move(ctx, e, listed)
	if err == nil && again.Newer(now) {
		err = errors.New("what is entered already was entered again")
	}
	return err
}

func TestMove(t *testing.T) {
	if err := with(t, moves); err != nil {
		t.Error(err)
	}
}
