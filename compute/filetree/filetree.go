// Package filetree is the data directory of a server that started at an LSN:
// the files it was given, the relations of the timeline at that LSN, fetched
// page by page when they are read, and over both whatever the server wrote.
//
// A relation that the server did not touch is known by the list of its
// database's relations, which is fetched when the directory is first looked
// into. Everything written stays in the overlay until the server ends, so the
// only pages ever fetched are those that did not change since the start. A
// data file is never synced: what a server loses is in its WAL.
//
// Start at [Tree].
package filetree

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"

	"xenon/compute/names"
	"xenon/compute/overlay"
	"xenon/compute/vfs"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/pageserver/bootset"
)

// Config is what a data directory holds when the server starts.
type Config struct {
	// Dirs are directories, Files the files in them; both by paths below the
	// data directory. A parent comes before its children.
	Dirs  []string
	Files []bootset.File
	// Databases are the directories of relations: global, which there always
	// is, those of databases, and those of tablespaces. SpaceDir is what the
	// server's directory within a tablespace is called.
	Databases []bootset.Database
	SpaceDir  string
	SLRUs     []bootset.Segment
	Source    Source
	// WALDir is where the symbolic link pg_wal leads; "" if there is none.
	WALDir string
	// Keep makes the content of one of [KeptFiles] durable for the branch,
	// before the server sees that it was changed. nil keeps nothing.
	Keep KeepFunc
}

// A KeepFunc stores one of [KeptFiles] for the branch.
type KeepFunc func(ctx context.Context, name string, content []byte) error

// KeptFiles are the files of a data directory's top that belong to the branch,
// not to one server: settings that its users made.
var KeptFiles = []string{"postgresql.auto.conf", "pg_hba.conf"}

// tablespaces is where a server has tablespaces.
const tablespaces = "pg_tblspc"

// A Tree is a data directory.
type Tree struct {
	*names.Tree
	source Source
	keep   KeepFunc
	log    *slog.Logger
	// dirs are the directories of relations that the timeline has at the
	// start. A directory that the server makes is not among them.
	dirs map[*names.Node]*relDir
	// watch looks at pages that are written; nil if nobody does.
	watch *watch

	mu   sync.Mutex        // leaf
	kept map[string]string // what is stored of the kept files
}

// New makes the data directory of a server that is about to start.
func New(ctx context.Context, e env.Env, s *overlay.Scratch, cfg Config) (*Tree, error) {
	t := &Tree{
		Tree: names.New(e, s), source: cfg.Source, keep: cfg.Keep, log: e.Log(),
		dirs: map[*names.Node]*relDir{}, kept: map[string]string{},
	}
	if err := t.addDatabases(e, cfg); err != nil {
		return nil, err
	}
	for _, dir := range cfg.Dirs {
		if _, err := t.makeDirs(dir); err != nil {
			return nil, err
		}
	}
	for _, s := range cfg.SLRUs {
		dir, err := t.makeDirs(s.SLRU.Dir())
		if err != nil {
			return nil, err
		}
		t.Learn(dir, fmt.Sprintf("%04X", s.Segment), newSLRUBase(e, cfg.Source, s.SLRU, s.Segment, s.Blocks), s.Blocks)
	}
	for _, f := range cfg.Files {
		if err := t.addFile(ctx, f); err != nil {
			return nil, err
		}
	}
	if cfg.WALDir != "" {
		t.AddSymlink(t.Root(), "pg_wal", cfg.WALDir)
	}
	return t, nil
}

func (t *Tree) addDatabases(e env.Env, cfg Config) error {
	t.MakeDir(t.Root(), "base", true)
	global := bootset.Database{Spc: core.GlobalTablespace}
	for _, db := range append([]bootset.Database{global}, cfg.Databases...) {
		path := db.Dir(cfg.SpaceDir)
		if db.DB == 0 && db != global {
			// A tablespace has no relations outside of its databases.
			if _, err := t.makeDirs(path); err != nil {
				return err
			}
			continue
		}
		cut := strings.LastIndexByte(path, '/') + 1
		dir, err := t.makeDirs(path[:cut])
		if err != nil {
			return err
		}
		t.addRelDir(e, t.MakeDir(dir, path[cut:], false), db)
	}
	return nil
}

func (t *Tree) addRelDir(e env.Env, n *names.Node, db bootset.Database) {
	if t.dirs[n] != nil {
		return
	}
	d := &relDir{Database: db}
	d.loading.Init(e)
	t.dirs[n] = d
}

func (t *Tree) makeDirs(path string) (*names.Node, error) {
	at := t.Root()
	for name := range strings.SplitSeq(path, "/") {
		if name == "" || name == "." {
			continue
		}
		if name == ".." {
			return nil, fmt.Errorf("data directory: path %q leads out of it", path)
		}
		at = t.MakeDir(at, name, true)
		if at.Kind != vfs.Directory {
			return nil, fmt.Errorf("data directory: %q in %q is no directory", name, path)
		}
	}
	return at, nil
}

func (t *Tree) addFile(ctx context.Context, f bootset.File) error {
	dir, name := "", f.Path
	if i := strings.LastIndexByte(f.Path, '/'); i >= 0 {
		dir, name = f.Path[:i], f.Path[i+1:]
	}
	d, err := t.makeDirs(dir)
	if err != nil {
		return err
	}
	if d == t.Root() && slices.Contains(KeptFiles, name) {
		t.kept[name] = string(f.Content)
	}
	if err := t.MakeFile(ctx, d, name, f.Content); err != nil {
		return fmt.Errorf("data directory: file %s: %w", f.Path, err)
	}
	return nil
}

// known makes sure that a name is known to be there or not before anything is
// decided on it.
func (t *Tree) known(ctx context.Context, dir vfs.NodeID, name string) error {
	d, err := t.Dir(dir)
	if err != nil {
		return err
	}
	rd := t.dirs[d]
	if rd == nil {
		return nil
	}
	if _, known := t.Child(d, name); known {
		return nil
	}
	f, ok := ParseRelFile(name)
	if !ok {
		return nil
	}
	if err := rd.load(ctx, t.source); err != nil {
		return err
	}
	if base, blocks, ok := rd.find(t.source, f); ok {
		t.Learn(d, name, base, blocks)
	}
	return nil
}

// Lookup finds a name; it may wait for the list of a database's relations.
func (t *Tree) Lookup(ctx context.Context, dir vfs.NodeID, name string) (vfs.Attr, error) {
	if err := t.known(ctx, dir, name); err != nil {
		return vfs.Attr{}, err
	}
	return t.Tree.Lookup(ctx, dir, name)
}

// Create makes a file that has nothing to do with what the timeline has under
// its name, unless that is still there.
func (t *Tree) Create(ctx context.Context, dir vfs.NodeID, name string, flags vfs.OpenFlag, mode uint32) (vfs.Attr, error) {
	if err := t.known(ctx, dir, name); err != nil {
		return vfs.Attr{}, err
	}
	return t.Tree.Create(ctx, dir, name, flags, mode)
}

// Mkdir makes a directory.
func (t *Tree) Mkdir(ctx context.Context, dir vfs.NodeID, name string, mode uint32) (vfs.Attr, error) {
	if err := t.known(ctx, dir, name); err != nil {
		return vfs.Attr{}, err
	}
	at, err := t.Tree.Mkdir(ctx, dir, name, mode)
	if err == nil {
		t.madeDirectory(dir, name)
	}
	return at, err
}

// Symlink is refused. The one symbolic link that a server makes is a tablespace
// that is elsewhere, and its files would be in no timeline. All that a client
// gets to see of the reason is the error's name, and one of permissions would
// have people look for a right that they lack; the way out is in the log.
func (t *Tree) Symlink(_ context.Context, dir vfs.NodeID, name, target string) (vfs.Attr, error) {
	if d, err := t.Dir(dir); err == nil {
		if top, of := t.Name(d); top == t.Root() && of == tablespaces {
			t.log.Warn("CREATE TABLESPACE is refused: only tablespaces in place are supported; SET allow_in_place_tablespaces = on and use LOCATION ''",
				slog.String("location", target))
		}
	}
	return vfs.Attr{}, vfs.EOPNOTSUPP
}

// Link gives a file one more name.
func (t *Tree) Link(ctx context.Context, id, dir vfs.NodeID, name string) (vfs.Attr, error) {
	if err := t.known(ctx, dir, name); err != nil {
		return vfs.Attr{}, err
	}
	return t.Tree.Link(ctx, id, dir, name)
}

// Unlink takes a name away.
func (t *Tree) Unlink(ctx context.Context, dir vfs.NodeID, name string) error {
	if err := t.known(ctx, dir, name); err != nil {
		return err
	}
	return t.Tree.Unlink(ctx, dir, name)
}

// Rmdir removes a directory in which nothing is left, the timeline's
// relations included.
func (t *Tree) Rmdir(ctx context.Context, dir vfs.NodeID, name string) error {
	if err := t.known(ctx, dir, name); err != nil {
		return err
	}
	d, err := t.Dir(dir)
	if err != nil {
		return err
	}
	if n, _ := t.Child(d, name); n != nil && t.dirs[n] != nil {
		left, err := t.Readdir(ctx, n.ID)
		if err != nil {
			return err
		}
		if len(left) > 0 {
			return vfs.ENOTEMPTY
		}
	}
	return t.Tree.Rmdir(ctx, dir, name)
}

// Rename moves a name over another. A kept file that comes to its place this
// way is stored first: when the server goes on, it is durable.
func (t *Tree) Rename(ctx context.Context, oldDir vfs.NodeID, oldName string, newDir vfs.NodeID, newName string) error {
	if err := t.known(ctx, oldDir, oldName); err != nil {
		return err
	}
	if err := t.known(ctx, newDir, newName); err != nil {
		return err
	}
	if err := t.keepRenamed(ctx, oldDir, oldName, newDir, newName); err != nil {
		return err
	}
	return t.Tree.Rename(ctx, oldDir, oldName, newDir, newName)
}

// Readdir lists what the server made and what is left of the timeline's.
func (t *Tree) Readdir(ctx context.Context, id vfs.NodeID) ([]vfs.DirEntry, error) {
	d, err := t.Dir(id)
	if err != nil {
		return nil, err
	}
	rd := t.dirs[d]
	if rd == nil {
		return t.Tree.Readdir(ctx, id)
	}
	if err := rd.load(ctx, t.source); err != nil {
		return nil, err
	}
	all := map[string]vfs.DirEntry{}
	for name := range rd.names() {
		all[name] = vfs.DirEntry{Name: name, Kind: vfs.Regular}
	}
	t.overlayNames(d, all)
	list := make([]vfs.DirEntry, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		list = append(list, all[name])
	}
	return list, nil
}

var _ vfs.Tree = (*Tree)(nil)
