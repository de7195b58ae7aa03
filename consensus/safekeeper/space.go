package safekeeper

import (
	"errors"
	"fmt"

	"xenon/core/env"
)

// A shortage says why appends wait and what lets them go on.
type shortage string

// room tells whether a timeline may take bytes more of the disk. The empty
// shortage means that it may.
func (n *Node) room(t *Timeline, bytes int64) shortage {
	l := n.cfg.Limits
	switch {
	case l.MaxTimelineBytes > 0 && bytes > 0 && t.segs.bytes()+bytes > l.MaxTimelineBytes:
		return shortage(fmt.Sprintf("the WAL of the timeline takes %d bytes on safekeeper %d, one more segment would pass limits.max_timeline_bytes = %d: raise it",
			t.segs.bytes(), n.cfg.NodeID, l.MaxTimelineBytes))
	case l.MaxBytes > 0 && bytes > 0 && n.used.Load()+bytes > l.MaxBytes:
		return shortage(fmt.Sprintf("the WAL of all timelines takes %d bytes on safekeeper %d, one more segment would pass limits.max_bytes = %d: raise it",
			n.used.Load(), n.cfg.NodeID, l.MaxBytes))
	case bytes > 0:
		n.lookAtDisk()
	}
	if free, low := n.free.Load(), n.lowWater; n.low.Load() || low > 0 && free-bytes < low {
		return shortage(fmt.Sprintf("the disk of safekeeper %d has %d bytes free, limits.low_water_bytes = %d are to stay free: free space there, or lower the limit",
			n.cfg.NodeID, free, low))
	}
	return ""
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
