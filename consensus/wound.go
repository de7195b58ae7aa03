package consensus

import (
	"errors"
	"fmt"

	"xenon/core"
	"xenon/core/faults"
)

// A wounded safekeeper has lost the end of its log: WAL above what it knew to
// be committed cannot be read any more, and some of it may have been
// acknowledged. What is left is true, and it goes on to take WAL; but were it
// to vote, a majority could elect a log that lacks what another majority, with
// this safekeeper in it, had committed.
//
// It is whole again once its log, as a proposer made it after the loss, is as
// far as those of so many others that one of them is in every majority which
// this safekeeper may have completed. The proposer must have forgotten what was
// acknowledged before: it counts no more for a safekeeper than it last voted
// with. See docs/adr/0015.

// ErrWounded reports a vote that a safekeeper which lost the end of its log
// does not give.
var ErrWounded = errors.New("the end of the log was lost here, and votes wait until it is back")

// Wounded tells whether the end of the log was lost and is not back.
func (a *Acceptor) Wounded() bool { return a.control.Lost != 0 }

// Wound is the control data of a safekeeper whose log turned out to end before
// what it may have acknowledged: to be made durable before anything is built on
// the shorter log. Who never obeyed anybody has acknowledged nothing.
func (c Control) Wound() Control {
	if !(faults.On && faults.Hit(faults.WoundForgotten)) {
		c.Lost = c.Term
	}
	return c
}

// mayVote tells whether a wounded acceptor may answer a vote request: of a
// proposer only that has won already, for whom it is no vote but tells where to
// begin. A log or a peer with that last term proves it.
func (a *Acceptor) mayVote(term core.Term) error {
	if !a.Wounded() || term < a.control.Term || faults.On && faults.Hit(faults.WoundedVotes) {
		return nil
	}
	if term == a.proven || term == a.control.History.LastTerm() {
		return nil
	}
	return fmt.Errorf("safekeeper %d in term %d, asked for a vote in term %d: %w", a.node, a.control.Term, term, ErrWounded)
}

// treat notes that the log becomes that of a term, by a connection that began
// after the loss. A copy from a peer will do in a term that this safekeeper
// has acknowledged nothing in; in any other it takes the proposer itself, who
// so forgets what it had heard.
func (a *Acceptor) treat(s *Session, term core.Term) {
	if a.Wounded() && (!s.Copy || term > a.control.Lost) {
		a.treated = term
	}
}

// Treated is the term that made the log anew since the end of it was lost, 0
// if none did. What peers were asked after that says whether it is whole.
func (a *Acceptor) Treated() core.Term { return a.treated }

// Heal tells that peers reported after the log was treated in a term, and takes
// the safekeeper for whole if that allows it. The control file is owed then.
func (a *Acceptor) Heal(term core.Term, peers []PeerReport) (owed *Control) {
	if !a.Wounded() || term == 0 || term != a.treated || a.pending {
		return nil
	}
	early := faults.On && faults.Hit(faults.HealedEarly)
	if (a.Position().Term != term || !a.asFarAs(peers)) && !early {
		return nil
	}
	return a.owe(func(c *Control) { c.Lost = 0 })
}

// asFarAs tells whether no peer that reported is farther, and enough did: of
// each set that this safekeeper is in, one of every majority with it.
func (a *Acceptor) asFarAs(peers []PeerReport) bool {
	conf := a.control.Config
	heard := map[core.NodeID]bool{}
	for _, r := range peers {
		if r.Config.Generation != conf.Generation || r.Node == a.node || r.Wounded {
			continue
		}
		if a.Position().Less(r.Position()) {
			return false
		}
		heard[r.Node] = true
	}
	for _, set := range [][]Member{conf.Members, conf.NewMembers} {
		in, others := false, 0
		for _, m := range set {
			in = in || m.ID == a.node
			if heard[m.ID] {
				others++
			}
		}
		if in && others < len(set)-Majority(len(set))+1 {
			return false
		}
	}
	return true
}
