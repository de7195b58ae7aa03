package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"xenon/core/env"
)

const (
	// DefaultLimit is the longest message body a connection takes unless told
	// otherwise: a message with consensus.MaxAppend bytes of WAL fits well.
	DefaultLimit = 256 << 10
	// ProposerLimit is the limit between proposers and safekeepers: a term
	// history goes into one message, 16 bytes for each time that a server was
	// ever started, and a million of those is a start every minute for two
	// years.
	ProposerLimit = 16<<20 + DefaultLimit

	firstBuffer  = 8 << 10 // grows with what the peer really sends
	frameHeader  = 5       // type byte and length, which counts itself
	referenceMin = 2 << 10 // shorter payloads are copied: cheaper than one more vector
)

var be = binary.BigEndian

// A Conn is one libpq connection after start-up: typed messages over a byte
// stream. One task may read while another writes; two may not read, nor two
// write. Messages are written to a buffer and leave with Flush, many in one
// system call.
type Conn struct {
	c      net.Conn
	stream env.StreamConn // the same connection if it can write vectors, else nil
	limit  int

	in   []byte // bytes received and not yet consumed are in[r:w]
	r, w int

	out  []byte      // own bytes of the queued messages
	refs []reference // payloads queued by reference, by where they go in out
	vec  net.Buffers // reused by Flush
	send net.Buffers // what WriteBuffers consumes
}

// A reference is a payload that Flush sends after out[:at].
type reference struct {
	at      int
	payload []byte
}

// NewConn frames c. A message whose body is longer than limit is an error
// before a byte of it is stored; 0 means [DefaultLimit].
func NewConn(c net.Conn, limit int) *Conn {
	if limit == 0 {
		limit = DefaultLimit
	}
	s, _ := c.(env.StreamConn)
	return &Conn{c: c, stream: s, limit: limit}
}

// NetConn is the byte stream below, for deadlines and addresses.
func (c *Conn) NetConn() net.Conn { return c.c }

// Close closes the byte stream. It wakes a blocked reader and writer.
func (c *Conn) Close() error { return c.c.Close() }

// fill reads until n bytes are buffered. The buffer grows as bytes arrive, so
// that a claimed length alone costs nothing.
func (c *Conn) fill(n int) error {
	for c.w-c.r < n {
		if c.r == c.w {
			c.r, c.w = 0, 0
		}
		if c.w == len(c.in) {
			c.room(n)
		}
		got, err := c.c.Read(c.in[c.w:])
		c.w += got
		if got > 0 {
			continue
		}
		if err == nil {
			err = io.ErrNoProgress
		}
		if errors.Is(err, io.EOF) && c.w > c.r {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	return nil
}

// room makes free space behind w for a message of n bytes.
func (c *Conn) room(n int) {
	if c.r > 0 && len(c.in) >= n {
		copy(c.in, c.in[c.r:c.w])
		c.w -= c.r
		c.r = 0
		return
	}
	size := max(firstBuffer, 2*len(c.in))
	grown := make([]byte, size)
	c.w = copy(grown, c.in[c.r:c.w])
	c.r = 0
	c.in = grown
}

// ReadMessage returns the next message: its type byte and its body, which is
// valid until the next call. The end of the stream between two messages is
// io.EOF, inside one io.ErrUnexpectedEOF.
func (c *Conn) ReadMessage() (kind byte, body []byte, err error) {
	if err := c.fill(frameHeader); err != nil {
		return 0, nil, err
	}
	kind = c.in[c.r]
	n, err := bodyLength(c.in[c.r+1:], c.limit)
	if err != nil {
		return 0, nil, fmt.Errorf("message %q: %w", kind, err)
	}
	if err := c.fill(frameHeader + n); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, err
	}
	start := c.r + frameHeader
	c.r = start + n
	return kind, c.in[start:c.r:c.r], nil
}

// Buffered tells whether ReadMessage would return without waiting for the
// peer. A receiver uses it to end a group: it answers once nothing more is
// there.
func (c *Conn) Buffered() bool {
	if c.w-c.r < frameHeader {
		return false
	}
	n, err := bodyLength(c.in[c.r+1:], c.limit)
	return err != nil || c.w-c.r >= frameHeader+n
}

// bodyLength reads a length field, which counts its own four bytes.
func bodyLength(b []byte, limit int) (int, error) {
	n := be.Uint32(b)
	if n < 4 {
		return 0, fmt.Errorf("length field %d is less than its own 4 bytes", n)
	}
	if uint64(n-4) > uint64(limit) {
		return 0, fmt.Errorf("body of %d bytes exceeds the limit of %d", n-4, limit)
	}
	return int(n - 4), nil
}

// Queue queues one message made of a type byte and a body, which is copied.
// Nothing is sent before Flush.
func (c *Conn) Queue(kind byte, body []byte) { c.queueFrame(kind, body, nil) }

// CopyData queues one CopyData message of a header, which is copied, and a
// payload, which is queued by reference if long: it must not change before
// Flush has returned.
func (c *Conn) CopyData(header, payload []byte) { c.queueFrame(msgCopyData, header, payload) }

func (c *Conn) queueFrame(kind byte, head, payload []byte) {
	c.out = append(c.out, kind)
	c.out = be.AppendUint32(c.out, uint32(4+len(head)+len(payload)))
	c.out = append(c.out, head...)
	if len(payload) < referenceMin {
		c.out = append(c.out, payload...)
		return
	}
	c.refs = append(c.refs, reference{len(c.out), payload})
}

// Queued is the number of bytes that Flush would send.
func (c *Conn) Queued() int {
	n := len(c.out)
	for _, ref := range c.refs {
		n += len(ref.payload)
	}
	return n
}

// Flush sends everything queued, as one vector if the connection can. The
// queue is empty afterwards, also after an error.
func (c *Conn) Flush() error {
	if len(c.out) == 0 {
		return nil
	}
	defer func() {
		clear(c.refs)
		c.out, c.refs = c.out[:0], c.refs[:0]
	}()
	if len(c.refs) == 0 {
		_, err := c.c.Write(c.out)
		return err
	}
	c.vec = c.vec[:0]
	at := 0
	for _, ref := range c.refs {
		if ref.at > at {
			c.vec = append(c.vec, c.out[at:ref.at])
		}
		c.vec = append(c.vec, ref.payload)
		at = ref.at
	}
	if at < len(c.out) {
		c.vec = append(c.vec, c.out[at:])
	}
	return c.writeVector()
}

func (c *Conn) writeVector() error {
	c.send = c.vec
	defer clear(c.vec)
	if c.stream != nil {
		_, err := c.stream.WriteBuffers(&c.send)
		return err
	}
	_, err := c.send.WriteTo(c.c)
	return err
}
