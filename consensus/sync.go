package consensus

import (
	"xenon/core"
	"xenon/core/faults"
)

// trySync ends a proposer that was to make the log level and has: everything
// that can have been committed before its term is committed in it, and a
// majority of the acceptors, with all that can be reached, has said that it
// knows. Who is read from afterwards then serves all of it; were the proposer
// alone to know, its end would leave that to the next election.
func (p *Proposer) trySync() {
	if !p.cfg.Sync || p.end != nil || p.phase != Leading || p.commit < p.start || p.start == 0 {
		return
	}
	for i := range p.peers {
		pe := &p.peers[i]
		if pe.state > Connecting && !p.knows(pe) && !(faults.On && faults.Hit(faults.SyncUntold)) {
			return
		}
	}
	told := p.cfg.Config.quorum(func(id core.NodeID) bool { return p.knows(p.byID(id)) })
	if told || faults.On && faults.Hit(faults.SyncUntold) {
		p.end = &End{Kind: Synced, Own: p.term}
	}
}

// knows tells whether an acceptor said that it has committed up to where the
// own term begins.
func (p *Proposer) knows(pe *peer) bool { return pe.flush >= p.start && pe.last.Commit >= p.start }
