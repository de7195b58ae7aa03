package xsync

import (
	"context"
	"sync"

	"xenon/core/env"
)

// A Watch is a value that tasks wait on, such as a commit LSN. A Set wakes
// those alone whose condition it meets.
type Watch[T any] struct {
	leaf    sync.Mutex
	value   T
	version uint64
	closed  error
	waiting []*watcher[T] // in order of arrival
	idle    []*watcher[T] // for the next to wait
	sched   Scheduler
}

type watcher[T any] struct {
	cond func(T) bool
	p    *parked
	got  T
}

// NewWatch makes a watch that holds value.
func NewWatch[T any](e env.Env, value T) *Watch[T] {
	return &Watch[T]{value: value, sched: schedulerOf(e)}
}

// Get returns the value.
func (w *Watch[T]) Get() T {
	v, _ := w.GetVersion()
	return v
}

// GetVersion returns the value and how often it has been set.
func (w *Watch[T]) GetVersion() (T, uint64) {
	step(w.sched)
	w.leaf.Lock()
	defer w.leaf.Unlock()
	return w.value, w.version
}

// Set stores value.
func (w *Watch[T]) Set(value T) {
	if unwinding(w.sched) {
		return
	}
	step(w.sched)
	w.leaf.Lock()
	w.set(value)
	w.leaf.Unlock()
}

// Update stores what f makes of the value, and returns it. f runs under a leaf
// lock: it calls nothing that waits, and nothing of w.
func (w *Watch[T]) Update(f func(T) T) T {
	step(w.sched)
	w.leaf.Lock()
	defer w.leaf.Unlock()
	w.set(f(w.value))
	return w.value
}

// Await returns the value once cond holds for it: the very value for which it
// held, even if it has changed since. It returns the cause of ctx's end, or
// the error of Close if that came first. cond runs under a leaf lock, in
// whatever task sets the value: it is a pure function.
func (w *Watch[T]) Await(ctx context.Context, cond func(T) bool) (T, error) {
	step(w.sched)
	if err := Cause(ctx); err != nil {
		return w.now(), err
	}
	if v, ok, err := w.check(cond); ok || err != nil {
		return v, err
	}
	p := park(w.sched, &w.leaf)
	x := w.enter(p, cond)
	for {
		w.leaf.Lock()
		met, err := p.granted, w.closed
		if !met && err == nil {
			err = Cause(ctx)
		}
		if met || err != nil {
			v := w.leave(x, met)
			w.leaf.Unlock()
			p.free()
			if met {
				err = nil
			}
			return v, err
		}
		w.leaf.Unlock()
		p.wait(ctx, "watch")
	}
}

// Close makes every Await fail with err, [ErrClosed] if it is nil, unless its
// condition holds already. The first Close counts.
func (w *Watch[T]) Close(err error) {
	if unwinding(w.sched) {
		return
	}
	step(w.sched)
	if err == nil {
		err = ErrClosed
	}
	w.leaf.Lock()
	defer w.leaf.Unlock()
	if w.closed == nil {
		w.closed = err
	}
	for _, x := range w.waiting {
		x.p.w.Wake()
	}
}

func (w *Watch[T]) now() T {
	w.leaf.Lock()
	defer w.leaf.Unlock()
	return w.value
}

func (w *Watch[T]) check(cond func(T) bool) (T, bool, error) {
	w.leaf.Lock()
	defer w.leaf.Unlock()
	if cond(w.value) {
		return w.value, true, nil
	}
	return w.value, false, w.closed
}

// set stores value and lets go those who waited for it. The caller holds leaf.
func (w *Watch[T]) set(value T) {
	w.value = value
	w.version++
	keep := w.waiting[:0]
	for _, x := range w.waiting {
		if x.cond(value) {
			x.got, x.p.granted = value, true
			x.p.w.Wake()
		} else {
			keep = append(keep, x)
		}
	}
	clear(w.waiting[len(keep):])
	w.waiting = keep
}

func (w *Watch[T]) enter(p *parked, cond func(T) bool) *watcher[T] {
	w.leaf.Lock()
	defer w.leaf.Unlock()
	var x *watcher[T]
	if k := len(w.idle); k > 0 {
		x, w.idle = w.idle[k-1], w.idle[:k-1]
	} else {
		x = new(watcher[T])
	}
	x.p, x.cond = p, cond
	if cond(w.value) { // it was set since the caller looked
		x.got, p.granted = w.value, true
	} else {
		w.waiting = append(w.waiting, x)
	}
	return x
}

// leave ends x's wait and returns what it got, else the value as it is. The
// caller holds leaf.
func (w *Watch[T]) leave(x *watcher[T], met bool) T {
	v := x.got
	if !met {
		v = w.value
		for i, y := range w.waiting {
			if x == y {
				w.waiting = append(w.waiting[:i], w.waiting[i+1:]...)
				break
			}
		}
	}
	*x = watcher[T]{}
	w.idle = append(w.idle, x)
	return v
}
