package corpus

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A server is a throwaway PostgreSQL. As root its processes run as another
// user, who owns its files.
type server struct {
	opt    Options
	log    string
	socket string // private directory of its socket: no port is used
	cred   *syscall.Credential
	// searchPath is that of the clients, if not empty.
	searchPath string
}

func newServer(dir string, o Options) (*server, error) {
	s := &server{opt: o, log: filepath.Join(dir, "server.log")}
	if os.Getuid() != 0 {
		return s, nil
	}
	u, err := user.Lookup(o.User)
	if err != nil {
		return nil, fmt.Errorf("the server refuses to run as root: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	s.cred = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return s, nil
}

// own gives a file to the server's user.
func (s *server) own(path string) error {
	if s.cred == nil {
		return nil
	}
	return os.Chown(path, int(s.cred.Uid), int(s.cred.Gid))
}

func (s *server) mkdir(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil && !os.IsExist(err) {
		return err
	}
	return s.own(dir)
}

func (s *server) appendFile(path, text string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(text); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return s.own(path)
}

func (s *server) copyTree(ctx context.Context, from, to string) error {
	out, err := exec.CommandContext(ctx, "cp", "-a", from, to).CombinedOutput()
	if err != nil {
		return fmt.Errorf("copy %s: %w: %s", from, err, out)
	}
	return nil
}

// linkTree copies a tree whose files nobody will change: by links.
func (s *server) linkTree(ctx context.Context, from, to string) error {
	out, err := exec.CommandContext(ctx, "cp", "-al", from, to).CombinedOutput()
	if err != nil {
		return fmt.Errorf("link %s: %w: %s", from, err, out)
	}
	return nil
}

// makeSocket makes the directory of the server's socket.
func (s *server) makeSocket() error {
	if s.socket != "" {
		return nil
	}
	socket, err := os.MkdirTemp("", "xcorpus") // short: a socket's path is limited
	if err != nil {
		return err
	}
	s.socket = socket
	return s.own(socket)
}

// configure makes every record keep its change and carry the image of the page
// after it, and keeps all WAL.
func (s *server) configure(data string) error {
	if err := s.makeSocket(); err != nil {
		return err
	}
	onOff := map[bool]string{true: "on", false: "off"}
	conf := []string{
		"listen_addresses = ''", "unix_socket_directories = '" + s.socket + "'", "fsync = off",
		"max_wal_size = '100GB'", "checkpoint_timeout = '1d'", "wal_keep_size = 1000000", "wal_recycle = off",
		"wal_init_zero = off", "shared_buffers = '32MB'", "autovacuum = off", "wal_level = replica",
		"wal_consistency_checking = 'all'", "full_page_writes = " + onOff[s.opt.FullPageWrites],
		"wal_compression = " + s.opt.Compression, "wal_log_hints = " + onOff[s.opt.HintsLogged],
		"max_prepared_transactions = 20", "track_commit_timestamp = on", "deadlock_timeout = '20ms'",
		"allow_in_place_tablespaces = on",
	}
	return s.appendFile(filepath.Join(data, "postgresql.conf"), strings.Join(conf, "\n")+"\n")
}

func (s *server) start(ctx context.Context, data string) error {
	_, err := s.run(ctx, "pg_ctl", "-D", data, "-l", s.log, "-s", "-w", "-t", "600", "start")
	return err
}

// stop ends the server as pg_ctl's mode says: fast, with a checkpoint, or
// immediate, as a crash does.
func (s *server) stop(ctx context.Context, data, mode string) error {
	_, err := s.run(context.WithoutCancel(ctx), "pg_ctl", "-D", data, "-s", "-m", mode, "-w", "-t", "600", "stop")
	return err
}

// recover starts a server that replays and stops by itself. pg_ctl reports
// that as a failure to start; the log tells whether it was one.
func (s *server) recover(ctx context.Context, data, log string) error {
	s.log = log
	_, startErr := s.run(ctx, "pg_ctl", "-D", data, "-l", log, "-s", "-w", "-t", "600", "start")
	if err := awaitExit(ctx, data); err != nil {
		return err
	}
	b, err := os.ReadFile(log)
	if err != nil {
		return err
	}
	for _, bad := range []string{"FATAL", "PANIC", "inconsistent page"} {
		if bytes.Contains(b, []byte(bad)) {
			return fmt.Errorf("recovery by PostgreSQL failed (%v):\n%s", startErr, b)
		}
	}
	if !bytes.Contains(b, []byte("shutdown at recovery target")) {
		return fmt.Errorf("recovery by PostgreSQL did not reach the end of the WAL (%v):\n%s", startErr, b)
	}
	return nil
}

// awaitExit waits until a server has gone by itself. pg_ctl may have seen it
// start before that.
func awaitExit(ctx context.Context, data string) error {
	for {
		if _, err := os.Stat(filepath.Join(data, "postmaster.pid")); err != nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// run runs one of PostgreSQL's programs and returns what it printed.
func (s *server) run(ctx context.Context, name string, args ...string) (string, error) {
	return s.runInput(ctx, "", name, args...)
}

func (s *server) runInput(ctx context.Context, input, name string, args ...string) (string, error) {
	options := "-c client_min_messages=error"
	if s.searchPath != "" {
		options += " -c search_path=" + s.searchPath
	}
	cmd := exec.CommandContext(ctx, program(s.opt.Bin, name), args...)
	cmd.Dir = "/"
	cmd.Env = []string{"LC_ALL=C", "TZ=UTC", "PATH=/usr/bin:/bin", "PGHOST=" + s.socket, "PGUSER=postgres",
		"PGDATABASE=postgres", "PGOPTIONS=" + options}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.cred}
	cmd.Stdin = strings.NewReader(input)
	// The server inherits standard output of pg_ctl; a pipe would wait for it.
	if name == "pg_ctl" {
		if err := cmd.Run(); err != nil {
			return "", fmt.Errorf("%s: %w, see %s", name, err, s.log)
		}
		return "", nil
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return string(out), nil
}
