package xsync_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"xenon/core/env"
	"xenon/core/xsync"
	"xenon/netsim"
	"xenon/realio"
)

// inBothWorlds runs a scenario on goroutines, and in the simulator under many
// seeds with needless wakes and yields.
func inBothWorlds(t *testing.T, s netsim.Main) {
	t.Helper()
	t.Run("native", func(t *testing.T) {
		e := realio.New(realio.Options{})
		defer e.Close()
		if err := s(e.Context(), e); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("simulated", func(t *testing.T) {
		for seed := range uint64(30) {
			o := netsim.Options{Seed: seed, Yields: int(seed%3) * 200, Wakes: int(seed%2) * 200}
			if seed%5 == 4 {
				o.Policy = netsim.Policy{Kind: netsim.ByPriority, Depth: 5, Horizon: 300}
			}
			w := netsim.New(o)
			if err := errors.Join(w.Do(time.Hour, s), w.Close()); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
	})
}

const moment = 5 * time.Millisecond

var errCause = errors.New("the cause")

// ending is a context that ends soon.
func ending(ctx context.Context, e env.Env) context.Context {
	ctx, cancel := xsync.WithCancel(ctx)
	e.Clock().AfterFunc(moment, func() { cancel(errCause) })
	return ctx
}

func wantCause(what string, err error) error {
	if !errors.Is(err, errCause) {
		return fmt.Errorf("%s: got %v, want the cause", what, err)
	}
	return nil
}

// a locker is either lock, for writing.
type locker interface {
	Lock()
	LockCtx(ctx context.Context) error
	TryLock() bool
	Unlock()
}

func lockers(e env.Env) []locker {
	var m xsync.Mutex
	var rw xsync.RWMutex
	m.Init(e)
	rw.Init(e)
	return []locker{&m, &rw}
}

func TestLocksExclude(t *testing.T) {
	inBothWorlds(t, func(ctx context.Context, e env.Env) error {
		for _, mu := range lockers(e) {
			g := xsync.NewGroup(ctx, e)
			inside, count := 0, 0
			for i := range 8 {
				g.Go("locker", func(ctx context.Context) error {
					for j := range 50 {
						switch (i + j) % 3 {
						case 0:
							mu.Lock()
						case 1:
							if err := mu.LockCtx(ctx); err != nil {
								return err
							}
						case 2:
							if !mu.TryLock() {
								continue
							}
						}
						inside++
						if inside != 1 {
							return errors.New("two tasks hold the lock")
						}
						if j%10 == 0 {
							if err := e.Clock().Sleep(ctx, 0); err != nil {
								return err
							}
						}
						inside--
						count++
						mu.Unlock()
					}
					return nil
				})
			}
			if err := g.Wait(); err != nil {
				return err
			}
			if count < 8*33 {
				return fmt.Errorf("%T was taken %d times", mu, count)
			}
		}
		return nil
	})
}

func TestLockCtxEnds(t *testing.T) {
	inBothWorlds(t, func(ctx context.Context, e env.Env) error {
		for _, mu := range lockers(e) {
			mu.Lock()
			if err := wantCause("LockCtx", mu.LockCtx(ending(ctx, e))); err != nil {
				return err
			}
			if mu.TryLock() {
				return errors.New("a held lock was taken")
			}
			mu.Unlock()
			if !mu.TryLock() {
				return errors.New("whoever gave up holds the lock")
			}
			mu.Unlock()
			ended := ending(ctx, e)
			_ = e.Clock().Sleep(ended, time.Hour)
			if err := wantCause("LockCtx of a free lock", mu.LockCtx(ended)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Those who give up do not take the wake of others with them.
func TestLockCtxUnderFire(t *testing.T) {
	inBothWorlds(t, func(ctx context.Context, e env.Env) error {
		for _, mu := range lockers(e) {
			g := xsync.NewGroup(ctx, e)
			for i := range 8 {
				g.Go("locker", func(ctx context.Context) error {
					for j := range 30 {
						under, cancel := xsync.WithTimeout(ctx, e, time.Duration((i+j)%4)*100*time.Microsecond)
						if mu.LockCtx(under) == nil {
							_ = e.Clock().Sleep(ctx, 50*time.Microsecond)
							mu.Unlock()
						}
						cancel()
					}
					mu.Lock()
					mu.Unlock()
					return nil
				})
			}
			if err := g.Wait(); err != nil {
				return err
			}
		}
		return nil
	})
}

func TestReadersShareAndWritersPassThem(t *testing.T) {
	inBothWorlds(t, func(ctx context.Context, e env.Env) error {
		var mu xsync.RWMutex
		mu.Init(e)
		mu.RLock()
		if !mu.TryRLock() {
			return errors.New("a second reader was kept out")
		}
		mu.RUnlock()
		if mu.TryLock() {
			return errors.New("a writer joined a reader")
		}
		waiting := xsync.NewWatch(e, 0)
		g := xsync.NewGroup(ctx, e)
		g.Go("writer", func(ctx context.Context) error {
			waiting.Set(1)
			mu.Lock()
			waiting.Set(2)
			mu.Unlock()
			return nil
		})
		if _, err := waiting.Await(ctx, func(n int) bool { return n == 1 }); err != nil {
			return err
		}
		for mu.TryRLock() { // until the writer is in the queue
			mu.RUnlock()
			if err := e.Clock().Sleep(ctx, time.Microsecond); err != nil {
				return err
			}
		}
		if err := wantCause("a reader behind a writer", mu.RLockCtx(ending(ctx, e))); err != nil {
			return err
		}
		mu.RUnlock()
		return g.Wait()
	})
}

// Readers that queue behind a writer go on when the writer gives up.
func TestWriterThatGivesUpLetsReadersIn(t *testing.T) {
	inBothWorlds(t, func(ctx context.Context, e env.Env) error {
		var mu xsync.RWMutex
		mu.Init(e)
		mu.RLock()
		defer mu.RUnlock()
		g := xsync.NewGroup(ctx, e)
		g.Go("writer", func(ctx context.Context) error { return wantCause("writer", mu.LockCtx(ending(ctx, e))) })
		g.Go("reader", func(ctx context.Context) error {
			if err := e.Clock().Sleep(ctx, moment/5); err != nil {
				return err
			}
			mu.RLock()
			mu.RUnlock()
			return nil
		})
		return g.Wait()
	})
}

func TestCond(t *testing.T) {
	inBothWorlds(t, func(ctx context.Context, e env.Env) error {
		var mu xsync.Mutex
		mu.Init(e)
		c := xsync.NewCond(&mu)
		items, taken := 0, 0
		g := xsync.NewGroup(ctx, e)
		for range 4 {
			g.Go("taker", func(ctx context.Context) error {
				mu.Lock()
				defer mu.Unlock()
				for range 25 {
					for items == 0 {
						if err := c.Wait(ctx); err != nil {
							return err
						}
					}
					items--
					taken++
				}
				return nil
			})
		}
		for i := range 100 {
			mu.Lock()
			items++
			if i%2 == 0 {
				c.Signal()
			} else {
				c.Broadcast()
			}
			mu.Unlock()
		}
		if err := g.Wait(); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		if err := wantCause("Wait", c.Wait(ending(ctx, e))); err != nil {
			return err
		}
		if mu.TryLock() {
			return errors.New("Wait came back without the lock")
		}
		if taken != 100 {
			return fmt.Errorf("%d taken", taken)
		}
		return nil
	})
}

func TestQueueKeepsOrderAndLosesNothing(t *testing.T) {
	inBothWorlds(t, func(ctx context.Context, e env.Env) error {
		q := xsync.NewQueue[[2]int](e, 3)
		pushers := xsync.NewGroup(ctx, e)
		for i := range 4 {
			pushers.Go("pusher", func(ctx context.Context) error {
				for j := range 100 {
					if err := q.Push(ctx, [2]int{i, j}); err != nil {
						return err
					}
				}
				return nil
			})
		}
		var got [3]atomic.Int64
		poppers := xsync.NewGroup(ctx, e)
		for i := range got {
			poppers.Go("popper", func(ctx context.Context) error {
				last := [4]int{-1, -1, -1, -1}
				buf := make([][2]int, 1+i)
				for {
					n, err := q.PopMany(ctx, buf)
					if errors.Is(err, xsync.ErrClosed) {
						return nil
					}
					if err != nil {
						return err
					}
					for _, x := range buf[:n] {
						if x[1] <= last[x[0]] {
							return fmt.Errorf("%d came after %d", x[1], last[x[0]])
						}
						last[x[0]] = x[1]
					}
					got[i].Add(int64(n))
				}
			})
		}
		if err := pushers.Wait(); err != nil {
			return err
		}
		q.Close(nil)
		if err := poppers.Wait(); err != nil {
			return err
		}
		if n := got[0].Load() + got[1].Load() + got[2].Load(); n != 400 {
			return fmt.Errorf("%d of 400 items arrived", n)
		}
		return nil
	})
}

// Items that came while one popper was on its way reach the others.
func TestQueueWakesEnough(t *testing.T) {
	inBothWorlds(t, func(ctx context.Context, e env.Env) error {
		q := xsync.NewQueue[int](e, 4)
		g := xsync.NewGroup(ctx, e)
		for range 4 {
			g.Go("popper", func(ctx context.Context) error {
				_, err := q.Pop(ctx)
				return err
			})
		}
		if err := e.Clock().Sleep(ctx, moment); err != nil {
			return err
		}
		for range 4 {
			q.TryPush(1)
		}
		if err := g.Wait(); err != nil {
			return err
		}
		g = xsync.NewGroup(ctx, e)
		for range 8 {
			g.Go("pusher", func(ctx context.Context) error { return q.Push(ctx, 1) })
		}
		if err := e.Clock().Sleep(ctx, moment); err != nil {
			return err
		}
		if n, err := q.PopMany(ctx, make([]int, 4)); n != 4 || err != nil {
			return fmt.Errorf("popped %d, %w", n, err)
		}
		return g.Wait()
	})
}

func TestQueueEnds(t *testing.T) {
	inBothWorlds(t, func(ctx context.Context, e env.Env) error {
		q := xsync.NewQueue[int](e, 1)
		_, err := q.Pop(ending(ctx, e))
		if err := wantCause("Pop", err); err != nil {
			return err
		}
		if !q.TryPush(1) || q.TryPush(2) || q.Len() != 1 {
			return errors.New("a queue of one holds something else than one")
		}
		if err := wantCause("Push", q.Push(ending(ctx, e), 2)); err != nil {
			return err
		}
		e.Clock().AfterFunc(moment, func() { q.Close(errCause) })
		if err := wantCause("Push while closing", q.Push(ctx, 3)); err != nil {
			return err
		}
		if x, err := q.Pop(ctx); err != nil || x != 1 {
			return fmt.Errorf("what was in the queue: %d, %v", x, err)
		}
		if _, ok := q.TryPop(); ok {
			return errors.New("an empty queue had something")
		}
		_, err = q.Pop(ctx)
		return wantCause("Pop of a closed queue", err)
	})
}

func TestWatch(t *testing.T) {
	inBothWorlds(t, func(ctx context.Context, e env.Env) error {
		w := xsync.NewWatch(e, 0)
		g := xsync.NewGroup(ctx, e)
		for i := 1; i <= 20; i++ {
			g.Go("awaiter", func(ctx context.Context) error {
				v, err := w.Await(ctx, func(v int) bool { return v >= i })
				if err == nil && v < i {
					err = fmt.Errorf("awaited %d, got %d", i, v)
				}
				return err
			})
			g.Go("impatient", func(ctx context.Context) error {
				_, err := w.Await(ending(ctx, e), func(v int) bool { return v < 0 })
				return wantCause("Await", err)
			})
		}
		// A value that is there for a moment is not missed.
		g.Go("blink", func(ctx context.Context) error {
			v, err := w.Await(ctx, func(v int) bool { return v == 7 })
			if err == nil && v != 7 {
				err = fmt.Errorf("awaited 7, got %d", v)
			}
			return err
		})
		if err := e.Clock().Sleep(ctx, moment); err != nil {
			return err
		}
		for range 20 {
			w.Update(func(v int) int { return v + 1 })
		}
		if err := g.Wait(); err != nil {
			return err
		}
		if v, n := w.GetVersion(); v != 20 || n != 20 {
			return fmt.Errorf("value %d, version %d", v, n)
		}
		e.Clock().AfterFunc(moment, func() { w.Close(errCause) })
		_, err := w.Await(ctx, func(v int) bool { return v > 20 })
		if err := wantCause("Await of a closed watch", err); err != nil {
			return err
		}
		_, err = w.Await(ctx, func(v int) bool { return v == 20 })
		return err
	})
}

func TestSem(t *testing.T) {
	inBothWorlds(t, func(ctx context.Context, e env.Env) error {
		s := xsync.NewSem(e, 5)
		var held, most atomic.Int64
		g := xsync.NewGroup(ctx, e)
		for i := range 12 {
			n := int64(1 + i%5)
			g.Go("user", func(ctx context.Context) error {
				for range 20 {
					if err := s.Acquire(ctx, n); err != nil {
						return err
					}
					now := held.Add(n)
					most.Store(max(most.Load(), now))
					if now > 5 {
						return fmt.Errorf("%d units of 5 are held", now)
					}
					if err := e.Clock().Sleep(ctx, 0); err != nil {
						return err
					}
					held.Add(-n)
					s.Release(n)
				}
				return nil
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
		if !s.TryAcquire(3) || s.TryAcquire(3) {
			return errors.New("TryAcquire counts wrongly")
		}
		// One that asks for much and gives up lets those behind it go.
		g = xsync.NewGroup(ctx, e)
		g.Go("large", func(ctx context.Context) error { return wantCause("Acquire", s.Acquire(ending(ctx, e), 5)) })
		g.Go("small", func(ctx context.Context) error {
			if err := e.Clock().Sleep(ctx, moment/5); err != nil {
				return err
			}
			return s.Acquire(ctx, 1)
		})
		return g.Wait()
	})
}

func TestGate(t *testing.T) {
	inBothWorlds(t, func(ctx context.Context, e env.Env) error {
		gate := xsync.NewGate(e)
		if !gate.Enter() {
			return errors.New("an open gate is closed")
		}
		if err := wantCause("Close", gate.Close(ending(ctx, e))); err != nil {
			return err
		}
		if gate.Enter() {
			return errors.New("a closed gate is open")
		}
		left := false
		e.Clock().AfterFunc(moment, func() { left = true; gate.Leave() })
		if err := gate.Close(ctx); err != nil {
			return err
		}
		if !left {
			return errors.New("Close did not wait")
		}
		return gate.Close(ctx)
	})
}

func TestGroupFirstErrorCancels(t *testing.T) {
	inBothWorlds(t, func(ctx context.Context, e env.Env) error {
		g := xsync.NewGroup(ctx, e)
		var waited error
		g.Go("waits", func(ctx context.Context) error {
			waited = e.Clock().Sleep(ctx, time.Hour)
			return waited
		})
		g.Go("fails", func(ctx context.Context) error {
			_ = e.Clock().Sleep(ctx, moment)
			return errCause
		})
		if err := wantCause("Wait", g.Wait()); err != nil {
			return err
		}
		return wantCause("the other task", waited)
	})
}

func TestContextsEndInOrder(t *testing.T) {
	inBothWorlds(t, func(ctx context.Context, e env.Env) error {
		parent, cancel := xsync.WithCancel(ctx)
		var order []string
		note := func(ctx context.Context, what string) {
			ctx.(*xsync.Context).AfterFunc(func() { order = append(order, what) })
		}
		first, stop1 := xsync.WithCancel(parent)
		note(first, "first child")
		note(parent, "parent")
		second, stop2 := xsync.WithTimeout(context.WithValue(parent, errCause, 1), e, time.Hour)
		note(second, "second child")
		removed := parent.(*xsync.Context).AfterFunc(func() { order = append(order, "removed") })
		if !removed() || removed() {
			return errors.New("stop of an AfterFunc tells the wrong thing")
		}
		std, stop3 := context.WithCancel(second)
		defer stop3()
		cancel(errCause)
		if want := []string{"first child", "parent", "second child"}; !slices.Equal(order, want) {
			return fmt.Errorf("ended in the order %q, want %q", order, want)
		}
		for _, c := range []context.Context{parent, first, second, std} {
			select {
			case <-c.Done():
			default:
				return errors.New("a child is not done")
			}
			if !errors.Is(c.Err(), context.Canceled) {
				return fmt.Errorf("Err is %v", c.Err())
			}
		}
		stop1(nil)
		stop2()
		return errors.Join(wantCause("first", xsync.Cause(first)), wantCause("second", xsync.Cause(second)))
	})
}

func TestContextDeadlines(t *testing.T) {
	inBothWorlds(t, func(ctx context.Context, e env.Env) error {
		short, cancel := xsync.WithDeadline(ctx, e, e.Clock().Mono().Add(moment))
		defer cancel()
		long, cancel2 := xsync.WithTimeout(short, e, time.Hour)
		defer cancel2()
		a, ok := short.Deadline()
		b, ok2 := long.Deadline()
		if !ok || !ok2 || !a.Equal(b) {
			return fmt.Errorf("deadlines %s and %s", a, b)
		}
		if err := e.Clock().Sleep(long, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("sleep ended with %v", err)
		}
		past, cancel3 := xsync.WithTimeout(ctx, e, -1)
		defer cancel3()
		if !errors.Is(past.Err(), context.DeadlineExceeded) {
			return fmt.Errorf("a deadline in the past: %v", past.Err())
		}
		return nil
	})
}
