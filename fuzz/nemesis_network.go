package fuzz

import (
	"slices"
	"time"

	"xenon/netsim"
)

// network does what befalls links and hosts.
func (n *nemesis) network(s Step) func() bool {
	switch s.Class {
	case Partition, OneWay, Isolate, Bridge, Clog, Flap, Impatient:
		return n.sever(s)
	case Reset, HalfOpen, HalfClose, LateBytes:
		return n.sockets(s)
	case Slam, Refuse, BlackHole, BacklogFull, WrongHost:
		return n.doors(s)
	}
	return n.quality(s)
}

// tally makes a number of the network's tally one that can grow.
func (n *nemesis) tally(of func(netsim.Tally) int) func() int {
	return func() int { return of(n.w.Tally()) }
}

// cut keeps packets from one host to another for d, other faults or not.
func (n *nemesis) cut(from, to string, d time.Duration) {
	link := [2]string{from, to}
	n.cuts[link]++
	n.w.Cut(from, to)
	n.after(d, func() {
		switch n.cuts[link] {
		case 0: // all has been mended meanwhile
		case 1:
			n.w.Heal(from, to)
			fallthrough
		default:
			n.cuts[link]--
		}
	})
}

// part cuts both directions between two hosts.
func (n *nemesis) part(a, b string, d time.Duration) {
	n.cut(a, b, d)
	n.cut(b, a, d)
}

// isolate cuts a host off from all others.
func (n *nemesis) isolate(name string, d time.Duration) {
	for _, other := range n.w.Hosts() {
		if other != name {
			n.part(name, other, d)
		}
	}
}

// A twist makes links worse for a while.
type twist struct {
	host   string // of whose links it is, from it and to it; empty is all
	change func(o *netsim.LinkOptions)
}

// twist begins one, for d.
func (n *nemesis) twist(host string, d time.Duration, change func(o *netsim.LinkOptions)) {
	t := &twist{host, change}
	n.twists = append(n.twists, t)
	n.relink()
	n.after(d, func() {
		n.twists = slices.DeleteFunc(n.twists, func(x *twist) bool { return x == t })
		n.relink()
	})
}

// relink makes all links as bad as all that befalls them.
func (n *nemesis) relink() {
	all := netsim.DefaultLink
	for _, t := range n.twists {
		if t.host == "" {
			t.change(&all)
		}
	}
	n.w.SetLinks(all)
	for _, t := range n.twists {
		if t.host == "" {
			continue
		}
		o := all
		for _, u := range n.twists {
			if u.host == t.host {
				u.change(&o)
			}
		}
		for _, other := range n.w.Hosts() {
			n.w.SetLink(t.host, other, o)
			n.w.SetLink(other, t.host, o)
		}
	}
}

// joinAll ends all that befalls the network.
func (n *nemesis) joinAll() {
	clear(n.cuts)
	n.w.HealAll()
	n.twists = nil
	n.relink()
	for _, x := range n.c.nodes() {
		n.w.SetDoor(x.Name(), netsim.DoorOpen)
		n.w.SetBacklog(x.Name(), 0)
		n.w.Unalias(x.Name())
	}
}

// two are different nodes.
func (n *nemesis) two(s Step) (a, b string) {
	all := n.c.nodes()
	first := victim(s.Which, all)
	rest := slices.DeleteFunc(all, func(x *node) bool { return x == first })
	return first.Name(), victim(s.Which, rest).Name()
}

// talkers are two nodes that have connections with each other.
func (n *nemesis) talkers(s Step) (a, b string) {
	sk, ps, server := n.keeper(s).Name(), n.c.ps().Name(), n.server(s).Name()
	if l := n.leader(); l != nil && s.Which%3 > 0 {
		server = l.Name()
	}
	switch s.Which % 6 {
	case 0:
		return sk, ps
	case 1:
		return ps, sk
	case 2:
		return sk, server
	case 3:
		return server, ps
	}
	return server, sk
}

// sever cuts links.
func (n *nemesis) sever(s Step) func() bool {
	effect := grows(n.tally(func(t netsim.Tally) int { return t.HeldUp }))
	a, b := n.two(s)
	switch s.Class {
	case Partition:
		n.part(a, b, s.For)
	case OneWay:
		n.cut(a, b, s.For)
	case Isolate:
		n.isolate(a, s.For)
	case Bridge:
		n.bridge(a, s)
	case Clog:
		others := n.c.nodes()
		for i, x := range others {
			if x.Name() == a {
				continue
			}
			begin := s.For / 2 * time.Duration(i) / time.Duration(len(others))
			last := s.For / 2 * time.Duration((i*5+s.Which)%len(others)) / time.Duration(len(others))
			n.after(begin, func() {
				if !n.quiet {
					n.part(a, x.Name(), s.For/2-begin+last)
				}
			})
		}
	case Flap:
		n.flap(s, a, b)
	case Impatient:
		effect = grows(n.tally(func(t netsim.Tally) int { return t.TimedOut }))
		n.twist("", s.For+time.Second, func(o *netsim.LinkOptions) {
			o.UserTimeout, o.KeepAlive = 300*time.Millisecond, 500*time.Millisecond
		})
		a, b = n.talkers(s)
		n.part(a, b, s.For+500*time.Millisecond)
	}
	return effect
}

// bridge leaves one node that hears both halves of the others.
func (n *nemesis) bridge(name string, s Step) {
	var halves [2][]string
	for i, x := range n.c.nodes() {
		if x.Name() != name {
			side := (s.Which >> (i % 16)) & 1
			halves[side] = append(halves[side], x.Name())
		}
	}
	for _, x := range halves[0] {
		for _, y := range halves[1] {
			n.part(x, y, s.For)
		}
	}
}

// flap cuts a link and joins it, again and again.
func (n *nemesis) flap(s Step, a, b string) {
	beat := time.Duration(5+s.Which%40) * time.Millisecond
	for at := time.Duration(0); at < s.For; at += 2 * beat {
		n.after(at, func() {
			if !n.quiet {
				n.part(a, b, beat)
			}
		})
	}
}

// sockets does what befalls the connections that there are.
func (n *nemesis) sockets(s Step) func() bool {
	a, b := n.talkers(s)
	var count func(t netsim.Tally) int
	switch s.Class {
	case Reset, HalfOpen:
		count = func(t netsim.Tally) int { return t.Broken }
	case HalfClose:
		count = func(t netsim.Tally) int { return t.Cut }
	case LateBytes:
		count = func(t netsim.Tally) int { return t.OldBytes }
	}
	effect := grows(n.tally(count))
	switch s.Class {
	case Reset:
		n.w.Reset(a, b)
	case HalfOpen:
		n.w.HalfOpen(a, b)
	case HalfClose:
		n.w.HalfClose(a, b)
	case LateBytes:
		n.w.Detain(a, b, 50*time.Millisecond+s.For)
	}
	return effect
}

// doors does what befalls those who connect to a host.
func (n *nemesis) doors(s Step) func() bool {
	x := n.any(s)
	if s.Which%3 == 0 {
		x = n.c.ps()
	}
	open := func() { n.w.SetDoor(x.Name(), netsim.DoorOpen) }
	switch s.Class {
	case Slam:
		n.w.SetDoor(x.Name(), netsim.DoorSlams)
		n.after(s.For, open)
		return grows(n.tally(func(t netsim.Tally) int { return t.Slammed }))
	case Refuse:
		n.w.SetDoor(x.Name(), netsim.DoorRefuses)
		n.after(s.For, open)
		return grows(n.tally(func(t netsim.Tally) int { return t.Refused }))
	case BlackHole:
		n.w.SetDoor(x.Name(), netsim.DoorSilent)
		n.after(s.For, open)
	case BacklogFull:
		n.w.SetBacklog(x.Name(), 1)
		n.pause(x, s.For)
		n.after(s.For, func() { n.w.SetBacklog(x.Name(), 0) })
	case WrongHost:
		sk, other := n.keeper(s), n.c.sks[s.Which%len(n.c.sks)]
		if sk == other {
			return nil
		}
		n.w.Alias(sk.Name(), other.Name())
		n.w.Reset(sk.Name(), n.server(s).Name()) // whoever comes back goes astray
		n.after(s.For, func() { n.w.Unalias(sk.Name()) })
		return grows(n.tally(func(t netsim.Tally) int { return t.Misled }))
	}
	return grows(n.tally(func(t netsim.Tally) int { return t.Unheard }))
}

// quality makes links worse.
func (n *nemesis) quality(s Step) func() bool {
	host := ""
	var change func(o *netsim.LinkOptions)
	var count func(t netsim.Tally) int
	switch s.Class {
	case SlowLinks:
		change = func(o *netsim.LinkOptions) {
			o.Latency, o.Jitter, o.Tail, o.Tails = 5*time.Millisecond, 20*time.Millisecond, 500*time.Millisecond, 20
		}
		count = func(t netsim.Tally) int { return t.Late }
	case SlowHost:
		host = n.any(s).Name()
		change = func(o *netsim.LinkOptions) {
			o.Latency, o.Jitter, o.Tail, o.Tails = 20*time.Millisecond, 50*time.Millisecond, 800*time.Millisecond, 200
		}
		count = func(t netsim.Tally) int { return t.Late }
	case ThinLinks:
		change = func(o *netsim.LinkOptions) { o.Bandwidth = 256 << 10 }
		count = func(t netsim.Tally) int { return t.Queued }
	case TinyWindow:
		change = func(o *netsim.LinkOptions) { o.Window = 300 + s.Which%3000 }
		count = func(t netsim.Tally) int { return t.Blocked }
	case SlowReader:
		host = n.any(s).Name()
		change = func(o *netsim.LinkOptions) { o.Sip, o.SipTime = 64+s.Which%1000, 500*time.Microsecond }
		count = func(t netsim.Tally) int { return t.Sips }
	case Losses:
		change = func(o *netsim.LinkOptions) { o.Losses = 10 }
		count = func(t netsim.Tally) int { return t.Lost }
	case SplitReads:
		change = func(o *netsim.LinkOptions) { o.Splits, o.Window = 300, min(o.Window, 8<<10) }
		count = func(t netsim.Tally) int { return t.Cuts }
	case ResetSome:
		change = func(o *netsim.LinkOptions) { o.Resets = 3000 }
		count = func(t netsim.Tally) int { return t.Broken }
	}
	n.twist(host, s.For, change)
	return grows(n.tally(count))
}
