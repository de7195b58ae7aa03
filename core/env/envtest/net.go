package envtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"xenon/core/env"
	"xenon/core/xsync"
)

// Net holds networks to their contract, within one process that talks to
// itself over localhost; run is as for [Clock].
func Net(t *testing.T, run func(t *testing.T, s Scenario)) {
	runScenarios(t, []scenario{
		{"bytes arrive in order", netEcho},
		{"more bytes than any buffer holds", netBulk},
		{"many buffers are one stream", netBuffers},
		{"half a close", netCloseWrite},
		{"nobody listens", netRefused},
		{"dial under a context that has ended", netDialEnded},
		{"an address taken", netAddressTaken},
		{"an address that is none", netBadAddress},
		{"closing a listener ends Accept", netCloseListener},
		{"closing a connection ends its Read and Write", netCloseWakes},
		{"using a closed connection", netClosed},
		{"writing to a peer that closed fails some day", netPeerClosed},
		{"a read deadline", netReadDeadline},
		{"a write deadline", netWriteDeadline},
		{"a deadline that is moved", netDeadlineMoved},
		{"addresses name both ends", netAddresses},
	}, run)
}

// both connects a pair of ends and closes them after f.
func both(ctx context.Context, e env.Env, f func(client, server env.StreamConn) error) error {
	l, err := e.Net().Listen(ctx, "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	client, err := e.Net().Dial(ctx, l.Addr().String())
	if err != nil {
		return err
	}
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		return err
	}
	defer server.Close()
	a, ok := client.(env.StreamConn)
	b, ok2 := server.(env.StreamConn)
	if !ok || !ok2 {
		return fmt.Errorf("connections are %T and %T, no StreamConns", client, server)
	}
	return f(a, b)
}

// opError says whether err is a *net.OpError that wraps want.
func opError(what string, err, want error) error {
	var op *net.OpError
	if !errors.As(err, &op) || !errors.Is(err, want) {
		return fmt.Errorf("%s: got %v (%T), want a *net.OpError that wraps %v", what, err, err, want)
	}
	return nil
}

func pattern(n int) []byte {
	b := make([]byte, n)
	x := uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

func netEcho(ctx context.Context, e env.Env) error {
	return both(ctx, e, func(c, s env.StreamConn) error {
		for i := range 50 {
			msg := fmt.Sprintf("message %d", i)
			if _, err := io.WriteString(c, msg); err != nil {
				return err
			}
			got := make([]byte, len(msg))
			if _, err := io.ReadFull(s, got); err != nil || string(got) != msg {
				return fmt.Errorf("got %q, %w", got, err)
			}
			c, s = s, c
		}
		return nil
	})
}

func netBulk(ctx context.Context, e env.Env) error {
	sent := pattern(4 << 20)
	return both(ctx, e, func(c, s env.StreamConn) error {
		g := xsync.NewGroup(ctx, e)
		g.Go("writer", func(context.Context) error {
			if n, err := c.Write(sent); err != nil || n != len(sent) {
				return fmt.Errorf("wrote %d: %w", n, err)
			}
			return c.CloseWrite()
		})
		got, err := io.ReadAll(s)
		if werr := g.Wait(); err == nil {
			err = werr
		}
		if err == nil && string(got) != string(sent) {
			err = errors.New("other bytes arrived than were sent")
		}
		return err
	})
}

func netBuffers(ctx context.Context, e env.Env) error {
	return both(ctx, e, func(c, s env.StreamConn) error {
		bufs := net.Buffers{[]byte("one "), nil, []byte("two "), pattern(500)}
		want := "one two " + string(pattern(500))
		n, err := c.WriteBuffers(&bufs)
		if err != nil || n != int64(len(want)) || len(bufs) != 0 {
			return fmt.Errorf("wrote %d and left %d buffers: %w", n, len(bufs), err)
		}
		if err := c.CloseWrite(); err != nil {
			return err
		}
		if got, err := io.ReadAll(s); err != nil || string(got) != want {
			return fmt.Errorf("read %d bytes: %w", len(got), err)
		}
		return nil
	})
}

func netCloseWrite(ctx context.Context, e env.Env) error {
	return both(ctx, e, func(c, s env.StreamConn) error {
		if _, err := io.WriteString(c, "last words"); err != nil {
			return err
		}
		if err := c.CloseWrite(); err != nil {
			return err
		}
		if got, err := io.ReadAll(s); err != nil || string(got) != "last words" {
			return fmt.Errorf("read %q: %w", got, err)
		}
		if _, err := c.Write([]byte("more")); err == nil {
			return errors.New("a write after CloseWrite succeeds")
		}
		if _, err := io.WriteString(s, "reply"); err != nil {
			return err
		}
		got := make([]byte, 5)
		if _, err := io.ReadFull(c, got); err != nil || string(got) != "reply" {
			return fmt.Errorf("the other half: %q, %w", got, err)
		}
		return nil
	})
}

func netRefused(ctx context.Context, e env.Env) error {
	l, err := e.Net().Listen(ctx, "127.0.0.1:0")
	if err != nil {
		return err
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		return err
	}
	_, err = e.Net().Dial(ctx, address)
	return opError("dial", err, env.ErrConnRefused)
}

func netDialEnded(ctx context.Context, e env.Env) error {
	cause := errors.New("ended")
	under, cancel := xsync.WithCancel(ctx)
	cancel(cause)
	if _, err := e.Net().Dial(under, "127.0.0.1:1"); !errors.Is(err, cause) {
		return fmt.Errorf("dial returned %v", err)
	}
	return nil
}

func netAddressTaken(ctx context.Context, e env.Env) error {
	l, err := e.Net().Listen(ctx, "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	if second, err := e.Net().Listen(ctx, l.Addr().String()); err == nil {
		second.Close()
		return errors.New("two listeners on one address")
	}
	return nil
}

func netBadAddress(ctx context.Context, e env.Env) error {
	for _, a := range []string{"", "nohost", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "unix:"} {
		if c, err := e.Net().Dial(ctx, a); err == nil {
			c.Close()
			return fmt.Errorf("dial of %q succeeds", a)
		}
	}
	return nil
}

func netCloseListener(ctx context.Context, e env.Env) error {
	l, err := e.Net().Listen(ctx, "127.0.0.1:0")
	if err != nil {
		return err
	}
	e.Clock().AfterFunc(moment, func() { l.Close() })
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("accept returned %v", err)
	}
	return nil
}

func netCloseWakes(ctx context.Context, e env.Env) error {
	return both(ctx, e, func(c, s env.StreamConn) error {
		e.Clock().AfterFunc(moment, func() { c.Close() })
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("read returned %v", err)
		}
		e.Clock().AfterFunc(moment, func() { s.Close() })
		for {
			if _, err := s.Write(pattern(1 << 20)); errors.Is(err, net.ErrClosed) || errors.Is(err, env.ErrConnReset) {
				return nil // the peer has closed too: either may come first
			} else if err != nil {
				return fmt.Errorf("write returned %w", err)
			}
		}
	})
}

func netClosed(ctx context.Context, e env.Env) error {
	return both(ctx, e, func(c, s env.StreamConn) error {
		if err := c.Close(); err != nil {
			return err
		}
		_, rerr := c.Read(make([]byte, 1))
		_, werr := c.Write([]byte{1})
		return errors.Join(opError("read", rerr, net.ErrClosed), opError("write", werr, net.ErrClosed))
	})
}

func netPeerClosed(ctx context.Context, e env.Env) error {
	return both(ctx, e, func(c, s env.StreamConn) error {
		if _, err := c.Write([]byte("never read")); err != nil {
			return err
		}
		if err := s.Close(); err != nil {
			return err
		}
		for range 1000 {
			if _, err := c.Write([]byte("too late")); err != nil {
				return opError("write", err, env.ErrConnReset)
			}
			if err := e.Clock().Sleep(ctx, moment/10); err != nil {
				return err
			}
		}
		return errors.New("1,000 writes to a closed connection succeeded")
	})
}

func netReadDeadline(ctx context.Context, e env.Env) error {
	return both(ctx, e, func(c, s env.StreamConn) error {
		start := e.Clock().Mono()
		if err := c.SetReadDeadline(e.Clock().Now().Add(2 * moment)); err != nil {
			return err
		}
		_, err := c.Read(make([]byte, 1))
		if err := opError("read", err, os.ErrDeadlineExceeded); err != nil {
			return err
		}
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			return errors.New("the error of a deadline is no timeout")
		}
		if took := e.Clock().Mono().Sub(start); took < moment {
			return fmt.Errorf("a deadline of %s passed after %s", 2*moment, took)
		}
		if err := c.SetReadDeadline(time.Time{}); err != nil {
			return err
		}
		if _, err := s.Write([]byte{1}); err != nil {
			return err
		}
		_, err = c.Read(make([]byte, 1))
		return err
	})
}

func netWriteDeadline(ctx context.Context, e env.Env) error {
	return both(ctx, e, func(c, s env.StreamConn) error {
		if err := c.SetWriteDeadline(e.Clock().Now().Add(5 * moment)); err != nil {
			return err
		}
		for {
			if _, err := c.Write(pattern(1 << 20)); err != nil {
				return opError("write", err, os.ErrDeadlineExceeded)
			}
		}
	})
}

func netDeadlineMoved(ctx context.Context, e env.Env) error {
	return both(ctx, e, func(c, s env.StreamConn) error {
		if err := c.SetDeadline(e.Clock().Now().Add(time.Hour)); err != nil {
			return err
		}
		e.Clock().AfterFunc(moment, func() { _ = c.SetDeadline(e.Clock().Now().Add(-time.Second)) })
		_, err := c.Read(make([]byte, 1))
		return opError("read", err, os.ErrDeadlineExceeded)
	})
}

func netAddresses(ctx context.Context, e env.Env) error {
	return both(ctx, e, func(c, s env.StreamConn) error {
		if c.LocalAddr().String() != s.RemoteAddr().String() || c.RemoteAddr().String() != s.LocalAddr().String() {
			return fmt.Errorf("%s-%s and %s-%s", c.LocalAddr(), c.RemoteAddr(), s.LocalAddr(), s.RemoteAddr())
		}
		return nil
	})
}
