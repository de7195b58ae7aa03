package modelcheck

import (
	"fmt"
	"slices"

	"xenon/consensus"
	"xenon/consensus/membership"
	"xenon/core"
)

// realConf is a configuration of the model in production's form.
func (m *Model) realConf(c conf) consensus.Configuration {
	out := consensus.Configuration{Generation: core.Generation(c.gen), Members: membersOf(c.members)}
	if c.joint {
		out.NewMembers = membersOf(c.new)
	}
	return out
}

// confOf is a configuration in the model's form.
func confOf(c consensus.Configuration) conf {
	return conf{uint8(c.Generation), setOf(c.Members), setOf(c.NewMembers), len(c.NewMembers) > 0}
}

func setOf(members []consensus.Member) (s set) {
	for _, m := range members {
		s |= 1 << (m.ID - 1)
	}
	return s
}

// realChanges visits what the production model has besides the actions of a
// leader and a candidate: configurations change by production's acceptors,
// proposers and driver.
func (m *Model) realChanges(s *real, visit realVisitor) {
	for p := range m.Proposers {
		for _, c := range s.known(m) {
			m.realRestart(s, p, c, visit)
			if s.p[p].Phase() == consensus.Leading {
				m.realTakeOver(s, p, c, visit)
			}
		}
	}
	for a := range m.Acceptors {
		m.realConfigure(s, a, visit)
		m.realExclude(s, a, visit)
	}
	for q := set(1); q <= m.all(); q++ {
		m.realStart(s, q, visit)
		m.realCross(s, q, visit)
	}
	m.realAbort(s, visit)
}

// known are the configurations that somebody may hear of: the register's and
// those of acceptors.
func (s *real) known(m *Model) []consensus.Configuration {
	all := []consensus.Configuration{s.register}
	for a := range m.Acceptors {
		c := s.a[a].Configuration()
		if !slices.ContainsFunc(all, func(o consensus.Configuration) bool { return o.Generation == c.Generation }) {
			all = append(all, c)
		}
	}
	return all
}

// realTakeOver: a leader hears of a newer configuration and goes on in it.
func (m *Model) realTakeOver(s *real, p int, c consensus.Configuration, visit realVisitor) {
	n := s.change(p, -1)
	n.p[p].Reconfigure(c)
	if n.p[p].Ended() == nil {
		return
	}
	next, err := n.p[p].Continue()
	if err != nil {
		return
	}
	n.p[p].Proposer = next
	n.p[p].number(c)
	visit(n, did("ProposerSwitchConf", p, -1))
}

// realConfigure: an acceptor gets a configuration from the driver of a change,
// or by a proposer's greeting.
func (m *Model) realConfigure(s *real, a int, visit realVisitor) {
	n := s.change(-1, a)
	if out, err := n.a[a].Configure(s.register); err == nil && out.Promise != nil {
		n.a[a].carryOut(out)
		n.done(a, visit, did("AccSwitchConf", -1, a))
	}
	for p := range m.Proposers {
		n := s.change(-1, a)
		hello := consensus.ProposerGreeting{TTID: realTTID, Config: s.p[p].conf, Server: realServer}
		if _, out, err := n.a[a].Greet(&consensus.Session{}, hello); err == nil && out.Promise != nil {
			n.a[a].carryOut(out)
			n.done(a, visit, did("AccSwitchConf", p, a))
		}
	}
}

// answer is what an acceptor tells the driver of a change.
func (a *realAcceptor) answer() membership.Answer {
	return membership.Answer{Generation: a.Generation(), Term: a.Term(), Position: a.Position()}
}

// driver is the driver of a change to a set, which has heard nobody.
func (s *real) driver(wanted []consensus.Member, leavers ...consensus.Member) *membership.Change {
	c, err := membership.Toward(membership.Record{Config: s.register, Leavers: leavers}, wanted)
	core.Must(err == nil, "no change begins: %v", err)
	return c
}

// tell lets the driver hear acceptors, in their order.
func (s *real) tell(c *membership.Change, who set) {
	for a := range MaxAcceptors {
		if who.has(a) {
			t := membership.Task{Kind: membership.Put, Node: membersOf(1 << a)[0], Config: s.register}
			err := c.Answered(t, s.a[a].answer())
			core.Must(err == nil, "an answer is not taken: %v", err)
		}
	}
}

// write visits the state after a driver has written the register.
func (s *real) write(step membership.Step, visit realVisitor, what func() Action) {
	if step.Kind != membership.Write {
		return
	}
	n := s.change(-1, -1)
	n.register = step.Record.Config
	visit(n, what)
}

func (m *Model) realStart(s *real, q set, visit realVisitor) {
	if len(s.register.NewMembers) == 0 && !membership.SameMembers(s.register.Members, membersOf(q)) {
		s.write(s.driver(membersOf(q)).Next(), visit, func() Action { return Action{"StartChange", -1, -1, "to " + q.String()} })
	}
}

func (m *Model) realAbort(s *real, visit realVisitor) {
	if len(s.register.NewMembers) > 0 {
		s.write(s.driver(s.register.Members).Next(), visit, did("AbortChange", -1, -1))
	}
}

// realCross: the driver of a joint configuration hears q of the old members
// before the others, and then all of the new ones. It ends the change, or tells
// a new member which term it has to be in.
func (m *Model) realCross(s *real, q set, visit realVisitor) {
	old, joining := setOf(s.register.Members), setOf(s.register.NewMembers)
	if joining == 0 || q&^old != 0 || !m.least(q, old) {
		return
	}
	c := s.driver(s.register.NewMembers)
	s.tell(c, joining&^old)
	s.tell(c, q)
	s.tell(c, joining)
	step := c.Next()
	s.write(step, visit, did("FinishChange", -1, -1))
	for _, t := range step.Tasks {
		if t.Kind != membership.Bump {
			continue
		}
		a := int(t.Node.ID) - 1
		n := s.change(-1, a)
		n.a[a].carryOut(n.a[a].Bump(t.Term))
		n.done(a, visit, func() Action { return Action{"Bump", -1, a, fmt.Sprintf("to term %d", t.Term)} })
	}
}

// realExclude: the driver of a change that is over tells who has left, which
// gives the timeline up. Should it be of a later configuration it begins anew.
func (m *Model) realExclude(s *real, a int, visit realVisitor) {
	c := s.register
	if len(c.NewMembers) > 0 || c.Has(nodeOf(a)) || s.a[a].Generation() >= c.Generation {
		return
	}
	d := s.driver(c.Members, membersOf(1<<a)...)
	s.tell(d, setOf(c.Members))
	told := func(t membership.Task) bool { return t.Kind == membership.Exclude }
	if !slices.ContainsFunc(d.Next().Tasks, told) {
		return
	}
	n := s.change(-1, a)
	for p := range m.Proposers {
		n.p[p] = s.p[p].clone()
		n.lose(p, a)
	}
	ctl := consensus.Control{Config: c, Server: realServer, TimelineStart: unit, LocalStart: unit, Commit: unit, Horizon: unit}
	blank, err := consensus.NewAcceptor(nodeOf(a), realTTID, ctl, 0)
	core.Must(err == nil, "no acceptor: %v", err)
	n.a[a] = &realAcceptor{Acceptor: blank, disk: ctl}
	visit(n, did("Exclude", -1, a))
}
