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
	if f := n.formerly(id); f.superseded != nil {
		x, err := n.indexOfAnother(ctx, id, f.superseded)
		return x, nil, err
	}
	kept, patience := n.keptIndex(id), takeOverStep
	if kept != nil {
		if err := n.storeAway(); err != nil {
			return kept, nil, err
		}
		patience = takeOver
	}
	step, cancel := xsync.WithTimeout(ctx, n.e, patience)
	defer cancel()
	owner, err := remote.Acquire(step, n.e, id, n.who())
	switch {
	case err == nil:
		n.answered(nil)
		return owner.Index(), owner, nil
	case errors.Is(err, remote.ErrDeleted) || errors.Is(err, env.ErrNotFound) || ctx.Err() != nil:
		return nil, nil, err
	}
	if kept != nil && xsync.Cause(step) != nil {
		n.answered(err)
	}
	return kept, nil, err
}

// storeAway is why the object store did not let a timeline be taken over just
// now, nil if it did: then those that can be opened without it are, at once.
func (n *node) storeAway() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.away
}

// answered notes whether it did, nil, or why not.
func (n *node) answered(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.away = err
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
	if owner == nil && a.up.Progress().Superseded { // it was, before it was opened anew
		if err := n.awaitClaim(ctx, a, 0); err != nil {
			return err
		}
		a.up.Waits(errAnew)
	}
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

// lookForOwner asks whether the timeline has a newer owner, who would be found out
// with the next upload only: whoever attaches it wants to have it taken over
// from him now. If the object store does not answer soon it stays as it is.
func (n *node) lookForOwner(ctx context.Context, a *attached) {
	o := a.up.Owner()
	if o == nil || o.Superseded() != nil || n.storeAway() != nil || faults.On && faults.Hit(faults.AttachedUnlooked) {
		return
	}
	step, cancel := xsync.WithTimeout(ctx, n.e, takeOver)
	defer cancel()
	if err := o.Look(step); err != nil && !errors.Is(err, remote.ErrSuperseded) {
		n.e.Log().Info("it is not known whether a timeline has a newer owner", slog.String("timeline", a.t.id.String()), slog.Any("err", err))
	}
}

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
			n.answered(nil)
			return owner, nil
		}
		if xsync.Cause(ctx) != nil {
			return nil, xsync.Cause(ctx)
		}
		a.up.Waits(err)
		if errors.Is(err, remote.ErrSuperseded) || errors.Is(err, remote.ErrDeleted) {
			n.answered(nil)
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
// it. One that is found to be deleted, and has no owner, goes by that. What they
// have lost is taken in again.
func (n *node) reopen(ctx context.Context, a *attached, owner *remote.Owner) {
	if n.attaching.LockCtx(ctx) != nil {
		return
	}
	gone := n.withdraw(a)
	n.giveBack(owner)
	for _, b := range gone {
		n.detach(b)
		n.leave(ctx, b)
	}
	n.attaching.Unlock()
	n.attachAll(ctx)
}

// withdraw takes a timeline and all that branch off it from those that are
// served, at once, so that no other can be opened on one of them. It lists them
// in the order in which they can be closed: branches first.
func (n *node) withdraw(a *attached) (gone []*attached) {
	n.mu.Lock()
	for _, b := range n.sorted() {
		if b == a || b.t.descends(a.t) {
			gone = append(gone, b)
			delete(n.timelines, b.t.id)
			n.leaving[b.t.id] = true
		}
	}
	n.mu.Unlock()
	slices.SortStableFunc(gone, func(a, b *attached) int { return b.t.depth() - a.t.depth() })
	return gone
}

// depth is how many ancestors the timeline has.
func (t *Timeline) depth() (n int) {
	for {
		a, ok := t.base.(*ancestor)
		if !ok {
			return n
		}
		t, n = a.t, n+1
	}
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
