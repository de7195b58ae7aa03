package membership

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"xenon/consensus"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
	"xenon/core/register"
)

// ErrUnknown reports a timeline whose membership was never entered.
var ErrUnknown = errors.New("no membership is entered for this timeline")

// Key names the register of a timeline's membership.
func Key(id core.TTID) string {
	return "membership/" + id.Tenant.String() + "/" + id.Timeline.String()
}

// An Entry is what the register of a timeline held at one moment. Only the one
// who holds the newest can change it.
type Entry struct {
	Record
	id    core.TTID
	state register.State
}

// Find reads what is entered for a timeline, [ErrUnknown] if nothing is. While
// the object store does not answer it tries again, until ctx ends.
func Find(ctx context.Context, e env.Env, id core.TTID) (Entry, error) {
	n := Entry{id: id}
	s, err := register.New(e, Key(id)).Read(ctx)
	if err != nil {
		return n, err
	}
	return n.holding(s)
}

func (n Entry) holding(s register.State) (_ Entry, err error) {
	n.state = s
	if s.Version() == 0 {
		return n, fmt.Errorf("timeline %s: %w", n.id, ErrUnknown)
	}
	if n.Record, err = Decode(s.Payload); err != nil {
		err = fmt.Errorf("timeline %s: %w", n.id, err)
	}
	return n, err
}

// Newer tells whether the register was written between o and n.
func (n Entry) Newer(o Entry) bool { return n.state.Version() > o.state.Version() }

// Set replaces the entry by r. [register.ErrChanged] comes with the entry that
// is there instead; an error that is [env.ErrUnknown] leaves open whether r is
// in, or will be.
func (n Entry) Set(ctx context.Context, e env.Env, r Record) (Entry, error) {
	last := n.Config.Generation
	core.Must(r.Config.Generation >= last, "generation of timeline %s falls from %d to %d", n.id, last, r.Config.Generation)
	payload, err := r.Encode()
	if err != nil {
		return n, err
	}
	reg := register.New(e, Key(n.id))
	if faults.On && faults.Hit(faults.MembersUnguarded) {
		n.state, _ = reg.Read(ctx)
	}
	s, err := reg.Write(ctx, n.state, payload)
	if errors.Is(err, register.ErrChanged) {
		now, herr := n.holding(s)
		return now, errors.Join(err, herr)
	}
	if err != nil {
		return n, err
	}
	return n.holding(s)
}

// Enter makes sure that a timeline has an entry: first, unless there is one
// already. It is done before the timeline is created anywhere.
func Enter(ctx context.Context, e env.Env, id core.TTID, first consensus.Configuration) (Entry, error) {
	for {
		n, err := Find(ctx, e, id)
		if !errors.Is(err, ErrUnknown) {
			return n, err
		}
		if n, err = n.Set(ctx, e, Record{Config: first}); !errors.Is(err, register.ErrChanged) {
			return n, err
		}
	}
}

// Move enters where safekeepers listen now, those of the list that are members:
// a safekeeper that moved keeps its vote, and the generation stays. Whoever
// looks the members up finds them there.
func (n Entry) Move(ctx context.Context, e env.Env, listed []consensus.Member) (Entry, error) {
	for {
		r := n.Record
		members, changed := moved(r.Config.Members, listed)
		joining, also := moved(r.Config.NewMembers, listed)
		if !changed && !also {
			return n, nil
		}
		r.Config.Members, r.Config.NewMembers = members, joining
		now, err := n.Set(ctx, e, r)
		if !errors.Is(err, register.ErrChanged) {
			return now, err
		}
		n = now
	}
}

// moved is members with the addresses that the list has for them.
func moved(members, listed []consensus.Member) (_ []consensus.Member, changed bool) {
	members = slices.Clone(members)
	for i, m := range members {
		at := slices.IndexFunc(listed, func(l consensus.Member) bool { return l.ID == m.ID })
		if at >= 0 && listed[at] != m {
			members[i], changed = listed[at], true
		}
	}
	return members, changed
}

// Delete enters that a timeline is gone: no safekeeper gets a copy of it any
// more. One without an entry stays without.
func Delete(ctx context.Context, e env.Env, id core.TTID) error {
	for {
		n, err := Find(ctx, e, id)
		if errors.Is(err, ErrUnknown) || err == nil && n.Deleted {
			return nil
		}
		if err != nil {
			return err
		}
		r := n.Record
		r.Deleted = true
		if _, err = n.Set(ctx, e, r); !errors.Is(err, register.ErrChanged) {
			return err
		}
	}
}
