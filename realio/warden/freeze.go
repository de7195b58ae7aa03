package warden

import (
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A server whose reads are bound to a lease is frozen when that ends: every
// process of it is stopped. The warden does it by its own clock, so that a
// sidecar which stands still, or hears nobody, cannot forget to. CLOCK_BOOTTIME
// goes on while the machine sleeps.

// A deadline wakes whoever waits at an instant of CLOCK_BOOTTIME.
type deadline struct {
	file *os.File
	C    chan struct{}
}

func newDeadline() (*deadline, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_BOOTTIME, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("make a timer for the read lease: %w", err)
	}
	d := &deadline{os.NewFile(uintptr(fd), "lease timer"), make(chan struct{}, 1)}
	go func() {
		var expired [8]byte
		for {
			if _, err := d.file.Read(expired[:]); err != nil {
				return
			}
			if binary.NativeEndian.Uint64(expired[:]) > 0 {
				select {
				case d.C <- struct{}{}:
				default:
				}
			}
		}
	}()
	return d, nil
}

// set makes it fire at an instant, in the past at once, instead of before.
func (d *deadline) set(at int64) error {
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(max(at, 1))}
	return control(d.file, func(fd int) error { return unix.TimerfdSettime(fd, unix.TFD_TIMER_ABSTIME, &spec, nil) })
}

func control(f *os.File, do func(fd int) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var done error
	err = raw.Control(func(fd uintptr) { done = do(int(fd)) })
	if err == nil {
		err = done
	}
	return err
}

// bootTime is the time by CLOCK_BOOTTIME, in nanoseconds.
func bootTime() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 1<<63 - 1 // no clock, no lease
	}
	return ts.Nano()
}

// bind makes the server stop at an instant, and goes on with one that was
// stopped.
func (w *ward) bind(until int64) {
	if w.lease == nil {
		return
	}
	w.until = until
	if bootTime() < until && w.frozen {
		w.frozen = false
		for _, pid := range descendants(os.Getpid()) {
			syscall.Kill(pid, syscall.SIGCONT)
		}
	}
	if err := w.lease.set(until); err != nil {
		w.freeze() // it cannot be told when to
	}
}

// expire freezes the server if its lease has really ended.
func (w *ward) expire() {
	if bootTime() >= w.until {
		w.freeze()
	}
}

// freeze stops every descendant. One that is being forked while its parent is
// stopped is found by the next look; a process that waits in the kernel stops
// before it comes back from there.
func (w *ward) freeze() {
	w.frozen = true
	var known []int
	for {
		alive := descendants(os.Getpid())
		fresh := slices.DeleteFunc(slices.Clone(alive), func(pid int) bool { return slices.Contains(known, pid) })
		for _, pid := range fresh {
			syscall.Kill(pid, syscall.SIGSTOP)
		}
		known = append(known, fresh...)
		if len(fresh) == 0 && stopped(known) {
			return
		}
		time.Sleep(100 * time.Microsecond)
	}
}

// stopped tells whether none of these processes runs. What is in
// uninterruptible sleep runs no code of its own before it stops.
func stopped(pids []int) bool {
	return !slices.ContainsFunc(pids, func(pid int) bool {
		s, err := readStat(pid)
		return err == nil && (s.state == 'R' || s.state == 'S')
	})
}
