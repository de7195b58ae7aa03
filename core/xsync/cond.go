package xsync

import (
	"context"
	"sync"
)

// A Cond is where holders of L wait for what L guards to change. As with
// sync.Cond they wait in a loop around their condition.
type Cond struct {
	L    *Mutex
	leaf sync.Mutex
	list waitlist
}

// NewCond makes a Cond of the lock l.
func NewCond(l *Mutex) *Cond { return &Cond{L: l} }

// Wait frees c.L, waits for a Signal or Broadcast, and takes c.L again, also
// when it returns the cause of ctx's end.
func (c *Cond) Wait(ctx context.Context) error {
	step(c.L.sched)
	if err := Cause(ctx); err != nil {
		return err
	}
	p := park(c.L.sched, &c.leaf)
	c.leaf.Lock()
	c.list.push(p)
	c.leaf.Unlock()
	c.L.Unlock()
	err := p.await(ctx, "cond")
	c.L.Lock()
	return err
}

// Signal wakes the task that waits longest.
func (c *Cond) Signal() {
	step(c.L.sched)
	c.leaf.Lock()
	if p := c.list.first; p != nil {
		p.grant()
	}
	c.leaf.Unlock()
}

// Broadcast wakes everybody who waits now.
func (c *Cond) Broadcast() {
	step(c.L.sched)
	c.leaf.Lock()
	for c.list.first != nil {
		c.list.first.grant()
	}
	c.leaf.Unlock()
}
