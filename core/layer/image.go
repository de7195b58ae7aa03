package layer

import (
	"context"
	"slices"

	"xenon/core"
)

// An Image reads one image layer. Its methods may be called concurrently.
type Image struct {
	src   Source
	id    ImageID
	seed  uint32
	foot  footer
	root  index
	cache *Cache
	num   uint64 // of this layer in the cache
}

const (
	// mergeGap is how many unwanted bytes a ranged read may fetch to save a
	// second one, mergeMax how long it may become.
	mergeGap = 64 << 10
	mergeMax = 1 << 20
)

// Open reads header, footer and index root. The layer must be want, so that a
// file under another's name is refused.
func Open(ctx context.Context, src Source, want ImageID, c *Cache) (*Image, error) {
	im, err := OpenAny(ctx, src, c)
	if err != nil {
		return nil, err
	}
	if im.id != want {
		return nil, corrupt(src.Name(), 0, "the layer says it is %s of %s shard %s, wanted %s of %s shard %s",
			im.id.Name(), im.id.TTID, im.id.Shard, want.Name(), want.TTID, want.Shard)
	}
	return im, nil
}

// OpenAny is [Open] for whatever layer the file holds.
func OpenAny(ctx context.Context, src Source, c *Cache) (*Image, error) {
	size := src.Size()
	if size < headerSize+footerSize {
		return nil, corrupt(src.Name(), 0, "%d bytes are too few for a layer", size)
	}
	var head [headerSize]byte
	if err := src.ReadRange(ctx, head[:], 0); err != nil {
		return nil, err
	}
	im := &Image{src: src, cache: c, num: c.register()}
	var err error
	if im.id, im.seed, err = decodeHeader(src.Name(), head[:]); err != nil {
		return nil, err
	}
	var tail [footerSize]byte
	if err := src.ReadRange(ctx, tail[:], size-footerSize); err != nil {
		return nil, err
	}
	if im.foot, err = decodeFooter(src.Name(), tail[:], size); err != nil {
		return nil, err
	}
	if im.foot.seed != im.seed {
		return nil, corrupt(src.Name(), size-footerSize, "footer and header are of different layers")
	}
	raw, err := im.read(ctx, im.foot.root)
	if err != nil {
		return nil, err
	}
	im.root, err = parseIndex(src.Name(), im.foot.root.off, raw, im.foot.root.off)
	return im, err
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
	wants, err := im.locate(ctx, keys)
	if err != nil {
		return err
	}
	for len(wants) > 0 {
		n, err := im.getRun(ctx, keys, wants, emit)
		if err != nil {
			return err
		}
		wants = wants[n:]
	}
	return nil
}

// getOne is Get without the sorting and merging that a batch needs.
func (im *Image) getOne(ctx context.Context, k core.Key, emit func(i int, value []byte) error) error {
	h, ok, err := im.find(ctx, k)
	if err != nil || !ok {
		return err
	}
	b, err := im.block(ctx, h)
	if err != nil {
		return err
	}
	if v, ok := b.get(k); ok {
		return emit(0, v)
	}
	return nil
}

// Scan calls emit for every value of the range in order of keys. The rules of
// Get for values hold.
func (im *Image) Scan(ctx context.Context, r KeyRange, emit func(k core.Key, value []byte) error) error {
	for li := max(im.root.seek(r.Start), 0); li < im.root.n; li++ {
		if string(im.root.key(li)) >= string(r.End[:]) {
			return nil
		}
		leaf, err := im.leaf(ctx, li)
		if err != nil {
			return err
		}
		for bi := max(leaf.seek(r.Start), 0); bi < leaf.n && string(leaf.key(bi)) < string(r.End[:]); bi++ {
			b, err := im.block(ctx, leaf.handle(bi))
			if err != nil {
				return err
			}
			for i := b.seek(r.Start); i < b.n && string(b.key(i)) < string(r.End[:]); i++ {
				if err := emit(core.Key(b.key(i)), b.value(i)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// A want is a key that a Get asks for, and the block that holds it if any
// does.
type want struct {
	h handle
	i int // place in keys
}

// locate finds the blocks of keys, ordered by place in the file.
func (im *Image) locate(ctx context.Context, keys []core.Key) ([]want, error) {
	wants := make([]want, 0, len(keys))
	for i, k := range keys {
		h, ok, err := im.find(ctx, k)
		if err != nil {
			return nil, err
		}
		if ok {
			wants = append(wants, want{h, i})
		}
	}
	slices.SortFunc(wants, func(a, b want) int {
		if a.h.off != b.h.off {
			return int(a.h.off - b.h.off)
		}
		return a.i - b.i
	})
	return wants, nil
}

// find is the block that holds k if the layer has k.
func (im *Image) find(ctx context.Context, k core.Key) (h handle, ok bool, err error) {
	li := im.root.seek(k)
	if li < 0 || !im.id.Keys.Contains(k) {
		return h, false, nil
	}
	leaf, err := im.leaf(ctx, li)
	if err != nil {
		return h, false, err
	}
	bi := leaf.seek(k)
	if bi < 0 {
		return h, false, nil
	}
	return leaf.handle(bi), true, nil
}

// getRun serves the first wants: all of one cached block, or as many as one
// read can fetch. It returns how many it served.
func (im *Image) getRun(ctx context.Context, keys []core.Key, wants []want, emit func(int, []byte) error) (int, error) {
	if b, ok := im.cachedBlock(wants[0].h); ok {
		return serve(b, keys, wants, emit)
	}
	first, end := wants[0].h.off, wants[0].h.end()
	for _, w := range wants[1:] {
		if w.h.end() == end {
			continue
		}
		if w.h.off > end+mergeGap || w.h.end()-first > mergeMax {
			break
		}
		if _, ok := im.cachedBlock(w.h); ok {
			break
		}
		end = w.h.end()
	}
	buf := make([]byte, end-first)
	if err := im.src.ReadRange(ctx, buf, first); err != nil {
		return 0, err
	}
	done := 0
	for done < len(wants) && wants[done].h.end() <= end {
		h := wants[done].h
		b, err := im.admit(h, buf[h.off-first:h.end()-first])
		if err != nil {
			return 0, err
		}
		n, err := serve(b, keys, wants[done:], emit)
		if err != nil {
			return 0, err
		}
		done += n
	}
	return done, nil
}

// serve emits the wants at the head of the list that lie in the same block.
func serve(b block, keys []core.Key, wants []want, emit func(int, []byte) error) (int, error) {
	n := 0
	for n < len(wants) && wants[n].h == wants[0].h {
		if v, ok := b.get(keys[wants[n].i]); ok {
			if err := emit(wants[n].i, v); err != nil {
				return n, err
			}
		}
		n++
	}
	return n, nil
}

func (im *Image) cachedBlock(h handle) (block, bool) {
	raw, n, ok := im.cache.get(cacheKey{im.num, h.off})
	return block{raw, n}, ok
}

// block reads a data block, from the cache if it is there.
func (im *Image) block(ctx context.Context, h handle) (block, error) {
	if b, ok := im.cachedBlock(h); ok {
		return b, nil
	}
	buf := make([]byte, h.end()-h.off)
	if err := im.src.ReadRange(ctx, buf, h.off); err != nil {
		return block{}, err
	}
	return im.admit(h, buf)
}

// admit checks a stored data block and puts it into the cache. A raw block
// keeps its own copy, not a piece of a long read.
func (im *Image) admit(h handle, stored []byte) (block, error) {
	raw, err := unpack(im.src.Name(), im.seed, h, stored)
	if err != nil {
		return block{}, err
	}
	if cap(raw) > len(raw)+trailerSize {
		raw = slices.Clone(raw)
	}
	b, err := parseBlock(im.src.Name(), h.off, raw)
	if err == nil {
		im.cache.put(cacheKey{im.num, h.off}, b.raw, b.n)
	}
	return b, err
}

// leaf reads the i-th index leaf, from the cache if it is there.
func (im *Image) leaf(ctx context.Context, i int) (index, error) {
	h := im.root.handle(i)
	if raw, n, ok := im.cache.get(cacheKey{im.num, h.off}); ok {
		return index{raw, n}, nil
	}
	raw, err := im.read(ctx, h)
	if err != nil {
		return index{}, err
	}
	x, err := parseIndex(im.src.Name(), h.off, raw, h.off)
	if err == nil {
		im.cache.put(cacheKey{im.num, h.off}, x.raw, x.n)
	}
	return x, err
}

func (im *Image) read(ctx context.Context, h handle) ([]byte, error) {
	buf := make([]byte, h.end()-h.off)
	if err := im.src.ReadRange(ctx, buf, h.off); err != nil {
		return nil, err
	}
	return unpack(im.src.Name(), im.seed, h, buf)
}
