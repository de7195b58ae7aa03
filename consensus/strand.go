package consensus

import (
	"xenon/core/env"
)

// strandedAfter is how long a proposer that was just elected waits for somebody
// to have the log that elected it.
const strandedAfter = 2 * Silence

// Strand ends a proposer that was elected by a log which cannot be had any
// more: whoever has it up to where the own term begins is not there, so nobody
// can be made level, and nothing ever be committed. If that safekeeper is gone
// for good the others must elect without it; what it alone had was never
// committed. The driver asks whenever a connection has ended.
func (p *Proposer) Strand(now env.Instant) {
	if p.end != nil || p.phase != Leading || p.commit > 0 || now.Sub(p.won) < strandedAfter {
		return
	}
	for i := range p.peers {
		if pe := &p.peers[i]; pe.state == Active && pe.flush >= p.start {
			return
		}
	}
	p.end = &End{Kind: Stranded, Own: p.term, Term: p.term}
}
