package realio

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"xenon/core/env"
)

// inodeID is what makes two names one file.
type inodeID struct{ dev, ino uint64 }

// An inode is what all handles of one file share: whether a sync of it failed.
//
// Linux reports a failed write-back once and then calls the lost pages clean,
// so that the next fsync succeeds. The inode remembers for as long as any
// handle of it is open.
type inode struct {
	handles int // guarded by dirFS.mu
	failed  atomic.Pointer[error]
}

// file is one open file.
type file struct {
	fs    *dirFS
	f     *os.File
	raw   syscall.RawConn // keeps the descriptor from closing under a call
	name  string
	id    inodeID
	inode *inode
	sync  func(fd int, mode env.SyncMode) error // replaced by tests
}

// A syncCall is a sync under way. It is pooled with its function: every commit
// syncs, and a closure for each would be garbage.
type syncCall struct {
	f    *file
	mode env.SyncMode
	err  error
	run  func(fd uintptr)
}

var syncCalls = sync.Pool{New: func() any {
	c := new(syncCall)
	c.run = func(fd uintptr) {
		for {
			if c.err = c.f.sync(int(fd), c.mode); c.err != syscall.EINTR {
				return
			}
		}
	}
	return c
}}

func (c *syncCall) do(f *file, mode env.SyncMode) error {
	c.f, c.mode = f, mode
	closed := f.raw.Control(c.run) // fails for no other reason
	err := c.err
	c.f, c.err = nil, nil
	if closed != nil {
		return os.ErrClosed
	}
	return err
}

var _ env.File = (*file)(nil)

func (f *dirFS) newFile(o *os.File, name string) (*file, error) {
	info, err := o.Stat()
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, syscall.EISDIR
	}
	raw, err := o.SyscallConn()
	if err != nil {
		return nil, err
	}
	st := info.Sys().(*syscall.Stat_t)
	id := inodeID{uint64(st.Dev), st.Ino}

	f.mu.Lock()
	defer f.mu.Unlock()
	shared := f.inodes[id]
	if shared == nil {
		shared = new(inode)
		f.inodes[id] = shared
	}
	shared.handles++
	return &file{fs: f, f: o, raw: raw, name: name, id: id, inode: shared, sync: syncFD}, nil
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.f.ReadAt(p, off)
	if err != nil && err != io.EOF {
		err = fsError("read", f.name, err)
	}
	return n, err
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.f.WriteAt(p, off)
	return n, fsError("write", f.name, err)
}

func (f *file) Truncate(size int64) error {
	return fsError("truncate", f.name, f.f.Truncate(size))
}

func (f *file) Allocate(off, n int64) error {
	err := f.control(func(fd int) error { return unix.Fallocate(fd, 0, off, n) })
	if errors.Is(err, syscall.EOPNOTSUPP) {
		err = fmt.Errorf("the file system cannot reserve space (%w): keep the data on ext4, xfs, btrfs or tmpfs", err)
	}
	return fsError("allocate", f.name, err)
}

// Sync never again succeeds on a file that failed once while it is open: the
// bytes that were lost would look durable.
func (f *file) Sync(mode env.SyncMode) error {
	if cause := f.inode.failed.Load(); cause != nil {
		return fmt.Errorf("an earlier sync failed: %w", *cause)
	}
	c := syncCalls.Get().(*syncCall)
	err := c.do(f, mode)
	syncCalls.Put(c)
	if err == nil {
		return nil
	}
	failed := fsError("sync", f.name, err)
	if !errors.Is(err, os.ErrClosed) {
		f.inode.failed.CompareAndSwap(nil, &failed)
	}
	return failed
}

func syncFD(fd int, mode env.SyncMode) error {
	if mode == env.SyncFull {
		return unix.Fsync(fd)
	}
	return unix.Fdatasync(fd)
}

// control runs a system call on the descriptor, again if a signal cut it short.
func (f *file) control(call func(fd int) error) error {
	var err error
	cerr := f.raw.Control(func(fd uintptr) {
		err = ignoringEINTR(func() error { return call(int(fd)) })
	})
	if cerr != nil {
		return os.ErrClosed // Control fails for no other reason
	}
	return err
}

func (f *file) Size() (int64, error) {
	info, err := f.f.Stat()
	if err != nil {
		return 0, fsError("stat", f.name, err)
	}
	return info.Size(), nil
}

func (f *file) Close() error {
	if err := f.f.Close(); err != nil {
		return fsError("close", f.name, err)
	}
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.inode.handles--; f.inode.handles == 0 {
		delete(f.fs.inodes, f.id)
	}
	return nil
}
