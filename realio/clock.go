package realio

import (
	"context"
	"time"

	"golang.org/x/sys/unix"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/xsync"
)

// wallClock is the machine's clock. Its timers are tasks of the Env, so that
// Close waits for them too.
type wallClock struct{ env *Env }

func (c *wallClock) Now() time.Time { return time.Now() }

// Mono reads CLOCK_BOOTTIME, which also counts the time a machine slept: a
// lease must not outlive a closed lid.
func (c *wallClock) Mono() env.Instant {
	var ts unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts)
	core.Must(err == nil, "read CLOCK_BOOTTIME: %v", err)
	return env.Instant(ts.Nano())
}

func (c *wallClock) Sleep(ctx context.Context, d time.Duration) error {
	if ctx.Err() != nil {
		return xsync.Cause(ctx)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return xsync.Cause(ctx)
	}
}

// AfterFunc counts f as a task only while it runs: a pending timer does not
// keep Close waiting, and does nothing after it.
func (c *wallClock) AfterFunc(d time.Duration, f func()) env.Timer {
	return time.AfterFunc(d, func() {
		if c.env.enter("timer") {
			defer c.env.leave("timer")
			f()
		}
	})
}
