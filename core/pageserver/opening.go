package pageserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/pageserver/remote"
	"xenon/core/xsync"
)

// How a timeline comes to be served. Its index is loaded, its ancestor opened,
// and then of every layer is read what is not pages, which takes its time where
// there are many in the object store. So each timeline is opened by a task of
// its own, beside all others; it goes on when those who asked have lost their
// patience, and when they ask again it is further, or done. Each request to the
// object store has a time limit, an opening has none.

// An opening is a timeline on its way to being attached.
type opening struct {
	ctx    context.Context // of the task
	cancel context.CancelCauseFunc
	end    *xsync.Watch[*opened] // nil before it has ended
}

// opened is what came of an opening.
type opened struct {
	a   *attached
	err error
}

// attach serves a timeline and remembers it; one that is served already gets
// other safekeepers, and is taken over anew if somebody else has done so.
func (n *node) attach(ctx context.Context, id core.TTID, safekeepers []string) (*attached, error) {
	before := n.get(id)
	a, err := n.opened(ctx, id, safekeepers)
	if err != nil {
		return nil, err
	}
	if a == before {
		n.lookForOwner(ctx, a)
	}
	if err := n.attaching.LockCtx(ctx); err != nil {
		return nil, err
	}
	defer n.attaching.Unlock()
	if n.get(id) != a {
		return nil, fmt.Errorf("timeline %s was just closed again: %w", id, env.ErrUnavailable)
	}
	a.receiver.setPeers(safekeepers)
	a.claim()
	return a, n.remember(id, safekeepers)
}

// opened waits until a timeline is attached, which it begins to open if nobody
// has.
func (n *node) opened(ctx context.Context, id core.TTID, safekeepers []string) (*attached, error) {
	mine := &opening{end: xsync.NewWatch[*opened](n.e, nil)}
	mine.ctx, mine.cancel = xsync.WithCancel(n.group.Context())
	o, a, err := n.beginOpening(mine, id)
	switch {
	case o != mine:
		mine.cancel(nil)
		if o == nil {
			return a, err
		}
	default:
		n.group.Go("open", func(context.Context) error {
			a, err := n.open(o.ctx, id, safekeepers)
			n.endOpening(o, id, &opened{a, err})
			return nil
		})
	}
	end, err := o.end.Await(ctx, func(x *opened) bool { return x != nil })
	if err != nil {
		return nil, fmt.Errorf("timeline %s is still being opened: %w", id, err)
	}
	return end.a, end.err
}

// beginOpening puts an opening on the list and returns it, or the one that is
// there already. There is none for a timeline that is attached, or that may not
// be opened.
func (n *node) beginOpening(o *opening, id core.TTID) (*opening, *attached, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.timelines[id] != nil:
		return nil, n.timelines[id], nil
	case n.condemned[id]:
		return nil, nil, fmt.Errorf("timeline %s is being deleted: %w", id, env.ErrUnavailable)
	case n.leaving[id]:
		return nil, nil, fmt.Errorf("timeline %s is being closed: %w", id, env.ErrUnavailable)
	case n.openings[id] == nil:
		n.openings[id] = o
	}
	return n.openings[id], nil, nil
}

func (n *node) endOpening(o *opening, id core.TTID, end *opened) {
	if end.err == nil {
		n.troubled(timelineDir(id), nil) // of whoever has lost his patience
	}
	n.mu.Lock()
	delete(n.openings, id)
	n.mu.Unlock()
	o.cancel(nil)
	o.end.Set(end)
}

// open opens a timeline, and its ancestors before it, and follows its WAL.
func (n *node) open(ctx context.Context, id core.TTID, safekeepers []string) (*attached, error) {
	dir := timelineDir(id)
	if err := n.dirs.make(n.e.FS(), dir); err != nil {
		return nil, err
	}
	index, owner, waits := n.indexOf(ctx, id)
	if index == nil {
		return nil, waits
	}
	o := Opening{ID: id, Dir: dir, Cache: n.cache, Index: index, Memory: n.memory, Flush: n.cfg.flushPolicy(), Managers: n.cfg.Managers}
	on, err := n.ancestorOf(ctx, index, safekeepers)
	if err != nil {
		n.giveBack(owner)
		return nil, err
	}
	if on != nil {
		// It is not closed meanwhile: if it is to be, this ends first.
		defer on.users.Leave()
		var stop func()
		ctx, stop = on.within(ctx)
		defer stop()
		o.Ancestor = on.t
	}
	fetcher := remote.NewFetcher(n.group.Context(), n.e, id, n.downloads)
	o.Layers = fetcher
	t, err := open(ctx, n.e, o)
	if errors.Is(err, env.ErrNotFound) {
		// There is such a timeline, and a part of it is missing.
		err = fmt.Errorf("%w: %v", env.ErrCorrupt, err)
	}
	if err == nil && owner != nil {
		err = keepIndex(n.e.FS(), dir, index)
	}
	var a *attached
	if err == nil {
		a, err = n.serve(t, on, fetcher, owner, waits, safekeepers)
	}
	if err != nil {
		fetcher.Close()
		n.giveBack(owner)
		return nil, err
	}
	return a, nil
}

// ancestorOf is the timeline that one branches off, nil if it is no branch. An
// ancestor that is not attached is, with the safekeepers that it had, or with
// those of its branch. The caller is one of its users, and leaves.
func (n *node) ancestorOf(ctx context.Context, x *Index, safekeepers []string) (*attached, error) {
	if x.Ancestor == nil {
		return nil, nil
	}
	id := core.TTID{Tenant: x.Tenant, Timeline: x.Ancestor.Timeline}
	if req, err := n.recall(timelineDir(id)); err == nil {
		safekeepers = req.Safekeepers
	}
	a, err := n.opened(ctx, id, safekeepers)
	if err == nil && !a.users.Enter() {
		err = fmt.Errorf("%w any more: %w", errNotAttached, env.ErrUnavailable)
	}
	if err != nil {
		return nil, fmt.Errorf("ancestor of timeline %s: %w", x.Timeline, err)
	}
	if last := a.t.LastRecord().LSN; !a.t.ctl.Format().Reached(last, x.Ancestor.LSN) {
		a.users.Leave()
		return nil, &behindError{a.t, x.Ancestor.LSN}
	}
	return a, nil
}

// serve starts the tasks of an opened timeline, whose ancestor is served as on.
// Without an owner, for the reason in waits, one is acquired later.
func (n *node) serve(t *Timeline, on *attached, fetcher *remote.Fetcher, owner *remote.Owner, waits error, safekeepers []string) (*attached, error) {
	a := &attached{t: t, fetcher: fetcher, claims: xsync.NewWatch(n.e, uint64(0)), tasks: xsync.NewGroup(n.group.Context(), n.e), users: xsync.NewGate(n.e)}
	a.up = remote.NewUploader(n.e, t.id, localLayers{t})
	if owner == nil {
		a.up.Waits(waits)
	}
	if f := n.formerly(t.id); f.why != "" {
		t.layers.lost.repeats(f.why, f.until)
	}
	t.layers.lost.served.Store(true)
	a.receiver = newReceiver(t, n.e, &n.cfg, safekeepers)
	a.receiver.remote = a.up.RemoteConsistent
	if !n.enlist(a, on) {
		a.tasks.Wait()
		t.Close()
		return nil, fmt.Errorf("ancestor of timeline %s: %w any more: %w", t.id, errNotAttached, env.ErrUnavailable)
	}
	a.tasks.Go("rebuild", ended(func(ctx context.Context) error { return n.rebuilds(ctx, a) }))
	a.tasks.Go("flush", ended(t.flushes))
	a.tasks.Go("receiver", ended(a.receiver.run))
	a.tasks.Go("receiver-watch", ended(a.receiver.watch))
	a.tasks.Go("upload", ended(func(ctx context.Context) error { return n.uploads(ctx, a, owner) }))
	return a, nil
}

// enlist puts a timeline among those that are served, if its ancestor still is.
func (n *node) enlist(a, on *attached) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if on != nil && n.timelines[on.t.id] != on {
		return false
	}
	n.timelines[a.t.id] = a
	delete(n.made, a.t.id) // who was acquired meanwhile is superseded
	delete(n.former, a.t.id)
	return true
}

// ended makes the end of one timeline's task no error of the node.
func ended(f func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		f(ctx)
		return xsync.Cause(ctx)
	}
}

const (
	// attachPatience bounds one attempt to attach a timeline again: then it is
	// said that it is not yet.
	attachPatience = time.Minute
	// attachMost is how many are attached again at once.
	attachMost = 16
)

// attachAll attaches what was attached before. A timeline that cannot be is
// tried again: the object store may be away for a while.
func (n *node) attachAll(ctx context.Context) error {
	for pause := retryMin; ; pause = min(2*pause, retryMax) {
		left, err := n.attachRound(ctx)
		if left == 0 || err != nil {
			return err
		}
		if err := n.e.Clock().Sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// attachRound tries each once, and says how many are not attached.
func (n *node) attachRound(ctx context.Context) (left int, err error) {
	g, slots := xsync.NewGroup(ctx, n.e), xsync.NewSem(n.e, attachMost)
	dirs, bad := n.remembered()
	if bad != nil {
		n.e.Log().Warn("timelines are looked for again", slog.Any("err", bad))
		left++
	}
	failed := make([]bool, len(dirs))
	for i, dir := range dirs {
		g.Go("attach", func(ctx context.Context) error {
			if err := slots.Acquire(ctx, 1); err != nil {
				return err
			}
			defer slots.Release(1)
			err := n.reattach(ctx, dir)
			failed[i] = err != nil
			n.troubled(dir, err)
			return nil
		})
	}
	err = g.Wait()
	for _, f := range failed {
		if f {
			left++
		}
	}
	return left, err
}

func (n *node) reattach(ctx context.Context, dir string) error {
	id, err := timelineAt(dir)
	if err != nil {
		return err
	}
	req, err := n.recall(dir)
	if errors.Is(err, env.ErrCorrupt) {
		// Whoever wants the timeline attaches it again.
		n.e.Log().Error("timeline is not attached", slog.Any("err", err))
		return nil
	}
	if err != nil {
		return err
	}
	step, cancel := xsync.WithTimeout(ctx, n.e, attachPatience)
	defer cancel()
	_, err = n.opened(step, id, req.Safekeepers)
	if errors.Is(err, remote.ErrDeleted) {
		return n.removeDir(dir) // its deletion did not get here
	}
	return err
}
