package fuzz

import (
	"context"
	"errors"
	"fmt"

	"xenon/compute/proposer"
	"xenon/consensus"
	"xenon/core/env"
)

// synced has somebody make the logs of all branches level whose servers were
// killed at their work: the last commits may be known to nobody, a tail may be
// on one safekeeper. It must come to an end, and leave a majority that knows
// what is committed. Runs do it by the throw of a coin.
func (r *run) synced(ctx context.Context, e env.Env) error {
	if e.Rand("sync").IntN(2) == 0 {
		return nil
	}
	var ended []*seat
	halted := false
	r.w.After(0, func() {
		for _, s := range r.c.servers {
			if !s.retired && s.Running() {
				s.Kill()
				s.node.down = true
				ended = append(ended, s)
			}
		}
		halted = true
	})
	if err := await(ctx, e, func() bool { return halted }); err != nil {
		return err
	}
	for _, l := range r.standing() {
		r.stage = "waiting for the log of " + l.name + " to be made level"
		lsn, err := proposer.Sync(ctx, e, proposer.Config{TTID: l.id, Members: r.c.conf, Lookup: len(r.c.reserve) > 0, Server: server})
		if end := (*consensus.End)(nil); errors.As(err, &end) && end.Kind == consensus.Superseded {
			continue // a server was started all the same, and leads
		}
		if err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
		r.j.counts.Syncs++
		know := 0
		for _, k := range l.keepers {
			if k.commit >= lsn {
				know++
			}
		}
		switch {
		case lsn < l.acked:
			return &Violation{LostCommit, fmt.Errorf("the log of %s was made level up to %s, a commit that ends at %s was acknowledged", l.name, lsn, l.acked)}
		case know < consensus.Majority(len(l.keepers)):
			return &Violation{Synced, fmt.Errorf("the log of %s was made level up to %s, and %d safekeepers have said that they know that to be committed", l.name, lsn, know)}
		}
	}
	begun := false
	r.w.After(0, func() {
		for _, s := range ended {
			s.start()
		}
		begun = true
	})
	return await(ctx, e, func() bool { return begun })
}
