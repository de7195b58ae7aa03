package proposer

import (
	"context"
	"fmt"

	"xenon/consensus"
	"xenon/core"
	"xenon/core/wire"
	"xenon/core/xsync"
)

// recover gives the safekeeper the WAL that is no longer in the buffer, read
// back from another one. Heartbeats go on meanwhile.
func (c *conn) recover(ctx context.Context) error {
	s := c.s
	s.p.mu.Lock()
	gap, ok := s.core.Gap(c.i)
	s.p.mu.Unlock()
	if !ok || xsync.Cause(ctx) != nil {
		return nil
	}
	src, err := s.openDonor(ctx, gap)
	if err != nil {
		return err
	}
	defer src.Close()
	s.p.mu.Lock()
	c.donor = src
	closed := c.closed
	s.p.mu.Unlock()
	defer func() {
		s.p.mu.Lock()
		c.donor = nil
		s.p.mu.Unlock()
	}()
	for at := gap.Begin; !closed; {
		wal, err := src.Next()
		if err != nil {
			return err
		}
		if !c.sendFetched(at, wal) {
			return nil
		}
		at += core.LSN(len(wal))
		s.p.mu.Lock()
		closed = c.closed || !s.core.Lacks(c.i)
		s.p.mu.Unlock()
	}
	s.pump(c.i, s.env.Clock().Mono(), ownTask)
	return nil
}

// sendFetched sends WAL that was read back, in its turn; false if the
// safekeeper does not wait for it any more.
func (c *conn) sendFetched(begin core.LSN, wal []byte) bool {
	s := c.s
	s.p.mu.Lock()
	for c.sending && !c.closed {
		c.turn = true
		s.p.mu.Unlock()
		c.wake.Wait("turn to write to a safekeeper")
		s.p.mu.Lock()
	}
	if c.closed {
		s.p.mu.Unlock()
		return false
	}
	c.sending = true
	s.p.mu.Unlock()
	now := s.env.Clock().Mono()
	s.p.mu.Lock()
	ok := s.core.Fill(c.i, c.num, begin, begin+core.LSN(len(wal)), now, &c.msg)
	if ok {
		c.msg.Append.WAL = wal
		c.queue()
		s.p.mu.Unlock()
		err := c.c.Flush()
		if err != nil {
			c.fail(err)
			return false
		}
		s.p.mu.Lock()
	}
	c.release()
	return ok
}

// openDonor begins to read what a gap asks for.
func (s *session) openDonor(ctx context.Context, gap consensus.Gap) (*wire.WALStream, error) {
	return wire.OpenWALStream(ctx, s.env, gap.Donor, wire.ClientConfig{
		ApplicationName: "wal_proposer_recovery", TTID: s.p.cfg.TTID, Timeout: consensus.Silence,
	}, gap.Begin, gap.Term)
}

// ReadWAL fills dst with the log of this proposer from lsn on, once elected:
// from the buffer, or from a safekeeper. WAL below the election's Start may be
// read too. n is less than len(dst) only with an error.
func (p *Proposer) ReadWAL(ctx context.Context, lsn core.LSN, dst []byte) (n int, err error) {
	p.mu.Lock()
	s := p.sess
	if err := p.offerable(s); err != nil {
		p.mu.Unlock()
		return 0, err
	}
	if end := p.wal.end; lsn+core.LSN(len(dst)) > end {
		p.mu.Unlock()
		return 0, fmt.Errorf("WAL from %s to %s: it ends at %s", lsn, lsn+core.LSN(len(dst)), end)
	}
	n = p.wal.read(lsn, dst)
	gap, ok := s.core.Source(lsn, -1)
	p.mu.Unlock()
	if n == len(dst) {
		return n, nil
	}
	if !ok {
		return 0, fmt.Errorf("WAL from %s: no safekeeper of this term can be asked", lsn)
	}
	d, err := s.openDonor(ctx, gap)
	if err != nil {
		return 0, err
	}
	defer d.Close()
	for n = 0; n < len(dst); {
		wal, err := d.Next()
		if err != nil {
			return n, err
		}
		n += copy(dst[n:], wal)
	}
	return n, nil
}
