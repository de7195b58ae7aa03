package modelcheck

import "fmt"

// What the production model has in the place of actions of the reconfiguration
// model.

// restartInOne: p loses everything, and asks a quorum of one configuration for
// its term.
func (m *Model) restartInOne(s *state, p int, visit visitor) {
	for b := range m.Acceptors {
		c := s.a[b].conf
		for q := set(1); q <= m.all(); q++ {
			if highest, ok := m.answer(s, c, q); ok {
				n := *s
				n.p[p] = proposer{term: highest + 1, conf: c}
				visit(&n, func() Action {
					return Action{"Restart", p, -1, fmt.Sprintf("term of %s, configuration of a%d", q, b+1)}
				})
			}
		}
	}
}

// answer is the highest term of q, if these are a quorum of members of c that
// know of it.
func (m *Model) answer(s *state, c conf, q set) (highest uint8, ok bool) {
	if !c.quorum(q) {
		return 0, false
	}
	for a := range m.Acceptors {
		if q.has(a) {
			if !c.has(a) || s.a[a].conf.gen != c.gen {
				return 0, false
			}
			highest = max(highest, s.a[a].term)
		}
	}
	return highest, true
}

// switchMember: an acceptor takes a newer configuration over that it is of.
func (m *Model) switchMember(s *state, a int, visit visitor) {
	to := func(c conf, from string) {
		if c.gen <= s.a[a].conf.gen || !c.has(a) {
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

// exclude: who is no member any more is told, and loses its log. Connections to
// it end.
func (m *Model) exclude(s *state, a int, visit visitor) {
	c := s.store
	if c.joint || c.has(a) || c.gen <= s.a[a].conf.gen || !m.knowing(s).majority(c.members) {
		return
	}
	n := *s
	n.a[a] = emptyAcceptor(c)
	for p := range m.Proposers {
		n.p[p].next[a] = 0
	}
	visit(&n, did("Exclude", -1, a))
}

// knowing are those in the register's generation.
func (m *Model) knowing(s *state) (all set) {
	for a := range m.Acceptors {
		if s.a[a].conf.gen == s.store.gen {
			all |= 1 << a
		}
	}
	return all
}

// bumps: the driver of a change tells a new member the term that the old ones
// are in.
func (m *Model) bumps(s *state, visit visitor) {
	if !s.store.joint {
		return
	}
	for q := set(1); q <= m.all(); q++ {
		synced, term, ok := m.syncPoint(s, q)
		if !ok || m.newAreSynced(s, synced, term) {
			continue
		}
		for a := range m.Acceptors {
			if s.store.new.has(a) && s.a[a].conf.gen == s.store.gen && s.a[a].term < term {
				n := *s
				n.a[a].term = term
				visit(&n, did("Bump", -1, a))
			}
		}
	}
}
