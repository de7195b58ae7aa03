// Package warden is the parent process of a PostgreSQL server: small, without
// any mount of its own in it, so that nothing that hangs elsewhere hangs it.
//
// The sidecar starts a warden for every server it starts and talks to it over
// two pipes. When the server ends, when the sidecar asks, or when the sidecar
// dies (the pipe breaks, however it died), the warden ends everything that
// belongs to the server: every descendant process, the mounts, the shared
// memory. EIO on a flush fences only writers; this is what stops reads.
//
// Start at [Start] on the sidecar's side, at [Main] on the warden's.
package warden

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// Arg is the first argument of the process that becomes a warden: a program
// that starts servers calls [Main] when it sees it, before anything else.
const Arg = "__warden"

// A Spec says what to run, and what to take away when it has ended.
type Spec struct {
	Argv []string
	Env  []string
	// UID and GID are who the server runs as, if Switch is set.
	UID, GID uint32
	Switch   bool
	// Log takes what the server prints, and the warden; "" where the warden was
	// started with a log already. It is an absolute path.
	Log string
	// Freeze, if not 0, is when every process of the server is stopped, in
	// nanoseconds of CLOCK_BOOTTIME; [Server.Extend] puts it off.
	Freeze int64
	// Mounts are unmounted in this order, Remove removed with what is in them.
	Mounts []string
	Remove []string
	// Record is a file that names the processes by pid and start time while
	// they live; see [Clean]. It is removed at the end.
	Record string
}

// An Exit tells how a server ended.
type Exit struct {
	Code   int            // exit status, -1 if a signal ended it
	Signal syscall.Signal // 0 if it exited
}

func (e Exit) String() string {
	if e.Signal != 0 {
		return "ended by " + e.Signal.String()
	}
	return fmt.Sprintf("exit status %d", e.Code)
}

// Clean tells whether the server ended by itself without an error.
func (e Exit) Clean() bool { return e.Code == 0 && e.Signal == 0 }

// An event is one line from the warden.
type event struct {
	PID   int    `json:"pid,omitempty"`   // the server runs
	Exit  *Exit  `json:"exit,omitempty"`  // the server ended
	Ended bool   `json:"ended,omitempty"` // nothing is left of it
	Error string `json:"error,omitempty"` // the server could not be started
}

// An order is one line to the warden.
type order struct {
	Signal syscall.Signal `json:"signal,omitempty"`
	Freeze int64          `json:"freeze,omitempty"` // go on until then, by CLOCK_BOOTTIME
	End    bool           `json:"end,omitempty"`
}

// A Server is a running PostgreSQL with its warden.
type Server struct {
	PID    int
	cmd    *exec.Cmd
	mu     sync.Mutex
	orders io.WriteCloser
	exited chan struct{} // closed once exit is set
	ended  chan struct{} // closed once nothing is left
	exit   Exit
}

// An Idle warden has no server yet. Its process takes a while to come up, so
// whoever knows that a server will be started has one ready.
type Idle struct {
	server *Server
	events *bufio.Scanner
}

// Start runs a warden, which is exe with [Arg], and the server below it. What
// the server prints goes to log.
func Start(exe string, spec Spec, log *os.File) (*Server, error) {
	w, err := New(exe, log)
	if err != nil {
		return nil, err
	}
	return w.Start(spec)
}

// New runs a warden without a server; it ends with its caller, or by
// [Idle.Release]. log may be nil if its [Spec] will name one.
func New(exe string, log *os.File) (*Idle, error) {
	cmd := exec.Command(exe, Arg)
	cmd.Dir = "/"
	cmd.Env = []string{"GOMAXPROCS=2"}
	if log != nil {
		cmd.Stderr = log
	}
	// A session of its own: a Ctrl-C at the terminal is for the sidecar.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	orders, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	events, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the warden: %w", err)
	}
	s := &Server{cmd: cmd, orders: orders, exited: make(chan struct{}), ended: make(chan struct{})}
	return &Idle{server: s, events: bufio.NewScanner(events)}, nil
}

// Start runs the server. Neither that it worked nor that it failed leaves an
// idle warden.
func (w *Idle) Start(spec Spec) (*Server, error) {
	s := w.server
	first, err := s.begin(spec, w.events)
	if err != nil {
		w.Release()
		return nil, err
	}
	s.PID = first.PID
	go s.follow(w.events)
	return s, nil
}

// Release ends a warden that got no server.
func (w *Idle) Release() {
	w.server.orders.Close()
	w.server.cmd.Wait()
}

// begin hands over the spec and awaits the first event.
func (s *Server) begin(spec Spec, lines *bufio.Scanner) (event, error) {
	b, err := json.Marshal(spec)
	if err != nil {
		return event{}, err
	}
	if _, err := s.orders.Write(append(b, '\n')); err != nil {
		return event{}, fmt.Errorf("talk to the warden: %w", err)
	}
	first, err := next(lines)
	switch {
	case err != nil:
		return event{}, fmt.Errorf("the warden ended early: %w", err)
	case first.Error != "":
		return event{}, fmt.Errorf("start %s: %s", spec.Argv[0], first.Error)
	}
	return first, nil
}

func next(lines *bufio.Scanner) (e event, err error) {
	if !lines.Scan() {
		if err := lines.Err(); err != nil {
			return e, err
		}
		return e, io.ErrUnexpectedEOF
	}
	err = json.Unmarshal(lines.Bytes(), &e)
	return e, err
}

// follow reads events until the warden ends. A warden that is killed takes its
// server with it (parent-death signal), so its end counts as the server's.
func (s *Server) follow(lines *bufio.Scanner) {
	exit := Exit{Code: -1, Signal: syscall.SIGKILL}
	told := false
	for {
		e, err := next(lines)
		if err != nil {
			break
		}
		if e.Exit != nil && !told {
			exit, told = *e.Exit, true
			s.tellExit(exit)
		}
	}
	s.cmd.Wait()
	if !told {
		s.tellExit(exit)
	}
	close(s.ended)
}

func (s *Server) tellExit(e Exit) {
	s.exit = e
	close(s.exited)
}

// Signal sends a signal to the postmaster: SIGINT is a fast shutdown, SIGHUP
// a reload.
func (s *Server) Signal(sig syscall.Signal) error { return s.send(order{Signal: sig}) }

// Extend lets a server that was started with a time to freeze go on up to
// another one, and thaws it.
func (s *Server) Extend(freeze int64) error { return s.send(order{Freeze: freeze}) }

// End kills the server and everything below it, takes away its mounts and
// shared memory, and returns when that is done. It may be called at any time,
// by anybody. Whoever holds requests of the server answers them first: a
// process that waits in one cannot die.
func (s *Server) End() {
	s.send(order{End: true})
	select {
	case <-s.ended:
	case <-time.After(endPatience):
		// The warden hangs or is stopped: its end is the server's.
		s.cmd.Process.Kill()
		<-s.ended
	}
}

// endPatience bounds how long a warden may take to end a server; it aborts
// connections of mounts that hang long before.
const endPatience = 20 * time.Second

func (s *Server) send(o order) error {
	b, err := json.Marshal(o)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.orders.Write(append(b, '\n')); err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("talk to the warden: %w", err)
	}
	return nil
}

// Exited is closed when the postmaster has ended.
func (s *Server) Exited() <-chan struct{} { return s.exited }

// Ended is closed when nothing is left of the server.
func (s *Server) Ended() <-chan struct{} { return s.ended }

// Exit tells how the postmaster ended, once Exited is closed.
func (s *Server) Exit() Exit {
	<-s.exited
	return s.exit
}

// WardenPID is the process id of the warden.
func (s *Server) WardenPID() int { return s.cmd.Process.Pid }
