package realio_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"xenon/core/env"
	"xenon/core/xsync"
	"xenon/realio"
)

func newEnv(t *testing.T) *realio.Env {
	t.Helper()
	e := realio.New(realio.Options{Grace: 100 * time.Millisecond})
	t.Cleanup(func() { e.Close() })
	return e
}

// TestUnixSockets: a socket file left by a killed process is replaced, one in
// use is not.
func TestUnixSockets(t *testing.T) {
	e := newEnv(t)
	path := filepath.Join(t.TempDir(), "s")
	addr := "unix:" + path
	if _, err := e.Net().Dial(e.Context(), addr); !errors.Is(err, env.ErrConnRefused) {
		t.Errorf("dial of no socket: %v", err)
	}
	left, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	left.(*net.UnixListener).SetUnlinkOnClose(false)
	if _, err := e.Net().Listen(e.Context(), addr); err == nil {
		t.Error("listened on a socket that is in use")
	}
	left.Close()
	if _, err := e.Net().Dial(e.Context(), addr); !errors.Is(err, env.ErrConnRefused) {
		t.Errorf("dial of an abandoned socket: %v", err)
	}
	l, err := e.Net().Listen(e.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	e.Go("echo", func(context.Context) {
		c, err := l.Accept()
		if err == nil {
			io.Copy(c, c)
			c.Close()
		}
	})
	c, err := e.Net().Dial(e.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	conn := c.(env.StreamConn)
	if _, err := conn.WriteBuffers(&net.Buffers{[]byte("two "), []byte("parts")}); err != nil {
		t.Error(err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Error(err)
	}
	if got, err := io.ReadAll(conn); string(got) != "two parts" || err != nil {
		t.Errorf("echo: %q, %v", got, err)
	}
	l.Close()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket file outlives its listener: %v", err)
	}
	_, err = e.Net().Listen(e.Context(), "unix:/tmp/"+strings.Repeat("x", 120))
	if err == nil || !strings.Contains(err.Error(), "shorter") {
		t.Errorf("a socket path that is too long: %v", err)
	}
}

// TestCloseTakesConnections: Close ends a task that hangs in a read.
func TestCloseTakesConnections(t *testing.T) {
	e := newEnv(t)
	l, err := e.Net().Listen(e.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan error, 2)
	e.Go("server", func(context.Context) {
		c, err := l.Accept()
		if err == nil {
			accepted <- nil
			_, err = c.Read(make([]byte, 1))
		}
		accepted <- err
	})
	if _, err := e.Net().Dial(e.Context(), l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	<-accepted
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if err := <-accepted; err == nil {
		t.Error("the read came back without an error")
	}
	if !errors.Is(xsync.Cause(e.Context()), realio.ErrClosed) {
		t.Errorf("the context ended with %v", xsync.Cause(e.Context()))
	}
	e.Go("late", func(context.Context) { t.Error("a task started after Close") })
}

// TestCloseDuringStart: a task that starts others while the environment is
// being closed, and waits for them, ends.
func TestCloseDuringStart(t *testing.T) {
	e := newEnv(t)
	ended := make(chan error, 1)
	e.Go("starter", func(ctx context.Context) {
		<-ctx.Done()
		g := xsync.NewGroup(ctx, e)
		g.Go("started late", func(ctx context.Context) error { return xsync.Cause(ctx) })
		ended <- g.Wait()
	})
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, realio.ErrClosed) {
		t.Errorf("the group ended with %v", err)
	}
}
