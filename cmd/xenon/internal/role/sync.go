package role

import (
	"context"

	"xenon/cmd/xenon/internal/branch"
	"xenon/compute"
	"xenon/compute/proposer"
	"xenon/consensus"
	"xenon/core"
	"xenon/realio"
)

// Sync makes the log of the compute's branch level without a server, and
// returns where it ends: afterwards a majority of safekeepers has, and knows to
// be committed, whatever a compute that died may have acknowledged. Like a
// start it takes the endpoint's register, and gives it back.
func (c Compute) Sync(ctx context.Context, p Process) (end core.LSN, err error) {
	if err := c.check(); err != nil {
		return 0, err
	}
	err = p.run(ctx, c.Name, c.Dir, &c.Remote, func(ctx context.Context, e *realio.Env) error {
		b, err := branch.Load(ctx, e, c.Branch)
		if err != nil {
			return err
		}
		members, err := c.members(ctx, e, b)
		if err != nil {
			return err
		}
		claim, err := compute.Take(ctx, e, b.RegisterName(), c.Owner, c.Takeover)
		if err != nil {
			return err
		}
		end, err = proposer.Sync(ctx, e, c.quorum(b, members))
		if rerr := claim.Release(ctx, e, b.RegisterName()); err == nil {
			err = rerr
		}
		return err
	})
	return end, err
}

// quorum is how a proposer of the branch's log is set up.
func (c Compute) quorum(b branch.Branch, members consensus.Configuration) proposer.Config {
	return proposer.Config{
		TTID: b.TTID(), Members: members, Lookup: true,
		Server: consensus.Server{PGVersion: b.PGVersion, SystemID: b.SystemID, SegmentSize: b.SegmentSize},
	}
}
