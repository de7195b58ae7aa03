package realio

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	mrand "math/rand/v2"
	"runtime/pprof"
	"slices"
	"sync"
	"time"

	"xenon/core/env"
	"xenon/core/xsync"
)

// ErrClosed is the cause that ends the context of an [Env] that was closed.
var ErrClosed = errors.New("process is shutting down")

// defaultGrace is how long Close lets tasks finish by themselves before it
// takes their connections away.
const defaultGrace = 10 * time.Second

// Options say what an Env stands on.
type Options struct {
	// Root is the directory that FS works below; it must exist. With an empty
	// Root every call of FS fails and says so.
	Root string
	// Objects is the object store; nil is one that answers nothing.
	Objects env.ObjectStore
	// Loopback joins this Env to others of the process; nil leaves it alone.
	Loopback *Loopback
	Log      *slog.Logger // nil is slog.Default
	Trace    *env.Trace   // nil drops everything
	// Grace is how long Close waits before it closes the connections and
	// listeners that are still open; 0 is ten seconds.
	Grace time.Duration
}

// An Env is the outside of one production process.
type Env struct {
	opts  Options
	clock wallClock
	net   network
	fs    *dirFS
	cpu   chan struct{} // one token for each core; Compute holds one

	ctx    context.Context
	cancel context.CancelCauseFunc
	tasks  sync.WaitGroup

	mu     sync.Mutex
	closed bool
	names  map[string]int // running tasks by name, for the log of Close
}

var _ env.Env = (*Env)(nil)

// New makes an Env. The caller closes it.
func New(o Options) *Env {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Grace == 0 {
		o.Grace = defaultGrace
	}
	if o.Objects == nil {
		o.Objects = noObjects{}
	}
	e := &Env{
		opts:  o,
		fs:    openDirFS(o.Root),
		cpu:   make(chan struct{}, cores()),
		names: make(map[string]int),
	}
	e.clock.env = e
	e.net.loopback = o.Loopback
	e.ctx, e.cancel = xsync.Root(e)
	return e
}

// Clock is the machine's clock.
func (e *Env) Clock() env.Clock { return &e.clock }

// Net is the machine's network.
func (e *Env) Net() env.Net { return &e.net }

// FS is the directory Options.Root.
func (e *Env) FS() env.FS { return e.fs }

// Objects is Options.Objects.
func (e *Env) Objects() env.ObjectStore { return e.opts.Objects }

// Trace is Options.Trace.
func (e *Env) Trace() *env.Trace { return e.opts.Trace }

// Log is Options.Log.
func (e *Env) Log() *slog.Logger { return e.opts.Log }

// Entropy is the operating system's.
func (e *Env) Entropy() io.Reader { return rand.Reader }

// Charge does nothing: real work takes its time by itself.
func (e *Env) Charge(time.Duration) {}

// Rand is a generator of its own for each call, seeded by the operating system.
func (e *Env) Rand(string) *mrand.Rand {
	var seed [16]byte
	rand.Read(seed[:]) // never fails: crypto/rand ends the program instead
	return mrand.New(mrand.NewPCG(binary.LittleEndian.Uint64(seed[:8]), binary.LittleEndian.Uint64(seed[8:])))
}

// Context ends when the Env is closed.
func (e *Env) Context() context.Context { return e.ctx }

// Go starts a goroutine. While Close waits for tasks, those that they start run
// as well, under a context that has ended: whoever waits for one would wait for
// ever otherwise. After that it starts nothing.
func (e *Env) Go(name string, f func(ctx context.Context)) {
	if !e.enter(name) {
		return
	}
	go func() {
		defer e.leave(name)
		pprof.SetGoroutineLabels(pprof.WithLabels(e.ctx, pprof.Labels("task", name)))
		f(e.ctx)
	}()
}

// enter counts a task in, unless the Env is closed and none runs any more.
func (e *Env) enter(name string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed && len(e.names) == 0 {
		return false
	}
	e.names[name]++
	e.tasks.Add(1)
	return true
}

func (e *Env) leave(name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.names[name]--; e.names[name] == 0 {
		delete(e.names, name)
	}
	e.tasks.Done()
}

// Compute runs f on the calling goroutine once one of the machine's cores is
// free, and so keeps CPU work from starving the tasks that answer requests.
func (e *Env) Compute(ctx context.Context, name string, f func() error) error {
	select {
	case e.cpu <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("wait for a core for %s: %w", name, xsync.Cause(ctx))
	}
	defer func() { <-e.cpu }()
	return f()
}

// NewWaiter makes a waiter for goroutines.
func (e *Env) NewWaiter() env.Waiter { return xsync.NewWaiter() }

// Stop ends the context of all tasks with cause, and returns at once.
func (e *Env) Stop(cause error) { e.cancel(cause) }

// Close ends the context, waits for all tasks, and lets go of the directory
// and its locks. Tasks that still run after Options.Grace lose their
// connections, and the log names them: one that heeds neither keeps Close
// waiting, since what it holds cannot be given to a successor.
func (e *Env) Close() error {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.cancel(ErrClosed)

	done := make(chan struct{})
	go func() { e.tasks.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(e.opts.Grace):
		e.opts.Log.Warn("tasks still run; closing their connections", "tasks", e.running())
	}
	e.net.closeAll()
	<-done
	return e.fs.close()
}

// running lists the names of the tasks that have not returned.
func (e *Env) running() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Sorted(maps.Keys(e.names))
}
