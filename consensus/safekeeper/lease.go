package safekeeper

import (
	"strconv"
	"time"

	"xenon/consensus"
	"xenon/core/wire"
)

// lease answers LEASE generation term [RELEASE] with one row: generation and
// term of the acceptor, which are the asker's if that got its lease, and for
// how many milliseconds, rounded up, leases of lower terms may hold on.
func (n *Node) lease(s *wire.Session, cmd wire.Command) error {
	t, err := n.timelineOf(s)
	if err != nil {
		return err
	}
	r, err := t.grant(cmd)
	if err != nil {
		return err
	}
	s.Columns(wire.Column{Name: "generation", Type: wire.TypeInt8}, wire.Column{Name: "term", Type: wire.TypeText},
		wire.Column{Name: "remaining_ms", Type: wire.TypeInt8})
	left := (r.Remaining + time.Millisecond - 1) / time.Millisecond
	s.Row(text(strconv.FormatUint(uint64(r.Generation), 10)), text(strconv.FormatUint(uint64(r.Term), 10)), text(strconv.FormatInt(int64(left), 10)))
	s.Complete(wire.CmdLease)
	return nil
}

// grant asks the acceptor, under the lock of its steps: a vote comes before or
// after it.
func (t *Timeline) grant(cmd wire.Command) (r consensus.LeaseAnswer, err error) {
	err = t.step(func(a *consensus.Acceptor) error {
		now := t.node.e.Clock().Mono()
		if cmd.Release {
			t.lessor.Release(cmd.Term)
			r = consensus.LeaseAnswer{Generation: a.Generation(), Term: a.Term()}
			return nil
		}
		r = t.lessor.Ask(a, cmd.Generation, cmd.Term, now)
		return nil
	})
	return r, err
}
