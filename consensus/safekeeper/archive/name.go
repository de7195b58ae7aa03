package archive

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"xenon/core"
)

// pgTimeline is PostgreSQL's own timeline number in names of segments.
const pgTimeline = 1

// Prefix is what the keys of all objects of a timeline begin with.
func Prefix(id core.TTID) string {
	return "wal/" + id.Tenant.String() + "/" + id.Timeline.String() + "/"
}

// SegmentKey is the key of a whole segment of so many bytes.
func SegmentKey(id core.TTID, seg uint64, size uint32) string {
	return Prefix(id) + core.SegmentName(pgTimeline, seg, size)
}

// ParseKey tells whose an object is, and the rest of its key.
func ParseKey(key string) (id core.TTID, name string, ok bool) {
	parts := strings.Split(key, "/")
	if len(parts) != 4 || parts[0] != "wal" {
		return id, "", false
	}
	var err error
	if id.Tenant, err = core.ParseTenantID(parts[1]); err == nil {
		id.Timeline, err = core.ParseTimelineID(parts[2])
	}
	return id, parts[3], err == nil
}

// A Partial is the name of a partial segment: what one safekeeper had of it.
type Partial struct {
	Segment  uint64
	LastTerm core.Term // of the log that it is of
	// Flush is where the WAL in it ends.
	Flush, Commit core.LSN
	Node          core.NodeID
	// Nonce is different for every upload. A request to delete an object may
	// take effect late: were the name used again, it would strike what is
	// needed by then.
	Nonce uint32
}

const partialSuffix = ".partial"

// Name is the object's name, without the prefix of the timeline.
func (p Partial) Name(size uint32) string {
	return fmt.Sprintf("%s_%d_%016X_%016X_sk%d_%08x%s",
		core.SegmentName(pgTimeline, p.Segment, size), p.LastTerm, uint64(p.Flush), uint64(p.Commit), p.Node, p.Nonce, partialSuffix)
}

// Key is the object's key.
func (p Partial) Key(id core.TTID, size uint32) string { return path.Join(Prefix(id), p.Name(size)) }

// ParsePartial reads what [Partial.Name] made.
func ParsePartial(name string, size uint32) (p Partial, err error) {
	bad := fmt.Errorf("%q is not the name of a partial segment", name)
	body, ok := strings.CutSuffix(name, partialSuffix)
	f := strings.Split(body, "_")
	if !ok || len(f) != 6 {
		return p, bad
	}
	_, seg, ok := core.ParseSegmentName(f[0], size)
	node, isNode := strings.CutPrefix(f[4], "sk")
	if !ok || !isNode {
		return p, bad
	}
	var numbers [5]uint64
	for i, n := range []struct {
		text string
		base int
		bits int
	}{{f[1], 10, 64}, {f[2], 16, 64}, {f[3], 16, 64}, {node, 10, 64}, {f[5], 16, 32}} {
		if numbers[i], err = strconv.ParseUint(n.text, n.base, n.bits); err != nil {
			return p, bad
		}
	}
	p = Partial{seg, core.Term(numbers[0]), core.LSN(numbers[1]), core.LSN(numbers[2]), core.NodeID(numbers[3]), uint32(numbers[4])}
	if p.Name(size) != name {
		return Partial{}, bad
	}
	return p, nil
}
