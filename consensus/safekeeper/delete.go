package safekeeper

import (
	"errors"
	"fmt"
	"io/fs"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
)

// errDeleted reports a timeline that has a tombstone in the roster. It never
// comes back: a creation that was sent before the deletion and arrives after it
// would make a log that forgot what it promised.
var errDeleted = errors.New("it was deleted, and its id is never used again")

// deleteTimeline takes a timeline away for good, or makes sure that one that
// never came here never will. It may be repeated. The tombstone comes first:
// files that a crash leaves are removed by the next start.
func (n *Node) deleteTimeline(id core.TTID) error {
	t, err := n.entomb(id)
	if err != nil {
		return fmt.Errorf("delete timeline %s: %w", id, err)
	}
	if t != nil {
		t.retire()
		n.e.Log().Info("timeline deleted", "timeline", id.String())
	}
	if err := removeDir(n.e.FS(), dirOf(id)); err != nil {
		// A task may just have made a file there; housekeeping tries again.
		n.e.Log().Warn("files of a deleted timeline are left", "timeline", id.String(), "error", err)
	}
	return nil
}

// entomb notes durably that a timeline is deleted and returns it, nil if it
// was not in service.
func (n *Node) entomb(id core.TTID) (*Timeline, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if e := n.roster.entry(id); e != nil && e.Deleted && e.Excluded == 0 {
		return nil, nil
	}
	next := n.roster.clone()
	next.bury(id, 0)
	if faults.On && faults.Hit(faults.TombstoneForgotten) {
		next.remove(id)
	}
	if err := n.saveRoster(next); err != nil {
		return nil, err
	}
	t := n.timelines[id]
	delete(n.timelines, id)
	return t, nil
}

// retire takes the timeline out of service for good. Whoever is connected
// finds out with his next message.
func (t *Timeline) retire() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.retireLocked()
}

func (t *Timeline) retireLocked() {
	t.acc, t.deleted = nil, true
	t.segs.close()
	t.counted(func() { t.segs.count, t.segs.spare = 0, false })
	t.setFailed(errDeleted)
}

// bury removes the directories of deleted timelines that are still there.
func (n *Node) bury() {
	n.mu.Lock()
	roster := n.roster
	n.mu.Unlock()
	for _, e := range roster.Timelines {
		if !e.Deleted || e.Copying != 0 {
			continue
		}
		if err := removeDir(n.e.FS(), dirOf(e.ttid())); err != nil {
			n.e.Log().Warn("files of a deleted timeline are left", "timeline", e.ttid().String(), "error", err)
		}
	}
}

// removeDir removes a timeline's directory if it is there.
func removeDir(disk env.FS, dir string) error {
	if _, err := disk.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := removeFiles(disk, dir); err != nil {
		return err
	}
	return disk.Remove(dir)
}
