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
	case LongPause:
		return n.pause(x, s.For+5*time.Second)
	case Stutter:
		return n.stutter(s, x)
	case SlowProcess:
		x.Slow(50 * time.Microsecond)
		n.after(s.For, func() { x.Slow(0) })
		return x.Running
	case RestartLoop:
		return n.restartLoop(s, x)
	case StopNode, StopThenKill, RollingRestart:
		return n.stop(s, x)
	case AllDown, AllKilled:
		for _, x := range n.c.nodes() {
			n.end(x, s.Class == AllDown, s.For)
		}
		return grows(func() int { return n.counts.Elections })
	case MajorityDown:
		return n.majorityDown(s)
	}
	return n.clock(s, x)
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
	look := func() { held = max(held, x.Held()) }
	n.after(d/2, look)
	n.after(d, func() {
		look()
		x.Resume()
	})
	return func() bool {
		look()
		return held > 0
	}
}

// stutter lets a process stand still for a moment, again and again.
func (n *nemesis) stutter(s Step, x *node) func() bool {
	held := false
	for at := time.Duration(0); at < s.For; at += 40 * time.Millisecond {
		n.after(at, func() {
			if !n.quiet {
				x.Pause()
			}
		})
		n.after(at+time.Duration(5+s.Which%30)*time.Millisecond, func() {
			held = held || x.Held() > 0
			x.Resume()
		})
	}
	return func() bool { return held }
}

// restartLoop kills a process again and again, soon after it began to run.
func (n *nemesis) restartLoop(s Step, x *node) func() bool {
	before := x.Incarnation()
	beat := time.Duration(20+s.Which%150) * time.Millisecond
	for at := time.Duration(0); at < s.For; at += beat {
		n.after(at, func() {
			if !n.quiet {
				n.end(x, false, beat/4)
			}
		})
	}
	return func() bool { return x.Incarnation() > before+1 }
}

// stop asks processes to end, and kills those that are meant to be killed while
// they are at it.
func (n *nemesis) stop(s Step, x *node) func() bool {
	if s.Class == RollingRestart {
		before := x.Incarnation()
		for i, sk := range n.c.sks {
			x = sk
			before = sk.Incarnation()
			n.after(time.Duration(i)*(s.For+100*time.Millisecond)/time.Duration(len(n.c.sks)), func() {
				if !n.quiet {
					sk.Stop()
				}
			})
		}
		return func() bool { return x.Incarnation() > before }
	}
	if !x.Running() {
		return nil
	}
	was, killed := x.Incarnation(), false
	x.Stop()
	if s.Class == StopNode {
		return func() bool { return x.Incarnation() > was || !x.Running() }
	}
	n.after(time.Duration(s.Which%3000)*time.Microsecond, func() {
		killed = x.Running() && x.Incarnation() == was
		n.end(x, s.Which&1 == 0, 50*time.Millisecond)
	})
	return func() bool { return killed }
}

// majorityDown takes the power from all safekeepers but a minority. It had an
// effect if a write waited for them.
func (n *nemesis) majorityDown(s Step) func() bool {
	for i := range len(n.c.sks)/2 + 1 {
		n.end(n.c.sks[(s.Which+i)%len(n.c.sks)], true, s.For)
	}
	waits := false
	n.after(s.For, func() {
		for _, l := range n.c.lines() {
			waits = waits || l.clients.begun > l.clients.ended
		}
	})
	return func() bool { return waits }
}

// clock does what befalls clocks.
func (n *nemesis) clock(s Step, x *node) func() bool {
	effect := grows(n.tally(func(t netsim.Tally) int { return t.ClockRead }))
	switch s.Class {
	case ClockStep:
		x.StepClock(time.Duration(s.Which-1<<15) * 10 * time.Millisecond)
	case Clock1970:
		x.SetWallClock(time.Unix(0, 0))
		n.after(s.For, func() { n.setClock(x) })
	case ClockFrozen:
		x.FreezeClock(true)
		n.after(s.For, func() { x.FreezeClock(false) })
	case ClockDrift:
		x.SetDrift(int64(s.Which%1000) - 500)
		return x.Running
	case ClockRates:
		for i, ps := range n.c.pss {
			ps.SetDrift(int64(s.Which%900_000)*int64(1-2*(i&1)) - 50_000)
			n.after(s.For, func() { ps.SetDrift(0) })
		}
		return n.c.ps().Running
	}
	return effect
}

// setClock has a clock show the time.
func (n *nemesis) setClock(x *node) {
	x.FreezeClock(false)
	x.SetWallClock(epoch.Add(n.w.Elapsed()))
}

// epoch is what the clocks of a world show when it begins.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
