package fuzz

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"xenon/consensus/safekeeper/archive"
	"xenon/core"
	"xenon/diskdrv"
)

// WALCounts count what becomes of WAL beside the log.
type WALCounts struct {
	SegmentsStored  int `json:"segments_stored"` // whole ones, in the object store
	PartialsStored  int `json:"partials_stored"`
	StoredReads     int `json:"stored_reads"` // requests that read any of them
	SegmentsRemoved int `json:"removals"`     // times that a safekeeper removed any
	Evicted         int `json:"evicted"`      // timelines that left a disk
	Returned        int `json:"returned"`     // and came back
}

// Add adds up.
func (c *WALCounts) Add(d *WALCounts) {
	c.SegmentsStored, c.PartialsStored, c.StoredReads = c.SegmentsStored+d.SegmentsStored, c.PartialsStored+d.PartialsStored, c.StoredReads+d.StoredReads
	c.SegmentsRemoved, c.Evicted, c.Returned = c.SegmentsRemoved+d.SegmentsRemoved, c.Evicted+d.Evicted, c.Returned+d.Returned
}

// A vault is the WAL of a timeline that the object store holds: a mirror of it,
// made of every request at the moment it takes effect.
type vault struct {
	whole map[uint64][]byte // WAL of segments, by their number
	parts map[string]part   // partial segments, by their names
}

// A part is a partial segment.
type part struct {
	archive.Partial
	wal []byte
}

// vault is what the store holds of a timeline's WAL.
func (s *store) vault(id core.TimelineID) *vault {
	v := s.vaults[id]
	if v == nil {
		v = &vault{whole: map[uint64][]byte{}, parts: map[string]part{}}
		s.vaults[id] = v
	}
	return v
}

// archived is told of a request for an object that holds WAL.
func (s *store) archived(o diskdrv.ObjectOp, data []byte) {
	id, name, ok := archive.ParseKey(o.Key)
	if !ok {
		s.j.violated(Archived, "%s: %s of %s, which is no name of WAL", o.Owner, o.Kind, o.Key)
		return
	}
	if o.Err == nil && o.Kind == "get" {
		s.j.counts.StoredReads++
	}
	if o.Err != nil || o.Kind != "put" && o.Kind != "delete" {
		return
	}
	l, v := s.j.line(id.Timeline.Tag()), s.vault(id.Timeline)
	if l == nil || l.gone || l.going && o.Kind == "delete" {
		return
	}
	if o.Kind == "delete" {
		s.discarded(l, v, o, name)
		return
	}
	if o.Before != "" && o.Before != o.After {
		s.j.violated(WriteOnce, "%s overwrites %s", o.Owner, o.Key)
	}
	_, begin, wal, err := archive.Decode(o.Key, data)
	if err == nil {
		err = l.holds(begin, wal)
	}
	if err != nil {
		s.j.violated(Archived, "%s stores %s: %w", o.Owner, o.Key, err)
		return
	}
	if _, seg, ok := core.ParseSegmentName(name, segmentSize); ok && len(wal) == segmentSize {
		if v.whole[seg] == nil {
			s.j.counts.SegmentsStored++
		}
		v.whole[seg] = bytes.Clone(wal)
		return
	}
	p, err := archive.ParsePartial(name, segmentSize)
	if err != nil || begin+core.LSN(len(wal)) != p.Flush {
		s.j.violated(Archived, "%s stores %s with WAL from %s and %d bytes: %v", o.Owner, o.Key, begin, len(wal), err)
		return
	}
	s.j.counts.PartialsStored++
	v.parts[name] = part{p, bytes.Clone(wal)}
}

// holds checks that WAL was committed, all of it, and is what was.
func (l *line) holds(begin core.LSN, wal []byte) error {
	if skip := l.ghost.begin - min(begin, l.ghost.begin); skip > 0 { // what stands in for WAL of others
		wal = wal[min(skip, core.LSN(len(wal))):]
		begin = l.ghost.begin
	}
	if end := begin + core.LSN(len(wal)); end > l.ghost.end() {
		return fmt.Errorf("it holds WAL up to %s, committed is only %s", end, l.ghost.end())
	}
	return l.ghost.agree("the object", begin, wal)
}

// discarded is told that WAL goes from the object store. Whole segments stay as
// long as the timeline does, and so does the partial one that a safekeeper is
// to come back from.
func (s *store) discarded(l *line, v *vault, o diskdrv.ObjectOp, name string) {
	p, err := archive.ParsePartial(name, segmentSize)
	if err != nil {
		s.j.violated(Reachable, "%s deletes %s, and %s is still there", o.Owner, o.Key, l.name)
		return
	}
	delete(v.parts, name)
	if who := fmt.Sprintf("sk%d", p.Node); who != o.Owner {
		s.j.violated(Reachable, "%s deletes %s of %s", o.Owner, o.Key, who)
		return
	}
	for _, k := range l.keepers {
		if k.name != o.Owner {
			continue
		}
		if c, err := k.control(); err == nil && c.Evicted && c.stored() == name {
			s.j.violated(Reachable, "%s deletes %s, which is all that it has", o.Owner, o.Key)
		}
	}
}

// trimmed is told that a safekeeper is about to remove its WAL below lsn.
func (l *line) trimmed(k *keeper, lsn core.LSN) {
	l.j.counts.SegmentsRemoved++
	if told := l.j.store.shelf(l.id.Timeline).reported; lsn > told {
		l.j.violated(Removed, "%s removes WAL of %s below %s, the pages of WAL up to %s are in the store", k.name, l.name, lsn, told)
	}
	v := l.j.store.vault(l.id.Timeline)
	for at := core.SegmentStart(l.ghost.begin.Segment(segmentSize), segmentSize); at < lsn; at += segmentSize {
		if v.whole[at.Segment(segmentSize)] == nil {
			l.j.violated(Removed, "%s removes WAL of %s below %s, the segment at %s is not in the store", k.name, l.name, lsn, at)
			return
		}
	}
}

// evicted is told that a timeline leaves a safekeeper's disk, or is back.
func (l *line) evicted(k *keeper, flush core.LSN, leaves bool) {
	if !leaves {
		l.j.counts.Returned++
		return
	}
	l.j.counts.Evicted++
	if l.going || l.gone || flush.SegmentOffset(segmentSize) == 0 {
		return
	}
	c, err := k.control()
	if p, ok := l.j.store.vault(l.id.Timeline).parts[c.stored()]; err != nil || !ok || p.Flush != flush || k.name != fmt.Sprintf("sk%d", p.Node) {
		l.j.violated(Removed, "%s takes the WAL of %s up to %s off its disk, and its last segment is not in the store: %q, %v", k.name, l.name, flush, c.stored(), err)
	}
}

// away reads WAL that is not on the device any more, from where it is: the
// whole segment in the store, or what the safekeeper stored of it. What is
// nowhere is left as it is.
func (k *keeper) away(p []byte, at core.LSN) int {
	if k.vault == nil {
		return 0
	}
	seg := at.Segment(segmentSize)
	off := int(at.SegmentOffset(segmentSize))
	if wal := k.vault().whole[seg]; wal != nil {
		return copy(p, wal[off:])
	}
	if c, err := k.control(); err == nil && c.Evicted {
		if x, ok := k.vault().parts[c.stored()]; ok && x.Segment == seg && off < len(x.wal) {
			return copy(p, x.wal[off:])
		}
	}
	return 0
}

// A controlFile is what the judge reads in one.
type controlFile struct {
	Term     core.Term `json:"term"`
	Commit   core.LSN  `json:"commit_lsn"`
	Backup   core.LSN  `json:"backup_lsn"`
	Evicted  bool      `json:"evicted"`
	Partials []struct {
		Status   string    `json:"status"`
		Segment  uint64    `json:"segment"`
		LastTerm core.Term `json:"last_log_term"`
		Flush    core.LSN  `json:"flush_lsn"`
		Commit   core.LSN  `json:"commit_lsn"`
		Nonce    uint32    `json:"nonce"`
	} `json:"partial_backup"`
	Node core.NodeID `json:"node"`
}

// stored is the name of the partial segment that is stored, empty for none.
func (c *controlFile) stored() string {
	for _, p := range c.Partials {
		if p.Status == "Uploaded" {
			return archive.Partial{Segment: p.Segment, LastTerm: p.LastTerm, Flush: p.Flush, Commit: p.Commit, Node: c.Node, Nonce: p.Nonce}.Name(segmentSize)
		}
	}
	return ""
}

// readFile reads a file of the device. The result is valid until the next call.
func (k *keeper) readFile(name string) ([]byte, error) {
	for {
		n, err := k.disk.ReadDurable(name, k.file, 0)
		if err != nil || n < len(k.file) {
			return k.file[:n], err
		}
		k.file = make([]byte, max(4<<10, 2*n))
	}
}

// control is the control file on the device, which nobody may change.
func (k *keeper) control() (c controlFile, err error) {
	b, err := k.readFile(path.Join(k.dir, "control"))
	if err != nil {
		return c, err
	}
	const head = 16 // magic, version, length of the body
	if len(b) < head || len(b) < head+int(binary.LittleEndian.Uint32(b[12:])) {
		return c, fmt.Errorf("control file of %d bytes", len(b))
	}
	b = b[head : head+int(binary.LittleEndian.Uint32(b[12:]))]
	if k.known.err == nil && bytes.Equal(b, k.known.body) {
		return k.known.file, nil
	}
	k.known.body, k.known.file = append(k.known.body[:0], b...), controlFile{}
	k.known.err = json.Unmarshal(b, &k.known.file)
	return k.known.file, k.known.err
}

// isArchive tells whether a key is that of WAL.
func isArchive(key string) bool { return strings.HasPrefix(key, "wal/") }
