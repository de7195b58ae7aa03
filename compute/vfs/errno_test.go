package vfs_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"

	"xenon/compute/vfs"
	"xenon/core/env"
)

func TestErrnoOf(t *testing.T) {
	tests := []struct {
		err  error
		want vfs.Errno
	}{
		{nil, 0},
		{vfs.ENOTEMPTY, vfs.ENOTEMPTY},
		{fmt.Errorf("rename: %w", vfs.EEXIST), vfs.EEXIST},
		{fs.ErrNotExist, vfs.ENOENT},
		{&fs.PathError{Op: "open", Err: fs.ErrExist}, vfs.EEXIST},
		{fmt.Errorf("write: %w", env.ErrNoSpace), vfs.ENOSPC},
		{env.ErrIO, vfs.EIO},
		{env.ErrCorrupt, vfs.EIO},
		{context.Canceled, vfs.EIO}, // never EINTR
		{context.DeadlineExceeded, vfs.EIO},
		{errors.New("anything"), vfs.EIO},
	}
	for _, tt := range tests {
		if got := vfs.ErrnoOf(tt.err); got != tt.want {
			t.Errorf("%v is %v, want %v", tt.err, got, tt.want)
		}
	}
}

// TestNumbersAreLinuxs compares every number that has a name with the
// operating system's.
func TestNumbersAreLinuxs(t *testing.T) {
	for n := vfs.Errno(1); n < 134; n++ {
		if text := n.Error(); text != fmt.Sprintf("errno %d", n) && text != syscall.Errno(n).Error() {
			t.Errorf("%d is %q, the system says %q", n, text, syscall.Errno(n).Error())
		}
	}
}
