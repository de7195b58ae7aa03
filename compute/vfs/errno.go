package vfs

import (
	"errors"
	"io/fs"
	"strconv"

	"xenon/core/env"
)

// An Errno is a POSIX error number with Linux's value (errno(3)). It is ours,
// not package syscall's, since trees also run where there is no kernel.
type Errno uint16

// The numbers that trees return.
const (
	EPERM        Errno = 1
	ENOENT       Errno = 2
	EIO          Errno = 5
	EBADF        Errno = 9
	EACCES       Errno = 13
	EEXIST       Errno = 17
	EXDEV        Errno = 18
	ENOTDIR      Errno = 20
	EISDIR       Errno = 21
	EINVAL       Errno = 22
	EFBIG        Errno = 27
	ENOSPC       Errno = 28
	EROFS        Errno = 30
	ENAMETOOLONG Errno = 36
	ENOSYS       Errno = 38
	ENOTEMPTY    Errno = 39
	EOPNOTSUPP   Errno = 95
)

var errnoText = map[Errno]string{
	EPERM:        "operation not permitted",
	ENOENT:       "no such file or directory",
	EIO:          "input/output error",
	EBADF:        "bad file descriptor",
	EACCES:       "permission denied",
	EEXIST:       "file exists",
	EXDEV:        "invalid cross-device link",
	ENOTDIR:      "not a directory",
	EISDIR:       "is a directory",
	EINVAL:       "invalid argument",
	EFBIG:        "file too large",
	ENOSPC:       "no space left on device",
	EROFS:        "read-only file system",
	ENAMETOOLONG: "file name too long",
	ENOSYS:       "function not implemented",
	ENOTEMPTY:    "directory not empty",
	EOPNOTSUPP:   "operation not supported",
}

func (e Errno) Error() string {
	if s := errnoText[e]; s != "" {
		return s
	}
	return "errno " + strconv.Itoa(int(e))
}

// ErrnoOf finds the number that a server shall see for err: 0 for nil, the
// [Errno] that err wraps, what a disk's error stands for, else EIO. An ended
// context is EIO too: EINTR would be a panic at the first cancelled query.
func ErrnoOf(err error) Errno {
	if err == nil {
		return 0
	}
	var e Errno
	if errors.As(err, &e) {
		return e
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return ENOENT
	case errors.Is(err, fs.ErrExist):
		return EEXIST
	case errors.Is(err, env.ErrNoSpace):
		return ENOSPC
	case errors.Is(err, env.ErrReadOnly):
		return EROFS
	}
	return EIO
}
