package modelcheck

import "fmt"

// A visitor is told of the successors of a state. next is its own until the
// visitor returns.
type visitor func(next *state, what func() Action)

// successors visits every state one action away from s.
func (m *Model) successors(s *state, visit visitor) {
	for p := range m.Proposers {
		m.restart(s, p, visit)
		if s.p[p].leader {
			m.newEntry(s, p, visit)
			m.commit(s, p, visit)
		} else {
			m.becomeLeader(s, p, visit)
		}
		for a := range m.Acceptors {
			if s.p[p].leader {
				m.updateTerm(s, p, a, visit)
				m.truncate(s, p, a, visit)
				m.appendEntry(s, p, a, visit)
			} else {
				m.vote(s, p, a, visit)
			}
		}
	}
	if m.changes() {
		m.changeSuccessors(s, visit)
	}
}

func did(name string, p, a int) func() Action {
	return func() Action { return Action{Name: name, P: p, A: a} }
}

// sameGeneration tells whether proposer and acceptor talk to each other.
func sameGeneration(s *state, p, a int) bool { return s.p[p].conf.gen == s.a[a].conf.gen }

// restart: p loses everything, and learns of a term it might win.
func (m *Model) restart(s *state, p int, visit visitor) {
	switch {
	case m.production:
		m.restartInOne(s, p, visit)
		return
	case m.changes():
		m.restartAnywhere(s, p, visit)
		return
	}
	var seen [terms]bool
	for q := set(1); q <= m.all(); q++ {
		if !q.majority(m.all()) {
			continue
		}
		highest := uint8(0)
		for a := range m.Acceptors {
			if q.has(a) {
				highest = max(highest, s.a[a].term)
			}
		}
		if seen[highest] {
			continue
		}
		seen[highest] = true
		n := *s
		n.p[p] = proposer{term: highest + 1}
		visit(&n, did("Restart", p, -1))
	}
}

// serves tells whether the acceptor is a member for the proposer and in its
// generation.
func (m *Model) serves(s *state, p, a int) bool {
	return sameGeneration(s, p, a) && s.p[p].conf.has(a)
}

func (m *Model) vote(s *state, p, a int, visit visitor) {
	mayVote := s.a[a].term < s.p[p].term
	if !m.keeps(VoteOnce) {
		mayVote = s.a[a].term <= s.p[p].term
	}
	if !mayVote || m.changes() && (m.keeps(SameGeneration) && !sameGeneration(s, p, a) || !s.p[p].conf.has(a)) {
		return
	}
	n := *s
	n.a[a].term = s.p[p].term
	n.p[p].votes[a] = s.a[a].vote()
	if !m.keeps(EffectiveHistory) {
		n.p[p].votes[a].hist = s.a[a].hist
	}
	visit(&n, did("Vote", p, a))
}

func (m *Model) becomeLeader(s *state, p int, visit visitor) {
	voters := s.p[p].voters()
	if !m.mayLead(s, p, voters) {
		return
	}
	for d := range m.Acceptors {
		if !voters.has(d) || s.a[d].term != s.p[p].term || !m.mayDonate(s, p, d) {
			continue
		}
		n := *s
		l, v := &n.p[p], s.p[p].votes[d]
		l.leader, l.log, l.hist = true, s.a[d].log, v.hist
		l.hist[l.term] = v.flush
		n.elected[l.term]++
		visit(&n, func() Action { return Action{"BecomeLeader", p, -1, fmt.Sprintf("donor a%d", d+1)} })
	}
}

// mayLead tells whether the votes are enough.
func (m *Model) mayLead(s *state, p int, voters set) bool {
	if m.changes() {
		return m.mayLeadIn(s, p, voters)
	}
	if !m.keeps(MajorityElects) {
		return voters.half(m.all())
	}
	return voters.majority(m.all())
}

// half tells whether s has half of of, rounded down: what a broken rule takes
// for a majority.
func (s set) half(of set) bool { return s&of != 0 && count(s&of) >= count(of)/2 }

// mayDonate tells whether no voter is more advanced than d.
func (m *Model) mayDonate(s *state, p, d int) bool {
	votes := &s.p[p].votes
	if !m.keeps(FreshestDonor) {
		return true
	}
	for a := range m.Acceptors {
		v := votes[a]
		if v.flush == 0 {
			continue
		}
		if !m.keeps(LastTermFirst) {
			if v.flush > votes[d].flush {
				return false
			}
		} else if votes[d].less(v) {
			return false
		}
	}
	return true
}

// updateTerm: a learns of an elected proposer's term.
func (m *Model) updateTerm(s *state, p, a int, visit visitor) {
	if s.a[a].term >= s.p[p].term || m.production && !m.serves(s, p, a) {
		return
	}
	n := *s
	n.a[a].term = s.p[p].term
	visit(&n, did("UpdateTerm", p, a))
}

func (m *Model) truncate(s *state, p, a int, visit visitor) {
	if s.a[a].term != s.p[p].term || m.changes() && !sameGeneration(s, p, a) || m.production && !m.serves(s, p, a) {
		return
	}
	n := *s
	at := m.cutAt(s, p, a)
	n.a[a].log.cut(at)
	n.a[a].hist = s.p[p].hist
	n.p[p].next[a] = at
	visit(&n, did("Truncate", p, a))
}

// cutAt is where p has a's log cut.
func (m *Model) cutAt(s *state, p, a int) uint8 {
	acc := &s.a[a]
	if !m.keeps(CutAtDivergence) {
		return min(acc.log.flush(), s.p[p].log.flush())
	}
	hist := acc.effective()
	if !m.keeps(EffectiveHistory) {
		hist = acc.hist
	}
	return diverge(s.p[p].hist, hist, acc.log.flush())
}

func (m *Model) newEntry(s *state, p int, visit visitor) {
	n := *s
	n.p[p].log.append(s.p[p].term)
	visit(&n, did("NewEntry", p, -1))
}

func (m *Model) appendEntry(s *state, p, a int, visit visitor) {
	prop := &s.p[p]
	if s.a[a].term != prop.term || m.changes() && !(sameGeneration(s, p, a) && prop.conf.has(a)) {
		return
	}
	next := prop.next[a]
	if next == 0 && !m.keeps(TruncateFirst) {
		next = s.a[a].log.flush()
	}
	if next == 0 || next > prop.log.len {
		return
	}
	n := *s
	n.a[a].log.append(prop.log.at(next))
	n.p[p].next[a] = next + 1
	visit(&n, did("Append", p, a))
}

func (m *Model) commit(s *state, p int, visit visitor) {
	if m.changes() {
		m.commitIn(s, p, visit)
		return
	}
	for q := set(1); q <= m.all(); q++ {
		if !m.least(q, m.all()) {
			continue
		}
		if to, ok := m.flushedBy(s, p, q); ok {
			m.commitTo(s, p, to, visit)
		}
	}
}

// least tells whether q has just as many of of as a commit needs.
func (m *Model) least(q, of set) bool {
	if !m.keeps(MajorityCommits) {
		return count(q&of) == max(1, count(of)/2)
	}
	return count(q&of) == count(of)/2+1
}

// flushedBy is up to where all of q have p's log.
func (m *Model) flushedBy(s *state, p int, q set) (to uint8, ok bool) {
	to = slots + 1
	for a := range m.Acceptors {
		if !q.has(a) {
			continue
		}
		if s.a[a].term != s.p[p].term || s.p[p].next[a] == 0 {
			return 0, false
		}
		to = min(to, s.a[a].log.flush())
	}
	return to, true
}

// commitTo commits p's log below an LSN, if a term of p's own begins there or
// before.
func (m *Model) commitTo(s *state, p int, to uint8, visit visitor) {
	prop := &s.p[p]
	if to < prop.hist[prop.term] && m.keeps(OwnTermCommits) {
		return
	}
	n := *s
	for lsn := uint8(1); lsn < to && lsn <= prop.log.len; lsn++ {
		n.committed[lsn-1] |= 1 << prop.log.at(lsn)
	}
	visit(&n, func() Action { return Action{"Commit", p, -1, fmt.Sprintf("below LSN %d", to)} })
}
