package pageserver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"time"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
	"xenon/core/layer"
	"xenon/core/pageserver/remote"
	"xenon/core/xsync"
)

// A timeline and the object store.
//
// A timeline that this pageserver has in its directory is opened from there
// while the object store is away: from its manifest, and from the copy of the
// index that was stored last. It serves and ingests; a task of its own takes it
// over once the store answers, and from then on uploads what is flushed. Once
// somebody else has taken it over, it uploads nothing more until it is told
// again to serve the timeline, or finds that the newer generation is nobody's. If
// another pageserver went on with it meanwhile, in a way that the layers here
// do not fit, it is opened anew from the index of that one.

const (
	// takeOver is how long the opening of a timeline waits for the object store
	// if it can do without.
	takeOver = 3 * time.Second
	// takeOverStep bounds one attempt of those that cannot.
	takeOverStep = 20 * time.Second
	// takeOverMin and takeOverMax bound the pause after an attempt.
	takeOverMin = 500 * time.Millisecond
	takeOverMax = 20 * time.Second
)

// keptIndexName is the file in a timeline's directory with the index that was
// stored last.
const keptIndexName = "index"

// keptIndex reads the copy of the index, nil if there is none that can be read.
func (n *node) keptIndex(id core.TTID) *Index {
	name := timelineDir(id) + "/" + keptIndexName
	b, err := readFile(n.e.FS(), name, remote.MaxIndex)
	var x *Index
	if err == nil {
		x, err = remote.DecodeIndex(name, b)
	}
	if err == nil && x.TTID() != id {
		err = fmt.Errorf("index %s is of timeline %s: %w", name, x.TTID(), env.ErrCorrupt)
	}
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			n.e.Log().Error("copy of an index is not used", slog.Any("err", err))
		}
		return nil
	}
	return x
}

// keepIndex writes the copy of the index.
func keepIndex(fsys env.FS, dir string, x *Index) error {
	if err := writeFile(fsys, dir, keptIndexName, x.Encode()); err != nil {
		return fmt.Errorf("keep a copy of the index in %s: %w", dir, err)
	}
	return nil
}

// indexOf is the index that a timeline is opened with: that of its owner, or
// the copy on the disk while there is no owner, because of waits.
func (n *node) indexOf(ctx context.Context, id core.TTID) (x *Index, owner *remote.Owner, waits error) {
	if owner := n.takeMade(id); owner != nil && owner.Superseded() == nil {
		return owner.Index(), owner, nil
	}
	kept, patience := n.keptIndex(id), takeOverStep
	n.mu.Lock()
	tried := n.early[id]
	delete(n.early, id)
	n.mu.Unlock()
	if kept != nil {
		if tried != nil {
			return kept, nil, tried
		}
		patience = takeOver
	}
	step, cancel := xsync.WithTimeout(ctx, n.e, patience)
	defer cancel()
	owner, err := remote.Acquire(step, n.e, id, n.who())
	switch {
	case err == nil:
		return owner.Index(), owner, nil
	case errors.Is(err, remote.ErrDeleted) || errors.Is(err, env.ErrNotFound) || ctx.Err() != nil:
		return nil, nil, err
	}
	return kept, nil, err
}

// earlyMost is how many timelines are taken over at once.
const earlyMost = 16

// acquireEarly takes over, side by side, the timelines that are about to be
// attached one after the other: each takes a few answers of the object store.
// If it does not answer one, the others are opened without it. Nobody attaches
// meanwhile: what is attached here has an owner here.
func (n *node) acquireEarly(ctx context.Context, dirs []string) error {
	if err := n.attaching.LockCtx(ctx); err != nil {
		return err
	}
	defer n.attaching.Unlock()
	g, slots := xsync.NewGroup(ctx, n.e), xsync.NewSem(n.e, earlyMost)
	away := xsync.NewWatch[error](n.e, nil)
	for _, dir := range dirs {
		id, err := timelineAt(dir)
		if err != nil || n.has(id) || n.keptIndex(id) == nil {
			continue
		}
		g.Go("acquire", func(ctx context.Context) error {
			if err := slots.Acquire(ctx, 1); err != nil {
				return err
			}
			defer slots.Release(1)
			err := away.Get()
			if err == nil {
				err = n.acquireOne(ctx, id)
			}
			if err != nil {
				away.Set(err)
				n.mu.Lock()
				n.early[id] = err
				n.mu.Unlock()
			}
			return nil
		})
	}
	return g.Wait()
}

// acquireOne takes over one timeline and keeps its owner for the attach. The
// error is of a store that does not answer.
func (n *node) acquireOne(ctx context.Context, id core.TTID) error {
	step, cancel := xsync.WithTimeout(ctx, n.e, takeOver)
	defer cancel()
	owner, err := remote.Acquire(step, n.e, id, n.who())
	n.giveBack(owner)
	if xsync.Cause(step) == nil {
		return nil // what else is wrong shows when it is attached
	}
	return err
}

// has tells whether a timeline is attached, or has an owner here that waits for
// that.
func (n *node) has(id core.TTID) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.timelines[id] != nil || n.made[id] != nil
}

// localLayers is a timeline as its uploader sees it.
type localLayers struct{ t *Timeline }

// AwaitFlush implements remote.Local.
func (l localLayers) AwaitFlush(ctx context.Context, lsn core.LSN) error {
	_, err := l.t.AwaitFlush(ctx, lsn)
	return err
}

// NotUploaded implements remote.Local.
func (l localLayers) NotUploaded() ([]remote.LocalLayer, remote.Record) {
	var list []remote.LocalLayer
	layers, disk := l.t.NotUploaded()
	for _, d := range layers {
		list = append(list, remote.LocalLayer{LayerEntry: d.LayerEntry, Path: d.Path, Ends: remote.Record(d.Ends)})
	}
	return list, remote.Record(disk)
}

// Uploaded implements remote.Local.
func (l localLayers) Uploaded(ctx context.Context, layers []remote.LayerEntry, x *Index) error {
	if err := l.t.Uploaded(ctx, layers); err != nil {
		return err
	}
	return keepIndex(l.t.env.FS(), l.t.dir, x)
}

// uploads takes the timeline over, unless that was done when it was opened, and
// uploads what it flushes. Once superseded, it does so again if it is to: two
// owners of one timeline never upload at once, since all is done here.
func (n *node) uploads(ctx context.Context, a *attached, owner *remote.Owner) error {
	for {
		claims := a.claims.Get()
		err := n.uploadsAs(ctx, a, owner)
		if !errors.Is(err, remote.ErrSuperseded) || faults.On && faults.Hit(faults.SupersededForGood) {
			return err
		}
		if err := n.awaitClaim(ctx, a, claims); err != nil {
			return err
		}
		n.e.Log().Info("timeline is taken over anew", slog.String("timeline", a.t.id.String()))
		owner = nil
		a.up.Waits(errAnew)
	}
}

// errAnew is why there is no owner while the next one is acquired.
var errAnew = errors.New("it is being taken over anew")

// claim has the timeline taken over anew if this pageserver's owner of it is
// superseded: whoever attaches it wants this pageserver to have it.
func (a *attached) claim() {
	if a.up.Abandon() {
		a.claims.Update(func(n uint64) uint64 { return n + 1 })
	}
}

// awaitClaim returns when a superseded timeline is to be taken over anew: when
// somebody has claimed it since there were as many claims, or at once if it was
// superseded by nobody.
func (n *node) awaitClaim(ctx context.Context, a *attached, claims uint64) error {
	claimed := func(n uint64) bool { return n != claims }
	for {
		step, cancel := xsync.WithTimeout(ctx, n.e, takeOverStep)
		nobody, err := remote.GivenUp(step, n.e, a.t.id, n.who())
		cancel()
		if nobody {
			// Were there a second one of our name after all, it gets the time to
			// store its index.
			return n.e.Clock().Sleep(ctx, takeOverMin)
		}
		if err == nil {
			_, err = a.claims.Await(ctx, claimed)
			return err
		}
		// The object store is away: by whom it was superseded is asked again.
		step, cancel = xsync.WithTimeout(ctx, n.e, takeOverMax)
		_, err = a.claims.Await(step, claimed)
		cancel()
		if err == nil || xsync.Cause(ctx) != nil {
			return xsync.Cause(ctx)
		}
	}
}

// uploadsAs is uploads until the owner is superseded.
func (n *node) uploadsAs(ctx context.Context, a *attached, owner *remote.Owner) error {
	if owner == nil {
		var err error
		owner, err = n.takesOver(ctx, a)
		if errors.Is(err, remote.ErrDeleted) {
			n.e.Go("reopen", func(context.Context) { n.reopen(n.group.Context(), a, nil) })
		}
		if err != nil {
			return err
		}
		if !a.t.fits(owner.Index()) {
			n.e.Log().Warn("another pageserver went on with the timeline: it is opened anew", slog.String("timeline", a.t.id.String()))
			// Not in this task: that one ends with the timeline.
			n.e.Go("reopen", func(context.Context) { n.reopen(n.group.Context(), a, owner) })
			return nil
		}
		if err := keepIndex(n.e.FS(), a.t.dir, owner.Index()); err != nil {
			n.e.Log().Warn("go on", slog.Any("err", err)) // it is written with the next upload
		}
	}
	a.tasks.Go("sweep", ended(func(ctx context.Context) error {
		if _, err := owner.Sweep(ctx); err != nil && xsync.Cause(ctx) == nil {
			n.e.Log().Warn("objects that belong to nothing stay", slog.String("timeline", a.t.id.String()), slog.Any("err", err))
		}
		return nil
	}))
	return a.up.Run(ctx, owner)
}

// takesOver tries until it owns the timeline, or never will.
func (n *node) takesOver(ctx context.Context, a *attached) (*remote.Owner, error) {
	for pause := takeOverMin; ; pause = min(2*pause, takeOverMax) {
		step, cancel := xsync.WithTimeout(ctx, n.e, takeOverStep)
		owner, err := remote.Acquire(step, n.e, a.t.id, n.who())
		cancel()
		if err == nil {
			return owner, nil
		}
		if xsync.Cause(ctx) != nil {
			return nil, xsync.Cause(ctx)
		}
		a.up.Waits(err)
		if errors.Is(err, remote.ErrSuperseded) || errors.Is(err, remote.ErrDeleted) {
			n.e.Log().Warn("timeline is not taken over", slog.String("timeline", a.t.id.String()), slog.Any("err", err))
			return nil, err
		}
		if err := n.e.Clock().Sleep(ctx, pause); err != nil {
			return nil, err
		}
	}
}

// fits tells whether the timeline's layers are those of an index and what goes
// on from them: then it need not be opened anew.
func (t *Timeline) fits(x *Index) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if x.DiskConsistent.LSN > t.disk.LSN {
		return false
	}
	return !slices.ContainsFunc(x.Layers, func(l LayerEntry) bool {
		e, err := layer.ParseExtent(l.Name)
		if err == nil && !e.Delta {
			return false // of the base, which never changes
		}
		d := t.layers.find(l.Name)
		return d == nil || d.entry.Size != l.Size
	})
}

// reopen opens a timeline anew, which owner owns now, and all that branch off
// it. One that is found to be deleted, and has no owner, goes by that.
func (n *node) reopen(ctx context.Context, a *attached, owner *remote.Owner) {
	if n.attaching.LockCtx(ctx) != nil {
		return
	}
	for _, b := range n.list() {
		if b != a && b.t.descends(a.t) {
			n.detach(b)
		}
	}
	n.detach(a)
	n.giveBack(owner)
	n.attaching.Unlock()
	n.attachAll(ctx)
}

// descends tells whether the timeline branches off from, or off one that does.
func (t *Timeline) descends(from *Timeline) bool {
	for {
		a, ok := t.base.(*ancestor)
		if !ok {
			return false
		}
		if a.t == from {
			return true
		}
		t = a.t
	}
}

// awaitUpload waits until what the timeline has flushed is in the object store.
func (a *attached) awaitUpload(ctx context.Context) error {
	return a.up.Await(ctx, a.t.DiskConsistent().LSN)
}

// storeWaits says what of the timeline waits for the object store, and why.
func (n *node) storeWaits(a *attached) (list []string) {
	if p := a.up.Progress(); p.Wait != "" {
		list = append(list, "uploads: "+p.Wait)
	}
	if w := a.fetcher.Waits(); w != "" {
		list = append(list, "downloads: "+w)
	}
	at := layer.TimelinePrefix(a.t.id, core.Unsharded)
	for _, w := range n.store.Waits() {
		if rest, ok := strings.CutPrefix(w.Key, at); ok {
			w.Key = rest
			list = append(list, "object store: "+w.String())
		}
	}
	return list
}
