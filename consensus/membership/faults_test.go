//go:build faults

package membership_test

import (
	"testing"

	"xenon/consensus"
	"xenon/consensus/membership"
	"xenon/core"
	"xenon/core/faults"
)

func TestUnguardedRegisterIsCaught(t *testing.T) {
	defer faults.Plant(faults.MembersUnguarded)()
	if with(t, oneOfTwo) == nil {
		t.Error("M48 survives")
	}
}

// TestTermForLastTermIsCaught: with the term promised to in the place of the
// log's last one, a change ends with a majority that lacks what a majority of
// the old set had acknowledged.
func TestTermForLastTermIsCaught(t *testing.T) {
	ends := func() bool {
		c, err := membership.Toward(record(2, set(1, 2, 3), set(1, 2, 4)), set(1, 2, 4))
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range []answer{at(4, 2, 5, 2, 200), at(1, 2, 5, 2, 200), at(2, 2, 4, 4, 100)} {
			if err := c.Answered(membership.Task{Kind: membership.Put, Node: consensus.Member{ID: core.NodeID(a.node)}}, a.Answer); err != nil {
				t.Fatal(err)
			}
		}
		return c.Next().Kind == membership.Write
	}
	if ends() {
		t.Fatal("a change ends though two of the new set lack term 4")
	}
	defer faults.Plant(faults.SyncByTerm)()
	if !ends() {
		t.Error("M45 survives")
	}
}
