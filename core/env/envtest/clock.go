package envtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"xenon/core/env"
	"xenon/core/xsync"
)

// A Scenario is what a suite runs as the main task of a process. It returns
// what it found wrong.
type Scenario func(ctx context.Context, e env.Env) error

type scenario struct {
	name string
	run  Scenario
}

func runScenarios(t *testing.T, all []scenario, run func(t *testing.T, s Scenario)) {
	for _, s := range all {
		t.Run(s.name, func(t *testing.T) { run(t, s.run) })
	}
}

// Clock holds clocks, timers, tasks and waiters to their contract. run runs a
// scenario in a new process of the world under test, and fails t with its
// error. What it waits for in real time is a few hundredths of a second.
func Clock(t *testing.T, run func(t *testing.T, s Scenario)) {
	runScenarios(t, []scenario{
		{"mono never goes back", monoRises},
		{"sleep lasts at least as long as asked", sleepLasts},
		{"sleep ends with its context", sleepEnds},
		{"sleep under a context that has ended", sleepUnderEnded},
		{"AfterFunc runs once", afterFuncRuns},
		{"a stopped timer does not run", timerStops},
		{"a reset timer runs later", timerResets},
		{"a wake before the wait is kept", wakeIsKept},
		{"a wake ends the wait", wakeEndsWait},
		{"tasks share the context of the process", tasksHaveContext},
		{"compute returns the error of its function", computeReturns},
		{"streams of random numbers are their own", randStreams},
		{"entropy does not repeat", entropyDiffers},
	}, run)
}

const moment = 10 * time.Millisecond

func monoRises(ctx context.Context, e env.Env) error {
	last := e.Clock().Mono()
	for range 100 {
		now := e.Clock().Mono()
		if now < last {
			return fmt.Errorf("went from %d to %d", last, now)
		}
		last = now
	}
	return nil
}

func sleepLasts(ctx context.Context, e env.Env) error {
	for _, d := range []time.Duration{0, -1, 1, moment} {
		start := e.Clock().Mono()
		if err := e.Clock().Sleep(ctx, d); err != nil {
			return err
		}
		if took := e.Clock().Mono().Sub(start); took < d {
			return fmt.Errorf("sleep of %s took %s", d, took)
		}
	}
	return nil
}

func sleepEnds(ctx context.Context, e env.Env) error {
	cause := errors.New("woken")
	under, cancel := xsync.WithCancel(ctx)
	e.Clock().AfterFunc(moment, func() { cancel(cause) })
	if err := e.Clock().Sleep(under, time.Hour); !errors.Is(err, cause) {
		return fmt.Errorf("cancelled sleep returned %v", err)
	}
	timed, stop := xsync.WithTimeout(ctx, e, moment)
	defer stop()
	if err := e.Clock().Sleep(timed, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("timed out sleep returned %v", err)
	}
	return nil
}

func sleepUnderEnded(ctx context.Context, e env.Env) error {
	cause := errors.New("ended")
	under, cancel := xsync.WithCancel(ctx)
	cancel(cause)
	for _, d := range []time.Duration{0, time.Hour} {
		if err := e.Clock().Sleep(under, d); !errors.Is(err, cause) {
			return fmt.Errorf("sleep of %s returned %v", d, err)
		}
	}
	return nil
}

func afterFuncRuns(ctx context.Context, e env.Env) error {
	ran := xsync.NewWatch(e, 0)
	start := e.Clock().Mono()
	timer := e.Clock().AfterFunc(moment, func() { ran.Update(func(n int) int { return n + 1 }) })
	if _, err := ran.Await(ctx, func(n int) bool { return n > 0 }); err != nil {
		return err
	}
	if took := e.Clock().Mono().Sub(start); took < moment {
		return fmt.Errorf("it ran after %s", took)
	}
	if timer.Stop() {
		return errors.New("Stop says that it kept from running what has run")
	}
	if err := e.Clock().Sleep(ctx, 3*moment); err != nil {
		return err
	}
	if n := ran.Get(); n != 1 {
		return fmt.Errorf("it ran %d times", n)
	}
	return nil
}

func timerStops(ctx context.Context, e env.Env) error {
	var ran atomic.Bool
	timer := e.Clock().AfterFunc(time.Hour, func() { ran.Store(true) })
	if !timer.Stop() {
		return errors.New("Stop of a pending timer says no")
	}
	if timer.Stop() {
		return errors.New("Stop of a stopped timer says yes")
	}
	if err := e.Clock().Sleep(ctx, moment); err != nil {
		return err
	}
	if ran.Load() {
		return errors.New("it ran")
	}
	return nil
}

func timerResets(ctx context.Context, e env.Env) error {
	ran := xsync.NewWatch(e, false)
	timer := e.Clock().AfterFunc(time.Hour, func() { ran.Set(true) })
	if !timer.Reset(moment) {
		return errors.New("Reset of a pending timer says that it was not")
	}
	isTrue := func(b bool) bool { return b }
	if _, err := ran.Await(ctx, isTrue); err != nil {
		return err
	}
	ran.Set(false)
	if timer.Reset(moment) {
		return errors.New("Reset of a timer that has run says that it was pending")
	}
	_, err := ran.Await(ctx, isTrue)
	return err
}

func wakeIsKept(_ context.Context, e env.Env) error {
	w := e.NewWaiter()
	w.Wake()
	w.Wake()
	w.Wait("a wake that came before")
	return nil
}

func wakeEndsWait(_ context.Context, e env.Env) error {
	w := e.NewWaiter()
	var woken atomic.Bool
	e.Go("waker", func(context.Context) {
		woken.Store(true)
		w.Wake()
	})
	for !woken.Load() {
		w.Wait("a wake of another task")
	}
	return nil
}

func tasksHaveContext(ctx context.Context, e env.Env) error {
	errs := xsync.NewQueue[error](e, 1)
	e.Go("task", func(own context.Context) { errs.TryPush(own.Err()) })
	got, err := errs.Pop(ctx)
	if err != nil {
		return err
	}
	if got != nil {
		return fmt.Errorf("the context of a task of a running process says %w", got)
	}
	return nil
}

func computeReturns(ctx context.Context, e env.Env) error {
	cause := errors.New("computed")
	ran := false
	if err := e.Compute(ctx, "test", func() error { ran = true; return cause }); !errors.Is(err, cause) || !ran {
		return fmt.Errorf("compute returned %v, ran %t", err, ran)
	}
	return e.Compute(ctx, "test", func() error { return nil })
}

func randStreams(_ context.Context, e env.Env) error {
	a, b := e.Rand("a"), e.Rand("b")
	same := 0
	for range 64 {
		if a.Uint64() == b.Uint64() {
			same++
		}
	}
	if same > 1 {
		return fmt.Errorf("%d of 64 numbers of two streams are equal", same)
	}
	return nil
}

func entropyDiffers(_ context.Context, e env.Env) error {
	seen := make(map[[16]byte]bool)
	for range 100 {
		var id [16]byte
		if _, err := io.ReadFull(e.Entropy(), id[:]); err != nil {
			return err
		}
		if seen[id] {
			return fmt.Errorf("%x came twice", id)
		}
		seen[id] = true
	}
	return nil
}
