package netsim

import (
	"syscall"

	"xenon/core/env"
)

// sysError is what a kernel says, and what env calls it.
type sysError struct {
	syscall.Errno
	kind error
}

var (
	errReset      error = sysError{syscall.ECONNRESET, env.ErrConnReset}
	errBrokenPipe error = sysError{syscall.EPIPE, env.ErrConnReset}
	errRefused    error = sysError{syscall.ECONNREFUSED, env.ErrConnRefused}
	errTimedOut   error = sysError{syscall.ETIMEDOUT, env.ErrTimeout}
)

// Is makes errors.Is find what env calls it.
func (e sysError) Is(target error) bool { return target == e.kind || e.Errno.Is(target) }

// Unwrap is the error number.
func (e sysError) Unwrap() error { return e.Errno }
