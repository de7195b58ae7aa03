package host

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"xenon/compute"
	"xenon/core/env"
)

// A gate stands between clients and a server whose reads are bound to a lease.
// Freezing the server stops answers that it would give after the end of its
// lease, unless the one who freezes stands still too: then a server that goes
// on a moment earlier answers of the past. The gate lets what the server said
// pass only if the lease holds after it was read from the server: whoever stood
// still meanwhile finds that it does not.
//
// It hides the clients' addresses: the server sees them come from 127.0.0.1.
// The private socket of the superuser does not pass through it.
type gate struct {
	clock     env.Clock
	server    string // where the server listens
	listeners []net.Listener

	mu      sync.Mutex
	end     env.Instant
	changed chan struct{} // closed when end is another, or the gate is closed
	closed  bool
	conns   map[net.Conn]bool
}

// openGate listens where clients connect, and picks the port of the server.
func openGate(e env.Env, listen string, port int, b compute.Bound) (*gate, int, error) {
	private, err := unusedPort()
	if err != nil {
		return nil, 0, err
	}
	g := &gate{
		clock: e.Clock(), server: net.JoinHostPort(loopback, strconv.Itoa(private)),
		end: b.End, changed: make(chan struct{}), conns: map[net.Conn]bool{},
	}
	for host := range strings.SplitSeq(listen, ",") {
		if host = strings.TrimSpace(host); host == "*" {
			host = ""
		}
		l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		if err != nil {
			g.close()
			return nil, 0, fmt.Errorf("open the read gate: %w", err)
		}
		g.listeners = append(g.listeners, l)
		go g.serve(l)
	}
	return g, private, nil
}

const loopback = "127.0.0.1"

// unusedPort finds a port for the server itself. Somebody else may take it
// before the server does, which then does not start, and is started anew.
func unusedPort() (int, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(loopback, "0"))
	if err != nil {
		return 0, fmt.Errorf("find a port behind the read gate: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// alias gives the server's private socket the name by which it would go
// without a gate.
func alias(dir string, private, public int) error {
	name := func(port int) string { return ".s.PGSQL." + strconv.Itoa(port) }
	return os.Symlink(name(private), filepath.Join(dir, name(public)))
}

func (g *gate) serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go g.carry(c)
	}
}

// carry passes bytes between a client and the server until one leaves.
func (g *gate) carry(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", g.server)
	if err != nil {
		return
	}
	defer server.Close()
	if !g.keep(client, server) {
		return
	}
	defer g.drop(client, server)
	go func() {
		pump(server, client, func() bool { return true })
		server.(*net.TCPConn).CloseWrite()
	}()
	pump(client, server, g.await)
}

// pump copies while may, asked after each read, lets it.
func pump(to, from net.Conn, may func() bool) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if !may() {
				return
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// await returns once the lease holds; false if the gate was closed.
func (g *gate) await() bool {
	for {
		now := g.clock.Mono()
		g.mu.Lock()
		end, changed, closed := g.end, g.changed, g.closed
		g.mu.Unlock()
		if closed || now < end {
			return !closed
		}
		<-changed
	}
}

func (g *gate) extend(end env.Instant) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return
	}
	g.end = end
	close(g.changed)
	g.changed = make(chan struct{})
}

func (g *gate) keep(conns ...net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range conns {
		g.conns[c] = true
	}
	return !g.closed
}

func (g *gate) drop(conns ...net.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range conns {
		delete(g.conns, c)
	}
}

// close ends all connections.
func (g *gate) close() {
	for _, l := range g.listeners {
		l.Close()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return
	}
	g.closed = true
	close(g.changed)
	for c := range g.conns {
		c.Close()
	}
}
