package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"xenon/cmd/xenon/internal/pgdist"
)

// receivers is how many synchronous copies of the WAL the peer keeps, two of
// which must have flushed before a commit returns: what three safekeepers do.
const receivers = 3

// A peer is stock PostgreSQL from the same binaries with a synchronous quorum
// of pg_receivewal.
type peer struct {
	dist pgdist.Dist
	user pgdist.User
	dir  string
	port int
	recv []*exec.Cmd
}

// startPeer makes a cluster below dir and starts it with its receivers.
func startPeer(ctx context.Context, d pgdist.Dist, u pgdist.User, dir string, port int) (*peer, error) {
	p := &peer{dist: d, user: u, dir: dir, port: port}
	if err := p.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start the peer: %w", err), p.stop())
	}
	return p, nil
}

func (p *peer) data() string { return filepath.Join(p.dir, "data") }

func (p *peer) start(ctx context.Context) error {
	if err := p.dist.InitDB(ctx, p.user, p.data(), "C.UTF-8"); err != nil {
		return err
	}
	conf := fmt.Sprintf("port = %d\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\nmax_connections = 100\n", p.port)
	if err := p.appendConf(conf); err != nil {
		return err
	}
	if err := p.ctl(ctx, "start", "-w", "-l", filepath.Join(p.data(), "log")); err != nil {
		return err
	}
	var names []string
	for i := range receivers {
		name := fmt.Sprintf("r%d", i+1)
		names = append(names, name)
		if err := p.receive(ctx, name); err != nil {
			return err
		}
	}
	if err := p.appendConf("synchronous_standby_names = 'ANY 2 (" + strings.Join(names, ", ") + ")'\n"); err != nil {
		return err
	}
	return p.ctl(ctx, "reload")
}

func (p *peer) appendConf(text string) error {
	f, err := os.OpenFile(filepath.Join(p.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

func (p *peer) ctl(ctx context.Context, verb string, args ...string) error {
	cmd, err := p.dist.Command(ctx, p.user, "pg_ctl", append([]string{verb, "-D", p.data()}, args...)...)
	if err != nil {
		return err
	}
	// The server keeps the descriptors: a pipe would never end.
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("pg_ctl %s: %w (see %s)", verb, err, filepath.Join(p.data(), "log"))
	}
	return nil
}

// receive starts one pg_receivewal that flushes and reports at once.
func (p *peer) receive(ctx context.Context, name string) error {
	dir := filepath.Join(p.dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if p.user.Switch {
		if err := os.Chown(dir, int(p.user.UID), int(p.user.GID)); err != nil {
			return err
		}
	}
	conninfo := fmt.Sprintf("host=127.0.0.1 port=%d user=postgres application_name=%s", p.port, name)
	cmd, err := p.dist.Command(ctx, p.user, "pg_receivewal", "--synchronous", "-D", dir, "-d", conninfo)
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	p.recv = append(p.recv, cmd)
	return nil
}

// stop ends the peer; it is fine if it never started.
func (p *peer) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var err error
	if _, statErr := os.Stat(filepath.Join(p.data(), "postmaster.pid")); statErr == nil {
		err = p.ctl(ctx, "stop", "-m", "immediate")
	}
	for _, r := range p.recv {
		r.Process.Signal(syscall.SIGKILL)
		r.Wait()
	}
	return err
}

func (p *peer) url() string { return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres", p.port) }
