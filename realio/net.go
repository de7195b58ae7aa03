package realio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"

	"xenon/core/env"
	"xenon/core/xsync"
)

// maxUnixPath is what fits in sockaddr_un.sun_path (linux/un.h), less its
// final zero byte.
const maxUnixPath = 107

// network is TCP, and Unix sockets where an address begins with unix:. It
// remembers what is open, so that Close can take it from tasks that hang.
type network struct {
	loopback *Loopback // of this process, nil if it has none

	mu   sync.Mutex
	open map[io.Closer]struct{}
}

func splitAddr(addr string) (kind, rest string, err error) {
	path, isUnix := strings.CutPrefix(addr, "unix:")
	if !isUnix {
		return "tcp", addr, nil
	}
	if len(path) > maxUnixPath {
		return "", "", fmt.Errorf("socket path %s has %d bytes, the system allows %d: choose a shorter directory", path, len(path), maxUnixPath)
	}
	return "unix", path, nil
}

// Listen binds addr. A Unix socket that nobody listens on any more, left by a
// killed process, is replaced.
func (n *network) Listen(ctx context.Context, addr string) (net.Listener, error) {
	kind, rest, err := splitAddr(addr)
	if err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, kind, rest)
	if kind == "unix" && errors.Is(err, syscall.EADDRINUSE) && abandoned(ctx, rest) {
		if err := os.Remove(rest); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("remove abandoned socket: %w", err)
		}
		l, err = lc.Listen(ctx, kind, rest)
	}
	if err != nil {
		if ctx.Err() != nil {
			err = xsync.Cause(ctx)
		}
		return nil, netError(err)
	}
	return n.listener(l), nil
}

// abandoned tells whether a socket file is there that nobody listens on.
func abandoned(ctx context.Context, path string) bool {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	if err == nil {
		c.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

func (n *network) Dial(ctx context.Context, addr string) (net.Conn, error) {
	kind, rest, err := splitAddr(addr)
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, xsync.Cause(ctx)
	}
	if n.loopback != nil {
		if c := n.loopback.dial(n, addr); c != nil {
			return c, nil
		}
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, kind, rest)
	if err != nil {
		if ctx.Err() != nil {
			return nil, xsync.Cause(ctx)
		}
		if kind == "unix" && errors.Is(err, syscall.ENOENT) {
			// No socket file is the same to a caller as nobody behind it.
			err = &net.OpError{Op: "dial", Net: kind, Err: &kindError{err, env.ErrConnRefused}}
		}
		return nil, netError(err)
	}
	return n.wrap(c), nil
}

// socket is what TCP and Unix connections share.
type socket interface {
	net.Conn
	CloseWrite() error
}

func (n *network) wrap(c net.Conn) net.Conn {
	// Go sets TCP_NODELAY by itself: a commit never waits for Nagle's timer.
	wrapped := &conn{socket: c.(socket), net: n}
	n.add(wrapped)
	return wrapped
}

func (n *network) add(c io.Closer) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.open == nil {
		n.open = make(map[io.Closer]struct{})
	}
	n.open[c] = struct{}{}
}

func (n *network) drop(c io.Closer) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.open, c)
}

// closeAll closes every connection and listener that is still open.
func (n *network) closeAll() {
	n.mu.Lock()
	open := n.open
	n.open = nil
	n.mu.Unlock()
	for c := range open {
		c.Close()
	}
}

// conn is one end of a connection whose errors are those of package env.
type conn struct {
	socket
	net *network
}

var _ env.StreamConn = (*conn)(nil)

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.socket.Read(p)
	if err != nil && err != io.EOF {
		err = netError(err)
	}
	return n, err
}

func (c *conn) Write(p []byte) (int, error) {
	n, err := c.socket.Write(p)
	return n, netErrorIf(err)
}

// WriteBuffers is one writev as long as the kernel takes all of it.
func (c *conn) WriteBuffers(b *net.Buffers) (int64, error) {
	n, err := b.WriteTo(c.socket)
	return n, netErrorIf(err)
}

func (c *conn) CloseWrite() error { return netErrorIf(c.socket.CloseWrite()) }

func (c *conn) Close() error {
	c.net.drop(c)
	return netErrorIf(c.socket.Close())
}

func netErrorIf(err error) error {
	if err == nil {
		return nil
	}
	return netError(err)
}
