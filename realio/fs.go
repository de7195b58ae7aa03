package realio

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"xenon/core/env"
)

// Permissions of what is made: a database's files are nobody else's.
const (
	filePerm = 0o600
	dirPerm  = 0o700
)

// dirFS is the tree below one directory. os.Root keeps every name below it,
// symbolic links included.
type dirFS struct {
	root *os.Root
	err  error // why there is no root

	mu     sync.Mutex
	inodes map[inodeID]*inode    // files that are open
	locks  map[*os.File]struct{} // directories held by Lock
}

var _ env.FS = (*dirFS)(nil)

func openDirFS(dir string) *dirFS {
	f := &dirFS{inodes: make(map[inodeID]*inode), locks: make(map[*os.File]struct{})}
	if dir == "" {
		f.err = errors.New("no directory was given to this process")
		return f
	}
	f.root, f.err = os.OpenRoot(dir)
	return f
}

// check refuses names that are not paths below the root in their one form.
func (f *dirFS) check(op string, names ...string) error {
	if f.err != nil {
		return fmt.Errorf("%s %s: %w", op, names[0], f.err)
	}
	for _, name := range names {
		if !fs.ValidPath(name) {
			return fmt.Errorf("%s %q: %w: not a path below the root", op, name, fs.ErrInvalid)
		}
	}
	return nil
}

func (f *dirFS) Open(name string, flag env.OpenFlag) (env.File, error) {
	if err := f.check("open", name); err != nil {
		return nil, err
	}
	file, err := f.root.OpenFile(name, osFlag(flag), filePerm)
	if err != nil {
		return nil, fsError("open", name, err)
	}
	opened, err := f.newFile(file, name)
	if err != nil {
		file.Close()
		return nil, fsError("open", name, err)
	}
	return opened, nil
}

func osFlag(flag env.OpenFlag) int {
	n := os.O_RDONLY
	if flag&env.Write != 0 {
		n = os.O_RDWR
	}
	if flag&env.Create != 0 {
		n |= os.O_CREATE
	}
	if flag&env.Excl != 0 {
		n |= os.O_EXCL
	}
	if flag&env.Trunc != 0 {
		n |= os.O_TRUNC
	}
	return n
}

func (f *dirFS) Rename(oldName, newName string) error {
	if err := f.check("rename", oldName, newName); err != nil {
		return err
	}
	return fsError("rename", oldName+" to "+newName, f.root.Rename(oldName, newName))
}

func (f *dirFS) Remove(name string) error {
	if err := f.check("remove", name); err != nil {
		return err
	}
	return fsError("remove", name, f.root.Remove(name))
}

func (f *dirFS) Mkdir(name string) error {
	if err := f.check("mkdir", name); err != nil {
		return err
	}
	return fsError("mkdir", name, f.root.Mkdir(name, dirPerm))
}

func (f *dirFS) ReadDir(name string) ([]env.DirEntry, error) {
	if err := f.check("read directory", name); err != nil {
		return nil, err
	}
	found, err := fs.ReadDir(f.root.FS(), name) // sorted
	if err != nil {
		return nil, fsError("read directory", name, err)
	}
	entries := make([]env.DirEntry, len(found))
	for i, e := range found {
		entries[i] = env.DirEntry{Name: e.Name(), Dir: e.IsDir()}
	}
	return entries, nil
}

func (f *dirFS) Stat(name string) (env.FileInfo, error) {
	if err := f.check("stat", name); err != nil {
		return env.FileInfo{}, err
	}
	info, err := f.root.Stat(name)
	if err != nil {
		return env.FileInfo{}, fsError("stat", name, err)
	}
	size := info.Size()
	if info.IsDir() {
		size = 0 // what a directory's own size means differs by file system
	}
	return env.FileInfo{Size: size, Dir: info.IsDir(), Mode: info.Mode()}, nil
}

func (f *dirFS) SyncDir(name string) error {
	if err := f.check("sync directory", name); err != nil {
		return err
	}
	dir, err := f.root.Open(name)
	if err != nil {
		return fsError("sync directory", name, err)
	}
	defer dir.Close()
	return fsError("sync directory", name, dir.Sync())
}

func (f *dirFS) Free() (uint64, error) {
	if err := f.check("free space", "."); err != nil {
		return 0, err
	}
	var st unix.Statfs_t
	if err := ignoringEINTR(func() error { return unix.Statfs(f.root.Name(), &st) }); err != nil {
		return 0, fsError("free space", ".", err)
	}
	// Bavail leaves out what is reserved for root, who may not always be us.
	return st.Bavail * uint64(st.Bsize), nil
}

// Lock takes flock on the directory itself: the kernel lets go of it when the
// process dies, however it dies, and no lock file is left behind.
func (f *dirFS) Lock(name string) (func(), error) {
	if err := f.check("lock", name); err != nil {
		return nil, err
	}
	dir, err := f.root.Open(name)
	if err != nil {
		return nil, fsError("lock", name, err)
	}
	err = ignoringEINTR(func() error { return unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB) })
	if err != nil {
		dir.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = env.ErrLocked
		}
		return nil, fsError("lock", name, err)
	}
	f.mu.Lock()
	f.locks[dir] = struct{}{}
	f.mu.Unlock()
	return func() { f.unlock(dir) }, nil
}

func (f *dirFS) unlock(dir *os.File) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, held := f.locks[dir]; held {
		delete(f.locks, dir)
		dir.Close()
	}
}

// close lets go of all locks and of the root.
func (f *dirFS) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for dir := range f.locks {
		dir.Close()
	}
	clear(f.locks)
	if f.root == nil {
		return nil
	}
	return f.root.Close()
}

// ignoringEINTR repeats a system call that a signal cut short.
func ignoringEINTR(call func() error) error {
	for {
		if err := call(); err != syscall.EINTR {
			return err
		}
	}
}
