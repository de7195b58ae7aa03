package consensus_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"xenon/consensus"
	"xenon/core"
	"xenon/core/env"
	"xenon/internal/killed"
)

// TestLeaseLaws: whatever is late, lost or answered again, when a proposer may
// take older leases for over, the one before it has none.
func TestLeaseLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		if err := leaseLaws(killed.Drawn(t)); err != nil {
			t.Fatal(err)
		}
	})
}

// A leaseWorld is three acceptors that a proposer of term 7 and then one of term
// 8 ask for leases. Messages take any time.
type leaseWorld struct {
	now       env.Instant
	acceptors [3]*consensus.Acceptor
	lessors   [3]consensus.Lessor
	holders   [2]*consensus.Lease // of terms 7 and 8
	requests  []leaseMessage
	answers   []leaseMessage
}

type leaseMessage struct {
	at, holder int
	asked      env.Instant
	answer     consensus.LeaseAnswer
}

func leaseLaws(choose killed.Choose) error {
	conf := consensus.Configuration{Generation: 1, Members: []consensus.Member{{ID: 1}, {ID: 2}, {ID: 3}}}
	in := func(term core.Term) *consensus.Acceptor {
		a, err := consensus.NewAcceptor(1, core.TTID{}, consensus.Control{Config: conf, Term: term, TimelineStart: 8, LocalStart: 8, Commit: 8}, 8)
		core.Must(err == nil, "%v", err)
		return a
	}
	w := &leaseWorld{now: env.Instant(time.Hour)}
	for i := range w.acceptors {
		w.acceptors[i], w.lessors[i] = in(7), consensus.NewLessor(0)
	}
	for i := range w.holders {
		w.holders[i] = consensus.NewLease(conf, core.Term(7+i))
	}
	for range 60 {
		w.now += env.Instant(choose(150)) * tick
		switch i := choose(3); choose(8) {
		case 0, 1, 2:
			w.requests = append(w.requests, leaseMessage{at: i, holder: choose(2), asked: w.now})
		case 3, 4:
			w.arrive(choose)
		case 5, 6:
			w.answered(choose)
		case 7:
			w.acceptors[i] = in(8) // it votes
		}
		until := w.holders[0].Since() + env.Instant(consensus.LeaseLength)
		if clear, known := w.holders[1].ClearAt(); known && w.holders[0].Since() != 0 && clear < until {
			return fmt.Errorf("term 8 takes leases for over at %d ms, term 7 has one until %d ms", clear/tick, until/tick)
		}
	}
	return nil
}

// arrive has a request arrive at its acceptor, or be lost.
func (w *leaseWorld) arrive(choose killed.Choose) {
	if len(w.requests) == 0 {
		return
	}
	m := take(&w.requests, choose)
	if choose(8) == 0 {
		return
	}
	m.answer = w.lessors[m.at].Ask(w.acceptors[m.at], 1, core.Term(7+m.holder), w.now)
	w.answers = append(w.answers, m)
}

// answered has an answer arrive.
func (w *leaseWorld) answered(choose killed.Choose) {
	if len(w.answers) > 0 {
		m := take(&w.answers, choose)
		w.holders[m.holder].Answered(m.at, m.answer, m.asked, w.now)
	}
}

func take(list *[]leaseMessage, choose killed.Choose) leaseMessage {
	i := choose(len(*list))
	m := (*list)[i]
	*list = append((*list)[:i:i], (*list)[i+1:]...)
	return m
}
