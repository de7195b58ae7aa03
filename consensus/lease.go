package consensus

import (
	"slices"
	"time"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
)

// A read lease lets a compute answer reads without asking anybody: until it
// ends, no other compute of the timeline serves. A majority of the acceptors
// grants it; whoever is elected later waits until every lease that can have
// been granted before has ended. Acceptors promise nothing by a grant, and
// votes are never delayed by one: an older lease has been granted by a majority,
// so one acceptor that has voted since remembers it.
//
// All of it rests on clocks that run at nearly the same rate, and on nothing
// else about clocks. Both are constants of the protocol and no settings: two
// processes must not differ in them.
const (
	// LeaseLength is how long a lease holds by the clock of its holder, from
	// before it asked.
	LeaseLength = time.Second
	// LeaseDrift is how many millionths faster or slower than real time any
	// clock may run.
	LeaseDrift = 500
	// LeaseMargin is how long before the end of a lease its holder's server is
	// stopped from answering.
	LeaseMargin = LeaseLength / 10
	// LeaseEvery is how often a holder asks.
	LeaseEvery = LeaseLength / 4

	// leaseHold is how long another clock must have run until a lease has
	// ended for certain: the holder's may be slow by the drift, and this one
	// fast.
	leaseHold = LeaseLength * (1_000_000 + LeaseDrift) / (1_000_000 - LeaseDrift)
)

// A LeaseAnswer is what an acceptor says to a request for a lease. It is a
// grant if generation and term are the asker's.
type LeaseAnswer struct {
	Generation core.Generation
	Term       core.Term
	// Remaining is how long leases of lower terms may hold on from now, by any
	// clock.
	Remaining time.Duration
}

// A Lessor is what an acceptor remembers of the leases that it has granted. It
// is not stored: after a restart the last grant counts as made just then.
type Lessor struct {
	grants []grant // by term, in ascending order
}

// A grant is the last to one term. Term 0 stands for terms that are forgotten.
type grant struct {
	term core.Term
	at   env.Instant
}

// maxGrants is how many terms are told apart; of more, the oldest are one.
const maxGrants = 8

// NewLessor begins at a restart, or where the timeline came to this node.
func NewLessor(now env.Instant) Lessor { return Lessor{[]grant{{0, now}}} }

// Ask handles a request for a lease by the proposer of a term in a generation.
func (l *Lessor) Ask(a *Acceptor, g core.Generation, term core.Term, now env.Instant) LeaseAnswer {
	r := LeaseAnswer{Generation: a.Generation(), Term: a.Term(), Remaining: l.remaining(term, now)}
	if g == r.Generation && term == r.Term {
		l.note(term, now)
	}
	return r
}

// Release forgets the grants of a term: its holder answers nothing any more.
func (l *Lessor) Release(term core.Term) {
	if term == 0 {
		return
	}
	l.grants = slices.DeleteFunc(l.grants, func(g grant) bool { return g.term == term })
}

func (l *Lessor) note(term core.Term, now env.Instant) {
	i, found := slices.BinarySearchFunc(l.grants, term, func(g grant, t core.Term) int { return compareTerm(g.term, t) })
	if found {
		l.grants[i].at = now
		return
	}
	l.grants = slices.DeleteFunc(l.grants, func(g grant) bool { return now.Sub(g.at) >= leaseHold })
	if len(l.grants) >= maxGrants {
		l.grants[1] = grant{0, max(l.grants[0].at, l.grants[1].at)}
		l.grants = slices.Delete(l.grants, 0, 1)
	}
	i, _ = slices.BinarySearchFunc(l.grants, term, func(g grant, t core.Term) int { return compareTerm(g.term, t) })
	l.grants = slices.Insert(l.grants, i, grant{term, now})
}

func compareTerm(a, b core.Term) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// remaining is how long a grant to a term below this one may hold on.
func (l *Lessor) remaining(term core.Term, now env.Instant) (left time.Duration) {
	if faults.On && faults.Hit(faults.LeaseForgotten) {
		return 0
	}
	for _, g := range l.grants {
		if g.term < term {
			left = max(left, leaseHold-now.Sub(g.at))
		}
	}
	return left
}

// A Lease is what the proposer of a term knows of its lease, and of those that
// may hold on from before it. Acceptors are numbered by their place in the
// union of the configuration.
type Lease struct {
	config Configuration
	term   core.Term
	peers  []leasePeer
}

type leasePeer struct {
	asked    env.Instant // before the last request that was granted left; 0 for none
	answered bool
	clear    env.Instant // no older lease that this acceptor granted holds after it
}

// NewLease is that of a proposer which was just elected, or goes on in another
// configuration.
func NewLease(c Configuration, term core.Term) *Lease {
	return &Lease{config: c, term: term, peers: make([]leasePeer, len(c.Union()))}
}

// Answered takes the answer of acceptor i. The request left after asked, and
// the answer came before now. It tells whether this is a grant.
func (l *Lease) Answered(i int, r LeaseAnswer, asked, now env.Instant) bool {
	if r.Generation != l.config.Generation || r.Term != l.term {
		return false
	}
	if faults.On && faults.Hit(faults.LeaseDatedLate) {
		asked = now
	}
	p := &l.peers[i]
	p.asked = max(p.asked, asked)
	clear := now.Add(max(0, r.Remaining))
	if !p.answered || clear < p.clear {
		p.answered, p.clear = true, clear
	}
	return true
}

// Since is the date of the lease: a majority of every set of the configuration
// was asked then, or later, and has granted it. The lease ends LeaseLength
// later. It is 0 while there is none.
func (l *Lease) Since() env.Instant {
	return env.Instant(l.reached(func(p *leasePeer) uint64 { return uint64(p.asked) }))
}

// ClearAt is when no older lease holds any more, once a majority has answered:
// the earliest time that a majority has named.
func (l *Lease) ClearAt() (at env.Instant, known bool) {
	const far = 1 << 62
	n := l.reached(func(p *leasePeer) uint64 {
		if !p.answered {
			return 0
		}
		return far - uint64(p.clear)
	})
	return env.Instant(far - n), n > 0
}

// reached is the highest value that a majority of every set has reached. It is
// the rule by which WAL is committed, for other numbers.
func (l *Lease) reached(f func(*leasePeer) uint64) uint64 {
	all := l.config.Union()
	return uint64(l.config.committed(func(id core.NodeID) core.LSN {
		i := slices.IndexFunc(all, func(m Member) bool { return m.ID == id })
		return core.LSN(f(&l.peers[i]))
	}))
}
