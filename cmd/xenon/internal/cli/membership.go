package cli

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"xenon/cmd/xenon/internal/ctl"
	"xenon/core"
)

type membershipCommand struct {
	Show    membershipShow    `cmd:"" help:"Tell which safekeepers keep the WAL of each branch."`
	Add     membershipAdd     `cmd:"" help:"Start another safekeeper and make it a member for every branch."`
	Remove  membershipRemove  `cmd:"" help:"Take a safekeeper out of every branch and stop it."`
	Replace membershipReplace `cmd:"" help:"Put a new safekeeper in the place of one, which may be gone for good."`
}

type membershipShow struct{}

func (membershipShow) Run(g *Globals) error {
	dir, err := g.Dir()
	if err != nil {
		return err
	}
	var list []ctl.Membership
	if err := ctl.Call(context.Background(), dir, "GET", "/membership", nil, &list); err != nil {
		return err
	}
	return g.Result(list, membershipText(list))
}

func membershipText(list []ctl.Membership) string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "BRANCH\tGENERATION\tMEMBERS\tTURNING INTO\tLEAVING")
	for _, m := range list {
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\n", m.Branch, m.Generation, nodesText(m.Members), dash(nodesText(m.NewMembers)), dash(nodesText(m.Leavers)))
	}
	w.Flush()
	return text.String()
}

func nodesText(ids []core.NodeID) string {
	var names []string
	for _, id := range ids {
		names = append(names, fmt.Sprint(uint64(id)))
	}
	return strings.Join(names, " ")
}

type membershipAdd struct {
	ID uint64 `arg:"" optional:"" help:"Number of the safekeeper: to go on with one that was being added (default: a new one)."`
}

func (membershipAdd) Help() string {
	return "The new safekeeper copies the WAL of each branch while that is in use. The change may be interrupted at any moment; the same command with its number goes on."
}

func (c membershipAdd) Run(g *Globals) error {
	return changeMembers(g, ctl.MembershipRequest{Add: core.NodeID(c.ID), New: c.ID == 0})
}

type membershipRemove struct {
	ID uint64 `arg:"" help:"Number of the safekeeper, as membership show tells it."`
}

func (c membershipRemove) Run(g *Globals) error {
	if c.ID == 0 {
		return UsageError{"ID: safekeepers have numbers from 1 on"}
	}
	return changeMembers(g, ctl.MembershipRequest{Remove: core.NodeID(c.ID)})
}

type membershipReplace struct {
	Old uint64 `arg:"" help:"Number of the safekeeper that goes; it need not run."`
	New uint64 `arg:"" optional:"" help:"Number of the one that comes (default: a new one)."`
}

func (c membershipReplace) Run(g *Globals) error {
	if c.Old == 0 {
		return UsageError{"OLD: safekeepers have numbers from 1 on"}
	}
	return changeMembers(g, ctl.MembershipRequest{Add: core.NodeID(c.New), New: c.New == 0, Remove: core.NodeID(c.Old)})
}

func changeMembers(g *Globals, r ctl.MembershipRequest) error {
	dir, err := g.Dir()
	if err != nil {
		return err
	}
	var c ctl.MembershipChange
	if err := ctl.Call(context.Background(), dir, "POST", "/membership", r, &c); err != nil {
		return err
	}
	var text strings.Builder
	if c.Added != 0 {
		fmt.Fprintf(&text, "safekeeper %d is a member, at %s\n", c.Added, c.Listen)
	}
	if c.Removed != 0 {
		fmt.Fprintf(&text, "safekeeper %d is no member any more and has stopped\n", c.Removed)
	}
	for _, left := range c.Left {
		fmt.Fprintf(&text, "left for later: %s\n", left)
	}
	return g.Result(c, text.String()+membershipText(c.Branches))
}
