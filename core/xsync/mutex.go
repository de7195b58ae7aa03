package xsync

import (
	"context"
	"sync"
	"sync/atomic"

	"xenon/core/env"
)

// A Mutex is a lock that may be held while its holder waits for other things.
// In production Lock is that of a sync.Mutex. Init comes before the first use
// in anything that may be simulated; the zero Mutex is for production alone.
type Mutex struct {
	mu      sync.Mutex
	leaf    sync.Mutex
	list    waitlist     // tasks that wait with a context, or simulated
	waiters atomic.Int32 // length of list
	sched   Scheduler
}

// Init says which process m belongs to. m is not in use yet.
func (m *Mutex) Init(e env.Env) { m.sched = schedulerOf(e) }

// Lock waits until m is free and takes it.
func (m *Mutex) Lock() {
	if m.sched == nil {
		m.mu.Lock()
		return
	}
	_ = m.LockCtx(context.Background())
}

// LockCtx takes m, or returns the cause of ctx's end.
func (m *Mutex) LockCtx(ctx context.Context) error {
	step(m.sched)
	if err := Cause(ctx); err != nil {
		return err
	}
	if m.mu.TryLock() {
		return nil
	}
	return m.lockSlow(ctx)
}

// lockSlow stays on the list until it has the lock. Being there before it
// tries once more, it cannot miss the Unlock that frees the lock: a failed
// try means that an Unlock is still to come, and that one sees the list.
func (m *Mutex) lockSlow(ctx context.Context) error {
	p := park(m.sched, &m.leaf)
	m.leaf.Lock()
	m.list.push(p)
	m.leaf.Unlock()
	m.waiters.Add(1)
	for {
		locked := m.mu.TryLock()
		err := Cause(ctx)
		if locked || err != nil {
			m.leave(p)
			if locked {
				return nil
			}
			return err
		}
		p.wait(ctx, "mutex")
	}
}

// leave ends the wait of p. A wake that p was given is not lost if it goes
// without the lock: whoever holds that will wake the next.
func (m *Mutex) leave(p *parked) {
	m.leaf.Lock()
	p.drop()
	m.leaf.Unlock()
	m.waiters.Add(-1)
	p.free()
}

// TryLock takes m if it is free.
func (m *Mutex) TryLock() bool {
	step(m.sched)
	return m.mu.TryLock()
}

// Unlock frees m, which must be locked.
func (m *Mutex) Unlock() {
	if unwinding(m.sched) {
		return
	}
	m.mu.Unlock()
	if m.waiters.Load() != 0 {
		m.leaf.Lock()
		m.list.wakeFirst()
		m.leaf.Unlock()
	}
}

// An RWMutex is held by one writer or by any number of readers, first come
// first: a reader queues behind a writer that waits, so taking it twice for
// reading can deadlock. Init is as for [Mutex].
type RWMutex struct {
	leaf    sync.Mutex
	list    waitlist
	readers int
	writer  bool
	sched   Scheduler
}

const (
	asReader = 0
	asWriter = 1
)

// Init says which process m belongs to. m is not in use yet.
func (m *RWMutex) Init(e env.Env) { m.sched = schedulerOf(e) }

// Lock takes m for writing.
func (m *RWMutex) Lock() { _ = m.take(context.Background(), asWriter) }

// LockCtx takes m for writing, or returns the cause of ctx's end.
func (m *RWMutex) LockCtx(ctx context.Context) error { return m.take(ctx, asWriter) }

// RLock takes m for reading.
func (m *RWMutex) RLock() { _ = m.take(context.Background(), asReader) }

// RLockCtx takes m for reading, or returns the cause of ctx's end.
func (m *RWMutex) RLockCtx(ctx context.Context) error { return m.take(ctx, asReader) }

// TryLock takes m for writing if it is free.
func (m *RWMutex) TryLock() bool { return m.try(asWriter) }

// TryRLock takes m for reading if no writer has it or waits for it.
func (m *RWMutex) TryRLock() bool { return m.try(asReader) }

// Unlock ends a writer's hold.
func (m *RWMutex) Unlock() { m.release(asWriter) }

// RUnlock ends a reader's hold.
func (m *RWMutex) RUnlock() { m.release(asReader) }

func (m *RWMutex) try(as int64) bool {
	step(m.sched)
	m.leaf.Lock()
	defer m.leaf.Unlock()
	return m.list.first == nil && m.admit(as)
}

// admit lets one in if the present holders allow it. The caller holds leaf.
func (m *RWMutex) admit(as int64) bool {
	if m.writer || as == asWriter && m.readers > 0 {
		return false
	}
	if as == asWriter {
		m.writer = true
	} else {
		m.readers++
	}
	return true
}

func (m *RWMutex) take(ctx context.Context, as int64) error {
	step(m.sched)
	if err := Cause(ctx); err != nil {
		return err
	}
	m.leaf.Lock()
	if m.list.first == nil && m.admit(as) {
		m.leaf.Unlock()
		return nil
	}
	m.leaf.Unlock()
	p := park(m.sched, &m.leaf)
	p.n = as
	m.leaf.Lock()
	m.list.push(p)
	m.admitWaiting()
	m.leaf.Unlock()
	err := p.await(ctx, "rwmutex")
	if err != nil {
		m.leaf.Lock()
		m.admitWaiting() // readers behind a writer that gave up
		m.leaf.Unlock()
	}
	return err
}

func (m *RWMutex) admitWaiting() {
	for p := m.list.first; p != nil && m.admit(p.n); p = m.list.first {
		p.grant()
	}
}

func (m *RWMutex) release(as int64) {
	if unwinding(m.sched) {
		return
	}
	m.leaf.Lock()
	defer m.leaf.Unlock()
	if as == asWriter {
		if !m.writer {
			panic("xsync: Unlock of an RWMutex that no writer holds")
		}
		m.writer = false
	} else {
		if m.readers == 0 {
			panic("xsync: RUnlock of an RWMutex that no reader holds")
		}
		m.readers--
	}
	m.admitWaiting()
}
