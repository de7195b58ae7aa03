package netsim

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"xenon/core/env"
)

// A Failure is why a run was stopped, with what is needed to find the reason.
type Failure struct {
	Kind string // panic, deadlock, timeout, livelock, undead, goroutines, check
	Text string
	// Proc and Task name whose step it was, if it was anybody's.
	Proc, Task string
	Seed       uint64
	At         time.Duration
	Step       uint64
	Stack      []byte
	Parked     []Parked
	cause      error
}

// Parked is a task that waits.
type Parked struct {
	Proc   string
	Task   string
	ID     uint64
	Reason env.Reason
	Paused bool
	Stack  []byte
}

// Error has everything, on many lines.
func (f *Failure) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n\tseed %d, %s after the start, step %d", f.Kind, f.Text, f.Seed, f.At, f.Step)
	if f.Proc != "" {
		fmt.Fprintf(&b, ", process %s, task %s", f.Proc, f.Task)
	}
	if len(f.Stack) > 0 {
		fmt.Fprintf(&b, "\n%s", f.Stack)
	}
	for _, p := range f.Parked {
		fmt.Fprintf(&b, "\n%s: task %d %s waits: %s", p.Proc, p.ID, p.Task, p.Reason)
		if p.Paused {
			b.WriteString(" (process paused)")
		}
		fmt.Fprintf(&b, "\n%s", p.Stack)
	}
	return b.String()
}

// Unwrap is the error that a task panicked with, if it was one.
func (f *Failure) Unwrap() error { return f.cause }

// fail stops the run; the first failure counts.
func (w *World) fail(f *Failure) {
	if w.failure != nil {
		return
	}
	f.Seed, f.At, f.Step = w.opts.Seed, time.Duration(w.now), w.Steps()
	w.failure = f
}

// Fail stops the run with a failure of an oracle. It may be called from
// anywhere in the world.
func (w *World) Fail(err error) {
	f := &Failure{Kind: "check", Text: err.Error(), cause: err}
	if t := w.cur; t != nil {
		f.Proc, f.Task = t.env.proc.name, t.name
	}
	w.fail(f)
}

// Recent is the newest events, oldest first.
func (w *World) Recent() []Event { return w.trace.last() }

// Parked is every task that waits, with its stack. It is called between two
// Runs.
func (w *World) Parked() []Parked { return w.parked() }

// parked resumes each parked task for as long as it takes to note its stack.
func (w *World) parked() []Parked {
	tasks := slices.Clone(w.tasks)
	slices.SortFunc(tasks, func(a, b *task) int { return cmp.Compare(a.id, b.id) })
	var all []Parked
	for _, t := range tasks {
		if t.state != taskParked || t.env.dead {
			continue
		}
		t.dump = true
		w.resume(t)
		t.dump = false
		_, stack, _ := bytes.Cut(t.stack, []byte("\n"))
		all = append(all, Parked{Proc: t.env.proc.name, Task: t.name, ID: t.id, Reason: t.reason,
			Paused: t.env.proc.paused, Stack: stack})
		t.stack = nil
	}
	return all
}

func sprint(x any) string { return fmt.Sprint(x) }
