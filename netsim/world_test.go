package netsim_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"xenon/core/env"
	"xenon/core/xsync"
	"xenon/netsim"
)

// run runs main as the process test of a new world, and closes the world.
func run(t *testing.T, o netsim.Options, main netsim.Main) *netsim.World {
	t.Helper()
	w := netsim.New(o)
	if err := w.Do(time.Hour, main); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return w
}

func TestSleepTakesVirtualTimeOnly(t *testing.T) {
	w := run(t, netsim.Options{}, func(ctx context.Context, e env.Env) error {
		start := e.Clock().Mono()
		if err := e.Clock().Sleep(ctx, 50*time.Minute); err != nil {
			return err
		}
		if got := e.Clock().Mono().Sub(start); got != 50*time.Minute {
			return fmt.Errorf("slept %s", got)
		}
		return nil
	})
	if w.Elapsed() != 50*time.Minute {
		t.Errorf("the world's clock stands at %s", w.Elapsed())
	}
}

func TestDeadlockShowsParkedStacks(t *testing.T) {
	w := netsim.New(netsim.Options{Seed: 7})
	defer w.Close()
	err := w.Do(time.Hour, func(ctx context.Context, e env.Env) error { return waitForNobody(ctx, e) })
	var f *netsim.Failure
	if !errors.As(err, &f) || f.Kind != "deadlock" || f.Seed != 7 {
		t.Fatalf("got %v", err)
	}
	if len(f.Parked) != 1 || !strings.Contains(string(f.Parked[0].Stack), "waitForNobody") || f.Parked[0].Reason != "queue pop" {
		t.Errorf("the report does not show who waits: %v", err)
	}
}

func waitForNobody(ctx context.Context, e env.Env) error {
	_, err := xsync.NewQueue[int](e, 1).Pop(ctx)
	return err
}

func TestTimeoutShowsParkedStacks(t *testing.T) {
	w := netsim.New(netsim.Options{})
	defer w.Close()
	err := w.Do(time.Minute, func(ctx context.Context, e env.Env) error { return e.Clock().Sleep(ctx, time.Hour) })
	var f *netsim.Failure
	if !errors.As(err, &f) || f.Kind != "timeout" || len(f.Parked) != 1 || f.Parked[0].Reason != "sleep" {
		t.Fatalf("got %v", err)
	}
}

func TestPanicIsReportedWithItsPlace(t *testing.T) {
	w := netsim.New(netsim.Options{Seed: 3})
	defer w.Close()
	cause := errors.New("broken")
	err := w.Do(time.Hour, func(ctx context.Context, e env.Env) error {
		e.Go("breaker", func(context.Context) { breaks(cause) })
		return e.Clock().Sleep(ctx, time.Hour)
	})
	var f *netsim.Failure
	if !errors.As(err, &f) || f.Kind != "panic" || f.Task != "breaker" || f.Proc != "test" || !errors.Is(err, cause) {
		t.Fatalf("got %v", err)
	}
	if !strings.Contains(string(f.Stack), "breaks") {
		t.Errorf("the stack does not show the place: %s", f.Stack)
	}
}

func breaks(err error) { panic(err) }

func TestLoopThatWaitsForNothing(t *testing.T) {
	w := netsim.New(netsim.Options{Still: 10_000})
	defer w.Close()
	err := w.Do(time.Hour, func(ctx context.Context, e env.Env) error {
		for {
			if err := e.Clock().Sleep(ctx, 0); err != nil {
				return err
			}
		}
	})
	var f *netsim.Failure
	if !errors.As(err, &f) || f.Kind != "livelock" {
		t.Fatalf("got %v", err)
	}
}

// A killed task runs its deferred functions, none of which is seen.
func TestKillUnwindsUnseen(t *testing.T) {
	w := netsim.New(netsim.Options{})
	p := w.Proc("victim", netsim.ProcOptions{})
	var unwound, after, seen int
	p.Start(func(ctx context.Context, e env.Env) error {
		var mu xsync.Mutex
		mu.Init(e)
		q := xsync.NewQueue[int](e, 1)
		for range 100 {
			e.Go("waits", func(ctx context.Context) {
				mu.Lock()
				defer mu.Unlock()
				defer func() {
					unwound++
					_ = recover()
					_ = e.Clock().Sleep(ctx, time.Second)
					after++
				}()
				_, _ = q.Pop(ctx)
				seen++
			})
		}
		return e.Clock().Sleep(ctx, time.Hour)
	})
	if err := w.Run(time.Second, nil); err != nil {
		t.Fatal(err)
	}
	p.Kill()
	if err := w.Run(time.Minute, nil); err != nil {
		t.Fatal(err)
	}
	// One task held the lock and waited; the others waited for the lock.
	if unwound != 1 || after != 0 || seen != 0 || p.Running() {
		t.Errorf("%d unwound, %d went on, %d saw the queue", unwound, after, seen)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

func TestTaskThatSwallowsItsEndFailsTheRun(t *testing.T) {
	w := netsim.New(netsim.Options{})
	p := w.Proc("undead", netsim.ProcOptions{})
	p.Start(func(ctx context.Context, e env.Env) error {
		for {
			func() {
				defer func() { _ = recover() }()
				_ = e.Clock().Sleep(ctx, time.Second)
			}()
		}
	})
	_ = w.Run(time.Second, nil)
	p.Kill()
	var f *netsim.Failure
	if err := w.Close(); !errors.As(err, &f) || f.Kind != "undead" {
		t.Errorf("got %v", err)
	}
}

func TestKillOfOneselfDoesNotReturn(t *testing.T) {
	w := netsim.New(netsim.Options{})
	p := w.Proc("suicide", netsim.ProcOptions{})
	survived := false
	p.Start(func(ctx context.Context, e env.Env) error {
		p.Kill()
		survived = true
		return nil
	})
	if err := w.Run(time.Second, nil); err != nil || survived || p.Running() {
		t.Errorf("err %v, survived %t", err, survived)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

func TestPauseHoldsTasksAndTimeGoesOn(t *testing.T) {
	w := netsim.New(netsim.Options{})
	p := w.Proc("paused", netsim.ProcOptions{})
	var ticks []time.Duration
	p.Start(func(ctx context.Context, e env.Env) error {
		for {
			if err := e.Clock().Sleep(ctx, time.Second); err != nil {
				return err
			}
			ticks = append(ticks, w.Elapsed())
		}
	})
	w.After(2500*time.Millisecond, p.Pause)
	w.After(7500*time.Millisecond, p.Resume)
	if err := w.Run(9*time.Second, nil); err != nil {
		t.Fatal(err)
	}
	want := []time.Duration{1e9, 2e9, 7.5e9, 8.5e9}
	if fmt.Sprint(ticks) != fmt.Sprint(want) {
		t.Errorf("ticks at %v, want %v", ticks, want)
	}
	p.Stop()
	if err := w.Run(time.Second, func() bool { return !p.Running() }); err != nil || !errors.Is(p.Err(), context.Canceled) {
		t.Errorf("stop: %v, %v", err, p.Err())
	}
	_ = w.Close()
}

func TestClocksDriftAndStep(t *testing.T) {
	w := netsim.New(netsim.Options{})
	fast := w.Proc("fast", netsim.ProcOptions{})
	fast.SetDrift(1_000_000) // twice as fast
	err := fast.Do(time.Hour, func(ctx context.Context, e env.Env) error {
		wall, mono := e.Clock().Now(), e.Clock().Mono()
		if err := e.Clock().Sleep(ctx, 10*time.Second); err != nil {
			return err
		}
		if d := e.Clock().Mono().Sub(mono); d < 10*time.Second || d > 10*time.Second+time.Microsecond {
			return fmt.Errorf("slept %s of its own time", d)
		}
		if d := w.Elapsed(); d < 5*time.Second || d > 5*time.Second+time.Microsecond {
			return fmt.Errorf("slept %s of the world's time", d)
		}
		fast.StepClock(-time.Hour)
		if d := e.Clock().Now().Sub(wall); d > -59*time.Minute {
			return fmt.Errorf("the wall clock did not step back: %s", d)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	_ = w.Close()
}

// Charges of one process queue for its CPU.
func TestChargeAndSlow(t *testing.T) {
	w := run(t, netsim.Options{}, func(ctx context.Context, e env.Env) error {
		g := xsync.NewGroup(ctx, e)
		for range 3 {
			g.Go("worker", func(context.Context) error { e.Charge(time.Second); return nil })
		}
		return g.Wait()
	})
	if w.Elapsed() != 3*time.Second {
		t.Errorf("three charges of 1s took %s", w.Elapsed())
	}
}

// scenario is a small system in which everything random happens: four clients
// that write to an echo server that is killed again and again.
func scenario(o netsim.Options) (*netsim.World, error) {
	o.Link = netsim.DefaultLink
	o.Link.Splits, o.Link.Resets, o.Link.Tails, o.Link.Tail = 300, 20_000, 50, 10*time.Millisecond
	w := netsim.New(o)
	server := w.Proc("server", netsim.ProcOptions{})
	server.Start(echo)
	chaos := w.Rand("chaos")
	for i := range 5 {
		w.After(time.Duration(i)*300*time.Millisecond+time.Duration(chaos.IntN(1e8)), func() {
			if chaos.IntN(2) == 0 {
				server.Kill()
			} else {
				server.PowerCut()
			}
			server.Start(echo)
		})
	}
	return w, w.Do(time.Hour, clients)
}

func echo(ctx context.Context, e env.Env) error {
	l, err := e.Net().Listen(ctx, ":7")
	if err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		e.Go("echo", func(context.Context) {
			defer c.Close()
			_, _ = io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c})
		})
	}
}

func clients(ctx context.Context, e env.Env) error {
	g := xsync.NewGroup(ctx, e)
	for i := range 4 {
		rnd := e.Rand(fmt.Sprint("client ", i))
		g.Go("client", func(ctx context.Context) error {
			for range 20 {
				sent := make([]byte, 1+rnd.IntN(3000))
				for j := range sent {
					sent[j] = byte(rnd.Uint32())
				}
				if err := once(ctx, e, sent); err != nil {
					return err
				}
				if err := e.Clock().Sleep(ctx, time.Duration(rnd.IntN(1e8))); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// once sends and reads back; only wrong bytes are an error.
func once(ctx context.Context, e env.Env, sent []byte) error {
	ctx, cancel := xsync.WithTimeout(ctx, e, 5*time.Second)
	defer cancel()
	c, err := e.Net().Dial(ctx, "server:7")
	if err != nil {
		return nil
	}
	defer c.Close()
	_ = c.SetDeadline(e.Clock().Now().Add(5 * time.Second))
	if _, err := c.Write(sent); err != nil {
		return nil
	}
	got := make([]byte, len(sent))
	if n, _ := io.ReadFull(c, got); string(got[:n]) != string(sent[:n]) {
		return errors.New("other bytes came back than were sent")
	}
	return nil
}
