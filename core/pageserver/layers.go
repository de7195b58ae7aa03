package pageserver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"slices"
	"sync/atomic"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
	"xenon/core/layer"
	"xenon/core/pageserver/remote"
	"xenon/core/redo"
	"xenon/core/xsync"
)

// What a timeline has on its disk, for whoever brings it to the object store.
//
// A flush writes one delta layer below the timeline's directory and then the
// manifest, which names all layers and the record up to which they hold
// everything: the disk-consistent record. Whoever uploads waits for that to
// move ([Timeline.AwaitFlush]), uploads what [Timeline.NotUploaded] lists in
// its order, and tells by [Timeline.Uploaded]. From then on the file is a copy
// that may go ([Timeline.Evict]); [Layers] gives the bytes back when a read
// needs them.

// A Layers gives the bytes of layers that are in the object store and not in
// the timeline's directory. It may be called by any task.
type Layers interface {
	// Source makes a layer readable: in the object store, or by downloading it
	// to path first, which is below the root of Env.FS and where the timeline
	// looks before it asks. The error of a layer that is gone or damaged is
	// the reads' error; it is asked for again when the next read needs it.
	Source(ctx context.Context, l remote.LayerEntry, path string) (layer.Source, error)
	// Fetch returns when the layer is on the disk, as path.
	Fetch(ctx context.Context, l remote.LayerEntry, path string) error
}

// A LocalLayer is a delta layer in the timeline's directory.
type LocalLayer struct {
	remote.LayerEntry        // Generation and Upload are 0 before it is uploaded
	Path              string // below the root of Env.FS; the file never changes
	// Ends is the disk-consistent record that the timeline has with this layer
	// and all before it.
	Ends Record
}

// A deltaLayer is a delta layer of a timeline. It is opened when a read first
// needs it.
type deltaLayer struct {
	t    *Timeline
	id   layer.DeltaID
	path string // of its file, if there is one

	open    xsync.Mutex // held while the layer is being opened, or its file dropped
	file    atomic.Pointer[layer.Delta]
	fetched bool // file began as the object; under open
	// bad is why the layer is lost, nil if it is not; under the timeline's
	// losses.examining.
	bad error

	// Under the timeline's mutex:
	entry remote.LayerEntry
	ends  Record // what is disk-consistent with it
}

// newDelta makes a layer of what the manifest or the index says of it.
func (t *Timeline) newDelta(entry remote.LayerEntry, ends Record) (*deltaLayer, error) {
	x, err := layer.ParseExtent(entry.Name)
	if err == nil && !x.Delta {
		err = fmt.Errorf("layer %s is an image layer: %w", entry.Name, env.ErrCorrupt)
	}
	if err != nil {
		return nil, err
	}
	d := &deltaLayer{t: t, entry: entry, ends: ends, path: path.Join(t.dir, entry.Name),
		id: layer.DeltaID{TTID: t.id, Shard: core.Unsharded, Keys: x.Keys, LSNs: x.LSNs}}
	d.open.Init(t.env)
	return d, nil
}

// uploaded tells whether the layer is in the object store.
func (d *deltaLayer) uploaded() bool { return d.entry.Generation != 0 }

// reader is the layer, opened.
func (d *deltaLayer) reader(ctx context.Context) (*layer.Delta, error) {
	if f := d.file.Load(); f != nil {
		return f, nil
	}
	if err := d.open.LockCtx(ctx); err != nil {
		return nil, err
	}
	defer d.open.Unlock()
	if f := d.file.Load(); f != nil {
		return f, nil
	}
	entry, elsewhere := d.stored()
	f, err := d.fromFile(ctx, entry.Size)
	if d.fetched = err != nil; err != nil && elsewhere && ctx.Err() == nil {
		f, err = d.fromStore(ctx, entry, err)
	}
	if err != nil {
		return nil, fmt.Errorf("timeline %s: %w", d.t.id, err)
	}
	d.file.Store(f)
	return f, nil
}

// stored is what is known of the layer, and whether it can be had from the
// object store.
func (d *deltaLayer) stored() (entry remote.LayerEntry, elsewhere bool) {
	d.t.mu.Lock()
	defer d.t.mu.Unlock()
	return d.entry, d.uploaded() && d.t.layers.source != nil
}

// fromFile opens the layer's file.
func (d *deltaLayer) fromFile(ctx context.Context, size int64) (*layer.Delta, error) {
	info, err := d.t.env.FS().Stat(d.path)
	if err != nil {
		return nil, fmt.Errorf("layer %s: %w", d.path, err)
	}
	if info.Size != size {
		return nil, fmt.Errorf("layer %s has %d bytes, written were %d: %w", d.path, info.Size, size, env.ErrCorrupt)
	}
	return layer.OpenDelta(ctx, &layerFile{d.t.env.FS(), d.path, size}, d.id, d.t.cache)
}

// A layerFile is a layer file that is opened for each read: blocks are cached
// above, and no timeline holds thousands of files open.
type layerFile struct {
	fsys env.FS
	path string
	size int64
}

func (f *layerFile) Size() int64  { return f.size }
func (f *layerFile) Name() string { return f.path }

func (f *layerFile) ReadRange(ctx context.Context, p []byte, off int64) error {
	file, err := f.fsys.Open(f.path, 0)
	if err != nil {
		return fmt.Errorf("layer %s: %w", f.path, err)
	}
	defer file.Close()
	return layer.File(file, f.path, f.size).ReadRange(ctx, p, off)
}

// fromStore opens a layer of which the file is missing, or damaged.
func (d *deltaLayer) fromStore(ctx context.Context, entry remote.LayerEntry, why error) (*layer.Delta, error) {
	if !errors.Is(why, fs.ErrNotExist) {
		d.t.env.Log().Error("layer is read from the object store", slog.String("timeline", d.t.id.String()), slog.Any("err", why))
		if err := d.t.env.FS().Remove(d.path); err != nil {
			return nil, errors.Join(why, err)
		}
	}
	src, err := d.t.layers.source.Source(ctx, entry, d.path)
	if err != nil {
		return nil, fmt.Errorf("layer %s: %w", entry.Name, err)
	}
	return layer.OpenDelta(ctx, src, d.id, d.t.cache)
}

// retried reads the layer. If its file turns out to be damaged, or is gone, and
// the layer is in the object store, it is read from there instead. If it is
// nowhere else, see [deltaLayer.onlyCopy].
func (d *deltaLayer) retried(ctx context.Context, read func(*layer.Delta) error) error {
	for n := 1; ; n++ {
		f, err := d.reader(ctx)
		if err == nil {
			err = read(f)
		}
		if err == nil || n == readMost || !lostBy(err) || ctx.Err() != nil {
			return err
		}
		if _, elsewhere := d.stored(); !elsewhere {
			if lost := d.onlyCopy(ctx, err); lost != nil {
				return lost
			}
			d.close(ctx, f)
			continue
		}
		if f == nil {
			return err
		}
		if dropped, derr := d.drop(ctx, f, err); !dropped {
			return errors.Join(err, derr)
		}
	}
}

// readMost is how often a layer is read that proves to be right in between.
const readMost = 3

// close has the layer opened anew by the next read, from what its file has now.
func (d *deltaLayer) close(ctx context.Context, f *layer.Delta) {
	if d.open.LockCtx(ctx) == nil {
		d.file.CompareAndSwap(f, nil)
		d.open.Unlock()
	}
}

// unreadable tells whether an error means that a file will not be read any
// better the next time: its bytes are wrong, or the disk does not give them.
func unreadable(err error) bool {
	if faults.On && faults.Hit(faults.UnreadCopyStays) {
		return errors.Is(err, env.ErrCorrupt)
	}
	return errors.Is(err, env.ErrCorrupt) || errors.Is(err, env.ErrIO)
}

// drop gives the file up, which is damaged or gone, if the layer can be had
// elsewhere.
func (d *deltaLayer) drop(ctx context.Context, damaged *layer.Delta, why error) (dropped bool, err error) {
	if _, elsewhere := d.stored(); !elsewhere {
		return false, nil
	}
	if err := d.open.LockCtx(ctx); err != nil {
		return false, err
	}
	defer d.open.Unlock()
	if d.file.Load() != damaged {
		return true, nil // somebody else did
	}
	if d.fetched && faults.On && faults.Hit(faults.BadDownloadStays) {
		return false, nil
	}
	d.file.Store(nil)
	// One that was opened from the object store may have a file by now: a few
	// reads bring it there. Without one it is the object that is damaged, or the
	// file was evicted: the next read tells.
	switch err := d.t.env.FS().Remove(d.path); {
	case err == nil:
		d.t.env.Log().Error("layer is read from the object store", slog.String("timeline", d.t.id.String()), slog.Any("err", why))
	case !errors.Is(err, fs.ErrNotExist):
		return false, err
	}
	return true, nil
}

// get is [layer.Delta.Get] of the layer. It emits nothing before all was read.
func (d *deltaLayer) get(ctx context.Context, spans []layer.Span, emit func(i int, v layer.Version) error) error {
	return d.retried(ctx, func(f *layer.Delta) error { return f.Get(ctx, spans, emit) })
}

// stack is the delta layers of a timeline. The timeline's mutex guards what may
// change.
type stack struct {
	source Layers                  // nil if all layers are in the directory
	list   []*deltaLayer           // ascending by LSN
	m      *layer.Map[*deltaLayer] // of list; replaced, never changed
	lost   losses
}

// push adds the newest layer.
func (s *stack) push(d *deltaLayer) error {
	m, err := s.m.Edit(nil, []layer.Placed[*deltaLayer]{{Extent: d.id.Extent(), Layer: d}})
	if err == nil {
		s.m, s.list = m, append(s.list, d)
	}
	return err
}

// valueAt is the newest version of a key at or below an LSN that is in a delta
// layer; it must be of a key whose versions are whole values.
func (t *Timeline) valueAt(ctx context.Context, k core.Key, lsn core.LSN) (v layer.Version, ok bool, err error) {
	t.mu.Lock()
	m := t.layers.m
	t.mu.Unlock()
	for below := lsn + 1; !ok; {
		step, more := m.Next(k, below)
		if !more {
			return v, false, nil
		}
		span := [1]layer.Span{{Key: k, LSNs: step.LSNs}}
		err := step.Layer.get(ctx, span[:], func(_ int, got layer.Version) error {
			v, ok = got, true
			return nil
		})
		if err != nil {
			return v, false, err
		}
		below = step.LSNs.Start
	}
	return v, true, nil
}

// DiskConsistent is the last record that is in the layers of the manifest, as
// every record before it: a restart goes on behind it.
func (t *Timeline) DiskConsistent() Record {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.disk
}

// AwaitFlush waits until the disk-consistent record is above lsn, and returns
// it. The record also moves without a layer, when there was nothing to store.
func (t *Timeline) AwaitFlush(ctx context.Context, lsn core.LSN) (Record, error) {
	return t.flushed.Await(ctx, func(r Record) bool { return r.LSN > lsn })
}

// NotUploaded lists the layers that are not in the object store, oldest first,
// and the disk-consistent record that the timeline has with them.
func (t *Timeline) NotUploaded() (layers []LocalLayer, disk Record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, d := range t.layers.list {
		if !d.uploaded() {
			layers = append(layers, LocalLayer{d.entry, d.path, d.ends})
		}
	}
	return layers, t.disk
}

// Uploaded notes in the manifest under which generation and upload number
// layers are in the object store, and in an index of there.
func (t *Timeline) Uploaded(ctx context.Context, layers []remote.LayerEntry) error {
	if err := t.manifest.LockCtx(ctx); err != nil {
		return err
	}
	defer t.manifest.Unlock()
	t.mu.Lock()
	for _, l := range layers {
		if d := t.layers.find(l.Name); d != nil {
			core.Must(l.Size == d.entry.Size && l.Generation != 0, "layer %s of %d bytes is said to be uploaded as generation %d with %d bytes",
				l.Name, d.entry.Size, l.Generation, l.Size)
			d.entry.Generation, d.entry.Upload = l.Generation, l.Upload
		}
	}
	t.mu.Unlock()
	return t.writeManifest(nil, t.DiskConsistent())
}

func (s *stack) find(name string) *deltaLayer {
	i := slices.IndexFunc(s.list, func(d *deltaLayer) bool { return d.entry.Name == name })
	if i < 0 {
		return nil
	}
	return s.list[i]
}

// Evict removes the file of a layer that is in the object store. Reads that
// are at it go on there.
func (t *Timeline) Evict(ctx context.Context, name string) error {
	t.mu.Lock()
	d := t.layers.find(name)
	may := d != nil && d.uploaded() && t.layers.source != nil
	t.mu.Unlock()
	if !may {
		return fmt.Errorf("timeline %s: layer %s is nowhere else: it stays", t.id, name)
	}
	if err := d.open.LockCtx(ctx); err != nil {
		return err
	}
	defer d.open.Unlock()
	if err := t.env.FS().Remove(d.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("timeline %s: evict a layer: %w", t.id, err)
	}
	d.file.Store(nil)
	return nil
}

// LayerCount is how many layers the timeline has above its base, and their
// bytes.
func (t *Timeline) LayerCount() (n int, bytes int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, d := range t.layers.list {
		bytes += d.entry.Size
	}
	return len(t.layers.list), bytes
}

// An Opening says which timeline is opened, and with what.
type Opening struct {
	ID core.TTID
	// Dir is the timeline's own directory below the root of Env.FS; it exists.
	Dir   string
	Cache *layer.Cache // of blocks; shared by all timelines of a node
	// Index is what the object store says of the timeline. Delta layers that
	// it names and the manifest does not are the timeline's; if the manifest
	// goes no further, its other layers are dropped.
	Index *Index
	// Ancestor is the timeline that this one branches off, which has reached
	// Index.LSN; nil if the base is image layers of its own.
	Ancestor *Timeline
	// Layers gives the bytes of layers that are not in Dir; nil if all are.
	Layers Layers
	Memory *Memory // shared by all timelines of a node; nil is no bound
	Flush  FlushPolicy
	// Managers is the redo of extensions; nil if there are none.
	Managers *redo.Managers
}
