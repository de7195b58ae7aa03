package netsim

import (
	"cmp"
	"context"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"xenon/core/env"
	"xenon/core/xsync"
)

const (
	// backlog is how many connections wait for Accept; more are not answered
	// (SOMAXCONN of many systems).
	backlog = 128
	// dialTimeout is when a kernel gives up to connect: 6 retries of Linux.
	dialTimeout = 127 * time.Second
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// addr is an address of the simulated network.
type addr struct {
	host string
	port string // or the path of a Unix socket
}

func (a addr) unix() bool { return strings.HasPrefix(a.port, "/") }

// Network implements net.Addr.
func (a addr) Network() string {
	if a.unix() {
		return "unix"
	}
	return "tcp"
}

// String implements net.Addr.
func (a addr) String() string {
	if a.unix() {
		return "unix:" + a.port
	}
	return net.JoinHostPort(a.host, a.port)
}

// procNet is the env.Net of an incarnation.
type procNet struct{ env *Env }

func dialFault(op string, a net.Addr, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Addr: a, Err: err}
}

// parse splits an address and finds its host, as seen from here.
func (n *procNet) parse(address string) (*host, addr, error) {
	here := n.env.proc.host
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		if !strings.HasPrefix(path, "/") {
			return nil, addr{}, &net.AddrError{Err: "a Unix socket needs an absolute path", Addr: address} //simsafe:allow an error that production returns too
		}
		return here, addr{here.name, path}, nil
	}
	name, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, addr{}, err
	}
	if p, err := strconv.ParseUint(port, 10, 16); err != nil || port != strconv.FormatUint(p, 10) {
		return nil, addr{}, &net.AddrError{Err: "invalid port", Addr: address} //simsafe:allow an error that production returns too
	}
	switch name {
	case "", "0.0.0.0", "::", "localhost", "127.0.0.1", "::1":
		return here, addr{here.name, port}, nil
	}
	if h := n.env.w.net.aliases[name]; h != nil {
		n.env.w.net.tally.Misled++
		return h, addr{name, port}, nil
	}
	for _, h := range n.env.w.net.hosts {
		if h.name == name {
			return h, addr{name, port}, nil
		}
	}
	return nil, addr{}, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true} //simsafe:allow an error that production returns too
}

// Listen implements env.Net.
func (n *procNet) Listen(ctx context.Context, address string) (net.Listener, error) {
	n.env.Step()
	if err := xsync.Cause(ctx); err != nil {
		return nil, dialFault("listen", nil, err)
	}
	h, a, err := n.parse(address)
	if err != nil {
		return nil, dialFault("listen", nil, err)
	}
	if h != n.env.proc.host {
		return nil, dialFault("listen", a, errNoAddress)
	}
	if a.port == "0" {
		a.port = h.freePort()
	}
	if h.listeners[a.port] != nil {
		return nil, dialFault("listen", a, errAddressUse)
	}
	l := &listener{w: n.env.w, env: n.env, host: h, addr: a}
	h.listeners[a.port] = l
	return l, nil
}

func (h *host) freePort() string {
	for {
		if h.lastPort++; h.lastPort > 65535 {
			h.lastPort = 40001
		}
		port := strconv.Itoa(h.lastPort)
		if h.listeners[port] == nil {
			return port
		}
	}
}

// Dial implements env.Net.
func (n *procNet) Dial(ctx context.Context, address string) (net.Conn, error) {
	n.env.Step()
	h, a, err := n.parse(address)
	if err != nil {
		return nil, dialFault("dial", nil, err)
	}
	d := dial{env: n.env, to: h, addr: a, end: n.env.w.now + int64(dialTimeout), retry: int64(time.Second)}
	c, err := d.connect(ctx)
	if err != nil {
		return nil, dialFault("dial", a, err)
	}
	return c, nil
}

// dial is one attempt to connect.
type dial struct {
	env   *Env
	to    *host
	addr  addr
	end   int64 // when the kernel gives up
	retry int64 // until the next SYN, doubling
}

func (d *dial) connect(ctx context.Context) (*conn, error) {
	w := d.env.w
	out, back := w.net.link(d.env.proc.host, d.to), w.net.link(d.to, d.env.proc.host)
	for {
		if err := d.pass(ctx, out.latency()); err != nil {
			return nil, err
		}
		if !out.cut && d.to.up {
			c, heard := d.arrived()
			if heard {
				return c, d.answer(ctx, c, back)
			}
		} else if out.cut {
			w.net.tally.HeldUp++
		}
		if err := d.pass(ctx, d.retry); err != nil {
			return nil, err
		}
		d.retry *= 2
	}
}

// arrived is what a SYN finds: a connection, nobody who listens (nil), or a
// full backlog, which is not answered.
func (d *dial) arrived() (c *conn, answered bool) {
	w := d.env.w
	l, tally := d.to.listeners[d.addr.port], &w.net.tally
	outside := d.to != d.env.proc.host
	switch {
	case outside && d.to.door == DoorSilent:
		tally.Unheard++
		return nil, false
	case outside && d.to.door == DoorRefuses:
		tally.Refused++
		return nil, true
	case l == nil:
		return nil, true
	case len(l.queue) >= cmp.Or(d.to.backlog, backlog):
		tally.Unheard++
		return nil, false
	}
	local := addr{d.env.proc.host.name, d.env.proc.host.freePort()}
	client, server := w.net.pair(d.env, l.env, local, d.addr)
	e := Event{At: w.now, Kind: "dial", A: client.id, B: uint64(client.host.id), C: uint64(server.host.id)}
	w.trace.event(e)
	if w.opts.Record != nil {
		client.record(e, nil)
	}
	l.queue = append(l.queue, server)
	l.waiting.wakeAll(w)
	if outside && d.to.door == DoorSlams {
		tally.Slammed++
		server.fail(errReset)
		server.bye(true)
	}
	return client, true
}

// answer waits for what the other side says. c is nil if nobody listens.
func (d *dial) answer(ctx context.Context, c *conn, back *link) error {
	for {
		err := d.pass(ctx, back.latency())
		for err == nil && back.cut {
			err = d.pass(ctx, d.retry)
		}
		switch {
		case err == nil && c == nil:
			return errRefused
		case err != nil && c != nil:
			c.shut(true)
		}
		return err
	}
}

// pass lets d go by, unless ctx ends or the kernel gives up.
func (d *dial) pass(ctx context.Context, wait int64) error {
	w := d.env.w
	if err := w.current("dial").sleep(ctx, min(w.now+wait, d.end), "dial"); err != nil {
		return err
	}
	if w.now >= d.end {
		return errTimedOut
	}
	return nil
}

// listener is a listening socket.
type listener struct {
	w       *World
	env     *Env
	host    *host
	addr    addr
	queue   []*conn
	waiting waitset
	closed  bool
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	l.env.Step()
	for len(l.queue) == 0 {
		if l.closed {
			return nil, dialFault("accept", l.addr, net.ErrClosed)
		}
		l.waiting.wait(l.w, "accept")
	}
	c := l.queue[0]
	l.queue[0] = nil
	l.queue = l.queue[1:]
	e := Event{At: l.w.now, Kind: "accept", A: c.id}
	l.w.trace.event(e)
	if l.w.opts.Record != nil {
		c.record(e, nil)
	}
	return c, nil
}

// Close implements net.Listener.
func (l *listener) Close() error {
	l.env.Step()
	if l.closed {
		return dialFault("close", l.addr, net.ErrClosed)
	}
	l.shut("close")
	return nil
}

// Addr implements net.Listener.
func (l *listener) Addr() net.Addr { return l.addr }

// shut ends the socket. Those who were not accepted get a reset, or silence.
func (l *listener) shut(how string) {
	l.closed = true
	delete(l.host.listeners, l.addr.port)
	for _, c := range l.queue {
		if how == "power" {
			c.vanish()
		} else {
			c.shut(true)
		}
	}
	l.queue = nil
	l.waiting.wakeAll(l.w)
}

var (
	_ env.Env         = (*Env)(nil)
	_ env.StreamConn  = (*conn)(nil)
	_ xsync.Scheduler = (*Env)(nil)
)
