package layer

import (
	"fmt"
	"iter"

	"xenon/core"
	"xenon/core/faults"
)

// A Map has the layers of one shard of a timeline, each with what its owner
// keeps of it. A Map never changes: [Map.Edit] makes another one, so readers
// go on with the one that they have. The zero value has no layers.
//
// No two delta layers have a key and an LSN in common, nor do two image layers:
// each version of a key is in one layer, and none is replayed twice. A lookup
// takes O(log² n) steps of n layers wherever they lie.
type Map[L any] struct {
	deltas *node[L]
	images *node[L]
	count  int
}

// A Placed is a layer and what it holds.
type Placed[L any] struct {
	Extent
	Layer L
}

// Len is the number of layers.
func (m *Map[L]) Len() int { return m.count }

// All are the layers: the delta layers, then the image layers, each ordered by
// where their LSNs begin, then by where their keys begin.
func (m *Map[L]) All() iter.Seq2[Extent, L] {
	return func(yield func(Extent, L) bool) {
		visit := func(n *node[L]) bool { return yield(n.Extent, n.layer) }
		_ = m.deltas.each(visit) && m.images.each(visit)
	}
}

// Find is the layer of that very extent.
func (m *Map[L]) Find(x Extent) (layer L, ok bool) {
	if n := (*m.tree(x.Delta)).find(x); n != nil && n.Extent == x {
		return n.layer, true
	}
	return layer, false
}

func (m *Map[L]) tree(delta bool) **node[L] {
	if delta {
		return &m.deltas
	}
	return &m.images
}

// Edit is the map without the layers of remove and with those of add, in one
// step: a compaction puts its layers in the place of those that it read. It is
// an error to remove a layer that is not there, or to add one that holds
// nothing or overlaps another; the error names the layers. An Edit takes
// O(log n) steps for each layer beside the lists of ranges that layers leave
// between them.
func (m *Map[L]) Edit(remove []Extent, add []Placed[L]) (*Map[L], error) {
	next := *m
	for _, x := range remove {
		if _, ok := next.Find(x); !ok {
			return nil, fmt.Errorf("layer map: layer %s is to be removed and not there", x.Name())
		}
		root := next.tree(x.Delta)
		*root = (*root).remove(x)
		next.count--
	}
	for i := range add {
		x := add[i].Extent
		if err := x.check(); err != nil {
			return nil, fmt.Errorf("layer map: %w", err)
		}
		root := next.tree(x.Delta)
		if other := (*root).find(x); other != nil {
			return nil, overlapping(x, other.Extent)
		}
		*root = (*root).insert(&node[L]{Extent: x, layer: add[i].Layer, priority: priorityOf(x)})
		next.count++
	}
	next.images.seal(next.deltas.seal(nil))
	for i := range add {
		x := add[i].Extent
		if other := (*next.tree(x.Delta)).overlap(x); other != nil && !(faults.On && faults.Hit(faults.MapOverlapUnseen)) {
			return nil, overlapping(x, other.Extent)
		}
	}
	return &next, nil
}

func overlapping(x, other Extent) error {
	return fmt.Errorf("layer map: layer %s overlaps layer %s", x.Name(), other.Name())
}

// A Step is the layer to read next.
type Step[L any] struct {
	// Keys are those for which this step is the next one; the key asked for is
	// among them.
	Keys KeyRange
	// LSNs are what is to be read of the layer. Of an image layer it is the
	// LSN of the image, which ends the search: a key that is not in it has no
	// value there.
	LSNs LSNRange
	Placed[L]
}

// Next is where the versions of a key are that lie below an LSN, the newest
// ones. If it is a delta layer and does not have all that is needed, the search
// goes on below LSNs.Start of the step. A read as of an LSN begins right above
// it, at lsn+1. ok is false if no layer has the key: older versions are in the
// ancestor's layers, or nowhere; Keys then says for which keys that is so.
func (m *Map[L]) Next(k core.Key, below core.LSN) (step Step[L], ok bool) {
	step.Keys = Everything
	image := m.images.before(k, below, &step.Keys)
	floor := core.LSN(0) // versions below it are in the image
	if image != nil {
		floor = image.LSNs.End
	}
	delta := m.deltas.before(k, below, &step.Keys)
	if faults.On && image != nil && faults.Hit(faults.MapImageFirst) {
		delta = nil
	}
	switch {
	case delta != nil && min(delta.LSNs.End, below) > floor:
		step.Placed = Placed[L]{delta.Extent, delta.layer}
		step.LSNs = LSNRange{max(delta.LSNs.Start, floor), below}
	case image != nil:
		step.Placed = Placed[L]{image.Extent, image.layer}
		step.LSNs = image.LSNs
	default:
		return step, false
	}
	return step, true
}

// Range are the steps for the keys of a range, as [Map.Next] tells them for
// each, in the order of keys and without those of which no layer has anything.
// Neighbours with the same step are one.
func (m *Map[L]) Range(r KeyRange, below core.LSN) iter.Seq[Step[L]] {
	return func(yield func(Step[L]) bool) {
		var open Step[L]
		some := false
		for k := r.Start; k.Compare(r.End) < 0; {
			step, ok := m.Next(k, below)
			step.Keys.raise(r.Start)
			step.Keys.lower(r.End)
			k = step.Keys.End
			switch {
			case ok && some && step.continues(&open):
				open.Keys.End = step.Keys.End
				continue
			case some && !yield(open):
				return
			}
			open, some = step, ok
		}
		if some {
			yield(open)
		}
	}
}

// continues tells whether s is the same step as the one for the keys before.
func (s *Step[L]) continues(o *Step[L]) bool {
	return s.Extent == o.Extent && s.LSNs == o.LSNs && s.Keys.Start == o.Keys.End
}

// NextOf appends to dst the step for each span's key below the end of its LSNs;
// a step that there is none of has no Keys. Spans are best sorted by key: those
// of one layer then cost one lookup.
func (m *Map[L]) NextOf(dst []Step[L], spans []Span) []Step[L] {
	var last Step[L]
	var below core.LSN
	found := false
	for _, s := range spans {
		if below != s.LSNs.End || !last.Keys.Contains(s.Key) {
			last, found = m.Next(s.Key, s.LSNs.End)
			below = s.LSNs.End
		}
		if found {
			dst = append(dst, last)
		} else {
			dst = append(dst, Step[L]{})
		}
	}
	return dst
}

// ImagesCover tells whether every key of a range is in an image layer with an
// LSN of the range.
func (m *Map[L]) ImagesCover(keys KeyRange, lsns LSNRange) bool {
	for k := keys.Start; k.Compare(keys.End) < 0; {
		same := Everything
		n := m.images.before(k, lsns.End, &same)
		if n == nil || n.LSNs.Start < lsns.Start {
			return false
		}
		k = same.End
	}
	return true
}
