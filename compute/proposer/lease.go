package proposer

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"xenon/consensus"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
	"xenon/core/wire"
	"xenon/core/xsync"
)

// A Leaseholder keeps the read lease of an elected proposer: it asks every
// safekeeper again and again, on a connection of its own to each, because
// answers to appends are given together and cannot be dated.
type Leaseholder struct {
	p    *Proposer
	env  env.Env
	term core.Term

	mu    sync.Mutex // a leaf
	lease *consensus.Lease
	conf  consensus.Configuration

	state *xsync.Watch[LeaseState]
}

// A LeaseState is where a lease stands. Neither value ever falls or rises,
// respectively, but to become known.
type LeaseState struct {
	Since env.Instant // the date of the lease, 0 before there is one
	// Clear tells that ClearAt is known, when leases of earlier terms are over.
	Clear   bool
	ClearAt env.Instant
}

// End is when the lease is over, unless it is granted again.
func (s LeaseState) End() env.Instant {
	if s.Since == 0 {
		return 0
	}
	return s.Since.Add(consensus.LeaseLength)
}

// NewLeaseholder is that of a proposer which was elected in a term.
func NewLeaseholder(p *Proposer, term core.Term) *Leaseholder {
	return &Leaseholder{p: p, env: p.env, term: term, state: xsync.NewWatch(p.env, LeaseState{})}
}

// State tells where the lease stands.
func (h *Leaseholder) State() LeaseState { return h.state.Get() }

// Await returns once the state meets a condition.
func (h *Leaseholder) Await(ctx context.Context, met func(LeaseState) bool) (LeaseState, error) {
	return h.state.Await(ctx, met)
}

// AwaitClear returns once this proposer has a lease and no earlier one can hold
// on: from then on its server may serve.
func (h *Leaseholder) AwaitClear(ctx context.Context) error {
	for {
		s, err := h.Await(ctx, func(s LeaseState) bool { return s.Clear && s.Since != 0 })
		if err != nil || faults.On && faults.Hit(faults.LeaseAwaitNone) {
			return err
		}
		left := s.ClearAt.Sub(h.env.Clock().Mono())
		if left <= 0 {
			return nil
		}
		// It may turn out to be over sooner.
		if err := h.env.Clock().Sleep(ctx, min(left, consensus.LeaseEvery)); err != nil {
			return err
		}
	}
}

// Run asks for the lease until ctx ends, in whatever configuration the proposer
// leads.
func (h *Leaseholder) Run(ctx context.Context) error {
	for {
		conf := h.p.configuration()
		h.mu.Lock()
		h.conf, h.lease = conf, consensus.NewLease(conf, h.term)
		h.mu.Unlock()
		g := xsync.NewGroup(ctx, h.env)
		for i, m := range conf.Union() {
			g.Go("lease from a safekeeper", func(ctx context.Context) error { return h.keep(ctx, i, m, conf.Generation) })
		}
		var err error
		for err == nil && h.p.configuration().Generation == conf.Generation {
			err = h.env.Clock().Sleep(g.Context(), consensus.LeaseEvery)
		}
		g.Cancel(err)
		g.Wait()
		if err := xsync.Cause(ctx); err != nil {
			return err
		}
	}
}

// configuration is that which the proposer goes by now.
func (p *Proposer) configuration() consensus.Configuration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cfg.Members
}

// keep asks one safekeeper until ctx ends.
func (h *Leaseholder) keep(ctx context.Context, i int, m consensus.Member, g core.Generation) error {
	for {
		h.ask(ctx, i, m, g)
		if err := h.env.Clock().Sleep(ctx, consensus.LeaseEvery); err != nil {
			return err
		}
	}
}

// ask connects, and asks until the connection fails.
func (h *Leaseholder) ask(ctx context.Context, i int, m consensus.Member, g core.Generation) error {
	c, err := h.connect(ctx, m)
	if err != nil {
		return err
	}
	defer c.Close()
	defer wire.CloseOn(ctx, c)()
	query := fmt.Sprintf("%s %d %d", wire.CmdLease, g, h.term)
	for {
		asked := h.env.Clock().Mono()
		c.NetConn().SetDeadline(h.env.Clock().Now().Add(leasePatience))
		res, err := c.Query(query)
		if err != nil {
			return err
		}
		r, err := leaseAnswer(res)
		if err != nil {
			return err
		}
		h.answered(i, g, r, asked)
		if err := h.env.Clock().Sleep(ctx, consensus.LeaseEvery); err != nil {
			return err
		}
	}
}

// leasePatience bounds one question; a later answer would be of no use.
const leasePatience = consensus.LeaseLength

func (h *Leaseholder) connect(ctx context.Context, m consensus.Member) (*wire.Client, error) {
	ctx, cancel := xsync.WithTimeout(ctx, h.env, leasePatience)
	defer cancel()
	return wire.Connect(ctx, h.env, m.Addr(), wire.ClientConfig{ApplicationName: "lease", TTID: h.p.cfg.TTID, Timeout: leasePatience})
}

func leaseAnswer(res wire.Result) (r consensus.LeaseAnswer, err error) {
	if len(res.Rows) != 1 || len(res.Rows[0]) != 3 {
		return r, fmt.Errorf("%w: the answer to %s is not one row of three columns", consensus.ErrProtocol, wire.CmdLease)
	}
	var n [3]uint64
	for i, b := range res.Rows[0] {
		if n[i], err = strconv.ParseUint(string(b), 10, 62); err != nil {
			return r, fmt.Errorf("%w: the answer to %s: %w", consensus.ErrProtocol, wire.CmdLease, err)
		}
	}
	left := time.Duration(min(n[2], uint64(time.Hour/time.Millisecond))) * time.Millisecond
	return consensus.LeaseAnswer{Generation: core.Generation(n[0]), Term: core.Term(n[1]), Remaining: left}, nil
}

// answered takes an answer and makes known what it changed.
func (h *Leaseholder) answered(i int, g core.Generation, r consensus.LeaseAnswer, asked env.Instant) {
	now := h.env.Clock().Mono()
	h.mu.Lock()
	if h.conf.Generation != g || !h.lease.Answered(i, r, asked, now) {
		h.mu.Unlock()
		return
	}
	since := h.lease.Since()
	at, known := h.lease.ClearAt()
	h.mu.Unlock()
	h.state.Update(func(s LeaseState) LeaseState {
		// A lease of an earlier configuration holds on to its end.
		s.Since = max(s.Since, since)
		if known && (!s.Clear || at < s.ClearAt) {
			s.Clear, s.ClearAt = true, at
		}
		return s
	})
}

// Release gives the lease back, so that whoever is elected next need not wait.
// Nothing may be served any more. Run has ended. Safekeepers that do not answer
// within the time that the lease would last are left alone.
func (h *Leaseholder) Release(ctx context.Context) {
	ctx, cancel := xsync.WithTimeout(ctx, h.env, consensus.LeaseLength)
	defer cancel()
	h.mu.Lock()
	conf := h.conf
	h.mu.Unlock()
	g := xsync.NewGroup(ctx, h.env)
	for _, m := range conf.Union() {
		g.Go("release of a lease", func(ctx context.Context) error {
			c, err := h.connect(ctx, m)
			if err != nil {
				return nil
			}
			defer c.Close()
			defer wire.CloseOn(ctx, c)()
			c.Query(fmt.Sprintf("%s %d %d RELEASE", wire.CmdLease, conf.Generation, h.term))
			return nil
		})
	}
	g.Wait()
}
