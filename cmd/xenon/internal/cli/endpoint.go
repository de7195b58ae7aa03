package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"xenon/cmd/xenon/internal/ctl"
)

type endpointCommand struct {
	Start endpointStart `cmd:"" help:"Start an endpoint on a branch."`
	Stop  endpointStop  `cmd:"" help:"Stop an endpoint."`
	List  endpointList  `cmd:"" help:"List endpoints."`
}

type endpointStart struct {
	Branch   string `arg:"" help:"Branch to run."`
	Name     string `placeholder:"NAME" help:"Name of the endpoint (default: the branch's)."`
	Port     int    `placeholder:"N" help:"Port to listen on (default: a free one)."`
	Takeover bool   `help:"Fence whoever runs the branch now."`
}

func (c endpointStart) Run(g *Globals) error {
	dir, err := g.Dir()
	if err != nil {
		return err
	}
	if c.Port < 0 || c.Port > 65535 {
		return Usage("--port wants 1 to 65535")
	}
	var e ctl.Endpoint
	err = g.patiently(func() (err error) {
		e, err = startEndpoint(dir, c)
		return err
	})
	if err != nil {
		return err
	}
	return g.Result(e, fmt.Sprintf("ready %s\n", e.URL))
}

func startEndpoint(dir string, c endpointStart) (e ctl.Endpoint, err error) {
	body := map[string]any{"branch": c.Branch, "name": c.Name, "port": c.Port, "takeover": c.Takeover}
	return e, ctl.Call(context.Background(), dir, "POST", "/endpoint/start", body, &e)
}

type endpointStop struct {
	Name string `arg:"" help:"Name of the endpoint, or its branch."`
}

func (c endpointStop) Run(g *Globals) error {
	dir, err := g.Dir()
	if err != nil {
		return err
	}
	if err := ctl.Call(context.Background(), dir, "POST", "/endpoint/stop", map[string]string{"name": c.Name}, nil); err != nil {
		return err
	}
	return g.Result(map[string]string{"stopped": c.Name}, "stopped "+c.Name+"\n")
}

type endpointList struct{}

func (endpointList) Run(g *Globals) error {
	s, err := askStatus(g)
	if err != nil {
		return err
	}
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "ENDPOINT\tBRANCH\tSTATE\tURL")
	for _, e := range s.Endpoints {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", e.Name, e.Branch, e.State, e.URL)
	}
	w.Flush()
	return g.Result(s.Endpoints, text.String())
}

type importCommand struct {
	From  string `arg:"" name:"dir" help:"Data directory that was shut down cleanly."`
	Name  string `arg:"" help:"Name of the new branch."`
	PgBin string `placeholder:"DIR" help:"Directory of the binaries of the cluster's version of PostgreSQL; kept (default: where they usually are)."`
}

func (c importCommand) Run(g *Globals) error {
	dir, err := g.Dir()
	if err != nil {
		return err
	}
	from, err := filepath.Abs(c.From)
	if err != nil {
		return err
	}
	pgBin := c.PgBin
	if pgBin != "" {
		if pgBin, err = filepath.Abs(pgBin); err != nil {
			return err
		}
	}
	var r struct {
		StartLSN  string `json:"start_lsn"`
		Timeline  string `json:"timeline"`
		Pages     uint64 `json:"pages"`
		Checksums bool   `json:"checksums"`
		Unlogged  int    `json:"unlogged"`
	}
	if err := ctl.Call(context.Background(), dir, "POST", "/import", map[string]string{"dir": from, "name": c.Name, "pg_bin": pgBin}, &r); err != nil {
		return err
	}
	text := fmt.Sprintf("imported %d pages as branch %s, which starts at %s\n", r.Pages, c.Name, r.StartLSN)
	if r.Checksums {
		text += "data checksums are on: they were verified, and are computed anew for what is served\n"
	}
	if r.Unlogged > 0 {
		text += fmt.Sprintf("%d unlogged relations come up empty\n", r.Unlogged)
	}
	text += "settings made by ALTER SYSTEM are taken over; postgresql.conf and pg_hba.conf are not\nrun it: xenon endpoint start " + c.Name + "\n"
	return g.Result(r, text)
}
