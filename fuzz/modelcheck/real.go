package modelcheck

import (
	"fmt"
	"slices"
	"time"

	"xenon/consensus"
	"xenon/core"
	"xenon/core/env"
)

// unit is the WAL of one entry: an append does not cross a multiple of
// MaxAppend, so each carries one entry.
const unit = consensus.MaxAppend

// entryWAL is what appends carry. Acceptors look at its length only; which term
// wrote an entry is kept beside them.
var entryWAL = make([]byte, unit)

func lsnOf(n uint8) core.LSN { return core.LSN(n) * unit }

// entryOf is the number of an LSN; only multiples of unit are ever named.
func entryOf(lsn core.LSN) uint8 {
	core.Must(lsn%unit == 0, "LSN %s lies within an entry", lsn)
	return uint8(lsn / unit)
}

// A realAcceptor is the production acceptor, with what a node keeps beside it:
// a control file and a log. It is not changed once another state shares it.
type realAcceptor struct {
	*consensus.Acceptor
	disk consensus.Control
	log  wal
}

func (a *realAcceptor) clone() *realAcceptor {
	c := *a
	c.Acceptor = a.Acceptor.Clone()
	return &c
}

// A heldVote is the answers of one acceptor that are on their way to a
// candidate.
type heldVote struct {
	greeting consensus.AcceptorGreeting
	verdict  consensus.VoteResponse
}

// A realProposer is the production proposer with what its driver keeps: the log,
// the connections, and votes that have not come in yet. The first two belong to
// a leader, the last to a candidate, which would be elected by them at once.
type realProposer struct {
	*consensus.Proposer
	log      wal
	sessions [MaxAcceptors]consensus.Session // the acceptors' ends
	conns    [MaxAcceptors]uint64            // the proposer's
	held     [MaxAcceptors]*heldVote
	conf     consensus.Configuration
	place    [MaxAcceptors]int // its number for each acceptor, -1 for one that is no member
}

// number notes which acceptor goes by which number in the configuration.
func (p *realProposer) number(c consensus.Configuration) {
	p.conf = c
	for a := range p.place {
		p.place[a] = slices.IndexFunc(p.Members(), func(m consensus.Member) bool { return m.ID == nodeOf(a) })
	}
}

// streams tells whether the proposer has brought the acceptor's log to its own
// and sends to it.
func (p *realProposer) streams(a int) bool {
	return p.place[a] >= 0 && p.Peer(p.place[a]).State == consensus.Active
}

func (p *realProposer) clone() *realProposer {
	c := *p
	c.Proposer = p.Proposer.Clone()
	return &c
}

// A real is one state of the production code. Parts are shared between states.
type real struct {
	p         [MaxProposers]*realProposer
	a         [MaxAcceptors]*realAcceptor
	committed [slots]uint8
	elected   [terms]uint8
	register  consensus.Configuration
	at        env.Instant // the clock; it runs on with each action, so that no timer is ever in the way
	broken    string      // a promise that this state breaks and that no variable of the model shows
}

// tick is longer than any pause that a proposer makes.
const tick = env.Instant(time.Hour)

func nodeOf(a int) core.NodeID { return core.NodeID(a + 1) }

// config is the configuration that everything begins in.
func (m *Model) config() consensus.Configuration {
	if m.changes() {
		return m.realConf(m.initial().store)
	}
	return consensus.Configuration{Generation: 1, Members: membersOf(m.all())}
}

func membersOf(s set) (all []consensus.Member) {
	for a := range MaxAcceptors {
		if s.has(a) {
			all = append(all, consensus.Member{ID: nodeOf(a), Host: "a", Port: 1})
		}
	}
	return all
}

var (
	realTTID   = core.TTID{Tenant: core.TenantID{1}, Timeline: core.TimelineID{2}}
	realServer = consensus.Server{PGVersion: 150000, SystemID: 1, SegmentSize: 16 << 20}
)

// realInitial is the state that production code begins in: acceptors as they are
// created, proposers that have heard of no term.
func (m *Model) realInitial() (*real, error) {
	conf := m.config()
	s := &real{at: tick, register: conf}
	for i := range m.Acceptors {
		c := consensus.Control{Config: conf, Server: realServer, TimelineStart: unit, LocalStart: unit, Commit: unit, Horizon: unit}
		a, err := consensus.NewAcceptor(nodeOf(i), realTTID, c, 0)
		if err != nil {
			return nil, err
		}
		s.a[i] = &realAcceptor{Acceptor: a, disk: c}
	}
	first := *s
	for p := range m.Proposers {
		found := false
		m.realRestart(&first, p, conf, func(n *real, _ func() Action) {
			if !found {
				s.p[p], s.at, found = n.p[p], max(s.at, n.at), true
			}
		})
		core.Must(found, "no majority answers at the start")
	}
	return s, nil
}

// project is the state as the model has it.
func (m *Model) project(s *real) (out state) {
	out.committed, out.elected = s.committed, s.elected
	for i := range m.Proposers {
		p, to := s.p[i], &out.p[i]
		to.leader, to.term, to.log = p.Phase() == consensus.Leading, uint8(p.Term()), p.log
		if to.leader {
			to.hist = historyOf(p.History())
		}
		for a := range m.Acceptors {
			if v := p.held[a]; v != nil {
				to.votes[a] = vote{entryOf(v.verdict.Flush), historyOf(v.verdict.History)}
			}
			if p.streams(a) {
				to.next[a] = entryOf(p.Peer(p.place[a]).Sent)
			}
		}
		if m.changes() {
			to.conf = confOf(p.conf)
		}
	}
	for i := range m.Acceptors {
		a := s.a[i]
		out.a[i] = acceptor{term: uint8(a.Term()), hist: historyOf(a.Control().History), log: a.log}
		if m.changes() {
			out.a[i].conf = confOf(a.Configuration())
		}
	}
	if m.changes() {
		out.store = confOf(s.register)
	}
	return out
}

// historyOf is a history with the term 0 that the model's begin with.
func historyOf(h consensus.History) history {
	out := history{0: 1}
	for _, s := range h {
		out[s.Term] = entryOf(s.LSN)
	}
	return out
}

// realVisitor is told of the successors of a state.
type realVisitor func(next *real, what func() Action)

// realSuccessors visits every state that one action of the model leads to, done
// by the production code: each is the messages that the model takes together,
// delivered at once.
func (m *Model) realSuccessors(s *real, visit realVisitor) {
	if m.changes() {
		m.realChanges(s, visit)
	}
	for p := range m.Proposers {
		if !m.changes() {
			m.realRestart(s, p, s.register, visit)
		}
		if s.p[p].Phase() == consensus.Leading {
			m.realNewEntry(s, p, visit)
			m.realCommit(s, p, visit)
		} else {
			m.realBecomeLeader(s, p, visit)
		}
		for a := range m.Acceptors {
			if s.p[p].Phase() == consensus.Leading {
				m.realUpdateTerm(s, p, a, visit)
				m.realTruncate(s, p, a, visit)
				m.realAppend(s, p, a, visit)
			} else {
				m.realVote(s, p, a, visit)
			}
		}
	}
}

// apart tells whether proposer and acceptor are in different generations: to
// learn of the other's is an action of its own.
func (s *real) apart(p, a int) bool {
	return s.p[p].conf.Generation != s.a[a].Generation()
}

// change is the state with parts of its own for p and a (-1 for neither).
func (s *real) change(p, a int) *real {
	n := *s
	n.at += tick
	if p >= 0 && n.p[p] != nil {
		n.p[p] = s.p[p].clone()
	}
	if a >= 0 {
		n.a[a] = s.a[a].clone()
	}
	return &n
}

// greet makes a new connection and exchanges greetings, up to a vote request; it
// is false if it does not come to that.
func (s *real) greet(p, a int) (req consensus.VoteRequest, ok bool) {
	pr, acc, i := s.p[p], s.a[a], s.p[p].place[a]
	if i < 0 || s.apart(p, a) {
		return req, false
	}
	pr.Lost(i, 0, s.at)
	s.at += tick
	if !pr.Dial(i, s.at) {
		return req, false
	}
	pr.conns[a], pr.sessions[a] = pr.Connected(i, s.at), consensus.Session{}
	var msg consensus.Message
	if !pr.Next(i, s.at, &msg) || msg.Kind != consensus.MsgGreeting {
		return req, false
	}
	reply, out, err := acc.Greet(&pr.sessions[a], msg.Greeting)
	if err != nil {
		return req, false
	}
	acc.carryOut(out)
	if err := pr.Greeting(i, pr.conns[a], reply, s.at); err != nil {
		return req, false
	}
	if !pr.Next(i, s.at, &msg) || msg.Kind != consensus.MsgVote {
		return req, false
	}
	return msg.Vote, true
}

// carryOut does what an output owes.
func (a *realAcceptor) carryOut(out consensus.Output) {
	if out.Promise != nil {
		a.disk = *out.Promise
	}
	if out.Truncate {
		a.log.cut(entryOf(out.Start))
		a.Truncated()
	}
	if out.Adopt != nil {
		a.disk = *out.Adopt
	}
}

// kept tells whether a crash now would leave what the acceptor has promised.
func (a *realAcceptor) kept() string {
	after, err := consensus.NewAcceptor(1, realTTID, a.disk, lsnOf(a.log.flush()))
	switch {
	case err != nil:
		return err.Error()
	case after.Term() != a.Term():
		return fmt.Sprintf("it promised term %d, and a crash would leave it in term %d", a.Term(), after.Term())
	case !slices.Equal(after.History(), a.History()):
		return fmt.Sprintf("its history is %s, and a crash would leave %s", a.History(), after.History())
	case after.FlushLSN() < a.FlushLSN():
		return fmt.Sprintf("it reports flush LSN %s, and a crash would leave %s", a.FlushLSN(), after.FlushLSN())
	}
	return ""
}

// done visits a state that an action led to, in which acceptor a may have
// changed.
func (s *real) done(a int, visit realVisitor, what func() Action) {
	if text := s.a[a].kept(); text != "" && s.broken == "" {
		s.broken = fmt.Sprintf("a%d: %s", a+1, text)
	}
	visit(s, what)
}

// realRestart: a new proposer asks a majority of a configuration for its term,
// and campaigns as soon as it is one; then its connections break.
func (m *Model) realRestart(s *real, p int, conf consensus.Configuration, visit realVisitor) {
	var seen [terms]bool
	for q := set(1); q <= m.all(); q++ {
		n := s.change(-1, -1)
		fresh, err := consensus.NewProposer(consensus.ProposerConfig{TTID: realTTID, Config: conf, Server: realServer})
		core.Must(err == nil, "no proposer: %v", err)
		n.p[p] = &realProposer{Proposer: fresh}
		n.p[p].number(conf)
		for a := range m.Acceptors {
			if q.has(a) && fresh.Phase() == consensus.Collecting {
				n.a[a] = s.a[a].clone()
				n.greet(p, a)
			}
		}
		if fresh.Phase() != consensus.Campaigning || seen[min(fresh.Term(), terms-1)] {
			continue
		}
		seen[min(fresh.Term(), terms-1)] = true
		n.hangUp(m, p)
		n.a = s.a // a greeting of one's own generation changes nothing
		visit(n, did("Restart", p, -1))
	}
}

func (s *real) hangUp(m *Model, p int) {
	for a := range m.Acceptors {
		s.lose(p, a)
	}
}

// lose breaks the connection between a proposer and an acceptor.
func (s *real) lose(p, a int) {
	if i := s.p[p].place[a]; i >= 0 {
		s.p[p].Lost(i, 0, s.at)
	}
}

// realVote: a request and its answer, which the candidate would take as a vote,
// and does not hear yet.
func (m *Model) realVote(s *real, p, a int, visit realVisitor) {
	if s.p[p].held[a] != nil {
		return
	}
	n := s.change(p, a)
	req, ok := n.greet(p, a)
	if !ok {
		return
	}
	greeting := consensus.AcceptorGreeting{Node: nodeOf(a), Config: n.a[a].Configuration(), Term: n.a[a].Term()}
	v, out, err := n.a[a].Vote(&n.p[p].sessions[a], req)
	if err != nil {
		return
	}
	n.a[a].carryOut(out)
	if err := n.p[p].Verdict(n.p[p].place[a], n.p[p].conns[a], v, n.at); err != nil || n.p[p].Ended() != nil {
		return
	}
	n.p[p] = s.p[p].clone()
	n.p[p].held[a] = &heldVote{greeting, v}
	n.done(a, visit, did("Vote", p, a))
}

// realBecomeLeader: the votes come in, the most advanced first, and the log is
// read from a donor that has voted as the one did which the candidate chose, if
// it is still in its term.
func (m *Model) realBecomeLeader(s *real, p int, visit realVisitor) {
	var voters []int
	for a := range m.Acceptors {
		if s.p[p].held[a] == nil {
			continue
		}
		if s.apart(p, a) {
			return // that is a vote which came late
		}
		voters = append(voters, a)
	}
	votes := m.project(s).p[p].votes
	slices.SortStableFunc(voters, func(a, b int) int {
		switch {
		case votes[b].less(votes[a]):
			return -1
		case votes[a].less(votes[b]):
			return 1
		}
		return 0
	})
	n := s.change(p, -1)
	pr := n.p[p]
	for _, a := range voters {
		n.deliver(p, a)
	}
	if pr.Phase() != consensus.Leading || pr.Ended() != nil {
		return
	}
	n.hangUp(m, p)
	for _, d := range voters {
		v := s.p[p].held[d].verdict
		own := consensus.TermSwitch{Term: pr.Term(), LSN: v.Flush}
		if s.a[d].Term() != pr.Term() || pr.StartLSN() != v.Flush || !slices.Equal(pr.History(), v.History.With(own)) {
			continue
		}
		led := *n
		led.p[p] = pr.clone()
		led.p[p].log = s.a[d].log
		led.elected[pr.Term()]++
		visit(&led, func() Action { return Action{"BecomeLeader", p, -1, fmt.Sprintf("donor a%d", d+1)} })
	}
}

// deliver lets an answer that was held come in.
func (s *real) deliver(p, a int) {
	pr, v, i := s.p[p], s.p[p].held[a], s.p[p].place[a]
	var msg consensus.Message
	if !pr.Dial(i, s.at) {
		return
	}
	conn := pr.Connected(i, s.at)
	if !pr.Next(i, s.at, &msg) || pr.Greeting(i, conn, v.greeting, s.at) != nil || !pr.Next(i, s.at, &msg) {
		return
	}
	pr.Verdict(i, conn, v.verdict, s.at)
}

// realUpdateTerm: a leader asks for a vote that it does not need any more; the
// answer is lost.
func (m *Model) realUpdateTerm(s *real, p, a int, visit realVisitor) {
	n := s.change(p, a)
	req, ok := n.greet(p, a)
	if !ok {
		return
	}
	v, out, err := n.a[a].Vote(&n.p[p].sessions[a], req)
	if err != nil || !v.Granted {
		return
	}
	n.a[a].carryOut(out)
	n.p[p] = s.p[p]
	n.done(a, visit, did("UpdateTerm", p, a))
}

// realTruncate: a new connection up to the elected message. An acceptor that
// only now comes into the term is another action.
func (m *Model) realTruncate(s *real, p, a int, visit realVisitor) {
	n := s.change(p, a)
	req, ok := n.greet(p, a)
	if !ok {
		return
	}
	pr, acc := n.p[p], n.a[a]
	v, out, err := acc.Vote(&pr.sessions[a], req)
	if err != nil || s.a[a].Term() < pr.Term() {
		return
	}
	acc.carryOut(out)
	if err := pr.Verdict(pr.place[a], pr.conns[a], v, n.at); err != nil {
		return
	}
	var msg consensus.Message
	if !pr.Next(pr.place[a], n.at, &msg) || msg.Kind != consensus.MsgElected {
		return
	}
	out, err = acc.Elect(&pr.sessions[a], msg.Elected)
	if err != nil || out.Adopt == nil {
		return
	}
	acc.carryOut(out)
	n.done(a, visit, did("Truncate", p, a))
}

func (m *Model) realNewEntry(s *real, p int, visit realVisitor) {
	n := s.change(p, -1)
	pr := n.p[p]
	pr.log.append(uint8(pr.Term()))
	pr.Offer(lsnOf(pr.log.flush()))
	visit(n, did("NewEntry", p, -1))
}

// realAppend: one append and its flush; the answer is lost.
func (m *Model) realAppend(s *real, p, a int, visit realVisitor) {
	if !s.p[p].streams(a) {
		return
	}
	n := s.change(p, a)
	pr, acc := n.p[p], n.a[a]
	var msg consensus.Message
	if !pr.nextAppend(a, n.at, &msg) {
		return
	}
	req := msg.Append
	req.WAL = entryWAL
	out, err := acc.Append(&pr.sessions[a], req, req.End)
	if err != nil || !out.Write {
		return
	}
	if flush := acc.Response().Flush; flush > lsnOf(acc.log.flush()) {
		n.broken = fmt.Sprintf("a%d reports flush LSN %s before WAL beyond %s is durable", a+1, flush, lsnOf(acc.log.flush()))
	}
	acc.log.cut(entryOf(req.Begin)) // it is written where the message says
	acc.log.append(pr.log.at(entryOf(req.Begin)))
	acc.owed(out.Control)
	if mark, dirty := acc.Unflushed(); dirty {
		acc.owed(acc.Flushed(mark))
	}
	n.done(a, visit, did("Append", p, a))
}

// nextAppend is the next append with WAL. What the log had before the term, which
// a driver does not hold, is filled in as if it had been read from a donor.
func (p *realProposer) nextAppend(a int, now env.Instant, msg *consensus.Message) bool {
	i := p.place[a]
	if sent := p.Peer(i).Sent; sent < p.LocalLSN() {
		return entryOf(sent) <= p.log.len && p.Fill(i, p.conns[a], sent, sent+unit, now, msg)
	}
	return p.Next(i, now, msg) && msg.Kind == consensus.MsgAppend && msg.Append.End > msg.Append.Begin
}

func (a *realAcceptor) owed(c *consensus.Control) {
	if c != nil {
		a.disk = *c
	}
}

// realCommit: a heartbeat to some acceptors and their answers. The model's
// leader does not remember what it has heard before, so another one than s's
// hears them.
func (m *Model) realCommit(s *real, p int, visit realVisitor) {
	for q := set(1); q <= m.all(); q++ {
		n := s.change(p, -1)
		if !m.hear(n, p, q) || n.p[p].CommitLSN() == 0 {
			continue
		}
		to, log := entryOf(n.p[p].CommitLSN()), &s.p[p].log
		n.p[p] = s.p[p]
		for lsn := uint8(1); lsn < to && lsn <= log.len; lsn++ {
			n.committed[lsn-1] |= 1 << log.at(lsn)
		}
		visit(n, func() Action { return Action{"Commit", p, -1, fmt.Sprintf("below LSN %d", to)} })
	}
}

// hear delivers a heartbeat to each acceptor of q, and its answer.
func (m *Model) hear(n *real, p int, q set) bool {
	pr := n.p[p]
	for a := range m.Acceptors {
		if !q.has(a) {
			continue
		}
		if !pr.streams(a) {
			return false
		}
		acc := n.a[a].clone()
		at := acc.WriteLSN()
		beat := consensus.AppendRequest{Generation: pr.conf.Generation, Term: pr.Term(), Begin: at, End: at}
		out, err := acc.Append(&pr.sessions[a], beat, 0)
		if err != nil {
			return false
		}
		r := acc.Response()
		if out.Refuse {
			r = acc.Refusal()
		}
		if err := pr.Response(pr.place[a], pr.conns[a], &r, n.at); err != nil || pr.Ended() != nil {
			return false
		}
	}
	return true
}
