package vfs

import (
	"context"
	"strings"
)

// A Client walks a tree by paths as a kernel does for a process: it looks
// names up one by one, holds a lookup for each open file and gives all of
// them back. It is how anything but a kernel uses a [Tree].
type Client struct{ Tree Tree }

// A File is a file held open by a Client.
type File struct {
	tree  Tree
	id    NodeID
	sync  bool // O_DSYNC
	flush bool
}

// OpenHow says how OpenFile opens: the O_ flags a server uses.
type OpenHow struct {
	Create, Excl, Trunc bool
	Sync                bool // O_DSYNC: a write returns when Sync would
	Mode                uint32
}

func (how OpenHow) flags() (f OpenFlag) {
	if how.Excl {
		f |= Excl
	}
	if how.Trunc {
		f |= Trunc
	}
	return f
}

// walk finds the node at path; the caller forgets it once. Symbolic links are
// not followed.
func (c Client) walk(ctx context.Context, path string) (Attr, error) {
	at := Attr{Node: Root, Kind: Directory}
	for name := range strings.SplitSeq(path, "/") {
		if name == "" || name == "." {
			continue
		}
		next, err := c.Tree.Lookup(ctx, at.Node, name)
		c.forget(at.Node)
		if err != nil {
			return Attr{}, err
		}
		at = next
	}
	if at.Node == Root {
		return c.Tree.Getattr(ctx, Root)
	}
	return at, nil
}

// forget gives one lookup back; the root was never looked up.
func (c Client) forget(id NodeID) {
	if id != Root {
		c.Tree.Forget(id, 1)
	}
}

// in runs f with the directory that holds path.
func (c Client) in(ctx context.Context, path string, f func(dir NodeID, name string) error) error {
	dir, name := "", path
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		dir, name = path[:i], path[i+1:]
	}
	at, err := c.walk(ctx, dir)
	if err != nil {
		return err
	}
	defer c.forget(at.Node)
	if at.Kind != Directory {
		return ENOTDIR
	}
	return f(at.Node, name)
}

// OpenFile opens the file at path, creating it if how says so.
func (c Client) OpenFile(ctx context.Context, path string, how OpenHow) (*File, error) {
	var at Attr
	err := c.in(ctx, path, func(dir NodeID, name string) (err error) {
		at, err = c.openIn(ctx, dir, name, how)
		return err
	})
	if err != nil {
		return nil, err
	}
	if at.Kind != Regular {
		c.forget(at.Node)
		return nil, EISDIR
	}
	flags := how.flags()
	if how.Create && how.Excl {
		flags &^= Excl
	}
	mode, err := c.Tree.Open(ctx, at.Node, flags)
	if err != nil {
		c.forget(at.Node)
		return nil, err
	}
	return &File{tree: c.Tree, id: at.Node, sync: how.Sync, flush: mode.FlushOnClose}, nil
}

func (c Client) openIn(ctx context.Context, dir NodeID, name string, how OpenHow) (Attr, error) {
	at, err := c.Tree.Lookup(ctx, dir, name)
	switch {
	case err == nil && how.Create && how.Excl:
		c.forget(at.Node)
		return Attr{}, EEXIST
	case err != nil && how.Create && ErrnoOf(err) == ENOENT:
		return c.Tree.Create(ctx, dir, name, how.flags(), how.Mode)
	}
	return at, err
}

// ReadFile reads the whole file at path.
func (c Client) ReadFile(ctx context.Context, path string) ([]byte, error) {
	f, err := c.OpenFile(ctx, path, OpenHow{})
	if err != nil {
		return nil, err
	}
	defer f.Close(ctx)
	at, err := c.Tree.Getattr(ctx, f.id)
	if err != nil {
		return nil, err
	}
	b := make([]byte, at.Size)
	n, err := f.ReadAt(ctx, b, 0)
	return b[:n], err
}

// WriteFile makes path hold exactly b.
func (c Client) WriteFile(ctx context.Context, path string, b []byte) error {
	f, err := c.OpenFile(ctx, path, OpenHow{Create: true, Trunc: true, Mode: 0o600})
	if err != nil {
		return err
	}
	if err := f.WriteAt(ctx, b, 0); err != nil {
		f.Close(ctx)
		return err
	}
	return f.Close(ctx)
}

// Stat is what stat(2) tells of path.
func (c Client) Stat(ctx context.Context, path string) (Attr, error) {
	at, err := c.walk(ctx, path)
	if err == nil {
		c.forget(at.Node)
	}
	return at, err
}

// ReadDir lists the directory at path.
func (c Client) ReadDir(ctx context.Context, path string) ([]DirEntry, error) {
	at, err := c.walk(ctx, path)
	if err != nil {
		return nil, err
	}
	defer c.forget(at.Node)
	return c.Tree.Readdir(ctx, at.Node)
}

// Mkdir makes one directory.
func (c Client) Mkdir(ctx context.Context, path string, mode uint32) error {
	return c.in(ctx, path, func(dir NodeID, name string) error {
		at, err := c.Tree.Mkdir(ctx, dir, name, mode)
		if err == nil {
			c.forget(at.Node)
		}
		return err
	})
}

// Remove unlinks the file at path.
func (c Client) Remove(ctx context.Context, path string) error {
	return c.in(ctx, path, func(dir NodeID, name string) error { return c.Tree.Unlink(ctx, dir, name) })
}

// Rmdir removes the empty directory at path.
func (c Client) Rmdir(ctx context.Context, path string) error {
	return c.in(ctx, path, func(dir NodeID, name string) error { return c.Tree.Rmdir(ctx, dir, name) })
}

// Rename moves a file, replacing what is at newPath.
func (c Client) Rename(ctx context.Context, oldPath, newPath string) error {
	return c.in(ctx, oldPath, func(od NodeID, on string) error {
		return c.in(ctx, newPath, func(nd NodeID, nn string) error {
			return c.Tree.Rename(ctx, od, on, nd, nn)
		})
	})
}

// Truncate sets the size of the file at path.
func (c Client) Truncate(ctx context.Context, path string, size int64) error {
	at, err := c.walk(ctx, path)
	if err != nil {
		return err
	}
	defer c.forget(at.Node)
	_, err = c.Tree.Setattr(ctx, at.Node, Change{Size: &size})
	return err
}

// Node is the file's id, held until Close.
func (f *File) Node() NodeID { return f.id }

// ReadAt reads up to len(p) bytes; fewer mean the end of the file.
func (f *File) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	return f.tree.Read(ctx, f.id, p, off)
}

// WriteAt writes all of p.
func (f *File) WriteAt(ctx context.Context, p []byte, off int64) error {
	return f.tree.Write(ctx, f.id, p, off, f.sync)
}

// Sync is fdatasync.
func (f *File) Sync(ctx context.Context) error { return f.tree.Sync(ctx, f.id, true) }

// Truncate sets the file's size.
func (f *File) Truncate(ctx context.Context, size int64) error {
	_, err := f.tree.Setattr(ctx, f.id, Change{Size: &size})
	return err
}

// Size is the file's size in bytes.
func (f *File) Size(ctx context.Context) (int64, error) {
	at, err := f.tree.Getattr(ctx, f.id)
	return at.Size, err
}

// Close lets the file go.
func (f *File) Close(ctx context.Context) error {
	var err error
	if f.flush {
		err = f.tree.Flush(ctx, f.id)
	}
	f.tree.Forget(f.id, 1)
	return err
}
