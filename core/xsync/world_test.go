package xsync_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"xenon/core/env"
	"xenon/core/xsync"
	"xenon/netsim"
)

// The zero values serve goroutines that belong to no Env.
func TestZeroValuesAreNative(t *testing.T) {
	var mu xsync.Mutex
	var rw xsync.RWMutex
	var gate xsync.Gate
	c := xsync.NewCond(&mu)
	n := 0
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			gate.Enter()
			defer gate.Leave()
			for range 200 {
				rw.RLock()
				mu.Lock()
				n++
				c.Broadcast()
				mu.Unlock()
				rw.RUnlock()
			}
		})
	}
	mu.Lock()
	for n < 1600 {
		if err := c.Wait(context.Background()); err != nil {
			t.Error(err)
		}
	}
	mu.Unlock()
	if err := gate.Close(context.Background()); err != nil {
		t.Error(err)
	}
	wg.Wait()
}

// Standard contexts end parks in production.
func TestStandardContextInProduction(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	q := xsync.NewQueue[int](nil, 1)
	child, stop := xsync.WithCancel(ctx)
	defer stop(nil)
	time.AfterFunc(moment, func() { cancel(errCause) })
	for _, c := range []context.Context{ctx, child} {
		if _, err := q.Pop(c); !errors.Is(err, errCause) {
			t.Errorf("%T: %v", c, err)
		}
	}
}

// In the simulator a wait under a standard context could never be woken, and
// is refused.
func TestStandardContextInSimulation(t *testing.T) {
	w := netsim.New(netsim.Options{})
	defer w.Close()
	err := w.Do(time.Hour, func(ctx context.Context, e env.Env) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		_, err := xsync.NewQueue[int](e, 1).Pop(ctx)
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "xsync did not make") {
		t.Errorf("got %v", err)
	}
}

// What a killed task does while it unwinds is not seen by the living, not
// even through things that they share.
func TestUnwindingIsNotSeen(t *testing.T) {
	w := netsim.New(netsim.Options{})
	var mu xsync.Mutex
	var rw xsync.RWMutex
	var q *xsync.Queue[int]
	var watch *xsync.Watch[int]
	var sem *xsync.Sem
	var gate *xsync.Gate
	var ended, cancelled context.Context
	victim := w.Proc("victim", netsim.ProcOptions{})
	err := w.Do(time.Hour, func(ctx context.Context, e env.Env) error {
		mu.Init(e)
		rw.Init(e)
		q, watch, sem, gate = xsync.NewQueue[int](e, 1), xsync.NewWatch(e, 0), xsync.NewSem(e, 1), xsync.NewGate(e)
		ended = ctx
		victim.Start(func(own context.Context, e env.Env) error {
			mu.Lock()
			defer mu.Unlock()
			rw.RLock()
			defer rw.RUnlock()
			gate.Enter()
			defer gate.Leave()
			_ = sem.Acquire(own, 1)
			defer sem.Release(1)
			defer watch.Set(1)
			defer watch.Close(nil)
			defer q.Close(nil)
			defer func() { q.TryPush(1) }()
			var cancel context.CancelCauseFunc
			cancelled, cancel = xsync.WithCancel(ended)
			defer cancel(nil)
			return e.Clock().Sleep(own, time.Hour)
		})
		_ = e.Clock().Sleep(ctx, time.Second)
		victim.Kill()
		_ = e.Clock().Sleep(ctx, time.Second)
		switch {
		case mu.TryLock(), rw.TryLock():
			return errors.New("a lock was freed")
		case sem.TryAcquire(1):
			return errors.New("a semaphore was freed")
		case watch.Get() != 0:
			return errors.New("a value was set")
		case q.Len() != 0 || !q.TryPush(2):
			return errors.New("a queue was filled or closed")
		case cancelled.Err() != nil:
			return errors.New("a context was cancelled")
		}
		under, cancel := xsync.WithTimeout(ctx, e, time.Second)
		defer cancel()
		if err := gate.Close(under); !errors.Is(err, context.DeadlineExceeded) {
			return errors.New("a gate was left")
		}
		return nil
	})
	if err := errors.Join(err, w.Close()); err != nil {
		t.Error(err)
	}
}

// A task killed in Cond.Wait unlocks a mutex that it does not hold.
func TestKillInCondWait(t *testing.T) {
	w := netsim.New(netsim.Options{})
	p := w.Proc("p", netsim.ProcOptions{})
	p.Start(func(ctx context.Context, e env.Env) error {
		var mu xsync.Mutex
		mu.Init(e)
		c := xsync.NewCond(&mu)
		for range 3 {
			e.Go("waiter", func(ctx context.Context) {
				mu.Lock()
				defer mu.Unlock()
				_ = c.Wait(ctx)
			})
		}
		return e.Clock().Sleep(ctx, time.Hour)
	})
	w.After(time.Second, p.Kill)
	if err := errors.Join(w.Run(time.Minute, nil), w.Close()); err != nil {
		t.Error(err)
	}
}

func BenchmarkMutex(b *testing.B) {
	var mu xsync.Mutex
	b.ReportAllocs()
	for b.Loop() {
		mu.Lock()
		mu.Unlock()
	}
}

func BenchmarkRWMutexRead(b *testing.B) {
	var mu xsync.RWMutex
	b.ReportAllocs()
	for b.Loop() {
		mu.RLock()
		mu.RUnlock()
	}
}

func BenchmarkQueue(b *testing.B) {
	q := xsync.NewQueue[int](nil, 16)
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		_ = q.Push(ctx, 1)
		_, _ = q.Pop(ctx)
	}
}

// BenchmarkWatchHandOver is a value set by one goroutine and awaited by
// another, there and back.
func BenchmarkWatchHandOver(b *testing.B) {
	ping, pong := xsync.NewWatch(nil, 0), xsync.NewWatch(nil, 0)
	ctx := context.Background()
	n := b.N
	go func() {
		for i := 1; i <= n; i++ {
			_, _ = ping.Await(ctx, func(v int) bool { return v >= i })
			pong.Set(i)
		}
	}()
	b.ReportAllocs()
	for i := 1; i <= n; i++ {
		ping.Set(i)
		_, _ = pong.Await(ctx, func(v int) bool { return v >= i })
	}
}
