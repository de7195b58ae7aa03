package names

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"xenon/compute/overlay"
	"xenon/compute/vfs"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
)

// MaxName is the longest file name, as on most of Linux's file systems.
const MaxName = 255

// A Tree is a tree of names over the files of a scratch directory.
type Tree struct {
	env     env.Env
	scratch *overlay.Scratch
	root    *Node

	mu    sync.Mutex // leaf; guards names and attributes of all nodes
	next  vfs.NodeID
	nodes map[vfs.NodeID]*Node
}

// New makes an empty tree. Its root is known to be empty.
func New(e env.Env, s *overlay.Scratch) *Tree {
	t := &Tree{env: e, scratch: s, next: vfs.Root, nodes: map[vfs.NodeID]*Node{}}
	t.root = t.newNode(vfs.Directory, 0o700, t.now())
	t.root.Known, t.root.links = true, 2
	return t
}

// now is asked for before the lock is taken: nothing of Env is called under it.
func (t *Tree) now() time.Time { return t.env.Clock().Now() }

// newNode makes a node without a name. The caller holds the lock, or is New.
func (t *Tree) newNode(kind vfs.Kind, mode uint32, now time.Time) *Node {
	n := &Node{ID: t.next, Kind: kind, mode: mode & 0o7777}
	n.touch(now)
	if kind == vfs.Directory {
		n.children = map[string]*Node{}
	}
	t.next++
	t.nodes[n.ID] = n
	return n
}

// Node finds a node by its id.
func (t *Tree) Node(id vfs.NodeID) (*Node, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.node(id)
}

func (t *Tree) node(id vfs.NodeID) (*Node, error) {
	if n := t.nodes[id]; n != nil {
		return n, nil
	}
	return nil, vfs.ENOENT
}

// Dir finds a directory by its id.
func (t *Tree) Dir(id vfs.NodeID) (*Node, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.dir(id)
}

func (t *Tree) dir(id vfs.NodeID) (*Node, error) {
	n, err := t.node(id)
	if err == nil && n.Kind != vfs.Directory {
		err = vfs.ENOTDIR
	}
	return n, err
}

func (t *Tree) file(id vfs.NodeID) (*Node, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, err := t.node(id)
	if err == nil && n.Kind == vfs.Directory {
		err = vfs.EISDIR
	}
	if err == nil && n.Kind != vfs.Regular {
		err = vfs.EINVAL
	}
	return n, err
}

func checkName(name string) error {
	switch {
	case name == "" || name == "." || name == "..":
		return vfs.EINVAL
	case len(name) > MaxName:
		return vfs.ENAMETOOLONG
	}
	return nil
}

// Child tells what is known of a name: the node it has; or nil, and whether
// the name is known to be absent.
func (t *Tree) Child(dir *Node, name string) (n *Node, known bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, known = dir.children[name]
	return n, known || dir.Known
}

// Learn gives a name a file over blocks of base, unless something is known of
// the name already. It counts no lookup.
func (t *Tree) Learn(dir *Node, name string, base overlay.Base, blocks uint32) {
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, known := dir.children[name]; known {
		return
	}
	n := t.newNode(vfs.Regular, 0o600, now)
	n.File = overlay.NewFile(t.env, t.scratch, base, blocks)
	t.link(n, dir, name)
}

// Names lists what is known of a directory, name by name: a nil node means
// absent.
func (t *Tree) Names(dir *Node) map[string]*Node {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(dir.children)
}

// Name is the name that a node was given last and its directory; both are zero
// once it has none.
func (t *Tree) Name(n *Node) (dir *Node, name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return n.parent, n.name
}

// link gives n a name that is free.
func (t *Tree) link(n, dir *Node, name string) {
	core.Must(dir.children[name] == nil, "name %q given twice", name)
	dir.children[name] = n
	n.parent, n.name = dir, name
	n.links++
	if n.Kind == vfs.Directory {
		n.links = 2
		dir.links++
	}
}

// unlink takes a name away and returns the file to drop if that was the last
// that kept it.
func (t *Tree) unlink(dir *Node, name string) *overlay.File {
	n := dir.children[name]
	if dir.Known || faults.On && faults.Hit(faults.ReuseSeesBase) {
		delete(dir.children, name)
	} else {
		dir.children[name] = nil
	}
	if n.parent == dir && n.name == name {
		n.parent, n.name = nil, ""
	}
	if n.Kind == vfs.Directory {
		dir.links--
		n.links = 0
	} else {
		n.links--
	}
	return t.unused(n)
}

// unused forgets a node that nothing keeps, and returns its file.
func (t *Tree) unused(n *Node) *overlay.File {
	if n.links > 0 || n.lookups > 0 {
		return nil
	}
	delete(t.nodes, n.ID)
	return n.File
}

// drop gives a file's room back. That it could not be removed costs room on a
// disk that is emptied at the next start, so it is noted and no more.
func (t *Tree) drop(f *overlay.File) {
	if f == nil {
		return
	}
	if err := f.Drop(); err != nil {
		t.env.Log().Warn("overlay file not removed", "error", err)
	}
}

// Lookup finds a name that is known.
func (t *Tree) Lookup(_ context.Context, dir vfs.NodeID, name string) (vfs.Attr, error) {
	if len(name) > MaxName {
		return vfs.Attr{}, vfs.ENAMETOOLONG
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	d, err := t.dir(dir)
	if err != nil {
		return vfs.Attr{}, err
	}
	n := d.children[name]
	if n == nil {
		return vfs.Attr{}, vfs.ENOENT
	}
	n.lookups++
	return n.attr(), nil
}

// Forget gives back lookups.
func (t *Tree) Forget(id vfs.NodeID, count uint64) {
	t.mu.Lock()
	n := t.nodes[id]
	if n == nil || n == t.root {
		t.mu.Unlock()
		return
	}
	n.lookups -= min(count, n.lookups)
	f := t.unused(n)
	t.mu.Unlock()
	t.drop(f)
}

// Getattr is stat.
func (t *Tree) Getattr(_ context.Context, id vfs.NodeID) (vfs.Attr, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, err := t.node(id)
	if err != nil {
		return vfs.Attr{}, err
	}
	return n.attr(), nil
}

// Setattr changes size, mode and time.
func (t *Tree) Setattr(ctx context.Context, id vfs.NodeID, c vfs.Change) (vfs.Attr, error) {
	if c.Size != nil {
		if err := t.truncate(ctx, id, *c.Size); err != nil {
			return vfs.Attr{}, err
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	n, err := t.node(id)
	if err != nil {
		return vfs.Attr{}, err
	}
	if c.Mode != nil {
		n.mode = *c.Mode & 0o7777
	}
	if c.Mtime != nil {
		n.touch(*c.Mtime)
	}
	return n.attr(), nil
}

func (t *Tree) truncate(ctx context.Context, id vfs.NodeID, size int64) error {
	n, err := t.file(id)
	if err != nil {
		return err
	}
	n.touch(t.now())
	return n.File.Truncate(ctx, size)
}

// Create makes a file, or finds the one there is unless flags say Excl.
func (t *Tree) Create(ctx context.Context, dir vfs.NodeID, name string, flags vfs.OpenFlag, mode uint32) (vfs.Attr, error) {
	at, made, err := t.create(dir, name, flags, mode)
	if err != nil || made || flags&vfs.Trunc == 0 || at.Size == 0 {
		return at, err
	}
	var zero int64
	tat, err := t.Setattr(ctx, at.Node, vfs.Change{Size: &zero})
	if err != nil {
		t.Forget(at.Node, 1)
	}
	return tat, err
}

func (t *Tree) create(dir vfs.NodeID, name string, flags vfs.OpenFlag, mode uint32) (at vfs.Attr, made bool, err error) {
	if err := checkName(name); err != nil {
		return at, false, err
	}
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	d, err := t.dir(dir)
	if err != nil {
		return at, false, err
	}
	n := d.children[name]
	switch {
	case n == nil:
		n = t.newNode(vfs.Regular, mode, now)
		n.File = overlay.NewFile(t.env, t.scratch, nil, 0)
		t.link(n, d, name)
		made = true
	case flags&vfs.Excl != 0:
		return at, false, vfs.EEXIST
	case n.Kind != vfs.Regular:
		return at, false, vfs.EISDIR
	}
	n.lookups++
	return n.attr(), made, nil
}

// Mkdir makes an empty directory.
func (t *Tree) Mkdir(_ context.Context, dir vfs.NodeID, name string, mode uint32) (vfs.Attr, error) {
	if err := checkName(name); err != nil {
		return vfs.Attr{}, err
	}
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	d, err := t.dir(dir)
	if err != nil {
		return vfs.Attr{}, err
	}
	if d.children[name] != nil {
		return vfs.Attr{}, vfs.EEXIST
	}
	n := t.newNode(vfs.Directory, mode, now)
	n.Known = true
	t.link(n, d, name)
	n.lookups++
	return n.attr(), nil
}

// Link gives a file one more name.
func (t *Tree) Link(_ context.Context, id, dir vfs.NodeID, name string) (vfs.Attr, error) {
	if err := checkName(name); err != nil {
		return vfs.Attr{}, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	d, err := t.dir(dir)
	if err != nil {
		return vfs.Attr{}, err
	}
	n, err := t.node(id)
	switch {
	case err != nil:
		return vfs.Attr{}, err
	case n.Kind == vfs.Directory:
		return vfs.Attr{}, vfs.EPERM
	case d.children[name] != nil:
		return vfs.Attr{}, vfs.EEXIST
	}
	t.link(n, d, name)
	n.lookups++
	return n.attr(), nil
}

// Symlink is refused: the one symbolic link that a server makes is a
// tablespace, whose files would lie outside the tree.
func (t *Tree) Symlink(context.Context, vfs.NodeID, string, string) (vfs.Attr, error) {
	return vfs.Attr{}, vfs.EPERM
}

// AddSymlink puts a link into a directory when the tree is built.
func (t *Tree) AddSymlink(dir *Node, name, target string) {
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.newNode(vfs.Symlink, 0o777, now)
	n.Target = target
	t.link(n, dir, name)
}

// Readlink is where a symbolic link leads.
func (t *Tree) Readlink(_ context.Context, id vfs.NodeID) (string, error) {
	n, err := t.Node(id)
	if err != nil {
		return "", err
	}
	if n.Kind != vfs.Symlink {
		return "", vfs.EINVAL
	}
	return n.Target, nil
}

// Unlink takes a file's name away.
func (t *Tree) Unlink(_ context.Context, dir vfs.NodeID, name string) error {
	f, err := t.remove(dir, name, false)
	t.drop(f)
	return err
}

// Rmdir removes an empty directory.
func (t *Tree) Rmdir(_ context.Context, dir vfs.NodeID, name string) error {
	_, err := t.remove(dir, name, true)
	return err
}

func (t *Tree) remove(dir vfs.NodeID, name string, isDir bool) (*overlay.File, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	d, err := t.dir(dir)
	if err != nil {
		return nil, err
	}
	n := d.children[name]
	switch {
	case n == nil:
		return nil, vfs.ENOENT
	case isDir && n.Kind != vfs.Directory:
		return nil, vfs.ENOTDIR
	case !isDir && n.Kind == vfs.Directory:
		return nil, vfs.EISDIR
	case isDir && n.present() > 0:
		return nil, vfs.ENOTEMPTY
	}
	return t.unlink(d, name), nil
}

// Rename moves a name over another.
func (t *Tree) Rename(_ context.Context, oldDir vfs.NodeID, oldName string, newDir vfs.NodeID, newName string) error {
	f, err := t.rename(oldDir, oldName, newDir, newName)
	t.drop(f)
	return err
}

func (t *Tree) rename(oldDir vfs.NodeID, oldName string, newDir vfs.NodeID, newName string) (*overlay.File, error) {
	if err := checkName(newName); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	od, err := t.dir(oldDir)
	if err != nil {
		return nil, err
	}
	nd, err := t.dir(newDir)
	if err != nil {
		return nil, err
	}
	n, over := od.children[oldName], nd.children[newName]
	if n == nil {
		return nil, vfs.ENOENT
	}
	if n == over {
		return nil, nil
	}
	if err := t.mayMove(n, over, nd); err != nil {
		return nil, err
	}
	var freed *overlay.File
	if over != nil {
		freed = t.unlink(nd, newName)
	}
	n.lookups++ // so that taking the old name away does not end the node
	t.unlink(od, oldName)
	t.link(n, nd, newName)
	n.lookups--
	return freed, nil
}

func (t *Tree) mayMove(n, over, newDir *Node) error {
	for d := newDir; d != nil; d = d.parent {
		if d == n {
			return vfs.EINVAL // a directory into itself
		}
	}
	switch {
	case over == nil:
	case n.Kind == vfs.Directory && over.Kind != vfs.Directory:
		return vfs.ENOTDIR
	case n.Kind != vfs.Directory && over.Kind == vfs.Directory:
		return vfs.EISDIR
	case over.Kind == vfs.Directory && over.present() > 0:
		return vfs.ENOTEMPTY
	}
	return nil
}

// Readdir lists the names that are known, sorted.
func (t *Tree) Readdir(_ context.Context, id vfs.NodeID) ([]vfs.DirEntry, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	d, err := t.dir(id)
	if err != nil {
		return nil, err
	}
	list := make([]vfs.DirEntry, 0, len(d.children))
	for _, name := range slices.Sorted(maps.Keys(d.children)) {
		if n := d.children[name]; n != nil {
			list = append(list, vfs.DirEntry{Name: name, Kind: n.Kind, Node: n.ID})
		}
	}
	return list, nil
}
