// Package names keeps the names and attributes of a tree of files, whose bytes
// are overlay files. It knows nothing of where a tree comes from.
//
// [Tree] is a whole [vfs.Tree] over an empty directory. The server's two
// directories embed it and change what differs: where files come from that
// nobody touched yet, and what a flush means.
package names

import (
	"sync/atomic"
	"time"

	"xenon/compute/overlay"
	"xenon/compute/vfs"
)

// A Node is one file, directory or symbolic link. What it is never changes;
// the unexported fields are guarded by the tree's lock.
type Node struct {
	ID     vfs.NodeID
	Kind   vfs.Kind
	File   *overlay.File // of a regular file
	Target string        // of a symbolic link

	// Known tells, of a directory, that it holds the names it is known to
	// hold and no others. A directory that came from elsewhere is not known:
	// names that were removed from it must be remembered.
	Known bool

	mtime   atomic.Int64 // Unix nanoseconds
	mode    uint32
	links   uint32
	lookups uint64
	parent  *Node  // of the name given last
	name    string // given last; "" once it has none

	// children has a nil node for a name that is known to be absent.
	children map[string]*Node
}

func (n *Node) touch(now time.Time) { n.mtime.Store(now.UnixNano()) }

// attr is what stat tells. The caller holds the tree's lock.
func (n *Node) attr() vfs.Attr {
	a := vfs.Attr{Node: n.ID, Kind: n.Kind, Mode: n.mode, Links: n.links, Mtime: time.Unix(0, n.mtime.Load())}
	switch n.Kind {
	case vfs.Regular:
		a.Size = n.File.Size()
	case vfs.Symlink:
		a.Size = int64(len(n.Target))
	}
	return a
}

// present counts the names in a directory.
func (n *Node) present() (count int) {
	for _, c := range n.children {
		if c != nil {
			count++
		}
	}
	return count
}
