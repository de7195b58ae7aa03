package compute

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"xenon/compute/crosscheck"
	"xenon/compute/proposer"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
	"xenon/core/pageserver/bootset"
	"xenon/core/xsync"
)

// A Config says which branch to run and with whom.
type Config struct {
	Branch string
	// Registers names the registers of the branch's endpoint and of its
	// settings files; "" is Branch. Where another branch may get the name once
	// this one is gone, they need a name that never comes again.
	Registers  string
	TTID       core.TTID
	Quorum     proposer.Config
	Pageserver string // address
	Owner      string // names this sidecar in the endpoint's register
	// Takeover fences whoever runs the branch now. Whoever starts a sidecar
	// again that has died leaves it out: nobody asked for a second take-over.
	Takeover bool
	// Static makes a read-only endpoint that shows the branch as of this LSN,
	// rounded up as a branch there would be. It takes no register, so that
	// Owner and Takeover mean nothing, needs no Quorum, and what its server
	// writes vanishes with it. An LSN that the branch does not have ends Run
	// with [ErrNoSuchMoment].
	Static core.LSN
	// Reads says what reads promise; empty is [Available]. A read-only endpoint
	// shows one moment, and needs no lease for that.
	Reads    Reads
	Settings []Setting
	Files    []bootset.File // postgresql.conf, pg_hba.conf: kept ones of the branch win
	Scratch  string         // directory of the process's disk, emptied at every start
	Prepare  func(ctx context.Context, s Server) error
	// CrossCheck holds pages that the server writes to redo. A read-only
	// endpoint has none: its WAL is nobody else's.
	CrossCheck crosscheck.Config
}

// Times of an endpoint.
const (
	backoffMin  = 100 * time.Millisecond
	backoffMax  = 5 * time.Second
	backoffLong = time.Minute
	// hopeful is how many failures in a row may pass of themselves, so that it
	// is worth trying again soon.
	hopeful = 50
	// steady is how long a server must have run for its end not to count as
	// another failure to start.
	steady = 30 * time.Second

	// stopPatience bounds a fast shutdown, quorumPatience the part of it in
	// which no majority can be reached.
	stopPatience   = 30 * time.Second
	quorumPatience = 10 * time.Second

	// releasePatience bounds the last word to the register.
	releasePatience = 3 * time.Second
)

// Backoff is how long to wait before the next start after that many failures in
// a row. Every start is a new term, and an entry in a history that goes into
// one message (wire.ProposerLimit): a server that never comes up is tried once
// a minute in the end, which fills it in two years.
func Backoff(failures int) time.Duration {
	switch {
	case failures <= 0:
		return 0
	case failures > hopeful:
		return backoffLong
	}
	return min(backoffMin<<min(failures-1, 10), backoffMax)
}

// A State is what an endpoint is doing.
type State string

// The states of an endpoint.
const (
	Starting   State = "starting"
	Ready      State = "ready"
	Stopping   State = "stopping"
	Stopped    State = "stopped"
	Superseded State = "superseded"
	Failed     State = "failed"
)

// A Status tells how an endpoint is.
type Status struct {
	State  State
	Note   string // what it waits for, or why it ended
	Epoch  uint64
	Term   core.Term
	Start  core.LSN // X of the server that runs now
	Starts int      // servers started so far
	Server Server   // nil if none runs
	Quorum proposer.Status
	Check  crosscheck.Status // since the endpoint was made

	prop *proposer.Proposer // of the server that runs now, nil if none does
}

// ErrSuperseded is what Run returns once somebody else runs the branch.
var ErrSuperseded = errors.New("superseded")

// An Endpoint keeps a server running on a branch.
type Endpoint struct {
	env     env.Env
	host    Host
	cfg     Config
	claim   Claim
	status  *xsync.Watch[Status]
	checker *crosscheck.Checker
	// stop counts: 1 asks for a fast shutdown, 2 for an end at once.
	stop *xsync.Watch[int]
}

// New makes an endpoint; Run runs it.
func New(e env.Env, h Host, cfg Config) *Endpoint {
	return &Endpoint{
		env: e, host: h, cfg: cfg,
		status:  xsync.NewWatch(e, Status{State: Starting}),
		stop:    xsync.NewWatch(e, 0),
		checker: crosscheck.New(e, cfg.CrossCheck),
	}
}

// Status tells how the endpoint is now. Its commit LSN is no older than the
// last commit that a client was told of.
func (ep *Endpoint) Status() Status {
	s := ep.status.Get()
	if s.prop != nil {
		s.Quorum = s.prop.Status()
	}
	s.Check = ep.CrossCheck()
	return s
}

// CrossCheck tells what came of comparing pages that servers wrote with redo.
func (ep *Endpoint) CrossCheck() crosscheck.Status { return ep.checker.Status() }

// registers names the registers of the branch.
func (ep *Endpoint) registers() string { return cmp.Or(ep.cfg.Registers, ep.cfg.Branch) }

// AwaitReady returns once a server takes connections, or with the reason why
// none ever will.
func (ep *Endpoint) AwaitReady(ctx context.Context) error {
	s, err := ep.status.Await(ctx, func(s Status) bool {
		return s.State != Starting
	})
	if err != nil {
		return fmt.Errorf("wait for the endpoint on %s (%s): %w", ep.cfg.Branch, s.Note, err)
	}
	if s.State != Ready {
		return fmt.Errorf("the endpoint on %s is %s: %s", ep.cfg.Branch, s.State, s.Note)
	}
	return nil
}

// Stop asks for a fast shutdown; a second call ends the server at once. Run
// returns when it is done.
func (ep *Endpoint) Stop() { ep.stop.Update(func(n int) int { return n + 1 }) }

func (ep *Endpoint) say(f func(*Status)) {
	ep.status.Update(func(s Status) Status {
		f(&s)
		return s
	})
}

func (ep *Endpoint) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	ep.env.Log().Info(text, "branch", ep.cfg.Branch)
	ep.say(func(s *Status) { s.Note = text })
}

// Run takes the endpoint's register and keeps a server running until Stop, the
// end of ctx, or until somebody else takes the branch over ([ErrSuperseded]).
// It is called once.
func (ep *Endpoint) Run(ctx context.Context) error {
	err := ep.run(ctx)
	ep.say(func(s *Status) {
		s.Server, s.Quorum = nil, proposer.Status{}
		switch {
		case err == nil:
			s.State, s.Note = Stopped, ""
		case errors.Is(err, ErrSuperseded):
			s.State, s.Note = Superseded, err.Error()
		default:
			s.State, s.Note = Failed, err.Error()
		}
	})
	return err
}

func (ep *Endpoint) run(ctx context.Context) error {
	var err error
	if !ep.static() {
		err = ep.unlessStopped(ctx, ep.take)
	}
	for failures := 0; err == nil; {
		began := ep.env.Clock().Mono()
		why := ep.live(ctx)
		if errors.Is(why, errStopped) {
			ep.release(ctx)
			return nil
		}
		if errors.Is(why, ErrNoSuchMoment) {
			return why
		}
		if err := xsync.Cause(ctx); err != nil {
			return err
		}
		failures++
		if ep.env.Clock().Mono().Sub(began) > steady {
			failures = 0
		}
		pause := Backoff(failures)
		err = ep.unlessStopped(ctx, func(ctx context.Context) error { return ep.mayGoOn(ctx, pause, why) })
	}
	if errors.Is(err, errStopped) {
		ep.release(ctx)
		return nil
	}
	return err
}

func (ep *Endpoint) take(ctx context.Context) (err error) {
	ep.note("waiting for the register of the endpoint")
	if ep.claim, err = Take(ctx, ep.env, ep.registers(), ep.cfg.Owner, ep.cfg.Takeover); err != nil {
		return err
	}
	ep.say(func(s *Status) { s.Epoch = ep.claim.Epoch })
	return nil
}

// release gives the branch back. A store that does not answer does not hold up
// the end: the register then goes on to name this owner, who may come back,
// and anybody else takes over.
func (ep *Endpoint) release(ctx context.Context) {
	if ep.claim == (Claim{}) {
		return
	}
	ctx, cancel := xsync.WithTimeout(ctx, ep.env, releasePatience)
	defer cancel()
	if err := ep.claim.Release(ctx, ep.env, ep.registers()); err != nil {
		ep.env.Log().Warn("the endpoint's register still names this owner", "branch", ep.cfg.Branch, "error", err)
	}
}

// mayGoOn waits a little and asks the register whether the branch is still
// ours to run: a dead server is started anew, a superseded one never comes
// back by itself.
func (ep *Endpoint) mayGoOn(ctx context.Context, pause time.Duration, why error) error {
	ep.note("%v; starting anew", why)
	ep.env.Log().Warn("the server ended and is started anew", "branch", ep.cfg.Branch, "reason", why, "pause", pause)
	if err := ep.env.Clock().Sleep(ctx, pause); err != nil {
		return err
	}
	if ep.static() || faults.On && faults.Hit(faults.RegisterUnasked) {
		return nil
	}
	ep.note("%v; starting anew, waiting for the register of the endpoint", why)
	err := ep.claim.Check(ctx, ep.env, ep.registers())
	if errors.Is(err, ErrNotOwner) {
		return fmt.Errorf("%w: %w (%v)", ErrSuperseded, err, why)
	}
	return err
}

// errStopped is why something ended that was asked to.
var errStopped = errors.New("stopped")

func asked(n int) bool { return n > 0 }

// unlessStopped runs f under a context that ends with the first Stop. Its
// error is errStopped if f did not get done because of that.
func (ep *Endpoint) unlessStopped(ctx context.Context, f func(ctx context.Context) error) error {
	g := xsync.NewGroup(ctx, ep.env)
	g.Go("await stop", func(ctx context.Context) error {
		if _, err := ep.stop.Await(ctx, asked); err != nil || faults.On && faults.Hit(faults.StopDuringStart) {
			return nil
		}
		return errStopped
	})
	err := f(g.Context())
	g.Cancel(nil)
	if stopped := g.Wait(); err != nil && stopped != nil {
		return stopped
	}
	return err
}
