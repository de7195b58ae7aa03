package consensus_test

import (
	"testing"

	"xenon/consensus"
	"xenon/core"
)

// TestOffloader: who stores WAL has it, is not far behind, and does not fail at
// it; all who heard the same choose the same one.
func TestOffloader(t *testing.T) {
	level := func(n core.NodeID) consensus.PeerReport {
		return consensus.PeerReport{Node: n, Commit: 1 << 30, LocalStart: 100, Backup: 200}
	}
	lags, late, stuck := level(2), level(2), level(2)
	lags.Commit -= 1 << 28
	late.LocalStart = 201
	stuck.Stuck = true
	for _, c := range []struct {
		name  string
		heard []consensus.PeerReport
		may   []core.NodeID
	}{
		{"nobody", nil, []core.NodeID{0}},
		{"one", []consensus.PeerReport{level(1)}, []core.NodeID{1}},
		{"one that lags", []consensus.PeerReport{level(1), lags}, []core.NodeID{1}},
		{"one without the WAL that is next", []consensus.PeerReport{level(1), late}, []core.NodeID{1}},
		{"one that fails", []consensus.PeerReport{stuck, level(1)}, []core.NodeID{1}},
		{"all fail", []consensus.PeerReport{stuck}, []core.NodeID{0}},
		{"three", []consensus.PeerReport{level(1), level(2), level(3)}, []core.NodeID{1, 2, 3}},
	} {
		chosen := map[core.NodeID]int{}
		for id := range byte(60) {
			ttid := core.TTID{Timeline: core.TimelineID{id}}
			n := consensus.Offloader(ttid, c.heard)
			chosen[n]++
			for i := range c.heard { // in any order
				turned := append(append([]consensus.PeerReport{}, c.heard[i:]...), c.heard[:i]...)
				if other := consensus.Offloader(ttid, turned); other != n {
					t.Errorf("%s: %d or %d", c.name, n, other)
				}
			}
		}
		for _, n := range c.may {
			if chosen[n] < 60/len(c.may)/3 {
				t.Errorf("%s: %v, want %v", c.name, chosen, c.may)
			}
			delete(chosen, n)
		}
		if len(chosen) > 0 {
			t.Errorf("%s: %v are chosen, too", c.name, chosen)
		}
	}
}
