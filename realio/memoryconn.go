package realio

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"xenon/core"
	"xenon/core/env"
)

// Bounds of the bytes that are under way in one direction. The most is more
// than a socket takes by default (net.ipv4.tcp_wmem), so that whoever counts on
// a small write not blocking may do so here too.
const (
	ringMin = 4 << 10
	ringMax = 256 << 10
)

var _ env.StreamConn = (*memoryConn)(nil)

// A memoryConn is one end of a connection in memory: two halves, each a bounded
// ring that one end writes and the other reads. A write copies its bytes and
// wakes the reader itself.
type memoryConn struct {
	in, out       *half
	local, remote net.Addr
	net           *network // nil until accepted
}

// memoryPair is both ends of a new connection.
func memoryPair(dialler, listener net.Addr) (here, there *memoryConn) {
	a, b := newHalf(), newHalf()
	return &memoryConn{in: a, out: b, local: dialler, remote: listener},
		&memoryConn{in: b, out: a, local: listener, remote: dialler}
}

// join makes the connection one of n's, which closes it with the others.
func (c *memoryConn) join(n *network) {
	c.net = n
	n.add(c)
}

func (c *memoryConn) Read(p []byte) (int, error) {
	n, err := c.in.read(p)
	return n, c.opError("read", err)
}

func (c *memoryConn) Write(p []byte) (int, error) {
	c.out.writing.Lock()
	defer c.out.writing.Unlock()
	n, err := c.out.write(p)
	return n, c.opError("write", err)
}

// WriteBuffers writes all of b with nothing in between.
func (c *memoryConn) WriteBuffers(b *net.Buffers) (sum int64, err error) {
	c.out.writing.Lock()
	defer c.out.writing.Unlock()
	for len(*b) > 0 {
		n, err := c.out.write((*b)[0])
		sum += int64(n)
		if err != nil {
			(*b)[0] = (*b)[0][n:]
			return sum, c.opError("write", err)
		}
		(*b)[0] = nil
		*b = (*b)[1:]
	}
	return sum, nil
}

func (c *memoryConn) CloseWrite() error {
	return c.opError("close", c.out.endWrites(errShut))
}

// Close ends both halves: what was written can still be read by the peer, what
// it writes from now on fails.
func (c *memoryConn) Close() error {
	if c.net != nil {
		c.net.drop(c)
	}
	err := c.in.endReads()
	c.out.endWrites(net.ErrClosed)
	return c.opError("close", err)
}

func (c *memoryConn) LocalAddr() net.Addr  { return c.local }
func (c *memoryConn) RemoteAddr() net.Addr { return c.remote }

func (c *memoryConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *memoryConn) SetReadDeadline(t time.Time) error {
	return c.opError("set", c.in.setDeadline(&c.in.readers, t))
}

func (c *memoryConn) SetWriteDeadline(t time.Time) error {
	return c.opError("set", c.out.setDeadline(&c.out.writers, t))
}

func (c *memoryConn) opError(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &net.OpError{Op: op, Net: "memory", Source: c.local, Addr: c.remote, Err: withKind(err)}
}

// What the ends of a half are told, in the kernel's words for a socket.
var (
	errShut  = os.NewSyscallError("write", syscall.EPIPE)      // after one's own CloseWrite
	errReset = os.NewSyscallError("write", syscall.ECONNRESET) // the peer has closed
)

// A half is one direction of a connection in memory.
type half struct {
	writing sync.Mutex // held over a whole Write: two never mix

	mu      sync.Mutex
	ring    []byte // its length is 0 or a power of two
	head, n int    // its content begins at head and has n bytes
	unread  error  // why nobody reads any more
	unwrote error  // why nobody writes any more
	readers side
	writers side
}

// A side is who waits at one end of a half, and until when.
type side struct {
	changed  sync.Cond
	waiting  int
	deadline time.Time
	timer    *time.Timer
	fires    time.Time // when timer does, zero if it will not
}

func newHalf() *half {
	h := new(half)
	h.readers.changed.L = &h.mu
	h.writers.changed.L = &h.mu
	return h
}

func (h *half) read(p []byte) (int, error) {
	h.mu.Lock()
	for {
		switch {
		case h.unread != nil:
			h.mu.Unlock()
			return 0, h.unread
		case h.readers.late():
			h.mu.Unlock()
			return 0, os.ErrDeadlineExceeded
		case h.n > 0 || len(p) == 0:
			n := h.take(p)
			wake := h.writers.waiting > 0
			h.mu.Unlock()
			if wake { // outside the lock, which it would meet first
				h.writers.changed.Broadcast()
			}
			return n, nil
		case h.unwrote != nil:
			h.mu.Unlock()
			return 0, io.EOF
		}
		h.wait(&h.readers)
	}
}

// write waits for room as often as it takes. The caller holds writing.
func (h *half) write(p []byte) (done int, err error) {
	h.mu.Lock()
	for {
		switch {
		case h.unwrote != nil:
			err = h.unwrote
		case h.unread != nil:
			err = errReset
		case h.writers.late():
			err = os.ErrDeadlineExceeded
		}
		if err != nil {
			h.mu.Unlock()
			return done, err
		}
		n := h.put(p[done:])
		done += n
		wake := n > 0 && h.readers.waiting > 0
		if done == len(p) {
			h.mu.Unlock()
			if wake {
				h.readers.changed.Broadcast()
			}
			return done, nil
		}
		if wake {
			h.readers.changed.Broadcast()
		}
		h.wait(&h.writers)
	}
}

// put copies as much of p as there is room for.
func (h *half) put(p []byte) int {
	if need := h.n + len(p); need > len(h.ring) && len(h.ring) < ringMax {
		h.grow(need)
	}
	n := min(len(p), len(h.ring)-h.n)
	if n == 0 {
		return 0
	}
	at := (h.head + h.n) & (len(h.ring) - 1)
	k := copy(h.ring[at:], p[:n])
	copy(h.ring, p[k:n])
	h.n += n
	return n
}

func (h *half) grow(need int) {
	size := max(ringMin, len(h.ring))
	for size < need && size < ringMax {
		size *= 2
	}
	ring := make([]byte, size)
	n := h.n
	k := h.take(ring)
	core.Must(k == n, "a ring of %d bytes does not hold %d", size, n)
	h.ring, h.head, h.n = ring, 0, n
}

// take moves as much as fits into p.
func (h *half) take(p []byte) int {
	n := min(len(p), h.n)
	if n == 0 {
		return 0
	}
	k := copy(p[:n], h.ring[h.head:])
	copy(p[k:n], h.ring)
	h.n -= n
	h.head = (h.head + n) & (len(h.ring) - 1)
	if h.n == 0 {
		h.head = 0 // the next write is one copy
	}
	return n
}

// wait parks until something changes at s, or its deadline passes.
func (h *half) wait(s *side) {
	s.arm(h)
	s.waiting++
	s.changed.Wait()
	s.waiting--
}

// late tells whether the deadline has passed.
func (s *side) late() bool { return !s.deadline.IsZero() && !time.Now().Before(s.deadline) }

// arm makes the timer fire at the deadline or before it. A deadline that is
// put off with every message, as most are, so costs a timer only now and then:
// one that fires too early wakes whoever waits, who arms it again.
func (s *side) arm(h *half) {
	if s.deadline.IsZero() || !s.fires.IsZero() && !s.deadline.Before(s.fires) {
		return
	}
	s.fires = s.deadline
	d := time.Until(s.deadline)
	if s.timer != nil {
		s.timer.Reset(d)
		return
	}
	s.timer = time.AfterFunc(d, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		s.fires = time.Time{}
		s.changed.Broadcast()
	})
}

func (h *half) setDeadline(s *side, t time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s == &h.readers && h.unread != nil || s == &h.writers && h.unwrote == net.ErrClosed {
		return net.ErrClosed
	}
	s.deadline = t
	if s.waiting > 0 {
		s.changed.Broadcast()
	}
	return nil
}

// endReads is the reading end's Close.
func (h *half) endReads() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.unread != nil {
		return h.unread
	}
	h.unread = net.ErrClosed
	h.ring, h.n = nil, 0
	h.ended()
	return nil
}

// endWrites is the writing end's CloseWrite or Close.
func (h *half) endWrites(why error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.unwrote == net.ErrClosed {
		return net.ErrClosed
	}
	h.unwrote = why
	h.ended()
	return nil
}

// ended wakes everybody and gives up the timers. The caller holds mu.
func (h *half) ended() {
	for _, s := range []*side{&h.readers, &h.writers} {
		s.changed.Broadcast()
		if s.timer != nil {
			s.timer.Stop()
			s.fires = time.Time{}
		}
	}
}
