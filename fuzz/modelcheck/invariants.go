package modelcheck

// An Invariant is what must hold in every state. The names are those of Neon's
// specifications.
type Invariant struct {
	Name string
	// Words say it.
	Words string
	holds func(*Model, *state) bool
}

// Invariants are those of a model. A lagging older leader may cut a copy of an
// entry that is committed elsewhere in a newer term once there are five
// acceptors, so CommittedNotTruncated is only for fewer, and a fixed set.
func (m *Model) Invariants() []Invariant {
	all := []Invariant{
		{"TypeOk", "every variable has a value of its kind", (*Model).typeOk},
		{"ElectionSafety", "two leaders are of different terms", (*Model).electionSafety},
		{"ElectionSafetyFull", "no term is won twice", (*Model).electionSafetyFull},
		{"LogIsMonotonic", "terms never fall within a log", (*Model).logIsMonotonic},
		{"LogSafety", "two committed entries with one LSN are one entry", (*Model).logSafety},
	}
	if m.changes() {
		return append(all, Invariant{"ConfigSafety", "configurations of one generation are one configuration", (*Model).configSafety})
	}
	if m.Acceptors <= 3 {
		all = append(all, Invariant{"CommittedNotTruncated", "no truncation would remove a committed entry", (*Model).committedNotTruncated})
	}
	return all
}

// Vacuous are the claims that every model large enough must break: if they
// hold, the model does not do what it is there for.
func (m *Model) Vacuous() []Invariant {
	all := []Invariant{
		{"MaxTerm", "no leader reaches term 2", func(m *Model, s *state) bool {
			return !m.anyLeader(s, func(p *proposer) bool { return p.term >= 2 })
		}},
		{"MaxAccWalLen", "no acceptor has two entries", func(m *Model, s *state) bool {
			for a := range m.Acceptors {
				if s.a[a].log.len >= 2 {
					return false
				}
			}
			return true
		}},
		{"MaxCommitLsn", "no two entries are committed", func(m *Model, s *state) bool { return s.committed[1] == 0 }},
		{"MaxTruncatedTerms", "no log that is cut has two other terms", (*Model).truncatedTerms},
	}
	if m.changes() {
		all = append(all, Invariant{"MaxStoreConf", "no change is finished", func(m *Model, s *state) bool {
			return s.store.joint || s.store.members == m.initial().store.members
		}})
	}
	return all
}

func (m *Model) anyLeader(s *state, is func(*proposer) bool) bool {
	for p := range m.Proposers {
		if s.p[p].leader && is(&s.p[p]) {
			return true
		}
	}
	return false
}

func (m *Model) typeOk(s *state) bool {
	for p := range m.Proposers {
		prop := &s.p[p]
		if prop.term == 0 || prop.leader == (prop.hist == history{}) || !prop.leader && prop.log.len > 0 {
			return false
		}
		for a := range m.Acceptors {
			v := prop.votes[a]
			if (v.flush == 0) != (v.hist == history{}) || int(prop.next[a]) > m.Entries+2 || !prop.leader && prop.next[a] != 0 {
				return false
			}
		}
	}
	for a := range m.Acceptors {
		if s.a[a].hist[0] != 1 {
			return false
		}
	}
	return true
}

func (m *Model) electionSafety(s *state) bool {
	for p := range m.Proposers {
		for q := range p {
			if s.p[p].leader && s.p[q].leader && s.p[p].term == s.p[q].term {
				return false
			}
		}
	}
	return true
}

func (m *Model) electionSafetyFull(s *state) bool {
	for _, n := range s.elected {
		if n > 1 {
			return false
		}
	}
	return true
}

func (m *Model) logIsMonotonic(s *state) bool {
	for a := range m.Acceptors {
		log := &s.a[a].log
		for lsn := uint8(2); lsn <= log.len; lsn++ {
			if log.at(lsn) < log.at(lsn-1) {
				return false
			}
		}
	}
	return true
}

func (m *Model) logSafety(s *state) bool {
	for _, terms := range s.committed {
		if terms&(terms-1) != 0 {
			return false
		}
	}
	return true
}

func (m *Model) configSafety(s *state) bool {
	var all [1 + MaxProposers + MaxAcceptors]conf
	known := append(all[:0], s.store)
	for p := range m.Proposers {
		known = append(known, s.p[p].conf)
	}
	for a := range m.Acceptors {
		known = append(known, s.a[a].conf)
	}
	for i, c := range known {
		for _, d := range known[:i] {
			if c.gen == d.gen && c != d {
				return false
			}
		}
	}
	return true
}

// cuts calls f for each truncation that is possible.
func (m *Model) cuts(s *state, f func(log *wal, at uint8) bool) bool {
	for p := range m.Proposers {
		for a := range m.Acceptors {
			if !s.p[p].leader || s.a[a].term != s.p[p].term || m.changes() && !sameGeneration(s, p, a) {
				continue
			}
			if !f(&s.a[a].log, m.cutAt(s, p, a)) {
				return false
			}
		}
	}
	return true
}

func (m *Model) committedNotTruncated(s *state) bool {
	return m.cuts(s, func(log *wal, at uint8) bool {
		for lsn := at; lsn <= log.len; lsn++ {
			if s.committed[lsn-1]&(1<<log.at(lsn)) != 0 {
				return false
			}
		}
		return true
	})
}

func (m *Model) truncatedTerms(s *state) bool {
	return m.cuts(s, func(log *wal, at uint8) bool { return at+1 > log.len || log.at(at) == log.at(log.len) })
}
