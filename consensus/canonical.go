package consensus

import "encoding/binary"

// What follows is for a model checker: everything that the further steps of an
// acceptor or a proposer depend on, as bytes. Times, numbers of connections and
// counters, which only grow, are left out: whoever compares such bytes gives the
// same time to every step, and tells which connection is the latest.

// AppendState appends the acceptor's state. Of its configuration it has the
// generation.
func (a *Acceptor) AppendState(b []byte) []byte {
	c := &a.control
	b = appendNumbers(b, uint64(c.Config.Generation), uint64(c.Term), uint64(c.Commit), uint64(c.Horizon), uint64(c.Lost))
	b = c.History.appendState(b)
	b = appendNumbers(b, uint64(a.commit), uint64(a.horizon), uint64(a.learned),
		uint64(a.written.Bytes), uint64(a.written.Record), uint64(a.flushed.Bytes), uint64(a.flushed.Record))
	return appendNumbers(b, bit(a.pending), uint64(a.treated), uint64(a.proven))
}

// AppendState appends what an acceptor remembers of a connection.
func (s *Session) AppendState(b []byte) []byte {
	return appendNumbers(b, bit(s.greeted), uint64(s.elected), bit(s.Copy))
}

// AppendState appends what is not of one safekeeper. One that has ended is as
// good as any other in its term.
func (p *Proposer) AppendState(b []byte) []byte {
	b = appendNumbers(b, bit(p.end != nil), uint64(p.term), uint64(p.cfg.Config.Generation))
	if p.end != nil {
		return b
	}
	b = appendNumbers(b, uint64(p.phase), uint64(p.start), uint64(p.available), uint64(p.local), uint64(p.commit), uint64(p.truncate))
	return p.history.appendState(b)
}

// AppendPeer appends what the proposer knows of safekeeper i.
func (p *Proposer) AppendPeer(b []byte, i int) []byte {
	pe := &p.peers[i]
	b = appendNumbers(b, uint64(pe.state), bit(pe.owed), bit(pe.fresh), bit(pe.voted),
		uint64(pe.sent), uint64(pe.sentCommit), uint64(pe.flush), uint64(pe.last.Commit))
	return pe.vote.AppendState(b)
}

// AppendState appends the response.
func (v *VoteResponse) AppendState(b []byte) []byte {
	b = appendNumbers(b, uint64(v.Generation), uint64(v.Term), bit(v.Granted), uint64(v.Flush), uint64(v.Truncate))
	return v.History.appendState(b)
}

// AppendState appends the message, without the bytes of WAL.
func (m *Message) AppendState(b []byte) []byte {
	b = appendNumbers(b, uint64(m.Kind))
	switch m.Kind {
	case MsgVote:
		return appendNumbers(b, uint64(m.Vote.Generation), uint64(m.Vote.Term))
	case MsgElected:
		e := &m.Elected
		return e.History.appendState(appendNumbers(b, uint64(e.Generation), uint64(e.Term), uint64(e.Start)))
	case MsgAppend:
		r := &m.Append
		return appendNumbers(b, uint64(r.Generation), uint64(r.Term), uint64(r.Begin), uint64(r.End), uint64(r.Commit), uint64(r.Truncate))
	}
	return appendNumbers(b, uint64(m.Greeting.Config.Generation))
}

func (h History) appendState(b []byte) []byte {
	b = appendNumbers(b, uint64(len(h)))
	for _, s := range h {
		b = appendNumbers(b, uint64(s.Term), uint64(s.LSN))
	}
	return b
}

// appendNumbers writes LSNs, most of which are multiples of an append, shorter
// than as bytes of their own.
func appendNumbers(b []byte, numbers ...uint64) []byte {
	for _, n := range numbers {
		if n >= MaxAppend && n%MaxAppend == 0 {
			n = n/MaxAppend<<1 | 1
		} else {
			n <<= 1
		}
		b = binary.AppendUvarint(b, n)
	}
	return b
}

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
