package cli

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"xenon/cmd/xenon/internal/cli/exit"
	"xenon/cmd/xenon/internal/conf"
	"xenon/cmd/xenon/internal/ctl"
	"xenon/cmd/xenon/internal/role"
	"xenon/realio"
)

type runCommand struct {
	Safekeeper runSafekeeper `cmd:"" help:"Run one safekeeper."`
	Pageserver runPageserver `cmd:"" help:"Run one pageserver."`
	Compute    runCompute    `cmd:"" help:"Run one endpoint on a branch."`
}

// configFlags name a role's configuration.
type configFlags struct {
	Config string   `placeholder:"FILE" help:"TOML file; xenon up --processes writes such files to DIR/conf."`
	Set    []string `short:"c" placeholder:"KEY=VALUE" sep:"none" help:"Setting over the file's, VALUE being TOML; may be repeated."`
}

func (f configFlags) load(into any) error {
	if f.Config == "" && len(f.Set) == 0 {
		return Usage("want --config FILE, or settings with -c key=value")
	}
	if err := conf.Load(f.Config, f.Set, into); err != nil {
		return UsageError{err.Error()}
	}
	return nil
}

func logger(g *Globals) *slog.Logger {
	return slog.New(slog.NewTextHandler(g.Stderr, nil))
}

// untilSignal begins a role; its context ends with SIGINT or SIGTERM.
func untilSignal() (context.Context, context.CancelFunc) {
	realio.Widen()
	return signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
}

type runSafekeeper struct{ configFlags }

func (c runSafekeeper) Run(g *Globals) error {
	var r role.Safekeeper
	if err := c.load(&r); err != nil {
		return err
	}
	ctx, stop := untilSignal()
	defer stop()
	return r.Run(ctx, role.Process{Log: logger(g)})
}

type runPageserver struct{ configFlags }

func (c runPageserver) Run(g *Globals) error {
	var r role.Pageserver
	if err := c.load(&r); err != nil {
		return err
	}
	ctx, stop := untilSignal()
	defer stop()
	return r.Run(ctx, role.Process{Log: logger(g)})
}

type runCompute struct {
	configFlags
	Socket string `placeholder:"PATH" help:"Unix socket on which to tell how the endpoint is."`
	Sync   bool   `help:"Start no server: make the branch's log level on a majority of safekeepers, print where it ends, and end."`
}

func (c runCompute) Run(g *Globals) error {
	r := role.Compute{CrossCheck: role.DefaultCrossCheck}
	if err := c.load(&r); err != nil {
		return err
	}
	if c.Sync {
		ctx, stop := untilSignal()
		defer stop()
		end, err := r.Sync(ctx, role.Process{Log: logger(g)})
		if err == nil {
			fmt.Fprintln(g.Stdout, end)
		}
		return err
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	s := newComputeServer()
	if c.Socket != "" {
		os.Remove(c.Socket)
		l, err := ctl.Listen(c.Socket)
		if err != nil {
			return err
		}
		defer l.Close()
		go http.Serve(l, s)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		for range signals {
			// One asks for a fast shutdown, the next for an end at once; one
			// that comes before there is anything to stop ends the start.
			if n := s.get(); n != nil {
				n.Stop()
			} else {
				cancel()
			}
		}
	}()
	err := r.Run(ctx, role.Process{Log: logger(g)}, s.set)
	if role.Superseded(err) {
		logger(g).Error(err.Error())
		return ExitError{exit.Superseded}
	}
	return err
}

// A computeServer tells how the endpoint of this process is.
type computeServer struct {
	mu   sync.Mutex
	node *role.Node
	open chan struct{} // closed once there is a node
}

func newComputeServer() *computeServer { return &computeServer{open: make(chan struct{})} }

func (s *computeServer) set(n *role.Node) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.node == nil {
		close(s.open)
	}
	s.node = n
}

func (s *computeServer) get() *role.Node {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.node
}

// awaitReady returns once the endpoint is ready or never will be, or ctx ends.
func (s *computeServer) awaitReady(ctx context.Context) {
	select {
	case <-s.open:
		_ = s.get().AwaitReady(ctx) // its answer says how it is
	case <-ctx.Done():
	}
}

// ServeHTTP answers every request with how the endpoint is; one that asks for
// it waits a while for it to be ready.
func (s *computeServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Has(ctl.AwaitReady) {
		ctx, cancel := context.WithTimeout(r.Context(), ctl.AwaitReadyFor)
		s.awaitReady(ctx)
		cancel()
	}
	n := s.get()
	if n == nil {
		http.Error(w, "starting", http.StatusServiceUnavailable)
		return
	}
	ctl.WriteJSON(w, n.Describe())
}
