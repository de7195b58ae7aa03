package fuzz

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"xenon/core"
	"xenon/core/env"
	"xenon/netsim"
)

// within is how much simulated time a healed cluster gets to come to life, to
// acknowledge a write and a read of every key, and to be level everywhere. The
// longest wait in it is that for a connection whose other end vanished.
const within = 5 * time.Minute

// judgement waits until what was healed works, and then looks at everything
// once more.
func (r *run) judgement() error {
	if r.j.outside {
		return r.clientsJudge()
	}
	final := r.w.Proc("final", netsim.ProcOptions{Objects: func(e env.Env) env.ObjectStore { return r.c.bucket.Objects(e, "final") }})
	err := final.Do(within, r.recovered)
	var f *netsim.Failure
	if errors.As(err, &f) && (f.Kind == "timeout" || f.Kind == "deadlock") {
		return &Violation{Liveness, fmt.Errorf("%s\n%s%w", r.stage, r.how(), err)}
	}
	if err != nil {
		return err
	}
	for _, l := range r.standing() {
		if err := l.sweep(&r.result.Counts); err != nil {
			return err
		}
	}
	return nil
}

// how tells what everybody is at, for whoever wonders why it does not end.
func (r *run) how() string {
	var b strings.Builder
	for _, s := range r.c.servers {
		if s.endpoint != nil && !s.retired {
			st := s.endpoint.Status()
			fmt.Fprintf(&b, "%s on %s, of %s: %s: %s\n", s.Name(), s.line.name, s.asks.Name(), st.State, st.Note)
		}
	}
	for _, a := range r.b {
		if !a.done {
			fmt.Fprintf(&b, "act %v: %v\n", a.doing, a.why)
		}
	}
	fmt.Fprintf(&b, "attaching: %v\n", r.c.attached)
	for _, l := range r.standing() {
		x := r.j.store.shelf(l.id.Timeline).index()
		fmt.Fprintf(&b, "%s: WAL up to %s", l.name, l.ghost.end())
		if x != nil {
			fmt.Fprintf(&b, ", in the store %s by generation %d", x.DiskConsistent.LSN, x.Generation)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// recovered returns once every branch with a server has acknowledged writes
// and read every key, and everybody has all of it.
func (r *run) recovered(ctx context.Context, e env.Env) error {
	r.stage = "waiting for acts to be done"
	for _, b := range r.b {
		if err := await(ctx, e, func() bool { return b.done }); err != nil {
			return fmt.Errorf("%w: act %s: %w", err, b.doing, b.why)
		}
	}
	r.stage = "waiting for a safekeeper that lost its disk to be replaced"
	if err := await(ctx, e, func() bool { return r.n.lost == nil }); err != nil {
		return fmt.Errorf("%w: %w", err, r.n.why)
	}
	if err := r.synced(ctx, e); err != nil {
		return err
	}
	for _, l := range r.served() {
		r.stage = "waiting for writes on " + l.name
		acked := l.clients.acked
		if err := await(ctx, e, func() bool { return l.clients.acked >= acked+3 }); err != nil {
			return err
		}
		l.clients.last = true
	}
	for _, l := range r.served() {
		r.stage = "waiting for the last reads and writes on " + l.name
		if err := await(ctx, e, func() bool { return l.clients.done }); err != nil {
			return err
		}
	}
	for _, l := range r.standing() {
		r.stage = "waiting for safekeepers and the pageserver to be level on " + l.name
		if err := await(ctx, e, l.level); err != nil {
			return err
		}
		if err := r.caughtUp(ctx, e, l); err != nil {
			return err
		}
	}
	if err := r.stored(ctx, e); err != nil {
		return err
	}
	if err := r.lean(ctx, e); err != nil {
		return err
	}
	if err := r.cleared(ctx, e); err != nil {
		return err
	}
	if err := r.quiet(ctx, e); err != nil {
		return err
	}
	return r.again(ctx, e)
}

// standing lists the branches that there are.
func (r *run) standing() []*line {
	return slices.DeleteFunc(slices.Clone(r.j.lines), func(l *line) bool { return l.gone })
}

// served lists the branches that have a seat.
func (r *run) served() []*line {
	var list []*line
	for _, s := range r.c.servers {
		if !s.retired && !slices.Contains(list, s.line) {
			list = append(list, s.line)
		}
	}
	return list
}

// stored waits until the object store has everything that was committed.
func (r *run) stored(ctx context.Context, e env.Env) error {
	for _, l := range r.standing() {
		r.stage = "waiting for all of " + l.name + " to be in the object store"
		h := r.j.store.shelf(l.id.Timeline)
		if err := await(ctx, e, func() bool { return h.index() != nil && h.index().DiskConsistent.LSN == l.ghost.end() }); err != nil {
			return err
		}
	}
	return nil
}

// again takes the disks of all pageservers away: one that starts with the
// object store alone gives the same pages of all times, and reads no WAL that
// is stored.
func (r *run) again(ctx context.Context, e env.Env) error {
	counts, ready := *r.j.counts, false
	r.w.After(0, func() {
		for _, ps := range r.c.pss {
			ps.Kill()
			ps.down = true
			r.n.empty(ps)
		}
		r.c.ps().start()
		r.c.tell()
		ready = true
	})
	if err := await(ctx, e, func() bool { return ready }); err != nil {
		return err
	}
	dice := e.Rand("again")
	for _, l := range r.standing() {
		r.stage = "waiting for a pageserver that has lost its disk to have " + l.name
		if err := r.caughtUp(ctx, e, l, l.moment(dice), l.moment(dice)); err != nil {
			return err
		}
	}
	counts.PagesCompared = r.j.counts.PagesCompared
	*r.j.counts = counts // what the verdict does is no part of the run
	return nil
}

// caughtUp waits until the pageserver has all of a timeline, and compares it
// as of its end and of other moments.
func (r *run) caughtUp(ctx context.Context, e env.Env, l *line, moments ...core.LSN) error {
	addr := addrOf(r.c.ps().Name())
	for {
		info, err := timelineInfo(ctx, e, addr, l.id)
		if err == nil && info.LastRecord == l.ghost.end() {
			break
		}
		if err := e.Clock().Sleep(ctx, poll); err != nil {
			return err
		}
	}
	for {
		err := r.compare(ctx, e, addr, l, append(moments, l.ghost.end()))
		var no *refusal
		if errors.As(err, &no) {
			err = &Violation{PageReplay, fmt.Errorf("%s refuses a page of %s that there is: %w", addr, l.name, err)}
		}
		if err == nil || errors.As(err, new(*Violation)) {
			return err
		}
		if err := e.Clock().Sleep(ctx, poll); err != nil { // it was started anew
			return err
		}
	}
}

// compare compares a timeline as of some moments.
func (r *run) compare(ctx context.Context, e env.Env, addr string, l *line, moments []core.LSN) error {
	q, err := connect(ctx, e, addr, l)
	if err != nil {
		return err
	}
	defer q.c.Close()
	for _, lsn := range moments {
		if err := q.all(lsn); err != nil {
			return err
		}
	}
	return nil
}

const poll = 50 * time.Millisecond

func await(ctx context.Context, e env.Env, f func() bool) error {
	for !f() {
		if err := e.Clock().Sleep(ctx, poll); err != nil {
			return err
		}
	}
	return nil
}

// level tells whether all safekeepers have reported everything committed.
func (l *line) level() bool {
	for _, k := range l.keepers {
		if k.flush != l.ghost.end() || k.commit != l.ghost.end() {
			return false
		}
	}
	return true
}

// sweepBytes is how much of a device is compared at once.
const sweepBytes = 64 << 10

// sweep compares all devices with all that was committed, and judges what
// clients saw.
func (l *line) sweep(counts *Counts) error {
	g := l.ghost
	for _, k := range l.keepers {
		if k.rotten {
			continue
		}
		for at := g.begin; at < g.end(); at += sweepBytes {
			if err := g.agree(k.name, at, k.wal(at, min(at+sweepBytes, g.end()))); err != nil {
				return &Violation{Prefix, err}
			}
		}
	}
	if err := l.clients.history.Check(); err != nil {
		return &Violation{Linearizable, fmt.Errorf("branch %s: %w", l.name, err)}
	}
	if err := l.isolated(); err != nil {
		return err
	}
	counts.Transactions += l.clients.lists.Committed()
	counts.Writes, counts.Records = counts.Writes+l.clients.acked, counts.Records+len(g.ends)-1
	counts.Played += len(g.plays) - len(g.until(g.begin))
	counts.Reads += l.clients.history.Answered() - l.clients.acked
	return nil
}
