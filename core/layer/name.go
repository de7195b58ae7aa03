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

// An ImageID says which state an image layer holds.
type ImageID struct {
	core.TTID
	Shard core.ShardID
	Keys  KeyRange
	LSN   core.LSN // the state after every record that ends at or before it
}

// Name is the layer's name among the layers of its timeline:
// keystart-keyend__LSN in hexadecimal.
func (id ImageID) Name() string { return fmt.Sprintf("%s__%016X", id.Keys, uint64(id.LSN)) }

// ParseName reads what [ImageID.Name] wrote; tenant, timeline and shard are
// not part of the name.
func ParseName(name string) (ImageID, error) {
	var id ImageID
	keys, lsn, ok := strings.Cut(name, "__")
	start, end, ok2 := strings.Cut(keys, "-")
	v, err := strconv.ParseUint(lsn, 16, 64)
	if !ok || !ok2 || err != nil || len(lsn) != 16 {
		return id, fmt.Errorf("layer name %q: want KEY-KEY__LSN", name)
	}
	id.LSN = core.LSN(v)
	if id.Keys.Start, err = core.ParseKey(start); err == nil {
		id.Keys.End, err = core.ParseKey(end)
	}
	if err != nil {
		return id, fmt.Errorf("layer name %q: %w", name, err)
	}
	return id, nil
}

// TimelinePrefix is the part that the names of all objects of a shard's
// timeline begin with; it ends in a slash.
func TimelinePrefix(t core.TTID, shard core.ShardID) string {
	return fmt.Sprintf("tenants/%s-%s/timelines/%s/", t.Tenant, shard, t.Timeline)
}

// ObjectName is where the layer lies in an object store. No two uploads share
// a name: gen is the generation of the owner that wrote it and upload a number
// that this owner never gives twice.
func (id ImageID) ObjectName(gen core.Generation, upload uint64) string {
	return fmt.Sprintf("%slayers/%s-%08x-%08x", TimelinePrefix(id.TTID, id.Shard), id.Name(), uint32(gen), upload)
}
