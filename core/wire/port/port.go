// Package port lets a node serve PostgreSQL's protocol and HTTP on one
// listener: the first byte of a connection decides. A start-up packet begins
// with the high byte of a length below 2^24, which is 0; an HTTP request
// begins with a letter.
//
// Start at [Serve].
package port

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"xenon/core/env"
	"xenon/core/wire"
	"xenon/core/wire/http1"
	"xenon/core/xsync"
)

const (
	firstBytes   = 512              // read at once to decide
	firstTimeout = 30 * time.Second // for a client to say anything
	acceptPause  = 50 * time.Millisecond
)

// Handlers are what a listener serves. Each connection has a task of its own;
// its context ends with that of Serve, and its connection is closed then.
type Handlers struct {
	PG   func(ctx context.Context, c net.Conn)
	HTTP http.Handler
}

// Serve accepts connections until ctx ends, closes l, ends the connections,
// and returns the cause once all their tasks are done. It fails at once if l
// does.
func Serve(ctx context.Context, e env.Env, l net.Listener, h Handlers) error {
	s := &server{e: e, h: h}
	s.mu.Init(e)
	s.idle = xsync.NewCond(&s.mu)
	ctx, cancel := xsync.WithCancel(ctx)
	err := s.accept(ctx, l)
	cancel(err)
	s.wait()
	return err
}

type server struct {
	e    env.Env
	h    Handlers
	mu   xsync.Mutex
	idle *xsync.Cond
	busy int // connections, guarded by mu
}

func (s *server) accept(ctx context.Context, l net.Listener) error {
	defer wire.CloseOn(ctx, l)()
	for {
		c, err := l.Accept()
		if ctx.Err() != nil {
			if c != nil {
				c.Close()
			}
			return xsync.Cause(ctx)
		}
		if errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("accept on %s: %w", l.Addr(), err)
		}
		if err != nil {
			// Out of descriptors, or the peer gave up: both pass.
			s.e.Log().Warn("accept failed, going on", "addr", l.Addr().String(), "error", err)
			if err := s.e.Clock().Sleep(ctx, acceptPause); err != nil {
				l.Close()
				return err
			}
			continue
		}
		s.start(ctx, c)
	}
}

func (s *server) start(ctx context.Context, c net.Conn) {
	s.mu.Lock()
	s.busy++
	s.mu.Unlock()
	s.e.Go("connection", func(context.Context) {
		defer s.done()
		defer c.Close()
		defer wire.CloseOn(ctx, c)()
		s.serve(ctx, c)
	})
}

func (s *server) done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy--; s.busy == 0 {
		s.idle.Broadcast()
	}
}

func (s *server) wait() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.busy > 0 {
		if s.idle.Wait(context.Background()) != nil {
			return
		}
	}
}

func (s *server) serve(ctx context.Context, c net.Conn) {
	c.SetReadDeadline(s.e.Clock().Now().Add(firstTimeout))
	first := make([]byte, firstBytes)
	n, err := c.Read(first)
	if n == 0 || err != nil && !errors.Is(err, io.EOF) {
		return // a probe of the port, or nobody
	}
	c.SetReadDeadline(time.Time{})
	c = withFirst(c, first[:n])
	switch b := first[0]; {
	case b == 0 && s.h.PG != nil:
		s.h.PG(ctx, c)
	case b >= 'A' && b <= 'Z' && s.h.HTTP != nil:
		http1.Serve(ctx, s.e, c, s.h.HTTP)
	default:
		s.e.Log().Info("connection speaks neither PostgreSQL's protocol nor HTTP", "peer", c.RemoteAddr().String(), "first", b)
	}
}

// withFirst gives back the bytes that were read to decide. What the
// connection can do beyond net.Conn is kept.
func withFirst(c net.Conn, first []byte) net.Conn {
	if s, ok := c.(env.StreamConn); ok {
		return &stream{StreamConn: s, first: first}
	}
	return &plain{Conn: c, first: first}
}

type stream struct {
	env.StreamConn
	first []byte
}

func (c *stream) Read(p []byte) (int, error) {
	if len(c.first) > 0 {
		return take(p, &c.first), nil
	}
	return c.StreamConn.Read(p)
}

type plain struct {
	net.Conn
	first []byte
}

func (c *plain) Read(p []byte) (int, error) {
	if len(c.first) > 0 {
		return take(p, &c.first), nil
	}
	return c.Conn.Read(p)
}

func take(p []byte, first *[]byte) int {
	n := copy(p, *first)
	*first = (*first)[n:]
	return n
}
