package proposer

import (
	"time"

	"xenon/consensus"
	"xenon/core"
)

// A Status is a snapshot of a proposer.
type Status struct {
	Phase     consensus.Phase
	Term      core.Term
	Start     core.LSN // where the own term begins
	Commit    core.LSN
	Available core.LSN // end of the WAL offered
	Local     core.LSN // WAL in memory begins here
	Horizon   core.LSN // every safekeeper has flushed up to it
	Peers     []PeerStatus
	Err       error // why it ended
}

// A PeerStatus is what a proposer knows of one safekeeper.
type PeerStatus struct {
	consensus.PeerStatus
	Lag    int64         // bytes offered and not acknowledged
	Silent time.Duration // since it last spoke on the present connection
	Err    error         // why its last connection ended, nil once it answers again
}

// Status tells how the proposer and its safekeepers are.
func (p *Proposer) Status() Status {
	now := p.env.Clock().Mono()
	p.mu.Lock()
	defer p.mu.Unlock()
	st := Status{Err: p.err}
	s := p.sess
	if s == nil {
		return st
	}
	c := s.core
	st.Phase, st.Term, st.Start = c.Phase(), c.Term(), c.StartLSN()
	st.Commit, st.Available, st.Local, st.Horizon = c.CommitLSN(), c.AvailableLSN(), c.LocalLSN(), c.TruncateLSN()
	for i := range s.peers {
		pe := PeerStatus{PeerStatus: c.Peer(i), Err: s.peers[i].err}
		if c.Phase() == consensus.Leading {
			pe.Lag = int64(st.Available) - int64(min(st.Available, max(pe.Flush, st.Start)))
		}
		if pe.State != consensus.Offline {
			pe.Silent = now.Sub(pe.Heard)
		}
		st.Peers = append(st.Peers, pe)
	}
	return st
}

// Feedback is the newest that any safekeeper passed on from the pageserver:
// every LSN of it is one the pageserver has reported.
func (p *Proposer) Feedback() consensus.PageserverFeedback {
	p.mu.Lock()
	defer p.mu.Unlock()
	var best consensus.PageserverFeedback
	if p.sess == nil {
		return best
	}
	for i := range p.sess.peers {
		f := p.sess.core.Peer(i).Feedback
		best.LastReceived = max(best.LastReceived, f.LastReceived)
		best.DiskConsistent = max(best.DiskConsistent, f.DiskConsistent)
		best.RemoteConsistent = max(best.RemoteConsistent, f.RemoteConsistent)
		best.TimelineSize = max(best.TimelineSize, f.TimelineSize)
		best.ReplyTime = max(best.ReplyTime, f.ReplyTime)
		best.Corruption = best.Corruption || f.Corruption
	}
	return best
}
