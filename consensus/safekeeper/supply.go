package safekeeper

import (
	"context"
	"errors"
	"fmt"

	"xenon/consensus"
	"xenon/consensus/safekeeper/archive"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/wire"
)

// A supply is somebody who may have some committed WAL. read gives it to take,
// in order and from its begin on, until take returns an error or an LSN is
// reached.
type supply struct {
	name string
	read func(ctx context.Context, to core.LSN, take func([]byte) error) error
}

// supplies lists who may have committed WAL from begin, a segment's start, to
// end, which is not beyond that segment's: the object store first, which costs
// nobody any work, then the other members.
func (t *Timeline) supplies(c *consensus.Control, begin, end core.LSN) (list []supply) {
	if end == core.SegmentStart(begin.Segment(t.segs.size)+1, t.segs.size) {
		list = append(list, supply{"the object store", func(ctx context.Context, to core.LSN, take func([]byte) error) error {
			return t.readArchive(ctx, begin, to, take)
		}})
	}
	for _, m := range c.Config.Union() {
		if m.ID == t.node.cfg.NodeID {
			continue
		}
		list = append(list, supply{fmt.Sprintf("safekeeper %d", m.ID), func(ctx context.Context, to core.LSN, take func([]byte) error) error {
			return t.readPeer(ctx, m, begin, to, take)
		}})
	}
	return list
}

func (t *Timeline) readArchive(ctx context.Context, begin, end core.LSN, take func([]byte) error) error {
	r := archive.NewReader(t.node.store, t.id, t.segs.size)
	defer r.Close()
	buf := make([]byte, len(zeroes))
	for at := begin; at < end; {
		n, err := r.Read(ctx, buf[:min(core.LSN(len(buf)), end-at)], at)
		if errors.Is(err, env.ErrNotFound) {
			return fmt.Errorf("the segment is not stored: %w", err)
		}
		if err == nil {
			err = take(buf[:n])
		}
		if err != nil {
			return err
		}
		at += core.LSN(n)
	}
	return nil
}

// readPeer reads what a member has as committed; WAL that it removed it reads
// out of the object store itself.
func (t *Timeline) readPeer(ctx context.Context, m consensus.Member, begin, end core.LSN, take func([]byte) error) error {
	src, err := wire.OpenWALCopy(ctx, t.node.e, m, wire.ClientConfig{
		ApplicationName: t.node.copierName(), TTID: t.id, Timeout: peerPatience,
	}, begin, 0, 0)
	if err != nil {
		return err
	}
	defer src.Close()
	for at := begin; at < end; {
		b, err := src.Next()
		if err == nil {
			err = take(b)
		}
		if err != nil {
			return err
		}
		at += core.LSN(len(b))
	}
	return nil
}
