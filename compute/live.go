package compute

import (
	"context"
	"errors"
	"fmt"
	"time"

	"xenon/compute/boot"
	"xenon/compute/crosscheck"
	"xenon/compute/intake"
	"xenon/compute/overlay"
	"xenon/compute/pageclient"
	"xenon/compute/proposer"
	"xenon/consensus"
	"xenon/core"
	"xenon/core/faults"
	"xenon/core/pageserver/bootset"
	"xenon/core/xsync"
)

// A life is one server, from the election that precedes it to the end of
// everything that belongs to it.
type life struct {
	ep     *Endpoint
	ctx    context.Context // ends with the life
	cancel context.CancelCauseFunc
	tasks  *xsync.Group

	prop    *proposer.Proposer // nil of a read-only endpoint
	quorum  intake.Quorum      // prop, or what stands in for it
	pages   *pageclient.Client
	scratch *overlay.Scratch
	stream  *intake.Stream
	server  Server

	lease   *proposer.Leaseholder // nil if reads take none
	leasing *xsync.Group          // its tasks

	sampler *crosscheck.Sampler // nil if no pages are compared
	checked *pageclient.Client  // where the sampler asks
}

// live runs one server and returns why it ended: errStopped if it was asked
// to.
func (ep *Endpoint) live(ctx context.Context) error {
	l := &life{ep: ep}
	l.ctx, l.cancel = xsync.WithCancel(ctx)
	l.tasks, l.leasing = xsync.NewGroup(l.ctx, ep.env), xsync.NewGroup(l.ctx, ep.env)
	defer l.end(ctx)
	if err := ep.unlessStopped(l.ctx, l.begin); err != nil {
		return err
	}
	return l.watch()
}

// begin elects, boots and starts a server, and waits until it answers. ctx
// ends before the life does if the endpoint is stopped meanwhile.
func (l *life) begin(ctx context.Context) error {
	ep := l.ep
	find := l.elect
	if ep.static() {
		find = l.lookBack
	}
	settings := l.readSettings()
	set, err := find(ctx)
	if err != nil {
		return err
	}
	launch, err := l.trees(ctx, set, settings)
	if err != nil {
		return err
	}
	if launch.Bound, err = l.alone(ctx); err != nil {
		return err
	}
	ep.note("starting PostgreSQL at %s", set.LSN)
	// The trees answer under this context until the life ends.
	if l.server, err = ep.host.Start(l.ctx, launch); err != nil {
		return err
	}
	ep.say(func(s *Status) { s.Server = l.server; s.Starts++ })
	if l.lease != nil {
		l.leasing.Go("extend the read lease", l.extend)
	}
	return l.ready(ctx)
}

// elect wins a term and fetches what a server needs to start where the log
// ends.
func (l *life) elect(ctx context.Context) (*bootset.Set, error) {
	ep := l.ep
	ep.note("waiting for a majority of safekeepers")
	prop, err := proposer.New(ep.env, ep.cfg.Quorum)
	if err != nil {
		return nil, err
	}
	l.prop, l.quorum = prop, prop
	l.tasks.Go("proposer", func(ctx context.Context) error {
		l.cancel(prop.Run(ctx))
		return nil
	})
	l.tasks.Go("report the quorum", l.report)
	led, err := prop.Elect(ctx)
	if err != nil {
		return nil, err
	}
	ep.say(func(s *Status) { s.Term, s.Start, s.prop = led.Term, led.Start, prop })
	l.hold(led)
	set, err := ep.fetchBoot(ctx, led.Start)
	if err != nil {
		return nil, err
	}
	// From here on set.Prev is exact: safekeepers refuse WAL with another link.
	if set.Last > led.Start {
		return nil, ahead(set)
	}
	return set, nil
}

// fetchBoot waits for what a server needs to start at lsn, and keeps saying why.
func (ep *Endpoint) fetchBoot(ctx context.Context, lsn core.LSN) (*bootset.Set, error) {
	ep.note("waiting for the pageserver to have %s", lsn)
	return pageclient.FetchBoot(ctx, ep.env, ep.cfg.Pageserver, ep.cfg.TTID, lsn, func(why error) {
		ep.note("waiting for the pageserver to have %s: %v", lsn, why)
	})
}

// ahead is why no server starts below what the pageserver has. Nothing above
// the place where a majority elected us can be committed but by a successor,
// which is found out soon; or the safekeepers have lost what they promised, and
// a server here would write another history over one that is served.
func ahead(set *bootset.Set) error {
	return fmt.Errorf("the pageserver has WAL up to %s, a majority of the safekeepers up to %s only: "+
		"another compute has just written it, or they have lost it and the branch is whole only up to there", set.Last, set.LSN)
}

// A settings is what was read of a branch's settings files.
type settings struct {
	files []bootset.File
	err   error
}

// readSettings begins to read the settings files: nobody but this endpoint
// writes them since it has its register, so that need not wait for the election.
func (l *life) readSettings() *xsync.Watch[*settings] {
	read := xsync.NewWatch[*settings](l.ep.env, nil)
	l.tasks.Go("read settings", func(ctx context.Context) error {
		files, err := l.ep.files(ctx)
		read.Set(&settings{files, err})
		return nil
	})
	return read
}

// trees makes the two directories of a server that starts with set, and gives
// the checkpoint that it starts from to the quorum.
func (l *life) trees(ctx context.Context, set *bootset.Set, read *xsync.Watch[*settings]) (Launch, error) {
	ep, e := l.ep, l.ep.env
	ep.note("waiting for the settings of branch %s", ep.cfg.Branch)
	own, err := read.Await(ctx, func(s *settings) bool { return s != nil })
	if err == nil {
		err = own.err
	}
	if err != nil {
		return Launch{}, err
	}
	plan, err := boot.New(set, set.Prev, e.Clock().Now(), own.files)
	if err != nil {
		return Launch{}, err
	}
	if err := l.quorum.Offer(plan.Boot.X, plan.Boot.WAL); err != nil {
		return Launch{}, err
	}
	if l.scratch, err = overlay.NewScratch(e, ep.cfg.Scratch, scratchFiles); err != nil {
		return Launch{}, err
	}
	l.pages = pageclient.New(l.ctx, e, pageclient.Config{Addr: ep.cfg.Pageserver, TTID: ep.cfg.TTID, Boot: set.LSN, Connections: 2})
	data, err := plan.Data(ctx, e, l.scratch, l.pages, "../wal", ep.keeper())
	if err != nil {
		return Launch{}, err
	}
	l.crossCheck(data, set.LSN)
	l.stream = plan.Stream(e, l.quorum, func(err error) { l.cancel(fmt.Errorf("the server's WAL: %w", err)) })
	wal, err := plan.WAL(ctx, e, l.scratch, l.stream)
	if err != nil {
		return Launch{}, err
	}
	line := ep.cfg.CommandLine(set.Major)
	if plan.Prepared() {
		line = append(line, roomForPrepared(own.files, ep.cfg.Settings, plan.Boot.Control)...)
	}
	return Launch{Data: data, WAL: wal, Settings: line}, nil
}

// scratchFiles is how many files of the scratch directory are open at once.
const scratchFiles = 1024

// ready waits until the server answers, prepares it, and says so.
func (l *life) ready(ctx context.Context) error {
	ep := l.ep
	if err := l.server.AwaitReady(ctx); err != nil {
		return err
	}
	if ep.cfg.Prepare != nil {
		if err := ep.cfg.Prepare(ctx, l.server); err != nil {
			return fmt.Errorf("prepare the server: %w", err)
		}
	}
	var quorum proposer.Status
	if l.prop != nil {
		quorum = l.prop.Status()
	}
	ep.say(func(s *Status) { s.State, s.Quorum = Ready, quorum })
	ep.note("ready")
	ep.env.Trace().Show("endpoint.ready", ep.cfg.TTID.Timeline.Tag(), uint64(quorum.Term), uint64(quorum.Start), 0)
	return nil
}

// watch waits for whatever ends this life first, and returns it.
func (l *life) watch() error {
	ends := xsync.NewWatch[error](l.ep.env, nil)
	tell := func(err error) {
		ends.Update(func(old error) error {
			if old == nil {
				return err
			}
			return old
		})
	}
	l.tasks.Go("await exit", func(ctx context.Context) error {
		exit, err := l.server.AwaitExit(ctx)
		if err == nil {
			tell(errors.New(exit.Reason))
		}
		return nil
	})
	l.tasks.Go("await order", func(ctx context.Context) error {
		if _, err := l.ep.stop.Await(ctx, asked); err == nil {
			tell(errStopped)
		}
		return nil
	})
	if l.prop != nil {
		l.tasks.Go("follow the pageserver", l.follow)
	}
	why, err := ends.Await(l.ctx, func(err error) bool { return err != nil })
	if err != nil {
		return err
	}
	if errors.Is(why, errStopped) {
		l.shutDown()
	}
	return why
}

// report tells how the quorum is.
func (l *life) report(ctx context.Context) error {
	for {
		quorum := l.prop.Status()
		l.ep.say(func(s *Status) { s.Quorum = quorum })
		if err := l.ep.env.Clock().Sleep(ctx, time.Second); err != nil {
			return nil
		}
	}
}

// follow tells the page client how far the pageserver has come in this
// server's own history.
func (l *life) follow(ctx context.Context) error {
	for {
		if err := l.ep.env.Clock().Sleep(ctx, time.Second); err != nil {
			return nil
		}
		l.pages.Advance(min(l.prop.Feedback().LastReceived, l.prop.Committed()))
	}
}

// shutDown asks for a fast shutdown and waits for it within bounds. What a
// shutdown that was cut short leaves undone is nothing that was acknowledged.
func (l *life) shutDown() {
	ep, clock := l.ep, l.ep.env.Clock()
	ep.say(func(s *Status) { s.State = Stopping })
	ep.note("shutting down")
	bounded, stop := xsync.WithTimeout(l.ctx, ep.env, stopPatience)
	defer stop()
	ctx, cancel := xsync.WithCancel(bounded)
	defer cancel(nil)
	l.tasks.Go("hurry", func(hctx context.Context) error {
		lost := clock.Mono()
		for {
			if l.majority() {
				lost = clock.Mono()
			}
			if ep.stop.Get() > 1 || clock.Mono().Sub(lost) >= quorumPatience && !(faults.On && faults.Hit(faults.StopWaitsForQuorum)) {
				cancel(errors.New("no time to shut down"))
				return nil
			}
			if clock.Sleep(hctx, 20*time.Millisecond) != nil {
				return nil
			}
		}
	})
	l.server.Stop()
	if exit, err := l.server.AwaitExit(ctx); err != nil {
		ep.note("the server is ended without a shutdown: %v", err)
	} else if !exit.Clean {
		ep.note("%s", exit.Reason)
	} else {
		l.drain()
	}
}

// silence is how long a safekeeper may say nothing, heartbeats included, and
// still count as reachable.
const silence = 2 * time.Second

// majority tells whether a majority of safekeepers can be reached now.
func (l *life) majority() bool {
	if l.prop == nil {
		return true
	}
	peers := l.prop.Status().Peers
	n := 0
	for _, p := range peers {
		if p.State == consensus.Active && p.Silent < silence {
			n++
		}
	}
	return n > len(peers)/2
}

// end takes everything away, in the order that lets nobody see or write what
// he must not: first every request of the server fails, then its processes
// end, then the rest.
// outer is the context of what goes on after it.
func (l *life) end(outer context.Context) {
	l.ep.say(func(s *Status) {
		if s.State == Ready { // else nobody waits for a server that is to come
			s.State = Starting
		}
	})
	if l.stream != nil {
		l.stream.Fence(errEnded)
	}
	l.cancel(errEnded)
	if l.server != nil {
		l.server.End()
	}
	l.leasing.Cancel(errEnded)
	l.leasing.Wait()
	l.giveBack(outer)
	l.tasks.Cancel(errEnded)
	l.tasks.Wait()
	if l.pages != nil {
		l.pages.Close()
	}
	if l.checked != nil {
		l.checked.Close()
	}
	if l.scratch != nil {
		l.scratch.Close()
	}
	l.ep.say(func(s *Status) { s.Server, s.Quorum, s.prop = nil, proposer.Status{}, nil })
}

var errEnded = errors.New("the server is being ended")
