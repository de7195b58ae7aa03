package fuzz

import (
	"time"

	"xenon/netsim"
)

// reign does what befalls those who rule: computes and pageservers that take
// over from each other.
func (n *nemesis) reign(s Step) func() bool {
	switch s.Class {
	case Takeover, Zombie:
		return n.takeover(s)
	case Duel:
		return n.duel()
	case Strand:
		return n.strand(s)
	case ReplacePages:
		return n.replace(s)
	}
	return nil
}

// takeover starts the compute that has no server; first the other one is cut
// off if it is to become a zombie.
func (n *nemesis) takeover(s Step) func() bool {
	old := n.leader()
	if old == nil {
		return nil
	}
	next := n.c.rival(old, s.Which)
	if next == nil {
		return nil
	}
	if s.Class == Zombie {
		n.isolate(old.Name(), s.For)
	}
	next.Kill()
	next.takeover = true
	next.start()
	before := n.counts.Elections
	return func() bool { return n.counts.Elections > before }
}

// duel kills both computes and lets both take the branch over: both campaign,
// since neither asks the register again before its term has ended. They reach
// safekeepers at the same moment, once both have been through the register.
func (n *nemesis) duel() func() bool {
	if n.c.rivals == 1 {
		return nil
	}
	for _, x := range n.c.servers[:n.c.rivals] {
		x.Kill()
		for _, sk := range n.c.sks {
			n.part(x.Name(), sk.Name(), 300*time.Millisecond)
		}
		x.takeover = true
		x.start()
	}
	n.twist("", time.Second, func(o *netsim.LinkOptions) {
		o.Latency, o.Jitter = 20*time.Millisecond, 20*time.Millisecond // both campaigns last long enough to meet
	})
	before := n.counts.Elections
	return func() bool { return n.counts.Elections > before+1 }
}

// strand leaves a server one safekeeper, which then holds a tail that nobody
// else has; then both are gone while the others go on.
func (n *nemesis) strand(s Step) func() bool {
	old := n.leader()
	if old == nil {
		return nil
	}
	kept := victim(s.Which, n.c.sks[:])
	for _, sk := range n.c.sks {
		if sk != kept {
			n.part(old.Name(), sk.Name(), 250*time.Millisecond)
		}
	}
	cut := n.counts.TailsCut
	n.after(250*time.Millisecond, func() {
		if n.quiet {
			return
		}
		n.end(old.node, s.Which&1 == 0, 50*time.Millisecond)
		n.end(kept, s.Which&2 == 0, 300*time.Millisecond+s.For)
	})
	return func() bool { return n.counts.TailsCut > cut }
}

// replace has the other pageserver take everything over, with what its disk
// held before or with nothing. The old one stands still meanwhile, is cut off,
// dead, or runs on and hears of it from the object store only; once that is
// over it goes on as if it were still the one.
func (n *nemesis) replace(s Step) func() bool {
	at := n.c.spare(s.Which)
	if at < 0 {
		return nil
	}
	old, next := n.c.ps(), n.c.pss[at]
	switch s.Which % 4 {
	case 0:
		n.pause(old, s.For)
	case 1:
		n.isolate(old.Name(), s.For)
	case 2:
		n.end(old, s.Which&4 == 0, s.For)
	}
	next.Kill() // it takes over when it starts
	if s.Which&8 == 0 {
		n.empty(next)
	}
	n.c.owner = at
	next.start()
	n.c.tell()
	if s.Which&48 == 0 { // else servers go on to ask the old one
		for _, x := range n.c.servers {
			n.end(x.node, false, 50*time.Millisecond)
		}
	}
	before := n.counts.Generations
	return func() bool { return n.counts.Generations > before }
}
