package modelcheck

import "fmt"

// changeSuccessors are those by what the reconfiguration model adds.
func (m *Model) changeSuccessors(s *state, visit visitor) {
	for p := range m.Proposers {
		if s.p[p].leader {
			m.switchProposer(s, p, visit)
		}
	}
	for a := range m.Acceptors {
		m.switchAcceptor(s, a, visit)
		m.reset(s, a, visit)
	}
	m.startChange(s, visit)
	if m.production {
		m.bumps(s, visit)
	}
	if s.store.joint {
		m.endChange(s, "AbortChange", s.store.members, visit)
		if m.mayFinish(s) {
			m.endChange(s, "FinishChange", s.store.new, visit)
		}
	}
}

// restartAnywhere: p loses everything. It learns a term from one acceptor and a
// configuration from another.
func (m *Model) restartAnywhere(s *state, p int, visit visitor) {
	for a := range m.Acceptors {
		for b := range m.Acceptors {
			n := *s
			n.p[p] = proposer{term: s.a[a].term + 1, conf: s.a[b].conf}
			visit(&n, func() Action {
				return Action{"Restart", p, -1, fmt.Sprintf("term of a%d, configuration of a%d", a+1, b+1)}
			})
		}
	}
}

// mayLeadIn tells whether the votes are enough in p's configuration.
func (m *Model) mayLeadIn(s *state, p int, voters set) bool {
	c := s.p[p].conf
	for a := range m.Acceptors {
		if voters.has(a) && m.keeps(SameGeneration) && !sameGeneration(s, p, a) {
			return false
		}
	}
	switch {
	case !m.keeps(MajorityElects):
		return voters.half(c.members) && (!c.joint || voters.half(c.new))
	case !m.keeps(BothMajorities):
		return voters.majority(c.members)
	}
	return c.quorum(voters)
}

// commitIn commits what a least majority of each set of members has.
func (m *Model) commitIn(s *state, p int, visit visitor) {
	c := s.p[p].conf
	for q := set(1); q <= m.all(); q++ {
		to, ok := m.flushedIn(s, p, q, c.members)
		if !ok {
			continue
		}
		if !c.joint || !m.keeps(BothMajorities) {
			m.commitTo(s, p, to, visit)
			continue
		}
		for r := set(1); r <= m.all(); r++ {
			if too, ok := m.flushedIn(s, p, r, c.new); ok {
				m.commitTo(s, p, min(to, too), visit)
			}
		}
	}
}

// flushedIn is up to where all of q have p's log, if q has a least majority of
// members and is in p's generation.
func (m *Model) flushedIn(s *state, p int, q, members set) (to uint8, ok bool) {
	if !m.least(q, members) {
		return 0, false
	}
	for a := range m.Acceptors {
		if q.has(a) && !sameGeneration(s, p, a) {
			return 0, false
		}
	}
	return m.flushedBy(s, p, q)
}

// switchProposer: a leader takes a newer configuration over.
func (m *Model) switchProposer(s *state, p int, visit visitor) {
	to := func(c conf, from string) {
		if c.gen <= s.p[p].conf.gen {
			return
		}
		n := *s
		n.p[p].conf = c
		if m.production {
			n.p[p].next = [MaxAcceptors]uint8{}
		}
		visit(&n, func() Action { return Action{"ProposerSwitchConf", p, -1, "from " + from} })
	}
	to(s.store, "the register")
	for a := range m.Acceptors {
		to(s.a[a].conf, fmt.Sprintf("a%d", a+1))
	}
}

// switchAcceptor: an acceptor takes a newer configuration over.
func (m *Model) switchAcceptor(s *state, a int, visit visitor) {
	if m.production {
		m.switchMember(s, a, visit)
		m.exclude(s, a, visit)
		return
	}
	to := func(c conf, from string) {
		if c.gen <= s.a[a].conf.gen {
			return
		}
		n := *s
		n.a[a].conf = c
		visit(&n, func() Action { return Action{"AccSwitchConf", -1, a, "from " + from} })
	}
	to(s.store, "the register")
	for p := range m.Proposers {
		to(s.p[p].conf, fmt.Sprintf("p%d", p+1))
	}
}

// reset: an acceptor that is no member any more loses its log. Connections to
// it end.
func (m *Model) reset(s *state, a int, visit visitor) {
	if s.a[a].conf.has(a) || m.production {
		return
	}
	n := *s
	n.a[a] = emptyAcceptor(s.a[a].conf)
	for p := range m.Proposers {
		n.p[p].next[a] = 0
	}
	visit(&n, did("AccReset", -1, a))
}

func (m *Model) startChange(s *state, visit visitor) {
	if s.store.joint {
		return
	}
	for q := set(0); q <= m.all(); q++ {
		if q == s.store.members || q == 0 && m.production {
			continue
		}
		n := *s
		n.store = conf{gen: s.store.gen + 1, members: s.store.members, new: q, joint: true}
		visit(&n, func() Action { return Action{"StartChange", -1, -1, "to " + q.String()} })
	}
}

func (m *Model) endChange(s *state, name string, members set, visit visitor) {
	n := *s
	n.store = conf{gen: s.store.gen, members: members}
	if m.keeps(NextGeneration) {
		n.store.gen++
	}
	visit(&n, did(name, -1, -1))
}

// mayFinish tells whether a change may be finished: a majority of the old
// members knows of it, and a majority of the new ones knows of it and is at
// least as far as the old one.
func (m *Model) mayFinish(s *state) bool {
	for q := set(1); q <= m.all(); q++ {
		if synced, term, ok := m.syncPoint(s, q); ok && m.newAreSynced(s, synced, term) {
			return true
		}
	}
	return false
}

// syncPoint is how far the new members have to come if q answers for the old
// ones, and in which term they have to be; false if q does not do.
func (m *Model) syncPoint(s *state, q set) (synced vote, term uint8, ok bool) {
	if q&^s.store.members != 0 || !m.least(q, s.store.members) || m.keeps(OldMajorityKnows) && !m.allKnow(s, q) {
		return synced, 0, false
	}
	if m.production && !m.allKnow(s, s.store.new&^s.store.members) {
		return synced, 0, false
	}
	for a := range m.Acceptors {
		if q.has(a) {
			term = max(term, s.a[a].term)
			if v := s.a[a].vote(); synced.less(v) {
				synced = v
			}
		}
	}
	return synced, term, true
}

// allKnow tells whether all of q are in the register's generation.
func (m *Model) allKnow(s *state, q set) bool {
	for a := range m.Acceptors {
		if q.has(a) && s.a[a].conf.gen != s.store.gen {
			return false
		}
	}
	return true
}

// newAreSynced tells whether a majority of the new members has the position and
// the term.
func (m *Model) newAreSynced(s *state, synced vote, term uint8) bool {
	var ready set
	for a := range m.Acceptors {
		acc := &s.a[a]
		switch {
		case m.keeps(NewMajorityKnows) && acc.conf.gen != s.store.gen:
		case m.keeps(SyncedPosition) && acc.vote().less(synced):
		case m.keeps(SyncedTerm) && acc.term < term:
		default:
			ready |= 1 << a
		}
	}
	return ready.majority(s.store.new)
}
