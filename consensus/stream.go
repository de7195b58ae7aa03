package consensus

import (
	"fmt"
	"math"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
)

// A MessageKind says which part of a [Message] is to be sent.
type MessageKind uint8

// The messages of a proposer.
const (
	MsgGreeting MessageKind = iota + 1
	MsgVote
	MsgElected
	MsgAppend
)

// A Message is what to send to one safekeeper. It is reused: one append costs
// no allocation.
type Message struct {
	Kind     MessageKind
	Greeting ProposerGreeting
	Vote     VoteRequest
	Elected  ProposerElected
	Append   AppendRequest // without WAL: the driver has the bytes [Begin, End)
}

// Offer takes note of WAL up to end, which the driver holds. end is the end of
// a record. Records longer than one append are cut; none is offered in part, so
// that whatever a safekeeper has is followed by the rest.
func (p *Proposer) Offer(end core.LSN) {
	if p.phase != Leading || end < p.available { // guarded: arguments of Must are allocated
		core.Must(false, "WAL offered up to %s after %s while %s", end, p.available, p.phase)
	}
	p.available = end
}

// Forget says that the driver no longer holds WAL below lsn. It may forget only
// what is committed: the rest might exist nowhere else.
func (p *Proposer) Forget(lsn core.LSN) {
	if lsn > max(p.commit, p.start) {
		core.Must(false, "WAL up to %s forgotten, committed is %s", lsn, p.commit)
	}
	p.local = max(p.local, lsn)
}

// Next fills m with the next message for safekeeper i, if one is due. The
// driver sends messages of one connection in the order they were given. An
// append does not cross a multiple of MaxAppend, so that a driver which keeps
// WAL in blocks of that size, or a multiple, has each in one piece.
func (p *Proposer) Next(i int, now env.Instant, m *Message) bool {
	pe := &p.peers[i]
	if p.end != nil {
		return false
	}
	if pe.owed {
		pe.owed = false
		p.opening(pe, m)
		return true
	}
	if pe.state != Active {
		return false
	}
	end := pe.sent
	if pe.sent >= p.local {
		end = min(p.available, (pe.sent/MaxAppend+1)*MaxAppend)
	}
	if end == pe.sent && now < pe.quietUntil(p) {
		return false
	}
	p.fill(pe, pe.sent, end, now, m)
	return true
}

// Owes tells whether Next would give a message.
func (p *Proposer) Owes(i int, now env.Instant) bool {
	pe := &p.peers[i]
	if p.end != nil {
		return false
	}
	return pe.owed || pe.state == Active &&
		(pe.sent >= p.local && p.available > pe.sent || now >= pe.quietUntil(p))
}

// opening is the message that the peer's state begins with.
func (p *Proposer) opening(pe *peer, m *Message) {
	gen := p.cfg.Config.Generation
	switch pe.state {
	case Handshake:
		m.Kind = MsgGreeting
		m.Greeting = ProposerGreeting{TTID: p.cfg.TTID, Config: p.cfg.Config, Server: p.cfg.Server}
	case WaitVerdict:
		m.Kind = MsgVote
		m.Vote = VoteRequest{Generation: gen, Term: p.term}
	case Active:
		m.Kind = MsgElected
		m.Elected = ProposerElected{Generation: gen, Term: p.term, Start: pe.sent, History: p.history}
	default:
		core.Must(false, "nothing is owed to safekeeper %d while %s", pe.member.ID, pe.state)
	}
}

// quietUntil is when an active peer is to hear of us though there is no WAL for
// it: at once after elected (which has no answer) and of the first commit,
// which a starting compute waits for everywhere.
func (pe *peer) quietUntil(p *Proposer) env.Instant {
	if pe.fresh || pe.sentCommit == 0 && p.commit > 0 {
		return pe.staleAt
	}
	at := pe.sentAt.Add(Heartbeat)
	if pe.sentCommit < p.commit {
		at = min(at, pe.staleAt.Add(notice))
	}
	return at
}

func (p *Proposer) fill(pe *peer, begin, end core.LSN, now env.Instant, m *Message) {
	m.Kind = MsgAppend
	m.Append = AppendRequest{
		Generation: p.cfg.Config.Generation, Term: p.term,
		Begin: begin, End: end, Commit: p.commit, Truncate: p.truncate,
	}
	pe.sent, pe.sentCommit, pe.sentAt, pe.fresh = end, p.commit, now, false
}

// A Gap is WAL that a safekeeper lacks and the driver no longer holds.
type Gap struct {
	Begin, End core.LSN
	Donor      Member    // has it durably
	Term       core.Term // to be named when reading from the donor
}

// Gap tells what safekeeper i lacks, if another one can give it. The driver
// reads some of it and calls [Proposer.Fill].
func (p *Proposer) Gap(i int) (Gap, bool) {
	pe := &p.peers[i]
	if p.end != nil || pe.owed || !p.Lacks(i) {
		return Gap{}, false
	}
	return p.Source(pe.sent, i)
}

// Lacks tells whether safekeeper i needs WAL that the driver no longer holds.
func (p *Proposer) Lacks(i int) bool {
	return p.peers[i].state == Active && p.peers[i].sent < p.local
}

// Source tells which safekeeper other than number except (-1 for none) can give
// WAL from begin on: the one that acknowledged most of it in the own term, so
// that its log is the one of this term.
func (p *Proposer) Source(begin core.LSN, except int) (Gap, bool) {
	best := -1
	for j := range p.peers {
		pe := &p.peers[j]
		if j == except || pe.state != Active || pe.flush <= begin || pe.flush < p.start {
			continue
		}
		if best < 0 || pe.flush > p.peers[best].flush {
			best = j
		}
	}
	if best < 0 {
		return Gap{}, false
	}
	return Gap{Begin: begin, End: min(p.local, p.peers[best].flush), Donor: p.peers[best].member, Term: p.term}, true
}

// Fill fills m with an append of WAL [begin, end), at most MaxAppend bytes, that
// was read from a donor. It is false if connection conn does not wait for it.
func (p *Proposer) Fill(i int, conn uint64, begin, end core.LSN, now env.Instant, m *Message) bool {
	pe := &p.peers[i]
	if p.end != nil || pe.conn != conn || pe.state != Active || pe.owed || pe.sent != begin ||
		end > p.available || end-begin > MaxAppend {
		return false
	}
	p.fill(pe, begin, end, now, m)
	return true
}

// Response takes an append response. The commit LSN may have moved after it.
func (p *Proposer) Response(i int, conn uint64, m *AppendResponse, now env.Instant) error {
	pe := p.heard(i, conn, now)
	if pe == nil {
		return nil
	}
	switch {
	case m.Term > p.term:
		p.lose(m.Term, pe)
		return nil
	case m.Generation > p.cfg.Config.Generation:
		// A new connection brings the configuration with its greeting.
		pe.retry = firstRetry
		return fmt.Errorf("safekeeper %d went from generation %d to %d: %w", pe.member.ID, p.cfg.Config.Generation, m.Generation, ErrGeneration)
	case pe.state != Active || m.Term < p.term || m.Generation < p.cfg.Config.Generation:
		return fmt.Errorf("%w: append response of generation %d, term %d from safekeeper %d, which is %s in term %d",
			ErrProtocol, m.Generation, m.Term, pe.member.ID, pe.state, p.term)
	case m.Flush > p.available:
		return fmt.Errorf("%w: safekeeper %d flushed %s, offered is %s", ErrProtocol, pe.member.ID, m.Flush, p.available)
	case m.Flush < pe.flush:
		was := pe.flush
		pe.flush = 0 // it does not count until it tells the truth again
		return fmt.Errorf("%w: safekeeper %d had flushed %s and now has %s", ErrProtocol, pe.member.ID, was, m.Flush)
	}
	pe.flush = m.Flush
	pe.retry = firstRetry // not before: a safekeeper that refuses all WAL is not to be asked 20 times a second
	pe.last.Commit = m.Commit
	if m.HasFeedback {
		pe.last.Feedback = m.Feedback
	}
	p.advance(now)
	p.trySync()
	return nil
}

// advance computes the commit LSN. Only what is flushed in the own term counts:
// a copy of an older term's WAL on a majority can still lose against a log
// with a later last term.
func (p *Proposer) advance(now env.Instant) {
	lsn := p.cfg.Config.committed(func(id core.NodeID) core.LSN {
		flush := p.byID(id).flush
		if flush < p.start && !(faults.On && faults.Hit(faults.CommitOldTerm)) {
			return 0
		}
		return flush
	})
	if lsn > p.commit || faults.On && faults.Hit(faults.CommitFalls) && lsn != 0 {
		for i := range p.peers {
			if pe := &p.peers[i]; pe.sentCommit == p.commit {
				pe.staleAt = now
			}
		}
		p.commit = lsn
	}
	all := core.LSN(math.MaxUint64)
	for i := range p.peers {
		all = min(all, p.peers[i].flush)
	}
	p.truncate = max(p.truncate, min(p.commit, all))
}

// RetryAt is when safekeeper i is to be dialled, if it is offline.
func (p *Proposer) RetryAt(i int) env.Instant { return p.peers[i].due }

// Wake is when the next thing but a dial becomes due without any input; the
// driver then asks Silent and Next of every safekeeper.
func (p *Proposer) Wake() env.Instant {
	at := env.Instant(math.MaxInt64)
	if p.end != nil {
		return at
	}
	for i := range p.peers {
		pe := &p.peers[i]
		if pe.mustAnswer() {
			at = min(at, pe.heardAt.Add(Silence))
		}
		if pe.state == Active {
			at = min(at, pe.quietUntil(p))
		}
	}
	return at
}

// A PeerStatus is what is known of one safekeeper.
type PeerStatus struct {
	Member Member
	State  PeerState
	Sent   core.LSN // end of the WAL sent on the present connection
	Flush  core.LSN // acknowledged in the own term; 0 if nothing is
	AppendKnown
	Heard env.Instant // when it last spoke
}

// Peer tells what is known of safekeeper i.
func (p *Proposer) Peer(i int) PeerStatus {
	pe := &p.peers[i]
	return PeerStatus{pe.member, pe.state, pe.sent, pe.flush, pe.last, pe.heardAt}
}

// Backlog is how many bytes of WAL offered safekeeper i has not acknowledged; 0
// while none is streamed to it.
func (p *Proposer) Backlog(i int) int64 {
	pe := &p.peers[i]
	if pe.state != Active {
		return 0
	}
	return int64(p.available) - int64(max(pe.flush, min(p.start, pe.sent)))
}

// AvailableLSN is the end of the WAL offered.
func (p *Proposer) AvailableLSN() core.LSN { return p.available }

// LocalLSN is where the WAL begins that the driver still holds.
func (p *Proposer) LocalLSN() core.LSN { return p.local }

// TruncateLSN is the horizon: every safekeeper has flushed up to it.
func (p *Proposer) TruncateLSN() core.LSN { return p.truncate }

// History is that of the log of the own term, once leading.
func (p *Proposer) History() History { return p.history }
