package consensus

import (
	"errors"
	"fmt"

	"xenon/core"
	"xenon/core/faults"
)

// Errors of an acceptor's steps. All of them end the connection that sent the
// message, and nothing else; the step has changed nothing.
var (
	// ErrForeign reports a proposer of another timeline, system or
	// configuration. It will not be let in by trying again.
	ErrForeign = errors.New("not this timeline's proposer")
	// ErrGeneration reports a message of another membership configuration.
	ErrGeneration = errors.New("another membership configuration")
	// ErrOrder reports a message that may not follow what this connection and
	// the log have seen: a new connection mends it.
	ErrOrder = errors.New("out of order")
)

// A Control is the part of a timeline's control file that consensus needs.
type Control struct {
	Config Configuration
	Server Server
	Term   core.Term // the highest promised to; never falls
	// History of the log, entries above the flush LSN included.
	History History
	// TimelineStart is where the timeline begins; no WAL exists below it here
	// or anywhere (a branch reads its ancestor's).
	TimelineStart core.LSN
	// LocalStart is where this node's WAL begins: a segment's start, once WAL was
	// removed.
	LocalStart core.LSN
	// The rest may lag behind what the acceptor knows in memory.
	Commit           core.LSN
	Horizon          core.LSN // below it no member lacks WAL
	RemoteConsistent core.LSN
	Backup           core.LSN // WAL below is in the object store, in whole segments
	// Lost is the term promised to when the end of the log was lost, 0 if
	// nothing is missing. See [Acceptor.Wounded].
	Lost core.Term
}

// An Output is what the caller owes after a step, to be done in the order of
// its fields and before the reply the step returned is sent. Nothing else may
// happen to the acceptor meanwhile. A caller that cannot do all of it must drop
// the acceptor and load it anew from the disk, because memory has gone ahead:
// it is the poisoned timeline of a failed fsync.
type Output struct {
	// Sync asks to make all WAL written so far durable.
	Sync bool
	// Promise is to be written to the control file, nil for nothing.
	Promise *Control
	// Truncate asks to drop all WAL from Start on, and then to call
	// [Acceptor.Truncated].
	Truncate bool
	Start    core.LSN
	// Adopt is to be written to the control file after the truncation: a
	// history that a log was not yet cut for would vouch for a divergent tail.
	Adopt *Control
}

// An AppendOutput is what the caller owes after an append, in this order.
type AppendOutput struct {
	// Write tells to write the request's WAL at its Begin; it need not be
	// durable before [Acceptor.Flushed] is told so.
	Write bool
	// Control is to be written to the control file, nil for nothing.
	Control *Control
	// Refuse tells to send [Acceptor.Refusal] at once. Otherwise it is owed
	// after the next flush, one for all appends before it.
	Refuse bool
}

// A Session is what an acceptor remembers of one connection. The zero Session
// is a new connection.
type Session struct {
	greeted bool
	elected core.Term // the term whose elected message came this way
	// Copy is a node that copies from a peer as a proposer would send.
	Copy bool
}

// A FlushMark says how far WAL had been written when a flush began.
type FlushMark struct {
	epoch         uint64
	Bytes, Record core.LSN // ends of the bytes and of the last whole record
}

// An Acceptor is one safekeeper's part in one timeline. Steps of all
// connections are serialised by the caller.
type Acceptor struct {
	node    core.NodeID
	ttid    core.TTID
	control Control // as last given out to be written

	commit, horizon, remote core.LSN // what the control file may lag behind
	backup                  core.LSN // as well
	learned                 core.LSN // highest commit LSN heard of, maybe above flush

	written, flushed FlushMark
	pending          bool   // the log may hold a tail that must be cut off first
	epoch            uint64 // counts truncations

	treated core.Term // of a wounded one, see Treated
	proven  core.Term // the highest that a peer's log is of
}

// NewAcceptor starts from what a node found on its disk. flush is the end of
// the last whole record of the durable WAL, or below TimelineStart if there is
// none. Committed WAL that is missing is an error: such a node must not vote.
func NewAcceptor(node core.NodeID, ttid core.TTID, c Control, flush core.LSN) (*Acceptor, error) {
	if err := errors.Join(c.Config.Check(), c.History.Check()); err != nil {
		return nil, fmt.Errorf("timeline %s: %w", ttid, err)
	}
	flush = max(flush, c.TimelineStart)
	if flush < c.Commit && faults.On && faults.Hit(faults.LossUnseen) {
		c.Commit = flush
	}
	if flush < c.Commit {
		return nil, fmt.Errorf("timeline %s: WAL ends at %s but %s is committed: %w; "+
			"replace this safekeeper by an empty one", ttid, flush, c.Commit, errLost)
	}
	end := FlushMark{Bytes: flush, Record: flush}
	return &Acceptor{
		node: node, ttid: ttid, control: c,
		commit: c.Commit, horizon: c.Horizon, remote: c.RemoteConsistent, backup: max(c.Backup, c.TimelineStart), learned: c.Commit,
		written: end, flushed: end, pending: !(faults.On && faults.Hit(faults.RestartClean)),
	}, nil
}

var errLost = errors.New("committed WAL is lost")

// Term is the highest term promised to.
func (a *Acceptor) Term() core.Term { return a.control.Term }

// Generation is that of the membership configuration.
func (a *Acceptor) Generation() core.Generation { return a.control.Config.Generation }

// FlushLSN is the end of the last whole record that is durable.
func (a *Acceptor) FlushLSN() core.LSN {
	if faults.On && faults.Hit(faults.AckBeforeFsync) {
		return a.written.Record
	}
	if faults.On && faults.Hit(faults.FlushAtAnyByte) {
		return a.flushed.Bytes
	}
	return a.flushed.Record
}

// WriteLSN is the end of the bytes written, at any byte.
func (a *Acceptor) WriteLSN() core.LSN { return a.written.Bytes }

// CommitLSN is the highest LSN known to be committed and present here.
func (a *Acceptor) CommitLSN() core.LSN { return a.commit }

// History is the effective one: up to the flush LSN.
func (a *Acceptor) History() History { return a.control.History.UpTo(a.FlushLSN()) }

// Pending tells whether a truncation is still owed; no WAL may be written.
func (a *Acceptor) Pending() bool { return a.pending }

// Control is what the control file should hold now, lagging LSNs included. It
// is to be written under the same lock as steps, so that an older one never
// replaces a newer.
func (a *Acceptor) Control() Control {
	c := a.control
	c.Commit, c.Horizon, c.RemoteConsistent, c.Backup = a.commit, a.horizon, a.remote, a.backup
	return c
}

// Saved tells that c, as [Acceptor.Control] gave it, is durable.
func (a *Acceptor) Saved(c Control) {
	core.Must(c.Term == a.control.Term, "control file of term %d saved in term %d", c.Term, a.control.Term)
	a.control = c
}

// owe edits a copy of the control data and makes it the current one.
func (a *Acceptor) owe(edit func(*Control)) *Control {
	c := a.Control()
	edit(&c)
	core.Must(c.Term >= a.control.Term, "term falls from %d to %d", a.control.Term, c.Term)
	core.Must(c.Config.Generation >= a.control.Config.Generation, "generation falls")
	a.control = c
	return &c
}

// ReportRemote takes what a pageserver has in the object store.
func (a *Acceptor) ReportRemote(lsn core.LSN) { a.remote = max(a.remote, min(lsn, a.commit)) }

// MayRecover tells whether a reader that names term may have WAL up to the
// flush LSN: only while the log is that term's. It is asked again for each read.
func (a *Acceptor) MayRecover(term core.Term) error {
	unled := faults.On && faults.Hit(faults.RecoverUnled)
	if last := a.History().LastTerm(); term != a.control.Term || term != last && !unled || a.pending {
		return fmt.Errorf("recovery of term %d from safekeeper %d in term %d with a log of term %d: %w",
			term, a.node, a.control.Term, last, ErrOrder)
	}
	return nil
}

// Greet handles the first message of a connection.
func (a *Acceptor) Greet(s *Session, m ProposerGreeting) (AcceptorGreeting, Output, error) {
	var out Output
	if err := a.checkServer(m); err != nil {
		return AcceptorGreeting{}, out, err
	}
	own := a.control.Config
	switch {
	case m.Config.Generation > own.Generation:
		if err := m.Config.Check(); err != nil {
			return AcceptorGreeting{}, out, fmt.Errorf("%w: %w", ErrForeign, err)
		}
		if !m.Config.Has(a.node) {
			return AcceptorGreeting{}, out, fmt.Errorf("safekeeper %d is not of %s: %w", a.node, m.Config, ErrForeign)
		}
		out.Promise = a.owe(func(c *Control) { c.Config = m.Config })
	case m.Config.Generation == own.Generation && !m.Config.Same(own):
		return AcceptorGreeting{}, out, fmt.Errorf("%w: proposer has %s, safekeeper %d has %s", ErrForeign, m.Config, a.node, own)
	}
	s.greeted = true
	return AcceptorGreeting{a.node, a.control.Config, a.control.Term}, out, nil
}

func (a *Acceptor) checkServer(m ProposerGreeting) error {
	own := a.control.Server
	switch {
	case m.TTID != a.ttid:
		return fmt.Errorf("%w: proposer of %s at timeline %s", ErrForeign, m.TTID, a.ttid)
	case m.Server.Major() != own.Major():
		return fmt.Errorf("%w: PostgreSQL %d at a timeline of PostgreSQL %d", ErrForeign, m.Server.Major(), own.Major())
	case m.Server.SegmentSize != own.SegmentSize:
		return fmt.Errorf("%w: WAL segments of %d bytes at a timeline with %d", ErrForeign, m.Server.SegmentSize, own.SegmentSize)
	case m.Server.SystemID != 0 && m.Server.SystemID != own.SystemID:
		return fmt.Errorf("%w: system identifier %d at a timeline of %d", ErrForeign, m.Server.SystemID, own.SystemID)
	}
	return nil
}

func (a *Acceptor) checkGeneration(s *Session, g core.Generation) error {
	if !s.greeted {
		return fmt.Errorf("safekeeper %d: no greeting came first: %w", a.node, ErrOrder)
	}
	if g != a.control.Config.Generation && !(faults.On && faults.Hit(faults.AnyGeneration)) {
		return fmt.Errorf("message of generation %d at safekeeper %d of generation %d: %w",
			g, a.node, a.control.Config.Generation, ErrGeneration)
	}
	return nil
}

// Vote handles a vote request. The response speaks of the log as it is once the
// output is done: written WAL is flushed first, because a flush after the
// promise would add WAL of a term that was just given up.
func (a *Acceptor) Vote(s *Session, m VoteRequest) (VoteResponse, Output, error) {
	var out Output
	if err := errors.Join(a.checkGeneration(s, m.Generation), a.mayVote(m.Term)); err != nil {
		return VoteResponse{}, out, err
	}
	if mark, dirty := a.Unflushed(); dirty && !(faults.On && faults.Hit(faults.VoteBeforeFlush)) {
		out.Sync, out.Promise = true, a.Flushed(mark)
	}
	r := VoteResponse{Generation: m.Generation, Flush: a.FlushLSN(), Truncate: a.horizon, History: a.History()}
	if a.control.Term < m.Term || faults.On && faults.Hit(faults.VoteTwice) && a.control.Term == m.Term {
		r.Granted = true
		out.Promise = a.owe(func(c *Control) { c.Term = m.Term })
		if faults.On && faults.Hit(faults.VoteNotDurable) {
			out.Promise = nil
		}
	}
	r.Term = a.control.Term
	return r, out, nil
}

// Elect handles an elected message: the log is cut to what the proposer's
// history shares with it, and takes on that history. There is no reply.
func (a *Acceptor) Elect(s *Session, m ProposerElected) (Output, error) {
	var out Output
	if err := a.checkGeneration(s, m.Generation); err != nil {
		return out, err
	}
	if a.control.Term > m.Term {
		return out, nil // a reply to its next append will tell
	}
	if err := a.checkElected(m); err != nil {
		return out, err
	}
	if a.control.Term < m.Term {
		out.Promise = a.owe(func(c *Control) { c.Term = m.Term })
	}
	out.Truncate, out.Start = true, m.Start
	if faults.On && faults.Hit(faults.KeepTail) {
		out.Start = max(m.Start, a.flushed.Record)
	}
	a.truncate(out.Start)
	out.Adopt = a.owe(func(c *Control) {
		c.History = m.History
		if c.TimelineStart == 0 {
			c.TimelineStart = m.History[0].LSN
		}
		if c.LocalStart == 0 {
			c.LocalStart = m.Start
		}
		if c.Horizon == 0 {
			c.Horizon = m.Start
		}
		c.Commit = max(c.Commit, c.TimelineStart)
	})
	a.commit, a.horizon = out.Adopt.Commit, out.Adopt.Horizon
	s.elected = m.Term
	a.treat(s, m.Term)
	return out, nil
}

// checkElected computes the proposer's starting point again: another
// connection may have written since the vote it was chosen from.
func (a *Acceptor) checkElected(m ProposerElected) error {
	if err := m.History.Check(); err != nil {
		return fmt.Errorf("%w: %w", ErrHistory, err)
	}
	if m.History.LastTerm() != m.Term && !(faults.On && faults.Hit(faults.RecoverUnled)) {
		return fmt.Errorf("%w: proposer elected in term %d has history %s", ErrHistory, m.Term, m.History)
	}
	start, err := Diverge(m.History, a.History(), a.FlushLSN())
	if err != nil {
		return err
	}
	if start != m.Start && !(faults.On && faults.Hit(faults.TrustStart)) {
		return fmt.Errorf("proposer of term %d starts at %s, but the logs part at %s: %w", m.Term, m.Start, start, ErrOrder)
	}
	if m.Start < a.commit {
		return fmt.Errorf("%w: proposer of term %d starts at %s, but %s is committed at safekeeper %d",
			ErrHistory, m.Term, m.Start, a.commit, a.node)
	}
	return nil
}

// truncate moves every pointer to lsn before the disk is touched: whatever
// happens to the disk, nothing above lsn will be vouched for.
func (a *Acceptor) truncate(lsn core.LSN) {
	core.Must(lsn <= a.written.Bytes, "truncate to %s above the end %s", lsn, a.written.Bytes)
	a.epoch++
	a.pending = true
	a.written = FlushMark{a.epoch, lsn, lsn}
	a.flushed = a.written
}

// Truncated tells that the truncation an output asked for is done and durable.
func (a *Acceptor) Truncated() { a.pending = false }

// CheckAppend tells whether [Acceptor.Append] would take m, so that a node need
// not look into WAL that is to be refused. refuse means what
// [AppendOutput.Refuse] does.
func (a *Acceptor) CheckAppend(s *Session, m AppendRequest) (refuse bool, err error) {
	if err := a.checkGeneration(s, m.Generation); err != nil {
		return false, err
	}
	switch {
	case a.control.Term > m.Term && !(faults.On && faults.Hit(faults.AppendOldTerm)):
		return true, nil
	case a.control.Term < m.Term || a.pending ||
		s.elected != m.Term && !(faults.On && faults.Hit(faults.AppendUnelected)):
		return false, fmt.Errorf("append of term %d before its elected message at safekeeper %d: %w", m.Term, a.node, ErrOrder)
	case m.End < m.Begin || int(m.End-m.Begin) != len(m.WAL):
		return false, fmt.Errorf("append of %s to %s with %d bytes: %w", m.Begin, m.End, len(m.WAL), ErrOrder)
	case m.Begin != a.written.Bytes && !(faults.On && faults.Hit(faults.AppendGap) && m.Begin > a.written.Bytes):
		return false, fmt.Errorf("append at %s to a log that ends at %s: %w", m.Begin, a.written.Bytes, ErrOrder)
	}
	return false, nil
}

// Append handles WAL, or a heartbeat. record is the end of the last whole
// record at or below m.End, as the node's decoder found it (a switch record
// ends with the padding of its segment); anything not above the last one, 0
// included, means that m completes none.
func (a *Acceptor) Append(s *Session, m AppendRequest, record core.LSN) (AppendOutput, error) {
	refuse, err := a.CheckAppend(s, m)
	if err != nil || refuse {
		return AppendOutput{Refuse: refuse}, err
	}
	if record > m.End { // guarded, here and below: arguments of Must are allocated
		core.Must(false, "a record ends at %s, beyond the bytes up to %s", record, m.End)
	}
	out := AppendOutput{Write: m.End > m.Begin}
	a.written = FlushMark{a.epoch, m.End, max(record, a.written.Record)}
	a.learned = max(a.learned, m.Commit)
	a.horizon = max(a.horizon, m.Truncate)
	out.Control = a.advance()
	return out, nil
}

// Unflushed tells whether written WAL waits for a flush, and returns the mark
// to give to [Acceptor.Flushed] after a flush that begins now.
func (a *Acceptor) Unflushed() (FlushMark, bool) {
	return a.written, a.written != a.flushed
}

// Flushed tells that a flush which began when [Acceptor.Unflushed] gave m has
// succeeded. Appends may have come meanwhile; a mark from before a truncation
// means nothing any more. A control file owed for it is returned, to be written
// before the next reply.
func (a *Acceptor) Flushed(m FlushMark) *Control {
	if m.epoch != a.epoch && !(faults.On && faults.Hit(faults.StaleFlush)) || m.Bytes < a.flushed.Bytes {
		return nil
	}
	a.flushed = m
	return a.advance()
}

// advance moves the commit LSN to what is known to be committed and is here.
// The control file is owed when it first reaches the start of the newest term:
// from then on that term's history is the one to recover by.
func (a *Acceptor) advance() *Control {
	old := a.commit
	a.commit = max(old, min(a.learned, a.flushed.Record))
	if faults.On && faults.Hit(faults.CommitUncapped) {
		a.commit = max(old, a.learned)
	} else if a.commit > a.FlushLSN() {
		core.Must(false, "commit LSN %s is above flush LSN %s", a.commit, a.FlushLSN())
	}
	if n := len(a.control.History); n > 0 {
		start := a.control.History[n-1].LSN
		if a.commit >= start && a.control.Commit < start {
			return a.owe(func(*Control) {})
		}
	}
	return nil
}

// Response is the answer to every append so far. Feedback of pageservers and
// standbys is the node's to add.
func (a *Acceptor) Response() AppendResponse {
	return AppendResponse{
		Generation: a.control.Config.Generation, Term: a.control.Term,
		Flush: a.FlushLSN(), Commit: a.commit,
	}
}

// Refusal is the answer to an append of a lower term: nothing but the term.
func (a *Acceptor) Refusal() AppendResponse {
	return AppendResponse{Generation: a.control.Config.Generation, Term: a.control.Term}
}
