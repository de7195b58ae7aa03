package modelcheck

import "testing"

// TestProductionIsPartOfReconfiguration: the production model reaches nothing
// that the reconfiguration model does not, but for two things that it does and
// the other one has no action for: a leader that connects anew has told nobody
// where to begin, and a new member gets a term from the driver of a change. So
// states are compared without the first, and the second is left out.
func TestProductionIsPartOfReconfiguration(t *testing.T) {
	b := Bounds{Proposers: 2, Acceptors: 2, Terms: 1, Entries: 1, Generations: 3}
	wide, narrow := model(t, b), model(t, b)
	narrow.production = true
	all := reached(wide, func(Action) bool { return true })
	part := reached(narrow, func(a Action) bool { return a.Name != "Bump" })
	for s := range part {
		if !all[s] {
			t.Fatalf("the reconfiguration model does not reach a state of the production model: %x", s)
		}
	}
	if len(part) < 1000 || len(part) >= len(all) {
		t.Errorf("%d of %d states", len(part), len(all))
	}
	t.Logf("%d of %d states", len(part), len(all))
}

// reached are the states of a model by actions that may be taken, without what
// leaders have told acceptors.
func reached(m *Model, may func(Action) bool) map[string]bool {
	c := m.codec()
	plain := func(s state) string {
		for p := range s.p {
			s.p[p].next = [MaxAcceptors]uint8{}
		}
		return string(c.encode(&s))
	}
	init := m.initial()
	seen, all := map[string]bool{string(c.encode(&init)): true}, map[string]bool{plain(init): true}
	for queue := []state{init}; len(queue) > 0; {
		s := queue[0]
		queue = queue[1:]
		m.successors(&s, func(n *state, what func() Action) {
			if !m.inside(n) || seen[string(c.encode(n))] || !may(what()) {
				return
			}
			seen[string(c.encode(n))] = true
			all[plain(*n)] = true
			queue = append(queue, *n)
		})
	}
	return all
}
