package netsim

import (
	"fmt"
	"os" //simsafe:allow the watchdog ends the operating system process
	"runtime"
	"runtime/metrics"
	"sync/atomic"
	"time"
)

const (
	watchTick = 100 * time.Millisecond
	// stuckTicks are ten seconds in which the watchdog itself got to run. On a
	// machine with much else to do, a task that could run waits for seconds.
	stuckTicks = 100
)

// watch reports a task that really blocks, or never ends: such a bug would
// otherwise hang the run without a word. It starts nothing before the first
// tick, so that short runs stay cheap.
func (w *World) watch() (stop func()) {
	var done atomic.Bool
	var last uint64
	ticks := 0
	var timer *time.Timer //simsafe:allow the watchdog lives in real time
	timer = time.AfterFunc(time.Hour, func() {
		w.watchTicks.Add(1)
		if done.Load() {
			return
		}
		if now := w.steps.Load(); now != last {
			last, ticks = now, 0
		} else if ticks++; ticks == stuckTicks {
			w.stuck()
		}
		timer.Reset(watchTick)
	})
	timer.Reset(watchTick)
	return func() {
		done.Store(true)
		timer.Stop()
	}
}

func (w *World) stuck() {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	if w.opts.Stuck != nil {
		w.opts.Stuck(stacks)
		return
	}
	fmt.Fprintf(os.Stderr, "netsim: no step for ten seconds after step %d of seed %d; the task that blocks is among these:\n%s\n",
		w.steps.Load(), w.opts.Seed, stacks)
	os.Exit(3)
}

// goroutinesCreated counts since the start of the operating system process.
func goroutinesCreated() uint64 {
	s := []metrics.Sample{{Name: "/sched/goroutines-created:goroutines"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// checkGoroutines finds goroutines that the scheduler did not start.
func (w *World) checkGoroutines() {
	if !w.opts.Guard {
		return
	}
	started := goroutinesCreated() - w.goroutines
	if own := w.created + w.watchTicks.Load(); started > own {
		w.fail(&Failure{Kind: "goroutines", Text: fmt.Sprintf("%d goroutines were started outside the scheduler", started-own)})
	}
}
