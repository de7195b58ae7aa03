package safekeeper

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
)

// The roster is the node's own list of every timeline it was ever given, a
// sealed file at the root of its disk. A timeline whose directory is gone is
// known by it and takes no part: an empty log in its place would vote for
// WAL that this node once acknowledged.
const (
	rosterName  = "roster"
	rosterMagic = "xnskros\n"
)

type roster struct {
	Node core.NodeID `json:"node"`
	// Disk is what this disk is called, drawn when it was taken: an empty one in
	// its place has another name, although its safekeeper has the same number.
	Disk      string        `json:"disk,omitempty"`
	Timelines []rosterEntry `json:"timelines"` // sorted
}

type rosterEntry struct {
	Tenant   core.TenantID   `json:"tenant_id"`
	Timeline core.TimelineID `json:"timeline_id"`
	// Deleted is a tombstone: the timeline is gone and does not come back.
	Deleted bool `json:"deleted,omitempty"`
	// Swept tells that the object store has nothing of a timeline that is deleted
	// for good.
	Swept bool `json:"swept,omitempty"`
	// Excluded is the generation of the members without this safekeeper that
	// deleted it: it may come back with a higher one. 0 is for good.
	Excluded core.Generation `json:"excluded_generation,omitempty"`
	// Copying is the generation with which a copy is being made; 0 is none. Until
	// it is whole its files count for nothing.
	Copying core.Generation `json:"copying_generation,omitempty"`
}

// clone is a roster to be changed and saved in the place of this one.
func (r *roster) clone() *roster {
	return &roster{Node: r.Node, Disk: r.Disk, Timelines: slices.Clone(r.Timelines)}
}

// bury puts a tombstone of a generation, 0 for good, in the place of a
// timeline.
func (r *roster) bury(id core.TTID, g core.Generation) {
	r.add(id)
	*r.entry(id) = rosterEntry{Tenant: id.Tenant, Timeline: id.Timeline, Deleted: true, Excluded: g}
}

// copied is the generation with which a copy of a timeline is being made.
func (r *roster) copied(id core.TTID) core.Generation {
	if e := r.entry(id); e != nil {
		return e.Copying
	}
	return 0
}

// uncopied forgets a copy that is not to be; a tombstone that was there before
// stays.
func (r *roster) uncopied(id core.TTID) {
	if e := r.entry(id); e != nil && e.Deleted {
		e.Copying = 0
	} else if e != nil && e.Copying != 0 {
		r.remove(id)
	}
}

func (r *roster) has(id core.TTID) bool {
	_, found := slices.BinarySearchFunc(r.Timelines, id, compareEntry)
	return found
}

func (r *roster) add(id core.TTID) {
	i, found := slices.BinarySearchFunc(r.Timelines, id, compareEntry)
	if !found {
		r.Timelines = slices.Insert(r.Timelines, i, rosterEntry{Tenant: id.Tenant, Timeline: id.Timeline})
	}
}

// entry is that of a timeline, nil if it has none.
func (r *roster) entry(id core.TTID) *rosterEntry {
	i, found := slices.BinarySearchFunc(r.Timelines, id, compareEntry)
	if !found {
		return nil
	}
	return &r.Timelines[i]
}

func (r *roster) deleted(id core.TTID) bool {
	e := r.entry(id)
	return e != nil && e.Deleted
}

func (r *roster) remove(id core.TTID) {
	r.Timelines = slices.DeleteFunc(r.Timelines, func(e rosterEntry) bool { return e.ttid() == id })
}

func compareEntry(e rosterEntry, id core.TTID) int {
	if c := bytes.Compare(e.Tenant[:], id.Tenant[:]); c != 0 {
		return c
	}
	return bytes.Compare(e.Timeline[:], id.Timeline[:])
}

func (e rosterEntry) ttid() core.TTID { return core.TTID{Tenant: e.Tenant, Timeline: e.Timeline} }

func (r *roster) save(disk env.FS) error {
	b, err := json.Marshal(r)
	core.Must(err == nil, "roster cannot be encoded: %v", err)
	return writeSealed(disk, ".", rosterName, rosterMagic, b)
}

// loadRoster reads the roster, or makes an empty one on an empty disk. What it
// returns survives a power cut: the process that wrote it may have been killed
// before it could make the name durable, and whoever finds the new roster here
// serves, and promises for, timelines that the old one does not have. One of before
// disks had names gets one.
func loadRoster(disk env.FS, node core.NodeID, name string) (*roster, error) {
	if !(faults.On && faults.Hit(faults.RosterUnsynced)) {
		if err := disk.SyncDir("."); err != nil {
			return nil, fmt.Errorf("make %s durable: %w", rosterName, err)
		}
	}
	body, err := readSealed(disk, ".", rosterName, rosterMagic)
	if errors.Is(err, fs.ErrNotExist) {
		return newRoster(disk, node, name)
	}
	if err != nil {
		return nil, err
	}
	r, err := decodeRoster(body, node)
	if err == nil && r.Disk == "" {
		r.Disk = name
		err = r.save(disk)
	}
	return r, err
}

func decodeRoster(body []byte, node core.NodeID) (*roster, error) {
	var r roster
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", rosterName, env.ErrCorrupt, err)
	}
	if r.Node != node {
		return nil, fmt.Errorf("this directory belongs to safekeeper %d, and this is safekeeper %d: give each its own directory", r.Node, node)
	}
	if !slices.IsSortedFunc(r.Timelines, func(a, b rosterEntry) int { return compareEntry(a, b.ttid()) }) {
		return nil, fmt.Errorf("%s is not sorted: %w", rosterName, env.ErrCorrupt)
	}
	return &r, nil
}

// newRoster starts a node's life. A disk that has timelines but no roster has
// lost it, and with it the knowledge of what else is lost.
func newRoster(disk env.FS, node core.NodeID, name string) (*roster, error) {
	if _, err := disk.Stat(timelinesDir); err == nil {
		entries, err := disk.ReadDir(timelinesDir)
		if err != nil {
			return nil, err
		}
		if len(entries) > 0 {
			return nil, fmt.Errorf("%s is missing although there are timelines of tenant %s: the list of timelines is lost, and what else is lost cannot be known; replace this safekeeper by an empty one",
				rosterName, entries[0].Name)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	r := &roster{Node: node, Disk: name, Timelines: []rosterEntry{}}
	return r, r.save(disk)
}
