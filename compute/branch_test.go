package compute_test

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"xenon/compute"
	"xenon/consensus/safekeeper"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/pageserver"
	"xenon/core/wire/http1/http1test"
)

// branch makes a branch of another at an LSN, everywhere, and returns it with
// what its servers must find.
func (l *life) branch(of line, name string, at core.LSN) line {
	l.t.Helper()
	id := of.id
	id.Timeline = core.TimelineID{0xBC, name[0]}
	start := format.RoundUp(at)
	l.in(func(ctx context.Context, e env.Env) error {
		req := pageserver.AttachRequest{Timeline: id.Timeline, Ancestor: of.id.Timeline, AncestorStart: at}
		for _, m := range l.conf.Members {
			req.Safekeepers = append(req.Safekeepers, m.Addr())
		}
		if err := http1test.Insist(ctx, e, psAddr, "/v1/tenant/"+id.Tenant.String()+"/timeline", req); err != nil {
			return err
		}
		made := safekeeper.NewCreation(id, l.conf, identity(), start, nil)
		for _, m := range l.conf.Members {
			if err := http1test.Insist(ctx, e, m.Addr(), "/v1/tenant/timeline", made); err != nil {
				return err
			}
		}
		return nil
	})
	return line{name, id, of.ledger.at(start)}
}

// works runs a branch on a host: its server reads what the branch began with,
// commits, is killed, and goes on.
func (l *life) works(h *computeHost, on line, begins core.LSN) {
	l.t.Helper()
	h.on = on
	commits := func(n int) {
		l.t.Helper()
		want := on.ledger.commits + n
		l.until("commits on "+on.name, time.Minute, func() bool { return on.ledger.commits >= want })
	}
	h.start()
	l.until("start of "+on.name, time.Minute, h.ready)
	if s := h.status(); s.Start != begins {
		l.t.Errorf("branch %s starts at %s, made at %s", on.name, s.Start, begins)
	}
	commits(3)
	h.server.die("signal 9")
	l.until("restart of "+on.name, time.Minute, func() bool { return h.ready() && h.status().Starts == 2 })
	commits(3)
	h.ep.Stop()
	l.stopped(h, time.Minute)
}

// oddPlaces are LSNs of a history: the end of a record, within one, its last
// byte, in and behind a page header, at a page's beginning, and around the
// beginning of a segment.
func oddPlaces(written []written) map[string]core.LSN {
	mid := written[len(written)/2].end
	page := (mid + core.WALPageSize) &^ (core.WALPageSize - 1)
	segment := core.LSN(2 * format.SegmentSize)
	return map[string]core.LSN{
		"a record's end": mid, "in a record": mid + 64, "a record's last byte": mid - 1, "a record's first bytes": mid + 8,
		"in a page header": page + 8, "behind a page header": page + 24, "a page's beginning": page, "a page's end": page - 8,
		"a segment's beginning": segment, "in a long header": segment + 24, "behind a long header": segment + 40, "a segment's end": segment - 16,
	}
}

// TestBranchAtOddPlaces: a server boots on a branch wherever that begins, while
// the parent writes, and finds exactly the records that end there or before.
func TestBranchAtOddPlaces(t *testing.T) {
	l := newLife(t, 21)
	main := l.hosts[0]
	l.working(main)
	l.until("a segment of WAL", 10*time.Minute, func() bool {
		w := l.ledger.written
		return len(w) > 0 && w[len(w)-1].end > core.LSN(2*format.SegmentSize)+8*core.WALPageSize
	})
	names := "abcdefghijklm"
	places := oddPlaces(l.ledger.written)
	for _, what := range sorted(places) {
		name, at := names[:1], places[what]
		names = names[1:]
		t.Run(what, func(t *testing.T) {
			l := &life{l.cluster, t}
			l.works(l.hosts[1], l.branch(main.on, name, at), format.RoundUp(at))
		})
	}
	before := l.ledger.commits
	l.commits(5)
	if main.status().Starts != 1 || l.ledger.commits <= before {
		t.Errorf("main did not go on: %+v", main.status())
	}
}

// TestBranchOfBranch: branches of branches, at the end of what was written
// there and below, go on from what they began with, and none sees another.
func TestBranchOfBranch(t *testing.T) {
	l := newLife(t, 22)
	l.working(l.hosts[0])
	l.commits(20)
	h, on := l.hosts[1], l.hosts[0].on
	for _, name := range []string{"a", "b", "c"} {
		w := on.ledger.written
		at := w[len(w)-1].end
		if name == "b" {
			at = w[len(w)-4].end
		}
		on = l.branch(on, name, at)
		l.works(h, on, at)
	}
	l.commits(5)
}

// TestStatic: a read-only endpoint shows what was, at any place, of a branch
// that somebody runs and writes; it takes nothing from it, and what it writes
// itself is nowhere afterwards.
func TestStatic(t *testing.T) {
	l := newLife(t, 23)
	main, h := l.hosts[0], l.hosts[1]
	l.working(main)
	l.until("a segment of WAL", 10*time.Minute, func() bool {
		w := l.ledger.written
		return len(w) > 0 && w[len(w)-1].end > core.LSN(2*format.SegmentSize)+8*core.WALPageSize
	})
	child := l.branch(main.on, "a", l.ledger.written[40].end+8)
	places := oddPlaces(l.ledger.written)
	for i, what := range sorted(places) {
		for _, on := range []line{main.on, child} {
			at := places[what]
			if i%3 != 0 && os.Getenv("XENON_FULL") != "1" {
				continue
			}
			if on.name == "a" {
				at = min(at, l.ledger.written[30].end) // before the branch began
			}
			h.on, h.static = on, at
			h.on.ledger = main.on.ledger.at(format.RoundUp(at))
			h.start()
			l.until("start at "+what, time.Minute, h.ready)
			reads := h.on.ledger.reads
			l.until("work", time.Minute, func() bool { return h.on.ledger.commits >= 3 && h.on.ledger.reads >= reads+3 })
			s := h.status()
			if s.Epoch != 0 || s.Term != 0 || s.Start != format.RoundUp(at) {
				t.Errorf("%s: %+v", what, s)
			}
			h.server.die("signal 9")
			// The next server begins anew.
			h.on.ledger = main.on.ledger.at(format.RoundUp(at))
			l.until("restart at "+what, time.Minute, func() bool { return h.ready() && h.status().Starts == 2 })
			h.ep.Stop()
			l.stopped(h, time.Minute)
		}
	}
	if s := main.status(); s.Starts != 1 || s.State != compute.Ready {
		t.Errorf("main: %+v", s)
	}
}

// TestStaticNowhere: an LSN that the branch does not have, or not any more,
// is an error that says so.
func TestStaticNowhere(t *testing.T) {
	l := newLife(t, 24)
	main, h := l.hosts[0], l.hosts[1]
	l.working(main)
	main.ep.Stop()
	l.stopped(main, time.Minute)
	for at, want := range map[core.LSN]string{1 << 30: "beyond the end", 8: "begins"} {
		h.static = at
		h.start()
		l.stopped(h, time.Minute)
		if h.ended == nil || !errors.Is(h.ended, compute.ErrNoSuchMoment) || !strings.Contains(h.ended.Error(), want) {
			t.Errorf("at %s: %v, want %q", at, h.ended, want)
		}
		if s := h.status(); s.State != compute.Failed {
			t.Errorf("at %s: %+v", at, s)
		}
	}
}

func sorted(places map[string]core.LSN) []string {
	return slices.SortedFunc(maps.Keys(places), func(a, b string) int {
		return cmp.Or(cmp.Compare(places[a], places[b]), strings.Compare(a, b))
	})
}
