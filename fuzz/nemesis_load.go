package fuzz

import (
	"context"
	"time"

	"xenon/consensus/safekeeper"
	"xenon/core/env"
	"xenon/core/wire/http1"
	"xenon/diskdrv"
	"xenon/netsim"
)

// A rush is what all clients do for a while instead of what the load says.
type rush struct {
	hot     bool // they want one key
	silent  bool // they want nothing
	hasty   bool // they do not pause
	churn   bool // they do nothing but churn
	big     bool // their churn is records of many pages
	squeeze bool // servers put out every page they may
	calls   int  // that were made in a rush
}

func (r *rush) any() bool { return r.hot || r.hasty || r.churn || r.squeeze }

// load does what clients do to the system.
func (n *nemesis) load(s Step) func() bool {
	r := &n.c.rush
	set := func(flag *bool, after, d time.Duration) {
		n.after(after, func() { *flag = !n.quiet })
		n.after(after+d, func() { *flag = false })
	}
	switch s.Class {
	case HotKey:
		set(&r.hot, 0, s.For)
	case Burst:
		set(&r.silent, 0, s.For/2)
		set(&r.hasty, s.For/2, s.For/2)
	case ChurnStorm:
		set(&r.churn, 0, s.For)
	case BigRecords:
		set(&r.churn, 0, s.For)
		set(&r.big, 0, s.For)
	case EvictionStorm:
		set(&r.squeeze, 0, s.For)
	}
	return grows(func() int { return r.calls })
}

// operate does what operators do by mistake.
func (n *nemesis) operate(s Step) func() bool {
	switch s.Class {
	case WrongVolume:
		return n.wrongVolume(s)
	case OldSnapshot:
		return n.oldSnapshot(s)
	case AttachBoth:
		at := n.c.spare(s.Which)
		if at < 0 {
			return nil
		}
		effect := grows(func() int { return n.counts.Generations })
		ps := n.c.pss[at]
		ps.start()
		n.busy("second-operator", func(ctx context.Context, e env.Env) error {
			for _, l := range n.c.lines() {
				http1.Call(ctx, e, addrOf(ps.Name()), "POST", timelinesPath(l.id), n.c.attachRequest(l), nil)
			}
			return nil
		})
		return effect
	case CreateAgain:
		answers := 0
		n.busy("third-operator", func(ctx context.Context, e env.Env) error {
			for _, l := range n.c.lines() {
				for _, m := range n.c.conf.Members {
					if n.c.keeperNode(m.Host).wiped {
						continue // where a timeline was lost it is not made anew: it is known who never had it
					}
					body := safekeeper.NewCreation(l.id, n.c.conf, server, l.ghost.begin, nil)
					if err := http1.Call(ctx, e, m.Addr(), "POST", safekeeper.RouteTo(m.ID, "/v1/tenant/timeline"), body, nil); err == nil || refused(err, 400, 409, 410) {
						answers++
					}
				}
			}
			return nil
		})
		return func() bool { return answers > 0 }
	}
	return nil
}

// busy starts a process that does something, unless it is still at it.
func (n *nemesis) busy(name string, main netsim.Main) {
	p := n.w.Find(name)
	if p == nil {
		p = n.w.Proc(name, netsim.ProcOptions{})
	}
	if !p.Running() {
		p.Start(main)
	}
}

// seenOn has what a safekeeper said compared with a disk.
func (n *nemesis) seenOn(x *node, disk *diskdrv.Disk) {
	for _, l := range n.c.lines() {
		if k := l.keeper(x.Proc); !k.lost {
			k.disk = disk
		}
	}
}

// wrongVolume has two safekeepers start on each other's disk. They must refuse:
// a disk tells whose it is.
func (n *nemesis) wrongVolume(s Step) func() bool {
	a, b := n.c.sks[s.Which%len(n.c.sks)], n.c.sks[(s.Which+1)%len(n.c.sks)]
	if n.away || a == b || a.down || b.down {
		return nil
	}
	effect := n.end(a, true, 20*time.Millisecond)
	n.end(b, true, 20*time.Millisecond)
	n.befell(a)
	n.befell(b)
	a.disk.Swap(b.disk)
	n.away = true
	// What they said before, and is still on the way, is true of the other's disk.
	n.seenOn(a, b.disk)
	n.seenOn(b, a.disk)
	back := func() {
		a.Kill()
		b.Kill()
		a.disk.Swap(b.disk)
		n.away = false
		n.seenOn(a, a.disk)
		n.seenOn(b, b.disk)
		a.start()
		b.start()
	}
	n.mends = append(n.mends, &back)
	n.after(s.For+100*time.Millisecond, func() { n.mend(&back) })
	return effect
}

// oldSnapshot sets the disk of a pageserver back.
func (n *nemesis) oldSnapshot(s Step) func() bool {
	x := n.pageserver(s)
	shot, then := x.disk.Snapshot(), map[*line]reel{}
	for _, l := range n.c.lines() {
		then[l] = *l.reel(x.Proc)
	}
	changed := false
	n.after(s.For, func() {
		if n.quiet || x.down {
			return
		}
		n.end(x, true, 20*time.Millisecond)
		x.disk.SetFaults(diskdrv.Faults{})
		x.disk.Restore(shot)
		x.disk.SetFaults(quickDisk)
		n.c.tell() // of timelines that it knew nothing of by then
		for _, l := range n.c.lines() {
			r := l.reel(x.Proc)
			earlier := then[l].disk < r.disk
			changed = changed || earlier
			r.disk = min(r.disk, then[l].disk)
			r.back = r.back || earlier
		}
	})
	return func() bool { return changed }
}
