package standin

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"xenon/compute"
	"xenon/compute/vfs"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/redo"
	"xenon/core/wal"
	"xenon/core/xsync"
)

// The relations of a cluster that a stand-in runs on, all in one database.
const (
	DB    core.OID = 5
	Table core.OID = 16384 // a key is the number of its block; lists are behind them
	Heap  core.OID = 16385 // grows, is deleted from, vacuumed and cut off
)

func rel(node core.OID) core.Rel {
	return core.Rel{Spc: core.DefaultTablespace, DB: DB, Node: node}
}

// Options say what a stand-in does.
type Options struct {
	// Serve is what the clients of a server do once it is ready. It ends with
	// ctx.
	Serve func(ctx context.Context, e env.Env, s *Server) error
	// Loaded, if not nil, is told of each page that a server reads which it
	// did not write itself.
	Loaded func(at core.LSN, r core.Rel, block uint32, page *redo.Page) error
	// Wrong, if not nil, is told of a page that is not as the server wrote it.
	Wrong func(err error)
	// Played, if not nil, tells how many records of each recorded relation are
	// in the log up to an LSN. Without, none are written.
	Played func(at core.LSN) []int
	// Evictions is how many of 1,000 changes put their page out of memory.
	Evictions int
	// Squeeze, if not nil, tells whether there is no memory for pages now: each is
	// put out as soon as it may be.
	Squeeze func() bool
	// Gate holds an answer back that was given before a lease ended and is to
	// go out after.
	Gate bool
}

// A Host runs stand-ins; it is a compute.Host.
type Host struct {
	env  env.Env
	opts Options
}

// NewHost makes a host of servers that are tasks of e's process.
func NewHost(e env.Env, o Options) *Host { return &Host{e, o} }

// A Server is one run of a stand-in on its trees.
type Server struct {
	env   env.Env
	opts  Options
	data  vfs.Client
	tasks *xsync.Group
	phase *xsync.Watch[phase]
	leash leash

	log  log
	rows []xsync.Mutex // by key, and by list behind these; held from a change to the end of its transaction
	x    core.LSN      // where the server's log goes on from, behind its checkpoint

	// What follows is guarded by log.mu: the order of changes is that of their
	// records.
	pool       pool
	running    map[uint32]bool // transactions whose end is not durable
	counters   redo.Counters
	checkPoint wal.CheckPoint // that the server was started from
	played     []int          // records of each recorded relation; nil if they are not written
	effects    redo.Effects
	applier    redo.Applier
	dice       *rand.Rand
}

type phase struct {
	ready, stop, ended bool
	exit               compute.Exit
}

// Start implements compute.Host.
func (h *Host) Start(ctx context.Context, l compute.Launch) (compute.Server, error) {
	s := &Server{
		env: h.env, opts: h.opts, data: vfs.Client{Tree: l.Data}, tasks: xsync.NewGroup(ctx, h.env),
		phase: xsync.NewWatch(h.env, phase{}), rows: make([]xsync.Mutex, Keys+Lists), running: map[uint32]bool{},
		dice: h.env.Rand("stand-in"),
	}
	for i := range s.rows {
		s.rows[i].Init(h.env)
	}
	s.pool.init(s.data, h.opts.Loaded)
	s.log.init(h.env, vfs.Client{Tree: l.WAL})
	s.leash.init(h.env, l.Bound, h.opts.Gate)
	s.tasks.Go("stand-in", s.main)
	return s, nil
}

// main is the server from its start to its end.
func (s *Server) main(ctx context.Context) error {
	err := s.boot(ctx)
	if err != nil {
		err = fmt.Errorf("start: %w", err)
	} else {
		s.say(func(p *phase) { p.ready = true })
		err = s.serve(ctx)
	}
	if err != nil {
		s.panicked(err)
	} else {
		s.say(func(p *phase) { p.ended, p.exit = true, compute.Exit{Clean: true, Reason: "shut down"} })
	}
	return nil
}

// serve lets clients work until somebody asks for the end.
func (s *Server) serve(ctx context.Context) error {
	clients := xsync.NewGroup(ctx, s.env)
	clients.Go("clients", func(ctx context.Context) error { return s.opts.Serve(ctx, s.env, s) })
	p, err := s.phase.Await(ctx, func(p phase) bool { return p.stop || p.ended })
	clients.Cancel(errStopping)
	clients.Wait()
	switch {
	case err != nil:
		return err
	case p.ended:
		return errors.New(p.exit.Reason)
	}
	return s.shutDown(ctx)
}

var errStopping = errors.New("the server shuts down")

func (s *Server) say(f func(*phase)) {
	s.phase.Update(func(p phase) phase {
		f(&p)
		return p
	})
}

// panicked ends the server as PostgreSQL's PANIC does: without a word to its
// disk.
func (s *Server) panicked(err error) {
	if wrong := (*WrongPage)(nil); errors.As(err, &wrong) && s.opts.Wrong != nil {
		s.opts.Wrong(err)
	}
	s.say(func(p *phase) {
		if !p.ended {
			p.ended, p.exit = true, compute.Exit{Reason: err.Error()}
		}
	})
}

// AwaitReady implements compute.Server.
func (s *Server) AwaitReady(ctx context.Context) error {
	p, err := s.phase.Await(ctx, func(p phase) bool { return p.ready || p.ended })
	if err == nil && p.ended {
		err = errors.New(p.exit.Reason)
	}
	return err
}

// Stop implements compute.Server.
func (s *Server) Stop() { s.say(func(p *phase) { p.stop = true }) }

// AwaitExit implements compute.Server.
func (s *Server) AwaitExit(ctx context.Context) (compute.Exit, error) {
	p, err := s.phase.Await(ctx, func(p phase) bool { return p.ended })
	return p.exit, err
}

// End implements compute.Server.
func (s *Server) End() {
	s.panicked(errors.New("ended"))
	s.tasks.Cancel(errors.New("ended"))
	s.leash.stop()
	s.tasks.Wait()
}

// Start is where the server's own log begins, behind the checkpoint that it
// was started from.
func (s *Server) Start() core.LSN { return s.x }
