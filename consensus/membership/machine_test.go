package membership_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"xenon/consensus"
	"xenon/consensus/membership"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/register"
	"xenon/internal/killed"
)

// A changeMachine drives a change with answers of any kind, in any order, and
// holds each step to what makes it safe: the conditions of the protocol, worked
// out from all that was ever answered.
type changeMachine struct {
	choose  killed.Choose
	rec     membership.Record
	wanted  []consensus.Member
	c       *membership.Change
	latest  map[core.NodeID]membership.Answer
	gone    map[core.NodeID]bool
	reached bool // a majority of the old set has been seen at the joint generation
	sync    consensus.Position
	term    core.Term
	nodes   [5]membership.Answer // what each safekeeper is at; it only grows
}

// changeLaws is one run of the machine: a change, followed over the register.
func changeLaws(choose killed.Choose) error {
	m := &changeMachine{choose: choose}
	m.rec = record(1, m.some(nil), nil)
	for i := range m.nodes {
		m.nodes[i] = membership.Answer{Generation: 1, Missing: !in(m.rec.Config.Members, core.NodeID(i+1))}
	}
	m.wanted = m.some(m.rec.Config.Members)
	if err := m.begin(); err != nil {
		return err
	}
	for range 60 {
		step := m.c.Next()
		if err := m.check(step); err != nil {
			return err
		}
		switch step.Kind {
		case membership.Done:
			return nil
		case membership.Write:
			m.rec = step.Record
			if choose(4) == 0 {
				m.wanted = m.some(nil) // another driver, with another wish
			}
			if err := m.begin(); err != nil {
				return err
			}
		case membership.Ask:
			if err := m.ask(step.Tasks[choose(len(step.Tasks))]); err != nil {
				return err
			}
		}
	}
	return nil
}

// some is a set of safekeepers, mostly another than was.
func (m *changeMachine) some(was []consensus.Member) []consensus.Member {
	for {
		var ids []int
		for id := 1; id <= 5; id++ {
			if m.choose(2) == 0 {
				ids = append(ids, id)
			}
		}
		if s := set(ids...); len(s) > 0 && (!membership.SameMembers(s, was) || m.choose(4) == 0) {
			return s
		} else if len(s) == 0 {
			return set(1 + m.choose(5))
		}
	}
}

func in(set []consensus.Member, id core.NodeID) bool {
	return slices.ContainsFunc(set, func(m consensus.Member) bool { return m.ID == id })
}

func (m *changeMachine) begin() (err error) {
	m.c, err = membership.Toward(m.rec, m.wanted)
	m.latest, m.gone, m.reached = map[core.NodeID]membership.Answer{}, map[core.NodeID]bool{}, false
	return err
}

// ask has a safekeeper answer a task: it goes on a little, does what it is asked
// for, and tells where it is.
func (m *changeMachine) ask(t membership.Task) error {
	n := &m.nodes[t.Node.ID-1]
	if m.choose(2) == 0 && !n.Missing {
		n.Position.Flush += core.LSN(m.choose(4))
		n.Term += core.Term(m.choose(3))
		if m.choose(3) == 0 {
			n.Position.Term = n.Term
		}
	}
	if m.choose(4) == 0 {
		return nil // nobody answers
	}
	switch t.Kind {
	case membership.Exclude:
		*n = membership.Answer{Missing: true}
		m.gone[t.Node.ID] = true
	case membership.Pull:
		if n.Missing {
			*n = membership.Answer{Generation: t.Config.Generation}
		}
	case membership.Bump:
		n.Term = max(n.Term, t.Term)
	}
	if !n.Missing && t.Kind != membership.Exclude {
		n.Generation = max(n.Generation, t.Config.Generation)
	}
	if t.Kind == membership.Exclude {
		return m.c.Answered(t, *n)
	}
	m.latest[t.Node.ID] = *n
	err := m.c.Answered(t, *n)
	if over := n.Generation > m.rec.Config.Generation; errors.Is(err, membership.ErrSuperseded) != over {
		return fmt.Errorf("generation %d answered at %d: %v", n.Generation, m.rec.Config.Generation, err)
	} else if over {
		return m.begin()
	}
	m.see()
	return err
}

// knows tells whether a safekeeper has said that it has the configuration.
func (m *changeMachine) knows(id core.NodeID) bool {
	a, ok := m.latest[id]
	return ok && !a.Missing && a.Generation == m.rec.Config.Generation
}

func most(set []consensus.Member, is func(core.NodeID) bool) bool {
	n := 0
	for _, m := range set {
		if is(m.ID) {
			n++
		}
	}
	return 2*n > len(set)
}

// see fixes what the new set has to have, once a majority of the old one cannot
// decide anything alone any more.
func (m *changeMachine) see() {
	old := m.rec.Config.Members
	if m.reached || len(m.rec.Config.NewMembers) == 0 || !most(old, m.knows) {
		return
	}
	m.reached, m.sync, m.term = true, consensus.Position{}, 0
	for _, o := range old {
		if a := m.latest[o.ID]; m.knows(o.ID) {
			m.term = max(m.term, a.Term)
			if p := a.Position; p.Term > m.sync.Term || p.Term == m.sync.Term && p.Flush > m.sync.Flush {
				m.sync = p
			}
		}
	}
}

// level tells whether a safekeeper has all that the old set may have committed.
func (m *changeMachine) level(id core.NodeID) bool {
	a := m.latest[id]
	p := a.Position
	return m.knows(id) && a.Term >= m.term && (p.Term > m.sync.Term || p.Term == m.sync.Term && p.Flush >= m.sync.Flush)
}

func (m *changeMachine) check(s membership.Step) error {
	now, next := m.rec.Config, s.Record.Config
	bad := func(why string) error {
		return fmt.Errorf("%s: %s follows %s, wanted %v, answers %+v", why, told(s), now, m.wanted, m.latest)
	}
	switch s.Kind {
	case membership.Ask:
		if len(s.Tasks) == 0 {
			return bad("it waits for nobody")
		}
		for _, t := range s.Tasks {
			if t.Config.Generation != now.Generation || t.Kind == membership.Exclude && (in(now.Union(), t.Node.ID) || len(now.NewMembers) > 0 || !most(now.Members, m.knows)) {
				return bad("a wrong task")
			}
		}
	case membership.Done:
		if len(now.NewMembers) > 0 || !membership.SameMembers(now.Members, m.wanted) || !most(now.Members, m.knows) || len(m.rec.Leavers) > 0 {
			return bad("it is not done")
		}
	case membership.Write:
		for _, l := range m.rec.Leavers {
			if !in(s.Record.Leavers, l.ID) && !in(next.Union(), l.ID) && !m.gone[l.ID] {
				return bad("a safekeeper that is to leave is forgotten")
			}
		}
		switch {
		case next.Generation == now.Generation:
			if !next.Same(now) {
				return bad("S6")
			}
		case next.Generation != now.Generation+1:
			return bad("a generation is left out")
		case len(now.NewMembers) == 0:
			if !membership.SameMembers(next.Members, now.Members) || !membership.SameMembers(next.NewMembers, m.wanted) {
				return bad("a change begins that is not joint")
			}
		case len(next.NewMembers) > 0:
			return bad("S17")
		case membership.SameMembers(next.Members, now.Members): // taken back
		case !membership.SameMembers(next.Members, now.NewMembers):
			return bad("it ends with others than were asked")
		case !m.reached:
			return bad("it ends though no majority of the old set knows")
		case !most(now.NewMembers, m.level):
			return bad(fmt.Sprintf("it ends though no majority of the new set has %+v in term %d", m.sync, m.term))
		}
	}
	return nil
}

func TestChangeLaws(t *testing.T) { killed.Holds(t, changeLaws) }

// registerLaws: whoever holds the newest entry can change it, and nobody else.
func registerLaws(choose killed.Choose) error {
	choose = killed.Ahead(choose, 40)
	return alone(func(ctx context.Context, e env.Env) error {
		now, err := membership.Enter(ctx, e, ttid, consensus.Configuration{Generation: 1, Members: set(1)})
		if err != nil {
			return err
		}
		held := [3]membership.Entry{now, now, now}
		for range 8 {
			h := &held[choose(len(held))]
			if choose(3) == 0 {
				if *h, err = membership.Find(ctx, e, ttid); err != nil {
					return err
				}
				if h.Config.Generation != now.Config.Generation {
					return fmt.Errorf("generation %d is found, %d was written last", h.Config.Generation, now.Config.Generation)
				}
				continue
			}
			newest := !now.Newer(*h)
			next, err := h.Set(ctx, e, record(h.Config.Generation+1, set(1+choose(5)), nil))
			if newest != (err == nil) || err != nil && !errors.Is(err, register.ErrChanged) {
				return fmt.Errorf("an entry of generation %d is replaced while %d is there: %v", h.Config.Generation, now.Config.Generation, err)
			}
			if *h = next; err == nil {
				now = next
			}
		}
		return nil
	})
}

func TestRegisterLaws(t *testing.T) { killed.Holds(t, registerLaws) }
