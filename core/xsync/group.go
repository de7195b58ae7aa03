package xsync

import (
	"context"
	"sync"

	"xenon/core/env"
)

// A Group is tasks that belong together: the first error ends the context of
// all, and is what Wait returns.
type Group struct {
	env     env.Env
	ctx     context.Context
	cancel  context.CancelCauseFunc
	leaf    sync.Mutex
	list    waitlist
	running int
	err     error
	sched   Scheduler
}

// NewGroup makes a group whose tasks run under a context derived from ctx.
// Wait must be called.
func NewGroup(ctx context.Context, e env.Env) *Group {
	g := &Group{env: e, sched: schedulerOf(e)}
	g.ctx, g.cancel = WithCancel(ctx)
	return g
}

// Context is what the tasks of the group run under.
func (g *Group) Context() context.Context { return g.ctx }

// Go starts a task of the group. It is not called after Wait has returned.
func (g *Group) Go(name string, f func(ctx context.Context) error) {
	step(g.sched)
	g.leaf.Lock()
	g.running++
	g.leaf.Unlock()
	g.env.Go(name, func(context.Context) {
		// Not deferred: a killed or panicking task did not end.
		g.ended(f(g.ctx))
	})
}

// Cancel ends the context of the group with cause, as an error of a task does,
// but does not make Wait return it.
func (g *Group) Cancel(cause error) { g.cancel(cause) }

// Wait waits until every task has ended, and returns the first error.
func (g *Group) Wait() error {
	step(g.sched)
	p := park(g.sched, &g.leaf)
	g.leaf.Lock()
	g.list.push(p)
	g.release()
	g.leaf.Unlock()
	_ = p.await(context.Background(), "group")
	g.cancel(nil)
	return g.err
}

func (g *Group) ended(err error) {
	g.leaf.Lock()
	first := err != nil && g.err == nil
	if first {
		g.err = err
	}
	g.leaf.Unlock()
	if first {
		g.cancel(err)
	}
	g.leaf.Lock()
	g.running--
	g.release()
	g.leaf.Unlock()
}

func (g *Group) release() {
	for g.running == 0 && g.list.first != nil {
		g.list.first.grant()
	}
}
