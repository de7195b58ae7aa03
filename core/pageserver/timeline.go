package pageserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
	"xenon/core/layer"
	"xenon/core/pageserver/remote"
	"xenon/core/redo"
	"xenon/core/wal"
	"xenon/core/xsync"
)

// Errors of reads, found with errors.Is.
var (
	// ErrNoRelation reports a fork that did not exist at the LSN asked for.
	ErrNoRelation = errors.New("relation does not exist")
	// ErrNoSegment reports a segment of an SLRU that did not exist.
	ErrNoSegment = errors.New("SLRU segment does not exist")
	// ErrBadLSN reports a request that cannot be answered at any time.
	ErrBadLSN = errors.New("bad LSN")
	// ErrBehind reports that the WAL asked for did not arrive in time.
	ErrBehind = errors.New("timed out waiting for WAL")
)

// A Record is where a record lies; see [remote.Record].
type Record = remote.Record

// progress is what readers wait for.
type progress struct {
	Record
	stopped bool
}

// A Timeline holds every version of the pages of one timeline from its base
// on. Ingest adds to it, everything else reads; reads may be concurrent with
// each other and with Ingest.
type Timeline struct {
	id    core.TTID
	env   env.Env
	index *Index
	ctl   *wal.Control // as of the base
	base  base
	dir   string // of layers and the manifest, in env.FS
	cache *layer.Cache

	last  *xsync.Watch[progress]
	ended atomic.Uint64 // LSN of last, for readers that need not wait
	// waiting is how many readers wait: the receiver then looks around for a
	// safekeeper that has more.
	waiting atomic.Int32
	hints   atomic.Pointer[[]hintsAt]

	mu    sync.Mutex // leaf: guards state, versions and err
	state *state
	versions
	err error // what stopped ingest

	ingest struct {
		effects  redo.Effects
		counters redo.Counters
	}
	counters redo.Counters // as of the base
	flusher
	readings sync.Pool // of *reading
}

// versions is where the versions of pages are: the newest in the open layer,
// then in the frozen one, then in the delta layers, from the newest down.
type versions struct {
	open    *openLayer
	frozen  *frozenLayer // nil while nothing is being flushed
	layers  stack
	applied Record // the last record in the open layer
	disk    Record // the last record in the delta layers
	kept    map[core.Key]keptPage

	resumed  Record // disk, when the timeline was opened
	ingested uint64 // records since then
}

// hintsAt tells whether hint bits are logged from an LSN on: redo must know.
type hintsAt struct {
	lsn core.LSN
	on  bool
}

// noteHints keeps up with the setting. Replay reads the list without a lock,
// so it is replaced, not changed; that is once in a cluster's life or never.
func (t *Timeline) noteHints(lsn core.LSN) {
	on := t.ingest.counters.Settings.LogHints()
	old := t.hints.Load()
	if old != nil && (*old)[len(*old)-1].on == on {
		return
	}
	now := []hintsAt{{lsn, on}}
	if old != nil {
		now = append(slices.Clone(*old), now...)
	}
	t.hints.Store(&now)
}

// OpenTimeline opens a timeline alone, without an owner at the object store: it
// reads the newest index there. dir is the timeline's own, below the root of
// e.FS; it exists. Blocks go through cache.
func OpenTimeline(ctx context.Context, e env.Env, id core.TTID, dir string, cache *layer.Cache) (*Timeline, error) {
	index, err := remote.Peek(ctx, e, id)
	if err != nil {
		return nil, err
	}
	return open(ctx, e, Opening{ID: id, Dir: dir, Cache: cache, Index: index})
}

// open reads the directories of a timeline's base and of its delta layers. Then
// it stands at the disk-consistent record and waits for the next.
func open(ctx context.Context, e env.Env, o Opening) (t *Timeline, err error) {
	t = &Timeline{id: o.ID, env: e, index: o.Index, dir: o.Dir, cache: o.Cache, state: newState()}
	t.open, t.layers.source, t.layers.m = new(openLayer), o.Layers, new(layer.Map[*deltaLayer])
	t.layers.lost.init(e)
	t.ingest.effects.Managers = o.Managers
	t.readings.New = func() any { return &reading{redoer: redoer{applier: redo.Applier{Managers: o.Managers}}} }
	if err := t.load(ctx, e, o); err != nil {
		return nil, fmt.Errorf("open timeline %s: %w", o.ID, err)
	}
	t.resumed, t.applied = t.disk, t.disk
	t.last = xsync.NewWatch(e, progress{Record: t.disk})
	t.ended.Store(uint64(t.disk.LSN))
	t.flusher.init(e, &o, t.disk)
	e.Trace().Note("pageserver.open", t.id.Timeline.Tag(), uint64(t.disk.LSN), uint64(t.disk.Prev), 0)
	return t, nil
}

// load makes the state as of the last record that is in the layers.
func (t *Timeline) load(ctx context.Context, e env.Env, o Opening) (err error) {
	if t.base, err = openBase(e, o); err != nil {
		return err
	}
	return t.restore(ctx)
}

// Resumed is where ingest went on when the timeline was opened, and how many
// records it has taken in since.
func (t *Timeline) Resumed() (at core.LSN, records uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.resumed.LSN, t.ingested
}

// memoryBytes is what the open and the frozen layer take.
func (t *Timeline) memoryBytes() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.open.size
	if t.frozen != nil {
		n += t.frozen.size
	}
	return n
}

// ID names the timeline.
func (t *Timeline) ID() core.TTID { return t.id }

// Index is what the object store says of the timeline. It must not be changed.
func (t *Timeline) Index() *Index { return t.index }

// LastRecord is the last record whose effects can be read.
func (t *Timeline) LastRecord() Record { return t.last.Get().Record }

// Err is what stopped ingest, nil while it goes on. What was ingested before
// is still served.
func (t *Timeline) Err() error { return t.stopped() }

func (t *Timeline) stopped() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

// stop keeps the error that ends ingest.
func (t *Timeline) stop(err error) error {
	t.mu.Lock()
	t.err = err
	t.mu.Unlock()
	t.env.Log().Error("ingest stopped", slog.String("timeline", t.id.String()), slog.Any("err", err))
	t.last.Set(progress{t.LastRecord(), true})
	return err
}

// publish makes the effects of records up to r readable.
func (t *Timeline) publish(r Record) {
	if core.LSN(t.ended.Load()) == r.LSN {
		return
	}
	t.ended.Store(uint64(r.LSN))
	t.last.Set(progress{Record: r})
}

// Close gives the timeline's memory back. Nobody uses it any more.
func (t *Timeline) Close() {
	t.mu.Lock()
	n := t.open.counted
	if t.frozen != nil {
		n += t.frozen.counted
	}
	t.mu.Unlock()
	t.memory.give(n)
}

// Wait returns once records up to lsn can be read. It gives up after timeout
// with [ErrBehind], or at once if ingest has stopped below lsn. An LSN within
// a page header is reached with the page before: no record ends there.
func (t *Timeline) Wait(ctx context.Context, lsn core.LSN, timeout time.Duration) error {
	lsn = t.ctl.Format().RoundDown(lsn)
	if core.LSN(t.ended.Load()) >= lsn || faults.On && faults.Hit(faults.SkipWait) {
		return nil
	}
	t.waiting.Add(1)
	defer t.waiting.Add(-1)
	wait, cancel := xsync.WithTimeout(ctx, t.env, timeout)
	defer cancel()
	last, err := t.last.Await(wait, func(p progress) bool { return p.LSN >= lsn || p.stopped })
	switch {
	case err == nil && last.LSN >= lsn:
		return nil
	case err == nil:
		return fmt.Errorf("LSN %s was asked for, timeline %s has reached %s and goes no further: %w", lsn, t.id, last.LSN, t.stopped())
	case xsync.Cause(ctx) != nil:
		return xsync.Cause(ctx)
	}
	return fmt.Errorf("%w: LSN %s was asked for, timeline %s has reached %s after %s", ErrBehind, lsn, t.id, t.LastRecord().LSN, timeout)
}

// ReadLSN is the LSN as of which a request is answered that asks for lsn and
// vouches that nothing changed since notModifiedSince. It waits where that
// one was not reached yet.
func (t *Timeline) ReadLSN(ctx context.Context, lsn, notModifiedSince core.LSN, timeout time.Duration) (core.LSN, error) {
	last := core.LSN(t.ended.Load())
	switch {
	case lsn == 0 || lsn < notModifiedSince:
		return 0, fmt.Errorf("%w: request LSN %s, not modified since %s", ErrBadLSN, lsn, notModifiedSince)
	case lsn < t.index.LSN && t.asOf(lsn) != t:
		return t.asOf(lsn).ReadLSN(ctx, lsn, notModifiedSince, timeout)
	case lsn < t.index.LSN:
		return 0, fmt.Errorf("%w: LSN %s is below %s, where timeline %s begins", ErrBadLSN, lsn, t.index.LSN, t.id)
	case notModifiedSince <= last:
		return min(last, lsn), nil
	}
	if err := t.Wait(ctx, notModifiedSince, timeout); err != nil {
		return 0, err
	}
	return notModifiedSince, nil
}
