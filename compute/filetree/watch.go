package filetree

import (
	"context"
	"sync"

	"xenon/compute/names"
	"xenon/compute/vfs"
	"xenon/core"
	"xenon/core/pageserver/bootset"
)

// A Watcher looks at pages that a server writes to its relations. Its methods
// are called by the task that carries the write, behind it; they do not wait.
type Watcher interface {
	// Wants tells whether to look at one page, which was written as the block of
	// a file. The file may turn out to be none of a relation.
	Wants(file vfs.NodeID, block int64, page []byte) bool
	// Take looks at a page of a relation; page is only valid during the call.
	Take(p WrittenPage)
	// Position is an LSN above those of all pages written so far, and not above
	// that of any record to come.
	Position() core.LSN
}

// A WrittenPage is one page as it was handed to write(2).
type WrittenPage struct {
	Rel   core.Rel
	Block uint32 // of the fork
	Page  []byte
	// Unlogged tells that the relation has an init fork.
	Unlogged bool
	// Made is the watcher's position when the server made the directory of the
	// page's database, 0 if it was there at the start.
	Made core.LSN
}

// A watch is the watcher of a tree and what it needs to know of directories.
type watch struct {
	Watcher

	mu   sync.Mutex // leaf
	made map[*names.Node]madeDir
}

// A madeDir is a directory of relations that the server made.
type madeDir struct {
	bootset.Database
	at core.LSN
}

// Watch has w look at pages. It is called before the server starts.
func (t *Tree) Watch(w Watcher) { t.watch = &watch{Watcher: w, made: map[*names.Node]madeDir{}} }

// Write writes the file's bytes.
func (t *Tree) Write(ctx context.Context, id vfs.NodeID, p []byte, off int64, sync bool) error {
	err := t.Tree.Write(ctx, id, p, off, sync)
	if err == nil && t.watch != nil && len(p) == core.PageSize && off%core.PageSize == 0 && t.watch.Wants(id, off/core.PageSize, p) {
		t.take(id, p, off)
	}
	return err
}

// take gives a page to the watcher if it is one of a relation.
func (t *Tree) take(id vfs.NodeID, p []byte, off int64) {
	n, err := t.Node(id)
	if err != nil {
		return
	}
	dir, name := t.Name(n)
	f, ok := ParseRelFile(name)
	if !ok {
		return
	}
	w := WrittenPage{Block: f.Segment*SegmentBlocks + uint32(off/core.PageSize), Page: p}
	var db bootset.Database
	if d := t.dirs[dir]; d != nil {
		db = d.Database
	} else if db, w.Made, ok = t.watch.dir(dir); !ok {
		return
	}
	w.Rel = core.Rel{Spc: db.Spc, DB: db.DB, Node: f.Node, Fork: f.Fork}
	w.Unlogged = t.unlogged(dir, f)
	t.watch.Take(w)
}

// unlogged tells whether there is an init fork. By the time that a page of a
// relation is written its directory's list is there.
func (t *Tree) unlogged(dir *names.Node, f RelFile) bool {
	init := RelFile{Node: f.Node, Fork: core.InitFork}
	if n, known := t.Child(dir, init.String()); known {
		return n != nil
	}
	d := t.dirs[dir]
	return d != nil && d.has(forkID{f.Node, core.InitFork})
}

// has tells whether the timeline had a fork when the server started. A list
// that is being fetched is not waited for.
func (d *relDir) has(id forkID) bool {
	if !d.loading.TryLock() {
		return false
	}
	defer d.loading.Unlock()
	_, ok := d.index[id]
	return ok
}

// dir is a directory of relations that the server made.
func (w *watch) dir(n *names.Node) (bootset.Database, core.LSN, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m, ok := w.made[n]
	return m.Database, m.at, ok
}

// madeDirectory notes that the server has made a directory, if it is one for
// the relations of a database.
func (t *Tree) madeDirectory(parent vfs.NodeID, name string) {
	if t.watch == nil {
		return
	}
	dir, err := t.Dir(parent)
	if err != nil {
		return
	}
	db, ok := parseNumber(name)
	spc, in := t.spaceOf(dir)
	n, _ := t.Child(dir, name)
	if !ok || db == 0 || !in || n == nil {
		return
	}
	at := t.watch.Position()
	t.watch.mu.Lock()
	defer t.watch.mu.Unlock()
	t.watch.made[n] = madeDir{bootset.Database{Spc: spc, DB: core.OID(db)}, at}
}

// spaceOf is the tablespace whose databases are in a directory: base, or the
// server's own directory in a tablespace, pg_tblspc/16384/PG_15_202209061.
func (t *Tree) spaceOf(dir *names.Node) (core.OID, bool) {
	parent, name := t.Name(dir)
	if parent == nil {
		return 0, false
	}
	if parent == t.Root() {
		return core.DefaultTablespace, name == "base"
	}
	all, space := t.Name(parent)
	if all == nil {
		return 0, false
	}
	top, of := t.Name(all)
	spc, ok := parseNumber(space)
	return core.OID(spc), ok && spc != 0 && top == t.Root() && of == tablespaces
}
