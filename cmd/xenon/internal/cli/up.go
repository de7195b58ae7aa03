package cli

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"xenon/cmd/xenon/internal/ctl"
	"xenon/cmd/xenon/internal/home"
	"xenon/cmd/xenon/internal/remote"
	"xenon/cmd/xenon/internal/up"
	"xenon/compute"
	"xenon/realio"
)

// upFlags are what both up and demo take.
type upFlags struct {
	Processes   bool              `help:"Run every role in a process of its own."`
	Port        int               `placeholder:"N" help:"Port of the endpoint (default: the one of last time, else the first free from 55432 on)."`
	PgBin       []string          `sep:"none" placeholder:"DIR" help:"Directory of PostgreSQL's binaries, of any version from 14 to 18; kept. May be repeated: the first is for branch main, others for branches of other versions (default: $XENON_PG_BIN, else where they usually are)."`
	Remote      string            `placeholder:"URL" help:"Object store: file:///path or s3://bucket/prefix[?endpoint=URL&region=NAME]; kept (default: DIR/objects)."`
	Safekeepers int               `placeholder:"N" help:"Number of safekeepers; fixed when the installation is made (default: 3)."`
	User        string            `default:"postgres" help:"User that PostgreSQL runs as, if we are root."`
	Listen      string            `default:"127.0.0.1" help:"Addresses that the endpoint listens on."`
	Locale      string            `default:"C.UTF-8" help:"Locale of a fresh cluster."`
	CrossCheck  *float64          `placeholder:"PERCENT" env:"XENON_CROSS_CHECK" help:"How many of the pages that servers write are compared with redo, 0 for none (default: cross_check in DIR/xenon.toml, else 1)."`
	Reads       string            `placeholder:"PROMISE" help:"What reads promise while an endpoint is taken over: available, or linearizable (default: reads in DIR/xenon.toml, else available)."`
	ReadGate    *bool             `negatable:"" help:"With linearizable reads, hold back answers that would leave after their lease (default: read_gate in DIR/xenon.toml, else off)."`
	Set         map[string]string `short:"c" placeholder:"KEY=VALUE" help:"Configuration parameter of the server; may be repeated."`
}

type upCommand struct{ upFlags }

func (upCommand) Help() string {
	return "Starts an installation and stays in the foreground; prints 'ready postgres://…' once a client can connect. Ctrl-C is a fast shutdown, a second one ends servers at once."
}

func (c upCommand) Run(g *Globals) error {
	return runUp(g, c.upFlags, nil)
}

// runUp runs an installation until it is stopped. ready is called with the
// directory and the URL once clients can connect.
func runUp(g *Globals, f upFlags, ready func(dir, url string) error) error {
	dir, err := g.Dir()
	if err != nil {
		return err
	}
	if f.Port < 0 || f.Port > 65535 || f.Safekeepers < 0 || f.Safekeepers > 32 {
		return Usage("--port wants 1 to 65535, --safekeepers 1 to 32")
	}
	if f.CrossCheck != nil && !(*f.CrossCheck >= 0 && *f.CrossCheck <= 100) {
		return Usage("--cross-check wants percent, 0 to 100")
	}
	if _, err := compute.ParseReads(f.Reads); err != nil {
		return Usage("--reads wants available or linearizable")
	}
	var objects remote.Config
	if f.Remote != "" {
		if objects, err = remote.ParseURL(f.Remote); err != nil {
			return Usage("--remote %v", err)
		}
	}
	level := slog.LevelWarn
	if os.Getenv("XENON_DEBUG") != "" {
		level = slog.LevelDebug
	}
	realio.Widen()
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	ended := make(chan error, 1)
	stop := make(chan struct{}, 4)
	go func() {
		for range signals {
			stop <- struct{}{}
		}
	}()
	o := up.Options{
		Dir: dir, Processes: f.Processes, Port: f.Port, PgBin: f.PgBin, Safekeepers: f.Safekeepers, Remote: objects,
		User: f.User, Listen: f.Listen, Locale: f.Locale, Settings: f.Set, CrossCheck: f.CrossCheck,
		Reads: f.Reads, ReadGate: f.ReadGate,
		Log: slog.New(slog.NewTextHandler(g.Stderr, &slog.HandlerOptions{Level: level})),
		Say: func(format string, args ...any) { fmt.Fprintf(g.Stderr, format+"\n", args...) },
		Ready: func(url string) {
			if ready == nil {
				fmt.Fprintln(g.Stdout, "ready", url)
			} else if err := ready(dir, url); err != nil {
				ended <- err
				stop <- struct{}{}
			}
		},
	}
	err = up.Run(context.Background(), o, stop)
	select {
	case shown := <-ended:
		return shown
	default:
		return err
	}
}

type stopCommand struct{}

func (stopCommand) Run(g *Globals) error {
	dir, err := g.Dir()
	if err != nil {
		return err
	}
	pid := home.Holder(dir)
	if pid == 0 {
		return g.Result(map[string]any{"stopped": false}, "no xenon runs in "+dir+"\n")
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopPatience)
	defer cancel()
	if err := ctl.Call(ctx, dir, "POST", "/stop", struct{}{}, nil); err != nil && home.Holder(dir) != 0 {
		return fmt.Errorf("xenon with pid %d takes no order: %w", pid, err)
	}
	if err := awaitEnd(dir); err != nil {
		return err
	}
	return g.Result(map[string]any{"stopped": true}, "stopped\n")
}

// stopPatience is longer than any stop takes that keeps its own bounds.
const stopPatience = 90 * time.Second

// awaitEnd waits until nobody holds the directory.
func awaitEnd(dir string) error {
	for deadline := time.Now().Add(stopPatience); home.Holder(dir) != 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("xenon with pid %d does not stop: kill it; the next xenon up goes on from there", home.Holder(dir))
		}
	}
	return nil
}
