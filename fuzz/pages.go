package fuzz

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/pageserver"
	"xenon/core/redo"
	"xenon/core/wire"
	"xenon/core/wire/http1"
	"xenon/fuzz/standin"
)

// forks are what is asked for.
var forks = [...]core.Rel{
	{Spc: core.DefaultTablespace, DB: standin.DB, Node: standin.Table},
	{Spc: core.DefaultTablespace, DB: standin.DB, Node: standin.Heap},
	{Spc: core.DefaultTablespace, DB: standin.DB, Node: standin.Heap, Fork: core.VMFork},
}

// A reader asks the pageserver for pages of all times and compares.
type reader struct {
	j *judge
}

// loaded judges a page that a server read, which it did not write since it was
// started at lsn.
func (j *judge) loaded(lsn core.LSN, r core.Rel, blk uint32, page *redo.Page) error {
	// A hole that the server's own writes left is zeroes, as want then is.
	want, _ := j.ghost.asOf(lsn).Page(r, blk)
	if want != *page {
		j.violated(PageReplay, "a server started at %s reads another block %d of %s: %s", lsn, blk, r, redo.Diff(page, &want, wal10))
	}
	j.counts.PagesCompared++
	return nil
}

// wal10 is the manager by whose layout differing pages are described: heap.
const wal10 = 10

// run asks until ctx ends.
func (r reader) run(ctx context.Context, e env.Env) error {
	dice := e.Rand("reader")
	for {
		if err := e.Clock().Sleep(ctx, time.Duration(50+dice.IntN(300))*time.Millisecond); err != nil {
			return err
		}
		r.session(ctx, e, dice) // the pageserver may be away
	}
}

// session asks a few questions on one connection.
func (r reader) session(ctx context.Context, e env.Env, dice *rand.Rand) error {
	c, err := connect(ctx, e)
	if err != nil {
		return err
	}
	defer c.Close()
	for range 1 + dice.IntN(8) {
		g := r.j.ghost
		at := dice.IntN(len(g.ends))
		if dice.IntN(2) == 0 { // mostly what is new
			at = max(0, len(g.ends)-1-dice.IntN(10))
		}
		rel := forks[dice.IntN(len(forks))]
		size := g.states[at].Sizes[core.BlockKey(rel, 0)]
		if dice.IntN(4) == 0 || size == 0 {
			err = r.size(c, rel, g.ends[at], at)
		} else {
			err = r.page(c, rel, uint32(dice.IntN(int(size))), g.ends[at], at)
		}
		if err != nil {
			return err
		}
	}
	return r.ingested(ctx, e)
}

func connect(ctx context.Context, e env.Env) (*wire.Client, error) {
	c, err := wire.Connect(ctx, e, psAddr, wire.ClientConfig{Limit: 1 << 20, Timeout: 10 * time.Second})
	if err != nil {
		return nil, err
	}
	c.NetConn().SetDeadline(e.Clock().Now().Add(time.Minute))
	if err := c.CopyBoth(fmt.Sprintf("pagestream_v3 %s %s", ttid.Tenant, ttid.Timeline)); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// ask asks one question; an answer that is an error is an error.
func ask(c *wire.Client, q wire.PageRequest) (wire.PageReply, error) {
	c.CopyData(q.Append(nil), nil)
	if err := c.Flush(); err != nil {
		return wire.PageReply{}, err
	}
	body, err := c.ReadCopy()
	if err != nil {
		return wire.PageReply{}, err
	}
	r, err := wire.DecodePageReply(body)
	if err == nil && r.Request.Kind == wire.PageError {
		err = errors.New(r.Message)
	}
	return r, err
}

func (r reader) page(c *wire.Client, rel core.Rel, blk uint32, lsn core.LSN, at int) error {
	reply, err := ask(c, wire.PageRequest{Kind: wire.PageGet, LSN: lsn, NotModifiedSince: lsn, Rel: rel, Block: blk})
	if err != nil {
		return err
	}
	want, _ := r.j.ghost.states[at].Page(rel, blk)
	if got := (*redo.Page)(reply.Pages); *got != want {
		r.j.violated(PageReplay, "block %d of %s as of %s: %s", blk, rel, lsn, redo.Diff(got, &want, wal10))
	}
	r.j.counts.PagesCompared++
	return nil
}

func (r reader) size(c *wire.Client, rel core.Rel, lsn core.LSN, at int) error {
	reply, err := ask(c, wire.PageRequest{Kind: wire.PageExists, LSN: lsn, NotModifiedSince: lsn, Rel: rel})
	if err != nil {
		return err
	}
	want, exists := r.j.ghost.states[at].Sizes[core.BlockKey(rel, 0)]
	if reply.Exists != exists {
		r.j.violated(PageReplay, "%s as of %s exists: %v, want %v", rel, lsn, reply.Exists, exists)
		return nil
	}
	if !exists {
		return nil
	}
	reply, err = ask(c, wire.PageRequest{Kind: wire.PageBlocks, LSN: lsn, NotModifiedSince: lsn, Rel: rel})
	if err == nil && reply.Blocks != want {
		r.j.violated(PageReplay, "%s as of %s has %d blocks, want %d", rel, lsn, reply.Blocks, want)
	}
	return err
}

// ingested checks that the pageserver has no WAL that may yet vanish.
func (r reader) ingested(ctx context.Context, e env.Env) error {
	info, err := pageserverInfo(ctx, e)
	if err == nil && info.LastRecord > r.j.ghost.end() {
		r.j.violated(IngestBound, "the pageserver has ingested %s, WAL is committed up to %s", info.LastRecord, r.j.ghost.end())
	}
	if err == nil && info.State != "Active" {
		r.j.violated(PageReplay, "the pageserver has stopped to ingest: %s", info.Reason)
	}
	return err
}

func pageserverInfo(ctx context.Context, e env.Env) (info pageserver.TimelineInfo, err error) {
	path := fmt.Sprintf("/v1/tenant/%s/timeline/%s", ttid.Tenant, ttid.Timeline)
	err = http1.Call(ctx, e, psAddr, "GET", path, nil, &info)
	return info, err
}

// all compares every page there is with the end of the ghost.
func (r reader) all(ctx context.Context, e env.Env) error {
	c, err := connect(ctx, e)
	if err != nil {
		return err
	}
	defer c.Close()
	at := len(r.j.ghost.ends) - 1
	lsn := r.j.ghost.ends[at]
	for _, rel := range forks {
		if err := r.size(c, rel, lsn, at); err != nil {
			return err
		}
		for blk := range r.j.ghost.states[at].Sizes[core.BlockKey(rel, 0)] {
			if err := r.page(c, rel, blk, lsn, at); err != nil {
				return err
			}
		}
	}
	return nil
}
