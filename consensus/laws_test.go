package consensus_test

import (
	"fmt"
	"testing"

	"xenon/consensus"
	"xenon/core"
	"xenon/internal/killed"
)

// A lineage is logs as elections make them: every term takes the log of an
// earlier one up to some LSN, and goes on from there. A log is who wrote each
// byte from base on. Terms begin at multiples of unit bytes.
type lineage struct {
	histories []consensus.History
	logs      [][]core.Term
}

func newLineage(choose func(int) int, unit int) *lineage {
	l := &lineage{histories: []consensus.History{nil}, logs: [][]core.Term{nil}}
	for term := core.Term(1); term <= 6; term++ {
		from := choose(len(l.logs))
		cut := choose(len(l.logs[from])/unit+1) * unit
		start := base + core.LSN(cut)
		h := prefix(l.histories[from], start).With(consensus.TermSwitch{Term: term, LSN: start})
		log := append([]core.Term{}, l.logs[from][:cut]...)
		for range choose(4) * unit {
			log = append(log, term)
		}
		l.histories, l.logs = append(l.histories, h), append(l.logs, log)
	}
	return l
}

// prefix is UpTo as its definition says.
func prefix(h consensus.History, lsn core.LSN) (out consensus.History) {
	for _, s := range h {
		if s.LSN <= lsn {
			out = append(out, s)
		}
	}
	return out
}

// historyLaws checks that histories tell where logs part.
func historyLaws(choose func(int) int) error {
	l := newLineage(choose, 1)
	p := 1 + choose(len(l.logs)-1) // the proposer's term
	a := choose(p + 1)             // the term of the acceptor's log: not a later one
	cut := choose(len(l.logs[a]) + 1)
	flush := base + core.LSN(cut)
	acc := l.histories[a].UpTo(flush)
	if fmt.Sprint(acc) != fmt.Sprint(prefix(l.histories[a], flush)) {
		return fmt.Errorf("%s up to %s is %s", l.histories[a], flush, acc)
	}
	if err := l.histories[p].Check(); err != nil {
		return err
	}
	got, err := consensus.Diverge(l.histories[p], acc, flush)
	if err != nil {
		return err
	}
	want := 0
	for want < cut && writer(l, p, want) == l.logs[a][want] {
		want++
	}
	if got != base+core.LSN(want) {
		return fmt.Errorf("logs %v and %v part at %d; %s and %s to %s tell %s", l.logs[p], l.logs[a][:cut], want, l.histories[p], acc, flush, got)
	}
	return nil
}

// writer is who wrote a byte of term p's log; p itself writes on for ever.
func writer(l *lineage, p, i int) core.Term {
	if i < len(l.logs[p]) {
		return l.logs[p][i]
	}
	return core.Term(p)
}

// quorumLaws checks, through a proposer, that what it commits and who elects
// it are majorities of both sets of a configuration.
func quorumLaws(choose func(int) int) error {
	c := consensus.Configuration{Generation: 1}
	for id := range core.NodeID(1 + choose(5)) {
		c.Members = append(c.Members, consensus.Member{ID: id + 1})
	}
	for id := range core.NodeID(choose(5)) {
		c.NewMembers = append(c.NewMembers, consensus.Member{ID: id + 3})
	}
	p, err := consensus.NewProposer(consensus.ProposerConfig{Config: c})
	if err != nil {
		return err
	}
	members := p.Members()
	conns := make([]uint64, len(members))
	voted := map[core.NodeID]bool{}
	var m consensus.Message
	for i, member := range members {
		p.Dial(i, 0)
		conns[i] = p.Connected(i, 0)
		p.Next(i, 0, &m)
		if err := p.Greeting(i, conns[i], consensus.AcceptorGreeting{Node: member.ID, Config: c}, 0); err != nil {
			return err
		}
	}
	for i, member := range members {
		p.Next(i, 0, &m)
		if err := p.Verdict(i, conns[i], consensus.VoteResponse{Generation: 1, Term: p.Term(), Granted: true, Flush: base}, 0); err != nil {
			return err
		}
		voted[member.ID] = true
		if won := p.Phase() == consensus.Leading; won != bothHave(c, voted) {
			return fmt.Errorf("%s with votes of %v: elected is %t", c, voted, won)
		}
	}
	p.Offer(at(100))
	flushed := map[core.NodeID]core.LSN{}
	for i, member := range members {
		p.Next(i, 0, &m)
		lsn := at(choose(100))
		flushed[member.ID] = lsn
		if err := p.Response(i, conns[i], &consensus.AppendResponse{Generation: 1, Term: p.Term(), Flush: lsn}, 0); err != nil {
			return err
		}
		if want := committed(c, flushed); p.CommitLSN() != want {
			return fmt.Errorf("%s flushed %v commits %s, want %s", c, flushed, p.CommitLSN(), want)
		}
	}
	return nil
}

func bothHave(c consensus.Configuration, yes map[core.NodeID]bool) bool {
	for _, set := range [][]consensus.Member{c.Members, c.NewMembers} {
		n := 0
		for _, m := range set {
			if yes[m.ID] {
				n++
			}
		}
		if len(set) > 0 && 2*n <= len(set) {
			return false
		}
	}
	return true
}

// committed is the highest LSN that more than half of each set has reached.
func committed(c consensus.Configuration, flushed map[core.NodeID]core.LSN) (best core.LSN) {
	for _, lsn := range flushed {
		have := map[core.NodeID]bool{}
		for id, f := range flushed {
			have[id] = f >= lsn
		}
		if bothHave(c, have) {
			best = max(best, lsn)
		}
	}
	return best
}

func TestHistoryLaws(t *testing.T) { holds(t, historyLaws) }
func TestQuorumLaws(t *testing.T)  { holds(t, quorumLaws) }

// holds checks a law of pure functions, many times in each check.
func holds(t *testing.T, law killed.Property) {
	rounds := 10
	if full() {
		rounds = 120
	}
	killed.Holds(t, func(choose killed.Choose) error {
		for range rounds {
			if err := law(choose); err != nil {
				return err
			}
		}
		return nil
	})
}

func TestHistoriesThatContradict(t *testing.T) {
	tests := []struct {
		name      string
		prop, acc consensus.History
	}{
		{"one term, two beginnings", consensus.History{{Term: 1, LSN: 10}, {Term: 3, LSN: 20}}, consensus.History{{Term: 1, LSN: 11}}},
		{"the acceptor is ahead", consensus.History{{Term: 1, LSN: 10}}, consensus.History{{Term: 1, LSN: 10}, {Term: 2, LSN: 12}}},
		{"no history", nil, consensus.History{{Term: 1, LSN: 10}}},
	}
	for _, test := range tests {
		if lsn, err := consensus.Diverge(test.prop, test.acc, 15); err == nil {
			t.Errorf("%s: part at %s, want an error", test.name, lsn)
		}
	}
	for _, h := range []consensus.History{{{Term: 0, LSN: 1}}, {{Term: 2, LSN: 1}, {Term: 2, LSN: 5}}, {{Term: 1, LSN: 5}, {Term: 2, LSN: 4}}} {
		if h.Check() == nil {
			t.Errorf("%s passes", h)
		}
	}
}
