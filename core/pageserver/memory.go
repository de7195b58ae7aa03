package pageserver

import (
	"context"
	"math"
	"sync/atomic"
	"time"

	"xenon/core/env"
	"xenon/core/xsync"
)

// A Memory bounds what the open and frozen layers of all timelines of a node
// take together. Ingest waits where they come to the limit, until a flush has
// made room.
type Memory struct {
	limit int64
	used  atomic.Int64
	freed *xsync.Watch[int64] // how often memory was given back
	// relieve asks the timeline with the largest open layer to flush it.
	relieve func()
}

// NewMemory makes a bound of limit bytes; 0 means none.
func NewMemory(e env.Env, limit int64) *Memory {
	if limit <= 0 {
		limit = math.MaxInt64
	}
	return &Memory{limit: limit, freed: xsync.NewWatch(e, int64(0)), relieve: func() {}}
}

// share is at how many bytes an open layer is flushed: while one half of the
// memory is being flushed, ingest fills the other.
func (m *Memory) share() int64 { return max(m.limit/2, openMin) }

// openMin is how large an open layer may get however little memory there is:
// a layer file for every few records would be of no use.
const openMin = 16 << 10

// short tells that other timelines may have to make room.
func (m *Memory) short() bool { return m.used.Load() >= m.limit-m.limit/4 }

// full tells that ingest has to wait.
func (m *Memory) full() bool { return m.used.Load() >= max(m.limit, 2*openMin) }

// give gives bytes back.
func (m *Memory) give(n int64) {
	m.used.Add(-n)
	m.freed.Update(func(n int64) int64 { return n + 1 })
}

// await waits until memory was given back, or a while.
func (m *Memory) await(ctx context.Context, e env.Env, seen int64) {
	wait, cancel := xsync.WithTimeout(ctx, e, time.Second)
	defer cancel()
	m.freed.Await(wait, func(n int64) bool { return n != seen })
}

// account tells the memory how large the open layer has become.
func (t *Timeline) account() (size int64) {
	t.mu.Lock()
	size = t.open.size
	grown := size - t.open.counted
	t.open.counted = size
	t.mu.Unlock()
	t.memory.used.Add(grown)
	return size
}

// makeRoom is called by the task that ingests, between records: it asks for a
// flush where one is due, and waits while there is no memory for more.
func (t *Timeline) makeRoom(ctx context.Context) error {
	size := t.account()
	if size >= t.memory.share() || t.walSinceFreeze() >= t.policy.Distance {
		t.poke()
	}
	if t.memory.short() {
		t.memory.relieve()
	}
	defer t.waits("")
	for t.memory.full() {
		seen := t.memory.freed.Get()
		if !t.memory.full() {
			break
		}
		t.waits("ingest waits for memory: layers are being flushed")
		t.memory.relieve()
		if t.memory.await(ctx, t.env, seen); xsync.Cause(ctx) != nil {
			return xsync.Cause(ctx)
		}
	}
	return nil
}
