package pageserver

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
	"xenon/core/pageserver/remote"
	"xenon/core/xsync"
)

// Layers that have no other copy.
//
// Until a layer is in the object store there is its file, on this pageserver's
// disk, and the WAL that it was made of, which safekeepers keep until then. A
// read or an upload that finds such a file damaged has it examined: disks also
// err for a while. If it stays so the layer is lost, and all behind it are of no
// use: the node takes them out of the manifest and opens the timeline anew, from
// the record before them, as a restart would. Reads wait for that. Nothing goes
// back by it that anybody counts on: what is remote-consistent lies below, and
// the disk-consistent record is for people to look at.

const (
	// A layer is lost once it could not be read as it was written so many times,
	// with pauses between that begin with this one and grow fourfold.
	examineMost  = 4
	examinePause = 20 * time.Millisecond
	// anewPatience bounds how long a read waits for its timeline to be opened
	// anew: that ends it, this is for when that does not come.
	anewPatience = 30 * time.Second
)

// errRebuilt reports a timeline that is about to be opened anew: whoever asks
// again is answered.
var errRebuilt = fmt.Errorf("the timeline is opened anew, and takes in its WAL again: %w", env.ErrUnavailable)

// A loss is a layer that will not be read again, and why.
type loss struct {
	layer *deltaLayer
	err   error
}

// losses is what a timeline knows of layers that are lost.
type losses struct {
	examining xsync.Mutex         // one layer is looked at at a time
	found     *xsync.Watch[*loss] // nil while there is none
	served    atomic.Bool         // there is a node that opens the timeline anew

	mu    sync.Mutex // leaf: guards what follows
	again string     // why WAL is taken in again, "" if it is not
	until core.LSN   // up to where that is
}

func (l *losses) init(e env.Env) {
	l.examining.Init(e)
	l.found = xsync.NewWatch[*loss](e, nil)
}

// repeats notes that WAL is taken in again up to an LSN, and why.
func (l *losses) repeats(why string, until core.LSN) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.again == "" || until > l.until {
		l.again, l.until = why, until
	}
}

// waits says why WAL is taken in again, "" once that is done.
func (l *losses) waits(at core.LSN) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.again != "" && at < l.until {
		return fmt.Sprintf("%s: WAL is ingested again up to %s", l.again, l.until)
	}
	l.again = ""
	return ""
}

// onlyCopy is told of a layer whose file is its only copy, and why a read of it
// failed. It returns nil if the layer is as it should be after all, or is in
// the object store by now. Else it returns when the timeline has no use any
// more, if somebody opens it anew.
func (d *deltaLayer) onlyCopy(ctx context.Context, why error) error {
	l := &d.t.layers.lost
	if err := l.examining.LockCtx(ctx); err != nil {
		return errors.Join(why, err)
	}
	if d.bad == nil && l.found.Get() == nil {
		err := d.examine(ctx)
		if err == nil || ctx.Err() != nil || !lostBy(err) {
			l.examining.Unlock()
			return err
		}
		d.bad = err
		if l.served.Load() && !(faults.On && faults.Hit(faults.LostLayerStays)) {
			l.found.Set(&loss{d, err})
		}
	}
	bad := d.bad
	l.examining.Unlock()
	if l.found.Get() == nil {
		return errors.Join(why, bad)
	}
	if err := d.t.env.Clock().Sleep(ctx, anewPatience); err != nil {
		return err
	}
	return fmt.Errorf("layer %s: %w: %w", d.path, errRebuilt, why)
}

// firstBad is the place of the first layer that is lost, -1 if none is.
func (t *Timeline) firstBad() int {
	return slices.IndexFunc(t.layers.list, func(d *deltaLayer) bool { return d.bad != nil })
}

// lostBy tells whether an error of a layer's file means that the layer is lost,
// if there is no other copy.
func lostBy(err error) bool { return unreadable(err) || errors.Is(err, fs.ErrNotExist) }

// examine reads the layer's file until that gives what was written, and gives up
// after a while. A layer that is in the object store needs no file.
func (d *deltaLayer) examine(ctx context.Context) error {
	for n, pause := 1, examinePause; ; n, pause = n+1, 4*pause {
		entry, elsewhere := d.stored()
		if elsewhere {
			return nil
		}
		err := sound(d.t.env.FS(), d.path, entry)
		if err == nil || n == examineMost || !lostBy(err) {
			return err
		}
		if err := d.t.env.Clock().Sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// sound reads a layer file and compares it with what was written.
func sound(fsys env.FS, path string, l remote.LayerEntry) error {
	f, err := fsys.Open(path, 0)
	if err != nil {
		return fmt.Errorf("layer %s: %w", path, err)
	}
	defer f.Close()
	sum := crc32.New(castagnoli)
	n, err := io.Copy(sum, io.NewSectionReader(f, 0, l.Size+1))
	switch {
	case err != nil:
		return fmt.Errorf("layer %s: %w", path, err)
	case n != l.Size:
		return fmt.Errorf("layer %s has %d bytes or more, written were %d: %w", path, n, l.Size, env.ErrCorrupt)
	case sum.Sum32() != l.CRC:
		return fmt.Errorf("layer %s has checksum %08X, it was written with %08X: %w", path, sum.Sum32(), l.CRC, env.ErrCorrupt)
	}
	return nil
}

// Suspect implements remote.Local.
func (l localLayers) Suspect(ctx context.Context, s remote.LocalLayer, why error) error {
	l.t.mu.Lock()
	d := l.t.layers.find(s.Name)
	l.t.mu.Unlock()
	if d == nil {
		return nil
	}
	return d.onlyCopy(ctx, why)
}

// forget takes a lost layer and all behind it out of the manifest. Nobody uses
// the timeline any more. What a crash before that leaves is found again.
func (t *Timeline) forget(ctx context.Context, x *loss) error {
	if err := t.manifest.LockCtx(ctx); err != nil {
		return err
	}
	defer t.manifest.Unlock()
	t.mu.Lock()
	at := slices.Index(t.layers.list, x.layer)
	stored := x.layer.uploaded()
	t.mu.Unlock()
	if stored || at < 0 { // it came to the object store just in time
		return nil
	}
	disk := t.before(at)
	t.noteLoss(disk, x.layer.entry.Name, x.err)
	list, keep := t.layers.list, at
	if faults.On && faults.Hit(faults.LossKeepsLater) {
		list, keep = slices.Delete(slices.Clone(list), at, at+1), len(list)-1
		disk = t.disk
	}
	return t.replaceManifest(list[:keep], disk)
}

// before is what is disk-consistent with the layers in front of one.
func (t *Timeline) before(at int) Record {
	disk := Record{LSN: t.index.LSN, Prev: t.index.PrevLSN}
	if at > 0 {
		disk = t.layers.list[at-1].ends
	}
	// The store may go beyond its last layer, where there was nothing to store.
	if stored := t.index.DiskConsistent; stored.LSN > disk.LSN {
		disk = stored
	}
	return disk
}

// noteLoss says that a layer is lost, and from where on its WAL is needed.
func (t *Timeline) noteLoss(disk Record, name string, why error) {
	t.env.Log().Error("layer is lost, WAL is ingested again", slog.String("timeline", t.id.String()), slog.String("layer", name),
		slog.String("from", disk.LSN.String()), slog.Any("err", why))
	t.env.Trace().Note("pageserver.lost", t.id.Timeline.Tag(), uint64(disk.LSN), 0, 0)
}

// rebuilds opens a timeline anew once a layer of it is lost.
func (n *node) rebuilds(ctx context.Context, a *attached) error {
	x, err := a.t.layers.lost.found.Await(ctx, func(x *loss) bool { return x != nil })
	if err != nil {
		return err
	}
	n.e.Log().Warn("a layer is damaged that is nowhere else: the timeline is opened anew", slog.String("timeline", a.t.id.String()), slog.Any("err", x.err))
	// Not in this task: that one ends with the timeline.
	n.e.Go("rebuild", func(context.Context) { n.reopen(n.group.Context(), a, nil) })
	return nil
}

// A former is what is known of a timeline that is closed to be opened anew.
type former struct {
	// superseded is why it had no owner that could upload. It does not take the
	// timeline away from whoever has it by being opened anew.
	superseded error
	why        string   // it takes in WAL again
	until      core.LSN // up to where it had come
}

// leave notes of a timeline that is closed what the next to open it has to know.
func (n *node) leave(ctx context.Context, a *attached) {
	f := former{until: a.t.LastRecord().LSN}
	if p := a.up.Progress(); p.Superseded {
		f.superseded = fmt.Errorf("%w: %s", remote.ErrSuperseded, p.Wait)
	}
	if x := a.t.layers.lost.found.Get(); x != nil {
		f.why = fmt.Sprintf("layer %s was lost, %v", x.layer.entry.Name, x.err)
		n.troubled(timelineDir(a.t.id), errors.New(f.why+": the timeline is opened anew"))
		if err := a.t.forget(ctx, x); err != nil {
			// Then it is found to be damaged once more.
			n.e.Log().Error("lost layer stays in the manifest", slog.String("timeline", a.t.id.String()), slog.Any("err", err))
		}
	}
	n.mu.Lock()
	n.former[a.t.id] = f
	n.mu.Unlock()
}

// formerly is what leave noted of a timeline that is not attached again yet.
func (n *node) formerly(id core.TTID) former {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.former[id]
}

// indexOfAnother is the index that a superseded timeline is opened anew with:
// the newest, which is another owner's, or the copy on the disk.
func (n *node) indexOfAnother(ctx context.Context, id core.TTID, superseded error) (*Index, error) {
	step, cancel := xsync.WithTimeout(ctx, n.e, takeOverStep)
	defer cancel()
	x, err := remote.Peek(step, n.e, id)
	switch {
	case err == nil && x.Deleted:
		return nil, fmt.Errorf("open timeline %s: %w", id, remote.ErrDeleted)
	case err == nil:
		return x, superseded
	case errors.Is(err, env.ErrNotFound) || xsync.Cause(ctx) != nil:
		return nil, err
	}
	if kept := n.keptIndex(id); kept != nil {
		return kept, superseded
	}
	return nil, err
}
