package layer

import (
	"fmt"
	"strconv"
	"strings"

	"xenon/core"
)

// A KeyRange is the keys k with Start ≤ k < End.
type KeyRange struct{ Start, End core.Key }

// Contains tells whether k lies in the range.
func (r KeyRange) Contains(k core.Key) bool {
	return r.Start.Compare(k) <= 0 && k.Compare(r.End) < 0
}

// Overlaps tells whether the ranges have a key in common.
func (r KeyRange) Overlaps(o KeyRange) bool {
	return r.Start.Compare(o.End) < 0 && o.Start.Compare(r.End) < 0
}

func (r KeyRange) String() string { return r.Start.String() + "-" + r.End.String() }

// Everything is the range of all keys below [core.MaxKey], which names no
// value.
var Everything = KeyRange{End: core.MaxKey}

// An LSNRange is the LSNs l with Start ≤ l < End.
type LSNRange struct{ Start, End core.LSN }

// Contains tells whether l lies in the range.
func (r LSNRange) Contains(l core.LSN) bool { return r.Start <= l && l < r.End }

// Overlaps tells whether the ranges have an LSN in common.
func (r LSNRange) Overlaps(o LSNRange) bool { return r.Start < o.End && o.Start < r.End }

// An Extent is what of a timeline's history a layer holds. A delta layer holds
// every version of its keys with an LSN of its range; an image layer holds the
// state of its keys at one LSN, which is the whole of its range.
type Extent struct {
	Keys  KeyRange
	LSNs  LSNRange
	Delta bool
}

// Overlaps tells whether the extents have a key and an LSN in common.
func (x Extent) Overlaps(o Extent) bool { return x.Keys.Overlaps(o.Keys) && x.LSNs.Overlaps(o.LSNs) }

// Name is the layer's name among the layers of its timeline, in hexadecimal:
// keystart-keyend__LSN of an image layer, keystart-keyend__lsnstart-lsnend of a
// delta layer.
func (x Extent) Name() string {
	if x.Delta {
		return fmt.Sprintf("%s__%016X-%016X", x.Keys, uint64(x.LSNs.Start), uint64(x.LSNs.End))
	}
	return fmt.Sprintf("%s__%016X", x.Keys, uint64(x.LSNs.Start))
}

// check refuses an extent that holds nothing or, as an image, more than one
// LSN.
func (x Extent) check() error {
	if x.Keys.Start.Compare(x.Keys.End) >= 0 || x.LSNs.Start >= x.LSNs.End {
		return fmt.Errorf("layer %s: the range is empty", x.Name())
	}
	if !x.Delta && x.LSNs.End != x.LSNs.Start+1 {
		return fmt.Errorf("layer %s: an image layer of LSNs %s to %s", x.Name(), x.LSNs.Start, x.LSNs.End)
	}
	return nil
}

// ParseExtent reads what [Extent.Name] wrote.
func ParseExtent(name string) (Extent, error) {
	var x Extent
	keys, lsns, ok := strings.Cut(name, "__")
	start, end, ok2 := strings.Cut(keys, "-")
	first, last, delta := strings.Cut(lsns, "-")
	from, err := parseLSN(first)
	x.Delta, x.LSNs = delta, LSNRange{from, from + 1}
	if delta && err == nil {
		x.LSNs.End, err = parseLSN(last)
	}
	if !ok || !ok2 || err != nil {
		return x, fmt.Errorf("layer name %q: want KEY-KEY__LSN or KEY-KEY__LSN-LSN", name)
	}
	if x.Keys.Start, err = core.ParseKey(start); err == nil {
		x.Keys.End, err = core.ParseKey(end)
	}
	if err != nil {
		return x, fmt.Errorf("layer name %q: %w", name, err)
	}
	return x, nil
}

// parseLSN reads 16 hex digits.
func parseLSN(s string) (core.LSN, error) {
	if len(s) != 16 {
		return 0, strconv.ErrSyntax
	}
	v, err := strconv.ParseUint(s, 16, 64)
	return core.LSN(v), err
}

// An ImageID says which state an image layer holds.
type ImageID struct {
	core.TTID
	Shard core.ShardID
	Keys  KeyRange
	LSN   core.LSN // the state after every record that ends at or before it
}

// Extent is the state's place in the timeline's history.
func (id ImageID) Extent() Extent {
	return Extent{Keys: id.Keys, LSNs: LSNRange{id.LSN, id.LSN + 1}}
}

func (id ImageID) identity() identity { return identity{id.TTID, id.Shard, id.Extent()} }

// Name is the name of the layer's extent.
func (id ImageID) Name() string { return id.Extent().Name() }

// ParseName reads the name of an image layer; tenant, timeline and shard are
// not part of it.
func ParseName(name string) (ImageID, error) {
	x, err := ParseExtent(name)
	if err == nil && x.Delta {
		err = fmt.Errorf("layer name %q: want KEY-KEY__LSN, this is a delta layer", name)
	}
	return ImageID{Keys: x.Keys, LSN: x.LSNs.Start}, err
}

// A DeltaID says which versions a delta layer holds.
type DeltaID struct {
	core.TTID
	Shard core.ShardID
	Keys  KeyRange
	LSNs  LSNRange // of the versions: ends of records
}

// Extent is the place of the versions in the timeline's history.
func (id DeltaID) Extent() Extent { return Extent{Keys: id.Keys, LSNs: id.LSNs, Delta: true} }

func (id DeltaID) identity() identity { return identity{id.TTID, id.Shard, id.Extent()} }

// Name is the name of the layer's extent.
func (id DeltaID) Name() string { return id.Extent().Name() }

// TimelinePrefix is the part that the names of all objects of a shard's
// timeline begin with; it ends in a slash.
func TimelinePrefix(t core.TTID, shard core.ShardID) string {
	return fmt.Sprintf("tenants/%s-%s/timelines/%s/", t.Tenant, shard, t.Timeline)
}

// ObjectName is where the layer lies in an object store. No two uploads share
// a name: gen is the generation of the owner that wrote it and upload a number
// that this owner never gives twice.
func (id ImageID) ObjectName(gen core.Generation, upload uint64) string {
	return id.identity().objectName(gen, upload)
}

// ObjectName is where the layer lies in an object store, as
// [ImageID.ObjectName] says.
func (id DeltaID) ObjectName(gen core.Generation, upload uint64) string {
	return id.identity().objectName(gen, upload)
}

func (id identity) objectName(gen core.Generation, upload uint64) string {
	return fmt.Sprintf("%slayers/%s-%08x-%08x", TimelinePrefix(id.TTID, id.Shard), id.Name(), uint32(gen), upload)
}
