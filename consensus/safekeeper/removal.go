package safekeeper

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"xenon/consensus"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
)

// A readerHold is what a reader of WAL is still to get.
type readerHold struct {
	lsn core.LSN
	at  env.Instant // when it last got on
}

// needs is from where on a reader would ask again: behind what it says is safe
// with it, else behind what was sent. The caller holds leaf.
func (s *sender) needs() core.LSN {
	if s.status.Flush != 0 {
		return min(s.status.Flush, s.sent)
	}
	return s.sent
}

// maxReaders bounds how many readers are remembered: a name costs nothing to
// make up.
const maxReaders = 64

// readerAt notes what a reader needs: WAL from lsn on. One that does not get on
// is forgotten after wal_hold_seconds, since the object store has what it
// needs; so it cannot fill the disk. The caller holds leaf.
func (t *Timeline) readerAt(name string, lsn core.LSN, now env.Instant) {
	h, known := t.store.readers[name]
	if known && h.lsn == lsn {
		return
	}
	if t.store.readers == nil {
		t.store.readers = map[string]readerHold{}
	}
	t.store.readers[name] = readerHold{lsn, now}
	if len(t.store.readers) > maxReaders {
		oldest := ""
		for name, h := range t.store.readers { //simsafe:allow names decide between equals
			if o := t.store.readers[oldest]; oldest == "" || h.at < o.at || h.at == o.at && name < oldest {
				oldest = name
			}
		}
		delete(t.store.readers, oldest)
	}
}

// readerHolds lists what readers need that were seen of late, and forgets the
// others.
func (t *Timeline) readerHolds() []consensus.Hold {
	last := t.node.e.Clock().Mono().Add(-t.node.cfg.holdTime())
	t.leaf.Lock()
	defer t.leaf.Unlock()
	least := consensus.Hold{}
	for name, h := range t.store.readers { //simsafe:allow the lowest is taken, and names decide between equals
		if h.at < last {
			delete(t.store.readers, name)
			continue
		}
		if why := fmt.Sprintf("reader %s is still to get the WAL above", name); least.Why == "" || h.lsn < least.LSN || h.lsn == least.LSN && why < least.Why {
			least = consensus.Hold{LSN: h.lsn, Why: why}
		}
	}
	if least.Why == "" {
		return nil
	}
	return []consensus.Hold{least}
}

// trim removes whole segments that nobody needs on this disk any more. The
// control file says so first: a start that does not find them knows why.
func (t *Timeline) trim() error {
	return t.step(t.trimLocked)
}

func (t *Timeline) trimLocked(a *consensus.Acceptor) error {
	others := append(t.readerHolds(), consensus.Hold{LSN: t.heldFrom(), Why: "another safekeeper copies the WAL above"})
	least := a.Removable(others)
	t.leaf.Lock()
	t.store.held = least.String()
	t.leaf.Unlock()
	first, before := a.Control().LocalStart.Segment(t.segs.size), least.LSN.Segment(t.segs.size)
	to := core.SegmentStart(before, t.segs.size)
	c := a.Trim(to)
	if c == nil {
		return nil
	}
	if faults.On && faults.Hit(faults.RemoveUnsaved) {
		return t.removeFirst(first, before, c)
	}
	if err := t.persist(c); err != nil {
		return t.fail(err)
	}
	t.node.e.Trace().Note("safekeeper.trim", t.id.Timeline.Tag(), uint64(to), uint64(c.Backup), uint64(c.RemoteConsistent))
	return t.removeFiles(first, before)
}

// removeFirst is a planted fault: trim the other way round.
func (t *Timeline) removeFirst(first, before uint64, c *consensus.Control) error {
	if err := t.removeFiles(first, before); err != nil {
		return err
	}
	t.node.e.Clock().Sleep(t.node.ctx, 50*time.Millisecond)
	if err := t.persist(c); err != nil {
		return t.fail(err)
	}
	return nil
}

// removeFiles removes all segments before one.
func (t *Timeline) removeFiles(first, before uint64) (err error) {
	t.counted(func() { err = t.segs.removeRange(first, before) })
	if err != nil {
		// Whatever is left is removed by the next load.
		return t.fail(fmt.Errorf("remove WAL: %w", err))
	}
	return nil
}

// removeRange removes the segments from first on that lie before another.
func (s *segments) removeRange(first, before uint64) error {
	for seg := first; seg < before; seg++ {
		for _, name := range []string{s.final(seg), s.partial(seg)} {
			switch err := s.disk.Remove(name); {
			case err == nil:
				s.count--
			case !errors.Is(err, fs.ErrNotExist):
				return err
			}
		}
	}
	return s.disk.SyncDir(s.dir)
}

// removeAll removes all segments there are, and the spare one.
func (s *segments) removeAll() error {
	found, err := s.list()
	if err != nil {
		return err
	}
	for _, f := range found {
		if err := s.remove(f); err != nil {
			return err
		}
	}
	if s.spare {
		if err := s.disk.Remove(s.path(spareName)); err != nil {
			return err
		}
		s.spare = false
		s.count--
	}
	return s.disk.SyncDir(s.dir)
}
