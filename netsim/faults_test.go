package netsim_test

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"xenon/core/env"
	"xenon/core/xsync"
	"xenon/netsim"
)

// TestDoors: what those see who connect to a host that lets nobody in, and that
// connections there were before go on.
func TestDoors(t *testing.T) {
	x := newTwo(t, 1)
	s := &sink{}
	x.server.Start(s.run)
	x.do(t, func(ctx context.Context, e env.Env) error {
		old, err := dial(ctx, e)
		if err != nil {
			return err
		}
		for _, c := range []struct {
			door netsim.Door
			want error
		}{{netsim.DoorRefuses, env.ErrConnRefused}, {netsim.DoorSilent, context.DeadlineExceeded}} {
			x.w.SetDoor("server", c.door)
			soon, cancel := xsync.WithTimeout(ctx, e, 5*time.Second)
			_, err := dial(soon, e)
			cancel()
			if err := wantErr(fmt.Sprintf("door %d", c.door), err, c.want); err != nil {
				return err
			}
		}
		x.w.SetDoor("server", netsim.DoorSlams)
		c, err := dial(ctx, e)
		if err != nil {
			return err
		}
		if err := wantErr("slammed", readErr(c), env.ErrConnReset); err != nil {
			return err
		}
		x.w.SetDoor("server", netsim.DoorOpen)
		if _, err := old.Write([]byte("still")); err != nil {
			return err
		}
		return e.Clock().Sleep(ctx, time.Second)
	})
	if s.got[0] != "still" {
		t.Errorf("the server read %q", s.got)
	}
	if n := x.w.Tally(); n.Refused != 1 || n.Unheard < 2 || n.Slammed != 1 {
		t.Errorf("tally %+v", n)
	}
}

// TestBacklogFull: who comes while the queue is full gets in once there is room.
func TestBacklogFull(t *testing.T) {
	x := newTwo(t, 1)
	x.w.SetBacklog("server", 1)
	x.server.Start(func(ctx context.Context, e env.Env) error {
		l, err := e.Net().Listen(ctx, ":7")
		if err != nil {
			return err
		}
		if err := e.Clock().Sleep(ctx, 10*time.Second); err != nil {
			return err
		}
		for {
			if _, err := l.Accept(); err != nil {
				return err
			}
		}
	})
	x.do(t, func(ctx context.Context, e env.Env) error {
		if _, err := dial(ctx, e); err != nil {
			return err
		}
		start := e.Clock().Mono()
		if _, err := dial(ctx, e); err != nil {
			return err
		}
		if d := e.Clock().Mono().Sub(start); d < 9*time.Second {
			return fmt.Errorf("in after %s", d)
		}
		return nil
	})
	if x.w.Tally().Unheard == 0 {
		t.Error("nobody went without an answer")
	}
}

// TestHalfClose: one direction ends, the other goes on.
func TestHalfClose(t *testing.T) {
	x := newTwo(t, 1)
	x.server.Start(func(ctx context.Context, e env.Env) error {
		l, err := e.Net().Listen(ctx, ":7")
		if err != nil {
			return err
		}
		c, err := l.Accept()
		if err != nil {
			return err
		}
		if err := wantErr("server", readErr(c), io.EOF); err != nil {
			return err
		}
		_, err = c.Write([]byte("answer"))
		return err
	})
	x.do(t, func(ctx context.Context, e env.Env) error {
		c, err := dial(ctx, e)
		if err != nil {
			return err
		}
		if err := e.Clock().Sleep(ctx, time.Second); err != nil { // it is accepted by now
			return err
		}
		x.w.HalfClose("client", "server")
		if _, err := c.Write([]byte("more")); err == nil {
			return fmt.Errorf("the closed direction takes bytes")
		}
		b := make([]byte, 10)
		n, err := c.Read(b)
		if err != nil || string(b[:n]) != "answer" {
			return fmt.Errorf("read %q, %v", b[:n], err)
		}
		return nil
	})
}

// TestDetain: bytes that were sent before arrive when there is a new connection,
// which they do not hold up, although their sender has given up.
func TestDetain(t *testing.T) {
	x := newTwo(t, 1)
	s := &sink{}
	x.server.Start(s.run)
	x.do(t, func(ctx context.Context, e env.Env) error {
		old, err := dial(ctx, e)
		if err != nil {
			return err
		}
		x.w.Detain("client", "server", 4*time.Second)
		if _, err := old.Write([]byte("old")); err != nil {
			return err
		}
		if err := wantErr("the old one", readErr(old), env.ErrTimeout); err != nil {
			return err
		}
		c, err := dial(ctx, e)
		if err != nil {
			return err
		}
		if _, err := c.Write([]byte("new")); err != nil {
			return err
		}
		if err := e.Clock().Sleep(ctx, time.Second); err != nil {
			return err
		}
		if s.got[0] != "" || s.got[1] != "new" {
			return fmt.Errorf("the server read %q before the old bytes came", s.got)
		}
		return e.Clock().Sleep(ctx, 2*time.Second)
	})
	if s.got[0] != "old" || x.w.Tally().OldBytes != 3 {
		t.Errorf("the server read %q, %d old bytes", s.got, x.w.Tally().OldBytes)
	}
}

// TestSlowWays: lost segments and a slow receiver take time and lose nothing.
func TestSlowWays(t *testing.T) {
	for _, c := range []struct {
		name  string
		link  func(*netsim.LinkOptions)
		tally func(netsim.Tally) int
		least time.Duration
	}{
		{"losses", func(o *netsim.LinkOptions) { o.Losses = 500 }, func(n netsim.Tally) int { return n.Lost }, 200 * time.Millisecond},
		{"sips", func(o *netsim.LinkOptions) { o.Sip, o.SipTime = 100, 100*time.Millisecond }, func(n netsim.Tally) int { return n.Sips }, time.Second},
		{"window", func(o *netsim.LinkOptions) { o.Window = 10 }, func(n netsim.Tally) int { return n.Blocked }, 10 * time.Millisecond},
		{"bandwidth", func(o *netsim.LinkOptions) { o.Bandwidth = 1000 }, func(n netsim.Tally) int { return n.Queued }, time.Second},
	} {
		x := newTwo(t, 1)
		s := &sink{}
		x.server.Start(s.run)
		o := netsim.DefaultLink
		c.link(&o)
		x.w.SetLinks(o)
		x.do(t, func(ctx context.Context, e env.Env) error {
			w, err := dial(ctx, e)
			if err != nil {
				return err
			}
			start := e.Clock().Mono()
			for i := range 20 {
				if _, err := fmt.Fprintf(w, "%0100d", i); err != nil {
					return err
				}
			}
			for len(s.got) == 0 || len(s.got[0]) < 2000 {
				if err := e.Clock().Sleep(ctx, 10*time.Millisecond); err != nil {
					return err
				}
			}
			if d := e.Clock().Mono().Sub(start); d < c.least {
				return fmt.Errorf("%s: it took %s", c.name, d)
			}
			return nil
		})
		if c.tally(x.w.Tally()) == 0 {
			t.Errorf("%s: nothing counted", c.name)
		}
	}
}

// TestWallClock: it can be set and stopped; the monotonic one is not moved.
func TestWallClock(t *testing.T) {
	x := newTwo(t, 1)
	x.do(t, func(ctx context.Context, e env.Env) error {
		mono := e.Clock().Mono()
		x.client.SetWallClock(time.Unix(0, 0))
		if now := e.Clock().Now(); !now.Equal(time.Unix(0, 0)) {
			return fmt.Errorf("set to 1970, it shows %s", now)
		}
		x.client.FreezeClock(true)
		if err := e.Clock().Sleep(ctx, time.Minute); err != nil {
			return err
		}
		if now := e.Clock().Now(); !now.Equal(time.Unix(0, 0)) {
			return fmt.Errorf("frozen, it shows %s", now)
		}
		x.client.FreezeClock(false)
		if err := e.Clock().Sleep(ctx, time.Second); err != nil {
			return err
		}
		if now := e.Clock().Now(); !now.Equal(time.Unix(1, 0)) {
			return fmt.Errorf("running again, it shows %s", now)
		}
		if d := e.Clock().Mono().Sub(mono); d != time.Minute+time.Second {
			return fmt.Errorf("%s passed", d)
		}
		return nil
	})
	if x.w.Tally().ClockRead != 3 {
		t.Errorf("%d reads of a wrong clock", x.w.Tally().ClockRead)
	}
}
