package fuzz

import (
	"time"

	"xenon/netsim"
)

// process does what befalls processes, their machines and their clocks.
func (n *nemesis) process(s Step) func() bool {
	x := n.any(s)
	switch s.Class {
	case KillKeeper, PauseKeeper, CutKeeper:
		x = n.keeper(s)
	case KillServer, PauseServer, CutServer:
		x = n.server(s)
	case KillPages, PausePages, CutPages:
		x = n.pageserver(s)
	}
	switch s.Class {
	case KillKeeper, KillServer, KillPages:
		return n.end(x, false, s.For)
	case CutKeeper, CutServer, CutPages:
		return n.end(x, true, s.For)
	case PauseKeeper, PauseServer, PausePages:
		return n.pause(x, s.For)
	case SlowProcess:
		x.Slow(50 * time.Microsecond)
		n.after(s.For, func() { x.Slow(0) })
		return x.Running
	case AllDown:
		for _, x := range n.c.nodes() {
			n.end(x, true, s.For)
		}
		return grows(func() int { return n.counts.Elections })
	case ClockStep:
		x.StepClock(time.Duration(s.Which-1<<15) * 10 * time.Millisecond)
		return grows(n.tally(func(t netsim.Tally) int { return t.ClockRead }))
	case ClockDrift:
		x.SetDrift(int64(s.Which%1000) - 500)
		return x.Running
	}
	return nil
}

// end kills a process, or cuts its power, and starts it again.
func (n *nemesis) end(x *node, power bool, d time.Duration) func() bool {
	if x.down {
		return nil
	}
	ran, lost := x.Running(), x.disk.LostWrites()
	if power {
		x.PowerCut()
	} else {
		x.Kill()
	}
	x.down = true
	n.counts.LostWrites += x.disk.LostWrites() - lost
	n.after(d, x.start)
	return func() bool { return ran }
}

// pause lets a process stand still. It had an effect if something was to be
// done meanwhile.
func (n *nemesis) pause(x *node, d time.Duration) func() bool {
	if !x.Running() {
		return nil
	}
	x.Pause()
	held := 0
	n.after(d, func() {
		held = x.Held()
		x.Resume()
	})
	return func() bool { return held > 0 }
}
