package proposer

import (
	"context"
	"errors"
	"fmt"

	"xenon/consensus"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/wire"
	"xenon/core/xsync"
)

// Sync makes the log of a timeline level without writing to it: a majority of
// safekeepers then has, and knows to be committed, everything that can have
// been committed before, up to the LSN returned. It wins a term for that, so
// whoever leads the timeline is superseded; what an endpoint does at its start
// has the same effect, and goes on to write.
func Sync(ctx context.Context, e env.Env, cfg Config) (core.LSN, error) {
	cfg.sync = true
	p, err := New(e, cfg)
	if err != nil {
		return 0, err
	}
	err = p.Run(ctx)
	var end *consensus.End
	if errors.As(err, &end) && end.Kind == consensus.Synced {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.sess.core.StartLSN(), nil
	}
	return 0, fmt.Errorf("make the log of timeline %s level: %w", cfg.TTID, err)
}

// Tip is where the log of a timeline ends that nobody writes to: at once if
// all its safekeepers say the same, else by [Sync]. It is the end of all that
// was acknowledged before the call. What it returns without a term is good to
// read at and no more: an endpoint that is to write there finds its place by
// its own election.
func Tip(ctx context.Context, e env.Env, cfg Config) (core.LSN, error) {
	if lsn, ok := agreed(ctx, e, cfg); ok {
		return lsn, nil
	}
	return Sync(ctx, e, cfg)
}

// agreed asks all safekeepers, and tells whether all answer that they have
// flushed and committed up to one and the same LSN. Whatever was acknowledged
// is on a majority, and so not above it.
func agreed(ctx context.Context, e env.Env, cfg Config) (core.LSN, bool) {
	members := cfg.Members.Union()
	lsns := make([]core.LSN, len(members))
	g := xsync.NewGroup(ctx, e)
	for i, m := range members {
		g.Go("asking a safekeeper", func(ctx context.Context) (err error) {
			lsns[i], err = levelAt(ctx, e, m, cfg.TTID)
			return err
		})
	}
	if g.Wait() != nil {
		return 0, false
	}
	for _, lsn := range lsns {
		if lsn != lsns[0] || lsn == 0 {
			return 0, false
		}
	}
	return lsns[0], true
}

// levelAt is the flush and commit LSN of a safekeeper, 0 if they differ.
func levelAt(ctx context.Context, e env.Env, m consensus.Member, id core.TTID) (core.LSN, error) {
	ctx, cancel := xsync.WithTimeout(ctx, e, consensus.Silence)
	defer cancel()
	c, err := wire.Connect(ctx, e, m.Addr(), wire.ClientConfig{ApplicationName: "wal_proposer_sync", TTID: id, Timeout: consensus.Silence})
	if err != nil {
		return 0, err
	}
	defer c.Close()
	defer wire.CloseOn(ctx, c)()
	res, err := c.Query("TIMELINE_STATUS")
	if err != nil {
		return 0, err
	}
	if len(res.Rows) != 1 || len(res.Rows[0]) != 2 {
		return 0, fmt.Errorf("safekeeper %d does not have timeline %s", m.ID, id)
	}
	flush, err := core.ParseLSN(string(res.Rows[0][0]))
	if err != nil {
		return 0, err
	}
	commit, err := core.ParseLSN(string(res.Rows[0][1]))
	if err != nil || flush != commit {
		return 0, err
	}
	return flush, nil
}
