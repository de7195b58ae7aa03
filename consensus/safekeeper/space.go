package safekeeper

import (
	"errors"
	"fmt"

	"xenon/core"
	"xenon/core/env"
)

// A shortage says why appends wait and what lets them go on.
type shortage string

// room tells whether a timeline may take bytes more of the disk; the empty
// shortage means that it may.
func (n *Node) room(t *Timeline, bytes int64) shortage {
	l := n.cfg.Limits
	if bytes > 0 {
		n.lookAtDisk()
	}
	if bytes > 0 && !t.mustGrow() {
		switch {
		case l.MaxTimelineBytes > 0 && t.segs.bytes()+bytes > l.MaxTimelineBytes:
			return shortage(fmt.Sprintf("the WAL of the timeline takes %d bytes on safekeeper %d, one more segment would pass limits.max_timeline_bytes = %d: %s",
				t.segs.bytes(), n.cfg.NodeID, l.MaxTimelineBytes, t.remedy()))
		case l.MaxBytes > 0 && n.used.Load()+bytes > l.MaxBytes:
			return shortage(fmt.Sprintf("the WAL of all timelines takes %d bytes on safekeeper %d, one more segment would pass limits.max_bytes = %d: %s",
				n.used.Load(), n.cfg.NodeID, l.MaxBytes, t.remedy()))
		}
	}
	if free, low := n.free.Load(), n.lowWater; n.low.Load() || low > 0 && free-bytes < low {
		return shortage(fmt.Sprintf("the disk of safekeeper %d has %d bytes free, limits.low_water_bytes = %d are to stay free: free space there, or lower the limit",
			n.cfg.NodeID, free, low))
	}
	return ""
}

// inFlight is how many segments of WAL may be on their way from a proposer, or
// here and not known to be committed.
const inFlight = 4

// mustGrow tells whether waiting at a limit would be for ever: all that is
// committed has left the disk but for the last segment, and what would let more
// of it go is a record whose end is still to come, or the word that the rest is
// committed, which comes behind WAL that waits here.
func (t *Timeline) mustGrow() bool {
	c, size := t.acc.Control(), t.segs.size
	if c.LocalStart.Segment(size) < c.Commit.Segment(size) {
		return false
	}
	return t.acc.FlushLSN() == c.Commit || t.acc.WriteLSN() < c.Commit+inFlight*core.LSN(size)
}

// remedy says what keeps WAL on the disk, and what can be done.
func (t *Timeline) remedy() string {
	t.leaf.Lock()
	defer t.leaf.Unlock()
	text := "raise it"
	if t.store.held != "" {
		text += "; WAL stays from " + t.store.held
	}
	if t.store.why != "" {
		text += " (" + t.store.why + ")"
	}
	return text
}

// lookAtDisk asks how much is free. A disk that cannot tell is taken as before.
func (n *Node) lookAtDisk() {
	free, err := n.e.FS().Free()
	if err != nil {
		n.e.Log().Warn("free space is not known", "error", err)
		return
	}
	n.free.Store(int64(min(free, 1<<62)))
	n.low.Store(int64(min(free, 1<<62)) < n.lowWater)
}

// setLowWater takes the configured mark or works out the default.
func (n *Node) setLowWater(used int64) {
	n.lookAtDisk()
	n.lowWater = max(0, n.cfg.Limits.LowWaterBytes)
	if n.cfg.Limits.LowWaterBytes == 0 {
		n.lowWater = min(defaultLowWater, (n.free.Load()+used)/100*defaultLowWaterPercent)
	}
	n.lookAtDisk()
}

// canRetry tells whether a failed write left everything as it was, but for
// bytes that nobody vouches for.
func canRetry(err error) bool {
	return errors.Is(err, env.ErrNoSpace) && !errors.Is(err, errUnsynced)
}
