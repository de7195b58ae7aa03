package netsim

import (
	"cmp"
	"context"
	"errors"
	"runtime/debug"
	"slices"

	"xenon/core/env"
)

type taskState uint8

const (
	taskNew taskState = iota
	taskRunning
	taskParked
	taskEnded
)

// A task is a function that one incarnation runs beside others.
type task struct {
	id   uint64 // in the order of creation
	name string
	env  *Env
	f    func(ctx context.Context)
	co   *coroutine // from its first step to its end

	state  taskState
	queued bool // ready, or about to be
	dump   bool // note the stack and park again
	// starved and priority belong to the policy.
	starved  bool
	priority int64
	index    int // in World.tasks

	waiter waiter
	timer  Timer // for one sleep at a time
	reason env.Reason
	stack  []byte
	raised int // how often it was told that it is dead
}

// errKilled is what unwinds a task of a process that has ended.
var errKilled = errors.New("the simulated process has ended")

// maxRaised is how often a task may swallow errKilled and go on.
const maxRaised = 1000

func (w *World) spawn(e *Env, name string, f func(ctx context.Context)) *task {
	w.lastTask++
	t := &task{id: w.lastTask, name: name, env: e, f: f, index: len(w.tasks)}
	t.waiter.w = w
	t.timer.task = t
	w.tasks = append(w.tasks, t)
	w.sched.enrol(t)
	w.ready(t)
	return t
}

// forget drops a task that has ended.
func (w *World) forget(t *task) {
	t.state = taskEnded
	w.timers.remove(&t.timer)
	last := w.tasks[len(w.tasks)-1]
	w.tasks[t.index], last.index = last, t.index
	w.tasks[len(w.tasks)-1] = nil
	w.tasks = w.tasks[:len(w.tasks)-1]
}

// ready makes a parked or new task run again, later if its process is slow.
func (w *World) ready(t *task) {
	if t.queued || t.state == taskEnded {
		return
	}
	t.queued = true
	if e := t.env; e.proc.slow > 0 && !e.dead {
		e.busy = max(e.busy, w.now) + int64(e.proc.slow)
		w.timers.add(&Timer{call: func() { w.push(t) }}, e.busy)
		return
	}
	w.push(t)
}

func (w *World) push(t *task) {
	if t.state != taskEnded {
		w.sched.push(t)
	}
}

// held tells whether t, just picked, must not run now.
func (t *task) held() bool {
	switch {
	case t.state == taskEnded || t.env.dead:
		t.queued = false
		return true
	case t.env.proc.paused:
		t.env.held = append(t.env.held, t)
		return true
	}
	t.queued = false
	return false
}

// resume runs t until it parks or ends.
func (t *task) resume() {
	if t.state == taskNew {
		t.co = t.env.w.coroutine()
		t.co.task = t
	}
	t.state = taskRunning
	t.co.resume()
}

func (t *task) run() {
	returned := false
	defer func() { t.finish(returned, recover()) }()
	t.f(t.env.ctx)
	returned = true
}

// finish runs as the last deferred function of t, where the frames of a panic
// are still on the stack.
func (t *task) finish(returned bool, r any) {
	t.state = taskEnded
	t.f = nil
	if returned || t.env.dead {
		return
	}
	w := t.env.w
	f := &Failure{Kind: "panic", Proc: t.env.proc.name, Task: t.name, Stack: debug.Stack()}
	switch r := r.(type) {
	case nil:
		f.Text = "the task called runtime.Goexit (t.FailNow, perhaps), which cannot be simulated"
	case error:
		f.Text, f.cause = r.Error(), r
	default:
		f.Text = sprint(r)
	}
	w.fail(f)
}

// park gives control back until the task is resumed, for whatever reason. In
// a process that has ended it does not return.
func (t *task) park(reason env.Reason) {
	t.checkAlive()
	t.reason = reason
	for {
		t.state = taskParked
		t.co.yield(struct{}{})
		if !t.dump {
			break
		}
		t.stack = debug.Stack()
	}
	t.state = taskRunning
	t.checkAlive()
}

// checkAlive raises in a task of a process that has ended. It does so at every
// call that reaches the world: a task that recovers gets no further.
func (t *task) checkAlive() {
	if !t.env.dead {
		return
	}
	if t.raised++; t.raised > maxRaised {
		t.env.w.fail(&Failure{Kind: "undead", Proc: t.env.proc.name, Task: t.name,
			Text: "the task swallows the end of its process", Stack: debug.Stack()})
		for {
			t.state = taskParked
			t.co.yield(struct{}{})
		}
	}
	panic(errKilled)
}

// rest lets the others run first.
func (t *task) rest(reason env.Reason) {
	t.checkAlive()
	t.env.w.ready(t)
	t.park(reason)
}

// sleepUntil cannot be interrupted but by the end of the process.
func (t *task) sleepUntil(at int64, reason env.Reason) {
	w := t.env.w
	w.timers.add(&t.timer, at)
	for w.now < at {
		t.park(reason)
	}
	w.timers.remove(&t.timer)
}

// unwind lets the tasks of ended incarnations run their deferred functions.
func (w *World) unwind() {
	for len(w.dying) > 0 {
		e := w.dying[0]
		w.dying = w.dying[1:]
		for _, t := range w.tasksOf(e) {
			switch t.state {
			case taskNew:
				w.forget(t)
			case taskParked:
				w.resume(t)
				if t.state != taskEnded {
					w.forget(t) // it failed the run already
				}
			}
		}
	}
}

// tasksOf is the tasks of an incarnation, oldest first.
func (w *World) tasksOf(e *Env) []*task {
	var own []*task
	for _, t := range w.tasks {
		if t.env == e {
			own = append(own, t)
		}
	}
	slices.SortFunc(own, func(a, b *task) int { return cmp.Compare(a.id, b.id) })
	return own
}

// waiter is env.Waiter on a task.
type waiter struct {
	w      *World
	parked *task
	woken  bool
}

func (x *waiter) Wait(reason env.Reason) {
	t := x.w.current("wait")
	t.checkAlive()
	if !x.woken {
		x.parked = t
		t.park(reason)
		x.parked = nil
	}
	x.woken = false
}

func (x *waiter) Wake() {
	x.woken = true
	if x.parked != nil {
		x.w.ready(x.parked)
	}
}

// current is the running task. Only tasks may do what needs one.
func (w *World) current(what string) *task {
	if w.cur == nil {
		panic("netsim: only a task can " + what)
	}
	return w.cur
}

// waitset is tasks that wait for the same thing to change.
type waitset struct{ tasks []*task }

// wait parks the calling task until wakeAll, or for no reason.
func (s *waitset) wait(w *World, reason env.Reason) {
	t := w.current("wait")
	s.tasks = append(s.tasks, t)
	defer s.remove(t)
	t.park(reason)
}

func (s *waitset) remove(t *task) {
	for i, x := range s.tasks {
		if x == t {
			s.tasks = append(s.tasks[:i], s.tasks[i+1:]...)
			return
		}
	}
}

func (s *waitset) wakeAll(w *World) {
	for _, t := range s.tasks {
		w.ready(t)
	}
}
