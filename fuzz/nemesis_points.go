package fuzz

import (
	"slices"
	"time"

	"xenon/core/env"
	"xenon/diskdrv"
	"xenon/netsim"
)

// A snare ends a process at the moment that it says something.
type snare struct {
	note string      // what is waited for
	of   []*node     // by whom; nil is anybody
	then func(*node) // between two steps, with the process standing still since
}

// noted is told of every note that a part makes.
func (n *nemesis) noted(p *netsim.Proc, e env.Event) {
	for i, s := range n.snares {
		if s.note != e.Kind {
			continue
		}
		x := n.node(p)
		if x == nil || s.of != nil && !slices.Contains(s.of, x) {
			continue
		}
		n.snares = slices.Delete(n.snares, i, i+1)
		x.Pause()
		n.after(0, func() {
			x.Resume()
			s.then(x)
		})
		return
	}
}

// node is the node of a process, nil if faults do not befall it.
func (n *nemesis) node(p *netsim.Proc) *node {
	for _, x := range n.c.nodes() {
		if x.Proc == p {
			return x
		}
	}
	return nil
}

// points ends processes at named points: between two steps that are durable one
// by one, or just when others are about to hear of something.
func (n *nemesis) points(s Step) func() bool {
	switch s.Class {
	case CutAtWrite:
		return n.trap(s, diskdrv.CrashHarsh, "write")
	case CutAtSync:
		return n.trap(s, diskdrv.CrashHarsh, "sync")
	case CutAtName:
		return n.trap(s, diskdrv.CrashHarsh, "create", "rename", "remove", "mkdir")
	case CutAtTruncate:
		return n.trap(s, diskdrv.CrashHarsh, "truncate", "allocate")
	case TornWrites:
		return n.trap(s, diskdrv.CrashTorn, "write")
	case LostNames:
		return n.trap(s, diskdrv.CrashNameless, "create", "rename", "remove")
	case LostBytes:
		return n.trap(s, diskdrv.CrashHollow, "write", "create")
	case Reordered:
		return n.trap(s, diskdrv.CrashReversed, "write")
	case Journalled:
		return n.trap(s, diskdrv.CrashJournalled, "write")
	case CutAtVote:
		return n.snare(s, "safekeeper.vote", n.c.sks)
	case CutAtAdopt:
		return n.snare(s, "safekeeper.elected", n.c.sks)
	case CutAtAck:
		return n.snare(s, "safekeeper.ack", []*node{n.keeper(s)})
	case KillAtElection:
		return n.snare(s, "proposer.elected", nil)
	case KillAtCommit:
		return n.snare(s, "proposer.commit", n.c.processes())
	case CutAtOpen:
		n.end(n.c.ps(), false, 20*time.Millisecond)
		return n.snare(s, "pageserver.open", n.c.pss)
	case CutAtFlush:
		return n.snare(s, "pageserver.disk", n.c.pss)
	case CutAtReport:
		return n.snare(s, "pageserver.remote", n.c.pss)
	}
	return nil
}

// trap cuts the power of a node behind an operation of its disk of one of these
// kinds. It had an effect if that took something.
func (n *nemesis) trap(s Step, mode diskdrv.CrashMode, kinds ...string) func() bool {
	x := n.keeper(s)
	if s.Which%3 == 0 {
		x = n.c.ps()
	}
	if x.down {
		return nil
	}
	n.befell(x)
	hit := false
	t := &diskdrv.Trap{Kinds: kinds, Left: 1 + s.Which%7}
	t.Then = func() {
		n.after(0, func() {
			before, f := x.disk.Harm(), quickDisk
			f.Crash = mode
			x.disk.SetFaults(f)
			n.end(x, true, 30*time.Millisecond)
			x.disk.SetFaults(quickDisk)
			h := x.disk.Harm()
			switch mode {
			case diskdrv.CrashTorn:
				hit = h.Torn > before.Torn
			case diskdrv.CrashNameless:
				hit = h.NamesLost > before.NamesLost
			case diskdrv.CrashHarsh:
				hit = true
			default:
				hit = h.Dropped > before.Dropped
			}
		})
	}
	x.disk.SetTrap(t)
	n.after(s.For+500*time.Millisecond, func() { x.disk.SetTrap(nil) })
	return func() bool { return hit }
}

// snare ends whoever says something next: by a power cut if its disk matters.
func (n *nemesis) snare(s Step, note string, of []*node) func() bool {
	hit := false
	t := &snare{note: note, of: of}
	t.then = func(x *node) {
		if !n.quiet {
			hit = true
			n.end(x, s.Which&1 == 0, s.For/4)
		}
	}
	n.snares = append(n.snares, t)
	n.after(s.For+500*time.Millisecond, func() {
		n.snares = slices.DeleteFunc(n.snares, func(x *snare) bool { return x == t })
	})
	return func() bool { return hit }
}
