package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"xenon/fuzz"
)

// A driver carries out plans of the simulator on a [cluster]: what befalls a
// process of the simulation befalls the real one.
type driver struct {
	c       *cluster
	current int // of the computes: who was told last to run the branch
	struck  map[fuzz.Class]int
}

// strike begins one fault and returns what ends it, nil if there was nobody to
// befall.
func (d *driver) strike(s fuzz.Step) (mend func()) {
	c := d.c
	keeper := c.machine(keeperHosts[s.Which%len(keeperHosts)])
	pages, compute := c.machine(pagesHost), c.machine(computeHosts[d.current])
	switch s.Class {
	case fuzz.KillKeeper, fuzz.CutKeeper:
		return killed(keeper)
	case fuzz.KillPages, fuzz.CutPages:
		return killed(pages)
	case fuzz.KillServer, fuzz.CutServer:
		return killed(compute)
	case fuzz.PauseKeeper:
		return paused(keeper)
	case fuzz.PausePages:
		return paused(pages)
	case fuzz.PauseServer:
		return paused(compute)
	case fuzz.AllDown:
		return all(c.machines, killed)
	case fuzz.Partition, fuzz.OneWay, fuzz.Isolate:
		return d.network(s)
	case fuzz.Takeover:
		return d.takeover(nil)
	case fuzz.Zombie:
		return d.takeover(d.zombie(s, compute))
	case fuzz.WipePages:
		return d.wipe(pages)
	case fuzz.FailSync, fuzz.IOErrors, fuzz.DiskFull:
		return broken(c.disks[keeper.name], s)
	case fuzz.PagesIO, fuzz.PagesFull:
		return broken(c.disks[pages.name], s)
	}
	return nil
}

// broken does what befalls a disk.
func broken(d *faultyDisk, s fuzz.Step) func() {
	var on []*atomic.Bool
	switch s.Class {
	case fuzz.FailSync:
		on = append(on, &d.noSyncs)
	case fuzz.DiskFull, fuzz.PagesFull:
		on = append(on, &d.full)
	default:
		on = [][]*atomic.Bool{{&d.noReads}, {&d.noWrites}, {&d.noWrites, &d.noSyncs}}[s.Which%3]
	}
	for _, b := range on {
		b.Store(true)
	}
	return func() {
		for _, b := range on {
			b.Store(false)
		}
	}
}

// classes are those that a driver knows how to bring about. A power cut is a
// kill here: nobody can take the kernel's memory away.
var classes = []fuzz.Class{
	fuzz.KillKeeper, fuzz.KillPages, fuzz.KillServer, fuzz.PauseKeeper, fuzz.PausePages, fuzz.PauseServer, fuzz.AllDown,
	fuzz.Partition, fuzz.OneWay, fuzz.Isolate, fuzz.Takeover, fuzz.Zombie, fuzz.WipePages,
	fuzz.FailSync, fuzz.IOErrors, fuzz.DiskFull, fuzz.PagesIO, fuzz.PagesFull,
}

func killed(m *machine) func() {
	if !m.kill() {
		return nil
	}
	return m.up
}

func paused(m *machine) func() {
	if !m.freeze() {
		return nil
	}
	return func() { m.thaw(false) }
}

// all does a thing to every machine.
func all(machines []*machine, do func(*machine) func()) func() {
	var mends []func()
	for _, m := range machines {
		if mend := do(m); mend != nil {
			mends = append(mends, mend)
		}
	}
	return func() {
		for _, mend := range mends {
			mend()
		}
	}
}

// network does what befalls links.
func (d *driver) network(s fuzz.Step) func() {
	n := len(d.c.lan.hosts)
	a := d.c.lan.hosts[s.Which%n]
	b := d.c.lan.hosts[(s.Which+1+s.Which/n%(n-1))%n]
	var cuts [][2]string
	switch s.Class {
	case fuzz.OneWay:
		cuts = [][2]string{{a, b}}
	case fuzz.Partition:
		cuts = [][2]string{{a, b}, {b, a}}
	case fuzz.Isolate:
		for _, other := range d.c.lan.hosts {
			if other != a {
				cuts = append(cuts, [2]string{a, other}, [2]string{other, a})
			}
		}
	}
	for _, cut := range cuts {
		d.c.lan.cut(cut[0], cut[1])
	}
	return func() {
		for _, cut := range cuts {
			d.c.lan.join(cut[0], cut[1])
		}
	}
}

// zombie keeps a compute from learning that another takes over: it stands
// still, with its server running on, or hears nobody.
func (d *driver) zombie(s fuzz.Step, m *machine) func() {
	if s.Which%2 == 0 {
		return paused(m)
	}
	at := 0
	for i, h := range d.c.lan.hosts {
		if h == m.name {
			at = i
		}
	}
	return d.network(fuzz.Step{Class: fuzz.Isolate, Which: at})
}

// takeover makes the other compute take the branch over. release is what ends
// whatever the first one is in.
func (d *driver) takeover(release func()) func() {
	d.current = 1 - d.current
	next := d.c.machine(computeHosts[d.current])
	if next.running() {
		// It may be a zombie from before, and has no part in this.
		next.thaw(true)
		next.kill()
	}
	if err := next.takeOver(); err != nil {
		d.c.t.Error(err)
	}
	if release == nil {
		release = func() {}
	}
	return release
}

// wipe takes a pageserver's disk away.
func (d *driver) wipe(m *machine) func() {
	if !m.kill() {
		return nil
	}
	dir := filepath.Join(d.c.in.dir, m.name)
	left, err := os.ReadDir(dir)
	if err != nil {
		d.c.t.Error(err)
	}
	for _, e := range left {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			d.c.t.Error(err)
		}
	}
	return m.up
}

// carryOut goes through a plan, and mends everything after it.
func (d *driver) carryOut(p *fuzz.Plan) {
	began := time.Now()
	var mends []*time.Timer
	var latest time.Time
	for _, s := range p.Steps {
		time.Sleep(s.At - time.Since(began))
		mend := d.strike(s)
		if mend == nil {
			continue
		}
		d.struck[s.Class]++
		mends = append(mends, time.AfterFunc(s.For, mend))
		if end := time.Now().Add(s.For); end.After(latest) {
			latest = end
		}
	}
	time.Sleep(max(time.Until(latest), p.Length-time.Since(began)) + 100*time.Millisecond)
	for _, m := range mends {
		m.Stop()
	}
	d.heal()
}

// heal ends whatever is left of a plan and sees to it that the branch is run.
func (d *driver) heal() {
	d.c.lan.joinAll()
	for _, disk := range d.c.disks {
		disk.mend()
	}
	for _, m := range d.c.machines {
		m.thaw(true)
		if m.kind != "compute" {
			m.up()
		}
	}
	m := d.c.machine(computeHosts[d.current])
	for began, asked := time.Now(), (time.Time{}); !m.ready(); time.Sleep(50 * time.Millisecond) {
		// One that gave up while nothing worked is told again.
		if !m.running() && time.Since(asked) > 5*time.Second {
			if err := m.takeOver(); err != nil {
				d.c.t.Fatal(err)
			}
			asked = time.Now()
		}
		if time.Since(began) > patience {
			d.c.t.Fatalf("no compute runs the branch %v after everything was mended", patience)
		}
	}
}

// TestPlansOnRealProcesses carries plans of the simulator out on real
// processes, each on a host of its own with real links between them, and holds
// what clients were told by whoever answered them to one history.
func TestPlansOnRealProcesses(t *testing.T) {
	c := newCluster(t, map[string]string{"reads": "'linearizable'", "read_gate": "true"})
	d := &driver{c: c, struck: map[fuzz.Class]int{}}
	if err := c.machine(computeHosts[0]).takeOver(); err != nil {
		t.Fatal(err)
	}
	d.heal()
	load := useKeys(t, 8, c.machine(computeHosts[0]).socket(), c.machine(computeHosts[1]).socket())
	defer load.check()
	eventually(t, "answers", func() bool { return load.answers() > 20 })
	d.carryOut(noQuorum)
	first := uint64(os.Getpid())
	seed := first
	for began := time.Now(); time.Since(began) < time.Duration(sized(20, 30*60))*time.Second; seed++ {
		before := load.answers()
		d.carryOut(shortened(fuzz.Draw(seed, classes)))
		eventually(t, fmt.Sprintf("answers after the plan of seed %d", seed), func() bool { return load.answers() > before+20 })
		if t.Failed() {
			t.Fatalf("at the plan of seed %d", seed)
		}
	}
	t.Logf("%d plans from seed %d on: %v", seed-first, first, d.struck)
	load.readAll(c.machine(computeHosts[d.current]).socket())
}

// noQuorum is what every run begins with, for what chance may leave out: no
// safekeeper answers when the compute dies, so all that it had not brought to a
// quorum is gone, and nobody may have been told of it.
var noQuorum = &fuzz.Plan{
	Length: 4 * time.Second,
	Steps: []fuzz.Step{
		{At: 1000 * time.Millisecond, Class: fuzz.PauseKeeper, Which: 0, For: 3 * time.Second},
		{At: 1000 * time.Millisecond, Class: fuzz.PauseKeeper, Which: 1, For: 3 * time.Second},
		{At: 1000 * time.Millisecond, Class: fuzz.PauseKeeper, Which: 2, For: 3 * time.Second},
		{At: 2500 * time.Millisecond, Class: fuzz.KillServer, For: time.Second},
	},
}

// shortened is a plan in a quarter of a minute: simulated time costs nothing, this
// does.
func shortened(p *fuzz.Plan) *fuzz.Plan {
	const most = 15 * time.Second
	share := min(1, most.Seconds()/p.Length.Seconds())
	p.Length = min(p.Length, most)
	for i := range p.Steps {
		s := &p.Steps[i]
		s.At, s.For = time.Duration(float64(s.At)*share), min(s.For, 5*time.Second)
	}
	return p
}
