package env

import (
	"context"
	"net"
)

// A Net makes byte streams. Addresses are host:port, or unix:/path in
// production. Connections fail with *net.OpError that wraps what errors.Is
// finds: [ErrConnRefused], [ErrConnReset], [ErrTimeout].
type Net interface {
	// Listen binds addr; port 0 takes a free one, which Addr tells.
	Listen(ctx context.Context, addr string) (net.Listener, error)
	// Dial connects, or returns the cause of ctx's end. The connections of
	// both ends are [StreamConn]s.
	Dial(ctx context.Context, addr string) (net.Conn, error)
}

// A StreamConn is a connection with what every world's connections have
// beyond net.Conn. Deadlines set by SetDeadline are instants of Clock.Now.
// Close wakes a blocked reader and writer of the same connection.
type StreamConn interface {
	net.Conn
	// CloseWrite ends the outgoing half; the peer reads io.EOF after the last
	// byte.
	CloseWrite() error
	// WriteBuffers writes all buffers as one write and consumes them.
	WriteBuffers(*net.Buffers) (int64, error)
}
