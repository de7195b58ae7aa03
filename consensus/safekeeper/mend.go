package safekeeper

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"xenon/consensus"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
	"xenon/core/wal"
)

// WAL that is committed is the same everywhere. A segment of it that this disk
// does not give back, or gives back changed, is made anew of what another
// member or the object store has: first beside the old one, checked record by
// record, then in its place. See docs/adr/0015.

// mendTemp is a segment that is made anew, while it is.
const mendTemp = "mend.tmp"

// mending is what a timeline remembers of damage to its WAL. Guarded by leaf.
type mending struct {
	busy     bool     // a task is at it
	suspects []uint64 // segments to be looked at
	hurt     bool     // it is out of service for what its disk gave back
	// lost is a place that could not be read, seen so many times in a row.
	lost core.LSN
	seen int
	why  string // why mending failed the last time
}

// maxSuspects bounds what is remembered; the rest is found again.
const maxSuspects = 16

// suspect notes that the WAL at lsn could not be read, or is none.
func (t *Timeline) suspect(lsn core.LSN) {
	seg := lsn.Segment(t.segs.size)
	t.leaf.Lock()
	defer t.leaf.Unlock()
	if m := &t.mending; !slices.Contains(m.suspects, seg) && len(m.suspects) < maxSuspects {
		m.suspects = append(m.suspects, seg)
	}
}

// beginMending takes what is to be mended, if there is anything and nobody is
// at it. A timeline out of service is mended when it would be loaded anew.
func (t *Timeline) beginMending(failed bool) bool {
	t.leaf.Lock()
	defer t.leaf.Unlock()
	m := &t.mending
	if m.busy || failed && !m.hurt || !failed && len(m.suspects) == 0 {
		return false
	}
	m.busy = true
	return true
}

func (t *Timeline) isMending() bool {
	t.leaf.Lock()
	defer t.leaf.Unlock()
	return t.mending.busy
}

// startMending has a task look after damage. One that was out of service is
// loaded anew when it has done what it could.
func (t *Timeline) startMending(failed bool) {
	n := t.node
	n.e.Go("mending WAL", func(ctx context.Context) {
		mend := t.mendInService
		if failed {
			mend = t.mendAll
		}
		err := mend(ctx)
		why := ""
		if err != nil {
			why = err.Error()
		}
		t.leaf.Lock()
		news := why != t.mending.why
		t.mending.why = why
		t.leaf.Unlock()
		if err != nil && news && ctx.Err() == nil {
			n.e.Log().Warn("damaged WAL is not mended", "timeline", t.id.String(), "error", err)
		}
		if failed && ctx.Err() == nil {
			n.loadTimeline(t, true)
		}
		t.leaf.Lock()
		t.mending.busy = false
		t.leaf.Unlock()
	})
}

// mendInService looks at the segments that somebody had trouble with. One that
// is being written is another matter: the timeline goes out of service, and
// comes back mended.
func (t *Timeline) mendInService(ctx context.Context) error {
	t.leaf.Lock()
	segs := t.mending.suspects
	t.mending.suspects = nil
	t.leaf.Unlock()
	slices.Sort(segs)
	for _, seg := range segs {
		at, err := t.mendSealed(ctx, seg)
		if err != nil {
			t.suspect(at)
			return err
		}
	}
	return nil
}

// mendSealed makes one segment anew if it has ended and is damaged, and the
// next as far as a bad record reaches into it.
func (t *Timeline) mendSealed(ctx context.Context, seg uint64) (at core.LSN, err error) {
	size := t.segs.size
	at = core.SegmentStart(seg, size)
	var c consensus.Control
	gone := false
	err = t.step(func(a *consensus.Acceptor) error {
		c = a.Control()
		gone = t.kept.evicted || c.LocalStart.Segment(size) > seg
		return nil
	})
	if err != nil || gone {
		return at, err
	}
	bad := t.inspect(&c, at, min(core.SegmentStart(seg+1, size), c.Commit))
	if bad == nil {
		return at, nil
	}
	last := bad.at.Segment(size)
	if core.SegmentStart(last+1, size) > c.Commit {
		return at, t.step(func(*consensus.Acceptor) error {
			t.leaf.Lock()
			t.mending.hurt = true
			t.leaf.Unlock()
			return t.fail(bad)
		})
	}
	for seg := bad.from.Segment(size); seg <= last; seg++ {
		if _, err := t.rebuild(ctx, &c, seg); err != nil {
			return at, errors.Join(bad, err)
		}
		if err := t.swapIn(seg); err != nil {
			return at, err
		}
	}
	return at, nil
}

// swapIn puts a sealed segment that was made anew in its place.
func (t *Timeline) swapIn(seg uint64) error {
	return t.step(func(a *consensus.Acceptor) error {
		if t.kept.evicted || a.Control().LocalStart.Segment(t.segs.size) > seg {
			return t.segs.disk.Remove(t.segs.path(mendTemp)) // it has left the disk meanwhile
		}
		if err := t.segs.adopt(seg); err != nil {
			return t.fail(err)
		}
		return nil
	})
}

// mendAll makes all WAL on the disk of a timeline out of service good that its
// control file says is committed, and finds out whether any behind that is
// lost. What is no matter of damaged WAL is left to the load that follows.
func (t *Timeline) mendAll(ctx context.Context) error {
	c, err := t.atRest()
	if err != nil || t.kept.evicted {
		return err
	}
	first := core.SegmentStart(c.LocalStart.Segment(t.segs.size), t.segs.size)
	for range 2*(c.Commit.Segment(t.segs.size)-first.Segment(t.segs.size)) + 2 {
		bad := t.inspect(&c, first, c.Commit)
		if bad == nil {
			break
		}
		for seg := bad.from.Segment(t.segs.size); seg <= bad.at.Segment(t.segs.size); seg++ {
			if err := t.replace(ctx, &c, seg); err != nil {
				return errors.Join(bad, err)
			}
		}
	}
	// A log that has nothing committed yet begins within a sector, which also has
	// to be made anew to be written to.
	if at, found := t.segs.unreadable(c.Commit); found && at < c.Commit {
		if err := t.replace(ctx, &c, at.Segment(t.segs.size)); err != nil {
			return err
		}
	}
	return t.atTail(&c)
}

// atRest reads the control file of a timeline out of service.
func (t *Timeline) atRest() (c consensus.Control, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.deleted || t.acc != nil {
		return c, errDeleted
	}
	if c, err = t.readControl(); err != nil {
		return c, err
	}
	t.segs.close()
	if t.format, err = formatOf(c.Server); err == nil && t.segs.size != c.Server.SegmentSize {
		t.segs.size = c.Server.SegmentSize
	}
	t.leaf.Lock()
	t.mending.suspects = nil // all of it is looked at
	t.leaf.Unlock()
	return c, err
}

// replace makes a segment of a timeline out of service anew, and notes the wound
// first if WAL goes with the old one that nobody else may have.
func (t *Timeline) replace(ctx context.Context, c *consensus.Control, seg uint64) error {
	lost, err := t.rebuild(ctx, c, seg)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.deleted || t.acc != nil {
		return errDeleted
	}
	if lost != 0 {
		if err := t.mayWound(c, lost); err != nil {
			return err
		}
	}
	return t.segs.adopt(seg)
}

// atTail looks at the WAL behind what is committed, which only this disk has as
// it was acknowledged.
func (t *Timeline) atTail(c *consensus.Control) error {
	at, found := t.segs.unreadable(c.Commit)
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case !found:
		t.leaf.Lock()
		t.mending.seen = 0
		t.leaf.Unlock()
		return nil
	case t.deleted || t.acc != nil:
		return nil
	}
	return t.mayWound(c, at)
}

// mayWound notes the wound once a place has been found unreadable often enough.
func (t *Timeline) mayWound(c *consensus.Control, at core.LSN) error {
	t.leaf.Lock()
	m := &t.mending
	if m.lost != at {
		m.lost, m.seen = at, 0
	}
	m.seen++
	enough := m.seen >= woundedAfter
	t.leaf.Unlock()
	if !enough {
		return fmt.Errorf("WAL at %s cannot be read: %w", at, env.ErrIO)
	}
	if c.Lost == c.Term {
		return nil
	}
	return t.wound(c, at)
}

// A badWAL is a place in the own WAL that does not read as WAL: a record that
// begins at from is wrong at or before at, or cannot be read there.
type badWAL struct {
	from, at core.LSN
	err      error
}

func (b *badWAL) Error() string { return fmt.Sprintf("%v at %s: %v", errDamaged, b.at, b.err) }

// Unwrap is what was wrong, and that it is damage.
func (b *badWAL) Unwrap() []error { return []error{errDamaged, b.err} }

// errDamaged reports WAL on the own disk that is none, or cannot be read.
var errDamaged = fmt.Errorf("the copy on this disk is damaged: %w", env.ErrCorrupt)

// newBadWAL says where WAL is bad, given that a decoder refused what ends at to,
// or that it could not be read at to.
func newBadWAL(to core.LSN, err error) *badWAL {
	b := &badWAL{to, to, err}
	var flaw *wal.InvalidError
	if errors.As(err, &flaw) {
		b.from = min(flaw.Record, to)
	}
	return b
}

// inspect decodes the own WAL from begin, a segment's start, to end, and on to
// the end of the record that is under way there, and tells where it is bad.
func (t *Timeline) inspect(c *consensus.Control, begin, end core.LSN) *badWAL {
	start := max(begin, c.TimelineStart)
	d := wal.NewDecoder(t.format, start, 0).Strict()
	r := segmentReader{s: &t.segs}
	defer r.close()
	buf := make([]byte, len(zeroes))
	for at := start; at < end; {
		n, err := r.read(buf[:min(core.LSN(len(buf)), end-at)], at)
		if err != nil {
			return newBadWAL(at, err)
		}
		if err := feed(d, at, buf[:n]); err != nil {
			return newBadWAL(at+core.LSN(n)-1, err)
		}
		at += core.LSN(n)
	}
	return t.endRecord(d, max(start, end), c.Commit)
}

// endRecord feeds a decoder that stands at at the own WAL up to the end of the
// record that is under way there. A length that has gone bad is known by no end
// coming before limit, where one is.
func (t *Timeline) endRecord(d *wal.Decoder, at, limit core.LSN) *badWAL {
	r := segmentReader{s: &t.segs}
	defer r.close()
	buf := make([]byte, core.WALPageSize)
	for at < limit && d.Partial() < at {
		n, err := r.read(buf[:min(core.LSN(len(buf)), limit-at)], at)
		if err != nil {
			return newBadWAL(at, err)
		}
		if err := feed(d, at, buf[:n]); err != nil {
			return newBadWAL(at+core.LSN(n)-1, err)
		}
		at += core.LSN(n)
	}
	if from := d.Partial(); from < at {
		return &badWAL{from, from, fmt.Errorf("the record at %s does not end by %s, where one does", from, limit)}
	}
	return nil
}

// adopt puts a segment that was made anew in the place of the old one.
func (s *segments) adopt(seg uint64) error {
	name := s.final(seg)
	if _, err := s.disk.Stat(name); errors.Is(err, fs.ErrNotExist) {
		name = s.partial(seg)
	} else if err != nil {
		return err
	}
	if err := s.disk.Rename(s.path(mendTemp), name); err != nil {
		return err
	}
	return s.disk.SyncDir(s.dir)
}

// rebuild makes a segment beside the one on the disk: what of it is committed as
// the first has it who has it good, the rest as it is here. lost is where the
// rest could not be read, 0 if all of it could.
func (t *Timeline) rebuild(ctx context.Context, c *consensus.Control, seg uint64) (lost core.LSN, err error) {
	s := &t.segs
	f, err := s.disk.Open(s.path(mendTemp), env.Write|env.Create|env.Trunc)
	if err != nil {
		return 0, err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			s.disk.Remove(s.path(mendTemp))
		}
	}()
	if err := f.Allocate(0, int64(s.size)); err != nil {
		return 0, err
	}
	begin := core.SegmentStart(seg, s.size)
	end := min(core.SegmentStart(seg+1, s.size), c.Commit)
	if end > c.TimelineStart { // before that there is no WAL
		if err := t.refill(ctx, c, f, begin, end); err != nil {
			return 0, err
		}
	}
	if lost, err = s.keepRest(f, end); err != nil {
		return 0, err
	}
	t.node.e.Log().Info("damaged WAL segment made anew", "timeline", t.id.String(), "segment", s.name(seg))
	t.node.e.Trace().Note("safekeeper.mended", t.id.Timeline.Tag(), uint64(begin), uint64(end), 0)
	return lost, f.Sync(env.SyncFull)
}

// keepRest copies what is not committed of a segment, as far as it can be read.
func (s *segments) keepRest(f env.File, from core.LSN) (lost core.LSN, err error) {
	seg := (from - 1).Segment(s.size)
	begin, end := core.SegmentStart(seg, s.size), core.SegmentStart(seg+1, s.size)
	r := segmentReader{s: s}
	defer r.close()
	buf := make([]byte, len(zeroes))
	for at := from; at < end; {
		b := buf[:min(core.LSN(len(buf)), end-at, (at|(sector-1))+1-at)]
		if at%sector == 0 {
			b = buf[:min(core.LSN(len(buf)), end-at)]
		}
		n, err := r.readAround(b, at)
		if err != nil {
			if !damagedRead(err) {
				return 0, err
			}
			if lost == 0 {
				lost = at &^ (sector - 1)
			}
			n = len(b[:min(len(b), sector)])
			clear(b[:n])
		}
		if _, err := f.WriteAt(b[:n], int64(at-begin)); err != nil {
			return 0, err
		}
		at += core.LSN(n)
	}
	return lost, nil
}

// errEnough ends the reading of a supply.
var errEnough = errors.New("that is enough")

// refill writes committed WAL of one segment as others have it.
func (t *Timeline) refill(ctx context.Context, c *consensus.Control, f env.File, begin, end core.LSN) error {
	var errs []error
	for _, from := range t.supplies(c, begin, end) {
		err := t.refillFrom(ctx, c, f, from, begin, end)
		if err == nil || canRetry(err) || ctx.Err() != nil {
			return err
		}
		errs = append(errs, fmt.Errorf("%s: %w", from.name, err))
	}
	return fmt.Errorf("no good copy of the WAL from %s to %s is to be had: %w", begin, end, errors.Join(errs...))
}

// refillFrom takes what one supply has, if all of its records are good: also the
// one that goes on behind end, as far as the supply has it.
func (t *Timeline) refillFrom(ctx context.Context, c *consensus.Control, f env.File, from supply, begin, end core.LSN) error {
	check, at := t.checkFrom(c, begin), begin
	var bad error
	err := from.read(ctx, c.Commit, func(b []byte) error {
		trusted := faults.On && faults.Hit(faults.MendUnchecked)
		if !trusted {
			bad = feedFrom(check, c.TimelineStart, at, b)
		}
		if bad != nil {
			return bad
		}
		n := min(core.LSN(len(b)), end-min(end, at))
		_, err := f.WriteAt(b[:n], int64(at-begin))
		at += core.LSN(len(b))
		if err == nil && at >= end && (trusted || check.Partial() >= min(at, c.Commit)) {
			err = errEnough
		}
		return err
	})
	switch {
	case errors.Is(err, errEnough):
		return nil
	case bad == nil && at >= end && !canRetry(err):
		return nil // all but the end of a record that goes on
	case err == nil:
		return fmt.Errorf("its WAL ends at %s, want %s: %w", at, end, env.ErrCorrupt)
	}
	return err
}

// checkFrom is a decoder at a segment's start, behind the WAL before it if that
// is here: a record that began there is then checked as well.
func (t *Timeline) checkFrom(c *consensus.Control, begin core.LSN) *wal.Decoder {
	fresh := func() *wal.Decoder { return wal.NewDecoder(t.format, max(begin, c.TimelineStart), 0).Strict() }
	before := begin - min(begin, core.LSN(t.segs.size))
	if begin <= c.TimelineStart || before.Segment(t.segs.size) < c.LocalStart.Segment(t.segs.size) {
		return fresh()
	}
	d := wal.NewDecoder(t.format, max(before, c.TimelineStart), 0).Strict()
	r := segmentReader{s: &t.segs}
	defer r.close()
	buf := make([]byte, len(zeroes))
	for at := d.Pos(); at < begin; {
		n, err := r.read(buf[:min(core.LSN(len(buf)), begin-at)], at)
		if err == nil {
			err = feed(d, at, buf[:n])
		}
		if err != nil {
			t.suspect(at)
			return fresh() // that is damaged as well
		}
		at += core.LSN(n)
	}
	return d
}
