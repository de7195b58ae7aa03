package fuzz

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/pageserver"
	"xenon/core/redo"
	"xenon/core/wire"
	"xenon/core/wire/http1"
	"xenon/core/xsync"
	"xenon/fuzz/standin"
)

// forks are what is asked for.
var forks = [...]core.Rel{
	{Spc: core.DefaultTablespace, DB: standin.DB, Node: standin.Table},
	{Spc: core.DefaultTablespace, DB: standin.DB, Node: standin.Heap},
	{Spc: core.DefaultTablespace, DB: standin.DB, Node: standin.Heap, Fork: core.VMFork},
}

// forks are those of a line as of an LSN: the stand-in's own, and those that
// are there of the recorded relations.
func (l *line) forks(lsn core.LSN) []core.Rel {
	list, view := forks[:len(forks):len(forks)], l.asOf(lsn)
	for n, plays := range l.ghost.played(lsn) {
		if plays == 0 {
			continue
		}
		for _, fork := range []core.Fork{core.MainFork, core.VMFork} {
			r := core.Rel{Spc: core.DefaultTablespace, DB: standin.DB, Node: standin.RecordedNode(n), Fork: fork}
			if _, there := view.Size(r); there {
				list = append(list, r)
			}
		}
	}
	return list
}

// A reader asks the pageserver for pages of all times and compares.
type reader struct {
	j *judge
}

// loaded judges a page that a server read, which it did not write since it was
// started at lsn.
func (l *line) loaded(lsn core.LSN, r core.Rel, blk uint32, page *redo.Page) error {
	// A hole that the server's own writes left is zeroes, as want then is.
	want, _ := l.asOf(lsn).Page(r, blk)
	if want != *page {
		l.j.violated(PageReplay, "a server of %s started at %s reads another block %d of %s: %s", l.name, lsn, blk, r, redo.Diff(page, &want, wal10))
	}
	l.j.counts.PagesCompared++
	return nil
}

// wal10 is the manager by whose layout differing pages are described: heap.
const wal10 = 10

// run asks until ctx ends.
func (r reader) run(ctx context.Context, e env.Env) error {
	dice := e.Rand("reader")
	for {
		pause := r.j.c.pause(dice, time.Duration(50+dice.IntN(300))*time.Millisecond)
		if err := e.Clock().Sleep(ctx, pause); err != nil {
			return err
		}
		r.session(ctx, e, dice) // the pageserver may be away
	}
}

// session asks one pageserver a few questions about one timeline.
func (r reader) session(ctx context.Context, e env.Env, dice *rand.Rand) error {
	l := r.j.lines[dice.IntN(len(r.j.lines))]
	addr := addrOf(r.j.c.ps().Name())
	if dice.IntN(4) == 0 { // whoever was superseded may still answer, and must be right
		addr = addrOf(r.j.c.pss[dice.IntN(len(r.j.c.pss))].Name())
	}
	q, err := connect(ctx, e, addr, l)
	if err != nil {
		return err
	}
	defer q.c.Close()
	if dice.IntN(4) == 0 {
		if err := q.fresh(ctx, e); err != nil {
			return err
		}
	}
	for range 1 + dice.IntN(8) {
		lsn := l.moment(dice)
		all := l.forks(lsn)
		rel := all[dice.IntN(len(all))]
		size, _ := l.asOf(lsn).Size(rel)
		if dice.IntN(4) == 0 || size == 0 {
			err = q.size(rel, lsn)
		} else {
			err = q.page(rel, uint32(dice.IntN(int(size))), lsn)
		}
		if err != nil {
			return err
		}
	}
	return q.ingested(ctx, e)
}

// fresh asks for pages the moment that something is committed, which the
// pageserver has not heard of by then: it must wait.
func (q *questioner) fresh(ctx context.Context, e env.Env) error {
	wait, cancel := xsync.WithTimeout(ctx, e, 300*time.Millisecond)
	defer cancel()
	end := q.l.ghost.end()
	for q.l.ghost.end() == end {
		if err := e.Clock().Sleep(wait, time.Millisecond); err != nil {
			return xsync.Cause(ctx)
		}
	}
	for blk := range uint32(standin.Keys / 2) { // those are there from the start
		if err := q.page(forks[0], blk, q.l.ghost.end()); err != nil {
			return err
		}
	}
	return nil
}

// moment is an LSN of a timeline's history or of what it was branched off:
// mostly new, and mostly the end of a record.
func (l *line) moment(dice *rand.Rand) core.LSN {
	last := l.ghost.end()
	for l.parent != nil && dice.IntN(4) == 0 {
		last = min(last, l.at)
		l = l.parent
	}
	return l.ghost.moment(dice, last)
}

// moment is an LSN of the ghost up to last.
func (g *ghost) moment(dice *rand.Rand, last core.LSN) core.LSN {
	n := g.index(last)
	at := dice.IntN(n + 1)
	if dice.IntN(2) == 0 {
		at = max(0, n-dice.IntN(10))
	}
	lsn := g.ends[at]
	if at < n && dice.IntN(4) == 0 { // inside of the record behind
		lsn += core.LSN(dice.Int64N(int64(g.ends[at+1] - lsn)))
	}
	return lsn
}

// A questioner asks one pageserver about one timeline.
type questioner struct {
	c    *wire.Client
	addr string
	l    *line
}

func connect(ctx context.Context, e env.Env, addr string, l *line) (*questioner, error) {
	c, err := wire.Connect(ctx, e, addr, wire.ClientConfig{Limit: 1 << 20, Timeout: 10 * time.Second})
	if err != nil {
		return nil, err
	}
	c.NetConn().SetDeadline(e.Clock().Now().Add(time.Minute))
	if err := c.CopyBoth(fmt.Sprintf("pagestream_v3 %s %s", l.id.Tenant, l.id.Timeline)); err != nil {
		c.Close()
		return nil, err
	}
	return &questioner{c, addr, l}, nil
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
		err = &refusal{r.Message}
	}
	return r, err
}

// A refusal is an answer of a pageserver that is an error.
type refusal struct{ text string }

func (e *refusal) Error() string { return e.text }

func (q *questioner) page(rel core.Rel, blk uint32, lsn core.LSN) error {
	reply, err := ask(q.c, wire.PageRequest{Kind: wire.PageGet, LSN: lsn, NotModifiedSince: lsn, Rel: rel, Block: blk})
	if err != nil {
		return err
	}
	want, _ := q.l.asOf(lsn).Page(rel, blk)
	if got := (*redo.Page)(reply.Pages); *got != want {
		shown := want // not want itself, which would be on the heap each time
		q.wrong("block %d of %s as of %s: %s", blk, rel, lsn, redo.Diff(got, &shown, wal10))
	}
	q.l.j.counts.PagesCompared++
	return nil
}

// wrong reports an answer that differs from a replay.
func (q *questioner) wrong(format string, args ...any) {
	q.l.j.violated(PageReplay, "%s answers of %s: %w", q.addr, q.l.name, fmt.Errorf(format, args...))
}

func (q *questioner) size(rel core.Rel, lsn core.LSN) error {
	reply, err := ask(q.c, wire.PageRequest{Kind: wire.PageExists, LSN: lsn, NotModifiedSince: lsn, Rel: rel})
	if err != nil {
		return err
	}
	want, exists := q.l.asOf(lsn).Size(rel)
	if reply.Exists != exists {
		q.wrong("%s as of %s exists: %v, want %v", rel, lsn, reply.Exists, exists)
		return nil
	}
	if !exists {
		return nil
	}
	reply, err = ask(q.c, wire.PageRequest{Kind: wire.PageBlocks, LSN: lsn, NotModifiedSince: lsn, Rel: rel})
	if err == nil && reply.Blocks != want {
		q.wrong("%s as of %s has %d blocks, want %d", rel, lsn, reply.Blocks, want)
	}
	return err
}

// ingested checks that the pageserver has no WAL that may yet vanish.
func (q *questioner) ingested(ctx context.Context, e env.Env) error {
	info, err := timelineInfo(ctx, e, q.addr, q.l.id)
	if err != nil {
		return err
	}
	if end := q.l.ghost.end(); info.LastRecord > end {
		q.l.j.violated(IngestBound, "%s has ingested %s of %s, WAL is committed up to %s", q.addr, info.LastRecord, q.l.name, end)
	}
	if info.State != "Active" && !q.l.going {
		q.wrong("it has stopped to ingest: %s", info.Reason)
	}
	return nil
}

func timelineInfo(ctx context.Context, e env.Env, addr string, id core.TTID) (info pageserver.TimelineInfo, err error) {
	path := fmt.Sprintf("/v1/tenant/%s/timeline/%s", id.Tenant, id.Timeline)
	err = http1.Call(ctx, e, addr, "GET", path, nil, &info)
	return info, err
}

// all compares every page there is as of an LSN.
func (q *questioner) all(lsn core.LSN) error {
	for _, rel := range q.l.forks(lsn) {
		if err := q.size(rel, lsn); err != nil {
			return err
		}
		size, _ := q.l.asOf(lsn).Size(rel)
		for blk := range size {
			if err := q.page(rel, blk, lsn); err != nil {
				return err
			}
		}
	}
	return nil
}
