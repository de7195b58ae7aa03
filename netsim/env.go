package netsim

import (
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"time"

	"xenon/core/env"
)

// An Env is one incarnation of a process: env.Env and [xsync.Scheduler].
type Env struct {
	w           *World
	proc        *Proc
	id          uint64
	incarnation int
	dead        bool

	ctx     context.Context
	cancel  context.CancelCauseFunc
	net     procNet
	fs      env.FS
	objects env.ObjectStore
	entropy io.Reader
	trace   env.Trace
	log     *slog.Logger
	held    []*task // ready while the process is paused
	busy    int64   // until when its CPU is taken
}

// Proc is the process that e is an incarnation of.
func (e *Env) Proc() *Proc { return e.proc }

// Dead tells whether the incarnation has ended.
func (e *Env) Dead() bool { return e.dead }

// Context is that of the process: it ends with Proc.Stop.
func (e *Env) Context() context.Context { return e.ctx }

// Step implements xsync.Scheduler.
func (e *Env) Step() {
	w, t := e.w, e.w.cur
	if t == nil {
		return
	}
	t.checkAlive()
	if w.opts.Yields > 0 && w.yield.IntN(1000) < w.opts.Yields {
		t.rest("yield")
	}
}

// Unwinding implements xsync.Scheduler.
func (e *Env) Unwinding() bool { return e.w.cur != nil && e.w.cur.env.dead }

// TaskWaiter implements xsync.Scheduler.
func (e *Env) TaskWaiter() env.Waiter { return &e.w.current("wait").waiter }

// Clock implements env.Env.
func (e *Env) Clock() env.Clock { return (*clock)(e) }

// Net implements env.Env.
func (e *Env) Net() env.Net { return &e.net }

// FS implements env.Env.
func (e *Env) FS() env.FS {
	e.Step()
	if e.fs == nil {
		if e.proc.opts.Disk == nil {
			panic("netsim: " + e.proc.name + " has no disk")
		}
		e.fs = e.proc.opts.Disk.FS(e)
	}
	return e.fs
}

// Objects implements env.Env.
func (e *Env) Objects() env.ObjectStore {
	e.Step()
	if e.objects == nil {
		if e.proc.opts.Objects == nil {
			panic("netsim: " + e.proc.name + " has no object store")
		}
		e.objects = e.proc.opts.Objects(e)
	}
	return e.objects
}

func (e *Env) seed(stream string) uint64 {
	return hashString(mix(hashString(e.w.opts.Seed, e.proc.name), uint64(e.incarnation)), stream)
}

// Rand implements env.Env.
func (e *Env) Rand(stream string) *rand.Rand {
	return rand.New(&source{w: e.w, key: e.seed(stream), kind: processes})
}

// Entropy implements env.Env.
func (e *Env) Entropy() io.Reader {
	if e.entropy == nil {
		e.entropy = &entropy{source: source{w: e.w, key: e.seed("entropy"), kind: processes}}
	}
	return e.entropy
}

// Go implements env.Env.
func (e *Env) Go(name string, f func(ctx context.Context)) {
	e.Step()
	if !e.dead {
		e.w.spawn(e, name, f)
	}
}

// Charge implements env.Env: the tasks of a process share one CPU for what
// they charge.
func (e *Env) Charge(d time.Duration) {
	t := e.w.cur
	if t == nil || d <= 0 {
		return
	}
	t.checkAlive()
	e.busy = max(e.busy, e.w.now) + int64(d)
	t.sleepUntil(e.busy, "cpu")
}

// Compute implements env.Env. Others run first, as they may in production.
func (e *Env) Compute(ctx context.Context, _ string, f func() error) error {
	e.w.current("compute").rest("compute")
	if err := ctx.Err(); err != nil {
		return causeOf(ctx)
	}
	return f()
}

// NewWaiter implements env.Env.
func (e *Env) NewWaiter() env.Waiter {
	e.Step()
	return &waiter{w: e.w}
}

// Trace implements env.Env.
func (e *Env) Trace() *env.Trace { return &e.trace }

func (e *Env) noted(v env.Event) {
	e.Step()
	w := e.w
	o := Event{At: w.now, Kind: v.Kind, A: v.A, B: v.B, C: v.C, D: v.D, Hash: e.id}
	w.trace.event(o)
	if w.opts.Record != nil {
		w.opts.Record(Detail{Event: o, Proc: e.proc.name, Incarnation: e.incarnation})
	}
	if w.opts.OnNote != nil {
		w.opts.OnNote(e.proc, v)
	}
}

// Log implements env.Env.
func (e *Env) Log() *slog.Logger {
	if e.log == nil {
		e.log = slog.New(e.w.logHandler()).With("proc", e.proc.name, "incarnation", e.incarnation)
		if e.w.opts.Record != nil {
			e.log = slog.New(&logRecorder{env: e, next: e.log.Handler()})
		}
	}
	return e.log
}

// logHandler writes lines with the simulated time in place of the real one.
func (w *World) logHandler() slog.Handler {
	if w.opts.Log == nil {
		return slog.DiscardHandler
	}
	return slog.NewTextHandler(w.opts.Log, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				a.Value = slog.DurationValue(w.Elapsed())
			}
			return a
		},
	})
}
