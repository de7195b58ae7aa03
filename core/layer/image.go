package layer

import (
	"context"

	"xenon/core"
)

// An Image reads one image layer. Its methods may be called concurrently.
type Image struct {
	table
	id ImageID
}

// Open reads header, footer and index root. The layer must be want, so that a
// file under another's name is refused.
func Open(ctx context.Context, src Source, want ImageID, c *Cache) (*Image, error) {
	im, err := OpenAny(ctx, src, c)
	if err != nil {
		return nil, err
	}
	if err := sameLayer(src.Name(), im.id.identity(), want.identity()); err != nil {
		return nil, err
	}
	return im, nil
}

// sameLayer refuses a file that is another layer than was asked for.
func sameLayer(name string, got, want identity) error {
	if got == want {
		return nil
	}
	return corrupt(name, 0, "the layer says it is %s, wanted %s", got, want)
}

// OpenAny is [Open] for whatever image layer the file holds.
func OpenAny(ctx context.Context, src Source, c *Cache) (*Image, error) {
	t, id, err := openTable(ctx, src, c)
	if err != nil {
		return nil, err
	}
	if id.Delta {
		return nil, corrupt(src.Name(), 0, "a delta layer, wanted an image layer")
	}
	return &Image{*t, ImageID{id.TTID, id.Shard, id.Keys, id.LSNs.Start}}, nil
}

// ID says what the layer holds.
func (im *Image) ID() ImageID { return im.id }

// Values is how many values it holds.
func (im *Image) Values() uint64 { return im.foot.values }

// Get looks keys up, in any order, and calls emit for those that are there,
// with the key's place in keys; the order of the calls is not that of keys.
// Values must not be changed; they stay valid for ever. Blocks that lie near
// each other and are not cached are fetched by one read.
func (im *Image) Get(ctx context.Context, keys []core.Key, emit func(i int, value []byte) error) error {
	if len(keys) == 1 {
		return im.getOne(ctx, keys[0], emit)
	}
	wants := make([]want, 0, len(keys))
	for i := range keys {
		h, ok, err := im.locate(ctx, &keys[i])
		if err != nil {
			return err
		}
		if ok {
			wants = append(wants, want{h, i})
		}
	}
	return im.fetch(ctx, wants, func(b block, group []want) error {
		for _, w := range group {
			if v, ok := b.get(keys[w.i][:]); ok {
				if err := emit(w.i, v); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// getOne is Get without the sorting and merging that a batch needs.
func (im *Image) getOne(ctx context.Context, k core.Key, emit func(i int, value []byte) error) error {
	h, ok, err := im.locate(ctx, &k)
	if err != nil || !ok {
		return err
	}
	b, err := im.block(ctx, h)
	if err != nil {
		return err
	}
	if v, ok := b.get(k[:]); ok {
		return emit(0, v)
	}
	return nil
}

// locate is the block that holds k if the layer has k.
func (im *Image) locate(ctx context.Context, k *core.Key) (h handle, ok bool, err error) {
	if !im.id.Keys.Contains(*k) {
		return h, false, nil
	}
	return im.find(ctx, k[:])
}

// Scan calls emit for every value of the range in order of keys. The rules of
// Get for values hold.
func (im *Image) Scan(ctx context.Context, r KeyRange, emit func(k core.Key, value []byte) error) error {
	c := im.scan(r.Start[:], r.End[:])
	for {
		k, v, ok, err := c.next(ctx)
		if err != nil || !ok {
			return err
		}
		if err := emit(core.Key(k), v); err != nil {
			return err
		}
	}
}
