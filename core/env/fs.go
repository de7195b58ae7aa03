package env

import (
	"io/fs"
)

// An FS is the disk of one process: a tree of directories below its root.
// Names are slash-separated paths relative to that root, "." being the root.
//
// What survives a crash: a file's bytes up to its last Sync that returned nil,
// and a name (made by Open with Create, Rename, Remove, Mkdir) once SyncDir of
// its directory returned nil. Everything later may be there, gone or torn at
// any sector. A failed Sync loses the unsynced bytes: a later Sync that
// returns nil says nothing of them.
type FS interface {
	// Open opens a file; without Create a missing one is fs.ErrNotExist, with
	// Create|Excl an existing one fs.ErrExist.
	Open(name string, flag OpenFlag) (File, error)
	// Rename replaces newName atomically.
	Rename(oldName, newName string) error
	// Remove removes a file or an empty directory.
	Remove(name string) error
	// Mkdir makes one directory; an existing one is fs.ErrExist.
	Mkdir(name string) error
	// ReadDir lists a directory, sorted by name.
	ReadDir(name string) ([]DirEntry, error)
	Stat(name string) (FileInfo, error)
	// SyncDir makes the names in a directory durable.
	SyncDir(name string) error
	// Free is how many bytes can still be written.
	Free() (uint64, error)
	// Lock keeps other processes from locking the same directory until the
	// process ends or the returned function is called. A held one is
	// [ErrLocked].
	Lock(dir string) (unlock func(), err error)
}

// An OpenFlag says how to open a file.
type OpenFlag uint8

// The flags; without Write a file is read-only.
const (
	Write OpenFlag = 1 << iota
	Create
	Excl
	Trunc
)

// A SyncMode says what a Sync makes durable.
type SyncMode uint8

const (
	// SyncData makes bytes and the size needed to read them durable.
	SyncData SyncMode = iota
	// SyncFull makes all of the file's metadata durable too.
	SyncFull
)

// A File is open for reading, or for both. Its methods may be called
// concurrently. Errors satisfy errors.Is with [ErrNoSpace], [ErrIO] and the
// fs errors.
type File interface {
	// ReadAt returns io.EOF at the end, as io.ReaderAt does.
	ReadAt(p []byte, off int64) (int, error)
	// WriteAt writes all of p or returns an error; after an error any prefix
	// may have been written.
	WriteAt(p []byte, off int64) (int, error)
	Truncate(size int64) error
	// Allocate reserves space, so that later writes to [off, off+n) do not
	// run out of it, and extends the file with zeros if it is shorter.
	Allocate(off, n int64) error
	Sync(mode SyncMode) error
	Size() (int64, error)
	Close() error
}

// A DirEntry is one name in a directory.
type DirEntry struct {
	Name string
	Dir  bool
}

// A FileInfo tells what Stat found.
type FileInfo struct {
	Size int64
	Dir  bool
	Mode fs.FileMode
}
