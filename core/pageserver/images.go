package pageserver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"sync/atomic"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/layer"
	"xenon/core/pageserver/remote"
	"xenon/core/xsync"
)

// images is the base of an imported timeline: layers in the order of their
// keys, which do not overlap.
type images []*baseLayer

// A baseLayer is an image layer in the object store. It is opened when it is
// needed. Those that have directories and small files, which an opening of the
// timeline reads, are brought to the disk: so that it can be opened again while
// the object store is away. Of the others blocks are read as they are needed.
type baseLayer struct {
	e    env.Env
	o    *Opening
	l    LayerEntry
	id   layer.ImageID
	path string // of the copy on the disk

	open  xsync.Mutex
	image atomic.Pointer[layer.Image]
	local bool // image is of the copy; open guards it
}

// openImages finds the image layers that an index names.
func openImages(e env.Env, o Opening) (images, error) {
	var base images
	for _, l := range o.Index.Layers {
		x, err := layer.ParseExtent(l.Name)
		if err != nil {
			return nil, err
		}
		if x.Delta {
			continue
		}
		// Not under a layer's own name: those are of the manifest.
		b := &baseLayer{e: e, o: &o, l: l, path: o.Dir + "/base-" + l.Name}
		b.id = layer.ImageID{TTID: o.ID, Shard: core.Unsharded, Keys: x.Keys, LSN: x.LSNs.Start}
		b.open.Init(e)
		base = append(base, b)
	}
	slices.SortFunc(base, func(a, b *baseLayer) int { return a.id.Keys.Start.Compare(b.id.Keys.Start) })
	return base, nil
}

// reader is the layer, opened: with whole set from a copy on the disk, which is
// made if it is not there.
func (b *baseLayer) reader(ctx context.Context, whole bool) (*layer.Image, error) {
	if im := b.image.Load(); im != nil {
		return im, nil
	}
	if err := b.open.LockCtx(ctx); err != nil {
		return nil, err
	}
	defer b.open.Unlock()
	if im := b.image.Load(); im != nil {
		return im, nil
	}
	src, local, err := b.source(ctx, whole)
	if err != nil {
		return nil, err
	}
	im, err := layer.Open(ctx, src, b.id, b.o.Cache)
	if err != nil && local && unreadable(err) {
		b.discard(err)
		src, local = layer.Object(b.e.Objects(), b.key(), b.l.Size), false
		im, err = layer.Open(ctx, src, b.id, b.o.Cache)
	}
	if err != nil {
		return nil, err
	}
	b.local = local
	b.image.Store(im)
	return im, nil
}

func (b *baseLayer) key() string { return b.id.ObjectName(b.l.Generation, b.l.Upload) }

// source is where the layer is read from.
func (b *baseLayer) source(ctx context.Context, whole bool) (src layer.Source, local bool, err error) {
	if b.o.Layers != nil {
		if whole {
			err = b.o.Layers.Fetch(ctx, b.l, b.path)
		} else {
			_, err = b.e.FS().Stat(b.path)
		}
		if err == nil {
			src, err = b.o.Layers.Source(ctx, b.l, b.path)
			return src, true, err
		}
		if errors.Is(err, remote.ErrLost) || xsync.Cause(ctx) != nil {
			return nil, false, err
		}
		if !errors.Is(err, fs.ErrNotExist) { // a full disk, say
			b.e.Log().Warn("layer gets no copy on the disk", slog.String("layer", b.path), slog.Any("err", err))
		}
	}
	return layer.Object(b.e.Objects(), b.key(), b.l.Size), false, nil
}

// discard removes the copy on the disk, which is damaged.
func (b *baseLayer) discard(why error) {
	b.e.Log().Error("layer is read from the object store", slog.String("timeline", b.o.ID.String()), slog.Any("err", why))
	if err := b.e.FS().Remove(b.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		b.e.Log().Error("damaged copy of a layer stays", slog.Any("err", err))
	}
}

// again tells whether a read of im that failed is worth another try: a damaged
// copy has made place for the object.
func (b *baseLayer) again(ctx context.Context, im *layer.Image, why error) bool {
	if im == nil || !unreadable(why) || b.open.LockCtx(ctx) != nil {
		return false
	}
	defer b.open.Unlock()
	if b.image.Load() != im {
		return true // somebody else has
	}
	if !b.local {
		return false
	}
	b.discard(why)
	b.image.Store(nil)
	return true
}

// scan reads a range of keys over all layers.
func (base images) scan(ctx context.Context, r layer.KeyRange, emit func(core.Key, []byte) error) error {
	for _, b := range base {
		if !b.id.Keys.Overlaps(r) {
			continue
		}
		if err := b.scan(ctx, r, emit); err != nil {
			return err
		}
	}
	return nil
}

// scan emits nothing twice: a read that is tried again goes on where it failed.
func (b *baseLayer) scan(ctx context.Context, r layer.KeyRange, emit func(core.Key, []byte) error) error {
	for {
		im, err := b.reader(ctx, true)
		if err != nil {
			return err
		}
		var refused error
		err = im.Scan(ctx, r, func(k core.Key, v []byte) error {
			if refused = emit(k, v); refused == nil {
				r.Start = k.Next()
			}
			return refused
		})
		if err == nil || refused != nil || !b.again(ctx, im, err) {
			return err
		}
	}
}

// find is the layer that holds k, nil if none does.
func (base images) find(k core.Key) *baseLayer {
	i, found := slices.BinarySearchFunc(base, k, func(b *baseLayer, k core.Key) int { return b.id.Keys.Start.Compare(k) })
	if !found {
		i--
	}
	if i < 0 || !base[i].id.Keys.Contains(k) {
		return nil
	}
	return base[i]
}

// pages reads each run of keys that lie in one layer together.
func (base images) pages(ctx context.Context, keys []core.Key, done func(int, []byte, error)) {
	for begin := 0; begin < len(keys); {
		b := base.find(keys[begin])
		end := begin + 1
		for end < len(keys) && base.find(keys[end]) == b {
			end++
		}
		b.pages(ctx, keys[begin:end], func(i int, page []byte, err error) { done(begin+i, page, err) })
		begin = end
	}
}

// pages reads blocks of one layer, nil if there is none that has them. A block
// that the directory has and the layer has not is missing.
func (b *baseLayer) pages(ctx context.Context, keys []core.Key, done func(int, []byte, error)) {
	got := make([]bool, len(keys))
	var err error
	for more := b != nil; more; {
		var im *layer.Image
		if im, err = b.reader(ctx, false); err == nil {
			err = im.Get(ctx, keys, func(i int, v []byte) error {
				if len(v) == core.PageSize && !got[i] {
					got[i] = true
					done(i, v, nil)
				}
				return nil
			})
		}
		more = err != nil && b.again(ctx, im, err)
	}
	if err == nil {
		err = fmt.Errorf("missing in the base layers: %w", env.ErrCorrupt)
	}
	for i, ok := range got {
		if !ok {
			_, _, _, _, _, blk := keys[i].Fields()
			done(i, nil, fmt.Errorf("%s block %d: %w", name(keys[i]), blk, err))
		}
	}
}
