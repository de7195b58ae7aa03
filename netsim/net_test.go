package netsim_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"xenon/core/env"
	"xenon/core/xsync"
	"xenon/netsim"
)

// two is a client and a server on hosts of their own, joined by a link without
// jitter.
type two struct {
	w              *netsim.World
	client, server *netsim.Proc
}

func newTwo(t *testing.T, seed uint64) *two {
	t.Helper()
	link := netsim.LinkOptions{Latency: time.Millisecond, Window: 64 << 10, UserTimeout: 10 * time.Second, KeepAlive: 20 * time.Second}
	w := netsim.New(netsim.Options{Seed: seed, Link: link})
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return &two{w, w.Proc("client", netsim.ProcOptions{}), w.Proc("server", netsim.ProcOptions{})}
}

// sink accepts connections and reads each until it fails; it returns what it
// read of each, with the error.
type sink struct {
	got  []string
	errs []error
}

func (s *sink) run(ctx context.Context, e env.Env) error {
	l, err := e.Net().Listen(ctx, ":7")
	if err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		i := len(s.got)
		s.got, s.errs = append(s.got, ""), append(s.errs, nil)
		e.Go("read", func(context.Context) {
			buf := make([]byte, 100)
			for {
				n, err := c.Read(buf)
				s.got[i] += string(buf[:n])
				if err != nil {
					s.errs[i] = err
					return
				}
			}
		})
	}
}

func (x *two) do(t *testing.T, main netsim.Main) {
	t.Helper()
	if err := x.client.Do(time.Hour, main); err != nil {
		t.Fatal(err)
	}
}

func dial(ctx context.Context, e env.Env) (net.Conn, error) { return e.Net().Dial(ctx, "server:7") }

func wantErr(what string, err, want error) error {
	if !errors.Is(err, want) {
		return fmt.Errorf("%s: got %v, want %v", what, err, want)
	}
	return nil
}

// readErr reads until an error.
func readErr(c net.Conn) error {
	buf := make([]byte, 100)
	for {
		if _, err := c.Read(buf); err != nil {
			return err
		}
	}
}

func TestDialOutcomes(t *testing.T) {
	x := newTwo(t, 1)
	x.do(t, func(ctx context.Context, e env.Env) error {
		soon, cancel := xsync.WithTimeout(ctx, e, 5*time.Second)
		defer cancel()
		_, err := dial(soon, e)
		if err := wantErr("a host without power", err, context.DeadlineExceeded); err != nil {
			return err
		}
		start := e.Clock().Mono()
		_, err = dial(ctx, e)
		if err := wantErr("a kernel gives up", err, env.ErrTimeout); err != nil {
			return err
		}
		if d := e.Clock().Mono().Sub(start); d != 127*time.Second {
			return fmt.Errorf("it gave up after %s", d)
		}
		x.server.Start(func(ctx context.Context, e env.Env) error { return e.Clock().Sleep(ctx, time.Second) })
		_, err = dial(ctx, e)
		if err := wantErr("nobody listens", err, env.ErrConnRefused); err != nil {
			return err
		}
		_, err = e.Net().Dial(ctx, "nowhere:7")
		var dns *net.DNSError
		if !errors.As(err, &dns) {
			return fmt.Errorf("an unknown name: %v", err)
		}
		return nil
	})
}

func TestDialWaitsOutAPartition(t *testing.T) {
	for _, way := range [][2]string{{"client", "server"}, {"server", "client"}} {
		x := newTwo(t, 1)
		x.server.Start((&sink{}).run)
		x.w.Cut(way[0], way[1])
		x.w.After(10*time.Second, x.w.HealAll)
		x.do(t, func(ctx context.Context, e env.Env) error {
			start := e.Clock().Mono()
			if _, err := dial(ctx, e); err != nil {
				return err
			}
			if d := e.Clock().Mono().Sub(start); d < 10*time.Second {
				return fmt.Errorf("%v cut: connected after %s", way, d)
			}
			return nil
		})
	}
}

func TestAliasMoves(t *testing.T) {
	x := newTwo(t, 1)
	other := x.w.Proc("other", netsim.ProcOptions{})
	a, b := &sink{}, &sink{}
	x.server.Start(a.run)
	other.Start(b.run)
	x.w.Alias("primary", "server")
	x.do(t, func(ctx context.Context, e env.Env) error {
		for _, to := range []string{"server", "other"} {
			x.w.Alias("primary", to)
			if _, err := e.Net().Dial(ctx, "primary:7"); err != nil {
				return err
			}
		}
		return e.Clock().Sleep(ctx, time.Second)
	})
	if len(a.got) != 1 || len(b.got) != 1 {
		t.Errorf("connections: %d and %d", len(a.got), len(b.got))
	}
}

// The writer blocks once the window is full, and goes on when bytes are read.
func TestWindowHoldsTheWriter(t *testing.T) {
	x := newTwo(t, 1)
	const size = 1 << 20
	x.server.Start(func(ctx context.Context, e env.Env) error {
		l, err := e.Net().Listen(ctx, ":7")
		if err != nil {
			return err
		}
		c, err := l.Accept()
		if err != nil {
			return err
		}
		if err := e.Clock().Sleep(ctx, time.Minute); err != nil {
			return err
		}
		n, err := io.Copy(io.Discard, struct{ io.Reader }{c})
		if err == nil && n != size {
			err = fmt.Errorf("read %d bytes", n)
		}
		return err
	})
	x.do(t, func(ctx context.Context, e env.Env) error {
		c, err := dial(ctx, e)
		if err != nil {
			return err
		}
		start := e.Clock().Mono()
		if _, err := c.Write(make([]byte, size)); err != nil {
			return err
		}
		if d := e.Clock().Mono().Sub(start); d < time.Minute {
			return fmt.Errorf("the writer was held for %s", d)
		}
		return c.Close()
	})
	if err := x.w.Run(time.Minute, func() bool { return !x.server.Running() }); err != nil || x.server.Err() != nil {
		t.Error(err, x.server.Err())
	}
}

// What a connection shows after something happened to the server.
func TestEndsOfTheServer(t *testing.T) {
	long := 40 * time.Second
	tests := []struct {
		name  string
		event func(x *two)
		write bool // the client writes after the event
		want  []error
	}{
		{"kill", func(x *two) { x.server.Kill() }, false, []error{env.ErrConnReset, io.EOF}},
		{"kill, then a write", func(x *two) { x.server.Kill() }, true, []error{env.ErrConnReset, io.EOF}},
		{"power cut", func(x *two) { x.server.PowerCut() }, false, []error{env.ErrTimeout}},
		{"power cut, then a write", func(x *two) { x.server.PowerCut() }, true, []error{env.ErrTimeout}},
		{"power cut and restart, then a write", func(x *two) { x.server.PowerCut(); x.server.Start((&sink{}).run) }, true, []error{env.ErrConnReset}},
		{"power cut and restart", func(x *two) { x.server.PowerCut(); x.server.Start((&sink{}).run) }, false, []error{env.ErrConnReset}},
		{"partition", func(x *two) { x.w.Isolate("server") }, true, []error{env.ErrTimeout}},
		{"acknowledgements lost", func(x *two) { x.w.Cut("server", "client") }, true, []error{env.ErrTimeout}},
		{"reset", func(x *two) { x.w.Reset("client", "server") }, false, []error{env.ErrConnReset}},
		{"half open, then a write", func(x *two) { x.w.HalfOpen("server", "client") }, true, []error{env.ErrConnReset}},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			for seed := range uint64(10) {
				x := newTwo(t, seed)
				x.server.Start((&sink{}).run)
				x.do(t, func(ctx context.Context, e env.Env) error {
					conn, err := dial(ctx, e)
					if err != nil {
						return err
					}
					start := e.Clock().Mono()
					x.w.After(time.Second, func() { c.event(x) })
					if err := e.Clock().Sleep(ctx, 1500*time.Millisecond); err != nil {
						return err
					}
					if c.write {
						_, _ = conn.Write([]byte("hello"))
					}
					err = readErr(conn)
					if took := e.Clock().Mono().Sub(start); took > long {
						return fmt.Errorf("it took %s", took)
					}
					for _, want := range c.want {
						if errors.Is(err, want) {
							return nil
						}
					}
					return fmt.Errorf("got %v, want one of %v", err, c.want)
				})
			}
		})
	}
}

// Bytes sent to a host without power are sent again once it has power, and
// answered by a kernel that does not know the connection.
func TestBytesReachARestartedHost(t *testing.T) {
	x := newTwo(t, 1)
	link := netsim.DefaultLink
	link.UserTimeout, link.KeepAlive = time.Hour, time.Hour
	x.w.SetLinks(link)
	x.server.Start((&sink{}).run)
	x.w.After(3*time.Second, func() { x.server.Start((&sink{}).run) })
	x.do(t, func(ctx context.Context, e env.Env) error {
		c, err := dial(ctx, e)
		if err != nil {
			return err
		}
		x.server.PowerCut()
		if _, err := c.Write([]byte("lost")); err != nil {
			return err
		}
		err = readErr(c)
		if at := x.w.Elapsed(); at < 3*time.Second || at > 15*time.Second {
			return fmt.Errorf("answered after %s", at)
		}
		return wantErr("read", err, env.ErrConnReset)
	})
}

// Nothing happens to a half open connection on which nobody writes.
func TestHalfOpenIsSilent(t *testing.T) {
	x := newTwo(t, 1)
	x.server.Start((&sink{}).run)
	x.do(t, func(ctx context.Context, e env.Env) error {
		c, err := dial(ctx, e)
		if err != nil {
			return err
		}
		x.w.HalfOpen("server", "client")
		_ = c.SetReadDeadline(e.Clock().Now().Add(time.Minute))
		var timeout net.Error
		if err := readErr(c); !errors.As(err, &timeout) || !timeout.Timeout() || errors.Is(err, env.ErrTimeout) {
			return fmt.Errorf("got %v, want the deadline", err)
		}
		return nil
	})
}

// TestLateBytes: bytes of an old connection, held up by a partition, arrive
// after a new connection was made.
func TestLateBytes(t *testing.T) {
	late := 0
	for seed := range uint64(20) {
		x := newTwo(t, seed)
		s := &sink{}
		x.server.Start(s.run)
		x.do(t, func(ctx context.Context, e env.Env) error {
			old, err := dial(ctx, e)
			if err != nil {
				return err
			}
			x.w.Isolate("client")
			if _, err := old.Write([]byte("old")); err != nil {
				return err
			}
			if err := old.Close(); err != nil {
				return err
			}
			if err := e.Clock().Sleep(ctx, 5*time.Second); err != nil {
				return err
			}
			x.w.HealAll()
			c, err := dial(ctx, e)
			if err != nil {
				return err
			}
			if _, err := c.Write([]byte("new")); err != nil {
				return err
			}
			if err := e.Clock().Sleep(ctx, 10*time.Millisecond); err != nil {
				return err
			}
			if len(s.got) == 2 && s.got[1] == "new" && s.got[0] == "" {
				late++
			}
			return e.Clock().Sleep(ctx, time.Minute)
		})
		if len(s.got) != 2 || s.got[0] != "old" || s.got[1] != "new" {
			t.Fatalf("seed %d: the server read %q", seed, s.got)
		}
	}
	if late == 0 {
		t.Error("in none of 20 runs did the old bytes come after the new ones")
	}
}

// TestResetAfterDelivery: the peer has the request although the sender saw its
// connection fail.
func TestResetAfterDelivery(t *testing.T) {
	x := newTwo(t, 1)
	s := &sink{}
	x.server.Start(s.run)
	link := netsim.DefaultLink
	link.Resets = 1_000_000
	x.w.SetLinks(link)
	x.do(t, func(ctx context.Context, e env.Env) error {
		c, err := dial(ctx, e)
		if err != nil {
			return err
		}
		if _, err := c.Write([]byte("request")); err != nil {
			return err
		}
		return wantErr("reply", readErr(c), env.ErrConnReset)
	})
	if err := x.w.Run(time.Second, nil); err != nil {
		t.Fatal(err)
	}
	if len(s.got) != 1 || s.got[0] != "request" {
		t.Errorf("the server read %q", s.got)
	}
}

// TestSplits: reads and writes are cut, and the stream is whole.
func TestSplits(t *testing.T) {
	x := newTwo(t, 1)
	link := netsim.DefaultLink
	link.Splits = 1000
	x.w.SetLinks(link)
	text := strings.Repeat("the quick brown fox ", 100)
	reads := 0
	x.server.Start(func(ctx context.Context, e env.Env) error {
		l, err := e.Net().Listen(ctx, ":7")
		if err != nil {
			return err
		}
		c, err := l.Accept()
		if err != nil {
			return err
		}
		var got []byte
		buf := make([]byte, 1<<16)
		for {
			n, err := c.Read(buf)
			got = append(got, buf[:n]...)
			if err == io.EOF {
				break
			}
			reads++
		}
		if string(got) != text {
			return errors.New("the bytes differ")
		}
		return nil
	})
	x.do(t, func(ctx context.Context, e env.Env) error {
		c, err := dial(ctx, e)
		if err != nil {
			return err
		}
		if _, err := c.Write([]byte(text)); err != nil {
			return err
		}
		return c.Close()
	})
	if err := x.w.Run(time.Minute, func() bool { return !x.server.Running() }); err != nil || x.server.Err() != nil {
		t.Fatal(err, x.server.Err())
	}
	if reads < 5 {
		t.Errorf("%d reads", reads)
	}
}

// TestPausedServer: its kernel takes connections and bytes until its buffers
// are full, and it reads them when it goes on.
func TestPausedServer(t *testing.T) {
	x := newTwo(t, 1)
	s := &sink{}
	x.server.Start(s.run)
	x.do(t, func(ctx context.Context, e env.Env) error {
		if err := e.Clock().Sleep(ctx, time.Second); err != nil {
			return err
		}
		x.server.Pause()
		c, err := dial(ctx, e)
		if err != nil {
			return err
		}
		if _, err := c.Write([]byte("hello")); err != nil {
			return err
		}
		if err := e.Clock().Sleep(ctx, 10*time.Minute); err != nil {
			return err
		}
		if len(s.got) != 0 {
			return errors.New("a paused process ran")
		}
		x.server.Resume()
		return e.Clock().Sleep(ctx, time.Second)
	})
	if len(s.got) != 1 || s.got[0] != "hello" {
		t.Errorf("the server read %q", s.got)
	}
}

// drain reads from everybody and keeps nothing.
func drain(ctx context.Context, e env.Env) error {
	l, err := e.Net().Listen(ctx, ":7")
	for err == nil {
		var c net.Conn
		if c, err = l.Accept(); err == nil {
			e.Go("drain", func(context.Context) { _, _ = io.Copy(io.Discard, struct{ io.Reader }{c}) })
		}
	}
	return err
}

// TestBandwidth: a link carries so many bytes a second for all connections.
func TestBandwidth(t *testing.T) {
	x := newTwo(t, 1)
	link := netsim.DefaultLink
	link.Bandwidth = 1 << 20
	x.w.SetLinks(link)
	x.server.Start(drain)
	x.do(t, func(ctx context.Context, e env.Env) error {
		g := xsync.NewGroup(ctx, e)
		for range 2 {
			g.Go("writer", func(ctx context.Context) error {
				c, err := dial(ctx, e)
				if err == nil {
					_, err = c.Write(make([]byte, 2<<20))
				}
				return err
			})
		}
		start := e.Clock().Mono()
		if err := g.Wait(); err != nil {
			return err
		}
		if d := e.Clock().Mono().Sub(start); d < 3500*time.Millisecond || d > 5*time.Second {
			return fmt.Errorf("4 MiB took %s at 1 MiB/s", d)
		}
		return nil
	})
}

// Processes of one host share addresses and lose power together.
func TestOneHost(t *testing.T) {
	w := netsim.New(netsim.Options{})
	a := w.Proc("a", netsim.ProcOptions{Host: "machine"})
	b := w.Proc("b", netsim.ProcOptions{Host: "machine"})
	s := &sink{}
	a.Start(s.run)
	err := b.Do(time.Hour, func(ctx context.Context, e env.Env) error {
		if err := e.Clock().Sleep(ctx, time.Second); err != nil {
			return err
		}
		if _, err := e.Net().Listen(ctx, ":7"); err == nil {
			return errors.New("two processes listen on one port")
		}
		if _, err := e.Net().Dial(ctx, "localhost:7"); err != nil {
			return err
		}
		_, err := e.Net().Listen(ctx, "unix:/run/b")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	b.PowerCut()
	if a.Running() {
		t.Error("a process survived the loss of its machine's power")
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}
