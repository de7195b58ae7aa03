package fuzz

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"xenon/compute"
	"xenon/compute/proposer"
	"xenon/consensus/safekeeper"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/pageserver"
	"xenon/core/pageserver/remote"
	"xenon/core/wire/http1"
	"xenon/core/xsync"
	"xenon/fuzz/standin"
	"xenon/netsim"
)

// A Deed is what somebody does with branches.
type Deed uint8

// The deeds.
const (
	Fork   Deed = iota // a branch is made, at any LSN of any branch
	Drop               // a branch goes, or stays because others come of it
	Static             // a read-only server shows a moment of a branch
	Join               // a safekeeper becomes a member
	Leave              // a member leaves
	Swap               // a safekeeper takes the place of a member
	deeds
)

func (d Deed) String() string {
	return [...]string{"fork", "drop", "static", "join", "leave", "swap"}[d]
}

// An Act is a deed of a plan: no fault, but work.
type Act struct {
	At    time.Duration // since the clients began, or when the one before is done
	Deed  Deed
	Which int // what it is drawn from
}

func (a Act) String() string { return fmt.Sprintf("%7.3fs %s #%d", a.At.Seconds(), a.Deed, a.Which) }

// maxForks is how many branches a run makes at most.
const maxForks = 3

// drawActs makes the acts of a plan: a branch in most runs, and what befalls
// branches behind it.
func drawActs(d dice, length time.Duration) []Act {
	var acts []Act
	add := func(deed Deed, i int) {
		r := d.of("act %s %d", deed, i)
		acts = append(acts, Act{At: millis(r, length), Deed: deed, Which: r.IntN(1 << 16)})
	}
	forks := max(0, d.of("forks").IntN(maxForks+2)-1)
	for i := range forks {
		add(Fork, i)
		if d.of("drop %d", i).IntN(4) == 0 {
			add(Drop, i)
		}
	}
	if d.of("static").IntN(3) == 0 {
		add(Static, 0)
	}
	return append(acts, drawMoves(d, length)...)
}

// branchers is how many are at work at once: what one does meets what another
// does.
const branchers = 2

// A brancher does some of the acts of a plan, one after the other.
type brancher struct {
	r    *run
	acts []Act
	dice *rand.Rand
	// doing is the act that it is at, done tells that there are no more.
	doing Act
	why   error // why that is not done yet
	done  bool
}

func (b *brancher) run(ctx context.Context, e env.Env) error {
	began := e.Clock().Mono()
	for _, a := range b.acts {
		b.doing, b.why = a, nil
		if wait := a.At - e.Clock().Mono().Sub(began); wait > 0 {
			if err := e.Clock().Sleep(ctx, wait); err != nil {
				return err
			}
		}
		b.dice = netsim.Stream(uint64(a.Which), a.Deed.String())
		b.r.acting("act", a)
		if err := b.do(ctx, e, a); err != nil {
			b.why = fmt.Errorf("given up: %w", err)
			return err
		}
		b.r.acting("act.end", a)
	}
	b.done = true
	return nil
}

func (b *brancher) do(ctx context.Context, e env.Env, a Act) error {
	switch a.Deed {
	case Fork:
		return b.fork(ctx, e)
	case Drop:
		return b.drop(ctx, e)
	case Join, Leave, Swap:
		return b.move(ctx, e, a.Deed)
	}
	if err := b.static(ctx, e); !errors.Is(err, errMoot) {
		return err
	}
	return nil
}

// insist does something until that is done: whoever is asked may be away, be
// told of the timeline only later, or be another one by then. It gives up with
// errMoot once it need not be done any more.
func (b *brancher) insist(ctx context.Context, e env.Env, moot func(error) bool, f func() error) error {
	for {
		err := f()
		if err == nil {
			return nil
		}
		if b.why = err; moot(err) {
			return fmt.Errorf("%w: %w", errMoot, err)
		}
		if err := e.Clock().Sleep(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

var errMoot = errors.New("nobody wants it any more")

func never(error) bool { return false }

// refused tells an answer of one of these kinds.
func refused(err error, kinds ...int) bool {
	var status *http1.StatusError
	return errors.As(err, &status) && slices.Contains(kinds, status.Status)
}

// live lists the branches that are there, or are being made.
func (b *brancher) live() []*line {
	return slices.DeleteFunc(slices.Clone(b.r.j.lines), func(l *line) bool { return l.gone || l.going })
}

// fork makes a branch, and in most cases lets a server run on it. It may come
// to nothing if the parent is being deleted meanwhile.
func (b *brancher) fork(ctx context.Context, e env.Env) error {
	c, live := b.r.c, b.live()
	c.reshaping++
	defer func() { c.reshaping-- }()
	parent := live[b.dice.IntN(len(live))]
	at := format.RoundUp(parent.ghost.moment(b.dice, parent.ghost.end()))
	l := b.r.j.branch(parent, at)
	err := c.createBranch(ctx, e, b, l)
	if errors.Is(err, errMoot) {
		l.gone = true
		return nil
	}
	if err != nil {
		return fmt.Errorf("create %s at %s of %s: %w", l.name, at, parent.name, err)
	}
	if b.dice.IntN(4) > 0 && !l.going && !l.gone { // else it was deleted meanwhile
		c.w.After(0, c.seat(l).start)
	}
	return nil
}

// branch puts a branch under judgement before anybody makes it.
func (j *judge) branch(parent *line, at core.LSN) *line {
	n := len(j.lines)
	id := core.TTID{Tenant: ttid.Tenant, Timeline: core.TimelineID{0x71, byte(n)}}
	begin := parent.asOf(at).State()
	l := j.watch(fmt.Sprintf("branch-%d", n), id, newGhost(at, 0, begin))
	l.parent, l.at = parent, at
	l.ghost.plays = parent.ghost.until(at)
	l.clients.inherit(begin)
	return l
}

// createBranch asks for what makes a branch, in the order in which nothing is
// lost when it is asked for half of it.
func (c *cluster) createBranch(ctx context.Context, e env.Env, b *brancher, l *line) error {
	req := c.attachRequest(l)
	moot := func(error) bool { return b.r.j.store.tombstone(l.parent) || b.r.j.store.tombstone(l) }
	err := b.insist(ctx, e, moot, func() error {
		return http1.Call(ctx, e, addrOf(c.ps().Name()), "POST", timelinesPath(l.id), req, nil)
	})
	if err != nil {
		return err
	}
	if err := c.enter(ctx, e, l.id); err != nil {
		return err
	}
	for _, m := range c.conf.Members {
		body := safekeeper.NewCreation(l.id, c.conf, server, l.at, nil)
		create := func() error {
			err := http1.Call(ctx, e, m.Addr(), "POST", safekeeper.RouteTo(m.ID, "/v1/tenant/timeline"), body, nil)
			if refused(err, 409) && l.members.record.Config.Generation > 1 {
				return nil // its members change already, and whoever changes them sees to it
			}
			return err
		}
		if err := b.insist(ctx, e, moot, create); err != nil {
			return err
		}
	}
	return nil
}

// attachRequest is what a pageserver is told of a timeline.
func (c *cluster) attachRequest(l *line) pageserver.AttachRequest {
	req := pageserver.AttachRequest{Timeline: l.id.Timeline}
	for _, m := range c.conf.Members {
		req.Safekeepers = append(req.Safekeepers, m.Addr())
	}
	if l.parent != nil {
		req.Ancestor, req.AncestorStart = l.parent.id.Timeline, l.at
	}
	return req
}

func timelinesPath(id core.TTID) string { return "/v1/tenant/" + id.Tenant.String() + "/timeline" }

func timelinePath(id core.TTID) string { return timelinesPath(id) + "/" + id.Timeline.String() }

// drop deletes a branch. One that others come of stays.
func (b *brancher) drop(ctx context.Context, e env.Env) error {
	c, live := b.r.c, b.live()
	l := live[b.dice.IntN(len(live))]
	if l.parent == nil {
		return nil // without the first branch there is no work
	}
	if l.going = b.r.j.childless(l); l.going {
		b.retire(l) // else it is refused, or a child comes to nothing
	}
	stays := func(err error) bool { return refused(err, http.StatusConflict) && !b.r.j.childless(l) }
	err := b.insist(ctx, e, stays, func() error {
		if b.r.j.store.tombstone(l) && !b.named(l) {
			return nil
		}
		err := http1.Call(ctx, e, addrOf(c.ps().Name()), "DELETE", timelinePath(l.id), nil, nil)
		if err == nil && !b.r.j.store.tombstone(l) {
			b.r.j.violated(Reachable, "the pageserver says that %s is deleted, its index does not", l.name)
		}
		return errors.Join(err, errors.New("its parent still names it"))
	})
	if errors.Is(err, errMoot) {
		l.going = false
		return nil
	}
	if err != nil {
		return fmt.Errorf("delete %s: %w", l.name, err)
	}
	l.gone = true
	b.retire(l)
	b.r.result.Counts.Dropped++
	for _, m := range c.conf.Members {
		if err := b.insist(ctx, e, never, func() error {
			return http1.Call(ctx, e, m.Addr(), "DELETE", safekeeper.RouteTo(m.ID, timelinePath(l.id)), nil, nil)
		}); err != nil {
			return err
		}
	}
	return nil
}

// retire ends the servers of a branch.
func (b *brancher) retire(l *line) {
	for _, s := range b.r.c.servers {
		if s.line == l {
			b.r.c.w.After(0, s.retire)
		}
	}
}

// childless tells whether no branch comes of l, or is about to.
func (j *judge) childless(l *line) bool {
	return !slices.ContainsFunc(j.lines, func(x *line) bool { return x.parent == l && !x.gone })
}

// named tells whether the index of the parent names a branch.
func (b *brancher) named(l *line) bool {
	x := b.r.j.store.shelf(l.parent.id.Timeline).index()
	return x != nil && slices.ContainsFunc(x.Children, func(c remote.BranchPoint) bool { return c.Timeline == l.id.Timeline })
}

// static runs a read-only server at a moment of a branch, which reads all
// pages that there were.
func (b *brancher) static(ctx context.Context, e env.Env) error {
	live := b.live()
	l := live[b.dice.IntN(len(live))]
	at := l.moment(b.dice)
	return b.insist(ctx, e, func(error) bool { return l.going || l.gone }, func() error { return b.r.c.look(ctx, e, l, at) })
}

// look runs a server at an LSN until it has read every key.
func (c *cluster) look(ctx context.Context, e env.Env, l *line, at core.LSN) error {
	done := false
	c.statics++
	p := c.node(fmt.Sprintf("static%d", c.statics), func(ctx context.Context, e env.Env) error {
		o := standin.Options{Loaded: l.loaded, Serve: func(ctx context.Context, e env.Env, s *standin.Server) error {
			for key := range standin.Keys {
				if _, err := s.Get(ctx, key); err != nil {
					return err
				}
			}
			done = true
			return nil
		}}
		ep := compute.New(e, standin.NewHost(e, o), compute.Config{
			Branch: l.name, TTID: l.id, Pageserver: addrOf(c.ps().Name()), Owner: "static", Static: at, Scratch: "scratch",
			Quorum: proposer.Config{TTID: l.id, Members: c.conf, Server: server, BufferBytes: c.load.Buffer, DirectBytes: c.load.Direct},
		})
		return ep.Run(ctx)
	})
	c.w.After(0, p.start)
	patience, cancel := xsync.WithTimeout(ctx, e, 10*time.Second)
	defer cancel()
	err := await(patience, e, func() bool { return done })
	c.w.After(0, p.Kill)
	if err != nil {
		return fmt.Errorf("no read-only server at %s of %s: %w", at, l.name, err)
	}
	return nil
}
