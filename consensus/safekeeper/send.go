package safekeeper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"xenon/consensus"
	"xenon/consensus/safekeeper/archive"
	"xenon/core"
	"xenon/core/faults"
	"xenon/core/wal"
	"xenon/core/wire"
	"xenon/core/xsync"
)

const (
	// keepaliveEvery is how long a reader of WAL hears nothing.
	keepaliveEvery = time.Second
	// readerTimeout ends a reader that does not answer keepalives, as
	// wal_sender_timeout does by default.
	readerTimeout = 60 * time.Second
	// gather is how long a reader that got all there was hears of nothing
	// more. Under load it then gets the WAL of many commits in one message,
	// and reports once for all of them, which takes next to nothing from the
	// commits themselves; no commit waits for a reader of committed WAL. It is
	// what the proposer takes to tell of a commit, when nothing else is to be
	// said.
	gather = 5 * time.Millisecond
)

// A sender is one START_REPLICATION connection.
type sender struct {
	t    *Timeline
	conn *wire.Session
	term core.Term // of a recovery or a copy, else 0
	last core.Term // the last one of a copied log
	pos  core.LSN  // sent so far
	read segmentReader
	old  *archive.Reader // of WAL that is not on the disk any more; nil until there is need
	buf  []byte          // one message's WAL
	// check is of a stream that another safekeeper copies from, which builds
	// on it; nil of others: what they read they decode.
	check *wal.Decoder
	out   []byte

	// Guarded by t.leaf.
	number  int
	name    string // application_name
	sent    core.LSN
	status  wire.Status
	standby consensus.StandbyFeedback
	heard   time.Duration // since the node started
}

// send streams WAL from cmd.Start on until the reader leaves.
func (n *Node) send(ctx context.Context, conn *wire.Session, cmd wire.Command) error {
	t, err := n.timelineOf(conn)
	if err != nil {
		return err
	}
	if cmd.Timeline > pgTimeline {
		return wire.Errorf(wire.CodeInvalid, "requested timeline %d is not in this server's history, which has only timeline %d", cmd.Timeline, pgTimeline)
	}
	if first := t.beginning(); cmd.Start < first {
		return wire.Errorf(wire.CodeMissingFile, "requested WAL at %s has never been here: the timeline's WAL begins with the segment at %s", cmd.Start, first)
	}
	if _, err := t.mayServe(cmd.Term, cmd.LastTerm); err != nil {
		return err
	}
	if err := conn.CopyBoth(); err != nil {
		return err
	}
	s := &sender{t: t, conn: conn, term: cmd.Term, last: cmd.LastTerm, pos: cmd.Start, read: segmentReader{s: &t.segs}, name: conn.Param("application_name")}
	if strings.HasPrefix(s.name, copierPrefix) && cmd.Start.SegmentOffset(t.segs.size) == 0 {
		c := t.control()
		format, err := formatOf(c.Server)
		if err != nil {
			return err
		}
		s.check = wal.NewDecoder(format, max(cmd.Start, c.TimelineStart), 0).Strict()
	}
	defer s.read.close()
	defer s.closeOld()
	s.enlist()
	defer s.delist()

	g := xsync.NewGroup(ctx, n.e)
	g.Go("replies of a WAL reader", func(context.Context) error { return s.listen() })
	err = s.stream(g.Context())
	if errors.Is(err, io.EOF) {
		err = nil // the reader ended the stream
	}
	return s.end(g, err)
}

// end finishes the stream in order if the reader did, as stock does: CopyDone,
// then the tags of the stream and of the command.
func (s *sender) end(g *xsync.Group, err error) error {
	var failed *wire.ConnError
	if err != nil && !errors.As(err, &failed) {
		// The reader gets the reason; its task ends with the connection.
		s.conn.QueueError(err)
		s.conn.Flush()
	}
	if err != nil {
		s.conn.Close()
	}
	if lerr := g.Wait(); err == nil && !errors.Is(lerr, io.EOF) {
		err = lerr
	}
	if err != nil {
		return &wire.ConnError{Err: err}
	}
	if err := s.conn.EndCopy(); err != nil {
		return err
	}
	s.conn.Complete("START_STREAMING")
	s.conn.Complete(wire.CmdStartReplication)
	return nil
}

// stream sends WAL as it becomes servable, and keepalives in between.
func (s *sender) stream(ctx context.Context) error {
	for {
		end, err := s.t.mayServe(s.term, s.last)
		if err != nil {
			return err
		}
		news := s.pos < end
		for s.pos < end {
			if err := s.sendSome(ctx, end); err != nil {
				return err
			}
			if err := xsync.Cause(ctx); err != nil {
				return err
			}
		}
		// A recovery is waited for.
		if news && s.term == 0 {
			if err := s.t.node.e.Clock().Sleep(ctx, gather); err != nil {
				return err
			}
		}
		if err := s.await(ctx, end); err != nil {
			return err
		}
	}
}

// await waits until there may be more than end, sending keepalives.
func (s *sender) await(ctx context.Context, end core.LSN) error {
	// A reader may also ask for WAL that is to come.
	from := max(end, s.pos)
	more := func(p Position) bool {
		return p.Failed || p.Commit > from || s.term > 0 && (p.Flush > from || p.Term != s.term)
	}
	for {
		wait, cancel := xsync.WithTimeout(ctx, s.t.node.e, keepaliveEvery)
		_, err := s.t.pos.Await(wait, more)
		cancel()
		if err == nil {
			return nil
		}
		if err := xsync.Cause(ctx); err != nil {
			return err
		}
		if err := s.checkHeard(); err != nil {
			return err
		}
		if err := s.keepalive(true); err != nil {
			return err
		}
	}
}

// sendSome sends one message. It ends at end, which is a record's, or at a
// page's end, where every record may be cut (walsender.c, XLogSendPhysical).
func (s *sender) sendSome(ctx context.Context, end core.LSN) error {
	if s.buf == nil {
		s.buf = make([]byte, consensus.MaxAppend)
	}
	to := min(end, s.pos+consensus.MaxAppend)
	if to < end {
		to &^= core.WALPageSize - 1
	}
	n, err := s.readWAL(ctx, s.buf[:to-s.pos])
	if err != nil {
		return fmt.Errorf("read WAL at %s: %w", s.pos, err)
	}
	if err := s.look(s.buf[:n]); err != nil {
		return err
	}
	if s.term > 0 {
		// Had the log been cut meanwhile, the bytes could be another term's.
		if now, err := s.t.mayServe(s.term, s.last); err != nil || now < s.pos+core.LSN(n) {
			return errors.Join(err, fmt.Errorf("WAL at %s was cut off while it was read", s.pos))
		}
	}
	head := wire.XLogData{Start: s.pos, End: end, Time: s.t.node.pgNow()}
	s.out = head.AppendHead(s.out[:0])
	s.conn.CopyData(s.out, s.buf[:n])
	if err := s.conn.Flush(); err != nil {
		return &wire.ConnError{Err: err}
	}
	s.pos += core.LSN(n)
	if strings.HasPrefix(s.name, copierPrefix) {
		s.t.holdWAL(s.name, s.pos)
	}
	now := s.t.node.e.Clock().Mono()
	s.t.leaf.Lock()
	s.sent = s.pos
	s.t.readerAt(s.name, s.needs(), now)
	s.t.leaf.Unlock()
	return nil
}

// look checks WAL that another safekeeper is to build on, before it has it.
func (s *sender) look(b []byte) error {
	if s.check == nil || faults.On && faults.Hit(faults.CopyUnchecked) {
		return nil
	}
	if err := feedFrom(s.check, s.t.control().TimelineStart, s.pos, b); err != nil {
		bad := newBadWAL(s.pos+core.LSN(len(b))-1, err)
		s.t.suspect(bad.from)
		s.t.suspect(bad.at)
		return bad
	}
	return nil
}

func (s *sender) keepalive(reply bool) error {
	m := wire.Keepalive{End: s.pos, Time: s.t.node.pgNow(), Reply: reply}
	s.out = m.Append(s.out[:0])
	s.conn.CopyData(s.out, nil)
	if err := s.conn.Flush(); err != nil {
		return &wire.ConnError{Err: err}
	}
	return nil
}

// listen takes what the reader reports until it ends the stream, io.EOF, or
// fails. Either ends the task that sends.
func (s *sender) listen() error {
	for {
		body, err := s.conn.ReadCopy()
		if err != nil {
			return err
		}
		m, err := wire.DecodeReader(body)
		if err != nil {
			return err
		}
		s.take(&m)
	}
}

func (s *sender) take(m *wire.ReaderMessage) {
	now, mono := s.t.node.uptime(), s.t.node.e.Clock().Mono()
	s.t.leaf.Lock()
	s.heard = now
	switch m.Kind {
	case wire.MsgStatus:
		s.status = m.Status
		s.t.readerAt(s.name, s.needs(), mono)
	case wire.MsgStandbyFeedback:
		s.standby = m.Standby
		s.t.sumStandbys()
	}
	s.t.leaf.Unlock()
	if m.Kind == wire.MsgPageserverFeedback {
		s.t.takeFeedback(m.Feedback)
	}
}

func (s *sender) checkHeard() error {
	now := s.t.node.uptime()
	s.t.leaf.Lock()
	silent := now - s.heard
	s.t.leaf.Unlock()
	if silent > readerTimeout {
		return &wire.ConnError{Err: fmt.Errorf("reader of WAL %s said nothing for %s", s.name, silent)}
	}
	return nil
}

func (s *sender) enlist() {
	now := s.t.node.uptime()
	s.t.leaf.Lock()
	defer s.t.leaf.Unlock()
	s.t.nextSender++
	s.number, s.heard, s.sent = s.t.nextSender, now, s.pos
	s.t.status.senders[s.number] = s
}

func (s *sender) delist() {
	s.t.leaf.Lock()
	defer s.t.leaf.Unlock()
	delete(s.t.status.senders, s.number)
	s.t.sumStandbys()
}

// sumStandbys sums up what all readers still need, for every answer to a
// proposer: the oldest transactions, at the latest report. The caller holds
// leaf.
func (t *Timeline) sumStandbys() {
	oldest := func(a, b uint64) uint64 {
		if a == 0 || b != 0 && b < a {
			return b
		}
		return a
	}
	var f consensus.StandbyFeedback
	for _, n := range slices.Sorted(maps.Keys(t.status.senders)) {
		s := t.status.senders[n].standby
		f.Time = max(f.Time, s.Time)
		f.Xmin, f.CatalogXmin = oldest(f.Xmin, s.Xmin), oldest(f.CatalogXmin, s.CatalogXmin)
	}
	t.feedback.standby = f
}
