package netsim

import (
	"syscall"

	"xenon/core/env"
)

// sysError is what a kernel says, and what env calls it. Its text is Linux's on
// every platform: parts tell each other of it, and a run is the same everywhere.
type sysError struct {
	syscall.Errno
	text string
	kind error
}

var (
	errReset      error = sysError{syscall.ECONNRESET, "connection reset by peer", env.ErrConnReset}
	errBrokenPipe error = sysError{syscall.EPIPE, "broken pipe", env.ErrConnReset}
	errRefused    error = sysError{syscall.ECONNREFUSED, "connection refused", env.ErrConnRefused}
	errTimedOut   error = sysError{syscall.ETIMEDOUT, "connection timed out", env.ErrTimeout}
	errNoAddress  error = sysError{syscall.EADDRNOTAVAIL, "cannot assign requested address", nil}
	errAddressUse error = sysError{syscall.EADDRINUSE, "address already in use", nil}
)

func (e sysError) Error() string { return e.text }

// Is makes errors.Is find what env calls it.
func (e sysError) Is(target error) bool {
	return e.kind != nil && target == e.kind || e.Errno.Is(target)
}

// Unwrap is the error number.
func (e sysError) Unwrap() error { return e.Errno }
