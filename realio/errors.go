package realio

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"xenon/core/env"
)

// byErrno says which error of package env an errno of the kernel is.
var byErrno = map[syscall.Errno]error{
	syscall.ENOSPC:       env.ErrNoSpace,
	syscall.EDQUOT:       env.ErrNoSpace,
	syscall.EIO:          env.ErrIO,
	syscall.EROFS:        env.ErrReadOnly,
	syscall.ECONNREFUSED: env.ErrConnRefused,
	syscall.ECONNRESET:   env.ErrConnReset,
	syscall.EPIPE:        env.ErrConnReset,
	syscall.ETIMEDOUT:    env.ErrTimeout,
}

// kindOf is the error of package env that err is, or nil.
func kindOf(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return byErrno[errno]
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return env.ErrTimeout
	}
	return nil
}

// A kindError is an error of the operating system that also is one of the
// errors of package env.
type kindError struct {
	error
	kind error
}

func (e *kindError) Unwrap() []error { return []error{e.error, e.kind} }

// Timeout makes net.OpError.Timeout true for what timed out.
func (e *kindError) Timeout() bool { return e.kind == env.ErrTimeout }

// withKind makes err match the error of package env that it is.
func withKind(err error) error {
	if err == nil {
		return nil
	}
	if kind := kindOf(err); kind != nil {
		return &kindError{err, kind}
	}
	return err
}

// netError puts the kind inside the *net.OpError, which callers may look for.
func netError(err error) error {
	var op *net.OpError
	if !errors.As(err, &op) {
		return withKind(err)
	}
	kind := kindOf(op.Err)
	if kind == nil {
		return err
	}
	mapped := *op
	mapped.Err = &kindError{op.Err, kind}
	return &mapped
}

// fsError names the operation and the place, without the machine's own path
// to the root.
func fsError(op, name string, err error) error {
	if err == nil {
		return nil
	}
	var pe *os.PathError
	var le *os.LinkError
	switch {
	case errors.As(err, &pe):
		err = pe.Err
	case errors.As(err, &le):
		err = le.Err
	}
	return fmt.Errorf("%s %s: %w", op, name, withKind(err))
}
