package proposer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"xenon/consensus"
	"xenon/core/env"
	"xenon/core/wire"
)

// A mode says who writes to a safekeeper.
type mode bool

const (
	direct  mode = false // whoever has something for it: must not block
	ownTask mode = true  // the connection's writer: may

	maxBatch   = 4 * consensus.MaxAppend
	donorRetry = 100 * time.Millisecond // after reading back failed
)

// A conn is one connection to a safekeeper. Whoever sets sending owns the
// writing half until it clears it; nobody waits for that: the owner looks again
// for more before it lets go.
type conn struct {
	s   *session
	i   int
	num uint64
	c   *wire.Client

	// Guarded by the proposer's lock.
	sending bool
	turn    bool // the writer waits for sending to be cleared
	lag     bool // the writer has work
	closed  bool
	err     error // why it was closed
	donor   io.Closer

	wake env.Waiter // of the writer

	// Owned by who is sending.
	msg    consensus.Message
	head   []byte
	pinned []*block

	in wire.AcceptorMessage // owned by the reader
}

// Close ends the connection; its reader and writer end.
func (c *conn) Close() error {
	c.s.p.mu.Lock()
	first := !c.closed
	c.closed = true
	donor := c.donor
	c.s.p.mu.Unlock()
	if !first {
		return nil
	}
	if donor != nil {
		donor.Close()
	}
	c.wake.Wake()
	return c.c.Close()
}

// fail closes the connection for a reason that its reader is to report.
func (c *conn) fail(err error) {
	c.s.p.mu.Lock()
	if c.err == nil {
		c.err = err
	}
	c.s.p.mu.Unlock()
	c.Close()
}

// pump sends safekeeper i what is due.
func (s *session) pump(i int, now env.Instant, by mode) {
	s.p.mu.Lock()
	c := s.peers[i].conn
	if c == nil || c.closed || c.sending {
		s.p.mu.Unlock()
		return
	}
	if by == direct && s.handOver(c) {
		s.p.mu.Unlock()
		c.wake.Wake()
		return
	}
	c.sending = true
	for c.gather(now, by) {
		s.p.mu.Unlock()
		err := c.c.Flush()
		if by == ownTask { // a direct write takes no time to speak of
			now = s.env.Clock().Mono()
		}
		s.p.mu.Lock()
		c.unpin()
		if err != nil {
			s.p.mu.Unlock()
			c.fail(err) // sending stays set: nobody writes after a torn message
			return
		}
	}
	c.release()
}

// release ends the caller's turn to write; it unlocks.
func (c *conn) release() {
	c.sending = false
	wake := c.turn || c.lag
	c.turn = false
	c.s.p.mu.Unlock()
	if wake {
		c.wake.Wake()
	}
}

// handOver tells whether the writer must do it: writing to a safekeeper this far
// behind could block.
func (s *session) handOver(c *conn) bool {
	c.lag = s.core.Backlog(c.i) > int64(s.p.cfg.DirectBytes) || s.core.Lacks(c.i)
	return c.lag
}

// gather queues what is due, up to a batch, and tells whether there is any. The
// caller locks and owns the writing half.
func (c *conn) gather(now env.Instant, by mode) bool {
	s := c.s
	if c.closed || by == direct && s.handOver(c) {
		return false
	}
	for c.c.Queued() < maxBatch && s.core.Next(c.i, now, &c.msg) {
		c.queue()
	}
	return c.c.Queued() > 0
}

// queue puts c.msg, with WAL of the buffer, behind what is queued.
func (c *conn) queue() {
	var wal []byte
	switch c.msg.Kind {
	case consensus.MsgGreeting:
		c.head = wire.AppendProposerGreeting(c.head[:0], &c.msg.Greeting)
	case consensus.MsgVote:
		c.head = wire.AppendVoteRequest(c.head[:0], c.msg.Vote)
	case consensus.MsgElected:
		c.head = wire.AppendProposerElected(c.head[:0], &c.msg.Elected)
	case consensus.MsgAppend:
		a := &c.msg.Append
		c.head = wire.AppendAppendRequest(c.head[:0], a)
		if wal = a.WAL; wal == nil && a.End > a.Begin {
			var k *block
			k, wal = c.s.p.wal.pin(a.Begin, a.End)
			c.pinned = append(c.pinned, k)
		}
	}
	c.c.CopyData(c.head, wal)
}

func (c *conn) unpin() {
	for _, k := range c.pinned {
		c.s.p.wal.unpin(k)
	}
	c.pinned = c.pinned[:0]
}

// write is the connection's own task: it sends to a safekeeper that lags.
func (c *conn) write(ctx context.Context) error {
	s := c.s
	for {
		c.wake.Wait("work for a lagging safekeeper")
		now := s.env.Clock().Mono()
		s.p.mu.Lock()
		closed := c.closed
		c.lag = false
		s.p.mu.Unlock()
		if closed {
			return nil
		}
		s.pump(c.i, now, ownTask)
		if err := c.recover(ctx); err != nil {
			s.env.Log().Warn("reading WAL back for a lagging safekeeper", "safekeeper", uint64(s.peers[c.i].member.ID), "error", err)
			if s.env.Clock().Sleep(ctx, donorRetry) != nil {
				return nil
			}
		}
	}
}

// read takes the safekeeper's messages until the connection ends. An error that
// ends the whole session ends the group through the serving task.
func (c *conn) read() error {
	s := c.s
	for {
		body, err := c.c.ReadCopy()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = fmt.Errorf("safekeeper %d closed the connection", s.peers[c.i].member.ID)
			}
			return err
		}
		if err := wire.DecodeAcceptor(body, &c.in); err != nil {
			return err
		}
		now := s.env.Clock().Mono()
		s.p.mu.Lock()
		err = c.take(now)
		s.p.handOn(s)
		s.p.mu.Unlock()
		if err == nil {
			err = s.progress(now)
		}
		if err != nil {
			return err
		}
	}
}

func (c *conn) take(now env.Instant) error {
	s := c.s
	c.s.peers[c.i].err = nil
	switch {
	case c.in.Greeting != nil:
		return s.core.Greeting(c.i, c.num, *c.in.Greeting, now)
	case c.in.Vote != nil:
		return s.core.Verdict(c.i, c.num, *c.in.Vote, now)
	}
	return s.core.Response(c.i, c.num, &c.in.Append, now)
}
