// Package xsync has what tasks wait with: locks, queues, watched values,
// semaphores, groups and contexts, written once for both worlds.
//
// A constructor takes the [env.Env] of the process the thing belongs to. In
// production everything may also be used by goroutines that no Env started,
// such as those that carry FUSE requests, and the zero Mutex, RWMutex, Cond
// and Gate are ready for use. In the simulator a task parks as a coroutine;
// the world learns of every call through [Scheduler].
//
// A call that takes a context returns [Cause] of it once it has ended, and it
// looks before it looks at anything else: a loop over a queue that never runs
// dry still ends. A call that was let in at the moment its context ended may
// still succeed.
//
// Everything is built the same way: a leaf lock over a few fields, a list of
// parked tasks, and a loop that checks its condition again after each wake,
// because worlds wake tasks for no reason. Start at [parked.wait].
//
// A task of a killed process unwinds by a panic that its park raises. While
// it does, unlocking, leaving and cancelling do nothing: no other task may see
// the effect of a deferred call that a real crash would not have run.
package xsync

import (
	"errors"

	"xenon/core/env"
)

// ErrClosed is what a closed queue, watch or gate answers when it was closed
// without an error of its own.
var ErrClosed = errors.New("closed")

// A Scheduler is an Env whose world runs one task at a time and wants to see
// every operation. Production's Env is none.
type Scheduler interface {
	// Step comes before every operation that another task could observe. It
	// may let other tasks run first; in a task of a dead process it raises.
	// Outside any task it does nothing.
	Step()
	// Unwinding tells whether the calling task belongs to a dead process.
	Unwinding() bool
	// TaskWaiter is the calling task's own waiter. Calling it outside a task
	// panics, since nothing could park.
	TaskWaiter() env.Waiter
}

func schedulerOf(e env.Env) Scheduler {
	s, _ := e.(Scheduler)
	return s
}

func step(s Scheduler) {
	if s != nil {
		s.Step()
	}
}

func unwinding(s Scheduler) bool { return s != nil && s.Unwinding() }
