package consensus

import "slices"

// Clone is the acceptor as it is now. A model checker goes on from one moment in
// several ways; nothing else has a use for two of one acceptor. Histories and
// configurations, which are never changed once made, are shared.
func (a *Acceptor) Clone() *Acceptor {
	c := *a
	return &c
}

// Clone is the proposer as it is now; see [Acceptor.Clone].
func (p *Proposer) Clone() *Proposer {
	c := *p
	c.peers = slices.Clone(p.peers)
	return &c
}
