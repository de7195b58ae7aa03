package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"xenon/cmd/xenon/internal/pgdist"
)

// A plain is stock PostgreSQL on a data directory of its own.
type plain struct {
	dist pgdist.Dist
	user pgdist.User
	data string // its directory
	port int
}

// plainSettings are those that every plain server of a measurement has.
const plainSettings = "listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\nmax_connections = 100\n"

// create makes a cluster with initdb.
func (p *plain) create(ctx context.Context) error {
	if err := p.dist.InitDB(ctx, p.user, p.data, "C.UTF-8"); err != nil {
		return err
	}
	return p.appendConf(fmt.Sprintf("port = %d\n", p.port) + plainSettings)
}

func (p *plain) appendConf(text string) error {
	f, err := os.OpenFile(filepath.Join(p.data, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

func (p *plain) ctl(ctx context.Context, verb string, args ...string) error {
	cmd, err := p.dist.Command(ctx, p.user, "pg_ctl", append([]string{verb, "-D", p.data}, args...)...)
	if err != nil {
		return err
	}
	// The server keeps the descriptors: a pipe would never end.
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("pg_ctl %s: %w (see %s)", verb, err, p.log())
	}
	return nil
}

func (p *plain) log() string { return filepath.Join(p.data, "log") }

func (p *plain) start(ctx context.Context) error { return p.ctl(ctx, "start", "-w", "-l", p.log()) }

// stop ends the server as pg_ctl's mode says; it is fine if none runs.
func (p *plain) stop(mode string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := os.Stat(filepath.Join(p.data, "postmaster.pid")); err != nil {
		return nil
	}
	return p.ctl(ctx, "stop", "-w", "-m", mode)
}

func (p *plain) url() string { return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres", p.port) }

// client runs one of PostgreSQL's clients as the caller: it needs no other
// user.
func client(ctx context.Context, d pgdist.Dist, u pgdist.User, program string, args ...string) (string, error) {
	name, err := d.Client(program)
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = pgdist.Environ(u)
	var errText strings.Builder
	cmd.Stderr = &errText
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", program, err, strings.TrimSpace(errText.String()))
	}
	return string(out), nil
}

// psql runs statements, each by itself, and returns the rows, unaligned.
func psql(ctx context.Context, d pgdist.Dist, u pgdist.User, url string, statements ...string) (string, error) {
	args := []string{"-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"}
	for _, s := range statements {
		args = append(args, "-c", s)
	}
	out, err := client(ctx, d, u, "psql", append(args, url)...)
	return strings.TrimSpace(out), err
}
