package layer

import (
	"context"
	"slices"
)

// A table reads the blocks of one layer file: values sorted by keys of one
// width. Its methods may be called concurrently.
type table struct {
	src   Source
	width int // bytes of a key
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
	// openRead is how much of the end of a layer is read to open it: the footer,
	// the root, and most leaves of the index, by one request to the object store.
	openRead = 32 << 10
)

// openTable reads header, footer and index root.
func openTable(ctx context.Context, src Source, c *Cache) (*table, identity, error) {
	size := src.Size()
	if size < headerSize+footerSize {
		return nil, identity{}, corrupt(src.Name(), 0, "%d bytes are too few for a layer", size)
	}
	tail := ending{bytes: make([]byte, min(size, openRead))}
	tail.off = size - int64(len(tail.bytes))
	if err := src.ReadRange(ctx, tail.bytes, tail.off); err != nil {
		return nil, identity{}, err
	}
	head := tail.bytes
	if tail.off > 0 {
		head = make([]byte, headerSize)
		if err := src.ReadRange(ctx, head, 0); err != nil {
			return nil, identity{}, err
		}
	}
	id, seed, err := decodeHeader(src.Name(), head)
	if err != nil {
		return nil, id, err
	}
	t := &table{src: src, width: id.width(), seed: seed, cache: c, num: c.register()}
	if t.foot, err = decodeFooter(src.Name(), tail.bytes[len(tail.bytes)-footerSize:], size); err != nil {
		return nil, id, err
	}
	if t.foot.seed != t.seed {
		return nil, id, corrupt(src.Name(), size-footerSize, "footer and header are of different layers")
	}
	if t.root, err = t.index(ctx, t.foot.root, &tail); err != nil {
		return nil, id, err
	}
	for i := t.root.n - 1; i >= 0 && tail.has(t.root.handle(i)); i-- {
		// One that is damaged is an error when it is needed.
		if x, err := t.index(ctx, t.root.handle(i), &tail); err == nil {
			c.put(cacheKey{t.num, t.root.handle(i).off}, x.raw, x.n)
		}
	}
	return t, id, nil
}

// An ending is the bytes of a layer from off on.
type ending struct {
	bytes []byte
	off   int64
}

func (e *ending) has(h handle) bool { return e != nil && h.off >= e.off }

// A want is something that a batch of lookups asks for, and the block that
// holds it if any does.
type want struct {
	h handle
	i int // place in the batch
}

// find is the block that holds k, or else the last key before k; ok is false
// if all keys are above k.
func (t *table) find(ctx context.Context, k []byte) (h handle, ok bool, err error) {
	li := t.root.seek(k)
	if li < 0 {
		return h, false, nil
	}
	leaf, err := t.leaf(ctx, li)
	if err != nil {
		return h, false, err
	}
	bi := leaf.seek(k)
	if bi < 0 {
		return h, false, nil
	}
	return leaf.handle(bi), true, nil
}

// fetch calls visit once for each block that is wanted, with the wants that lie
// in it, in the order of the file. It reorders wants. Blocks that lie near each
// other and are not cached are fetched by one read.
func (t *table) fetch(ctx context.Context, wants []want, visit func(b block, group []want) error) error {
	slices.SortFunc(wants, func(a, b want) int {
		if a.h.off != b.h.off {
			return int(a.h.off - b.h.off)
		}
		return a.i - b.i
	})
	for len(wants) > 0 {
		n, err := t.fetchRun(ctx, wants, visit)
		if err != nil {
			return err
		}
		wants = wants[n:]
	}
	return nil
}

// fetchRun visits the first wants: all of one cached block, or as many as one
// read can fetch. It returns how many they were.
func (t *table) fetchRun(ctx context.Context, wants []want, visit func(block, []want) error) (int, error) {
	if b, ok := t.cachedBlock(wants[0].h); ok {
		n := groupSize(wants)
		return n, visit(b, wants[:n])
	}
	first, end := wants[0].h.off, wants[0].h.end()
	for _, w := range wants[1:] {
		if w.h.end() == end {
			continue
		}
		if w.h.off > end+mergeGap || w.h.end()-first > mergeMax {
			break
		}
		if _, ok := t.cachedBlock(w.h); ok {
			break
		}
		end = w.h.end()
	}
	buf := make([]byte, end-first)
	if err := t.src.ReadRange(ctx, buf, first); err != nil {
		return 0, err
	}
	done := 0
	for done < len(wants) && wants[done].h.end() <= end {
		h := wants[done].h
		b, err := t.admit(h, buf[h.off-first:h.end()-first])
		if err != nil {
			return 0, err
		}
		n := groupSize(wants[done:])
		if err := visit(b, wants[done:done+n]); err != nil {
			return 0, err
		}
		done += n
	}
	return done, nil
}

// groupSize is how many wants at the head of the list lie in the same block.
func groupSize(wants []want) int {
	n := 1
	for n < len(wants) && wants[n].h == wants[0].h {
		n++
	}
	return n
}

func (t *table) cachedBlock(h handle) (block, bool) {
	raw, n, ok := t.cache.get(cacheKey{t.num, h.off})
	return block{raw, n, t.width}, ok
}

// block reads a data block, from the cache if it is there.
func (t *table) block(ctx context.Context, h handle) (block, error) {
	if b, ok := t.cachedBlock(h); ok {
		return b, nil
	}
	buf := make([]byte, h.end()-h.off)
	if err := t.src.ReadRange(ctx, buf, h.off); err != nil {
		return block{}, err
	}
	return t.admit(h, buf)
}

// admit checks a stored data block and puts it into the cache. A raw block
// keeps its own copy, not a piece of a long read.
func (t *table) admit(h handle, stored []byte) (block, error) {
	raw, err := unpack(t.src.Name(), t.seed, h, stored)
	if err != nil {
		return block{}, err
	}
	if cap(raw) > len(raw)+trailerSize {
		raw = slices.Clone(raw)
	}
	b, err := parseBlock(t.src.Name(), h.off, raw, t.width)
	if err == nil {
		t.cache.put(cacheKey{t.num, h.off}, b.raw, b.n)
	}
	return b, err
}

// leaf reads the i-th index leaf, from the cache if it is there.
func (t *table) leaf(ctx context.Context, i int) (index, error) {
	h := t.root.handle(i)
	if raw, n, ok := t.cache.get(cacheKey{t.num, h.off}); ok {
		return index{raw, n, t.width}, nil
	}
	x, err := t.index(ctx, h, nil)
	if err == nil {
		t.cache.put(cacheKey{t.num, h.off}, x.raw, x.n)
	}
	return x, err
}

// index reads an index block, or takes it from the ending if that has it.
func (t *table) index(ctx context.Context, h handle, e *ending) (index, error) {
	buf := make([]byte, h.end()-h.off)
	if e.has(h) {
		copy(buf, e.bytes[h.off-e.off:])
	} else if err := t.src.ReadRange(ctx, buf, h.off); err != nil {
		return index{}, err
	}
	raw, err := unpack(t.src.Name(), t.seed, h, buf)
	if err != nil {
		return index{}, err
	}
	return parseIndex(t.src.Name(), h.off, raw, t.width, h.off)
}

// A cursor walks a table in the order of its keys.
type cursor struct {
	t        *table
	from     []byte // the first key
	end      []byte // the first key that is not wanted any more
	li, bi   int    // the next leaf, the next block of leaf
	leaf     index
	block    block
	off      int64 // of block
	i        int   // the next value of block
	finished bool
}

// scan makes a cursor over the keys k with from ≤ k < end.
func (t *table) scan(from, end []byte) cursor {
	return cursor{t: t, from: from, end: end, li: max(t.root.seek(from), 0)}
}

// next is the next key and its value; ok is false at the end.
func (c *cursor) next(ctx context.Context) (k, v []byte, ok bool, err error) {
	for c.i == c.block.n && !c.finished {
		if err := c.advance(ctx); err != nil {
			return nil, nil, false, err
		}
	}
	if c.finished || string(c.block.key(c.i)) >= string(c.end) {
		c.finished = true
		return nil, nil, false, nil
	}
	c.i++
	return c.block.key(c.i - 1), c.block.value(c.i - 1), true, nil
}

// advance goes to the next block.
func (c *cursor) advance(ctx context.Context) (err error) {
	if c.bi == c.leaf.n {
		if c.li == c.t.root.n || string(c.t.root.key(c.li)) >= string(c.end) {
			c.finished = true
			return nil
		}
		if c.leaf, err = c.t.leaf(ctx, c.li); err != nil {
			return err
		}
		// In the first leaf from may lie behind the first block.
		c.li, c.bi = c.li+1, max(c.leaf.seek(c.from), 0)
		if c.bi == c.leaf.n {
			return nil
		}
	}
	h := c.leaf.handle(c.bi)
	if c.block, err = c.t.block(ctx, h); err != nil {
		return err
	}
	c.off, c.bi, c.i = h.off, c.bi+1, c.block.seek(c.from)
	return nil
}
