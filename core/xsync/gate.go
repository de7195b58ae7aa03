package xsync

import (
	"context"
	"sync"

	"xenon/core/env"
)

// A Gate lets tasks into a thing until it is closed, and tells when the last
// of them has left: what a thing needs that is torn down while in use.
type Gate struct {
	leaf   sync.Mutex
	list   waitlist // those who closed it and wait
	inside int
	closed bool
	sched  Scheduler
}

// NewGate makes an open gate.
func NewGate(e env.Env) *Gate { return &Gate{sched: schedulerOf(e)} }

// Enter lets the caller in, who then owes a Leave, or tells that the gate is
// closed.
func (g *Gate) Enter() bool {
	step(g.sched)
	g.leaf.Lock()
	defer g.leaf.Unlock()
	if g.closed {
		return false
	}
	g.inside++
	return true
}

// Leave ends one Enter.
func (g *Gate) Leave() {
	if unwinding(g.sched) {
		return
	}
	g.leaf.Lock()
	defer g.leaf.Unlock()
	if g.inside--; g.inside < 0 {
		panic("xsync: more tasks left a gate than entered it")
	}
	g.release()
}

// Close lets nobody else in and waits until everybody has left, or returns the
// cause of ctx's end; the gate stays closed then. It may be called again.
func (g *Gate) Close(ctx context.Context) error {
	step(g.sched)
	g.leaf.Lock()
	g.closed = true
	empty := g.inside == 0
	g.leaf.Unlock()
	if empty {
		return nil
	}
	if err := Cause(ctx); err != nil {
		return err
	}
	p := park(g.sched, &g.leaf)
	g.leaf.Lock()
	g.list.push(p)
	g.release()
	g.leaf.Unlock()
	return p.await(ctx, "gate")
}

// release lets those go who closed the gate, if nobody is inside.
func (g *Gate) release() {
	for g.closed && g.inside == 0 && g.list.first != nil {
		g.list.first.grant()
	}
}
