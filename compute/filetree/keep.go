package filetree

import (
	"context"
	"fmt"
	"slices"

	"xenon/compute/names"
	"xenon/compute/vfs"
	"xenon/core/faults"
)

// maxKept bounds the files that are kept: they are settings, and each is the
// payload of a register.
const maxKept = 1_000_000

// keptName tells which kept file a name is.
func (t *Tree) keptName(dir *names.Node, name string) bool {
	return t.keep != nil && dir == t.Root() && slices.Contains(KeptFiles, name)
}

func (t *Tree) keepRenamed(ctx context.Context, oldDir vfs.NodeID, oldName string, newDir vfs.NodeID, newName string) error {
	nd, err := t.Dir(newDir)
	if err != nil {
		return err
	}
	if !t.keptName(nd, newName) || faults.On && faults.Hit(faults.RenameNotKept) {
		return nil
	}
	od, err := t.Dir(oldDir)
	if err != nil {
		return err
	}
	n, _ := t.Child(od, oldName)
	if n == nil || n.Kind != vfs.Regular {
		return nil // Rename itself says what is wrong
	}
	return t.keepFile(ctx, n, newName)
}

func (t *Tree) keepFile(ctx context.Context, n *names.Node, name string) error {
	size := n.File.Size()
	if size > maxKept {
		return fmt.Errorf("%s has %d bytes, more than the %d that are kept: %w", name, size, maxKept, vfs.EFBIG)
	}
	b := make([]byte, size)
	got, err := n.File.ReadAt(ctx, b, 0)
	if err != nil {
		return err
	}
	b = b[:got]
	t.mu.Lock()
	old, had := t.kept[name]
	t.mu.Unlock()
	if had && old == string(b) {
		return nil
	}
	if err := t.keep(ctx, name, b); err != nil {
		// It may be stored or not: the next one is, whatever it says.
		t.mu.Lock()
		delete(t.kept, name)
		t.mu.Unlock()
		return fmt.Errorf("keep %s for the branch: %w", name, err)
	}
	t.mu.Lock()
	t.kept[name] = string(b)
	t.mu.Unlock()
	return nil
}

// Open asks for a Flush at each close of a kept file: somebody may edit it in
// place.
func (t *Tree) Open(ctx context.Context, id vfs.NodeID, flags vfs.OpenFlag) (vfs.OpenMode, error) {
	mode, err := t.Tree.Open(ctx, id, flags)
	if err != nil {
		return mode, err
	}
	n, err := t.Node(id)
	if err != nil {
		return mode, err
	}
	dir, name := t.Name(n)
	mode.FlushOnClose = t.keptName(dir, name)
	return mode, nil
}

// Flush stores a kept file that was changed in place.
func (t *Tree) Flush(ctx context.Context, id vfs.NodeID) error {
	n, err := t.Node(id)
	if err != nil {
		return err
	}
	dir, name := t.Name(n)
	if n.Kind != vfs.Regular || !t.keptName(dir, name) {
		return nil
	}
	return t.keepFile(ctx, n, name)
}
