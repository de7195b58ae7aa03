package cli

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"xenon/cmd/xenon/internal/bench"
	"xenon/cmd/xenon/internal/ctl"
	"xenon/cmd/xenon/internal/pgdist"
	"xenon/realio/host"
)

type benchCommand struct {
	Commit  benchCommit  `cmd:"" help:"Commits/s beside the same PostgreSQL with a synchronous quorum of pg_receivewal, in paired slices."`
	GetPage benchGetPage `cmd:"" name:"getpage" help:"Reads of pages with chains of records over them, warm and cold, beside a server of a file's blocks."`
	Ingest  benchIngest  `cmd:"" help:"A pageserver taking in WAL, beside pg_receivewal --synchronous on the same WAL."`
	Redo    benchRedo    `cmd:"" help:"Redo of the WAL of pgbench in memory, beside the startup process of the same PostgreSQL; decoding beside pg_waldump."`
	Branch  benchBranch  `cmd:"" help:"Making a branch of databases of several sizes, beside cp -r of the data directory."`
	Start   benchStart   `cmd:"" help:"A new branch up to its first row, beside pg_ctl start of a copy of the data directory."`
	Sim     benchSim     `cmd:"" help:"The simulator on its reference workload: simulated seconds per second of processor time, and what they are spent on."`
	File    benchFile    `cmd:"" name:"file-server" hidden:"" help:"The peer of getpage: serves the blocks of a file, and prints its address."`
}

// benchSite is where a measurement takes place.
type benchSite struct {
	PgBin   string `placeholder:"DIR" help:"Directory of PostgreSQL's binaries."`
	User    string `default:"postgres" help:"User that PostgreSQL runs as, if we are root."`
	Scratch string `default:"/var/tmp" placeholder:"DIR" help:"Where both sides keep their files."`
}

// open makes the site; done removes it.
func (c benchSite) open(g *Globals) (s bench.Site, done func(), err error) {
	s = bench.Site{Stderr: g.Stderr, Say: g.Say}
	if s.Dist, err = pgdist.Find(c.PgBin); err != nil {
		return s, nil, err
	}
	if s.User, err = pgdist.RunAs(c.User); err != nil {
		return s, nil, err
	}
	if s.Exe, err = os.Executable(); err != nil {
		return s, nil, err
	}
	if s.Port, err = host.FreePort("127.0.0.1", 56432); err != nil {
		return s, nil, err
	}
	if s.Scratch, err = os.MkdirTemp(c.Scratch, "xenon-bench-"); err != nil {
		return s, nil, err
	}
	// The peer's files belong to PostgreSQL's user.
	s.Peer = filepath.Join(s.Scratch, "peer")
	if err := makeReachable(s.Scratch, s.Peer, s.User); err != nil {
		os.RemoveAll(s.Scratch)
		return s, nil, err
	}
	return s, func() { os.RemoveAll(s.Scratch) }, nil
}

// measure makes a site for f and prints what f came to.
func measure[R any](c benchSite, g *Globals, f func(context.Context, bench.Site) (R, error), words func(R) string) error {
	site, done, err := c.open(g)
	if err != nil {
		return err
	}
	defer done()
	ctx, stop := untilSignal()
	defer stop()
	report, err := f(ctx, site)
	if err != nil {
		return err
	}
	return g.Result(report, words(report))
}

func makeReachable(dir, peer string, user pgdist.User) error {
	if err := os.Chmod(dir, 0o711); err != nil {
		return err
	}
	if err := os.Mkdir(peer, 0o755); err != nil {
		return err
	}
	return os.Chown(peer, int(user.UID), int(user.GID))
}

type benchCommit struct {
	benchSite
	Clients   []int         `default:"1,4,16" help:"Numbers of clients."`
	Rounds    int           `default:"5" help:"Slices of each side for each number of clients."`
	Slice     time.Duration `default:"5s" help:"Length of a slice."`
	Processes bool          `help:"Every role in a process of its own."`
}

func (c benchCommit) Run(g *Globals) error {
	site, done, err := c.open(g)
	if err != nil {
		return err
	}
	defer done()
	var args []string
	if c.Processes {
		args = append(args, "--processes")
	}
	in, err := site.Up(filepath.Join(site.Scratch, "xenon"), args...)
	if err != nil {
		return err
	}
	defer in.Stop()
	ctx, stop := untilSignal()
	defer stop()
	report, err := bench.Commit(ctx, bench.Target{
		URL:    in.URL,
		Fsyncs: func(ctx context.Context) ([]uint64, error) { return syncs(ctx, in.Dir) },
	}, bench.CommitOptions{
		Dist: site.Dist, User: site.User, Scratch: site.Peer, Port: site.Port + 1, Clients: c.Clients, Rounds: c.Rounds, Slice: c.Slice,
		Say: g.Say,
	})
	if err != nil {
		return err
	}
	return g.Result(report, fmt.Sprintf("worst ratio %.2f\n", report.Ratio))
}

// syncs is how often each safekeeper of an installation has synced WAL.
func syncs(ctx context.Context, dir string) (all []uint64, err error) {
	var s ctl.Status
	if err := ctl.Call(ctx, dir, "GET", "/status", nil, &s); err != nil {
		return nil, err
	}
	for _, k := range s.Safekeepers {
		var n uint64
		for _, t := range k.Timelines {
			n += t.Syncs
		}
		all = append(all, n)
	}
	return all, nil
}

type benchGetPage struct {
	benchSite
	Chains []int         `default:"0,10,100" help:"Numbers of records over a page's image."`
	Pages  int           `default:"4096" help:"Pages for each length of chains."`
	Rounds int           `default:"5" help:"Slices of each side, warm."`
	Slice  time.Duration `default:"2s" help:"Length of a slice of reading in batches."`
}

func (c benchGetPage) Run(g *Globals) error {
	return measure(c.benchSite, g, func(ctx context.Context, site bench.Site) (bench.GetPageReport, error) {
		return bench.GetPage(ctx, site, bench.GetPageOptions{Chains: c.Chains, Pages: c.Pages, Rounds: c.Rounds, Slice: c.Slice})
	}, func(report bench.GetPageReport) string {
		return fmt.Sprintf("p50 of a warm page without records %.0f µs\n", report.Value)
	})
}

type benchIngest struct {
	benchSite
	Scale        int `default:"10" help:"Scale of pgbench -i, which writes some 13 MB of WAL each."`
	Transactions int `default:"20000" help:"Transactions of pgbench after it."`
	Rounds       int `default:"3" help:"Times that both sides take the WAL in."`
}

func (c benchIngest) Run(g *Globals) error {
	return measure(c.benchSite, g, func(ctx context.Context, site bench.Site) (bench.IngestReport, error) {
		return bench.Ingest(ctx, site, bench.IngestOptions{Scale: c.Scale, Transactions: c.Transactions, Rounds: c.Rounds})
	}, func(report bench.IngestReport) string {
		return fmt.Sprintf("%.0f MB of WAL per CPU-second, %.2f × the time of pg_receivewal\n", report.Value, report.Ratio)
	})
}

type benchRedo struct {
	benchSite
	Scale        int `default:"10" help:"Scale of pgbench."`
	Transactions int `default:"100000" help:"Transactions of pgbench."`
	Rounds       int `default:"5" help:"Times that both sides replay the WAL."`
}

func (c benchRedo) Run(g *Globals) error {
	return measure(c.benchSite, g, func(ctx context.Context, site bench.Site) (bench.RedoReport, error) {
		return bench.Redo(ctx, site, bench.RedoOptions{Scale: c.Scale, Transactions: c.Transactions, Rounds: c.Rounds})
	}, func(report bench.RedoReport) string {
		return fmt.Sprintf("%s%.2f µs of processor time a record, %.2f × PostgreSQL's\n", report.Table(), report.Value, report.Ratio)
	})
}

type benchBranch struct {
	benchSite
	Scales []int `default:"7,134" help:"Scales of pgbench: 15 MB each."`
	Rounds int   `default:"20" help:"Branches of each."`
}

func (c benchBranch) Run(g *Globals) error {
	return measure(c.benchSite, g, func(ctx context.Context, site bench.Site) (bench.BranchReport, error) {
		return bench.Branch(ctx, site, bench.BranchOptions{Scales: c.Scales, Rounds: c.Rounds})
	}, func(report bench.BranchReport) string {
		return fmt.Sprintf("%.1f ms a branch\n", report.Value)
	})
}

type benchStart struct {
	benchSite
	Scales    []int `default:"7,70" help:"Scales of pgbench: 15 MB each."`
	Rounds    int   `default:"7" help:"Starts of each side."`
	Processes bool  `help:"Every role in a process of its own."`
}

func (c benchStart) Run(g *Globals) error {
	return measure(c.benchSite, g, func(ctx context.Context, site bench.Site) (bench.StartReport, error) {
		return bench.Start(ctx, site, bench.StartOptions{Scales: c.Scales, Rounds: c.Rounds, Processes: c.Processes})
	}, func(report bench.StartReport) string {
		return fmt.Sprintf("%.0f ms from branch to row, %.2f × a plain start\n", report.Value, report.Ratio)
	})
}

type benchFile struct {
	Name string `arg:"" help:"File to serve."`
}

func (c benchFile) Run(g *Globals) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintln(g.Stdout, l.Addr())
	return bench.ServeFile(l, c.Name)
}
