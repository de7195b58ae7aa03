package up

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"xenon/cmd/xenon/internal/cli/exit"
	"xenon/compute"
)

// A task is a role that is kept running.
type task struct {
	name string
	done chan struct{} // closed when it runs no more

	mu    sync.Mutex
	pid   int   // of its process, 0 while none runs
	last  error // why it ended last
	ended bool
}

// steady is how long a role must have run for its end not to count as another
// failure to start.
const steady = time.Minute

// endPatience is how long a process may take to end before it is killed: it
// may be paused.
const endPatience = 5 * time.Second

// errFinal reports an end after which a role is not started again.
var errFinal = errors.New("not started again")

// keep runs f again and again until ctx ends, or f returns nil or errFinal.
func keep(ctx context.Context, log *slog.Logger, name string, f func(ctx context.Context, t *task) error) *task {
	t := &task{name: name, done: make(chan struct{})}
	go func() {
		defer close(t.done)
		for failures := 1; ; failures++ {
			began := time.Now()
			err := f(ctx, t)
			t.set(0, err)
			if err == nil || errors.Is(err, errFinal) || ctx.Err() != nil {
				return
			}
			if time.Since(began) > steady {
				failures = 1
			}
			pause := compute.Backoff(failures)
			log.Warn("role ended; starting it again", "role", name, "error", err, "pause", pause)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return
			}
		}
	}()
	return t
}

func (t *task) set(pid int, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pid = pid
	if err != nil {
		t.last, t.ended = err, true
	}
}

// state is the pid of the role's process and how it ended last.
func (t *task) state() (pid int, last error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.pid, t.last
}

// await returns once ok holds, or with the error with which the role ended
// before.
func (t *task) await(ctx context.Context, ok func() bool) error {
	for !ok() {
		t.mu.Lock()
		ended, last := t.ended, t.last
		t.mu.Unlock()
		if ended {
			return fmt.Errorf("%s: %w", t.name, last)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-t.done:
			return fmt.Errorf("%s ended before it was ready", t.name)
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}

// A spawner starts child processes that die with this one, however it dies.
// The kernel ties that to the thread that starts them, so one thread does.
type spawner struct{ orders chan func() }

func newSpawner() *spawner {
	s := &spawner{orders: make(chan func())}
	go func() {
		runtime.LockOSThread()
		for f := range s.orders {
			f()
		}
	}()
	return s
}

func (s *spawner) start(cmd *exec.Cmd) (err error) {
	started := make(chan error)
	s.orders <- func() { started <- cmd.Start() }
	return <-started
}

// child runs this program with args until it ends, as the process of t, which
// is given to started if that is not nil. The end of ctx ends it.
func (s *spawner) child(ctx context.Context, t *task, logName string, args []string, started func(*os.Process)) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(logName, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(exe, args...)
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = log, log
	// A group of its own: a Ctrl-C at the terminal is for us.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := s.start(cmd); err != nil {
		return err
	}
	t.set(cmd.Process.Pid, nil)
	if started != nil {
		started(cmd.Process)
	}
	stop := context.AfterFunc(ctx, func() {
		cmd.Process.Signal(syscall.SIGTERM)
		time.AfterFunc(endPatience, func() { cmd.Process.Kill() })
	})
	defer stop()
	return childError(cmd.Wait(), logName)
}

// childError says how a child ended.
func childError(err error, logName string) error {
	var e *exec.ExitError
	if !errors.As(err, &e) {
		return err
	}
	if e.ExitCode() == exit.Superseded {
		return fmt.Errorf("%w: %w", errFinal, compute.ErrSuperseded)
	}
	return fmt.Errorf("%w; its last words in %s: %s", err, logName, lastLine(logName))
}

// lastLine is the last line of a log, 400 bytes at most.
func lastLine(name string) string {
	f, err := os.Open(name)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	size, err := f.Seek(0, 2)
	if err != nil {
		return err.Error()
	}
	b := make([]byte, min(size, 400))
	n, _ := f.ReadAt(b, size-int64(len(b)))
	for n > 0 && b[n-1] == '\n' {
		n--
	}
	start := n
	for start > 0 && b[start-1] != '\n' {
		start--
	}
	return string(b[start:n])
}
