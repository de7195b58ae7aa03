package fuzz

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"time"

	"xenon/core/env"
	"xenon/diskdrv"
	"xenon/netsim"
)

// A nemesis carries out a plan.
type nemesis struct {
	c      *cluster
	w      *netsim.World
	counts *Counts
	dials  int  // connections asked for so far
	quiet  bool // the time of faults is over
	tended int
	spoils []*diskdrv.BucketFaults // of the object store, those that are not over
}

// arm puts every step of a plan before the world.
func (n *nemesis) arm(p *Plan) {
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
		return // nothing to strike
	}
	n.counts.Injected[s.Class]++
	n.w.After(s.For+time.Second, func() {
		had := effect()
		n.mended(s, had)
		if had {
			n.counts.Effective[s.Class]++
		}
	})
}

func always() bool { return true }

// begin does what a step says. It returns nil if there was nobody to befall,
// else what tells whether it changed the course of the run.
func (n *nemesis) begin(s Step) (effect func() bool) {
	sk, ps, srv := victim(s.Which, n.c.sks[:]), n.pageserver(s), victim(s.Which, n.c.processes())
	any := victim(s.Which, n.c.nodes())
	switch s.Class {
	case KillKeeper, KillServer, KillPages, CutKeeper, CutServer, CutPages:
		x := map[Class]*node{KillKeeper: sk, CutKeeper: sk, KillServer: srv, CutServer: srv, KillPages: ps, CutPages: ps}[s.Class]
		return n.end(x, s.Class == CutKeeper || s.Class == CutServer || s.Class == CutPages, s.For)
	case PauseKeeper:
		return n.pause(sk, s.For)
	case PauseServer:
		return n.pause(srv, s.For)
	case PausePages:
		return n.pause(ps, s.For)
	case SlowProcess:
		any.Slow(50 * time.Microsecond)
		n.after(s.For, func() { any.Slow(0) })
		return any.Running
	case AllDown:
		for _, x := range n.c.nodes() {
			n.end(x, true, s.For)
		}
		return always
	case Takeover, Zombie:
		return n.takeover(s)
	case Duel:
		return n.duel()
	case Strand:
		return n.strand(s)
	case Partition, OneWay, Isolate, Reset, HalfOpen, SlowLinks, SplitReads, ResetSome:
		return n.network(s)
	case FailSync, IOErrors, DiskFull, SlowDisk, Journalled:
		return n.storage(s, sk, any)
	case ClockStep:
		any.StepClock(time.Duration(s.Which-1<<15) * 10 * time.Millisecond)
		return any.Running
	case ClockDrift:
		any.SetDrift(int64(s.Which%1000) - 500)
		return any.Running
	case BucketDown, BucketErrors, BucketUnknown, BucketSlow, BucketForbidden, IndexUnknown:
		return n.objects(s)
	case WipePages:
		return n.wipe(s)
	case ReplacePages:
		return n.replace(s)
	case PagesIO, PagesFull:
		return n.storage(s, ps, any)
	}
	return nil
}

// after does something once d has passed, or when all is mended.
func (n *nemesis) after(d time.Duration, f func()) { n.w.After(d, f) }

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

func (n *nemesis) pause(x *node, d time.Duration) func() bool {
	if !x.Running() {
		return nil
	}
	x.Pause()
	n.after(d, x.Resume)
	return always
}

// network does what befalls links.
func (n *nemesis) network(s Step) func() bool {
	all := n.c.nodes()
	first := victim(s.Which, all)
	all = slices.DeleteFunc(all, func(x *node) bool { return x == first })
	a, b := first.Name(), victim(s.Which, all).Name()
	dials := n.dials
	redialled := func() bool { return n.dials > dials }
	switch s.Class {
	case Partition:
		n.w.Partition([]string{a}, []string{b})
	case OneWay:
		n.w.Cut(a, b)
	case Isolate:
		n.w.Isolate(a)
	case Reset:
		n.w.Reset(a, b)
		return redialled
	case HalfOpen:
		n.w.HalfOpen(a, b)
		return redialled
	default:
		o := netsim.DefaultLink
		switch s.Class {
		case SlowLinks:
			o.Latency, o.Jitter, o.Tail, o.Tails = 5*time.Millisecond, 20*time.Millisecond, 500*time.Millisecond, 20
			o.Bandwidth = 4 << 20
		case SplitReads:
			o.Splits, o.Window = 300, 8<<10
		case ResetSome:
			o.Resets = 3000
		}
		n.w.SetLinks(o)
		n.after(s.For, func() { n.w.SetLinks(netsim.DefaultLink) })
		return always
	}
	n.after(s.For, n.w.HealAll)
	return redialled
}

// leader is the compute of the first branch that has a server, or nil.
func (n *nemesis) leader() *seat {
	for _, x := range n.c.servers[:computes] {
		if x.Running() && x.endpoint != nil && x.endpoint.Status().Server != nil {
			return x
		}
	}
	return nil
}

// pageserver is the one that a step befalls: mostly the one that all ask.
func (n *nemesis) pageserver(s Step) *node {
	if s.Which%5 == 0 {
		return n.c.pss[1-n.c.owner]
	}
	return n.c.ps()
}

// takeover starts the compute that has no server; first the other one is cut
// off if it is to become a zombie.
func (n *nemesis) takeover(s Step) func() bool {
	old := n.leader()
	if old == nil {
		return nil
	}
	i := 0
	if n.c.servers[i] == old {
		i = 1
	}
	next := n.c.servers[i]
	if s.Class == Zombie {
		n.w.Isolate(old.Name())
		n.after(s.For, n.w.HealAll)
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
	for _, x := range n.c.servers[:computes] {
		x.Kill()
		for _, sk := range n.c.sks {
			n.w.Partition([]string{x.Name()}, []string{sk.Name()})
		}
		x.takeover = true
		x.start()
	}
	o := netsim.DefaultLink
	o.Latency, o.Jitter = 20*time.Millisecond, 20*time.Millisecond
	n.w.SetLinks(o) // both campaigns last long enough to meet
	n.after(300*time.Millisecond, n.w.HealAll)
	n.after(time.Second, func() { n.w.SetLinks(netsim.DefaultLink) })
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
			n.w.Partition([]string{old.Name()}, []string{sk.Name()})
		}
	}
	cut := n.counts.TailsCut
	n.after(250*time.Millisecond, func() {
		if n.quiet {
			return
		}
		n.end(old.node, s.Which&1 == 0, 50*time.Millisecond)
		n.w.HealAll()
		n.end(kept, s.Which&2 == 0, 300*time.Millisecond+s.For)
	})
	return func() bool { return n.counts.TailsCut > cut }
}

// storage does what befalls disks.
func (n *nemesis) storage(s Step, sk, any *node) func() bool {
	f := quickDisk
	switch s.Class {
	case FailSync:
		f.SyncError = 200
	case IOErrors, PagesIO:
		f.ReadError, f.WriteError, f.NameError = 50, 50, 100
	case DiskFull, PagesFull:
		n.befell(sk)
		sk.disk.SetFree(uint64(s.Which & 1 * s.Which))
		failed := sk.failed
		n.after(s.For, func() { sk.disk.SetFree(1 << 40) })
		return func() bool { return sk.failed > failed }
	case SlowDisk:
		f.Sync = diskdrv.Delay{Base: 5 * time.Millisecond, Jitter: 30 * time.Millisecond, Stalls: 20, Stall: 700 * time.Millisecond}
		n.befell(any)
		any.disk.SetFaults(f)
		n.after(s.For, func() { any.disk.SetFaults(quickDisk) })
		return any.Running
	case Journalled:
		f.Crash = diskdrv.CrashJournalled
		n.befell(any)
		any.disk.SetFaults(f)
		return func() bool { return any.disk.LostWrites() > 0 }
	}
	failed := sk.failed
	n.befell(sk)
	sk.disk.SetFaults(f)
	n.after(s.For, func() { sk.disk.SetFaults(quickDisk) })
	return func() bool { return sk.failed > failed }
}

// objects does what befalls the object store.
func (n *nemesis) objects(s Step) func() bool {
	n.befellBucket()
	struck := n.c.bucket.Struck()
	effect := func() bool { return n.c.bucket.Struck() > struck }
	f := diskdrv.BucketFaults{Latency: quickBucket}
	switch s.Class {
	case BucketDown:
		n.c.bucket.SetOutage(true)
		n.after(s.For, func() { n.c.bucket.SetOutage(false) })
		return effect
	case BucketSlow:
		asked := n.c.bucket.Usage()
		f.Latency = diskdrv.Delay{Base: 50 * time.Millisecond, Jitter: 500 * time.Millisecond, Stalls: 50, Stall: 3 * time.Second}
		effect = func() bool { return n.c.bucket.Usage() != asked }
	case BucketForbidden:
		f.Owner, f.Forbidden = n.c.ps().Name(), 1000
	case IndexUnknown:
		f.Keys, f.LostRequest, f.LostResponse, f.Late, f.Twice = "index-", 100, 400, 200, 100
		if s.Which%8 == 0 {
			f.Keys = "gen/"
		}
		f.Timeout, f.MaxLate = 200*time.Millisecond, 5*time.Second
		s.For += 2 * time.Second // they are seldom
	case BucketErrors:
		f.SlowDown, f.Unavailable, f.CutBody, f.Conflict = 100, 100, 100, 300
	case BucketUnknown:
		f.LostRequest, f.LostResponse, f.Late, f.Twice = 100, 150, 100, 100
		f.Timeout, f.MaxLate = 200*time.Millisecond, 3*time.Second
	}
	n.spoils = append(n.spoils, &f)
	n.spoil()
	n.after(s.For+time.Second, func() {
		n.spoils = slices.DeleteFunc(n.spoils, func(x *diskdrv.BucketFaults) bool { return x == &f })
		n.spoil()
	})
	return effect
}

// spoil makes the object store as bad as the last fault of it that is not over.
func (n *nemesis) spoil() {
	f := diskdrv.BucketFaults{Latency: quickBucket}
	if k := len(n.spoils); k > 0 {
		f = *n.spoils[k-1]
	}
	n.c.bucket.SetFaults(f)
}

// wipe takes everything from the pageserver's disk, and has somebody tell it
// again what it is to serve.
func (n *nemesis) wipe(s Step) func() bool {
	ps := n.c.ps()
	n.end(ps, false, s.For)
	n.empty(ps)
	n.c.tell()
	return always
}

// empty takes everything from the disk of a pageserver that does not run.
func (n *nemesis) empty(ps *node) {
	ps.disk.SetFaults(diskdrv.Faults{})
	err := remove(ps.disk.FS(nil), "tenants")
	ps.disk.SetFaults(quickDisk)
	if err != nil {
		n.w.Fail(err)
	}
	for _, l := range n.c.lines() {
		l.reel(ps.Proc).disk = 0
	}
}

// replace has the other pageserver take everything over, with what its disk
// held before or with nothing. The old one stands still meanwhile, is cut off,
// dead, or runs on and hears of it from the object store only; once that is
// over it goes on as if it were still the one.
func (n *nemesis) replace(s Step) func() bool {
	old, next := n.c.ps(), n.c.pss[1-n.c.owner]
	switch s.Which % 4 {
	case 0:
		n.pause(old, s.For)
	case 1:
		n.w.Isolate(old.Name())
		n.after(s.For, n.w.HealAll)
	case 2:
		n.end(old, s.Which&4 == 0, s.For)
	}
	next.Kill() // it takes over when it starts
	if s.Which&8 == 0 {
		n.empty(next)
	}
	n.c.owner = 1 - n.c.owner
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

// remove removes a directory and all below it, if it is there.
func remove(f env.FS, dir string) error {
	list, err := f.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range list {
		name := path.Join(dir, e.Name)
		if e.Dir {
			err = remove(f, name)
		} else {
			err = f.Remove(name)
		}
		if err != nil {
			return err
		}
	}
	return errors.Join(f.SyncDir(dir), f.Remove(dir), f.SyncDir(path.Dir(dir)))
}

// heal mends everything, and sees to it that one compute runs the branch.
func (n *nemesis) heal() {
	n.quiet = true
	n.w.HealAll()
	n.w.SetLinks(netsim.DefaultLink)
	n.c.bucket.SetOutage(false)
	n.spoils = nil
	n.spoil()
	for _, x := range n.c.nodes() {
		x.Resume()
		x.Slow(0)
		x.SetDrift(0)
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
