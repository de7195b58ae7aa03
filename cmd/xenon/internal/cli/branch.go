package cli

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"xenon/cmd/xenon/internal/branch"
	"xenon/cmd/xenon/internal/ctl"
	"xenon/cmd/xenon/internal/moment"
)

type branchCommand struct {
	Create branchCreate `cmd:"" help:"Make a branch of another one, as that is or as it was."`
	List   branchList   `cmd:"" help:"List branches: where each came from, and how far it goes."`
	Delete branchDelete `cmd:"" help:"Delete a branch that no endpoint runs and no other began from."`
}

type branchCreate struct {
	Name string  `arg:"" help:"Name of the new branch: 1 to 63 of a-z 0-9 . _ -."`
	From string  `default:"main" placeholder:"BRANCH" help:"Branch to begin from (default: main)."`
	At   *string `placeholder:"LSN|TIME" help:"Moment to begin at: an LSN as in 0/16B3748, a time as in 2026-03-01T12:00:00Z, or -5m (default: now)."`
}

func (branchCreate) Help() string {
	return "Nothing is copied, however large the database is. The new branch has an endpoint, settings and WAL of its own: what is written to it and to its parent never meets."
}

func (c branchCreate) Run(g *Globals) error {
	if err := branch.CheckName(c.Name); err != nil {
		return UsageError{err.Error()}
	}
	r := ctl.BranchRequest{Name: c.Name, From: c.From}
	// An empty one is no "now": a script's variable was empty.
	if c.At != nil {
		var err error
		if r.At, err = moment.Parse(*c.At, time.Now()); err != nil {
			return UsageError{"--at: " + err.Error()}
		}
	}
	dir, err := g.Dir()
	if err != nil {
		return err
	}
	var b ctl.Branch
	err = g.patiently(func() error { return ctl.Call(context.Background(), dir, "POST", "/branch/create", r, &b) })
	if err != nil {
		return err
	}
	return g.Result(b, fmt.Sprintf("branch %s begins from %s at %s\nuse it: xenon psql %s\n", b.Name, b.Parent, b.StartLSN, b.Name))
}

type branchList struct{}

func (branchList) Run(g *Globals) error {
	s, err := askStatus(g)
	if err != nil {
		return err
	}
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "BRANCH\tPARENT\tSTART\tCOMMIT\tCREATED\tPOSTGRES\tENDPOINT")
	for _, b := range s.Branches {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%s\n", b.Name, dash(b.Parent), b.StartLSN, b.CommitLSN, createdText(b), b.Postgres, dash(endpointsOn(s, b.Name)))
	}
	w.Flush()
	return g.Result(s.Branches, text.String())
}

// endpointsOn names the endpoints that run on a branch.
func endpointsOn(s ctl.Status, branch string) string {
	var names []string
	for _, e := range s.Endpoints {
		if e.Branch == branch && (e.State == "ready" || e.State == "starting") {
			names = append(names, e.Name)
		}
	}
	return strings.Join(names, " ")
}

func createdText(b ctl.Branch) string {
	if b.Created.IsZero() {
		return "-"
	}
	return b.Created.UTC().Format(time.RFC3339)
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

type branchDelete struct {
	Name string `arg:"" help:"Branch to delete, with all that was written to it."`
}

func (c branchDelete) Run(g *Globals) error {
	if err := branch.CheckName(c.Name); err != nil {
		return UsageError{err.Error()}
	}
	dir, err := g.Dir()
	if err != nil {
		return err
	}
	var r ctl.BranchRemoval
	if err := ctl.Call(context.Background(), dir, "POST", "/branch/delete", map[string]string{"name": c.Name}, &r); err != nil {
		return err
	}
	text := "deleted " + r.Name + "\n"
	if r.Left != "" {
		text += "its storage is freed later: " + r.Left + "\n"
	}
	return g.Result(r, text)
}
