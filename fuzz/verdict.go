package fuzz

import (
	"context"
	"errors"
	"time"

	"xenon/core/env"
	"xenon/netsim"
)

// within is how much simulated time a healed cluster gets to come to life, to
// acknowledge a write and a read of every key, and to be level everywhere. The
// longest wait in it is that for a connection whose other end vanished.
const within = 3 * time.Minute

// judgement waits until what was healed works, and then looks at everything
// once more.
func (r *run) judgement() error {
	final := r.w.Proc("final", netsim.ProcOptions{})
	err := final.Do(within, func(ctx context.Context, e env.Env) error {
		acked := r.clients.acked
		if err := await(ctx, e, func() bool { return r.clients.acked >= acked+3 }); err != nil {
			return err
		}
		r.clients.last = true
		if err := await(ctx, e, func() bool { return r.clients.done }); err != nil {
			return err
		}
		if err := await(ctx, e, r.j.level); err != nil {
			return err
		}
		for {
			info, err := pageserverInfo(ctx, e)
			if err == nil && info.LastRecord == r.j.ghost.end() {
				return reader{r.j}.all(ctx, e)
			}
			if err := e.Clock().Sleep(ctx, poll); err != nil {
				return err
			}
		}
	})
	var f *netsim.Failure
	if errors.As(err, &f) && (f.Kind == "timeout" || f.Kind == "deadlock") {
		return &Violation{Liveness, err}
	}
	if err != nil {
		return err
	}
	return r.sweep()
}

const poll = 50 * time.Millisecond

func await(ctx context.Context, e env.Env, f func() bool) error {
	for !f() {
		if err := e.Clock().Sleep(ctx, poll); err != nil {
			return err
		}
	}
	return nil
}

// level tells whether all safekeepers have reported everything committed.
func (j *judge) level() bool {
	for _, k := range j.keepers {
		if k.flush != j.ghost.end() || k.commit != j.ghost.end() {
			return false
		}
	}
	return true
}

// sweep compares all devices with all that was committed, and judges what
// clients saw.
func (r *run) sweep() error {
	g, counts := r.j.ghost, &r.result.Counts
	for _, k := range r.j.keepers {
		if err := g.agree(k.name, g.begin, k.wal(g.begin, g.end())); err != nil {
			return &Violation{Prefix, err}
		}
	}
	if err := r.clients.history.Check(); err != nil {
		return &Violation{Linearizable, err}
	}
	counts.Writes, counts.Records = r.clients.acked, len(g.ends)-1
	counts.Reads = r.clients.history.Answered() - r.clients.acked
	return nil
}
