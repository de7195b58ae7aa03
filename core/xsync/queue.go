package xsync

import (
	"context"
	"sync"

	"xenon/core/env"
)

// A Queue is a bounded first-in-first-out queue. A task that must react to
// several things pops one Queue of a small union type.
type Queue[T any] struct {
	leaf     sync.Mutex
	pushers  waitlist
	poppers  waitlist
	ring     []T // its length is a power of two
	head, n  int
	capacity int
	closed   error
	sched    Scheduler
}

// NewQueue makes a queue that holds at most capacity items. Its memory grows
// with what it holds.
func NewQueue[T any](e env.Env, capacity int) *Queue[T] {
	if capacity < 1 {
		panic("xsync: a queue needs room for one item at least")
	}
	return &Queue[T]{capacity: capacity, sched: schedulerOf(e)}
}

// Push appends x. It waits while the queue is full, and returns the error of
// Close if the queue is closed.
func (q *Queue[T]) Push(ctx context.Context, x T) error {
	step(q.sched)
	if err := Cause(ctx); err != nil {
		return err
	}
	if pushed, err := q.push(x); pushed || err != nil {
		return err
	}
	p := park(q.sched, &q.leaf)
	q.leaf.Lock()
	q.pushers.push(p)
	q.leaf.Unlock()
	for {
		pushed, err := q.push(x)
		if err == nil && !pushed {
			err = Cause(ctx)
		}
		if pushed || err != nil {
			q.leave(p)
			return err
		}
		p.wait(ctx, "queue push")
	}
}

// TryPush appends x unless the queue is full or closed.
func (q *Queue[T]) TryPush(x T) bool {
	step(q.sched)
	pushed, _ := q.push(x)
	return pushed
}

// Pop takes the oldest item. It waits while there is none, and returns the
// error of Close once the queue is closed and empty.
func (q *Queue[T]) Pop(ctx context.Context) (T, error) {
	var one [1]T
	_, err := q.PopMany(ctx, one[:])
	return one[0], err
}

// TryPop takes the oldest item if there is one.
func (q *Queue[T]) TryPop() (T, bool) {
	step(q.sched)
	var one [1]T
	n, _ := q.pop(one[:])
	return one[0], n == 1
}

// PopMany waits for one item as Pop does, then takes as many as are there and
// fit into buf, which is not empty. It returns how many.
func (q *Queue[T]) PopMany(ctx context.Context, buf []T) (int, error) {
	step(q.sched)
	if err := Cause(ctx); err != nil {
		return 0, err
	}
	if n, err := q.pop(buf); n > 0 || err != nil {
		return n, err
	}
	p := park(q.sched, &q.leaf)
	q.leaf.Lock()
	q.poppers.push(p)
	q.leaf.Unlock()
	for {
		n, err := q.pop(buf)
		if err == nil && n == 0 {
			err = Cause(ctx)
		}
		if n > 0 || err != nil {
			q.leave(p)
			return n, err
		}
		p.wait(ctx, "queue pop")
	}
}

// Len is how many items are in the queue.
func (q *Queue[T]) Len() int {
	step(q.sched)
	q.leaf.Lock()
	defer q.leaf.Unlock()
	return q.n
}

// Close makes every Push fail with err, [ErrClosed] if it is nil, and every
// Pop once what is in the queue has been taken. The first Close counts.
func (q *Queue[T]) Close(err error) {
	if unwinding(q.sched) {
		return
	}
	step(q.sched)
	if err == nil {
		err = ErrClosed
	}
	q.leaf.Lock()
	defer q.leaf.Unlock()
	if q.closed == nil {
		q.closed = err
	}
	q.pushers.wakeAll()
	q.poppers.wakeAll()
}

// leave takes p off its list and passes on the wake that it may have been
// given: whoever is next looks for itself.
func (q *Queue[T]) leave(p *parked) {
	q.leaf.Lock()
	p.drop()
	if q.n > 0 {
		q.poppers.wakeFirst()
	}
	if q.n < q.capacity {
		q.pushers.wakeFirst()
	}
	q.leaf.Unlock()
	p.free()
}

func (q *Queue[T]) push(x T) (bool, error) {
	q.leaf.Lock()
	defer q.leaf.Unlock()
	if q.closed != nil {
		return false, q.closed
	}
	if q.n == q.capacity {
		return false, nil
	}
	if q.n == len(q.ring) {
		q.grow()
	}
	q.ring[(q.head+q.n)&(len(q.ring)-1)] = x
	q.n++
	q.poppers.wakeFirst()
	return true, nil
}

func (q *Queue[T]) grow() {
	ring := make([]T, max(4, 2*len(q.ring)))
	k := copy(ring, q.ring[q.head:])
	copy(ring[k:], q.ring[:q.head])
	q.ring, q.head = ring, 0
}

func (q *Queue[T]) pop(buf []T) (int, error) {
	q.leaf.Lock()
	defer q.leaf.Unlock()
	if q.n == 0 {
		return 0, q.closed
	}
	n := min(q.n, len(buf))
	var zero T
	for i := range n {
		slot := &q.ring[q.head]
		buf[i], *slot = *slot, zero
		q.head = (q.head + 1) & (len(q.ring) - 1)
	}
	q.n -= n
	q.pushers.wakeFirst()
	return n, nil
}
