package safekeeper

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"xenon/consensus"
	"xenon/consensus/safekeeper/archive"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
	"xenon/core/wal"
	"xenon/core/xsync"
)

const (
	// storeEvery is how often a timeline looks for WAL to be stored.
	storeEvery = time.Second
	// storePatience bounds one look; what is not done by then is done by the
	// next, or by another safekeeper, which learns that this one fails.
	storePatience = time.Minute
)

// storing is what a timeline remembers of storing its WAL.
type storing struct {
	// Of the task that is at it.
	lastPut env.Instant // when a partial segment was stored last, or the timeline made
	quiet   quiet
	looked  Position // of housekeeping, when it last looked; guarded by leaf

	// Guarded by leaf.
	busy    bool   // a task is at it
	why     string // why it failed the last time
	held    string // what holds the WAL that is here
	readers map[string]readerHold
}

// storeWAL has every timeline looked at now and then, until ctx ends.
func (n *Node) storeWAL(ctx context.Context) error {
	g := xsync.NewGroup(ctx, n.e)
	g.Go("sweeping WAL", n.sweepLeftovers)
	for {
		if err := n.e.Clock().Sleep(g.Context(), storeEvery); err != nil {
			g.Cancel(err)
			return g.Wait()
		}
		for _, t := range n.all() {
			if !t.pos.Get().Failed && t.beginStoring() {
				g.Go("storing WAL", func(ctx context.Context) error {
					t.storeRound(ctx)
					return nil
				})
			}
		}
	}
}

func (t *Timeline) beginStoring() bool {
	t.leaf.Lock()
	defer t.leaf.Unlock()
	was := t.store.busy
	t.store.busy = true
	return !was
}

// storeRound stores what there is to be stored, and lets a timeline that nobody
// uses leave the disk.
func (t *Timeline) storeRound(ctx context.Context) {
	patient, cancel := xsync.WithTimeout(ctx, t.node.e, storePatience)
	defer cancel()
	err := t.offload(patient)
	if err == nil {
		err = t.rest(patient)
	}
	if xsync.Cause(ctx) != nil {
		return
	}
	why := ""
	if err != nil {
		why = err.Error()
	}
	t.leaf.Lock()
	news := why != t.store.why
	t.store.why, t.store.busy = why, false
	t.leaf.Unlock()
	if news && err != nil {
		t.node.e.Log().Warn("WAL is not stored", "timeline", t.id.String(), "error", err)
	}
}

// chosen tells whether this safekeeper is the one that stores whole segments.
func (t *Timeline) chosen() bool {
	var own consensus.PeerReport
	var members consensus.Configuration
	if t.step(func(a *consensus.Acceptor) error {
		c := a.Control()
		members = c.Config
		own = consensus.PeerReport{Node: t.node.cfg.NodeID, Commit: c.Commit, Backup: a.BackupLSN(), LocalStart: c.LocalStart}
		return nil
	}) != nil {
		return false
	}
	t.leaf.Lock()
	own.Stuck = t.store.why != ""
	heard := append([]consensus.PeerReport{own}, t.peers.heard...)
	t.leaf.Unlock()
	// Who has left is not asked any more, and what he said stays: he stores nothing.
	heard = slices.DeleteFunc(heard, func(r consensus.PeerReport) bool { return !members.Has(r.Node) })
	best := consensus.Offloader(t.id, heard)
	if best == 0 { // whoever can store it fails at it now: all of them try again
		return own.LocalStart <= own.Backup
	}
	return best == own.Node
}

// offload stores whole segments, from the backup LSN on, as far as they are
// committed, if it falls to this safekeeper.
func (t *Timeline) offload(ctx context.Context) error {
	if !t.chosen() {
		return nil
	}
	for {
		begin, ok, err := t.nextToStore()
		if err != nil || !ok {
			return err
		}
		if err := t.storeSegment(ctx, begin); err != nil {
			return fmt.Errorf("store WAL segment %s: %w", t.segs.name(begin.Segment(t.segs.size)), err)
		}
	}
}

// nextToStore is where the first segment begins that is not stored, if all of it
// is committed and here.
func (t *Timeline) nextToStore() (begin core.LSN, ok bool, err error) {
	err = t.step(func(a *consensus.Acceptor) error {
		seg, size := a.BackupLSN().Segment(t.segs.size), t.segs.size
		begin = core.SegmentStart(seg, size)
		ok = !t.kept.evicted && a.Storable(core.SegmentStart(seg+1, size)) && a.Control().LocalStart.Segment(size) <= seg
		return nil
	})
	return begin, ok, err
}

// storeSegment stores the segment that begins at begin. It counts as stored once
// the store says that it is there: an unknown outcome is none.
func (t *Timeline) storeSegment(ctx context.Context, begin core.LSN) error {
	seg := begin.Segment(t.segs.size)
	end := core.SegmentStart(seg+1, t.segs.size)
	body, err := t.survey(begin, end)
	if err != nil {
		return err
	}
	err = archive.PutSegment(ctx, t.node.store, archive.SegmentKey(t.id, seg, t.segs.size), body)
	if err != nil && faults.On && errors.Is(err, env.ErrUnknown) && faults.Hit(faults.BackupUnsure) {
		err = nil
	}
	if err != nil {
		return err
	}
	return t.step(func(a *consensus.Acceptor) error {
		t.node.e.Trace().Note("safekeeper.stored", t.id.Timeline.Tag(), uint64(end), 0, 0)
		a.ReportBackup(end)
		return nil
	})
}

// survey reads WAL of one segment to be stored, checks that it is WAL, and makes
// an object of it: a copy that has gone bad on this disk is not to become the
// only one. It is mended instead, and the next round stores it.
func (t *Timeline) survey(begin, end core.LSN) (*archive.Body, error) {
	c := t.control()
	check := t.checkFrom(&c, begin)
	unchecked := faults.On && (faults.Hit(faults.OffloadUncommitted) || faults.Hit(faults.OffloadUnchecked))
	body, err := archive.Survey(t.id, begin, end, t.source(), func(at core.LSN, b []byte) error {
		if unchecked {
			return nil
		}
		if err := feedFrom(check, c.TimelineStart, at, b); err != nil {
			return newBadWAL(at+core.LSN(len(b))-1, err)
		}
		return nil
	})
	if err == nil && !unchecked {
		if bad := t.endRecord(check, end, max(c.Commit, end)); bad != nil {
			err = bad
		}
	}
	var bad *badWAL
	switch {
	case errors.As(err, &bad):
		t.suspect(bad.from)
		t.suspect(bad.at)
	case damagedRead(err):
		t.suspect(begin)
	}
	return body, err
}

// feed has a decoder look at bytes that must be good WAL.
func feed(d *wal.Decoder, at core.LSN, b []byte) error {
	if err := d.Feed(at, b); err != nil {
		return err
	}
	for {
		if _, ok, err := d.Next(); err != nil {
			return err
		} else if !ok {
			d.Mark() // what was fed goes
			return nil
		}
	}
}

// feedFrom is feed for a decoder that began at start, which the bytes may begin
// below of.
func feedFrom(d *wal.Decoder, start, at core.LSN, b []byte) error {
	skip := min(core.LSN(len(b)), start-min(start, at))
	if skip == core.LSN(len(b)) {
		return nil
	}
	return feed(d, at+skip, b[skip:])
}

// source reads WAL on the disk.
func (t *Timeline) source() archive.Source {
	return func(p []byte, at core.LSN) error {
		r := segmentReader{s: &t.segs}
		defer r.close()
		_, err := r.read(p, at)
		return err
	}
}
