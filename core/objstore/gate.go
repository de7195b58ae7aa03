package objstore

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"xenon/core/env"
	"xenon/core/xsync"
)

// The budget of repeated requests: a store that is down is asked ten times
// a second at most, however many wait for it. A short trouble of many requests
// is repeated at once, out of what was saved up.
const (
	retryInterval = 100 * time.Millisecond
	savedRetries  = 50
)

// limitUnit is one request at once; limits are kept in thousandths, so that
// they can rise slowly.
const limitUnit = 1000

// A gate decides how many requests are under way at once, and how many are
// repeated in a while.
//
// The limit is halved when the store asks to slow down, once a second at most,
// and rises by one for as many good answers as it allows requests: the rule
// that keeps flows on one link fair (additive increase, multiplicative
// decrease).
type gate struct {
	clock env.Clock

	mu     xsync.Mutex
	free   *xsync.Cond
	inside int // requests
	limit  int // in thousandths
	most   int // in thousandths
	halved env.Instant

	leaf  sync.Mutex // guards what follows
	rand  *rand.Rand
	spent env.Instant // the budget is used up to this instant
}

func (g *gate) init(e env.Env, most int) {
	g.clock, g.rand = e.Clock(), e.Rand("objstore")
	g.mu.Init(e)
	g.free = xsync.NewCond(&g.mu)
	g.most = most * limitUnit
	g.limit = g.most
	g.halved = g.clock.Mono().Add(-time.Second)
	g.spent = g.clock.Mono().Add(-savedRetries * retryInterval)
}

// enter waits until one more request may be under way, or returns why ctx
// ended.
func (g *gate) enter(ctx context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := xsync.Cause(ctx); err != nil {
		return err
	}
	for (g.inside+1)*limitUnit > g.limit {
		if err := g.free.Wait(ctx); err != nil {
			g.free.Signal() // it may have been meant for us
			return err
		}
	}
	g.inside++
	return nil
}

// leave ends a request that came to err.
func (g *gate) leave(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	if errors.Is(err, env.ErrSlowDown) {
		if now := g.clock.Mono(); now.Sub(g.halved) >= time.Second {
			g.halved = now
			g.limit = max(limitUnit, g.limit/2)
		}
	} else if err == nil && g.limit < g.most {
		g.limit = min(g.most, g.limit+limitUnit*limitUnit/g.limit)
		g.free.Signal() // there may be room for two
	}
	g.free.Signal()
}

// load is how many requests are under way, and how many may be.
func (g *gate) load() (inside, limit int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.inside, g.limit / limitUnit
}

// pause is how long to wait before a request is repeated that should wait
// least: up to a half longer, so that many do not come back at once, and until
// the budget has room.
func (g *gate) pause(least time.Duration) time.Duration {
	now := g.clock.Mono()
	g.leaf.Lock()
	defer g.leaf.Unlock()
	least += time.Duration(g.rand.Int64N(int64(least)/2 + 1))
	// One interval is spent per repetition; what is not spent is saved, up to
	// a bound.
	g.spent = max(g.spent, now.Add(-savedRetries*retryInterval)).Add(retryInterval)
	return max(least, g.spent.Sub(now))
}
