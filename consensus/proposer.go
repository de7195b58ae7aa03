package consensus

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
)

const (
	// Heartbeat is how long an active safekeeper hears nothing at most. It
	// bounds how long an idle proposer does not know that it was superseded.
	Heartbeat = 250 * time.Millisecond
	// notice is how long a commit LSN waits for WAL to travel with before it is
	// sent alone.
	notice = 5 * time.Millisecond
	// Silence is how long a safekeeper that owes an answer may be silent
	// before its connection is dropped; a connection being made, too.
	Silence = 5 * time.Second
	// A lost connection is made again after firstRetry, then after twice as
	// long each time, up to lastRetry (neon.safekeeper_reconnect_timeout).
	firstRetry = 50 * time.Millisecond
	lastRetry  = time.Second
)

// A ProposerConfig is what a proposer is started with.
type ProposerConfig struct {
	TTID   core.TTID
	Config Configuration
	Server Server
	Above  core.Term // campaign in a term above it: the one that outvoted the last try
	// Sync makes a proposer that writes nothing: once the log is level it ends,
	// as [Synced].
	Sync bool
}

// A Phase is how far a proposer has come. It never goes back: a proposer that
// loses is replaced by a new one.
type Phase uint8

// The phases of a proposer.
const (
	Collecting  Phase = iota // asks for the terms of a majority
	Campaigning              // asks for votes
	Leading                  // streams WAL
)

func (ph Phase) String() string { return [...]string{"collecting", "campaigning", "leading"}[ph] }

// A PeerState is how far the connection to one safekeeper has come.
type PeerState uint8

// The states of a safekeeper as the proposer sees it.
const (
	Offline     PeerState = iota
	Connecting            // the driver is dialling
	Handshake             // our greeting waits for its answer
	WaitVoting            // greeted; no campaign yet
	WaitVerdict           // our vote request waits for its answer
	WaitElected           // answered; nobody is elected yet
	Active                // elected told; WAL streams
)

func (s PeerState) String() string {
	return [...]string{"offline", "connecting", "handshake", "wait-voting", "wait-verdict", "wait-elected", "active"}[s]
}

// An EndKind says why a proposer ended.
type EndKind uint8

// The ends of a proposer.
const (
	Outvoted     EndKind = iota // not elected; another try in a higher term may be
	Superseded                  // was elected; a higher term exists: write nothing more
	Reconfigured                // the safekeepers have a newer configuration
	Synced                      // was to make the log level, and has
	Stranded                    // was elected by a log that cannot be had any more; another try may be
)

// An End is why a proposer ended. It has done nothing since and never will.
type End struct {
	Kind   EndKind
	Own    core.Term     // its own term
	Term   core.Term     // the higher term it saw
	Node   core.NodeID   // the safekeeper that told it
	Config Configuration // Reconfigured: the newer one
}

func (e *End) Error() string {
	switch e.Kind {
	case Outvoted:
		return fmt.Sprintf("proposer of term %d outvoted: safekeeper %d is in term %d", e.Own, e.Node, e.Term)
	case Superseded:
		return fmt.Sprintf("proposer of term %d superseded: safekeeper %d is in term %d", e.Own, e.Node, e.Term)
	case Stranded:
		return fmt.Sprintf("proposer of term %d has a log that no safekeeper gives: those that have it are gone", e.Own)
	case Synced:
		return fmt.Sprintf("proposer of term %d has made the log level", e.Own)
	}
	return fmt.Sprintf("proposer of term %d ended: there is %s", e.Own, e.Config)
}

// ErrProtocol reports an acceptor that says what it may not. The connection is
// to be dropped.
var ErrProtocol = errors.New("safekeeper breaks the protocol")

// A Proposer is one campaign for the leadership of a timeline and, if it
// succeeds, the leadership. Safekeepers are numbered by their place in
// [Proposer.Members]. Its driver serialises all calls, asks [Proposer.Next]
// what to send after every input, and stops once [Proposer.Ended].
type Proposer struct {
	cfg   ProposerConfig
	phase Phase
	term  core.Term
	peers []peer
	end   *End

	won       env.Instant // when it was elected
	history   History
	start     core.LSN // where the own term begins
	available core.LSN // end of the WAL offered
	local     core.LSN // the driver still has WAL from here on
	commit    core.LSN
	truncate  core.LSN
}

type peer struct {
	member Member
	state  PeerState
	owed   bool   // the message that state begins with is still to be sent
	fresh  bool   // no append was sent on this connection yet
	conn   uint64 // number of the latest connection
	retry  time.Duration
	// due is when an offline peer is dialled again.
	due, sentAt, heardAt, staleAt env.Instant

	voted bool // granted its vote to this campaign, on whatever connection
	vote  VoteResponse

	sent       core.LSN    // end of the WAL sent on this connection
	sentCommit core.LSN    // the commit LSN last sent on it
	flush      core.LSN    // acknowledged in our term, on whatever connection
	last       AppendKnown // the last response
}

// AppendKnown is what the last response of a safekeeper told beyond its flush
// LSN.
type AppendKnown struct {
	Commit   core.LSN
	Feedback PageserverFeedback // the last that came, zero if none did
}

// NewProposer starts a campaign. Nothing happens before [Proposer.Dial].
func NewProposer(cfg ProposerConfig) (*Proposer, error) {
	if err := cfg.Config.Check(); err != nil {
		return nil, err
	}
	p := &Proposer{cfg: cfg, term: cfg.Above}
	for _, m := range cfg.Config.Union() {
		p.peers = append(p.peers, peer{member: m, retry: firstRetry})
	}
	return p, nil
}

// Members are the safekeepers of the configuration, of both its sets.
func (p *Proposer) Members() []Member { return p.cfg.Config.Union() }

// Phase tells how far the proposer has come.
func (p *Proposer) Phase() Phase { return p.phase }

// Ended is why the proposer ended, nil while it has not.
func (p *Proposer) Ended() *End { return p.end }

// Term is the own term, once campaigning.
func (p *Proposer) Term() core.Term { return p.term }

// StartLSN is where the own term begins, once leading: the end of all WAL that
// can have been committed before.
func (p *Proposer) StartLSN() core.LSN { return p.start }

// CommitLSN is the end of the WAL that is committed for ever; 0 before the
// first majority has flushed up to [Proposer.StartLSN] in the own term.
func (p *Proposer) CommitLSN() core.LSN { return p.commit }

// Dial tells whether the driver is to connect to safekeeper i now.
func (p *Proposer) Dial(i int, now env.Instant) bool {
	pe := &p.peers[i]
	if p.end != nil || pe.state != Offline || now < pe.due {
		return false
	}
	pe.state, pe.heardAt = Connecting, now
	pe.conn++
	return true
}

// Connected takes the connection that Dial asked for, and returns the number
// it goes by from now on.
func (p *Proposer) Connected(i int, now env.Instant) (conn uint64) {
	pe := &p.peers[i]
	core.Must(pe.state == Connecting, "safekeeper %d connected while %s", pe.member.ID, pe.state)
	pe.state, pe.owed, pe.heardAt = Handshake, true, now
	return pe.conn
}

// Lost takes the end of a connection, or of an attempt at one (conn is 0). What
// the safekeeper promised and flushed stays known.
func (p *Proposer) Lost(i int, conn uint64, now env.Instant) {
	pe := &p.peers[i]
	if conn != pe.conn && conn != 0 || pe.state == Offline {
		return
	}
	pe.state, pe.owed = Offline, false
	pe.due = now.Add(pe.retry)
	pe.retry = min(2*pe.retry, lastRetry)
	p.trySync()
}

// Silent tells whether safekeeper i owes an answer for so long that its
// connection is to be dropped.
func (p *Proposer) Silent(i int, now env.Instant) bool {
	pe := &p.peers[i]
	return pe.mustAnswer() && now.Sub(pe.heardAt) >= Silence
}

// mustAnswer: in the other states nobody waits for the safekeeper.
func (pe *peer) mustAnswer() bool {
	return pe.state == Handshake || pe.state == WaitVerdict || pe.state == Active
}

// heard finds the peer that a message came from, nil if the connection is not
// its latest: what an old one still carries says nothing of the new one.
func (p *Proposer) heard(i int, conn uint64, now env.Instant) *peer {
	pe := &p.peers[i]
	if p.end != nil || conn != pe.conn && !(faults.On && faults.Hit(faults.OldConnCounts)) {
		return nil
	}
	if pe.state == Offline || pe.state == Connecting {
		return nil
	}
	pe.heardAt = now
	return pe
}

func (p *Proposer) stop(kind EndKind, term core.Term, pe *peer) {
	p.end = &End{Kind: kind, Own: p.term, Term: term, Node: pe.member.ID}
}

// lose ends the proposer because pe is in a higher term.
func (p *Proposer) lose(term core.Term, pe *peer) {
	kind := Outvoted
	if p.phase == Leading {
		kind = Superseded
	}
	p.stop(kind, term, pe)
}

// Greeting takes an acceptor's greeting.
func (p *Proposer) Greeting(i int, conn uint64, m AcceptorGreeting, now env.Instant) error {
	pe := p.heard(i, conn, now)
	if pe == nil {
		return nil
	}
	own := p.cfg.Config
	switch {
	case pe.state != Handshake || pe.owed:
		return fmt.Errorf("%w: greeting from safekeeper %d while %s", ErrProtocol, pe.member.ID, pe.state)
	case m.Node != pe.member.ID:
		return fmt.Errorf("%w: safekeeper %d answers at the address of safekeeper %d", ErrProtocol, m.Node, pe.member.ID)
	case m.Config.Generation > own.Generation:
		if err := m.Config.Check(); err != nil {
			return fmt.Errorf("%w: safekeeper %d: %w", ErrProtocol, pe.member.ID, err)
		}
		p.stop(Reconfigured, m.Term, pe)
		p.end.Config = m.Config
		return nil
	case !m.Config.Same(own):
		return fmt.Errorf("%w: safekeeper %d has %s, the proposer %s", ErrProtocol, m.Node, m.Config, own)
	case m.Term > p.term && p.phase != Collecting:
		p.lose(m.Term, pe)
		return nil
	}
	if p.phase != Collecting {
		p.askVote(pe, now)
		return nil
	}
	p.term = max(p.term, m.Term)
	pe.state = WaitVoting
	p.tryCampaign(now)
	return nil
}

// tryCampaign begins the campaign once a majority has told its term: a term
// above all of them can be granted by a majority.
func (p *Proposer) tryCampaign(now env.Instant) {
	if !p.cfg.Config.quorum(func(id core.NodeID) bool { return p.byID(id).state == WaitVoting }) {
		return
	}
	p.phase = Campaigning
	p.term++
	for i := range p.peers {
		if p.peers[i].state == WaitVoting {
			p.askVote(&p.peers[i], now)
		}
	}
}

func (p *Proposer) askVote(pe *peer, now env.Instant) {
	pe.state, pe.owed, pe.heardAt = WaitVerdict, true, now
}

func (p *Proposer) byID(id core.NodeID) *peer {
	i := slices.IndexFunc(p.peers, func(pe peer) bool { return pe.member.ID == id })
	return &p.peers[i]
}

// Verdict takes the answer to a vote request.
func (p *Proposer) Verdict(i int, conn uint64, m VoteResponse, now env.Instant) error {
	pe := p.heard(i, conn, now)
	if pe == nil {
		return nil
	}
	if err := p.checkVerdict(pe, m); err != nil {
		return err
	}
	oldVote := faults.On && faults.Hit(faults.OldVotesCount)
	switch {
	case m.Term > p.term && !oldVote:
		p.lose(m.Term, pe)
		return nil
	case m.Term < p.term && !oldVote:
		return fmt.Errorf("%w: safekeeper %d answers in term %d to a vote request of term %d",
			ErrProtocol, pe.member.ID, m.Term, p.term)
	case !m.Granted && !pe.voted && p.phase == Campaigning && !oldVote:
		// The term is taken, by another proposer or by a vote whose answer was
		// lost; which of the two cannot be told.
		p.lose(m.Term, pe)
		return nil
	}
	pe.voted = pe.voted || m.Granted || oldVote
	pe.vote, pe.state = m, WaitElected
	if p.phase == Leading {
		return p.lead(pe, now)
	}
	return p.tryElect(now)
}

func (p *Proposer) checkVerdict(pe *peer, m VoteResponse) error {
	id := pe.member.ID
	switch {
	case pe.state != WaitVerdict || pe.owed:
		return fmt.Errorf("%w: vote from safekeeper %d while %s", ErrProtocol, id, pe.state)
	case m.Generation != p.cfg.Config.Generation:
		return fmt.Errorf("%w: vote of generation %d from safekeeper %d, want %d", ErrProtocol, m.Generation, id, p.cfg.Config.Generation)
	case m.Flush == 0:
		return fmt.Errorf("%w: safekeeper %d does not know where the timeline begins", ErrProtocol, id)
	}
	if err := m.History.Check(); err != nil {
		return fmt.Errorf("%w: safekeeper %d: %w", ErrProtocol, id, err)
	}
	if n := len(m.History); n > 0 && m.History[n-1].LSN > m.Flush {
		return fmt.Errorf("%w: safekeeper %d has history %s above its flush LSN %s", ErrProtocol, id, m.History, m.Flush)
	}
	return nil
}

// tryElect takes over once a majority has voted: its most advanced log holds
// everything that was ever committed, and becomes the log of the new term.
func (p *Proposer) tryElect(now env.Instant) error {
	if p.phase != Campaigning || !p.cfg.Config.quorum(func(id core.NodeID) bool { return p.byID(id).voted }) {
		return nil
	}
	donor := p.donor()
	p.phase, p.won = Leading, now
	p.start, p.available, p.local = donor.Flush, donor.Flush, donor.Flush
	p.history = donor.History.With(TermSwitch{p.term, p.start})
	for i := range p.peers {
		if p.peers[i].voted {
			p.truncate = max(p.truncate, min(p.peers[i].vote.Truncate, p.start))
		}
	}
	var errs error
	for i := range p.peers {
		if pe := &p.peers[i]; pe.state == WaitElected {
			errs = errors.Join(errs, p.lead(pe, now))
		}
	}
	return errs
}

// donor is the voter whose log is most advanced. Of equal ones any will do.
func (p *Proposer) donor() VoteResponse {
	var best *VoteResponse
	for i := range p.peers {
		v := &p.peers[i].vote
		if !p.peers[i].voted {
			continue
		}
		if best == nil || best.Position().Less(v.Position()) && !(faults.On && faults.Hit(faults.DonorAny)) {
			best = v
		}
	}
	return *best
}

// lead makes a peer whose log we know active.
func (p *Proposer) lead(pe *peer, now env.Instant) error {
	start, err := Diverge(p.history, pe.vote.History, pe.vote.Flush)
	if err != nil {
		return fmt.Errorf("safekeeper %d: %w", pe.member.ID, err)
	}
	if start > p.available {
		return fmt.Errorf("%w: safekeeper %d has term %d up to %s, offered was %s", ErrProtocol, pe.member.ID, p.term, start, p.available)
	}
	pe.state, pe.owed = Active, true
	if !(faults.On && faults.Hit(faults.OldAckCounts)) {
		pe.flush = min(pe.flush, pe.vote.Flush) // it may have lost some since, and says so
	}
	pe.sent, pe.sentCommit, pe.fresh = start, 0, true
	pe.heardAt, pe.staleAt = now, now
	return nil
}
