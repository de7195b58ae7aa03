package cli

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"xenon/cmd/xenon/internal/bench"
	"xenon/cmd/xenon/internal/ctl"
	"xenon/cmd/xenon/internal/pgdist"
	"xenon/realio/host"
)

type benchCommand struct {
	Commit benchCommit `cmd:"" help:"Commits/s beside the same PostgreSQL with a synchronous quorum of pg_receivewal, in paired slices."`
}

type benchCommit struct {
	Clients   []int         `default:"1,4,16" help:"Numbers of clients."`
	Rounds    int           `default:"5" help:"Slices of each side for each number of clients."`
	Slice     time.Duration `default:"5s" help:"Length of a slice."`
	Processes bool          `help:"Every role in a process of its own."`
	PgBin     string        `placeholder:"DIR" help:"Directory of PostgreSQL's binaries."`
	User      string        `default:"postgres" help:"User that PostgreSQL runs as, if we are root."`
	Scratch   string        `default:"/var/tmp" placeholder:"DIR" help:"Where both sides keep their files."`
}

func (c benchCommit) Run(g *Globals) error {
	dist, err := pgdist.Find(c.PgBin)
	if err != nil {
		return err
	}
	user, err := pgdist.RunAs(c.User)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(c.Scratch, "xenon-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	// The peer's files belong to PostgreSQL's user.
	peer := filepath.Join(dir, "peer")
	if err := makeReachable(dir, peer, user); err != nil {
		return err
	}
	port, err := host.FreePort("127.0.0.1", 56432)
	if err != nil {
		return err
	}
	ours := filepath.Join(dir, "xenon")
	url, stop, err := c.start(g, ours, port)
	if err != nil {
		return err
	}
	defer stop()
	report, err := bench.Commit(context.Background(), bench.Target{
		URL:    url,
		Fsyncs: func(ctx context.Context) ([]uint64, error) { return syncs(ctx, ours) },
	}, bench.CommitOptions{
		Dist: dist, User: user, Scratch: peer, Port: port + 1, Clients: c.Clients, Rounds: c.Rounds, Slice: c.Slice,
		Say: g.Say,
	})
	if err != nil {
		return err
	}
	return g.Result(report, fmt.Sprintf("worst ratio %.2f\n", report.Ratio))
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

// start runs an installation of its own as another process, as a user would.
func (c benchCommit) start(g *Globals, dir string, port int) (url string, stop func(), err error) {
	exe, err := os.Executable()
	if err != nil {
		return "", nil, err
	}
	args := []string{"up", "--dir", dir, "--port", strconv.Itoa(port), "--user", c.User}
	if c.PgBin != "" {
		args = append(args, "--pg-bin", c.PgBin)
	}
	if c.Processes {
		args = append(args, "--processes")
	}
	cmd := exec.Command(exe, args...)
	cmd.Stderr = g.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if u, ok := strings.CutPrefix(lines.Text(), "ready "); ok {
			return u, stop, nil
		}
	}
	stop()
	return "", nil, fmt.Errorf("xenon up --dir %s ended before it was ready", dir)
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
