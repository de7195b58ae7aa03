package up

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"xenon/cmd/xenon/internal/branch"
	"xenon/cmd/xenon/internal/ctl"
	"xenon/cmd/xenon/internal/role"
	"xenon/consensus"
	"xenon/consensus/membership"
	"xenon/consensus/migrate"
	"xenon/core"
)

// tidyPatience is how long a safekeeper that leaves is given to delete its copy
// of a branch, and one that is away to hear of the change.
const tidyPatience = 2 * time.Second

// showMembers tells who keeps the WAL of each branch.
func (in *installation) showMembers(ctx context.Context) ([]ctl.Membership, error) {
	all, err := branch.List(ctx, in.env)
	if err != nil {
		return nil, err
	}
	list := []ctl.Membership{}
	for _, b := range all {
		r, err := in.cluster().MembersOf(ctx, b)
		if errors.Is(err, membership.ErrUnknown) {
			r.Config, err = role.Configuration(in.members.Staying())
		}
		if err != nil {
			return nil, err
		}
		list = append(list, describeMembers(b, r))
	}
	return list, nil
}

func describeMembers(b branch.Branch, r membership.Record) ctl.Membership {
	return ctl.Membership{
		Branch: b.Name, Generation: r.Config.Generation,
		Members: numbers(r.Config.Members), NewMembers: numbers(r.Config.NewMembers), Leavers: numbers(r.Leavers),
	}
}

func numbers(set []consensus.Member) (out []core.NodeID) {
	for _, m := range set {
		out = append(out, m.ID)
	}
	return out
}

// changeMembers adds a safekeeper, removes one, or puts one in the place of
// another, on every branch while it is in use. The layout is written first:
// branches that are made meanwhile begin with the new set, and whoever is
// killed in between asks for the same again, or starts the installation again,
// which goes on.
func (in *installation) changeMembers(ctx context.Context, r ctl.MembershipRequest) (ctl.MembershipChange, error) {
	in.changing.Lock()
	defer in.changing.Unlock()
	if r.New {
		r.Add = in.nextSafekeeper()
	}
	change := ctl.MembershipChange{Added: r.Add, Removed: r.Remove, Branches: []ctl.Membership{}}
	if err := in.checkChange(r); err != nil {
		return change, err
	}
	if err := in.enterAll(ctx, r); err != nil {
		return change, err
	}
	edit, err := in.startAdded(ctx, r.Add)
	if err != nil {
		return change, err
	}
	for _, m := range edit.Add {
		change.Listen = m.Addr()
	}
	if r.Remove != 0 {
		edit.Remove = []core.NodeID{r.Remove}
	}
	all, err := branch.List(ctx, in.env)
	if err != nil {
		return change, err
	}
	for _, b := range all {
		edit.Patience = tidyPatience
		res, err := in.cluster().ChangeMembers(ctx, b, edit)
		if err != nil {
			return change, fmt.Errorf("branch %s: %w; ask for the same again to go on", b.Name, err)
		}
		change.Branches = append(change.Branches, describeMembers(b, res.Record))
		for _, left := range res.Left {
			change.Left = append(change.Left, fmt.Sprintf("branch %s: %v", b.Name, left))
		}
	}
	return change, in.dropRemoved(r.Remove)
}

// checkChange refuses what could never work.
func (in *installation) checkChange(r ctl.MembershipRequest) error {
	staying := in.members.Staying()
	there := func(list []role.Member, id core.NodeID) bool {
		return slices.ContainsFunc(list, func(m role.Member) bool { return m.ID == id })
	}
	switch {
	case r.Add == 0 && r.Remove == 0:
		return errors.New("nobody is to come or to go")
	case r.Add == r.Remove:
		return fmt.Errorf("safekeeper %d cannot come in its own place: leave the number of the new one out", r.Add)
	case r.Remove != 0 && !there(in.members.All(), r.Remove):
		return fmt.Errorf("there is no safekeeper %d: xenon membership show lists them", r.Remove)
	case r.Add == 0 && len(staying) == 1 && staying[0].ID == r.Remove:
		return fmt.Errorf("safekeeper %d is the only one: add another first", r.Remove)
	case r.Add > 1<<16:
		return fmt.Errorf("safekeeper %d: want a number up to %d", r.Add, 1<<16)
	}
	return nil
}

// nextSafekeeper is a number that no safekeeper has, nor had as far as its
// directory is still there.
func (in *installation) nextSafekeeper() core.NodeID {
	next := core.NodeID(1)
	for _, m := range in.members.All() {
		next = max(next, m.ID+1)
	}
	dirs, _ := filepath.Glob(in.home.Path("safekeeper-*"))
	for _, dir := range dirs {
		_, text, _ := strings.Cut(filepath.Base(dir), "-")
		if n, err := strconv.ParseUint(text, 10, 16); err == nil {
			next = max(next, core.NodeID(n)+1)
		}
	}
	return next
}

// enterAll makes sure that every branch has its present members entered, and
// then writes into the layout who comes and who goes, while nobody makes a
// branch.
func (in *installation) enterAll(ctx context.Context, r ctl.MembershipRequest) error {
	in.branches.deleting.Lock()
	defer in.branches.deleting.Unlock()
	all, err := branch.Entries(ctx, in.env)
	if err != nil {
		return err
	}
	for _, b := range all {
		if b.State == branch.Deleted || b.State == branch.Deleting {
			continue
		}
		if err := in.cluster().Enter(ctx, b.Branch); err != nil {
			return fmt.Errorf("branch %s: %w", b.Name, err)
		}
	}
	next := in.layout
	next.Safekeepers, next.Leaving = slices.Clone(next.Safekeepers), slices.Clone(next.Leaving)
	if r.Add != 0 {
		if !slices.ContainsFunc(next.Safekeepers, func(m role.Member) bool { return m.ID == r.Add }) {
			listen, err := keepOrFind("")
			if err != nil {
				return err
			}
			next.Safekeepers = append(next.Safekeepers, role.Member{ID: r.Add, Listen: listen})
		}
		next.Leaving = slices.DeleteFunc(next.Leaving, func(id core.NodeID) bool { return id == r.Add })
	}
	if r.Remove != 0 && !slices.Contains(next.Leaving, r.Remove) {
		next.Leaving = append(next.Leaving, r.Remove)
	}
	return in.setLayout(next)
}

// setLayout makes a layout with other safekeepers the one in force.
func (in *installation) setLayout(next layout) error {
	if err := next.save(in.home); err != nil {
		return err
	}
	in.layout.Safekeepers, in.layout.Leaving = next.Safekeepers, next.Leaving
	in.members.Set(next.Safekeepers, next.Leaving)
	return nil
}

// startAdded starts the safekeeper that comes, unless it runs, and waits until
// it answers.
func (in *installation) startAdded(ctx context.Context, id core.NodeID) (edit migrate.Edit, err error) {
	all := in.members.All()
	i := slices.IndexFunc(all, func(m role.Member) bool { return m.ID == id })
	if i < 0 {
		return edit, nil
	}
	in.mu.Lock()
	t := in.tasks[safekeeperName(id)]
	in.mu.Unlock()
	if t == nil {
		if t, err = in.startSafekeeper(all[i]); err != nil {
			return edit, err
		}
	}
	if err := in.awaitAnswer(ctx, t, all[i].Listen); err != nil {
		return edit, err
	}
	c, err := role.Configuration(all[i : i+1])
	edit.Add = c.Members
	return edit, err
}

func safekeeperName(id core.NodeID) string { return fmt.Sprintf("safekeeper-%d", id) }

// dropRemoved stops the safekeeper that has left every branch and forgets it.
// Its directory stays; nothing in it is needed.
func (in *installation) dropRemoved(id core.NodeID) error {
	if id == 0 {
		return nil
	}
	in.stopRole(safekeeperName(id))
	next := in.layout
	next.Safekeepers = slices.DeleteFunc(slices.Clone(next.Safekeepers), func(m role.Member) bool { return m.ID == id })
	next.Leaving = slices.DeleteFunc(slices.Clone(next.Leaving), func(other core.NodeID) bool { return other == id })
	return in.setLayout(next)
}

// finishMembers goes on with changes of members that the end of an earlier run
// interrupted.
func (in *installation) finishMembers(ctx context.Context) {
	for _, id := range slices.Clone(in.layout.Leaving) {
		if _, err := in.changeMembers(ctx, ctl.MembershipRequest{Remove: id}); err != nil {
			in.opts.Log.Warn("a safekeeper is not removed yet; xenon membership remove goes on", "safekeeper", uint64(id), "error", err)
		}
	}
	all, err := branch.List(ctx, in.env)
	if err != nil {
		return
	}
	for _, b := range all {
		r, err := in.cluster().MembersOf(ctx, b)
		if err != nil || len(r.Config.NewMembers) == 0 {
			continue
		}
		if _, err := in.cluster().ChangeMembers(ctx, b, migrate.Edit{Patience: tidyPatience}); err != nil {
			in.opts.Log.Warn("a change of members is not done yet", "branch", b.Name, "error", err)
		}
	}
}
