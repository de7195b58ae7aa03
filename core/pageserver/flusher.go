package pageserver

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
	"xenon/core/xsync"
)

// A FlushPolicy says when an open layer is flushed, beside when memory is short.
type FlushPolicy struct {
	Distance int64         // bytes of WAL in it; 0 is 256 MiB
	Timeout  time.Duration // since its first record; 0 is ten minutes
}

// Neon's checkpoint_distance and checkpoint_timeout.
const (
	checkpointDistance = 256 << 20
	checkpointTimeout  = 10 * time.Minute
	// idleAfter is how long no WAL may come before what there is is flushed, if
	// that is worth a layer: this part of the distance or more. A restart then
	// has nothing to ingest again.
	idleAfter = time.Minute
	idlePart  = 256
	// flushRetryMin and flushRetryMax bound the pause after a flush that failed.
	flushRetryMin = 100 * time.Millisecond
	flushRetryMax = 10 * time.Second
)

func (p *FlushPolicy) fill() {
	if p.Distance == 0 {
		p.Distance = checkpointDistance
	}
	if p.Timeout == 0 {
		p.Timeout = checkpointTimeout
	}
}

// A flusher is what the flushes of a timeline need.
type flusher struct {
	policy   FlushPolicy
	memory   *Memory
	running  xsync.Mutex          // held by the one flush
	manifest xsync.Mutex          // held while the manifest is replaced; after running
	flushed  *xsync.Watch[Record] // the disk-consistent record
	wanted   *xsync.Watch[uint64] // how often somebody told the flusher to look
	records  *imageCounts         // of the one flush

	status sync.Mutex // leaf: guards what follows
	poked  bool       // a flush is asked for
	since  env.Instant
	wait   string // why ingest waits
	failed string // what kept the last flush from ending
}

func (f *flusher) init(e env.Env, o *Opening, disk Record) {
	f.policy, f.memory = o.Flush, o.Memory
	f.policy.fill()
	if f.memory == nil {
		f.memory = NewMemory(e, 0)
	}
	f.running.Init(e)
	f.manifest.Init(e)
	f.flushed = xsync.NewWatch(e, disk)
	f.wanted = xsync.NewWatch(e, uint64(0))
	f.records = newImageCounts()
}

// look makes the flusher look at what there is.
func (f *flusher) look() { f.wanted.Update(func(n uint64) uint64 { return n + 1 }) }

// poke asks for a flush, unless one is under way.
func (t *Timeline) poke() {
	t.mu.Lock()
	busy := t.frozen != nil
	t.mu.Unlock()
	t.status.Lock()
	first := !t.poked && !busy
	t.poked = t.poked || first
	t.status.Unlock()
	if first {
		t.look()
	}
}

// began notes that there is something to flush again.
func (t *Timeline) began() {
	now := t.env.Clock().Mono()
	t.status.Lock()
	t.since = now
	t.status.Unlock()
	t.look()
}

// waits notes why ingest waits, "" if it does not.
func (t *Timeline) waits(why string) {
	t.status.Lock()
	t.wait = why
	t.status.Unlock()
}

// Waits says what the timeline waits for, and why.
func (t *Timeline) Waits() (list []string) {
	again := t.layers.lost.waits(core.LSN(t.ended.Load()))
	t.status.Lock()
	defer t.status.Unlock()
	for _, s := range []string{again, t.wait, t.failed} {
		if s != "" {
			list = append(list, s)
		}
	}
	return list
}

// walSinceFreeze is how much WAL was ingested that no flush has begun with.
func (t *Timeline) walSinceFreeze() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	from := t.disk.LSN
	if t.frozen != nil {
		from = t.frozen.end.LSN
	}
	return int64(t.applied.LSN - from)
}

// flushes flushes whenever it is due, until ctx ends. It is a task of its own.
func (t *Timeline) flushes(ctx context.Context) error {
	for {
		if err := t.due(ctx); err != nil {
			return err
		}
		for pause := flushRetryMin; ; pause = min(2*pause, flushRetryMax) {
			err := t.Flush(ctx)
			if ctx.Err() != nil {
				return xsync.Cause(ctx)
			}
			if err == nil {
				break
			}
			if faults.On && faults.Hit(faults.FlushGivesUp) {
				return err
			}
			t.env.Log().Warn("flush is tried again", slog.String("timeline", t.id.String()), slog.Any("err", err))
			if err := t.env.Clock().Sleep(ctx, pause); err != nil {
				return err
			}
		}
	}
}

// due returns when there is something to flush, and it is time.
func (t *Timeline) due(ctx context.Context) error {
	last := core.LSN(0)
	for {
		seen := t.wanted.Get()
		t.mu.Lock()
		at, empty := t.applied.LSN, t.applied == t.disk
		t.mu.Unlock()
		now := t.env.Clock().Mono()
		t.status.Lock()
		poked, left := t.poked, t.policy.Timeout-now.Sub(t.since)
		t.poked = false
		t.status.Unlock()
		idle := at == last && t.walSinceFreeze() >= t.policy.Distance/idlePart
		if !empty && (poked || left <= 0 || idle) {
			return nil
		}
		wait, cancel := ctx, context.CancelFunc(func() {})
		if !empty {
			wait, cancel = xsync.WithTimeout(ctx, t.env, min(left, idleAfter))
		}
		_, err := t.wanted.Await(wait, func(n uint64) bool { return n != seen })
		cancel()
		if xsync.Cause(ctx) != nil {
			return xsync.Cause(ctx)
		}
		// Nobody asked and the wait is over: is the last record still the last?
		if last = 0; err != nil {
			last = at
		}
	}
}
