package layer

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"xenon/core"
	"xenon/core/faults"
)

// A Delta reads one delta layer. Its methods may be called concurrently.
type Delta struct {
	table
	id       DeltaID
	readings sync.Pool // of *deltaReading
}

// OpenDelta reads header, footer and index root. The layer must be want, so
// that a file under another's name is refused.
func OpenDelta(ctx context.Context, src Source, want DeltaID, c *Cache) (*Delta, error) {
	d, err := OpenAnyDelta(ctx, src, c)
	if err != nil {
		return nil, err
	}
	if err := sameLayer(src.Name(), d.id.identity(), want.identity()); err != nil {
		return nil, err
	}
	return d, nil
}

// OpenAnyDelta is [OpenDelta] for whatever delta layer the file holds.
func OpenAnyDelta(ctx context.Context, src Source, c *Cache) (*Delta, error) {
	t, id, err := openTable(ctx, src, c)
	if err != nil {
		return nil, err
	}
	if !id.Delta {
		return nil, corrupt(src.Name(), 0, "an image layer, wanted a delta layer")
	}
	d := &Delta{table: *t, id: DeltaID{id.TTID, id.Shard, id.Keys, id.LSNs}}
	d.readings.New = func() any { return new(deltaReading) }
	return d, nil
}

// ID says what the layer holds.
func (d *Delta) ID() DeltaID { return d.id }

// Values is how many versions it holds.
func (d *Delta) Values() uint64 { return d.foot.values }

// A Span asks for the versions of a key at LSNs of a range.
type Span struct {
	Key  core.Key
	LSNs LSNRange
}

// Get reads what is needed to make the value of each span's key at the end of
// its LSNs: it calls emit with the span's place in spans, for one span after
// the other, and for each the newest version first, down to one that needs no
// older version ([Kind.Init]) or to the start of the LSNs. Data must not be
// changed; it stays valid for ever. Blocks that lie near each other and are not
// cached are fetched by one read.
func (d *Delta) Get(ctx context.Context, spans []Span, emit func(i int, v Version) error) error {
	r := d.readings.Get().(*deltaReading)
	defer r.release(d)
	if err := r.collect(ctx, d, spans); err != nil {
		return err
	}
	if err := r.fetchShared(ctx, d, spans); err != nil {
		return err
	}
	for i := range r.found {
		if err := emit(r.found[i].span, r.found[i].Version); err != nil {
			return err
		}
	}
	return nil
}

// A deltaReading is one batch of reads and its scratch memory.
type deltaReading struct {
	cursors []chainCursor
	open    []int // cursors that go on
	wants   []want
	found   []foundVersion
}

// A chainCursor is how far one span is read.
type chainCursor struct {
	next [deltaWidth]byte // the newest key that was not looked at
	done bool
}

type foundVersion struct {
	Version
	span   int
	shared bool  // Data is the key that has the record
	off    int64 // of the block, for errors
}

// release forgets what the reading refers to.
func (r *deltaReading) release(d *Delta) {
	clear(r.found)
	d.readings.Put(r)
}

// collect finds the versions of all spans, sorted by span. Each round reads,
// for all spans together, the block with the newest versions that were not
// looked at; a chain of versions that begins in the block before goes on in
// the next round.
func (r *deltaReading) collect(ctx context.Context, d *Delta, spans []Span) error {
	r.cursors, r.open, r.found = r.cursors[:0], r.open[:0], r.found[:0]
	for i, s := range spans {
		if s.LSNs.Start < s.LSNs.End && d.id.Keys.Contains(s.Key) {
			r.open = append(r.open, i)
		}
		r.cursors = append(r.cursors, chainCursor{next: deltaKey(s.Key, s.LSNs.End-1)})
	}
	for len(r.open) > 0 {
		r.wants = r.wants[:0]
		for _, i := range r.open {
			h, ok, err := d.find(ctx, r.cursors[i].next[:])
			if err != nil {
				return err
			}
			if ok {
				r.wants = append(r.wants, want{h, i})
			}
		}
		r.open = r.open[:0]
		err := d.fetch(ctx, r.wants, func(b block, group []want) error {
			return r.visit(d, b, group, spans)
		})
		if err != nil {
			return err
		}
	}
	slices.SortStableFunc(r.found, func(a, b foundVersion) int { return cmp.Compare(a.span, b.span) })
	return nil
}

// visit takes from one block what the spans want of it.
func (r *deltaReading) visit(d *Delta, b block, group []want, spans []Span) error {
	for _, w := range group {
		s, c := &spans[w.i], &r.cursors[w.i]
		pos := b.last(c.next[:])
		if pos < 0 {
			return corrupt(d.src.Name(), w.h.off, "the index leads to a block that begins too late")
		}
		more, err := r.take(d, b, pos, w, s)
		if err != nil {
			return err
		}
		if _, lsn := splitKey(b.key(0)); more && lsn > s.LSNs.Start && !(faults.On && faults.Hit(faults.ChainOneBlock)) {
			c.next = deltaKey(s.Key, lsn-1)
			r.open = append(r.open, w.i)
		}
	}
	return nil
}

// take collects the versions of a span from the pos-th value of a block
// backwards; more tells that the block before may have older ones.
func (r *deltaReading) take(d *Delta, b block, pos int, w want, s *Span) (more bool, err error) {
	for ; pos >= 0; pos-- {
		k, lsn := splitKey(b.key(pos))
		if k != s.Key || lsn < s.LSNs.Start && !(faults.On && faults.Hit(faults.ChainPastFloor)) {
			return false, nil
		}
		v, shared, err := parseValue(b.value(pos))
		if err != nil {
			return false, corrupt(d.src.Name(), w.h.off, "key %s at %s: %v", k, lsn, err)
		}
		r.found = append(r.found, foundVersion{Version{lsn, v}, w.i, shared, w.h.off})
		if v.Kind.Init() {
			return false, nil
		}
	}
	return true, nil
}

// fetchShared reads the records that are stored under other keys.
func (r *deltaReading) fetchShared(ctx context.Context, d *Delta, spans []Span) error {
	r.wants = r.wants[:0]
	for i := range r.found {
		f := &r.found[i]
		if !f.shared {
			continue
		}
		key := deltaKey(core.Key(f.Data), f.LSN)
		h, ok, err := d.find(ctx, key[:])
		if err != nil {
			return err
		}
		if !ok {
			return corrupt(d.src.Name(), f.off, "the record of key %s at %s is not in the layer", spans[f.span].Key, f.LSN)
		}
		r.wants = append(r.wants, want{h, i})
	}
	return d.fetch(ctx, r.wants, func(b block, group []want) error {
		for _, w := range group {
			f := &r.found[w.i]
			if err := d.adopt(b, &f.Value, f.LSN, f.off); err != nil {
				return err
			}
		}
		return nil
	})
}

// adopt fills in the record of a shared value from the block that has it; off
// is where the value is.
func (d *Delta) adopt(b block, v *Value, lsn core.LSN, off int64) error {
	key := deltaKey(core.Key(v.Data), lsn)
	stored, ok := b.get(key[:])
	if !ok {
		return corrupt(d.src.Name(), off, "the record of key %X at %s is not in the layer", v.Data, lsn)
	}
	if err := v.adopt(stored); err != nil {
		return corrupt(d.src.Name(), off, "key %X at %s: %v", key[:core.KeySize], lsn, err)
	}
	return nil
}

// A DeltaCursor walks a delta layer in ascending order of keys and, for each
// key, of LSNs. One task uses it.
type DeltaCursor struct {
	d        *Delta
	c        cursor
	from, to [deltaWidth]byte
}

// Cursor begins before the first version of the range's keys.
func (d *Delta) Cursor(r KeyRange) *DeltaCursor {
	c := &DeltaCursor{d: d, from: deltaKey(r.Start, 0), to: deltaKey(r.End, 0)}
	c.c = d.scan(c.from[:], c.to[:])
	return c
}

// Next is the next version; ok is false after the last one. The rules of
// [Delta.Get] for data hold.
func (c *DeltaCursor) Next(ctx context.Context) (k core.Key, v Version, ok bool, err error) {
	key, value, ok, err := c.c.next(ctx)
	if err != nil || !ok {
		return k, v, false, err
	}
	k, v.LSN = splitKey(key)
	var shared bool
	if v.Value, shared, err = parseValue(value); err != nil {
		return k, v, false, corrupt(c.d.src.Name(), c.c.off, "key %s at %s: %v", k, v.LSN, err)
	}
	if !shared {
		return k, v, true, nil
	}
	holder := deltaKey(core.Key(v.Data), v.LSN)
	h, ok, err := c.d.find(ctx, holder[:])
	if err != nil || !ok {
		return k, v, false, cmp.Or(err, corrupt(c.d.src.Name(), c.c.off, "the record of key %s at %s is not in the layer", k, v.LSN))
	}
	b, err := c.d.block(ctx, h)
	if err != nil {
		return k, v, false, err
	}
	err = c.d.adopt(b, &v.Value, v.LSN, c.c.off)
	return k, v, err == nil, err
}
