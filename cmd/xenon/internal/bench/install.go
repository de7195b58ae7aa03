package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"xenon/cmd/xenon/internal/ctl"
	"xenon/cmd/xenon/internal/pgdist"
	"xenon/core/env"
	"xenon/core/wire"
)

// A Site is where a measurement takes place.
type Site struct {
	Exe  string // the binary of xenon
	Dist pgdist.Dist
	User pgdist.User
	// Scratch is a directory for everything; the caller removes it.
	// PostgreSQL's user can reach it, and write to Peer in it.
	Scratch, Peer string
	Port          int // the first of a few that are free
	Stderr        io.Writer
	Say           func(format string, args ...any)
}

// command prepares a program of the system to run as PostgreSQL's user.
func (s Site) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	if s.User.Switch {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: s.User.UID, Gid: s.User.GID, Groups: []uint32{}}}
	}
	return cmd
}

// An Installation is a xenon that runs for a measurement, as a process of its
// own, as a user runs it.
type Installation struct {
	Dir string
	URL string // of main, with the password

	site Site
	cmd  *exec.Cmd
}

// Up starts an installation in dir, made anew if it is missing, and waits
// until it is ready.
func (s Site) Up(dir string, args ...string) (*Installation, error) {
	args = append([]string{"up", "--dir", dir, "--port", strconv.Itoa(s.Port), "--user", s.User.Name, "--pg-bin", s.Dist.Dir}, args...)
	in := &Installation{Dir: dir, site: s, cmd: exec.Command(s.Exe, args...)}
	in.cmd.Stderr = s.Stderr
	out, err := in.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := in.cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if url, ok := strings.CutPrefix(lines.Text(), "ready "); ok {
			in.URL = url
			return in, nil
		}
	}
	in.Stop()
	return nil, fmt.Errorf("xenon up --dir %s ended before it was ready", dir)
}

// Stop ends the installation.
func (in *Installation) Stop() {
	in.cmd.Process.Signal(syscall.SIGTERM)
	in.cmd.Wait()
}

// Run runs a command of xenon on the installation.
func (in *Installation) Run(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, in.site.Exe, append(args, "--dir", in.Dir)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("xenon %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// Status asks the installation how it is.
func (in *Installation) Status(ctx context.Context) (s ctl.Status, err error) {
	err = ctl.Call(ctx, in.Dir, "GET", "/status", nil, &s)
	return s, err
}

// Endpoint is the running endpoint of a branch.
func (in *Installation) Endpoint(ctx context.Context, branch string) (ctl.Endpoint, error) {
	s, err := in.Status(ctx)
	if err != nil {
		return ctl.Endpoint{}, err
	}
	for _, e := range s.Endpoints {
		if e.Branch == branch && e.State == "ready" {
			return e, nil
		}
	}
	return ctl.Endpoint{}, fmt.Errorf("no endpoint on branch %s runs", branch)
}

// Branch finds a branch.
func (in *Installation) Branch(ctx context.Context, name string) (ctl.Branch, error) {
	s, err := in.Status(ctx)
	if err != nil {
		return ctl.Branch{}, err
	}
	for _, b := range s.Branches {
		if b.Name == name {
			return b, nil
		}
	}
	return ctl.Branch{}, fmt.Errorf("no such branch: %s", name)
}

// socketURL is where the superuser connects to an endpoint without a password.
func socketURL(e ctl.Endpoint) string {
	return fmt.Sprintf("postgres:///postgres?host=%s&port=%d&user=postgres", e.SocketDir, e.Port)
}

// connect opens a session as the superuser.
func connect(ctx context.Context, e env.Env, to ctl.Endpoint) (*wire.Client, error) {
	return wire.Connect(ctx, e, fmt.Sprintf("unix:%s/.s.PGSQL.%d", to.SocketDir, to.Port),
		wire.ClientConfig{User: "postgres", Database: "postgres", Timeout: time.Minute})
}

// patience bounds every wait of a measurement.
const patience = 10 * time.Minute

// await asks again and again until it is done.
func await(ctx context.Context, what string, every time.Duration, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		ok, err := done()
		if ok || err != nil && !errors.Is(err, errAgain) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", what, errors.Join(context.Cause(ctx), err))
		case <-time.After(every):
		}
	}
}

// errAgain is an answer that means no more than that it is too early.
var errAgain = errors.New("not yet")

// dirBytes is the size of all files below a directory.
func dirBytes(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil // it was removed meanwhile
		}
		if err != nil || d.IsDir() {
			return err
		}
		if info, err := d.Info(); err == nil {
			n += info.Size()
		}
		return nil
	})
	return n, err
}

// objectBytes is how much a store in a directory has of what pageservers put
// there, and of WAL, which safekeepers do.
func objectBytes(dir string) (pages, wal int64, err error) {
	all, err := dirBytes(dir)
	if err != nil {
		return 0, 0, err
	}
	wal, err = dirBytes(filepath.Join(dir, "objects", "wal"))
	return all - wal, wal, err
}
