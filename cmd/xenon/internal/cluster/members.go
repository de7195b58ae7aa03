package cluster

import (
	"context"
	"errors"
	"slices"
	"sync"

	"xenon/cmd/xenon/internal/branch"
	"xenon/cmd/xenon/internal/role"
	"xenon/consensus"
	"xenon/consensus/membership"
	"xenon/consensus/migrate"
	"xenon/core"
)

// Members are the safekeepers of an installation, which change while it runs.
type Members struct {
	mu      sync.Mutex
	all     []role.Member
	leaving []core.NodeID // get no new timelines
}

// Set replaces the list.
func (m *Members) Set(all []role.Member, leaving []core.NodeID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all, m.leaving = slices.Clone(all), slices.Clone(leaving)
}

// All are those that run.
func (m *Members) All() []role.Member {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.all)
}

// Staying are those that new timelines are created on.
func (m *Members) Staying() []role.Member {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(m.all), func(x role.Member) bool { return slices.Contains(m.leaving, x.ID) })
}

func (c Cluster) safekeepers() []role.Member {
	if c.Members != nil {
		return c.Members.All()
	}
	return c.Safekeepers
}

// enter makes sure that the members of a branch's timeline are entered, and
// returns its configuration: that of a new one has all safekeepers that stay.
func (c Cluster) enter(ctx context.Context, b branch.Branch) (consensus.Configuration, error) {
	staying := c.Safekeepers
	if c.Members != nil {
		staying = c.Members.Staying()
	}
	first, err := role.Configuration(staying)
	if err != nil {
		return first, err
	}
	part, cancel := Foreign(ctx)
	defer cancel(nil)
	n, err := membership.Enter(part, c.Env, b.TTID(), first)
	return n.Config, err
}

// Enter makes sure that the members of a branch's timeline are entered, which
// those of before there was a register are not.
func (c Cluster) Enter(ctx context.Context, b branch.Branch) error {
	_, err := c.enter(ctx, b)
	return err
}

// MembersOf is what is entered for a branch's timeline.
func (c Cluster) MembersOf(ctx context.Context, b branch.Branch) (membership.Record, error) {
	part, cancel := Foreign(ctx)
	defer cancel(nil)
	n, err := membership.Find(part, c.Env, b.TTID())
	return n.Record, err
}

// ChangeMembers changes who keeps the WAL of a branch, and tells the
// pageserver.
func (c Cluster) ChangeMembers(ctx context.Context, b branch.Branch, edit migrate.Edit) (migrate.Result, error) {
	part, cancel := Foreign(ctx)
	defer cancel(nil)
	r, err := migrate.Run(part, c.Env, b.TTID(), edit)
	if err == nil {
		// It would find out by itself, once none of those that it knows is left.
		if aerr := c.Attach(ctx, b); aerr != nil {
			r.Left = append(r.Left, aerr)
		}
	}
	return r, err
}

// addresses are those of the safekeepers that have a branch's WAL. Those that
// had to move to another port since are entered with it.
func (c Cluster) addresses(ctx context.Context, b branch.Branch) (addrs []string, err error) {
	all := c.safekeepers()
	now, err := role.Configuration(all)
	if err != nil {
		return nil, err
	}
	part, cancel := Foreign(ctx)
	defer cancel(nil)
	n, err := membership.Find(part, c.Env, b.TTID())
	if errors.Is(err, membership.ErrUnknown) {
		for _, m := range all {
			addrs = append(addrs, m.Listen)
		}
		return addrs, nil
	}
	if err == nil {
		n, err = n.Move(part, c.Env, now.Members)
	}
	for _, m := range n.Config.Union() {
		addrs = append(addrs, m.Addr())
	}
	return addrs, err
}
