package compute_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"xenon/compute"
	"xenon/compute/vfs"
	"xenon/core/env"
	"xenon/core/wire/http1/http1test"
)

// TestStart: an endpoint takes the register, starts a server at the end of
// what is committed, and gives the register back when it is stopped.
func TestStart(t *testing.T) {
	l := newLife(t, 1)
	h := l.hosts[0]
	l.working(h)
	s := h.status()
	if s.Epoch != 1 || s.Term == 0 || s.Start == 0 || s.Starts != 1 || s.Server == nil || len(s.Quorum.Peers) != 3 {
		t.Errorf("status: %+v", s)
	}
	first := s.Start
	if h.server.booted < first {
		t.Errorf("booted at %s, the election says %s", h.server.booted, first)
	}
	h.ep.Stop()
	if took := l.stopped(h, time.Minute); took > 2*time.Second {
		t.Errorf("a fast shutdown takes %s", took)
	}
	if s := h.status(); h.ended != nil || s.State != compute.Stopped || s.Server != nil {
		t.Errorf("after Stop: %v, %+v", h.ended, s)
	}
	// Another owner needs no takeover, and continues the log.
	l.working(l.hosts[1])
	if s := l.hosts[1].status(); s.Epoch != 2 || s.Start <= first {
		t.Errorf("the next: %+v, want it to start above %s", s, first)
	}
}

// TestServerDies: a server that ends by itself, however it does, is started
// anew in a new term, at the end of what is committed, after a pause that
// grows as long as servers die young.
func TestServerDies(t *testing.T) {
	l := newLife(t, 2)
	h := l.hosts[0]
	l.working(h)
	before := h.status()
	h.server.die("signal 9")
	l.until("restart", time.Minute, func() bool { return h.ready() && h.status().Starts == 2 })
	l.commits(5)
	after := h.status()
	if after.Term <= before.Term || after.Start <= before.Start || after.Epoch != before.Epoch {
		t.Errorf("before %+v\nafter %+v", before, after)
	}
	var pauses []time.Duration
	for n := 3; n <= 9; n++ {
		at := l.w.Elapsed()
		h.server.die("signal 9")
		l.until("restart", time.Minute, func() bool { return h.ready() && h.status().Starts == n })
		pauses = append(pauses, l.w.Elapsed()-at)
	}
	if first, last := pauses[0], pauses[len(pauses)-1]; first > 2*time.Second || last < 5*time.Second || last > 8*time.Second {
		t.Errorf("the pauses are %v", pauses)
	}
	// One that ran well for a while is started again at once.
	h.idle = true
	l.pass(40 * time.Second)
	at := l.w.Elapsed()
	h.server.die("signal 9")
	l.until("restart", time.Minute, func() bool { return h.ready() && h.status().Starts == 10 })
	if took := l.w.Elapsed() - at; took > time.Second {
		t.Errorf("after a steady run the next server took %s", took)
	}
}

// TestServerDoesNotStart: the status tells why, while the endpoint tries on.
func TestServerDoesNotStart(t *testing.T) {
	l := newLife(t, 3)
	h := l.hosts[0]
	h.broken = errBroken
	h.start()
	l.until("failure", time.Minute, func() bool { return strings.Contains(h.status().Note, errBroken.Error()) })
	if s := h.status(); s.State != compute.Starting {
		t.Errorf("state %s", s.State)
	}
	h.broken = nil
	l.until("start", time.Minute, h.ready)
}

// TestReadyOrNot: who waits for a server gets one, or the reason why not.
func TestReadyOrNot(t *testing.T) {
	l := newLife(t, 4)
	h := l.hosts[0]
	l.working(h)
	h.server.die("signal 9")
	l.until("its end", time.Second, func() bool { return h.status().State == compute.Starting })
	if h.ready() {
		t.Error("an endpoint without a server is ready")
	}
	l.in(func(ctx context.Context, e env.Env) error { return h.ep.AwaitReady(ctx) })
	if !h.ready() {
		t.Error("not ready")
	}
	h.ep.Stop()
	l.stopped(h, time.Minute)
	l.in(func(ctx context.Context, e env.Env) error {
		if err := h.ep.AwaitReady(ctx); err == nil || !strings.Contains(err.Error(), "stopped") {
			return fmt.Errorf("after Stop: %v", err)
		}
		return nil
	})
}

// TestTakeover: whoever takes the branch over ends the one who ran it, busy or
// idle, within a second of being elected, and for good.
func TestTakeover(t *testing.T) {
	for _, idle := range []bool{false, true} {
		t.Run(fmt.Sprintf("idle=%t", idle), func(t *testing.T) {
			l := newLife(t, 5)
			older, newer := l.hosts[0], l.hosts[1]
			l.working(older)
			older.idle = idle
			l.pass(3 * time.Second)

			newer.start()
			l.until("refusal", time.Minute, func() bool { return !newer.proc.Running() })
			if !errors.Is(newer.ended, compute.ErrNotOwner) || !strings.Contains(newer.ended.Error(), "host1") {
				t.Fatalf("without takeover: %v", newer.ended)
			}
			if !older.ready() {
				t.Fatal("the refused one disturbs the older one")
			}

			newer.takeover = true
			newer.start()
			l.until("election", time.Minute, func() bool { return newer.status().Term > older.status().Term })
			if took := l.stopped(older, time.Minute); took > time.Second {
				t.Errorf("the older one is gone %s after the election", took)
			}
			if s := older.status(); !errors.Is(older.ended, compute.ErrSuperseded) || s.State != compute.Superseded || s.Server != nil || !strings.Contains(s.Note, "host2") {
				t.Errorf("the older one: %v, %+v", older.ended, s)
			}
			if p := older.server.phase.Get(); !p.ended || p.exit.Clean {
				t.Errorf("the older server: %+v", p)
			}
			l.until("start", time.Minute, newer.ready)
			l.commits(20)
			if n := older.status().Starts; n != 1 {
				t.Errorf("the older one started %d servers", n)
			}
		})
	}
}

// TestFlushOfTheSuperseded: what waits for a quorum when a successor is
// elected is never acknowledged: it ends by EIO.
func TestFlushOfTheSuperseded(t *testing.T) {
	l := newLife(t, 6)
	older, newer := l.hosts[0], l.hosts[1]
	l.working(older)
	// The older one can reach one safekeeper only, so its flush waits; the
	// newer one is elected by the other two, of which the older hears nothing.
	l.w.Partition([]string{"host1"}, []string{"sk2", "sk3"})
	l.w.Partition([]string{"host2"}, []string{"sk1"})
	l.pass(time.Second)
	acks := older.acks
	newer.takeover = true
	newer.start()
	l.until("start", time.Minute, newer.ready)
	l.pass(10 * time.Second)
	if !older.ready() {
		t.Fatal("the older one ended, though nobody could tell it: the test does not do what it says")
	}
	l.w.HealAll()
	if took := l.stopped(older, time.Minute); took > 5*time.Second {
		t.Errorf("the older one is gone %s after the network healed", took)
	}
	if !errors.Is(older.ended, compute.ErrSuperseded) {
		t.Errorf("the older one: %v", older.ended)
	}
	if err := older.server.err; err == nil || vfs.ErrnoOf(err) != vfs.EIO {
		t.Errorf("the older server's flush ends with %v", err)
	}
	if older.acks != acks {
		t.Errorf("the older one acknowledged %d commits without a quorum", older.acks-acks)
	}
	l.commits(20)
	l.restart(newer)
}

// restart stops an endpoint and starts it again: its server reads all that
// was acknowledged.
func (l *life) restart(h *computeHost) {
	l.t.Helper()
	h.ep.Stop()
	l.stopped(h, time.Minute)
	reads := l.ledger.reads
	l.working(h)
	if l.ledger.reads < reads+blocks {
		l.t.Errorf("%d reads at the start", l.ledger.reads-reads)
	}
}

// TestStopWithoutQuorum: a shutdown that cannot be completed is cut short, and
// nothing acknowledged is lost.
func TestStopWithoutQuorum(t *testing.T) {
	l := newLife(t, 7)
	h := l.hosts[0]
	l.working(h)
	l.sks[0].Kill()
	l.sks[1].Kill()
	l.pass(5 * time.Second)
	h.ep.Stop()
	if took := l.stopped(h, time.Minute); took < 9*time.Second || took > 11*time.Second {
		t.Errorf("Stop without a quorum takes %s", took)
	}
	if h.ended != nil {
		t.Errorf("it ends with %v", h.ended)
	}
	l.startSK(0)
	l.working(h)

	// A second Stop ends it at once.
	l.sks[0].Kill()
	l.pass(3 * time.Second)
	h.ep.Stop()
	l.pass(2 * time.Second)
	if s := h.status(); s.State != compute.Stopping {
		t.Errorf("state %s", s.State)
	}
	h.ep.Stop()
	if took := l.stopped(h, time.Minute); took > 200*time.Millisecond {
		t.Errorf("a second Stop takes %s", took)
	}
	l.startSK(0)
	l.working(h)
}

// TestStopWithSilentQuorum: safekeepers that take connections and say nothing
// are no quorum, however often they are dialled.
func TestStopWithSilentQuorum(t *testing.T) {
	l := newLife(t, 9)
	h := l.hosts[0]
	l.working(h)
	l.sks[0].Pause()
	l.sks[1].Pause()
	h.ep.Stop()
	if took := l.stopped(h, time.Minute); took < 9*time.Second || took > 14*time.Second {
		t.Errorf("Stop without an answer from a quorum takes %s", took)
	}
	l.sks[0].Resume()
	l.sks[1].Resume()
	l.working(h)
}

// TestQuorumReturnsDuringStop: a shutdown waits for a quorum that is away for
// a few seconds.
func TestQuorumReturnsDuringStop(t *testing.T) {
	l := newLife(t, 8)
	h := l.hosts[0]
	l.working(h)
	l.sks[0].Kill()
	l.sks[1].Kill()
	l.pass(time.Second)
	h.ep.Stop()
	l.pass(4 * time.Second)
	l.startSK(0)
	l.stopped(h, 20*time.Second)
	if p := h.server.phase.Get(); !p.exit.Clean {
		t.Errorf("the server ended by %q", p.exit.Reason)
	}
}

// TestStopAtAnyMoment: whatever an endpoint is about to do, a Stop ends it.
func TestStopAtAnyMoment(t *testing.T) {
	moments := 12
	if os.Getenv("XENON_FULL") != "" {
		moments = 200
	}
	for i := range moments {
		l := newLife(t, uint64(100+i))
		h := l.hosts[0]
		h.start()
		l.pass(time.Duration(l.rand.IntN(120)) * time.Millisecond)
		if l.rand.IntN(2) == 0 && h.server != nil {
			h.server.die("signal 9") // so that it waits, or starts anew
			l.pass(time.Duration(l.rand.IntN(250)) * time.Millisecond)
		}
		if h.ep != nil {
			h.ep.Stop()
			l.stopped(h, 5*time.Second)
			if h.ended != nil {
				t.Errorf("moment %d: %v", i, h.ended)
			}
		}
		if err := l.w.Close(); err != nil {
			t.Fatalf("moment %d: %v", i, err)
		}
	}
}

// TestStopWhileWaiting: for what an endpoint waits at its start its status
// tells, and a Stop ends the wait.
func TestStopWhileWaiting(t *testing.T) {
	tests := []struct {
		name string
		take func(*life) // what it waits for
		give func(*life)
		note string
	}{
		{"for the object store", func(l *life) { l.bucket.SetOutage(true) }, func(l *life) { l.bucket.SetOutage(false) }, "waiting for the register"},
		{"for a quorum", func(l *life) { l.sks[0].Kill(); l.sks[1].Kill() }, func(l *life) { l.startSK(0) }, "majority of safekeepers"},
		{"for the pageserver", func(l *life) { l.ps.Kill() }, func(l *life) { l.startPS() }, "waiting for the pageserver"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLife(t, 9)
			h := l.hosts[0]
			tt.take(l)
			h.start()
			l.pass(30 * time.Second)
			if s := h.status(); s.State != compute.Starting || !strings.Contains(s.Note, tt.note) {
				t.Fatalf("it waits: %s, %q", s.State, s.Note)
			}
			h.ep.Stop()
			if took := l.stopped(h, time.Minute); took > 4*time.Second {
				t.Errorf("Stop takes %s", took)
			}
			if h.ended != nil {
				t.Errorf("it ends with %v", h.ended)
			}
			h.start()
			l.pass(5 * time.Second)
			tt.give(l)
			l.until("start", time.Minute, h.ready)
		})
	}
}

// TestStoreGone: without the object store a server works on; when it dies the
// next one waits until the register can be asked.
func TestStoreGone(t *testing.T) {
	l := newLife(t, 10)
	h := l.hosts[0]
	l.working(h)
	l.bucket.SetOutage(true)
	l.commits(20)
	h.server.die("signal 9")
	l.pass(20 * time.Second)
	if s := h.status(); s.State != compute.Starting || s.Starts != 1 || !strings.Contains(s.Note, "waiting for the register") {
		t.Errorf("status %s, %d starts, %q", s.State, s.Starts, s.Note)
	}
	l.bucket.SetOutage(false)
	l.until("restart", time.Minute, h.ready)
	l.commits(5)

	l.bucket.SetOutage(true)
	h.ep.Stop()
	if took := l.stopped(h, time.Minute); took > 5*time.Second {
		t.Errorf("Stop without the store takes %s", took)
	}
	if h.ended != nil {
		t.Errorf("it ends with %v", h.ended)
	}
}

// TestSafekeepersLostEverything is beyond what may fail: a majority comes back
// with empty disks, and the timeline is created on them again. No server may
// start then, because the pageserver has what they lost.
func TestSafekeepersLostEverything(t *testing.T) {
	l := newLife(t, 21)
	h := l.hosts[0]
	l.working(h)
	h.ep.Stop()
	l.stopped(h, time.Minute)
	l.pass(5 * time.Second) // the pageserver has it all
	for i, p := range l.sks {
		p.Kill()
		if err := p.Do(time.Minute, func(_ context.Context, e env.Env) error { return wipe(e.FS(), ".") }); err != nil {
			t.Fatal(err)
		}
		l.startSK(i)
		l.in(func(ctx context.Context, e env.Env) error {
			return http1test.Insist(ctx, e, l.conf.Members[i].Addr(), "/v1/tenant/timeline", l.made)
		})
	}
	acks := l.ledger.commits
	h.start()
	l.until("refusal", time.Minute, func() bool { return strings.Contains(h.status().Note, "the branch is whole only up to") })
	l.pass(time.Minute)
	if s := h.status(); s.Starts != 0 || l.ledger.commits != acks {
		t.Errorf("%d commits on a history that lost %d: %+v", l.ledger.commits-acks, acks, s)
	}
}

// wipe empties a directory.
func wipe(f env.FS, dir string) error {
	entries, err := f.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := dir + "/" + e.Name
		if dir == "." {
			path = e.Name
		}
		if e.Dir {
			if err := wipe(f, path); err != nil {
				return err
			}
		}
		if err := f.Remove(path); err != nil {
			return err
		}
	}
	return nil
}

func TestBackoff(t *testing.T) {
	tests := []struct {
		failures int
		want     time.Duration
	}{{0, 0}, {1, 100 * time.Millisecond}, {3, 400 * time.Millisecond}, {7, 5 * time.Second}, {50, 5 * time.Second}, {51, time.Minute}, {1 << 40, time.Minute}}
	for _, test := range tests {
		if got := compute.Backoff(test.failures); got != test.want {
			t.Errorf("after %d failures %s, want %s", test.failures, got, test.want)
		}
	}
}
