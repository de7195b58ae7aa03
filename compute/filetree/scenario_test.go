package filetree_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"xenon/compute/filetree"
	"xenon/compute/overlay"
	"xenon/compute/vfs"
	"xenon/core"
	"xenon/core/pageserver/bootset"
)

// A scenario is what a server does to a data directory and must find then.
type scenario struct {
	name string
	run  func(ctx context.Context, tree vfs.Client, kept map[string]string) error
}

var scenarios = []scenario{
	{"blocks cut off do not come back", truncated},
	{"part of a page", partial},
	{"a relfilenode is used again", reused},
	{"a dropped relation is not listed", dropped},
	{"an unlogged relation begins as its init fork", unlogged},
	{"settings are kept when renamed into place", keptByRename},
	{"settings are kept when edited in place", keptInPlace},
	{"a copied database has all files", copied},
	{"no tablespaces", tablespaces},
	{"an open file outlives its name", unlinkedOpen},
	{"a second segment", segments},
}

func runScenario(t *testing.T, s scenario) error {
	kept := map[string]string{}
	src := newSource()
	big := rel(5, 20000, core.MainFork)
	d := bootset.Database{Spc: big.Spc, DB: big.DB}
	src.rels[d] = append(src.rels[d], bootset.Relation{Rel: big, Blocks: filetree.SegmentBlocks + 3})
	tree := newTree(t, src, func(_ context.Context, name string, b []byte) error {
		if name == "pg_hba.conf" && bytes.Contains(b, []byte("refuse")) {
			return errors.New("the store is down")
		}
		kept[name] = string(b)
		return nil
	})
	return s.run(t.Context(), tree, kept)
}

func TestScenarios(t *testing.T) {
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			if err := runScenario(t, s); err != nil {
				t.Error(err)
			}
		})
	}
}

// blocks reads whole pages of a file.
func blocks(ctx context.Context, tree vfs.Client, path string, first, n int) ([]byte, error) {
	f, err := tree.OpenFile(ctx, path, vfs.OpenHow{})
	if err != nil {
		return nil, err
	}
	defer f.Close(ctx)
	b := make([]byte, n*core.PageSize)
	got, err := f.ReadAt(ctx, b, int64(first)*core.PageSize)
	return b[:got], err
}

func expect(what string, got, want []byte) error {
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%s: %.40q, want %.40q", what, got, want)
	}
	return nil
}

func truncated(ctx context.Context, tree vfs.Client, _ map[string]string) error {
	const path = "base/5/16384"
	if err := errors.Join(tree.Truncate(ctx, path, 2*core.PageSize), tree.Truncate(ctx, path, 5*core.PageSize)); err != nil {
		return err
	}
	b, err := blocks(ctx, tree, path, 1, 9)
	if err != nil {
		return err
	}
	return expect("blocks 1 to 4", b, append(page(rel(5, 16384, 0), 1), make([]byte, 3*core.PageSize)...))
}

func partial(ctx context.Context, tree vfs.Client, _ map[string]string) error {
	const path = "base/5/16384"
	f, err := tree.OpenFile(ctx, path, vfs.OpenHow{})
	if err != nil {
		return err
	}
	defer f.Close(ctx)
	if err := f.WriteAt(ctx, []byte("new"), 3*core.PageSize+100); err != nil {
		return err
	}
	want := page(rel(5, 16384, 0), 3)
	copy(want[100:], "new")
	b, err := blocks(ctx, tree, path, 3, 1)
	return errors.Join(err, expect("block 3", b, want))
}

func reused(ctx context.Context, tree vfs.Client, _ map[string]string) error {
	const path = "base/5/16384"
	if err := tree.Remove(ctx, path); err != nil {
		return err
	}
	if _, err := tree.Stat(ctx, path); vfs.ErrnoOf(err) != vfs.ENOENT {
		return fmt.Errorf("after the drop: %v", err)
	}
	f, err := tree.OpenFile(ctx, path, vfs.OpenHow{Create: true, Excl: true, Mode: 0o600})
	if err != nil {
		return err
	}
	defer f.Close(ctx)
	if err := f.WriteAt(ctx, page(rel(9, 9, 0), 0), 2*core.PageSize); err != nil {
		return err
	}
	b, err := blocks(ctx, tree, path, 0, 9)
	return errors.Join(err, expect("the new file", b, append(make([]byte, 2*core.PageSize), page(rel(9, 9, 0), 0)...)))
}

func list(ctx context.Context, tree vfs.Client, dir string) (names []string, err error) {
	entries, err := tree.ReadDir(ctx, dir)
	for _, e := range entries {
		names = append(names, e.Name)
	}
	return names, err
}

func dropped(ctx context.Context, tree vfs.Client, _ map[string]string) error {
	if err := tree.Remove(ctx, "base/5/16384"); err != nil {
		return err
	}
	names, err := list(ctx, tree, "base/5")
	if slices.Contains(names, "16384") || !slices.Contains(names, "16385") {
		return fmt.Errorf("base/5 lists %q", names)
	}
	return err
}

func unlogged(ctx context.Context, tree vfs.Client, _ map[string]string) error {
	b, err := blocks(ctx, tree, "base/5/16386", 0, 9)
	if err != nil {
		return err
	}
	init := rel(5, 16386, core.InitFork)
	if err := expect("main fork", b, append(page(init, 0), page(init, 1)...)); err != nil {
		return err
	}
	if err := tree.WriteFile(ctx, "base/5/16386", []byte("changed")); err != nil {
		return err
	}
	b, err = blocks(ctx, tree, "base/5/16386_init", 0, 1)
	return errors.Join(err, expect("init fork", b, page(init, 0)))
}

func keptByRename(ctx context.Context, tree vfs.Client, kept map[string]string) error {
	if err := tree.WriteFile(ctx, "postgresql.auto.conf.tmp", []byte("work_mem = 1MB")); err != nil {
		return err
	}
	if len(kept) > 0 {
		return fmt.Errorf("kept %q too early", kept)
	}
	if err := tree.Rename(ctx, "postgresql.auto.conf.tmp", "postgresql.auto.conf"); err != nil {
		return err
	}
	return expect("kept", []byte(kept["postgresql.auto.conf"]), []byte("work_mem = 1MB"))
}

func keptInPlace(ctx context.Context, tree vfs.Client, kept map[string]string) error {
	if err := tree.WriteFile(ctx, "pg_hba.conf", []byte("host all all all scram-sha-256")); err != nil {
		return err
	}
	if err := expect("kept", []byte(kept["pg_hba.conf"]), []byte("host all all all scram-sha-256")); err != nil {
		return err
	}
	// What cannot be stored is not in place either.
	if err := tree.WriteFile(ctx, "new", []byte("refuse me")); err != nil {
		return err
	}
	if err := tree.Rename(ctx, "new", "pg_hba.conf"); vfs.ErrnoOf(err) != vfs.EIO {
		return fmt.Errorf("rename of what is not stored: %v", err)
	}
	b, err := tree.ReadFile(ctx, "pg_hba.conf")
	return errors.Join(err, expect("pg_hba.conf", b, []byte("host all all all scram-sha-256")))
}

// copied does what CREATE DATABASE STRATEGY file_copy does.
func copied(ctx context.Context, tree vfs.Client, _ map[string]string) error {
	if err := tree.Mkdir(ctx, "base/7", 0o700); err != nil {
		return err
	}
	names, err := list(ctx, tree, "base/6")
	if err != nil {
		return err
	}
	for _, name := range names {
		b, err := tree.ReadFile(ctx, "base/6/"+name)
		if err := errors.Join(err, tree.WriteFile(ctx, "base/7/"+name, b)); err != nil {
			return err
		}
	}
	made, err := list(ctx, tree, "base/7")
	if err != nil || !slices.Equal(made, names) || !slices.Equal(made, []string{"16384", "PG_VERSION"}) {
		return fmt.Errorf("base/7 lists %q, base/6 %q, %v", made, names, err)
	}
	b, err := blocks(ctx, tree, "base/7/16384", 2, 9)
	return errors.Join(err, expect("block 2", b, page(rel(6, 16384, 0), 2)))
}

func tablespaces(ctx context.Context, tree vfs.Client, _ map[string]string) error {
	dir, err := tree.Stat(ctx, "pg_tblspc")
	if err != nil {
		return err
	}
	_, err = tree.Tree.Symlink(ctx, dir.Node, "16390", "/srv/spc")
	if vfs.ErrnoOf(err) != vfs.EOPNOTSUPP {
		return fmt.Errorf("symlink: %v", err)
	}
	const made, old = "pg_tblspc/16390/PG_15_1/5", "pg_tblspc/16400/PG_15_1/5"
	for path := range strings.SplitSeq("pg_tblspc/16390,pg_tblspc/16390/PG_15_1,"+made, ",") {
		if err := tree.Mkdir(ctx, path, 0o700); err != nil {
			return fmt.Errorf("tablespace in place, %s: %v", path, err)
		}
	}
	if err := tree.WriteFile(ctx, made+"/20000", page(rel(1, 1, 0), 1)); err != nil {
		return err
	}
	// One that the timeline has, with a relation; another one is empty.
	names, err := list(ctx, tree, old)
	if err != nil || !slices.Equal(names, []string{"16384"}) {
		return fmt.Errorf("%s lists %q, %v", old, names, err)
	}
	if names, err = list(ctx, tree, "pg_tblspc/16401/PG_15_1"); err != nil || len(names) > 0 {
		return fmt.Errorf("an empty tablespace lists %q, %v", names, err)
	}
	b, err := blocks(ctx, tree, old+"/16384", 1, 1)
	if err := errors.Join(err, expect("block 1", b, page(core.Rel{Spc: 16400, DB: 5, Node: 16384}, 1))); err != nil {
		return err
	}
	if err := tree.Rmdir(ctx, old); vfs.ErrnoOf(err) != vfs.ENOTEMPTY {
		return fmt.Errorf("a database that has relations was removed: %v", err)
	}
	return errors.Join(tree.Remove(ctx, old+"/16384"), tree.Rmdir(ctx, old))
}

func unlinkedOpen(ctx context.Context, tree vfs.Client, _ map[string]string) error {
	f, err := tree.OpenFile(ctx, "base/5/16384", vfs.OpenHow{})
	if err != nil {
		return err
	}
	if err := errors.Join(tree.Remove(ctx, "base/5/16384"), f.WriteAt(ctx, page(rel(1, 1, 0), 1), 0)); err != nil {
		return err
	}
	b := make([]byte, 2*core.PageSize)
	if _, err := f.ReadAt(ctx, b, 0); err != nil {
		return err
	}
	if err := f.Close(ctx); err != nil {
		return err
	}
	if _, err := tree.Tree.Getattr(ctx, f.Node()); vfs.ErrnoOf(err) != vfs.ENOENT {
		return fmt.Errorf("after the last close: %v", err)
	}
	return expect("pages", b, append(page(rel(1, 1, 0), 1), page(rel(5, 16384, 0), 1)...))
}

func segments(ctx context.Context, tree vfs.Client, _ map[string]string) error {
	for path, want := range map[string]int64{"base/5/20000": filetree.SegmentBlocks, "base/5/20000.1": 3} {
		at, err := tree.Stat(ctx, path)
		if err != nil || at.Size != want*overlay.BlockSize {
			return fmt.Errorf("%s has %d bytes: %v", path, at.Size, err)
		}
	}
	if _, err := tree.Stat(ctx, "base/5/20000.2"); vfs.ErrnoOf(err) != vfs.ENOENT {
		return fmt.Errorf("third segment: %v", err)
	}
	names, err := list(ctx, tree, "base/5")
	if !slices.Contains(names, "20000.1") || slices.Contains(names, "20000.2") {
		return fmt.Errorf("base/5 lists %q: %v", names, err)
	}
	b, err := blocks(ctx, tree, "base/5/20000.1", 1, 1)
	return errors.Join(err, expect("block 1 of segment 1", b, page(rel(5, 20000, 0), filetree.SegmentBlocks+1)))
}

// TestSourceErrorsAreEIO: the pageserver's errors reach the server as EIO, and
// nothing of them is remembered.
func TestSourceErrorsAreEIO(t *testing.T) {
	src := newSource()
	tree := newTree(t, src, nil)
	src.err = errors.New("no answer")
	if _, err := tree.Stat(t.Context(), "base/5/16384"); vfs.ErrnoOf(err) != vfs.EIO {
		t.Errorf("lookup: %v", err)
	}
	if _, err := tree.ReadDir(t.Context(), "base/5"); vfs.ErrnoOf(err) != vfs.EIO {
		t.Errorf("list: %v", err)
	}
	if _, err := tree.ReadFile(t.Context(), "pg_xact/0000"); vfs.ErrnoOf(err) != vfs.EIO {
		t.Errorf("SLRU: %v", err)
	}
	src.err = nil
	if _, err := blocks(t.Context(), tree, "base/5/16384", 0, 7); err != nil {
		t.Error(err)
	}
	if _, err := tree.ReadFile(t.Context(), "pg_xact/0000"); err != nil {
		t.Error(err)
	}
}

func TestWrittenPagesAreNotFetched(t *testing.T) {
	src := newSource()
	tree := newTree(t, src, nil)
	f, err := tree.OpenFile(t.Context(), "base/5/16384", vfs.OpenHow{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close(t.Context())
	if err := f.WriteAt(t.Context(), make([]byte, 2*core.PageSize), core.PageSize); err != nil {
		t.Fatal(err)
	}
	if _, err := blocks(t.Context(), tree, "base/5/16384", 0, 7); err != nil || src.reads != 5 {
		t.Errorf("%d pages fetched, want 5: %v", src.reads, err)
	}
}

func TestParseRelFile(t *testing.T) {
	tests := []struct {
		name string
		want filetree.RelFile
		ok   bool
	}{
		{"16384", filetree.RelFile{Node: 16384}, true},
		{"16384.1", filetree.RelFile{Node: 16384, Segment: 1}, true},
		{"16384_vm", filetree.RelFile{Node: 16384, Fork: core.VMFork}, true},
		{"16384_fsm.12", filetree.RelFile{Node: 16384, Fork: core.FSMFork, Segment: 12}, true},
		{"16384_init", filetree.RelFile{Node: 16384, Fork: core.InitFork}, true},
		{"4294967295", filetree.RelFile{Node: 4294967295}, true},
	}
	for _, tt := range tests {
		if got, ok := filetree.ParseRelFile(tt.name); !ok || got != tt.want || got.String() != tt.name {
			t.Errorf("%s: %+v %v", tt.name, got, ok)
		}
	}
	for _, name := range []string{
		"", "0", "016384", "4294967296", "+1", "-1", "t3_16384", "16384_main", "16384_", "16384.", "16384.0", "16384.01",
		"16384_vm_vm", "16384.1_vm", "16384.1.2", "PG_VERSION", "pg_filenode.map", "pg_internal.init", "16384 ", "１",
	} {
		if got, ok := filetree.ParseRelFile(name); ok {
			t.Errorf("%q is %+v", name, got)
		}
	}
}

func FuzzParseRelFile(f *testing.F) {
	for _, s := range []string{"16384", "16384_vm.1", "t3_5", "0", "99999999999", "1.0", "_", "."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if got, ok := filetree.ParseRelFile(name); ok && got.String() != name {
			t.Errorf("%q is %+v, whose name is %q", name, got, got)
		}
	})
}
