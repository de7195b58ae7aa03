package safekeeper

import (
	"context"
	"fmt"

	"xenon/consensus"
	"xenon/core"
	"xenon/core/faults"
)

// locate puts the decoder behind bytes, which end in or at the record that
// ends or began at record.
func (t *Timeline) locate(record, bytes core.LSN) error {
	t.ahead = 0
	start := t.acc.Control().LocalStart
	prev, err := t.segs.recordBefore(t.format, start, record)
	if err != nil {
		return err
	}
	t.dec.Reset(record, prev)
	r := segmentReader{s: &t.segs}
	defer r.close()
	for at := record; at < bytes; {
		buf := make([]byte, min(bytes-at, core.LSN(len(zeroes))))
		n, err := r.read(buf, at)
		if err != nil {
			return fmt.Errorf("read back WAL at %s: %w", at, err)
		}
		if _, err := t.decode(at, buf[:n]); err != nil {
			return err
		}
		at += core.LSN(n)
	}
	return nil
}

// decode takes WAL at lsn into the decoder and returns the end of the last
// record that is whole with its padding, 0 if there is none.
func (t *Timeline) decode(lsn core.LSN, b []byte) (end core.LSN, err error) {
	last := lsn + core.LSN(len(b))
	if err := t.dec.Feed(lsn, b); err != nil {
		return 0, err
	}
	for {
		rec, ok, err := t.dec.Next()
		if err != nil {
			return 0, err
		}
		if !ok {
			break
		}
		t.ahead = rec.End
		if rec.End <= last {
			end = rec.End
		}
	}
	t.dec.Mark()
	if t.ahead > 0 && t.ahead <= last {
		end, t.ahead = t.ahead, 0
	}
	return end, nil
}

// append writes the WAL of m. refuse means that only the term is to be
// answered, at once; else an answer is owed after the next flush. keepalive is
// called now and then while the append waits for space.
func (t *Timeline) append(ctx context.Context, s *consensus.Session, m *consensus.AppendRequest, keepalive func() error) (refuse bool, err error) {
	for {
		wait, refuse, err := t.tryAppend(s, m)
		if wait == "" {
			return refuse, err
		}
		t.setWaiting(wait)
		t.learnWhileWaiting(s, m)
		if err = keepalive(); err == nil {
			err = t.node.e.Clock().Sleep(ctx, shortagePause)
		}
		t.setWaiting("")
		if err != nil {
			return false, err
		}
	}
}

// learnWhileWaiting takes what an append that waits for space says of the commit
// LSN, as a heartbeat before it would have told: it may be what lets WAL go. An
// error comes again with the append itself.
func (t *Timeline) learnWhileWaiting(s *consensus.Session, m *consensus.AppendRequest) {
	beat := *m
	beat.WAL, beat.End = nil, m.Begin
	t.step(func(a *consensus.Acceptor) error {
		out, err := a.Append(s, beat, 0)
		if err == nil && out.Control != nil {
			if err := t.persist(out.Control); err != nil {
				return t.fail(err)
			}
		}
		return err
	})
}

func (t *Timeline) tryAppend(s *consensus.Session, m *consensus.AppendRequest) (wait shortage, refuse bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.acc == nil {
		return "", false, t.unusable()
	}
	if refuse, err = t.acc.CheckAppend(s, *m); refuse || err != nil {
		return "", refuse, err
	}
	end := core.LSN(0)
	if len(m.WAL) > 0 {
		// The bytes come before the step: if there is no room for them, or they
		// are no WAL, nothing has happened. What lies beyond the acceptor's end
		// is nobody's, and the next truncation wipes it.
		if wait, err = t.writeWAL(m); wait != "" || err != nil {
			return wait, false, err
		}
		t.node.e.Trace().Show("safekeeper.write", t.id.Timeline.Tag(), uint64(m.Term), uint64(m.End), 0)
		if end, err = t.takeIn(m); err != nil {
			return "", false, err
		}
	}
	out, err := t.acc.Append(s, *m, end)
	if err != nil {
		return "", false, t.fail(err)
	}
	if out.Control != nil {
		if err := t.persist(out.Control); err != nil {
			return "", false, t.fail(err)
		}
	}
	t.publish()
	return "", out.Refuse, nil
}

// writeWAL puts the bytes of m on the disk, not yet durably.
func (t *Timeline) writeWAL(m *consensus.AppendRequest) (shortage, error) {
	missing := int64(t.segs.missing(m.Begin, m.End)) * int64(t.segs.size)
	if wait := t.node.room(t, missing); wait != "" {
		if err := t.trimLocked(t.acc); err != nil {
			return "", err
		}
		if wait = t.node.room(t, missing); wait != "" {
			return wait, nil
		}
	}
	var err error
	t.counted(func() {
		if err = t.segs.prepare(m.Begin, m.End); err == nil {
			err = t.writeAll(m)
		}
	})
	if canRetry(err) {
		return shortage(fmt.Sprintf("safekeeper %d: %v", t.node.cfg.NodeID, err)), nil
	}
	if err != nil {
		return "", t.fail(err)
	}
	t.wantSpare(m.End)
	return "", nil
}

// writeAll writes the WAL of m. Once its first segment is finished there is no
// going back to its beginning, so the rest waits here for space.
func (t *Timeline) writeAll(m *consensus.AppendRequest) error {
	done, err := t.segs.write(m.Begin, m.WAL)
	if done == 0 || !canRetry(err) {
		return err
	}
	return t.patiently(func() error {
		n, err := t.segs.write(m.Begin+core.LSN(done), m.WAL[done:])
		done += n
		return err
	})
}

// takeIn checks that m's bytes are WAL that continues the log, record by
// record, and finds where the last whole one ends.
func (t *Timeline) takeIn(m *consensus.AppendRequest) (core.LSN, error) {
	if faults.On && faults.Hit(faults.LinkUnchecked) && t.ahead == 0 && t.dec.Partial() == t.dec.Pos() {
		t.dec.Reset(m.Begin, 0)
	}
	end, err := t.decode(m.Begin, m.WAL)
	if err == nil {
		return end, nil
	}
	mark, _ := t.acc.Unflushed()
	if err := t.takeBack(m, mark.Bytes); err != nil {
		return 0, t.fail(err)
	}
	if err := t.locate(mark.Record, mark.Bytes); err != nil {
		return 0, t.fail(err)
	}
	return 0, fmt.Errorf("refused WAL from %s to %s of term %d: it does not continue the log of timeline %s: %w",
		m.Begin, m.End, m.Term, t.id, err)
}

// takeBack undoes what writing m, which is refused, did to the segments: one
// that it filled has its final name, under which nothing is written again, and
// the one behind it is open. WAL goes on at lsn.
func (t *Timeline) takeBack(m *consensus.AppendRequest, lsn core.LSN) (err error) {
	if m.End.Segment(t.segs.size) == lsn.Segment(t.segs.size) {
		return nil
	}
	t.counted(func() {
		err = t.patiently(func() error { return t.segs.truncate(lsn) })
	})
	return err
}

// flush makes all written WAL durable, unless somebody else just did, and
// returns the answer to every append before it.
func (t *Timeline) flush() (r consensus.AppendResponse, err error) {
	err = t.step(func(a *consensus.Acceptor) error {
		defer func() { r = a.Response() }()
		mark, dirty := a.Unflushed()
		if !dirty {
			return nil
		}
		if !(faults.On && faults.Hit(faults.AckBeforeFsync)) {
			if err := t.segs.sync(); err != nil {
				return t.fail(err)
			}
		}
		if c := a.Flushed(mark); c != nil {
			if err := t.persist(c); err != nil {
				return t.fail(err)
			}
		}
		return nil
	})
	return r, err
}

// refusal is the answer to an append of a lower term.
func (t *Timeline) refusal() (r consensus.AppendResponse, err error) {
	err = t.step(func(a *consensus.Acceptor) error {
		r = a.Refusal()
		return nil
	})
	return r, err
}

// save writes the control file if the positions in it have fallen behind by
// atLeast bytes of WAL.
func (t *Timeline) save(atLeast core.LSN) error {
	return t.step(func(a *consensus.Acceptor) error {
		if a.CommitLSN()-t.saved < max(atLeast, 1) {
			return nil
		}
		c := a.Control()
		if err := t.persist(&c); err != nil {
			return t.fail(err)
		}
		a.Saved(c)
		return nil
	})
}

// lagging is how far the control file may be behind: a segment while WAL comes,
// and not at all once none came for as long as between two looks. What it does
// not know to be committed is what a damaged disk can lose for good.
func (t *Timeline) lagging() core.LSN {
	at := t.pos.Get()
	t.leaf.Lock()
	defer t.leaf.Unlock()
	quiet := t.store.looked == at
	t.store.looked = at
	if quiet {
		return 1
	}
	return core.LSN(t.segs.size)
}

// wantSpare has a task make the next segment before it is needed, once a
// quarter of what there was to write in this one is written, up to end: a commit
// then waits for a rename alone. A timeline that begins in the middle of a
// segment has no more of it than the rest: the first record of a new branch does
// not make every safekeeper write a segment of zeroes while its server starts.
func (t *Timeline) wantSpare(end core.LSN) {
	s := &t.segs
	if s.making || s.spare || s.cur == nil {
		return
	}
	begin := max(t.acc.Control().LocalStart, core.SegmentStart(s.curSeg, s.size))
	if end-begin < (core.SegmentStart(s.curSeg+1, s.size)-begin)/4 {
		return
	}
	if t.node.room(t, int64(s.size)) != "" {
		return
	}
	t.counted(func() { s.making = true })
	t.node.e.Go("spare segment", func(context.Context) {
		err := s.makeZeroed(spareTemp)
		t.mu.Lock()
		defer t.mu.Unlock()
		t.counted(func() {
			s.making = false
			switch {
			case err == nil && !s.spare && t.acc != nil:
				err = s.adoptSpare(spareTemp)
			case err == nil:
				err = s.disk.Remove(s.path(spareTemp))
			}
		})
		if err != nil {
			t.node.e.Log().Warn("no spare WAL segment", "timeline", t.id.String(), "error", err)
		}
	})
}

// counted runs f, which may change what the segments take, and tells the node.
func (t *Timeline) counted(f func()) {
	before := t.segs.bytes()
	f()
	t.node.used.Add(t.segs.bytes() - before)
}
