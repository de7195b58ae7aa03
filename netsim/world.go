package netsim

import (
	"cmp"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"xenon/core/env"
)

// Options say what a world is like. The zero value is a calm one: random
// order, no needless wakes, the default link everywhere.
type Options struct {
	Seed   uint64
	Forks  []Fork
	Policy Policy
	// Even makes every packet of a link take its Latency, no more and no less.
	Even bool
	// Yields and Wakes are how many of 1,000 operations first let others run,
	// and how many of 1,000 steps wake a parked task for no reason.
	Yields, Wakes int
	// Link is what every link is like until SetLink changes it. Its zero
	// value means DefaultLink.
	Link LinkOptions
	// Epoch is what clocks show at the start; zero means 2026-01-01 UTC.
	Epoch time.Time
	// Still is how many steps the world may take while its clock stands
	// still: more is a loop that waits for nothing. 0 means 1,000,000.
	Still int
	// OnStep is told after each step, outside any task. It may Fail the world.
	OnStep func()
	// Log takes the lines of Env.Log; nil drops them.
	Log io.Writer
	// Observe is told of everything that goes into the trace hash, in order.
	// It must not call the world.
	Observe func(Event)
	// Record is told of the same with names and bytes, and of more, for whoever
	// shows the run to a person. It must not call the world.
	Record func(Detail)
	// OnNote is told of every event a part notes, before its task goes on.
	OnNote func(p *Proc, e env.Event)
	// Stuck is told when no step was taken for ten seconds of wall time, with
	// the stacks of all goroutines. The default prints them and exits.
	Stuck func(stacks []byte)
	// Guard makes Close fail if goroutines were started meanwhile that are no
	// tasks. It needs to be the only world at work in its operating system
	// process.
	Guard bool
}

// A World is processes and what joins them. It is used by one goroutine at a
// time; several worlds share nothing.
type World struct {
	opts  Options
	wakes *rand.Rand // tasks that are woken for no reason
	yield *rand.Rand // operations that let others run first
	forks []Fork     // to come
	salts [streamKinds]uint64
	sched scheduler
	trace trace
	steps atomic.Uint64 // for the watchdog; written by the world alone

	now    int64 // ns since the start
	timers timers

	procs []*Proc
	net   network
	cur   *task
	tasks []*task // all that have not ended; holes are filled from the end
	dying []*Env  // ended incarnations whose tasks have not been unwound yet

	lastTask, lastEnv uint64
	created           uint64       // coroutines
	idle              []*coroutine // that run no task
	sameInstant       int          // steps since the clock moved
	failure           *Failure
	goroutines        uint64        // started in this process when the world was made
	watchTicks        atomic.Uint64 // goroutines of the watchdog
	closed            bool
}

// New makes a world without processes.
func New(o Options) *World {
	if o.Epoch.IsZero() {
		o.Epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	if o.Still == 0 {
		o.Still = 1_000_000
	}
	if o.Link == (LinkOptions{}) {
		o.Link = DefaultLink
	}
	w := &World{opts: o}
	w.forks = slices.SortedStableFunc(slices.Values(o.Forks), func(a, b Fork) int { return cmp.Compare(a.Step, b.Step) })
	w.wakes, w.yield = w.stream(schedule, "wakes"), w.stream(schedule, "yields")
	w.sched.init(w.stream(schedule, "schedule"), o.Policy)
	w.net.init(w)
	w.trace.init(o)
	if o.Guard {
		runtime.GC() // its workers are started once, and would count
		w.goroutines = goroutinesCreated()
	}
	return w
}

// Seed is what the world was made from.
func (w *World) Seed() uint64 { return w.opts.Seed }

// Elapsed is the simulated time since the start.
func (w *World) Elapsed() time.Duration { return time.Duration(w.now) }

// Steps is how many times a task was resumed.
func (w *World) Steps() uint64 { return w.steps.Load() }

// Run runs the world until until says so, for limit at most. It returns a
// [Failure] if a task panicked or Fail was called; if until is given, also if
// the limit came first, or if nothing can happen any more. Without until it
// runs for limit, or until nothing can happen any more.
func (w *World) Run(limit time.Duration, until func() bool) error {
	stop := w.watch()
	defer stop()
	end := w.now + int64(limit)
	for w.failure == nil {
		if len(w.dying) > 0 {
			w.unwind()
			continue
		}
		if until != nil && until() {
			break
		}
		if t := w.sched.pick(); t != nil {
			w.step(t)
			continue
		}
		if !w.advance(end) {
			w.stopped(end, until != nil)
			break
		}
	}
	if w.failure != nil {
		return w.failure
	}
	return nil
}

// Do runs f as a process of its own, named test, until f returns; see Run.
func (w *World) Do(limit time.Duration, f Main) error {
	p := w.Find("test")
	if p == nil {
		p = w.Proc("test", ProcOptions{})
	}
	return p.Do(limit, f)
}

// step resumes t until it parks.
func (w *World) step(t *task) {
	if t.held() {
		return
	}
	step := w.steps.Load() + 1
	w.steps.Store(step)
	for len(w.forks) > 0 && step >= w.forks[0].Step {
		w.fork()
	}
	if w.sameInstant++; w.sameInstant > w.opts.Still {
		w.fail(&Failure{Kind: "livelock", Text: "the clock stands still while tasks run on and on", Proc: t.env.proc.name, Task: t.name, Parked: w.parked()})
		return
	}
	w.trace.step(w.now, t.id)
	if w.opts.Wakes > 0 && w.wakes.IntN(1000) < w.opts.Wakes {
		w.wakeAny()
	}
	w.resume(t)
	if w.opts.OnStep != nil {
		w.opts.OnStep()
	}
}

func (w *World) resume(t *task) {
	before := w.cur
	w.cur = t
	t.resume()
	w.cur = before
	if t.state == taskEnded {
		w.idle = append(w.idle, t.co)
		w.forget(t)
	}
}

// wakeAny wakes a parked task for no reason.
func (w *World) wakeAny() {
	t := w.tasks[w.wakes.IntN(len(w.tasks))]
	if t.state == taskParked {
		w.ready(t)
	}
}

// advance moves the clock to the next timer and fires it, unless that is
// beyond end.
func (w *World) advance(end int64) bool {
	at, ok := w.timers.next()
	if !ok || at > end {
		return false
	}
	if at > w.now {
		w.now = at
		w.sameInstant = 0
	}
	w.timers.pop().fire(w)
	return true
}

// stopped decides what it means that nothing happens before end any more.
func (w *World) stopped(end int64, expected bool) {
	if _, more := w.timers.next(); more {
		w.now = max(w.now, end)
		w.sameInstant = 0
		if expected {
			w.fail(&Failure{Kind: "timeout", Text: "the run did not come to its end in time", Parked: w.parked()})
		}
		return
	}
	if expected {
		w.fail(&Failure{Kind: "deadlock", Text: "nothing can happen any more", Parked: w.parked()})
	}
}

// After calls f after d, between two steps and outside any task. f may start,
// kill and cut, but not wait.
func (w *World) After(d time.Duration, f func()) *Timer {
	t := &Timer{call: f}
	w.timers.add(t, w.now+int64(max(d, 0)))
	return t
}

// Stop keeps a pending After from being called.
func (w *World) Stop(t *Timer) bool { return w.timers.remove(t) }

// Close kills every process and lets all tasks unwind. It returns the failure
// of the world, if there was one.
func (w *World) Close() error {
	if !w.closed {
		w.closed = true
		w.opts.Record = nil // how a world is taken down is no part of the run
		for _, p := range w.procs {
			p.Kill()
		}
		w.unwind()
		for _, c := range w.idle {
			c.stop()
		}
		w.checkGoroutines()
	}
	if w.failure != nil {
		return w.failure
	}
	return nil
}
