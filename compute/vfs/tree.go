// Package vfs is what a mount and a file tree agree on: the requests a server
// makes of the two directories it runs on, with POSIX error numbers.
//
// The trees (packages filetree and waldir) implement [Tree] without knowing
// who asks. In production a kernel asks, through FUSE; in the simulator a
// stand-in for the server asks through [Client]. Start at [Tree].
package vfs

import (
	"context"
	"time"
)

// A NodeID names a file or directory of a tree for as long as it is looked up
// or has a name. Ids are never used again.
type NodeID uint64

// Root is the directory a tree begins at.
const Root NodeID = 1

// A Tree is one mounted directory. It is as wide as the kernel's own
// interface to a file system, since it stands exactly there.
//
// Its methods may be called concurrently and from foreign goroutines. They
// block only where they say so; ctx ends with the mount, never with one
// request, since a server that reads EINTR from a flush panics. Errors are
// [Errno] values or wrap one (see [ErrnoOf]).
//
// Every Attr returned by Lookup, Create, Mkdir and Link counts as one lookup,
// which Forget gives back; a file that lost its last name is kept until then.
type Tree interface {
	// Lookup may wait for the pageserver.
	Lookup(ctx context.Context, dir NodeID, name string) (Attr, error)
	// Forget gives back n lookups.
	Forget(id NodeID, n uint64)
	Getattr(ctx context.Context, id NodeID) (Attr, error)
	Setattr(ctx context.Context, id NodeID, c Change) (Attr, error)

	Create(ctx context.Context, dir NodeID, name string, flags OpenFlag, mode uint32) (Attr, error)
	Mkdir(ctx context.Context, dir NodeID, name string, mode uint32) (Attr, error)
	Link(ctx context.Context, id, dir NodeID, name string) (Attr, error)
	Symlink(ctx context.Context, dir NodeID, name, target string) (Attr, error)
	Readlink(ctx context.Context, id NodeID) (string, error)
	Unlink(ctx context.Context, dir NodeID, name string) error
	Rmdir(ctx context.Context, dir NodeID, name string) error
	// Rename replaces what newName names, atomically.
	Rename(ctx context.Context, oldDir NodeID, oldName string, newDir NodeID, newName string) error
	// Readdir lists a whole directory, sorted by name, without . and ..; it
	// may wait for the pageserver.
	Readdir(ctx context.Context, id NodeID) ([]DirEntry, error)

	// Open truncates the file if flags say so, and tells how the mount has to
	// treat it.
	Open(ctx context.Context, id NodeID, flags OpenFlag) (OpenMode, error)
	// Flush is asked once for each close of a descriptor of a file whose Open
	// said FlushOnClose.
	Flush(ctx context.Context, id NodeID) error
	// Read fills p from off and returns fewer bytes only at the end of the
	// file, without an error. It may wait for the pageserver.
	Read(ctx context.Context, id NodeID, p []byte, off int64) (int, error)
	// Write stores all of p, or fails. With sync (the descriptor has O_DSYNC
	// or O_SYNC) it returns when Sync would.
	Write(ctx context.Context, id NodeID, p []byte, off int64, sync bool) error
	// Allocate makes [off, off+n) writable without running out of space, and
	// extends the file to its end.
	Allocate(ctx context.Context, id NodeID, off, n int64) error
	// Sync returns when what the tree promises of a synced file holds: on the
	// WAL's tree, that a quorum has flushed the WAL written so far.
	Sync(ctx context.Context, id NodeID, dataOnly bool) error

	Statfs(ctx context.Context) (Stat, error)
}

// A Kind is what a node is.
type Kind uint8

// The kinds of node a server's directories hold.
const (
	Regular Kind = iota
	Directory
	Symlink
)

// An Attr is what stat tells of a node.
type Attr struct {
	Node  NodeID
	Kind  Kind
	Mode  uint32 // permission bits only
	Links uint32
	Size  int64 // bytes
	Mtime time.Time
}

// A Change is what Setattr is asked for; a nil field is left alone.
type Change struct {
	Size  *int64 // truncate or extend with zeros
	Mode  *uint32
	Mtime *time.Time
}

// An OpenFlag says how a file is opened or created.
type OpenFlag uint8

// The flags a tree needs to know of; access modes are the mount's affair.
const (
	Excl OpenFlag = 1 << iota
	Trunc
)

// An OpenMode tells the mount how to treat an open file.
type OpenMode struct {
	// FlushOnClose asks for Flush at each close. It costs a request, so only
	// the few files that are kept beyond this server ask for it.
	FlushOnClose bool
}

// A DirEntry is one name of a directory. Node may be 0 where the tree has not
// met the file yet.
type DirEntry struct {
	Name string
	Kind Kind
	Node NodeID
}

// A Stat tells how much room there is, in bytes.
type Stat struct{ Total, Free uint64 }
