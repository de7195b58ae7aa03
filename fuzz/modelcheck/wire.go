package modelcheck

import (
	"bytes"
	"fmt"
	"slices"

	"xenon/consensus"
	"xenon/core/env"
)

// A Budget is how much may go wrong on the way to one state of [RunWire].
type Budget struct {
	// Crashes of acceptors: between any two of the durable writes that a step
	// owes, or between its last one and the answer, or at rest. Of what was written
	// and not synced any beginning is left. Proposers are replaced at any time and
	// cost nothing: terms bound them.
	Crashes int
	// Delays: one direction of a connection stands still before a message that
	// was to arrive next, or an acceptor does not flush, while everything else
	// goes on. What is not delayed happens at once.
	Delays int
	// Losses of connections that a proposer notices and acceptors do not: what
	// was sent still arrives, perhaps after what came by the next connection.
	// Answers are lost.
	Losses int
	// Wounds of acceptors: the end of the log cannot be read any more, down to
	// any LSN not below the commit LSN that the control file has.
	Wounds int
	// Requests is how many messages to an acceptor are on one connection at most;
	// 0 is 2. There is no bound on answers.
	Requests int
}

func (b Budget) String() string {
	return fmt.Sprintf("%d delays, %d lost connections, %d crashes, %d wounds, %d requests on a connection", b.Delays, b.Losses, b.Crashes, b.Wounds, b.Requests)
}

// A wireAcceptor is a production acceptor over a control file and a log, whose
// end may not be durable. None of the parts of a state is changed once another
// state shares it.
type wireAcceptor struct {
	*consensus.Acceptor
	disk   consensus.Control
	log    wal
	synced uint8 // entries that are durable
	held   bool  // it does not flush
	hurt   bool  // it was wounded once
}

// A wireProposer is a production proposer; nil Proposer is one that has not
// begun.
type wireProposer struct {
	*consensus.Proposer
	log   wal
	votes [MaxAcceptors]*reply // of a candidate, as they came
}

// A line is one connection.
type line struct {
	session  consensus.Session
	conn     uint64
	requests []request
	replies  []reply
	owes     bool    // an answer after the next flush
	held     [2]bool // requests and answers stand still
	up       bool    // the acceptor still has it
	on       bool    // and the proposer
}

// A request is a message to an acceptor, with the term of its entry.
type request struct {
	consensus.Message
	entry uint8
}

// A reply is a message to a proposer: a vote with the log it speaks of, or an
// append response.
type reply struct {
	vote   *consensus.VoteResponse
	log    wal
	append consensus.AppendResponse
}

// A wire is one state: both ends and what is on its way between them.
type wire struct {
	p         [MaxProposers]*wireProposer
	a         [MaxAcceptors]*wireAcceptor
	lines     [MaxProposers][MaxAcceptors][2]*line // the latest connection, and the one before
	committed [slots]uint8
	by        [slots]uint8 // the lowest term whose leader has committed the entry
	elected   [terms]uint8
	left      Budget
	broken    *Invariant

	m *Model
	// What this state has of its own, and may change while it is being made.
	ownP [MaxProposers]bool
	ownA [MaxAcceptors]bool
	ownL [MaxProposers][MaxAcceptors][2]bool
}

// All steps happen at one time, messages are due a notice later, and
// connections are made anew long after.
const (
	wireNow  = env.Instant(tick)
	wireSend = wireNow + env.Instant(consensus.Heartbeat)/2
	wireDial = wireNow + 2*tick
)

func (s *wire) successor() *wire {
	n := *s
	n.ownP, n.ownA, n.ownL = [MaxProposers]bool{}, [MaxAcceptors]bool{}, [MaxProposers][MaxAcceptors][2]bool{}
	return &n
}

func (s *wire) proposer(p int) *wireProposer {
	if !s.ownP[p] {
		c := *s.p[p]
		if c.Proposer != nil {
			c.Proposer = c.Proposer.Clone()
		}
		s.p[p], s.ownP[p] = &c, true
	}
	return s.p[p]
}

func (s *wire) acceptor(a int) *wireAcceptor {
	if !s.ownA[a] {
		c := *s.a[a]
		c.Acceptor = c.Acceptor.Clone()
		s.a[a], s.ownA[a] = &c, true
	}
	return s.a[a]
}

// line is the k-th connection between p and a, nil if there is none.
func (s *wire) line(p, a, k int) *line {
	if s.lines[p][a][k] != nil && !s.ownL[p][a][k] {
		c := *s.lines[p][a][k]
		s.lines[p][a][k], s.ownL[p][a][k] = &c, true
	}
	return s.lines[p][a][k]
}

// alive tells whether a proposer has begun and not ended.
func (p *wireProposer) alive() bool { return p.Proposer != nil && p.Ended() == nil }

func (p *wireProposer) leading() bool { return p.alive() && p.Phase() == consensus.Leading }

type wireWorld struct {
	m         *Model
	budget    Budget
	best, try []byte // while states are written
	parts     [MaxAcceptors][]byte
	sorted    []int
}

func (w *wireWorld) model() *Model { return w.m }

func (w *wireWorld) start() (*wire, error) {
	s := &wire{m: w.m, left: w.budget}
	first, err := w.m.realInitial()
	if err != nil {
		return nil, err
	}
	for p := range w.m.Proposers {
		s.p[p] = &wireProposer{}
	}
	for a := range w.m.Acceptors {
		s.a[a] = &wireAcceptor{Acceptor: first.a[a].Acceptor, disk: first.a[a].disk}
	}
	return s, nil
}

func (w *wireWorld) wrong(s *wire) *Invariant { return s.broken }

// project has of acceptors what is written, and of candidates no votes: those are
// on their way, or counted already.
func (w *wireWorld) project(s *wire) (out state) {
	out.committed, out.elected = s.committed, s.elected
	for i := range w.m.Proposers {
		p, to := s.p[i], &out.p[i]
		if !p.alive() {
			continue
		}
		to.leader, to.term, to.log = p.leading(), uint8(p.Term()), p.log
		if to.leader {
			to.hist = historyOf(p.History())
		}
		for a := range w.m.Acceptors {
			if peer := p.Peer(a); peer.State == consensus.Active {
				to.next[a] = entryOf(peer.Sent)
			}
		}
	}
	for i := range w.m.Acceptors {
		a := s.a[i]
		out.a[i] = acceptor{term: uint8(a.Term()), hist: historyOf(a.Control().History), log: a.log}
	}
	return out
}

// key is that of the least form among those that differ in names: acceptors
// sorted by their bytes for each order of proposers.
func (w *wireWorld) key(s *wire, _ *state) fingerprint {
	w.best = w.best[:0]
	for _, ps := range w.m.orders.proposers {
		w.encode(s, ps)
		if len(w.best) == 0 || bytes.Compare(w.try, w.best) < 0 {
			w.best, w.try = w.try, w.best
		}
	}
	return sum(w.best)
}

func (w *wireWorld) encode(s *wire, ps []int) {
	b := append(w.try[:0], byte(s.left.Delays), byte(s.left.Crashes), byte(s.left.Losses), byte(s.left.Wounds))
	b = append(b, s.committed[:]...)
	b = append(b, s.by[:]...)
	b = append(b, s.elected[:]...)
	for _, i := range ps {
		p := s.p[i]
		if p.Proposer == nil {
			b = append(b, 0)
			continue
		}
		b = p.AppendState(append(b, 1))
		b = append(append(b, p.log.len), p.log.entry[:]...)
	}
	w.sorted = w.sorted[:0]
	for a := range w.m.Acceptors {
		w.parts[a] = w.part(w.parts[a][:0], s, a, ps)
		w.sorted = append(w.sorted, a)
	}
	slices.SortFunc(w.sorted, func(x, y int) int { return bytes.Compare(w.parts[x], w.parts[y]) })
	for _, a := range w.sorted {
		b = append(b, w.parts[a]...)
	}
	w.try = b
}

// part is what has the name of an acceptor.
func (w *wireWorld) part(b []byte, s *wire, i int, ps []int) []byte {
	a := s.a[i]
	b = append(append(a.AppendState(b), a.synced, flag(a.held)|a.log.len), a.log.entry[:]...)
	for _, j := range ps {
		if p := s.p[j]; p.alive() {
			b = p.AppendPeer(b, i)
			if v := p.votes[i]; v != nil {
				b = append(append(b, v.log.len), v.log.entry[:]...)
			}
		}
		for _, l := range s.lines[j][i] {
			b = l.appendState(b)
		}
	}
	return b
}

func (l *line) appendState(b []byte) []byte {
	if l == nil {
		return append(b, 0)
	}
	flags := byte(1)
	for i, f := range []bool{l.owes, l.up, l.on, l.held[0], l.held[1]} {
		if f {
			flags |= 2 << i
		}
	}
	b = append(b, flags)
	if l.up {
		b = l.session.AppendState(b)
	}
	b = append(b, byte(len(l.requests)), byte(len(l.replies)))
	for i := range l.requests {
		b = l.requests[i].AppendState(append(b, l.requests[i].entry))
	}
	for i := range l.replies {
		r := &l.replies[i]
		if r.vote != nil {
			b = append(append(r.vote.AppendState(append(b, 1)), r.log.len), r.log.entry[:]...)
			continue
		}
		b = append(b, 0, byte(r.append.Generation), byte(r.append.Term), entryOf(r.append.Flush), entryOf(r.append.Commit))
	}
	return b
}
