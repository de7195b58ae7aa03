package xsync

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"xenon/core/env"
)

// Context is a [context.Context] that ends deterministically: what depends on
// it (parked tasks, child contexts, AfterFuncs) learns of its end in the order
// it was registered, within the call that ends it, and no goroutine is started.
//
// Standard contexts derived from it end with it, because package context
// honours AfterFunc. In the simulator no task may wait under one of those.
type Context struct {
	parent   context.Context
	up       *Context // the Context whose end ends parent, or nil
	sched    Scheduler
	deadline time.Time
	timer    env.Timer
	onParent ending
	stop     func() bool // ends the registration with a foreign parent

	ended atomic.Pointer[end]
	mu    sync.Mutex    // leaf
	done  chan struct{} //simsafe:allow what Done returns
	// head of the list of those who wait for the end, in order.
	first, last *ending
}

type end struct{ err, cause error }

// An ending is one registration with a Context: a waiter to wake or a function
// to call.
type ending struct {
	prev, next *ending
	of         *Context
	w          env.Waiter
	f          func()
}

// Root makes the context of a whole process. It is for worlds; parts derive
// from the context they were given.
func Root(e env.Env) (context.Context, context.CancelCauseFunc) {
	c := &Context{parent: context.Background(), sched: schedulerOf(e)}
	return c, func(cause error) { c.end(context.Canceled, cause) }
}

// WithCancel derives a context that ends with parent or when cancel is called.
// A nil cause means context.Canceled. Cancel must be called, else the context
// stays registered with its parent.
func WithCancel(parent context.Context) (context.Context, context.CancelCauseFunc) {
	c := derive(parent)
	return c, c.cancel
}

// WithTimeout derives a context that ends after d at the latest, with
// context.DeadlineExceeded, by e's monotonic clock.
func WithTimeout(parent context.Context, e env.Env, d time.Duration) (context.Context, context.CancelFunc) {
	c := derive(parent)
	c.arm(e, d)
	return c, func() { c.cancel(nil) }
}

// WithDeadline is WithTimeout with an instant of e's monotonic clock.
func WithDeadline(parent context.Context, e env.Env, at env.Instant) (context.Context, context.CancelFunc) {
	return WithTimeout(parent, e, at.Sub(e.Clock().Mono()))
}

// Cause tells why ctx ended: the cause given to whoever ended it, or nil if it
// has not ended. Unlike context.Cause it knows the contexts of this package.
func Cause(ctx context.Context) error {
	err := ctx.Err()
	if err == nil {
		return nil
	}
	if c := nearest(ctx); c != nil {
		if e := c.ended.Load(); e != nil {
			return e.cause
		}
	}
	return context.Cause(ctx)
}

type nearestKey struct{}

// nearest finds the Context whose end is ctx's end, through values put on top
// of it.
func nearest(ctx context.Context) *Context {
	if c, ok := ctx.(*Context); ok {
		return c
	}
	c, ok := ctx.Value(nearestKey{}).(*Context)
	if !ok || ctx.Done() != c.Done() {
		return nil
	}
	return c
}

func derive(parent context.Context) *Context {
	c := &Context{parent: parent, up: nearest(parent)}
	if c.up != nil {
		c.sched = c.up.sched
		c.onParent.f = c.parentEnded
		if !c.up.add(&c.onParent) {
			c.parentEnded()
		}
	} else if parent.Done() != nil {
		//simsafe:allow a foreign parent comes from production only
		stop := context.AfterFunc(parent, func() { c.end(parent.Err(), context.Cause(parent)) })
		c.mu.Lock()
		c.stop = stop
		c.mu.Unlock()
	}
	return c
}

func (c *Context) parentEnded() {
	e := c.up.ended.Load()
	c.end(e.err, e.cause)
}

func (c *Context) arm(e env.Env, d time.Duration) {
	if c.sched == nil {
		c.sched = schedulerOf(e)
	}
	clock := e.Clock()
	c.deadline = clock.Now().Add(max(d, 0))
	if at, ok := c.parent.Deadline(); ok && at.Before(c.deadline) {
		c.deadline = at
	}
	if d <= 0 {
		c.end(context.DeadlineExceeded, nil)
	}
	if c.ended.Load() != nil {
		return
	}
	t := clock.AfterFunc(d, func() { c.end(context.DeadlineExceeded, nil) })
	c.mu.Lock()
	c.timer = t
	c.mu.Unlock()
	if c.ended.Load() != nil {
		t.Stop()
	}
}

func (c *Context) cancel(cause error) {
	if unwinding(c.sched) || c.ended.Load() != nil {
		return
	}
	step(c.sched)
	c.end(context.Canceled, cause)
}

// end ends c once: err is what Err says, cause (err if nil) what Cause says.
func (c *Context) end(err, cause error) {
	if cause == nil {
		cause = err
	}
	c.mu.Lock()
	if !c.ended.CompareAndSwap(nil, &end{err, cause}) {
		c.mu.Unlock()
		return
	}
	if c.done != nil {
		close(c.done)
	}
	timer, stop := c.timer, c.stop
	c.mu.Unlock()
	if c.up != nil {
		c.up.remove(&c.onParent)
	}
	if stop != nil {
		stop()
	}
	if timer != nil {
		timer.Stop()
	}
	c.tell()
}

// tell reaches everybody registered, in order. Functions run without the lock.
func (c *Context) tell() {
	for {
		c.mu.Lock()
		n := c.first
		if n == nil {
			c.mu.Unlock()
			return
		}
		c.unlink(n)
		w, f := n.w, n.f
		if w != nil {
			w.Wake()
		}
		c.mu.Unlock()
		if f != nil {
			f()
		}
	}
}

// add registers n, or tells that c has ended already.
func (c *Context) add(n *ending) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended.Load() != nil {
		return false
	}
	n.of, n.prev, n.next = c, c.last, nil
	if c.last == nil {
		c.first = n
	} else {
		c.last.next = n
	}
	c.last = n
	return true
}

// remove tells whether n was still registered.
func (c *Context) remove(n *ending) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n.of != c {
		return false
	}
	c.unlink(n)
	return true
}

func (c *Context) unlink(n *ending) {
	if n.prev == nil {
		c.first = n.next
	} else {
		n.prev.next = n.next
	}
	if n.next == nil {
		c.last = n.prev
	} else {
		n.next.prev = n.prev
	}
	n.of, n.prev, n.next = nil, nil, nil
}

// AfterFunc calls f once c has ended, in the call that ends it, or at once if
// it has. The returned function tells whether it kept f from being called. It
// is what package context looks for when a standard context is derived.
func (c *Context) AfterFunc(f func()) (stop func() bool) {
	n := &ending{f: f}
	if !c.add(n) {
		f()
		return func() bool { return false }
	}
	return func() bool { return c.remove(n) }
}

// Deadline tells when c ends at the latest, as the wall clock stood when c was
// made.
func (c *Context) Deadline() (time.Time, bool) {
	if c.deadline.IsZero() {
		return c.parent.Deadline()
	}
	return c.deadline, true
}

// Done is closed when c has ended, for libraries that look at it.
//
//simsafe:allow the interface context.Context has a channel; no task waits on it
func (c *Context) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		if c.ended.Load() != nil {
			close(c.done)
		}
	}
	return c.done
}

// Err is nil, context.Canceled or context.DeadlineExceeded.
func (c *Context) Err() error {
	if e := c.ended.Load(); e != nil {
		return e.err
	}
	return nil
}

// Value looks key up in the parents.
func (c *Context) Value(key any) any {
	if key == (nearestKey{}) {
		return c
	}
	return c.parent.Value(key)
}
