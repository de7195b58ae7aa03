package safekeeper

import (
	"context"
	"errors"
	"fmt"

	"xenon/consensus"
	"xenon/core"
	"xenon/core/wire"
)

// errAttended ends a copy: a proposer has come, and sends what is missing.
var errAttended = errors.New("a proposer is connected")

// attended tells whether a proposer is connected.
func (t *Timeline) attended() bool {
	t.leaf.Lock()
	defer t.leaf.Unlock()
	return t.status.receivers > 0
}

// copyFrom makes the log level with that of a peer by doing what the proposer
// of the peer's term would do if it were there: a vote, the common point, an
// elected message, appends. Nothing is committed by it. Every read is bound to
// the term, so that the peer's log is that proposer's to the last byte.
func (t *Timeline) copyFrom(ctx context.Context, donor consensus.PeerReport) error {
	from, err := t.member(donor)
	if err != nil {
		return err
	}
	// What came of asking may be old, and the history was left out.
	s, err := t.askHistory(ctx, from)
	if err != nil {
		return err
	}
	r, history := s.report(from.ID), s.Acceptor.history()
	if !r.Led() || r.Term != donor.Term || r.Config.Generation != donor.Config.Generation {
		return nil // it goes on with somebody else meanwhile
	}
	if err := t.bring(ctx); err != nil {
		return err
	}
	sess := consensus.Session{Copy: true}
	greeting := consensus.ProposerGreeting{TTID: t.id, Config: r.Config, Server: t.control().Server}
	if _, err := t.greet(&sess, greeting); err != nil {
		return err
	}
	vote, err := t.vote(&sess, consensus.VoteRequest{Generation: r.Config.Generation, Term: r.Term})
	if err != nil || vote.Term > r.Term {
		return err
	}
	start, err := consensus.Diverge(history, vote.History, vote.Flush)
	if err != nil || start >= r.Flush {
		return err
	}
	src, err := wire.OpenWALStream(ctx, t.node.e, from, wire.ClientConfig{
		ApplicationName: fmt.Sprintf("safekeeper_%d", t.node.cfg.NodeID), TTID: t.id, Timeout: peerPatience,
	}, start, r.Term)
	if err != nil {
		return err
	}
	defer src.Close()
	if t.attended() {
		return nil
	}
	err = t.elect(&sess, consensus.ProposerElected{Generation: r.Config.Generation, Term: r.Term, Start: start, History: history})
	if err != nil {
		return err
	}
	err = t.appendFrom(ctx, &sess, src, r, start)
	if errors.Is(err, errAttended) {
		return nil
	}
	return err
}

// member is where a peer listens, as the own configuration says.
func (t *Timeline) member(r consensus.PeerReport) (consensus.Member, error) {
	for _, m := range t.control().Config.Union() {
		if m.ID == r.Node {
			return m, nil
		}
	}
	return consensus.Member{}, fmt.Errorf("safekeeper %d is no member any more: %w", r.Node, consensus.ErrGeneration)
}

// appendFrom appends what src gives, from at up to where the peer was, and
// makes it durable.
func (t *Timeline) appendFrom(ctx context.Context, sess *consensus.Session, src *wire.WALStream, r consensus.PeerReport, at core.LSN) error {
	m := consensus.AppendRequest{Generation: r.Config.Generation, Term: r.Term}
	unless := func() error {
		if t.attended() {
			return errAttended
		}
		return nil
	}
	for pending := 0; at < r.Flush; {
		wal, err := src.Next()
		if err == nil {
			err = unless()
		}
		if err != nil {
			return err
		}
		m.Begin, m.End, m.WAL = at, at+core.LSN(len(wal)), wal
		if refuse, err := t.append(ctx, sess, &m, unless); refuse || err != nil {
			return err // refused: a newer term is here
		}
		at, pending = m.End, pending+len(wal)
		if at >= r.Flush || pending >= groupBytes {
			done, err := t.flush()
			if err != nil {
				return err
			}
			pending = 0
			t.node.e.Trace().Note("safekeeper.copied", t.id.Timeline.Tag(), uint64(done.Term), uint64(done.Flush), uint64(done.Commit))
		}
	}
	return nil
}

// history is the term history that a status tells.
func (s acceptorState) history() (h consensus.History) {
	for _, x := range s.History {
		h = append(h, consensus.TermSwitch(x))
	}
	return h
}
