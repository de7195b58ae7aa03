package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"time"

	"xenon/cmd/xenon/internal/ctl"
	"xenon/cmd/xenon/internal/moment"
	"xenon/cmd/xenon/internal/pgdist"
)

type psqlCommand struct {
	Branch  string   `arg:"" name:"branch[@lsn|@time]" help:"Branch to connect to; its endpoint is started if none runs. With @0/16B3748, @2026-03-01T12:00:00Z or @-5m: as it was then, read-only."`
	Args    []string `arg:"" optional:"" name:"args" help:"Behind --, more arguments for psql, as in -- -At -f FILE."`
	Command []string `short:"c" sep:"none" placeholder:"SQL" help:"Run a command and exit; may be repeated."`
	PgBin   string   `placeholder:"DIR" help:"Directory of PostgreSQL's binaries."`
	User    string   `short:"U" default:"postgres" help:"Role to connect as."`
	DB      string   `short:"d" default:"postgres" help:"Database to connect to."`
}

func (c psqlCommand) Run(g *Globals) error {
	name, at, past, err := moment.Split(c.Branch, time.Now())
	if err != nil {
		return UsageError{err.Error()}
	}
	dir, err := g.Dir()
	if err != nil {
		return err
	}
	dist, err := pgdist.Find(c.PgBin)
	if err != nil {
		return err
	}
	path := dist.Client
	if c.PgBin != "" {
		path = dist.Path // as it was said
	}
	psql, err := path("psql")
	if err != nil {
		return err
	}
	var e ctl.Endpoint
	if past {
		// It ends when we do.
		held, err := ctl.Open(context.Background(), dir, "/endpoint/open", ctl.OpenRequest{Branch: name, At: at}, &e)
		if err != nil {
			return err
		}
		defer held.Close()
		fmt.Fprintf(g.Stderr, "branch %s as of %s, read-only\n", name, e.ReadOnlyLSN)
	} else if e, err = useEndpoint(g, dir, name); err != nil {
		return err
	}
	args := []string{"-h", e.SocketDir, "-p", strconv.Itoa(e.Port), "-U", c.User, "-d", c.DB}
	for _, sql := range c.Command {
		args = append(args, "-c", sql)
	}
	return runForeground(psql, append(args, c.Args...))
}

// useEndpoint is the endpoint that serves a branch; it is started if none is.
func useEndpoint(g *Globals, dir, branch string) (ctl.Endpoint, error) {
	var used ctl.EndpointUse
	err := g.patiently(func() error {
		return ctl.Call(context.Background(), dir, "POST", "/endpoint/use", map[string]string{"branch": branch}, &used)
	})
	if err != nil {
		return ctl.Endpoint{}, err
	}
	if used.Started {
		fmt.Fprintf(g.Stderr, "started endpoint %s on %s\n", used.Name, used.URL)
	}
	return used.Endpoint, nil
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
