// Package env declares the seams between the parts of xenon and the world:
// clock, network, disk, object store, tasks. It has interfaces and errors
// only.
//
// A world implements [Env]: netsim with diskdrv in the simulator, realio in
// production. A part takes an Env through its constructor and meets the
// outside through nothing else; so the same driver runs in both worlds. The
// contracts below are prose; package envtest holds every implementation to
// them.
//
// # For programs of others
//
// Nothing here is about databases. A program that takes an [Env] where it would
// call net, os, time and go can be run in the simulator with every fault that
// there is, and in production by realio. It waits with package xsync in place of
// channels, select and the locks of sync; it takes random numbers from Env.Rand
// and ids from Env.Entropy; it ranges over no map where the order could show.
// That is all that makes its run a function of a seed. The example below is such
// a program; examples/register is a larger one, in a module of its own.
package env

import (
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"time"
)

// An Env is the whole outside of one process. All its methods may be called
// from any task of the process, and from foreign goroutines in production.
type Env interface {
	Clock() Clock
	Net() Net
	FS() FS
	Objects() ObjectStore

	// Rand is a stream of random numbers of its own for every name. In the
	// simulator it depends on seed, process, incarnation and name alone.
	Rand(stream string) *rand.Rand
	// Entropy is where ids and nonces come from.
	Entropy() io.Reader

	// Go starts a task of this process. Its context ends with the process.
	Go(name string, f func(ctx context.Context))
	// Charge says that the code around it costs d of CPU; it does nothing in
	// production.
	Charge(d time.Duration)
	// Compute runs f on a worker of its own in production, inline in the
	// simulator, and returns its error. f calls nothing of Env.
	Compute(ctx context.Context, name string, f func() error) error
	// NewWaiter makes the one thing tasks park on; see package xsync for
	// everything that is built of it.
	NewWaiter() Waiter

	// Trace is where a part notes what happened; nil is a valid trace that
	// drops everything.
	Trace() *Trace
	Log() *slog.Logger
}

// A Waiter parks one task at a time. It may be used again after Wait returned.
type Waiter interface {
	// Wait parks until Wake is called, or returns at once if Wake was called
	// since the last Wait. It may also return for no reason at all: callers
	// check their condition again.
	Wait(reason Reason)
	// Wake never blocks and may be called any number of times, by anybody.
	Wake()
}

// A Reason says what a parked task waits for, for the dump of parked stacks.
type Reason string

// An Instant is nanoseconds of a process's monotonic clock.
type Instant int64

// Sub is the time from o to i.
func (i Instant) Sub(o Instant) time.Duration { return time.Duration(i - o) }

// Add is the instant d after i.
func (i Instant) Add(d time.Duration) Instant { return i + Instant(d) }

// A Clock tells time and waits for it.
type Clock interface {
	// Now may jump in either direction: it is for display and for stamps.
	Now() time.Time
	// Mono never goes back within one incarnation of a process.
	Mono() Instant
	// Sleep returns nil after d, or the cause of ctx's end.
	Sleep(ctx context.Context, d time.Duration) error
	// AfterFunc runs f as a task of its own after d.
	AfterFunc(d time.Duration, f func()) Timer
}

// A Timer is a pending AfterFunc.
type Timer interface {
	// Stop tells whether it kept f from running.
	Stop() bool
	// Reset makes f run d from now, and tells whether it was pending.
	Reset(d time.Duration) bool
}
