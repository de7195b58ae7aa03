package netsim

import (
	"io"
	"net"
	"os" //simsafe:allow for os.ErrDeadlineExceeded alone
	"time"
)

// conn is one end of a connection: env.StreamConn.
type conn struct {
	w             *World
	id            uint64
	env           *Env // whose socket it is; the backlog's until it is accepted
	host          *host
	local, remote addr
	peer          *conn
	in, out       *pipe

	closed   bool  // by its owner, or the end of its process
	finished bool  // CloseWrite
	lost     bool  // the host lost power since
	refused  bool  // a reset was sent for bytes that came too late
	err      error // reset or timed out
	readBy   deadline
	writeBy  deadline
	silence  Timer
}

// deadline is an instant of the world's clock, if it is set.
type deadline struct {
	set   bool
	at    int64
	timer Timer
}

func (d *deadline) passed(now int64) bool { return d.set && now >= d.at }

// pair makes the two ends of a connection.
func (n *network) pair(from, to *Env, local, remote addr) (client, server *conn) {
	client = &conn{w: n.w, id: n.lastConn + 1, env: from, host: from.proc.host, local: local, remote: remote}
	server = &conn{w: n.w, id: n.lastConn + 2, env: to, host: to.proc.host, local: remote, remote: local}
	n.lastConn += 2
	client.peer, server.peer = server, client
	client.out = n.pipe(client, server)
	server.out = n.pipe(server, client)
	client.in, server.in = server.out, client.out
	client.init()
	server.init()
	n.conns = append(n.conns, client, server)
	return client, server
}

func (n *network) pipe(from, to *conn) *pipe {
	p := &pipe{w: n.w, from: from, to: to, link: n.link(from.host, to.host)}
	p.timer.pipe = p
	return p
}

func (c *conn) init() {
	c.silence.call = c.silent
	c.readBy.timer.call = func() { c.in.readers.wakeAll(c.w) }
	c.writeBy.timer.call = func() { c.out.writers.wakeAll(c.w) }
}

// gone tells whether nobody uses this end any more.
func (c *conn) gone() bool { return c.closed || c.lost || c.err != nil }

// cutOff tells whether nothing this end sends can be answered now.
func (c *conn) cutOff() bool { return c.out.link.cut || c.in.link.cut || c.peer.lost }

// watchSilence makes a cut off end give up some day.
func (c *conn) watchSilence() {
	if c.gone() && !c.out.flying() {
		return
	}
	l := c.out.link
	wait := l.opts.KeepAlive
	if c.out.flying() {
		wait = l.opts.UserTimeout
	}
	if wait <= 0 {
		return
	}
	at := c.w.now + l.patience(wait)
	if !c.silence.pending() || at < c.silence.at {
		c.w.timers.add(&c.silence, at)
	}
}

// silent is called when nothing was heard for too long.
func (c *conn) silent() {
	switch {
	case !c.cutOff():
	case c.peer.lost && c.peer.host.up && !c.out.link.cut && !c.in.link.cut:
		c.fail(errReset) // the other host does not know this connection
	default:
		c.w.net.tally.TimedOut++
		c.fail(errTimedOut)
		if c.out.link.rand.IntN(2) == 0 {
			c.out.lose() // else the network delivers it after all
		}
	}
}

// fail ends the connection on this side; the other learns it when it sends.
func (c *conn) fail(err error) {
	if c.gone() {
		return
	}
	e := Event{At: c.w.now, Kind: "fail", A: c.id}
	c.w.trace.event(e)
	if c.w.opts.Record != nil {
		c.record(e, nil)
	}
	c.err = err
	c.wakeAll()
	c.w.net.sweep(c)
}

func (c *conn) wakeAll() {
	c.in.readers.wakeAll(c.w)
	c.out.writers.wakeAll(c.w)
}

// vanish is what a power cut does to this end.
func (c *conn) vanish() {
	if c.lost {
		return
	}
	c.lost = true
	if c.out.stalled {
		c.out.lose()
	}
	c.in.discard()
	c.peer.watchSilence()
	c.w.net.sweep(c)
}

// shut ends this end in order, or by a reset.
func (c *conn) shut(reset bool) {
	if c.closed {
		return
	}
	wasGone := c.gone()
	c.closed = true
	c.wakeAll()
	if !wasGone {
		c.bye(reset || c.in.arrived.len() > 0)
	}
	c.in.discard()
	c.in.writers.wakeAll(c.w)
	c.w.net.sweep(c)
}

// bye tells the peer.
func (c *conn) bye(reset bool) {
	switch {
	case reset:
		if c.out.link.rand.IntN(2) == 0 {
			c.out.lose()
		}
		c.refused = true
		c.out.send(segReset, nil)
	case !c.finished:
		c.out.send(segFin, nil)
	}
}

func (c *conn) fault(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
}

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	c.env.Step()
	if len(b) == 0 {
		return 0, nil
	}
	if o := &c.in.link.opts; o.Sip > 0 {
		b = b[:min(len(b), o.Sip)]
		c.w.current("read").sleepUntil(c.w.now+int64(o.SipTime), "slow receiver")
		if c.in.unread > len(b) {
			c.w.net.tally.Sips++
		}
	}
	for {
		switch {
		case c.closed:
			return 0, c.fault("read", net.ErrClosed)
		case c.readBy.passed(c.w.now):
			return 0, c.fault("read", os.ErrDeadlineExceeded)
		case c.in.arrived.len() > 0:
			return c.in.read(b), nil
		case c.err != nil:
			return 0, c.fault("read", c.err)
		case c.in.eof:
			return 0, io.EOF
		}
		c.in.readers.wait(c.w, "conn read")
	}
}

// Write implements net.Conn. It copies b once.
func (c *conn) Write(b []byte) (int, error) {
	one := [1][]byte{b}
	bufs := net.Buffers(one[:])
	n, err := c.WriteBuffers(&bufs)
	return int(n), err
}

// WriteBuffers implements env.StreamConn.
func (c *conn) WriteBuffers(bufs *net.Buffers) (int64, error) {
	c.env.Step()
	left := 0
	for _, b := range *bufs {
		left += len(b)
	}
	written := int64(0)
	for {
		if err := c.writable(); err != nil {
			return written, c.fault("write", err)
		}
		if left == 0 {
			return written, nil
		}
		space := min(left, c.out.space(), maxSegment)
		if space <= 0 {
			c.w.net.tally.Blocked++
			c.out.writers.wait(c.w, "conn write")
			continue
		}
		seg := c.w.net.segment(c.out.link.split(&c.w.net.tally, space))
		gather(seg, bufs)
		c.out.send(segData, seg)
		left -= len(seg)
		written += int64(len(seg))
	}
}

// gather moves bytes from bufs to dst until it is full.
func gather(dst []byte, bufs *net.Buffers) {
	for len(dst) > 0 {
		b := &(*bufs)[0]
		n := copy(dst, *b)
		dst = dst[n:]
		if n == len(*b) {
			*b = nil
			*bufs = (*bufs)[1:]
		} else {
			*b = (*b)[n:]
		}
	}
}

func (c *conn) writable() error {
	switch {
	case c.closed:
		return net.ErrClosed
	case c.writeBy.passed(c.w.now):
		return os.ErrDeadlineExceeded
	case c.err != nil:
		return c.err
	case c.finished:
		return errBrokenPipe
	}
	return nil
}

// CloseWrite implements env.StreamConn.
func (c *conn) CloseWrite() error {
	c.env.Step()
	switch {
	case c.closed:
		return c.fault("close", net.ErrClosed)
	case c.err != nil:
		return c.fault("close", c.err)
	}
	if !c.finished {
		c.finished = true
		c.out.send(segFin, nil)
		c.out.writers.wakeAll(c.w)
	}
	return nil
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.env.Step()
	if c.closed {
		return c.fault("close", net.ErrClosed)
	}
	c.shut(false)
	return nil
}

// LocalAddr implements net.Conn.
func (c *conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr implements net.Conn.
func (c *conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	if err := c.setDeadline(&c.readBy, t, c.in); err != nil {
		return err
	}
	return c.setDeadline(&c.writeBy, t, c.out)
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error { return c.setDeadline(&c.readBy, t, c.in) }

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error { return c.setDeadline(&c.writeBy, t, c.out) }

func (c *conn) setDeadline(d *deadline, t time.Time, p *pipe) error {
	c.env.Step()
	if c.closed {
		return c.fault("set", net.ErrClosed)
	}
	c.w.timers.remove(&d.timer)
	if d.set = !t.IsZero(); !d.set {
		return nil
	}
	wait := int64(t.Sub(c.env.now()))
	d.at = c.w.now + c.env.proc.clock.lasts(max(wait, 0))
	if wait <= 0 {
		d.at = c.w.now
	}
	if d.passed(c.w.now) {
		p.readers.wakeAll(c.w)
		p.writers.wakeAll(c.w)
		return nil
	}
	c.w.timers.add(&d.timer, d.at)
	return nil
}
