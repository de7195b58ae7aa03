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

	"xenon/cmd/xenon/internal/pgdist"
)

// receivers is how many synchronous copies of the WAL the peer keeps, two of
// which must have flushed before a commit returns: what three safekeepers do.
const receivers = 3

// A peer is stock PostgreSQL from the same binaries with a synchronous quorum
// of pg_receivewal.
type peer struct {
	plain
	dir  string
	recv []*exec.Cmd
}

// startPeer makes a cluster below dir and starts it with its receivers.
func startPeer(ctx context.Context, d pgdist.Dist, u pgdist.User, dir string, port int) (*peer, error) {
	p := &peer{plain: plain{d, u, filepath.Join(dir, "data"), port}, dir: dir}
	if err := p.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start the peer: %w", err), p.stop())
	}
	return p, nil
}

func (p *peer) start(ctx context.Context) error {
	if err := p.create(ctx); err != nil {
		return err
	}
	if err := p.plain.start(ctx); err != nil {
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
	err := p.plain.stop("immediate")
	for _, r := range p.recv {
		r.Process.Signal(syscall.SIGKILL)
		r.Wait()
	}
	return err
}
