package netsim

import (
	"context"
	"time"

	"xenon/core/env"
	"xenon/core/xsync"
)

// A Main is what a process runs: the Run of a component.
type Main func(ctx context.Context, e env.Env) error

// A Disk is what a process writes to and what outlives it.
type Disk interface {
	// FS is the disk as one incarnation sees it. Every operation begins with
	// the Step of [xsync.Scheduler], which e is.
	FS(e env.Env) env.FS
	// Killed ends the incarnation; the machine runs on.
	Killed()
	// CutPower ends it with the machine: what was not synced is at stake.
	CutPower()
}

// ProcOptions say what a process has around it.
type ProcOptions struct {
	// Host is the machine, whose name is its address; by default it is named
	// like the process. Processes of one host lose power together.
	Host string
	Disk Disk // nil: Env.FS panics
	// Objects makes an incarnation's view of the object store; nil:
	// Env.Objects panics.
	Objects func(e env.Env) env.ObjectStore
	// Exit is told when the main function of an incarnation returned. It does
	// not wait.
	Exit func(p *Proc, err error)
}

// A Proc is a process: a name and a place, and at most one incarnation at a
// time that runs there.
type Proc struct {
	w     *World
	name  string
	opts  ProcOptions
	host  *host
	env   *Env // the incarnation that runs, or nil
	count int  // incarnations so far
	err   error

	clock  clockState
	slow   time.Duration
	paused bool
}

// Proc adds a process, which does not run yet. Names are unique.
func (w *World) Proc(name string, o ProcOptions) *Proc {
	if w.Find(name) != nil {
		panic("netsim: two processes named " + name)
	}
	if o.Host == "" {
		o.Host = name
	}
	p := &Proc{w: w, name: name, opts: o, host: w.net.host(o.Host)}
	w.procs = append(w.procs, p)
	return p
}

// Find returns the process of that name, or nil.
func (w *World) Find(name string) *Proc {
	for _, p := range w.procs {
		if p.name == name {
			return p
		}
	}
	return nil
}

// Name is the name of the process.
func (p *Proc) Name() string { return p.name }

// Host is the name of the machine it runs on.
func (p *Proc) Host() string { return p.host.name }

// World is where the process lives.
func (p *Proc) World() *World { return p.w }

// Running tells whether an incarnation runs, be it paused.
func (p *Proc) Running() bool { return p.env != nil }

// Incarnation is how many times the process has been started.
func (p *Proc) Incarnation() int { return p.count }

// Err is what the main function that returned last did return.
func (p *Proc) Err() error { return p.err }

// Start begins a new incarnation, whose first task runs main. It switches the
// host on if it has no power. The incarnation exits when main returns.
func (p *Proc) Start(main Main) *Env {
	if p.env != nil {
		panic("netsim: " + p.name + " runs already")
	}
	w := p.w
	p.count++
	p.paused = false
	if !p.host.up {
		p.host.up = true
		w.net.powerOn(p.host)
	}
	w.lastEnv++
	e := &Env{w: w, proc: p, id: w.lastEnv, incarnation: p.count}
	e.init()
	p.env = e
	p.note("start", e)
	w.spawn(e, "main", func(ctx context.Context) { p.exit(e, main(ctx, e)) })
	return e
}

// Do starts f and runs the world until f has returned; see [World.Run]. It
// returns f's error, or that of the world.
func (p *Proc) Do(limit time.Duration, f Main) error {
	p.Start(f)
	n := p.count
	if err := p.w.Run(limit, func() bool { return p.env == nil || p.count != n }); err != nil {
		return err
	}
	return p.err
}

// exit ends the incarnation whose main function has returned.
func (p *Proc) exit(e *Env, err error) {
	p.err = err
	p.end(e, "exit")
	if p.opts.Exit != nil {
		w := p.w
		t := w.cur
		w.cur = nil // it is not the dead task that calls
		p.opts.Exit(p, err)
		w.cur = t
	}
}

// Stop asks the process to end: the context of its tasks ends.
func (p *Proc) Stop() {
	if p.env != nil {
		p.env.cancel(nil)
	}
}

// Kill ends the process at once, as SIGKILL does. Its kernel lives on: files
// keep what was written, peers get a reset.
func (p *Proc) Kill() {
	p.end(p.env, "kill")
	p.w.checkCaller()
}

// PowerCut takes the power from the host, and ends every process on it. Peers
// hear nothing more until it is switched on again by Start.
func (p *Proc) PowerCut() {
	p.host.up = false
	for _, q := range p.w.procs {
		if q.host == p.host {
			q.end(q.env, "power")
		}
	}
	p.w.net.powerCut(p.host)
	p.w.checkCaller()
}

// checkCaller does not return to a task that has just ended its own process.
func (w *World) checkCaller() {
	if w.cur != nil {
		w.cur.checkAlive()
	}
}

// end makes an incarnation dead: from here on nothing its tasks do can be
// seen. They are unwound before the next step.
func (p *Proc) end(e *Env, how string) {
	if e == nil || e.dead {
		return
	}
	w := p.w
	e.dead, p.env = true, nil
	p.note(how, e)
	w.dying = append(w.dying, e)
	w.net.ended(e, how)
	if how == "power" {
		p.clock.reboot(w.now)
	}
	if d := p.opts.Disk; d != nil {
		if how == "power" {
			d.CutPower()
		} else {
			d.Killed()
		}
	}
}

// Pause stops scheduling the process, as SIGSTOP does; time goes on, and its
// kernel takes what the network brings.
func (p *Proc) Pause() {
	if p.env != nil && !p.paused {
		p.paused = true
		p.note("pause", p.env)
	}
}

// Resume ends a Pause.
func (p *Proc) Resume() {
	if p.env == nil || !p.paused {
		return
	}
	p.paused = false
	p.note("resume", p.env)
	held := p.env.held
	p.env.held = nil
	for _, t := range held {
		p.w.push(t)
	}
}

// Slow makes each step of the process cost d; 0 ends that.
func (p *Proc) Slow(d time.Duration) {
	p.slow = d
	p.w.Show("slow", p.name, "", uint64(d), 0)
}

func (p *Proc) note(kind string, e *Env) {
	v := Event{At: p.w.now, Kind: kind, A: hashString(0, p.name), B: uint64(e.incarnation)}
	p.w.trace.event(v)
	if p.w.opts.Record != nil {
		p.w.opts.Record(Detail{Event: v, Proc: p.name, Incarnation: e.incarnation})
	}
}

// StepClock moves the wall clock of the process by d.
func (p *Proc) StepClock(d time.Duration) {
	p.clock.skew += int64(d)
	p.w.Show("clock", p.name, "", uint64(d), 0)
}

// SetDrift makes the clocks of the process run faster by ppm millionths, or
// slower, but not backwards: ppm is above -1,000,000.
func (p *Proc) SetDrift(ppm int64) {
	if ppm <= -1_000_000 {
		panic("netsim: a clock that does not run forward")
	}
	p.clock.rebase(p.w.now)
	p.clock.ppm = ppm
	p.w.Show("drift", p.name, "", uint64(ppm), 0)
}

// init gives an incarnation its context.
func (e *Env) init() {
	e.ctx, e.cancel = xsync.Root(e)
	e.net.env = e
	e.trace.Sink = e.noted
	if e.w.opts.Record != nil {
		e.trace.Shown = e.shown
	}
}
