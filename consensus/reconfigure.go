package consensus

import (
	"fmt"

	"xenon/core"
	"xenon/core/faults"
)

// Configure handles a membership configuration that whoever changes members
// gives to an acceptor. A higher one than its own is taken, from then on no
// message of another generation is served; a lower one changes nothing, and
// [Acceptor.Configuration] then tells why. A configuration that this
// safekeeper is not of is never taken: who is to leave is excluded.
func (a *Acceptor) Configure(c Configuration) (out Output, err error) {
	own := a.control.Config
	if err := c.Check(); err != nil {
		return out, fmt.Errorf("%w: %w", ErrForeign, err)
	}
	switch {
	case c.Generation < own.Generation || c.Same(own):
		return out, nil
	case c.Generation == own.Generation:
		return out, fmt.Errorf("%w: %s was given, safekeeper %d has %s", ErrForeign, c, a.node, own)
	case !c.Has(a.node):
		return out, fmt.Errorf("safekeeper %d is not of %s: %w", a.node, c, ErrForeign)
	}
	out.Promise = a.owe(func(ctl *Control) { ctl.Config = c })
	return out, nil
}

// Configuration is the membership configuration.
func (a *Acceptor) Configuration() Configuration { return a.control.Config }

// Bump makes the acceptor promise that it obeys no term below term, as a vote
// would that nobody counts. What was written is flushed first, as for a vote.
func (a *Acceptor) Bump(term core.Term) (out Output) {
	if term <= a.control.Term {
		return out
	}
	if mark, dirty := a.Unflushed(); dirty {
		out.Sync = true
		a.Flushed(mark)
	}
	out.Promise = a.owe(func(c *Control) { c.Term = term })
	return out
}

// MayCopyLog tells whether somebody who copies the log as it was in term, with
// last as the last term of its history, may have WAL up to the flush LSN: only
// while nothing of it can have been cut off since. It is asked again for each
// read.
func (a *Acceptor) MayCopyLog(term, last core.Term) error {
	if now := a.History().LastTerm(); term != a.control.Term || last != now {
		return fmt.Errorf("copy of term %d with a log of term %d from safekeeper %d in term %d with a log of term %d: %w",
			term, last, a.node, a.control.Term, now, ErrOrder)
	}
	return nil
}

// Reconfigure ends the proposer because there is a newer configuration, as a
// safekeeper's greeting would. A configuration that is not newer changes
// nothing.
func (p *Proposer) Reconfigure(c Configuration) {
	if p.end != nil || c.Generation <= p.cfg.Config.Generation || c.Check() != nil {
		return
	}
	p.end = &End{Kind: Reconfigured, Own: p.term, Config: c}
}

// Continue makes the proposer that goes on with the leadership of one that was
// ended by a newer configuration: its log, its term and what it committed. Every
// safekeeper is connected to anew and counts again once it has acknowledged WAL
// in the new generation: an acknowledgement of the old one tells nothing of
// whether its giver has heard that another set is asked besides. The terms of
// an election hold on: whoever won it has all that can be committed, and the
// change of members carries that into the new set.
func (p *Proposer) Continue() (*Proposer, error) {
	core.Must(p.phase == Leading && p.end != nil && p.end.Kind == Reconfigured, "a proposer that is %s cannot go on in another configuration", p.phase)
	next := *p
	next.cfg.Config, next.end = p.end.Config, nil
	if err := next.cfg.Config.Check(); err != nil {
		return nil, err
	}
	next.peers = nil
	for _, m := range next.cfg.Config.Union() {
		pe := peer{member: m, retry: firstRetry}
		for i := range p.peers {
			if old := &p.peers[i]; old.member.ID == m.ID {
				pe.last = old.last
			}
		}
		next.peers = append(next.peers, pe)
	}
	return &next, nil
}

// Reached tells whether enough safekeepers are connected for what the proposer
// is about: it waits for nobody else.
func (p *Proposer) Reached() bool {
	return p.cfg.Config.quorum(func(id core.NodeID) bool { return p.byID(id).state >= WaitVoting })
}

// newSet is the second set of a joint configuration.
func (c Configuration) newSet() []Member {
	if faults.On && faults.Hit(faults.JointCountsShort) {
		return c.NewMembers[:min(len(c.NewMembers), len(c.Members))]
	}
	return c.NewMembers
}
