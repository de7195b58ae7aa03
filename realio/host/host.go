// Package host carries servers for the sidecar: it mounts a server's two file
// trees, starts PostgreSQL on them below a warden, and takes everything away
// at the end.
//
// The process that serves a mount never touches it: no stat, no open, no
// working directory there. Go starts children by vfork, so a child that
// waits in a lookup on its own parent's mount would stop the parent for ever.
//
// Start at [New] and [Host.Start].
package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"xenon/compute"
	"xenon/compute/vfs"
	"xenon/core/env"
	"xenon/core/wire"
	"xenon/core/xsync"
	"xenon/realio/fusemount"
	"xenon/realio/warden"
)

// Options say where servers run and as whom.
type Options struct {
	// ID is part of the mounts' source name, which is xenon:ID.
	ID string
	// Dir is the host's own: mount points, sockets, the record of the warden.
	// The server's user must be able to reach it, and its path is short: the
	// path of a socket ends at 107 bytes. It is made if it is missing.
	Dir string
	// Exe is the program that becomes the warden. Spare has one that is ready; nil
	// if nobody keeps one.
	Exe   string
	Spare *warden.Spare
	// Postgres is the server's binary, Env its environment.
	Postgres string
	Env      []string
	// UID and GID are the server's user, changed to if Switch is set.
	UID, GID uint32
	Switch   bool
	// Listen is where clients connect; an empty host means the private socket
	// alone.
	Listen string
	Port   int
	// Gate puts the port behind a gate that keeps answers whose lease has ended,
	// if a server is bound to one.
	Gate bool
	// Log takes what the server prints; its name is an absolute path.
	Log *os.File
	// Override says how to start a server that a setting keeps from starting.
	Override string
}

// A Host starts servers, one at a time.
type Host struct {
	env  env.Env
	opts Options
	runs int
	warm chan *Server // one that was prewarmed, nil if there is none
}

var _ compute.Host = (*Host)(nil)

// New makes a Host and removes what an earlier one left in the same directory.
func New(e env.Env, o Options) (*Host, error) {
	h := &Host{env: e, opts: o}
	if err := Clean(o.ID, o.Dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Dir, 0o711); err != nil {
		return nil, fmt.Errorf("make a directory for mounts and sockets: %w", err)
	}
	if err := h.ownDir(h.SocketDir()); err != nil {
		return nil, err
	}
	if path := h.socket(); len(path) > maxSocketPath {
		return nil, fmt.Errorf("the socket's path %s has %d bytes, the kernel takes %d: choose a shorter directory", path, len(path), maxSocketPath)
	}
	return h, nil
}

// maxSocketPath is sun_path without its zero byte (sys/un.h).
const maxSocketPath = 107

// Clean removes mounts, processes and directories of the host with this id and
// directory that an earlier run left, however that ended. Nobody else may use
// them.
func Clean(id, dir string) error {
	if err := warden.Clean(recordIn(dir)); err != nil {
		return err
	}
	points, err := warden.Mounted(fusemount.SourcePrefix + id)
	if err != nil {
		return err
	}
	for _, p := range points {
		if err := warden.Unmount(p); err != nil {
			return err
		}
	}
	left, err := filepath.Glob(filepath.Join(dir, "run-*"))
	if err != nil {
		return err
	}
	for _, name := range append(left, filepath.Join(dir, "sock"), recordIn(dir)+".tmp") {
		if warden.Mounts(name) {
			return fmt.Errorf("something is mounted below %s that xenon did not mount: unmount it", name)
		}
		if err := os.RemoveAll(name); err != nil {
			return err
		}
	}
	return nil
}

func recordIn(dir string) string { return filepath.Join(dir, "server.json") }

// SocketDir is the private directory of the server's socket: whoever can
// enter it is trusted.
func (h *Host) SocketDir() string { return filepath.Join(h.opts.Dir, "sock") }

func (h *Host) socket() string {
	return filepath.Join(h.SocketDir(), ".s.PGSQL."+strconv.Itoa(h.opts.Port))
}

// ownDir makes an empty directory that the server's user alone can enter.
func (h *Host) ownDir(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if h.opts.Switch {
		return os.Chown(dir, int(h.opts.UID), int(h.opts.GID))
	}
	return nil
}

// Start implements [compute.Host].
func (h *Host) Start(ctx context.Context, l compute.Launch) (compute.Server, error) {
	s := h.warmed(l)
	if s == nil {
		s = h.newServer(l.Settings)
		if err := s.start(l.Bound); err != nil {
			return nil, err
		}
	}
	s.answer(ctx, l)
	return s, nil
}

func (h *Host) newServer(settings []compute.Setting) *Server {
	h.runs++
	s := &Server{host: h, dir: filepath.Join(h.opts.Dir, "run-"+strconv.Itoa(os.Getpid())+"-"+strconv.Itoa(h.runs)), settings: settings}
	s.exit = xsync.NewWatch[*compute.Exit](h.env, nil)
	return s
}

// A Server is one run of PostgreSQL.
type Server struct {
	host      *Host
	dir       string
	settings  []compute.Setting // on its command line
	tree      vfs.Client        // its data directory, once it is answered
	data, wal *fusemount.Mount  // nil until they are there
	gate      *gate             // nil if there is none
	listen    string            // where the server itself listens
	port      int
	proc      *warden.Server
	logged    int64 // length of the log before it started
	exit      *xsync.Watch[*compute.Exit]
}

// start starts a server on mounts that nobody answers yet: it loads its program
// and then waits for its data directory.
func (s *Server) start(b compute.Bound) error {
	err := s.launch(b)
	if err != nil {
		s.takeAway()
		return err
	}
	go s.follow()
	return nil
}

func (s *Server) launch(b compute.Bound) error {
	coming := s.host.warden()
	err := s.mountAll(b)
	w, failed := coming()
	if failed != nil {
		return errors.Join(err, failed)
	}
	if err != nil {
		w.Release()
		return err
	}
	s.logged = end(s.host.opts.Log)
	s.proc, err = w.Start(s.spec(b))
	return err
}

// warden begins to get a warden, and returns what waits for it: one that is
// ready, or one that comes up while there is something else to do.
func (h *Host) warden() func() (*warden.Idle, error) {
	if h.opts.Spare != nil {
		if w := h.opts.Spare.Take(); w != nil {
			return func() (*warden.Idle, error) { return w, nil }
		}
	}
	var w *warden.Idle
	up := make(chan error, 1)
	go func() {
		var err error
		w, err = warden.New(h.opts.Exe, h.opts.Log)
		up <- err
	}()
	return func() (*warden.Idle, error) {
		err := <-up
		return w, err
	}
}

func (s *Server) mountAll(b compute.Bound) (err error) {
	if err := os.Mkdir(s.dir, 0o711); err != nil {
		return err
	}
	if err := s.host.ownDir(s.host.SocketDir()); err != nil {
		return err
	}
	if s.data, err = s.mount("data", false); err != nil {
		return err
	}
	// Only the WAL's tree is asked to sync: no data file ever needs to be.
	if s.wal, err = s.mount("wal", true); err != nil {
		return err
	}
	return s.listenAt(b)
}

// point is where a directory of the server is mounted.
func (s *Server) point(name string) string { return filepath.Join(s.dir, name) }

func (s *Server) mount(name string, sync bool) (*fusemount.Mount, error) {
	if err := os.Mkdir(s.point(name), 0o700); err != nil {
		return nil, err
	}
	o := s.host.opts
	return fusemount.Attach(fusemount.Options{Path: s.point(name), ID: o.ID, UID: o.UID, GID: o.GID, Sync: sync, Log: s.host.env.Log()})
}

// answer gives the server its directories.
func (s *Server) answer(ctx context.Context, l compute.Launch) {
	s.tree = vfs.Client{Tree: l.Data}
	s.data.Serve(ctx, l.Data)
	s.wal.Serve(ctx, l.WAL)
}

// listenAt decides where the server listens: behind the gate, if there is one.
func (s *Server) listenAt(b compute.Bound) (err error) {
	o := s.host.opts
	s.listen, s.port = o.Listen, o.Port
	if !o.Gate || o.Listen == "" || b == (compute.Bound{}) {
		return nil
	}
	if s.gate, s.port, err = openGate(s.host.env, o.Listen, o.Port, b); err != nil {
		return err
	}
	s.listen = loopback
	return alias(s.host.SocketDir(), s.port, o.Port)
}

func (s *Server) spec(b compute.Bound) warden.Spec {
	o, data, wal := s.host.opts, s.point("data"), s.point("wal")
	argv := []string{o.Postgres, "-D", data,
		"-c", "unix_socket_directories=" + s.host.SocketDir(),
		"-c", "unix_socket_permissions=0700",
		"-c", "listen_addresses=" + s.listen,
		"-c", "port=" + strconv.Itoa(s.port),
	}
	for _, set := range s.settings {
		argv = append(argv, "-c", set.Name+"="+set.Value)
	}
	return warden.Spec{
		Argv: argv, Env: o.Env,
		UID: o.UID, GID: o.GID, Switch: o.Switch,
		Mounts: []string{data, wal},
		Remove: []string{s.dir, s.host.SocketDir()},
		Record: recordIn(o.Dir),
		Log:    o.Log.Name(),
		Freeze: int64(b.Freeze),
	}
}

// follow tells how the server ended.
func (s *Server) follow() {
	e := s.proc.Exit()
	s.exit.Set(&compute.Exit{Clean: e.Clean(), Reason: "PostgreSQL ended: " + e.String()})
}

// AwaitReady implements [compute.Server]: it waits until the postmaster notes
// in its lock file that it takes connections, as pg_ctl does. To try connections
// instead would take the processor from the server that is starting: each makes
// a process of its own, and the first that is let in reads the catalogs.
func (s *Server) AwaitReady(ctx context.Context) error {
	for {
		if e := s.exit.Get(); e != nil {
			return s.failure(e.Reason)
		}
		lock, err := s.tree.ReadFile(ctx, lockFile)
		if err == nil && takesConnections(lock) {
			return nil
		}
		if err != nil && !errors.Is(err, vfs.ENOENT) {
			return fmt.Errorf("read the server's %s: %w", lockFile, err)
		}
		if err := s.host.env.Clock().Sleep(ctx, readyPoll); err != nil {
			return err
		}
	}
}

// readyPoll is how often a starting server's lock file is looked at. It starts
// in some tens of milliseconds; a look is a read of memory.
const readyPoll = time.Millisecond

// lockFile is DIRECTORY_LOCK_FILE (src/backend/utils/init/miscinit.c).
const lockFile = "postmaster.pid"

// takesConnections tells whether the postmaster's state in its lock file says
// that it takes connections: line LOCK_FILE_LINE_PM_STATUS, of all servers or
// of a hot standby (src/include/utils/pidfile.h). The postmaster writes the file
// over in place, so a state can be half there.
func takesConnections(lock []byte) bool {
	const statusLine = 8
	lines := bytes.SplitN(lock, []byte{'\n'}, statusLine+1)
	if len(lines) <= statusLine {
		return false
	}
	state := string(lines[statusLine-1])
	return state == "ready   " || state == "standby "
}

// Connect opens a session of the superuser over the private socket.
func (s *Server) Connect(ctx context.Context, database string) (*wire.Client, error) {
	return wire.Connect(ctx, s.host.env, "unix:"+s.host.socket(), wire.ClientConfig{
		User: "postgres", Database: database, ApplicationName: "xenon", Timeout: 10 * time.Second,
	})
}

// Extend implements [compute.Server]. The clock of this process is the warden's.
func (s *Server) Extend(b compute.Bound) {
	if s.gate != nil {
		s.gate.extend(b.End)
	}
	if err := s.proc.Extend(int64(b.Freeze)); err != nil {
		s.host.env.Log().Warn("the server's lease is not extended", "error", err)
	}
}

// Stop implements [compute.Server].
func (s *Server) Stop() { s.proc.Signal(syscall.SIGINT) }

// AwaitExit implements [compute.Server].
func (s *Server) AwaitExit(ctx context.Context) (compute.Exit, error) {
	e, err := s.exit.Await(ctx, func(e *compute.Exit) bool { return e != nil })
	if err != nil {
		return compute.Exit{}, err
	}
	return *e, nil
}

// End implements [compute.Server].
func (s *Server) End() {
	if s.gate != nil {
		s.gate.close()
	}
	for _, m := range s.mounts() {
		m.Fence(errEnded)
	}
	s.proc.End()
	// A warden that was killed leaves a record, and work.
	if err := warden.Clean(recordIn(s.host.opts.Dir)); err != nil {
		s.host.env.Log().Warn("a server leaves something", "error", err)
	}
	s.takeAway()
}

// errEnded is why requests of a server fail that is being ended.
var errEnded = errors.New("the server is being ended")

// mounts are those that are there.
func (s *Server) mounts() []*fusemount.Mount {
	return slices.DeleteFunc([]*fusemount.Mount{s.data, s.wal}, func(m *fusemount.Mount) bool { return m == nil })
}

// takeAway ends the mounts and removes the directories.
func (s *Server) takeAway() {
	if s.gate != nil {
		s.gate.close()
	}
	for _, m := range s.mounts() {
		m.Unmount()
	}
	for _, sub := range []string{"data", "wal", ""} {
		os.Remove(filepath.Join(s.dir, sub))
	}
}

// PID is the postmaster's process id.
func (s *Server) PID() int { return s.proc.PID }

// WardenPID is the process id of its warden.
func (s *Server) WardenPID() int { return s.proc.WardenPID() }

// FreePort finds the first port from p on that listen can bind on host.
func FreePort(host string, p int) (int, error) {
	for n := p; n < p+100 && n < 1<<16; n++ {
		l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(n)))
		if err == nil {
			l.Close()
			return n, nil
		}
	}
	return 0, fmt.Errorf("no free port from %d on: choose one with --port N", p)
}
