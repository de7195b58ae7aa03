package cli

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"

	"xenon/cmd/xenon/internal/ctl"
	"xenon/cmd/xenon/internal/pgdist"
)

type psqlCommand struct {
	Branch  string   `arg:"" help:"Branch to connect to; its endpoint is started if none runs."`
	Command []string `short:"c" sep:"none" placeholder:"SQL" help:"Run a command and exit; may be repeated."`
	PgBin   string   `placeholder:"DIR" help:"Directory of PostgreSQL's binaries."`
	User    string   `short:"U" default:"postgres" help:"Role to connect as."`
	DB      string   `short:"d" default:"postgres" help:"Database to connect to."`
}

func (c psqlCommand) Run(g *Globals) error {
	dir, err := g.Dir()
	if err != nil {
		return err
	}
	dist, err := pgdist.Find(c.PgBin)
	if err != nil {
		return err
	}
	psql, err := dist.Path("psql")
	if err != nil {
		return err
	}
	e, err := runningEndpoint(g, dir, c.Branch)
	if err != nil {
		return err
	}
	args := []string{"-h", e.SocketDir, "-p", strconv.Itoa(e.Port), "-U", c.User, "-d", c.DB}
	for _, sql := range c.Command {
		args = append(args, "-c", sql)
	}
	return runForeground(psql, args)
}

// runningEndpoint is the endpoint that serves a branch; it is started if none
// is.
func runningEndpoint(g *Globals, dir, branch string) (ctl.Endpoint, error) {
	s, err := askStatus(g)
	if err != nil {
		return ctl.Endpoint{}, err
	}
	for _, e := range s.Endpoints {
		if e.Branch == branch && (e.State == "ready" || e.State == "starting") {
			return e, nil
		}
	}
	fmt.Fprintf(g.Stderr, "starting an endpoint on %s\n", branch)
	return startEndpoint(dir, endpointStart{Branch: branch})
}

// runForeground runs a program in our place: with our terminal, its exit
// status being ours, and a Ctrl-C meant for it.
func runForeground(name string, args []string) error {
	signal.Ignore(os.Interrupt)
	defer signal.Reset(os.Interrupt)
	cmd := exec.Command(name, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err := cmd.Run()
	var e *exec.ExitError
	if errors.As(err, &e) {
		return ExitError{max(1, e.ExitCode())}
	}
	return err
}
