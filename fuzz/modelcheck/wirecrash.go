package modelcheck

import (
	"fmt"

	"xenon/consensus"
)

// What holds of states in which messages are on their way, besides the
// invariants of the model.
var (
	complete = Invariant{Name: "LeaderCompleteness", Words: "who is elected has all that was committed in lower terms"}
	durable  = Invariant{Name: "Durable", Words: "what is committed is durable on a majority, wounded ones counted in"}
	known    = Invariant{Name: "CommitKnown", Words: "what an acceptor takes for committed is"}
)

// crash restarts an acceptor with any beginning of what it has not synced.
func (w *wireWorld) crash(n *wire, a int, visit func(*wire, func() Action), when string) {
	n.left.Crashes--
	for keep := n.a[a].synced; keep <= n.a[a].log.len; keep++ {
		after := n.successor()
		after.acceptor(a).log.cut(keep + 1)
		after.restart(w.m, a)
		w.done(after, visit, func() Action { return Action{"Crash", -1, a, fmt.Sprintf("%s, %d entries are left", when, keep)} })
	}
}

// restart loads an acceptor from its disk. Its connections are gone.
func (s *wire) restart(m *Model, a int) {
	acc := s.acceptor(a)
	acc.synced = acc.log.len
	fresh, err := consensus.NewAcceptor(nodeOf(a), realTTID, acc.disk, lsnOf(acc.log.flush()))
	if err != nil {
		v := sound.saying(err.Error())
		s.broken = &v
		return
	}
	acc.Acceptor, acc.held = fresh, false
	for p := range m.Proposers {
		for k, l := range s.lines[p][a] {
			if l != nil && l.up {
				s.line(p, a, k).up = false
			}
		}
	}
}

// wound lets an acceptor find that the end of its log cannot be read.
func (w *wireWorld) wound(s *wire, a int, visit func(*wire, func() Action)) {
	if s.left.Wounds == 0 || s.a[a].synced == 0 {
		return
	}
	for left := entryOf(s.a[a].disk.Commit) - 1; left < s.a[a].synced; left++ {
		n := s.successor()
		n.left.Wounds--
		acc := n.acceptor(a)
		acc.disk, acc.hurt = acc.disk.Wound(), true
		acc.log.cut(left + 1)
		n.restart(w.m, a)
		w.done(n, visit, func() Action { return Action{"Wound", -1, a, fmt.Sprintf("%d entries are left", left)} })
	}
}

// heal lets a wounded acceptor hear from each of the others, and from all of
// them at once.
func (w *wireWorld) heal(s *wire, a int, visit func(*wire, func() Action)) {
	if !s.a[a].Wounded() {
		return
	}
	var all []consensus.PeerReport
	for b := range w.m.Acceptors {
		if b == a {
			continue
		}
		all = append(all, s.report(b))
		n := s.successor()
		acc := n.acceptor(a)
		if c := acc.Learn(s.report(b)); c != nil {
			acc.disk = *c
		}
		w.done(n, visit, func() Action { return Action{"Learn", -1, a, fmt.Sprintf("from a%d", b+1)} })
	}
	n := s.successor()
	acc := n.acceptor(a)
	if c := acc.Heal(acc.Treated(), all); c != nil {
		acc.disk = *c
		w.done(n, visit, did("Heal", -1, a))
	}
}

func (s *wire) report(a int) consensus.PeerReport {
	acc := s.a[a]
	c := acc.Control()
	return consensus.PeerReport{
		Node: nodeOf(a), Config: c.Config, Term: c.Term, LastTerm: acc.History().LastTerm(),
		Flush: acc.FlushLSN(), Commit: c.Commit, Horizon: c.Horizon, LocalStart: c.LocalStart, Wounded: acc.Wounded(),
	}
}

// lost is what is not as it should be with what is committed.
func (s *wire) lost(m *Model) *Invariant {
	for i, e := range s.committed {
		lsn, have := uint8(i+1), 0
		for a := range m.Acceptors {
			acc := s.a[a]
			there := acc.synced >= lsn && e&(1<<acc.log.at(lsn)) != 0
			if there || acc.Wounded() {
				have++
			}
		}
		if e != 0 && m.Acceptors <= 3 && have < consensus.Majority(m.Acceptors) {
			v := durable.saying(fmt.Sprintf("LSN %d is on %d of %d", lsn, have, m.Acceptors))
			return &v
		}
	}
	for a := range m.Acceptors {
		acc := s.a[a]
		for lsn := uint8(1); lsn < entryOf(acc.CommitLSN()); lsn++ {
			if acc.log.len < lsn || s.committed[lsn-1]&(1<<acc.log.at(lsn)) == 0 {
				v := known.saying(fmt.Sprintf("a%d takes LSN %d for committed", a+1, lsn))
				return &v
			}
		}
	}
	return nil
}

// RunWire visits every state that the production acceptors and proposers of the
// static model reach message by message: requests and answers are on their way
// for any time, connections break and are made anew, acceptors crash between
// what a step owes, and lose the end of their logs, as far as the budget goes.
//
// The invariants are those of the model that speak of leaders and commits, that
// production code does not panic and hears nothing that contradicts itself, that
// what is committed stays on a majority, and that who is elected has it. States
// that differ in names only are one. It works on one processor.
func RunWire(m *Model, b Budget, o Options) (*Result, error) {
	if m.changes() {
		return nil, fmt.Errorf("%w: messages are followed in the static model only", ErrBounds)
	}
	if b.Requests == 0 {
		b.Requests = 2
	}
	if o.Memory == 0 {
		o.Memory = 4 << 30
	}
	s := &walk[*wire]{world: &wireWorld{m: m, budget: b}, o: o, seen: newSeen()}
	for _, v := range m.Invariants() {
		switch v.Name {
		case "ElectionSafety", "ElectionSafetyFull", "LogIsMonotonic", "LogSafety":
			s.invariants = append(s.invariants, v)
		}
	}
	for _, v := range m.Vacuous() {
		for _, name := range o.Also {
			if v.Name == name {
				s.invariants = append(s.invariants, v)
			}
		}
	}
	err := s.run()
	return &s.result, err
}
