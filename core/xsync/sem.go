package xsync

import (
	"context"
	"sync"

	"xenon/core/env"
)

// A Sem is a weighted semaphore, first come first: a large request is not
// overtaken for ever by small ones.
type Sem struct {
	leaf  sync.Mutex
	list  waitlist
	size  int64
	free  int64
	sched Scheduler
}

// NewSem makes a semaphore of size units, all free.
func NewSem(e env.Env, size int64) *Sem {
	return &Sem{size: size, free: size, sched: schedulerOf(e)}
}

// Acquire waits until n units are free and takes them. n is at most the
// semaphore's size.
func (s *Sem) Acquire(ctx context.Context, n int64) error {
	s.check(n)
	step(s.sched)
	if err := Cause(ctx); err != nil {
		return err
	}
	if s.take(n) {
		return nil
	}
	p := park(s.sched, &s.leaf)
	p.n = n
	s.leaf.Lock()
	s.list.push(p)
	s.admit()
	s.leaf.Unlock()
	err := p.await(ctx, "semaphore")
	if err != nil {
		s.leaf.Lock()
		s.admit() // those behind a request that gave up
		s.leaf.Unlock()
	}
	return err
}

// TryAcquire takes n units if they are free and nobody waits.
func (s *Sem) TryAcquire(n int64) bool {
	s.check(n)
	step(s.sched)
	return s.take(n)
}

// Release frees n units that were acquired.
func (s *Sem) Release(n int64) {
	if unwinding(s.sched) {
		return
	}
	s.leaf.Lock()
	defer s.leaf.Unlock()
	if s.free += n; s.free > s.size {
		panic("xsync: more units released than were acquired")
	}
	s.admit()
}

func (s *Sem) check(n int64) {
	if n < 0 || n > s.size {
		panic("xsync: a semaphore is asked for more units than it has")
	}
}

func (s *Sem) take(n int64) bool {
	s.leaf.Lock()
	defer s.leaf.Unlock()
	if s.list.first != nil || s.free < n {
		return false
	}
	s.free -= n
	return true
}

func (s *Sem) admit() {
	for p := s.list.first; p != nil && p.n <= s.free; p = s.list.first {
		s.free -= p.n
		p.grant()
	}
}
