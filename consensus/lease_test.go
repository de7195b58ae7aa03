package consensus_test

import (
	"testing"
	"time"

	"xenon/consensus"
	"xenon/core"
	"xenon/core/env"
)

const tick = env.Instant(time.Millisecond)

// promised is an acceptor in a term, of three.
func promised(t *testing.T, term core.Term) *consensus.Acceptor {
	t.Helper()
	conf := consensus.Configuration{Generation: 1, Members: []consensus.Member{{ID: 1}, {ID: 2}, {ID: 3}}}
	a, err := consensus.NewAcceptor(1, core.TTID{}, consensus.Control{Config: conf, Term: term, TimelineStart: 8, LocalStart: 8, Commit: 8}, 8)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestLessor: what an acceptor says of older leases.
func TestLessor(t *testing.T) {
	old, young := promised(t, 4), promised(t, 5)
	l := consensus.NewLessor(0)
	at := 10_000 * ms
	if r := l.Ask(old, 1, 4, at); r.Term != 4 || r.Remaining != 0 {
		t.Errorf("first request, long after the start: %+v", r)
	}
	if r := l.Ask(young, 1, 5, at+300*tick); r.Remaining < 701*time.Millisecond || r.Remaining > 702*time.Millisecond {
		t.Errorf("300 ms after a grant to term 4: %+v, want 701 ms and a little", r)
	}
	if r := l.Ask(young, 1, 4, at+400*tick); r.Term != 5 {
		t.Errorf("request of a term that is over: %+v", r)
	}
	if r := l.Ask(young, 1, 5, at+400*tick); r.Remaining < 601*time.Millisecond || r.Remaining > 602*time.Millisecond {
		t.Errorf("400 ms after the last grant to term 4: %+v", r)
	}
	if r := l.Ask(young, 2, 5, at+500*tick); r.Generation != 1 {
		t.Errorf("request of another generation: %+v", r)
	}
	l.Release(4)
	if r := l.Ask(young, 1, 5, at+500*tick); r.Remaining != 0 {
		t.Errorf("after term 4 released its lease: %+v", r)
	}
	l = consensus.NewLessor(at)
	if r := l.Ask(young, 1, 5, at+tick); r.Remaining < time.Second {
		t.Errorf("right after a restart: %+v, want a second and a little", r)
	}
	for term := core.Term(6); term < 30; term++ {
		l.Ask(promised(t, term), 1, term, at+2*tick)
	}
	l.Release(29)
	if r := l.Ask(promised(t, 30), 1, 30, at+2*tick); r.Remaining < time.Second {
		t.Errorf("after many terms: %+v, want that of the last one not released", r)
	}
}

// TestLease: a majority dates the lease, and tells when the older one is over.
func TestLease(t *testing.T) {
	conf := consensus.Configuration{Generation: 1, Members: []consensus.Member{{ID: 1}, {ID: 2}, {ID: 3}}}
	l := consensus.NewLease(conf, 7)
	granted := func(left time.Duration) consensus.LeaseAnswer {
		return consensus.LeaseAnswer{Generation: 1, Term: 7, Remaining: left}
	}
	l.Answered(0, granted(500*time.Millisecond), 100*tick, 110*tick)
	if _, known := l.ClearAt(); l.Since() != 0 || known {
		t.Error("one of three has granted a lease")
	}
	if l.Answered(1, consensus.LeaseAnswer{Generation: 1, Term: 8, Remaining: 0}, 100*tick, 110*tick) || l.Answered(1, consensus.LeaseAnswer{Generation: 2, Term: 7, Remaining: 0}, 100*tick, 110*tick) {
		t.Error("an answer of another term or generation is a grant")
	}
	l.Answered(2, granted(900*time.Millisecond), 200*tick, 210*tick)
	if at, known := l.ClearAt(); l.Since() != 100*tick || !known || at != 1110*tick {
		t.Errorf("lease since %v, clear at %v", l.Since(), at)
	}
	l.Answered(1, granted(0), 300*tick, 310*tick)
	if at, _ := l.ClearAt(); l.Since() != 200*tick || at != 610*tick {
		t.Errorf("lease since %v, clear at %v", l.Since(), at)
	}
	l.Answered(0, granted(400*time.Millisecond), 250*tick, 260*tick)
	if at, _ := l.ClearAt(); at != 610*tick {
		t.Errorf("clear at %v: what was said before still holds", at)
	}
	conf.NewMembers = []consensus.Member{{ID: 4}}
	l = consensus.NewLease(conf, 7)
	l.Answered(0, granted(0), 100*tick, 110*tick)
	l.Answered(1, granted(0), 100*tick, 110*tick)
	if l.Since() != 0 {
		t.Error("a lease without the new set")
	}
	l.Answered(3, granted(0), 50*tick, 60*tick)
	if l.Since() != 50*tick {
		t.Errorf("lease since %v", l.Since())
	}
}
