package fuzz

import (
	"fmt"
	"hash/crc32"
	"path"
	"slices"
	"strconv"
	"strings"

	"xenon/core"
	"xenon/core/layer"
	"xenon/core/pageserver/remote"
	"xenon/core/register"
	"xenon/diskdrv"
)

// A store is the object store under judgement: a mirror of it, made of every
// request at the moment it takes effect.
type store struct {
	j       *judge
	objects map[string]object
	shelves map[core.TimelineID]*shelf
	vaults  map[core.TimelineID]*vault
	names   map[entry]*name
}

// An object is what is known of one that is there.
type object struct {
	size int64
	crc  uint32
}

// A shelf is what the store holds of one timeline.
type shelf struct {
	minted  map[core.Generation]string // who minted it
	newest  core.Generation            // minted
	indices map[core.Generation]*remote.Index
	current core.Generation // the highest that has an index
	// held are the layers that somebody may count on: those of the current
	// index, and those that it named since a newer generation was minted, which
	// may have loaded it then.
	held map[string]bool
	// last is the current index before its tombstone.
	last *remote.Index
	// reached is up to where the last index went that somebody stored of his own
	// doing, not as he found it.
	reached map[string]core.LSN
	// reported is up to where WAL was ever said to be in the store for good.
	reported core.LSN
}

func newStore(j *judge) *store {
	return &store{j: j, objects: map[string]object{}, shelves: map[core.TimelineID]*shelf{}, vaults: map[core.TimelineID]*vault{}, names: map[entry]*name{}}
}

func (s *store) shelf(id core.TimelineID) *shelf {
	h := s.shelves[id]
	if h == nil {
		h = &shelf{minted: map[core.Generation]string{}, indices: map[core.Generation]*remote.Index{}, held: map[string]bool{}, reached: map[string]core.LSN{}}
		s.shelves[id] = h
	}
	return h
}

// index is the one that whoever comes next builds on, nil if there is none.
func (h *shelf) index() *remote.Index { return h.indices[h.current] }

// foreign tells whether the newest index has a layer that somebody else uploaded
// with records above the last index of who.
func (s *store) foreign(h *shelf, who string) bool {
	x := h.index()
	return x != nil && slices.ContainsFunc(x.Layers, func(l remote.LayerEntry) bool {
		return s.named(x, l).extent.LSNs.End > max(x.LSN, h.reached[who])+1 && h.minted[l.Generation] != who
	})
}

// did is told of every request that took effect.
func (s *store) did(o diskdrv.ObjectOp, data []byte) {
	if o.Unheard && strings.Contains(o.Key, "/index-") && (o.Kind == "put" || o.Kind == "lost") {
		s.j.counts.IndexUnknown++
	}
	if isArchive(o.Key) {
		s.archived(o, data)
		return
	}
	if o.Err != nil || o.Kind != "put" && o.Kind != "delete" {
		if o.Kind == "get" && o.Err == nil && strings.Contains(o.Key, "/layers/") {
			s.j.counts.Downloads++
		}
		return
	}
	if o.Kind == "put" && strings.HasPrefix(o.Key, "membership/") {
		s.j.configured(o, data)
	}
	id, what, ok := timelineOf(o.Key)
	if o.Kind == "delete" {
		if ok && o.Before != "" {
			s.deleted(s.shelf(id), id, o, what)
		}
		delete(s.objects, o.Key)
		return
	}
	s.objects[o.Key] = object{int64(len(data)), crc32.Checksum(data, castagnoli)}
	if !ok {
		return
	}
	h := s.shelf(id)
	switch {
	case strings.HasPrefix(what, "gen/"):
		s.minted(h, generation(what), o)
	case strings.HasPrefix(what, "index-"):
		s.indexed(h, id, generation(what), o, data)
	case strings.HasPrefix(what, "layers/"):
		s.uploaded(h, o)
	}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// timelineOf takes a key apart: whose it is, and which of its objects.
func timelineOf(key string) (id core.TimelineID, what string, ok bool) {
	parts := strings.SplitN(key, "/", 5)
	if len(parts) < 5 || parts[0] != "tenants" || parts[2] != "timelines" {
		return id, "", false
	}
	id, err := core.ParseTimelineID(parts[3])
	return id, parts[4], err == nil
}

// generation is the number that a key ends with.
func generation(what string) core.Generation {
	n, _ := strconv.ParseUint(what[max(0, len(what)-8):], 16, 32)
	return core.Generation(n)
}

func (s *store) minted(h *shelf, g core.Generation, o diskdrv.ObjectOp) {
	if o.Before != "" {
		return // executed twice
	}
	before := h.minted[h.newest]
	h.minted[g] = o.Owner
	if g > h.newest && len(h.indices) > 0 && before != o.Owner && before != "admin" {
		s.j.counts.Generations++
	}
	h.newest = max(h.newest, g)
}

// uploaded is told of a layer object: its name is used once.
func (s *store) uploaded(h *shelf, o diskdrv.ObjectOp) {
	if o.Before != "" && o.Before != o.After {
		s.j.violated(WriteOnce, "%s overwrites %s", o.Owner, o.Key)
	}
	s.j.counts.Uploads++
}

// indexed is told of an index.
func (s *store) indexed(h *shelf, id core.TimelineID, g core.Generation, o diskdrv.ObjectOp, data []byte) {
	if o.Before == o.After {
		return // executed twice
	}
	x, err := decodeIndex(o.Key, data)
	if err != nil {
		s.j.violated(IndexSound, "%s writes %w", o.Owner, err)
		return
	}
	if who := h.minted[g]; who != o.Owner || x.Generation != g {
		s.j.violated(Fenced, "%s writes %s of generation %d, which %s minted", o.Owner, o.Key, x.Generation, who)
	}
	if g < h.newest {
		s.j.counts.LateWrites++
	}
	if old := h.indices[g]; old == nil {
		s.born(h, id, x, o)
	}
	// One of a generation that has been passed may come late, and name what its
	// successor took for left over: nobody reads it any more.
	if g >= h.current {
		s.complete(x, o)
		s.covers(h, id, x, o)
	}
	// The first one of a generation is what others left, one of a generation that
	// has been passed is nothing to go on from.
	if h.indices[g] != nil && g >= h.current {
		h.reached[o.Owner] = max(h.reached[o.Owner], x.DiskConsistent.LSN)
	}
	h.indices[g] = x
	s.hold(h, g, x)
}

// decodeIndex reads an index as it lies in the store.
func decodeIndex(key string, data []byte) (*remote.Index, error) {
	payload, err := register.Payload(data)
	if err != nil {
		return nil, fmt.Errorf("index %s: %w", key, err)
	}
	return remote.DecodeIndex(key, payload)
}

// hold notes what others may count on once x is the index of generation g.
func (s *store) hold(h *shelf, g core.Generation, x *remote.Index) {
	switch {
	case g < h.current:
		return
	case g > h.current || h.newest <= g:
		h.held = map[string]bool{}
	}
	h.current = g
	if !x.Deleted {
		h.last = x
	}
	for _, l := range x.Layers {
		h.held[s.named(x, l).key] = true
	}
}

// born is told of the first index of a generation. That of the first one is
// when a timeline comes into being: its parent must name it by then, or the
// parent could be deleted meanwhile.
func (s *store) born(h *shelf, id core.TimelineID, x *remote.Index, o diskdrv.ObjectOp) {
	if len(h.indices) > 0 || x.Ancestor == nil {
		return
	}
	s.j.counts.Branches++
	p := s.shelf(x.Ancestor.Timeline).index()
	if p == nil || p.Deleted || !slices.Contains(p.Children, remote.BranchPoint{Timeline: id, LSN: x.Ancestor.LSN}) {
		s.j.violated(ChildNamed, "%s writes the first index of %s, which its parent %s does not name", o.Owner, id, x.Ancestor.Timeline)
	}
}

// complete checks that every layer of an index is there, as long and with the
// checksum that the index says.
func (s *store) complete(x *remote.Index, o diskdrv.ObjectOp) {
	for _, l := range x.Layers {
		key := s.named(x, l).key
		switch have, ok := s.objects[key]; {
		case !ok:
			s.j.violated(IndexComplete, "%s writes %s, which names %s: it is not there", o.Owner, o.Key, path.Base(key))
		case have != object{l.Size, l.CRC}:
			s.j.violated(IndexComplete, "%s writes %s, which names %s of %d bytes, checksum %08x: it has %d, %08x",
				o.Owner, o.Key, path.Base(key), l.Size, l.CRC, have.size, have.crc)
		}
	}
}

// A name is what the name of a layer says.
type name struct {
	key     string // of its object
	extent  layer.Extent
	err     error // why it has none
	checked bool  // against the layers that it is in an index with
}

// named looks a layer up: an index names the same ones again and again.
func (s *store) named(x *remote.Index, l remote.LayerEntry) *name {
	k := entry{x.Timeline, l}
	n := s.names[k]
	if n == nil {
		n = &name{key: x.Object(l)}
		n.extent, n.err = layer.ParseExtent(l.Name)
		s.names[k] = n
	}
	return n
}

// An entry is a layer in an index of a timeline.
type entry struct {
	id core.TimelineID
	remote.LayerEntry
}

// covers checks what an index says it holds against the WAL.
func (s *store) covers(h *shelf, id core.TimelineID, x *remote.Index, o diskdrv.ObjectOp) {
	if x.Deleted {
		s.childless(id, x, o)
		return
	}
	if x.Generation >= h.current && x.DiskConsistent.LSN < h.reported {
		s.j.violated(RemoteHeld, "%s writes %s, which goes to %s: WAL up to %s was given up", o.Owner, o.Key, x.DiskConsistent.LSN, h.reported)
	}
	if l := s.j.line(id.Tag()); l != nil {
		g := l.ghost
		if at := x.DiskConsistent.LSN; at > g.end() || g.ends[g.index(at)] != at {
			s.j.violated(IndexSound, "%s writes %s, which goes to %s: no committed record ends there", o.Owner, o.Key, at)
		}
	}
	s.disjoint(x, o)
}

// childless checks that nothing comes of a timeline that gets a tombstone.
func (s *store) childless(id core.TimelineID, x *remote.Index, o diskdrv.ObjectOp) {
	if len(x.Children) > 0 {
		s.j.violated(Reachable, "%s deletes %s, whose index names children", o.Owner, id)
	}
	for _, child := range s.children(id) {
		s.j.violated(Reachable, "%s deletes %s, which %s comes of", o.Owner, id, child)
	}
}

// children are the timelines that branch off one and are there.
func (s *store) children(id core.TimelineID) (list []core.TimelineID) {
	for _, l := range s.j.lines {
		if c := s.shelf(l.id.Timeline).index(); c != nil && !c.Deleted && c.Ancestor != nil && c.Ancestor.Timeline == id {
			list = append(list, l.id.Timeline)
		}
	}
	return list
}

// tombstone tells whether a timeline is deleted.
func (s *store) tombstone(l *line) bool {
	x := s.shelf(l.id.Timeline).index()
	return x != nil && x.Deleted
}

// disjoint checks that no record lies in two delta layers, and none above the
// end.
func (s *store) disjoint(x *remote.Index, o diskdrv.ObjectOp) {
	for i, l := range x.Layers {
		n := s.named(x, l)
		if n.checked {
			continue
		}
		if n.checked = true; n.err != nil {
			s.j.violated(IndexSound, "%s writes %s: %w", o.Owner, o.Key, n.err)
			return
		}
		if !n.extent.Delta {
			continue
		}
		if n.extent.LSNs.End > x.DiskConsistent.LSN+1 {
			s.j.violated(IndexSound, "%s writes %s, which goes to %s and has layer %s", o.Owner, o.Key, x.DiskConsistent.LSN, l.Name)
		}
		for k, m := range x.Layers {
			if other := s.named(x, m); k != i && other.extent.Delta && n.extent.Overlaps(other.extent) {
				s.j.violated(IndexSound, "%s writes %s, in which %s and %s overlap", o.Owner, o.Key, l.Name, m.Name)
			}
		}
	}
}

// deleted is told of an object that goes.
func (s *store) deleted(h *shelf, id core.TimelineID, o diskdrv.ObjectOp, what string) {
	if !strings.HasPrefix(what, "layers/") {
		s.j.violated(Reachable, "%s deletes %s, a register", o.Owner, o.Key)
		return
	}
	s.j.counts.Deletions++
	if h.held[o.Key] {
		s.j.violated(Reachable, "%s deletes %s, which index %d names, generation %d is the newest", o.Owner, o.Key, h.current, h.newest)
	}
	if x := h.index(); x == nil || !x.Deleted {
		return
	}
	for _, child := range s.children(id) {
		if h.last != nil && slices.ContainsFunc(h.last.Layers, func(l remote.LayerEntry) bool { return h.last.Object(l) == o.Key }) {
			s.j.violated(Reachable, "%s deletes %s, which %s reads through its ancestor", o.Owner, o.Key, child)
		}
	}
}

// reports is told that a pageserver says up to where the WAL of a timeline is
// in the store for good.
func (s *store) reports(who string, id core.TimelineID, lsn core.LSN) {
	h := s.shelf(id)
	x := h.index()
	if x == nil || lsn > x.DiskConsistent.LSN {
		s.j.violated(RemoteHeld, "%s gives WAL of %s up up to %s, index %d holds less", who, id, lsn, h.current)
	}
	h.reported = max(h.reported, lsn)
}
