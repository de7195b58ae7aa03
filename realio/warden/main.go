package warden

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// quitPatience is how long a server gets between SIGQUIT and SIGKILL, and
// killed processes get before the mounts they may wait for are aborted.
const quitPatience = 150 * time.Millisecond

// Main is the warden: it reads a [Spec] and orders from standard input, and
// returns the exit status. The main goroutine must call it: the parent-death
// signal of the server is tied to the thread that starts it.
func Main() int {
	runtime.LockOSThread()
	// What ends a warden is the end of its pipe: not a signal for others.
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGPIPE)
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := json.NewEncoder(os.Stdout)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return 1
	}
	var spec Spec
	if err := json.Unmarshal(line, &spec); err != nil || len(spec.Argv) == 0 {
		out.Encode(event{Error: fmt.Sprintf("unreadable order: %v", err)})
		return 1
	}
	w := &ward{spec: spec}
	if err := w.start(); err != nil {
		w.clear()
		out.Encode(event{Error: err.Error()})
		return 1
	}
	out.Encode(event{PID: w.pid})
	exit := w.watch(readOrders(in))
	out.Encode(event{Exit: &exit})
	w.clear()
	out.Encode(event{Ended: true})
	return 0
}

// readOrders passes orders on; the channel is closed at the end of the pipe.
func readOrders(in *bufio.Reader) <-chan order {
	orders := make(chan order)
	go func() {
		defer close(orders)
		for {
			line, err := in.ReadBytes('\n')
			if err != nil {
				return
			}
			var o order
			if json.Unmarshal(line, &o) == nil {
				orders <- o
			}
		}
	}()
	return orders
}

// A ward is the server in the warden's charge.
type ward struct {
	spec   Spec
	pid    int
	reaped chan Exit

	lease  *deadline // nil if the server answers without one
	until  int64     // CLOCK_BOOTTIME at which the server is frozen
	frozen bool
}

func (w *ward) start() error {
	if w.spec.Log != "" {
		if err := logTo(w.spec.Log); err != nil {
			return err
		}
	}
	// Orphans of the server come to us, whatever session they are in: every
	// backend calls setsid, so no process group holds them together.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become a subreaper: %w", err)
	}
	// A PANIC would dump the shared buffers.
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbid core dumps: %w", err)
	}
	if w.spec.Freeze != 0 {
		lease, err := newDeadline()
		if err != nil {
			return err
		}
		w.lease = lease
	}
	cmd := exec.Command(w.spec.Argv[0], w.spec.Argv[1:]...)
	cmd.Env = w.spec.Env
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setsid: true}
	if w.spec.Switch {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: w.spec.UID, Gid: w.spec.GID, Groups: []uint32{}}
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	w.pid = cmd.Process.Pid
	w.reaped = make(chan Exit, 1)
	if err := w.note(); err != nil {
		w.killAll()
		return err
	}
	go w.reap()
	if w.lease != nil {
		w.bind(w.spec.Freeze)
	}
	return nil
}

// logTo makes a file the standard error of this process.
func logTo(name string) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the server's log: %w", err)
	}
	defer f.Close()
	return unix.Dup3(int(f.Fd()), int(os.Stderr.Fd()), 0)
}

// reap collects every child: the server, and orphans of it.
func (w *ward) reap() {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil { // ECHILD: nobody is left
			return
		}
		if pid != w.pid {
			continue
		}
		exit := Exit{Code: status.ExitStatus()}
		if status.Signaled() {
			exit.Signal = status.Signal()
		}
		w.reaped <- exit
	}
}

// watch carries out orders until the server ended or has to end.
func (w *ward) watch(orders <-chan order) Exit {
	var expired chan struct{} // never, without a lease
	if w.lease != nil {
		expired = w.lease.C
	}
	for {
		select {
		case <-expired:
			w.expire()
		case exit := <-w.reaped:
			return exit
		case o, alive := <-orders:
			if !alive || o.End {
				return w.quit()
			}
			if o.Freeze != 0 {
				w.bind(o.Freeze)
			}
			if o.Signal != 0 {
				syscall.Kill(w.pid, o.Signal)
			}
		}
	}
}

// quit ends the postmaster: at once, but with a moment in which it may end its
// children in its own way.
func (w *ward) quit() Exit {
	syscall.Kill(w.pid, syscall.SIGQUIT)
	select {
	case exit := <-w.reaped:
		return exit
	case <-time.After(quitPatience):
	}
	w.killAll()
	return <-w.reaped
}

// killAll kills every descendant until none is left. A process that waits for
// a mount which nobody serves does not die before the mount is aborted.
func (w *ward) killAll() {
	abortAt := time.Now().Add(quitPatience)
	for {
		alive := descendants(os.Getpid())
		if len(alive) == 0 {
			return
		}
		for _, pid := range alive {
			syscall.Kill(pid, syscall.SIGKILL)
		}
		if time.Now().After(abortAt) {
			for _, m := range w.spec.Mounts {
				abortMount(m)
			}
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// clear takes away what a server leaves: processes first, so that nobody uses
// the rest.
func (w *ward) clear() {
	w.killAll()
	w.spec.remove(w.pid)
}

// remove takes away what is left once the processes are gone: mounts, shared
// memory, directories, and at last the record that names all this.
func (s Spec) remove(postmaster int) error {
	var errs []error
	for _, m := range s.Mounts {
		errs = append(errs, Unmount(m))
	}
	removeShared(postmaster)
	for _, dir := range s.Remove {
		removeTree(dir)
	}
	if err := errors.Join(errs...); err != nil || s.Record == "" {
		return err
	}
	if err := os.Remove(s.Record); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
