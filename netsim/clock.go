package netsim

import (
	"context"
	"time"

	"xenon/core/env"
	"xenon/core/xsync"
)

func causeOf(ctx context.Context) error { return xsync.Cause(ctx) }

// clockState is how the clocks of a process differ from the world's.
type clockState struct {
	ppm  int64 // runs faster by so many millionths
	skew int64 // of the wall clock alone
	boot int64 // when the monotonic clock stood at 0, in local time
	// frozen is the local time at which the wall clock stands still, plus 1.
	frozen int64
	// at the world's instant since, the local time was then.
	since, local int64
}

// elapsed is the local time since the start of the world.
func (c *clockState) elapsed(now int64) int64 {
	d := now - c.since
	return c.local + d + d/1_000_000*c.ppm + d%1_000_000*c.ppm/1_000_000
}

func (c *clockState) rebase(now int64) { c.local, c.since = c.elapsed(now), now }

func (c *clockState) reboot(now int64) { c.boot = c.elapsed(now) }

// lasts is how long the world waits until d has passed locally: never less.
func (c *clockState) lasts(d int64) int64 {
	if c.ppm == 0 {
		return d
	}
	rate := 1_000_000 + c.ppm
	return d/rate*1_000_000 + (d%rate*1_000_000+rate-1)/rate + 1
}

// clock is the env.Clock of an incarnation.
type clock Env

func (c *clock) Now() time.Time {
	(*Env)(c).Step()
	if c.proc.clock.wrong() {
		c.w.net.tally.ClockRead++
	}
	return (*Env)(c).now()
}

func (e *Env) now() time.Time {
	s := &e.proc.clock
	return e.w.opts.Epoch.Add(time.Duration(s.wall(e.w.now)))
}

func (c *clock) Mono() env.Instant {
	(*Env)(c).Step()
	s := &c.proc.clock
	return env.Instant(s.elapsed(c.w.now) - s.boot)
}

func (c *clock) Sleep(ctx context.Context, d time.Duration) error {
	(*Env)(c).Step()
	if err := xsync.Cause(ctx); err != nil {
		return err
	}
	w := c.w
	t := w.current("sleep")
	if d <= 0 {
		t.rest("sleep")
		return nil
	}
	return t.sleep(ctx, w.now+c.proc.clock.lasts(int64(d)), "sleep")
}

// sleep returns nil at the world's instant at, or the cause of ctx's end.
func (t *task) sleep(ctx context.Context, at int64, reason env.Reason) error {
	w := t.env.w
	if err := xsync.Cause(ctx); err != nil {
		return err
	}
	w.timers.add(&t.timer, at)
	defer w.timers.remove(&t.timer)
	for w.now < at {
		xsync.WaitUnder(ctx, &t.waiter, reason)
		if err := xsync.Cause(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (c *clock) AfterFunc(d time.Duration, f func()) env.Timer {
	(*Env)(c).Step()
	e := (*Env)(c)
	t := &envTimer{env: e}
	t.timer.call = func() {
		if !e.dead {
			e.w.spawn(e, "timer", func(context.Context) { f() })
		}
	}
	t.set(d)
	return t
}

// envTimer is a pending AfterFunc of an incarnation.
type envTimer struct {
	env   *Env
	timer Timer
}

func (t *envTimer) set(d time.Duration) {
	e := t.env
	e.w.timers.add(&t.timer, e.w.now+e.proc.clock.lasts(int64(max(d, 0))))
}

func (t *envTimer) Stop() bool {
	if t.env.Unwinding() {
		return false
	}
	return t.env.w.timers.remove(&t.timer)
}

func (t *envTimer) Reset(d time.Duration) bool {
	t.env.Step()
	was := t.env.w.timers.remove(&t.timer)
	t.set(d)
	return was
}
