package safekeeper

import (
	"errors"
	"fmt"
	"io/fs"
	"path"

	"xenon/consensus"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
	"xenon/core/wal"
)

// A creation is what a timeline is made of.
type creation struct {
	id     core.TTID
	config consensus.Configuration
	server consensus.Server
	start  core.LSN
	// initial is the bytes of start's segment up to start, or empty.
	initial []byte
}

// errConflict reports that something else is there already.
var errConflict = errors.New("it exists already")

// create makes a timeline durably, or finds it as it is to be.
func (n *Node) create(c creation) error {
	f, err := n.checkCreation(&c)
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if t := n.timelines[c.id]; t != nil {
		return t.checkSame(&c)
	}
	if err := n.mayCome(c.id, c.config.Generation); err != nil {
		return fmt.Errorf("create timeline %s: %w", c.id, err)
	}
	if err := n.settleRoster(); err != nil {
		return fmt.Errorf("create timeline %s: %w", c.id, err)
	}
	if err := n.makeFiles(&c, f); err != nil {
		return fmt.Errorf("create timeline %s: %w", c.id, err)
	}
	next := n.roster.clone()
	next.remove(c.id)
	next.add(c.id)
	if err := n.saveRoster(next); err != nil {
		return fmt.Errorf("create timeline %s: %w", c.id, err)
	}
	t := newTimeline(n, c.id)
	n.timelines[c.id] = t
	if err := t.load(false); err != nil {
		return fmt.Errorf("create timeline %s: %w", c.id, err)
	}
	t.segs.blank = true
	// All that it has, others have too: what will be written has the whole time
	// of a partial segment before it, and does not go to the store at once.
	t.store.lastPut = n.e.Clock().Mono()
	n.e.Log().Info("timeline created", "timeline", c.id.String(), "start", c.start.String())
	return nil
}

// saveRoster makes next the roster, durably.
func (n *Node) saveRoster(next *roster) error {
	n.unsure = true
	if err := next.save(n.e.FS()); err != nil {
		return err
	}
	n.roster, n.unsure = next, false
	return nil
}

// settleRoster makes sure that the disk has the roster that is in memory. One
// whose saving failed may be there instead and name a timeline whose files the
// next creation begins by removing: a crash would then leave a name without
// them, which is how a lost directory looks.
func (n *Node) settleRoster() error {
	if !n.unsure || faults.On && faults.Hit(faults.RosterUnsettled) {
		return nil
	}
	return n.saveRoster(n.roster)
}

// checkCreation refuses what could never work, before anything is written.
func (n *Node) checkCreation(c *creation) (wal.Format, error) {
	f, err := formatOf(c.server)
	if err != nil {
		return f, err
	}
	switch {
	case c.server.SystemID == 0:
		return f, fmt.Errorf("system_id must be given and not be 0")
	case c.start == 0 || f.RoundUp(c.start) != c.start:
		return f, fmt.Errorf("start_lsn %s: no WAL record can end there", c.start)
	case !c.config.Has(n.cfg.NodeID):
		return f, fmt.Errorf("safekeeper %d is not a member of %s", n.cfg.NodeID, c.config)
	case c.config.Generation > 1 || len(c.config.NewMembers) > 0:
		// An empty log among others that are not would vote for less.
		return f, fmt.Errorf("a timeline is created with the members of generation 1, not of %s: who comes later copies it", c.config)
	}
	if err := c.config.Check(); err != nil {
		return f, err
	}
	return f, checkInitial(f, c.start, c.initial)
}

// checkInitial makes sure that the bytes before start are of this server's WAL
// and end with a record there.
func checkInitial(f wal.Format, start core.LSN, initial []byte) error {
	if len(initial) == 0 {
		return nil
	}
	if want := start.SegmentOffset(f.SegmentSize); len(initial) != int(want) {
		return fmt.Errorf("initial segment has %d bytes, want the %d from the segment's start to %s", len(initial), want, start)
	}
	first := core.SegmentStart(start.Segment(f.SegmentSize), f.SegmentSize)
	tail, err := wal.FindEnd(f, func(p []byte, at core.LSN) (int, error) {
		return copy(p, initial[at-first:]), nil
	}, first, 0)
	if err == nil {
		err = tail.Stop
	}
	if err != nil {
		return fmt.Errorf("initial segment: %w", err)
	}
	if tail.Last == 0 || f.RecordStart(tail.End) != f.RecordStart(start) {
		return fmt.Errorf("initial segment: its last record ends at %s, want %s", tail.End, start)
	}
	return nil
}

// checkSame makes creation repeatable: who is unsure whether it was done does
// it again.
func (t *Timeline) checkSame(c *creation) error {
	if t.pos.Get().Failed {
		return fmt.Errorf("%w: %w", errConflict, t.unusable())
	}
	t.leaf.Lock()
	own := t.status.control
	t.leaf.Unlock()
	if own.Server.Major() != c.server.Major() || own.Server.SystemID != c.server.SystemID ||
		own.Server.SegmentSize != c.server.SegmentSize || own.TimelineStart != c.start || !own.Config.Same(c.config) {
		return fmt.Errorf("timeline %s: %w, of PostgreSQL %d, system %d, segments of %d bytes, starting at %s, with %s",
			t.id, errConflict, own.Server.Major(), own.Server.SystemID, own.Server.SegmentSize, own.TimelineStart, own.Config)
	}
	return nil
}

// makeFiles writes the timeline's directory; the control file comes last, and
// the roster after it: a crash before leaves nothing that counts.
func (n *Node) makeFiles(c *creation, f wal.Format) error {
	disk, dir := n.e.FS(), dirOf(c.id)
	if err := mkdirs(disk, dir); err != nil {
		return err
	}
	if err := removeFiles(disk, dir); err != nil {
		return err
	}
	s := segments{disk: disk, dir: dir, size: c.server.SegmentSize}
	if c.start.SegmentOffset(s.size) > 0 {
		if err := s.makeFirst(f, c.start, c.initial); err != nil {
			return err
		}
	}
	control := consensus.Control{
		Config: c.config, Server: c.server,
		TimelineStart: c.start, LocalStart: c.start, Commit: c.start, Horizon: c.start, Backup: c.start,
	}
	return writeSealed(disk, dir, controlName, controlMagic, encodeControl(n.cfg.NodeID, c.id, &control))
}

// makeFirst makes the segment that start lies in. It is allocated and no more
// than that: a branch that nobody has written to costs no time, and the
// zeroes go ahead of the WAL that is written to it.
func (s *segments) makeFirst(f wal.Format, start core.LSN, initial []byte) error {
	seg := start.Segment(s.size)
	file, err := s.disk.Open(s.path(segmentTemp), env.Write|env.Create|env.Trunc)
	if err != nil {
		return err
	}
	err = file.Allocate(0, int64(s.size))
	switch {
	case err != nil:
	case len(initial) > 0:
		_, err = file.WriteAt(initial, 0)
	default:
		err = writeSpans(file, f, start)
	}
	if err == nil {
		err = file.Sync(env.SyncFull)
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	if err := s.disk.Rename(s.path(segmentTemp), s.partial(seg)); err != nil {
		return err
	}
	return s.disk.SyncDir(s.dir)
}

// writeSpans stands in for WAL that is not here: the page headers without
// which no reader gets to start.
func writeSpans(file env.File, f wal.Format, start core.LSN) error {
	first := core.SegmentStart(start.Segment(f.SegmentSize), f.SegmentSize)
	for _, span := range f.Before(start) {
		if _, err := file.WriteAt(span.Bytes, int64(span.At-first)); err != nil {
			return err
		}
	}
	return nil
}

// removeFiles empties the directory of a creation that was never finished.
func removeFiles(disk env.FS, dir string) error {
	entries, err := disk.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := disk.Remove(path.Join(dir, e.Name)); err != nil {
			return err
		}
	}
	return nil
}

// finishCreations looks for directories that the roster does not know. One
// that is as creation left it, nothing promised and nothing written, or not
// even that far, was never acknowledged and is taken away; anything else came
// from elsewhere, or the roster is older than it.
func (n *Node) finishCreations() error {
	disk := n.e.FS()
	tenants, err := disk.ReadDir(timelinesDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, tenant := range tenants {
		dir := path.Join(timelinesDir, tenant.Name)
		timelines, err := disk.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, timeline := range timelines {
			if err := n.checkDir(tenant.Name, timeline.Name); err != nil {
				return fmt.Errorf("directory %s/%s: %w", dir, timeline.Name, err)
			}
		}
	}
	return nil
}

func (n *Node) checkDir(tenant, timeline string) (err error) {
	var id core.TTID
	if id.Tenant, err = core.ParseTenantID(tenant); err != nil {
		return fmt.Errorf("it is no directory of a safekeeper: %w", err)
	}
	if id.Timeline, err = core.ParseTimelineID(timeline); err != nil {
		return fmt.Errorf("it is no directory of a safekeeper: %w", err)
	}
	if n.roster.has(id) {
		return nil
	}
	t := newTimeline(n, id)
	control, err := t.readControl()
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("this safekeeper was never given the timeline: %w; move the directory away", err)
	case control.Term != 0 || control.Commit != control.TimelineStart:
		return fmt.Errorf("this safekeeper was never given the timeline, or its %s is an old copy; move the directory away", rosterName)
	}
	return n.removeUnfinished(dirOf(id))
}

// removeUnfinished takes a directory away that holds no more than the first
// steps of makeFiles.
func (n *Node) removeUnfinished(dir string) error {
	disk := n.e.FS()
	entries, err := disk.ReadDir(dir)
	if err != nil {
		return err
	}
	const most = 3 // a segment, a control file, a temporary file
	if len(entries) > most {
		return fmt.Errorf("it has %d files and this safekeeper was never given the timeline; move it away", len(entries))
	}
	if err := removeFiles(disk, dir); err != nil {
		return err
	}
	return disk.Remove(dir)
}
