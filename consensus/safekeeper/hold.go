package safekeeper

import (
	"math"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
)

// A hold keeps WAL here while another safekeeper copies it, and for
// limits.wal_hold_seconds after that: what was written meanwhile is still to
// come to it.
type hold struct {
	from  core.LSN
	until env.Instant
}

// holdWAL makes or renews the hold of somebody: WAL from lsn on stays. Whoever
// removes WAL looks at [Timeline.heldFrom] and moves the first LSN that is here
// under the timeline's lock, which the caller has too: so nobody is promised
// what is just being removed.
func (t *Timeline) holdWAL(who string, lsn core.LSN) {
	now := t.node.e.Clock().Mono()
	t.leaf.Lock()
	defer t.leaf.Unlock()
	if t.holds == nil {
		t.holds = map[string]hold{}
	}
	t.holds[who] = hold{lsn, now.Add(t.node.cfg.holdTime())}
}

// heldFrom is the LSN from which on somebody copies WAL, the highest there is if
// nobody does.
func (t *Timeline) heldFrom() core.LSN {
	now := t.node.e.Clock().Mono()
	lowest := core.LSN(math.MaxUint64)
	if faults.On && faults.Hit(faults.PullUnheld) {
		return lowest
	}
	t.leaf.Lock()
	defer t.leaf.Unlock()
	for who, h := range t.holds { //simsafe:allow the lowest is the same in any order
		if h.until < now {
			delete(t.holds, who)
			continue
		}
		lowest = min(lowest, h.from)
	}
	return lowest
}
