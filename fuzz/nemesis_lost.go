package fuzz

import (
	"context"
	"errors"
	"slices"
	"time"

	"xenon/consensus"
	"xenon/consensus/migrate"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/xsync"
	"xenon/diskdrv"
	"xenon/netsim"
)

// wipeKeeper takes its whole disk from a safekeeper. It comes back with an empty
// one under its number, when or before an operator replaces it everywhere: it
// has neither what it acknowledged nor its votes, and must take no part until it
// has been out of the members. It had an effect if it had promised something.
func (n *nemesis) wipeKeeper(s Step) func() bool {
	x := victim(s.Which, slices.Concat(n.c.sks, n.c.reserve))
	if x.down || !n.maySpare(x) {
		return nil
	}
	held := false
	n.end(x, true, s.For)
	n.befell(x)
	grave := diskdrv.NewDisk(diskdrv.DiskOptions{Rand: n.w.Rand("grave")})
	x.disk.SetTrap(nil)
	x.disk.Swap(grave)
	x.wiped, n.away, n.lost = true, true, x
	for _, l := range n.c.lines() {
		k := l.keeper(x.Proc)
		if l.gone || !l.members.record.Config.Has(memberID(k.name)) {
			l.forget(k)
			continue
		}
		held = held || k.flush > l.ghost.begin
		k.disk, k.lost = grave, true
	}
	replacer := n.w.Find("replacer")
	if replacer == nil {
		replacer = n.w.Proc("replacer", netsim.ProcOptions{Objects: func(e env.Env) env.ObjectStore { return n.c.bucket.Objects(e, "replacer") }})
	}
	n.after(time.Duration(s.Which%3)*s.For, func() {
		replacer.Start(func(ctx context.Context, e env.Env) error { return n.replaceLost(ctx, e, x, s.Which) })
	})
	return func() bool { return held }
}

// maySpare tells whether a safekeeper may lose its disk: no other one is lost or
// away, and every timeline that it is a member of has two more members, each with
// what it is to have. Nobody changes members at the same time who does not know
// of it.
func (n *nemesis) maySpare(x *node) bool {
	if replacer := n.w.Find("replacer"); n.away || n.lost != nil || n.c.reshaping > 0 || replacer != nil && replacer.Running() {
		return false
	}
	member := false
	for _, l := range n.c.lines() {
		conf := l.members.record.Config
		switch {
		case l.gone:
			continue
		case l.going || conf.Generation == 0 || len(conf.NewMembers) > 0:
			return false
		case !conf.Has(memberID(x.Name())):
			continue
		case len(conf.Members) < 3 || slices.ContainsFunc(l.keepers, func(k *keeper) bool { return !k.whole() }):
			return false
		}
		member = true
	}
	return member
}

// whole tells whether a safekeeper has the timeline on its disk.
func (k *keeper) whole() bool {
	_, err := k.control()
	return err == nil && !k.out
}

// replaceLost does what an operator does with `xenon membership replace`: on each
// timeline that the safekeeper was a member of another one takes its place. It is
// free for new things then, its old number among them.
func (n *nemesis) replaceLost(ctx context.Context, e env.Env, x *node, which int) error {
	for _, l := range n.c.lines() {
		k := l.keeper(x.Proc)
		if !k.lost {
			continue
		}
		edit := migrate.Edit{Remove: []core.NodeID{memberID(k.name)}, Patience: 300 * time.Millisecond}
		if spare, ok := n.c.outside(l, x, which); ok {
			edit.Add = []consensus.Member{spare}
		}
		for try := 0; k.lost && !l.gone; try++ {
			part, cancel := xsync.WithTimeout(ctx, e, time.Duration(min(try+1, 10))*2*time.Second)
			_, n.why = migrate.Run(part, e, l.id, edit)
			cancel()
			if err := e.Clock().Sleep(ctx, 50*time.Millisecond); err != nil {
				return errors.Join(err, n.why)
			}
		}
	}
	n.lost, n.away = nil, false
	n.counts.Replaced++
	return nil
}

// outside is a safekeeper that is no member of a timeline, and not the one given.
func (c *cluster) outside(l *line, but *node, which int) (consensus.Member, bool) {
	all := slices.DeleteFunc(slices.Concat(c.sks, c.reserve), func(o *node) bool {
		return o == but || l.members.record.Config.Has(memberID(o.Name()))
	})
	if len(all) == 0 {
		return consensus.Member{}, false
	}
	name := victim(which, all).Name()
	return memberOf(int(memberID(name)) - 1), true
}

// forget makes a keeper one that has promised nothing, with the disk of its
// process.
func (l *line) forget(k *keeper) {
	begin, vault := l.ghost.begin, k.vault
	*k = *newKeeper(k.name, l.id, l.j.c.keeperNode(k.name).disk, begin)
	k.vault, k.out = vault, true
}
