package fuzz

import (
	"time"

	"xenon/diskdrv"
	"xenon/netsim"
)

// A nemesis carries out a plan. What it can do lies in files by area:
// nemesis_network.go and so on.
type nemesis struct {
	c      *cluster
	j      *judge
	w      *netsim.World
	counts *Counts
	quiet  bool // the time of faults is over
	// available judges whether clients are served.
	available *availability
	tended    int

	cuts   map[[2]string]int       // of links one way, how many faults cut them
	twists []*twist                // of links, those that are not over
	spoils []*diskdrv.BucketFaults // of the object store, those that are not over
	snares []*snare
	// tampered are the objects that are lost or damaged now.
	tampered map[string]bool
	mends    []*func() // what has to be put right by hand, and was not yet
	// unlucky is the one safekeeper whose old WAL goes bad in this run.
	unlucky int
	moving  bool // safekeepers come and go in this run
	away    bool // the disk of a safekeeper is not its own, or not as it should be
	// lost is the safekeeper that lost its disk and is not replaced yet, why the
	// reason; nil if there is none.
	lost *node
	why  error
}

func newNemesis(c *cluster, j *judge, counts *Counts) *nemesis {
	return &nemesis{c: c, j: j, w: c.w, counts: counts, available: &availability{c: c, j: j, w: c.w, counts: counts}, cuts: map[[2]string]int{}, tampered: map[string]bool{}, unlucky: int(c.w.Seed() % 97)}
}

// arm puts every step of a plan before the world.
func (n *nemesis) arm(p *Plan) {
	n.moving = p.moves()
	for _, s := range p.Steps {
		n.w.After(s.At, func() {
			if !n.quiet {
				n.strike(s)
			}
		})
	}
	n.tend()
}

// tend starts what has ended by itself, as a supervisor does.
func (n *nemesis) tend() {
	for _, x := range n.c.nodes() {
		if !x.Running() && !x.down {
			x.start()
		}
	}
	if n.quiet && n.tended%50 == 0 {
		n.c.reclaim()
	}
	n.tended++
	n.w.After(200*time.Millisecond, n.tend)
}

// strike begins one fault, arranges for its end, and counts it; it had an
// effect if effect says so at its end.
func (n *nemesis) strike(s Step) {
	n.striking(s)
	effect := n.begin(s)
	n.struck(s, effect != nil)
	if effect == nil {
		if lurking[s.Class] {
			n.w.After(lookEvery, func() {
				if !n.quiet {
					n.strike(s)
				}
			})
		}
		return // nothing to strike
	}
	n.counts.Injected[s.Class]++
	ends := n.available.begins(s)
	n.w.After(s.For+time.Second, func() {
		ends()
		had := effect()
		n.mended(s, had)
		if had {
			n.counts.Effective[s.Class]++
		}
	})
}

// lurking are the classes that wait until there is something for them to strike:
// what they damage is there for moments only.
var lurking = [classes]bool{RotWAL: true, BadSectorWAL: true, RotLayers: true, BadLayers: true}

// begin does what a step says. It returns nil if there was nobody to befall,
// else what tells whether it changed the course of the run.
func (n *nemesis) begin(s Step) (effect func() bool) {
	switch s.Class.Area() {
	case Network:
		return n.network(s)
	case Process:
		return n.process(s)
	case Storage:
		return n.storage(s)
	case Objects:
		return n.objects(s)
	case Points:
		return n.points(s)
	case Load:
		return n.load(s)
	case Operator:
		return n.operate(s)
	}
	return n.reign(s)
}

// grows tells, when it is asked, whether a number has grown since now.
func grows(of func() int) func() bool {
	before := of()
	return func() bool { return of() > before }
}

// after does something once d has passed, or when all is mended.
func (n *nemesis) after(d time.Duration, f func()) { n.w.After(d, f) }

// keeper, server and any are whom a step befalls among the safekeepers, among
// the computes, and among all.
func (n *nemesis) keeper(s Step) *node { return victim(s.Which, n.c.sks[:]) }
func (n *nemesis) server(s Step) *node { return victim(s.Which, n.c.processes()) }
func (n *nemesis) any(s Step) *node    { return victim(s.Which, n.c.nodes()) }

// pageserver is the one that a step befalls: mostly the one that all ask.
func (n *nemesis) pageserver(s Step) *node {
	if i := n.c.spare(s.Which); i >= 0 && s.Which%5 == 0 {
		return n.c.pss[i]
	}
	return n.c.ps()
}

// leader is the compute of the first branch that has a server, or nil.
func (n *nemesis) leader() *seat {
	for _, x := range n.c.servers[:n.c.rivals] {
		if x.Running() && x.endpoint != nil && x.endpoint.Status().Server != nil {
			return x
		}
	}
	return nil
}

// heal mends everything, and sees to it that one compute runs the branch.
func (n *nemesis) heal() {
	n.quiet = true
	n.available.heals()
	n.joinAll()
	n.c.rush = rush{}
	for _, f := range n.mends {
		n.mend(f)
	}
	n.c.bucket.SetOutage(false)
	n.spoils = nil
	n.spoil()
	for _, x := range n.c.nodes() {
		x.Resume()
		x.Slow(0)
		x.SetDrift(0)
		x.FreezeClock(false)
		x.disk.SetTrap(nil)
		x.disk.SetGone(false)
		x.disk.SetReadOnly(false)
		x.disk.SetFaults(quickDisk)
		x.disk.SetFree(1 << 40)
		x.start()
	}
	for _, sk := range n.c.sks {
		if sk.failed > 0 { // a timeline may be out of service until it starts anew
			sk.Kill()
			sk.start()
		}
	}
	for _, s := range n.c.servers {
		if s.asks != nil && s.asks != n.c.ps() { // it is told of the new one
			s.Kill()
			s.start()
		}
	}
}
