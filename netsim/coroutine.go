package netsim

import "iter"

// A coroutine runs tasks, one after the other. Most tasks are short, and a new
// stack is a small one: to grow it costs more than the task.
type coroutine struct {
	task   *task                   // that it runs, or is about to
	resume func() (struct{}, bool) // goes on with it, until it parks or ends
	yield  func(struct{}) bool     // gives control back, from within
	stop   func()                  // ends it while it runs nothing
}

// coroutine is one that runs nothing.
func (w *World) coroutine() *coroutine {
	if n := len(w.idle); n > 0 {
		c := w.idle[n-1]
		w.idle = w.idle[:n-1]
		return c
	}
	w.created++
	c := &coroutine{}
	c.resume, c.stop = iter.Pull(c.run)
	return c
}

func (c *coroutine) run(yield func(struct{}) bool) {
	for c.yield = yield; ; {
		c.task.run()
		c.task = nil
		if !yield(struct{}{}) {
			return
		}
	}
}
