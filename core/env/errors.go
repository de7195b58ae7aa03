package env

import "errors"

// Errors of disks and connections. Both worlds return errors that match them
// with errors.Is; the errors themselves name the operation and the place.
var (
	ErrNoSpace     = errors.New("no space left on device")
	ErrIO          = errors.New("input/output error")
	ErrReadOnly    = errors.New("read-only file system")
	ErrLocked      = errors.New("locked by another process")
	ErrTimeout     = errors.New("timed out")
	ErrConnRefused = errors.New("connection refused")
	ErrConnReset   = errors.New("connection reset by peer")
)

// ErrCorrupt reports bytes that fail their checksum or contradict themselves.
// It is never retried against the same copy.
var ErrCorrupt = errors.New("corrupt data")

// Errors of object stores; see [ObjectStore].
var (
	ErrNotFound     = errors.New("object not found")
	ErrPrecondition = errors.New("precondition failed")
	ErrConflict     = errors.New("conflicting conditional write in flight")
	ErrSlowDown     = errors.New("object store asks to slow down")
	ErrUnavailable  = errors.New("object store not available")
	ErrUnknown      = errors.New("outcome unknown")
	ErrForbidden    = errors.New("access denied")
)
