package names

import (
	"context"

	"xenon/compute/overlay"
	"xenon/compute/vfs"
)

// Open truncates the file if flags say so.
func (t *Tree) Open(ctx context.Context, id vfs.NodeID, flags vfs.OpenFlag) (vfs.OpenMode, error) {
	if _, err := t.file(id); err != nil {
		return vfs.OpenMode{}, err
	}
	if flags&vfs.Trunc != 0 {
		return vfs.OpenMode{}, t.truncate(ctx, id, 0)
	}
	return vfs.OpenMode{}, nil
}

// Flush has nothing to do.
func (t *Tree) Flush(context.Context, vfs.NodeID) error { return nil }

// Read reads the file's bytes.
func (t *Tree) Read(ctx context.Context, id vfs.NodeID, p []byte, off int64) (int, error) {
	n, err := t.file(id)
	if err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, vfs.EINVAL
	}
	return n.File.ReadAt(ctx, p, off)
}

// Write writes the file's bytes.
func (t *Tree) Write(ctx context.Context, id vfs.NodeID, p []byte, off int64, _ bool) error {
	n, err := t.file(id)
	if err != nil {
		return err
	}
	n.touch(t.now())
	return n.File.WriteAt(ctx, p, off)
}

// Allocate makes room in the file.
func (t *Tree) Allocate(_ context.Context, id vfs.NodeID, off, n int64) error {
	node, err := t.file(id)
	if err != nil {
		return err
	}
	node.touch(t.now())
	return node.File.Allocate(off, n)
}

// Sync has nothing to do: the files do not outlive the server.
func (t *Tree) Sync(context.Context, vfs.NodeID, bool) error { return nil }

// Statfs tells the room on the disk below.
func (t *Tree) Statfs(context.Context) (vfs.Stat, error) {
	free, err := t.scratch.Free()
	return vfs.Stat{Total: free, Free: free}, err
}

// Root is the tree's root.
func (t *Tree) Root() *Node { return t.root }

// MakeDir puts a directory into another when the tree is built; known says
// whether its names are all known. A directory that is there already stays.
func (t *Tree) MakeDir(dir *Node, name string, known bool) *Node {
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := dir.children[name]; n != nil {
		return n
	}
	n := t.newNode(vfs.Directory, 0o700, now)
	n.Known = known
	t.link(n, dir, name)
	return n
}

// MakeFile puts a file with the given bytes into a directory when the tree is
// built, replacing what is there.
func (t *Tree) MakeFile(ctx context.Context, dir *Node, name string, content []byte) error {
	f := overlay.NewFile(t.env, t.scratch, nil, 0)
	if err := f.WriteAt(ctx, content, 0); err != nil {
		return err
	}
	now := t.now()
	t.mu.Lock()
	var old *overlay.File
	if dir.children[name] != nil {
		old = t.unlink(dir, name)
	}
	n := t.newNode(vfs.Regular, 0o600, now)
	n.File = f
	t.link(n, dir, name)
	t.mu.Unlock()
	t.drop(old)
	return nil
}

var _ vfs.Tree = (*Tree)(nil)
