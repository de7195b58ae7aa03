package xsync

import (
	"context"
	"sync"

	"xenon/core/env"
)

// NewWaiter makes a waiter for goroutines: what production's Env.NewWaiter
// returns.
func NewWaiter() env.Waiter { return newNativeWaiter() }

//simsafe:allow production parks goroutines on a channel
type nativeWaiter chan struct{}

//simsafe:allow production parks goroutines on a channel
func newNativeWaiter() nativeWaiter { return make(chan struct{}, 1) }

//simsafe:allow production parks goroutines on a channel
func (w nativeWaiter) Wait(env.Reason) { <-w }

//simsafe:allow production parks goroutines on a channel
func (w nativeWaiter) Wake() {
	select {
	case w <- struct{}{}:
	default:
	}
}

// parked is a task that waits in a waitlist. It is pooled: a wake that comes
// late may reach its next user, who takes it for a wake without reason.
type parked struct {
	prev, next *parked
	list       *waitlist
	leaf       *sync.Mutex // guards list and everything in it
	sched      Scheduler
	w          env.Waiter
	native     nativeWaiter
	onEnd      ending // registration with the context waited under
	// granted says that whoever woke the task also did what it waited for.
	granted bool
	// n is what a semaphore is asked for; to an RWMutex it tells readers from
	// writers.
	n int64
}

var pool = sync.Pool{New: func() any { return &parked{native: newNativeWaiter()} }}

// park makes the calling task's entry for a waitlist that leaf guards. The
// caller does not hold leaf.
func park(s Scheduler, leaf *sync.Mutex) *parked {
	p := pool.Get().(*parked)
	p.sched, p.leaf, p.granted, p.n = s, leaf, false, 0
	if s == nil {
		p.w = p.native
	} else {
		p.w = s.TaskWaiter()
	}
	return p
}

// free gives p back. It is on no list.
func (p *parked) free() {
	p.sched, p.w, p.leaf = nil, nil, nil
	pool.Put(p)
}

// wait parks until p is woken, ctx ends, or for no reason. The caller does not
// hold the leaf lock and checks its condition again, ctx included.
//
//simsafe:allow the branch without a scheduler is production
func (p *parked) wait(ctx context.Context, reason env.Reason) {
	if p.sched != nil {
		p.waitSimulated(ctx, reason)
		return
	}
	done := ctx.Done()
	if done == nil {
		<-p.native
		return
	}
	select {
	case <-p.native:
	case <-done:
	}
}

// WaitUnder parks the calling task on w until w is woken, ctx ends, or for no
// reason. It is for worlds, whose sleeps and dials end with a context.
//
//simsafe:allow a native waiter is production
func WaitUnder(ctx context.Context, w env.Waiter, reason env.Reason) {
	if n, ok := w.(nativeWaiter); ok {
		select {
		case <-n:
		case <-ctx.Done():
		}
		return
	}
	p := pool.Get().(*parked)
	p.w = w
	p.waitSimulated(ctx, reason)
	p.free()
}

func (p *parked) waitSimulated(ctx context.Context, reason env.Reason) {
	c := nearest(ctx)
	if c == nil && ctx.Done() != nil {
		panic("xsync: a simulated task waits under a context that xsync did not make")
	}
	if c != nil {
		p.onEnd.w = p.w
		if !c.add(&p.onEnd) {
			return
		}
	}
	killed := true
	defer func() {
		if c != nil {
			c.remove(&p.onEnd)
		}
		if killed {
			p.abandon()
		}
	}()
	p.w.Wait(reason)
	killed = false
}

// await parks until p was granted or ctx ended, and frees p. The caller has
// put p on a list.
func (p *parked) await(ctx context.Context, reason env.Reason) error {
	for {
		p.wait(ctx, reason)
		p.leaf.Lock()
		granted := p.granted
		var err error
		if !granted {
			if err = Cause(ctx); err != nil {
				p.drop()
			}
		}
		p.leaf.Unlock()
		if granted || err != nil {
			p.free()
			return err
		}
	}
}

// abandon takes the entry of a killed task off its list.
func (p *parked) abandon() {
	if p.leaf == nil {
		return
	}
	p.leaf.Lock()
	defer p.leaf.Unlock()
	if l := p.list; l != nil {
		p.drop()
		l.wakeFirst()
	}
}

// drop takes p off its list, if it is on one. The caller holds the leaf lock.
func (p *parked) drop() {
	l := p.list
	if l == nil {
		return
	}
	if p.prev == nil {
		l.first = p.next
	} else {
		p.prev.next = p.next
	}
	if p.next == nil {
		l.last = p.prev
	} else {
		p.next.prev = p.prev
	}
	p.list, p.prev, p.next = nil, nil, nil
}

// grant takes p off its list, as having got what it waited for, which the
// caller did. The caller holds the leaf lock.
func (p *parked) grant() {
	p.drop()
	p.granted = true
	p.w.Wake()
}

// A waitlist is those who wait, first come first. The leaf lock of whatever it
// is part of guards it.
type waitlist struct{ first, last *parked }

func (l *waitlist) push(p *parked) {
	p.list, p.prev, p.next = l, l.last, nil
	if l.last == nil {
		l.first = p
	} else {
		l.last.next = p
	}
	l.last = p
}

// wakeFirst wakes the first, who stays on the list until it found what it
// wants.
func (l *waitlist) wakeFirst() {
	if l.first != nil {
		l.first.w.Wake()
	}
}

// wakeAll wakes everybody and leaves them on the list.
func (l *waitlist) wakeAll() {
	for p := l.first; p != nil; p = p.next {
		p.w.Wake()
	}
}
