package filetree_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"xenon/compute/filetree"
	"xenon/compute/overlay"
	"xenon/compute/vfs"
	"xenon/core"
	"xenon/core/pageserver/bootset"
	"xenon/realio"
)

// A source is a timeline in memory: forks with pages that tell which they are.
type source struct {
	rels  map[bootset.Database][]bootset.Relation
	slrus map[string][]byte
	reads int
	err   error
}

func page(r core.Rel, blk uint32) []byte {
	b := bytes.Repeat([]byte(fmt.Sprintf("%s block %d. ", r, blk)), core.PageSize/16)
	return b[:core.PageSize]
}

func (s *source) Relations(_ context.Context, d bootset.Database) ([]bootset.Relation, error) {
	return s.rels[d], s.err
}

func (s *source) ReadPages(_ context.Context, r core.Rel, first uint32, dst []byte) error {
	for i := range len(dst) / core.PageSize {
		copy(dst[i*core.PageSize:], page(r, first+uint32(i)))
		s.reads++
	}
	return s.err
}

func (s *source) SLRUSegment(_ context.Context, u core.SLRU, seg uint32) ([]byte, error) {
	s.reads++
	return s.slrus[fmt.Sprintf("%s/%04X", u.Dir(), seg)], s.err
}

// databases lists the directories, one of them an empty tablespace.
func (s *source) databases() []bootset.Database {
	list := []bootset.Database{{Spc: 16400}, {Spc: 16401}}
	for d := range s.rels {
		list = append(list, d)
	}
	return list
}

func rel(db, node core.OID, fork core.Fork) core.Rel {
	r := core.Rel{Spc: core.DefaultTablespace, DB: db, Node: node, Fork: fork}
	if db == 0 {
		r.Spc = core.GlobalTablespace
	}
	return r
}

// newSource is a timeline with two databases and shared relations: plain,
// empty and unlogged ones.
func newSource() *source {
	s := &source{rels: map[bootset.Database][]bootset.Relation{}, slrus: map[string][]byte{}}
	add := func(r core.Rel, blocks uint32) {
		d := bootset.Database{Spc: r.Spc, DB: r.DB}
		s.rels[d] = append(s.rels[d], bootset.Relation{Rel: r, Blocks: blocks})
	}
	add(rel(0, 1262, core.MainFork), 1)
	add(rel(5, 16384, core.MainFork), 7)
	add(rel(5, 16384, core.VMFork), 1)
	add(rel(5, 16385, core.MainFork), 0)
	add(rel(5, 16386, core.InitFork), 2)
	add(rel(6, 16384, core.MainFork), 3)
	add(core.Rel{Spc: 16400, DB: 5, Node: 16384}, 3)
	s.slrus["pg_xact/0000"] = page(rel(0, 1, 0), 0)
	return s
}

var testFiles = []bootset.File{
	{Path: "PG_VERSION", Content: []byte("15\n")},
	{Path: "base/5/PG_VERSION", Content: []byte("15\n")},
	{Path: "base/6/PG_VERSION", Content: []byte("15\n")},
	{Path: "pg_hba.conf", Content: []byte("local all all trust\n")},
}

func newTree(t interface {
	Fatal(...any)
	Cleanup(func())
}, src *source, keep filetree.KeepFunc) vfs.Client {
	dir, err := os.MkdirTemp("", "xenon-tree-")
	if err != nil {
		t.Fatal(err)
	}
	e := realio.New(realio.Options{Root: dir})
	t.Cleanup(func() { e.Close(); os.RemoveAll(dir) })
	scratch, err := overlay.NewScratch(e, "overlay", 3)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := filetree.New(context.Background(), e, scratch, filetree.Config{
		Dirs: []string{"pg_tblspc", "pg_stat_tmp"}, Files: testFiles, Source: src, WALDir: "../wal", Keep: keep,
		Databases: src.databases(), SpaceDir: "PG_15_1",
		SLRUs: []bootset.Segment{{SLRU: core.Clog, Blocks: 1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return vfs.Client{Tree: tree}
}

// A plain is a file system without ideas: paths and bytes, nil for a
// directory.
type plain map[string][]byte

// newPlain is what a server finds, all of it copied out.
func newPlain(s *source) plain {
	p := plain{"": nil}
	for _, d := range []string{"base", "base/5", "base/6", "global", "pg_tblspc", "pg_stat_tmp", "pg_xact",
		"pg_tblspc/16400", "pg_tblspc/16401", "pg_tblspc/16400/PG_15_1", "pg_tblspc/16400/PG_15_1/5", "pg_tblspc/16401/PG_15_1"} {
		p[d] = nil
	}
	for _, f := range testFiles {
		p[f.Path] = f.Content
	}
	for name, b := range s.slrus {
		p[name] = b
	}
	for d, rels := range s.rels {
		dir := d.Dir("PG_15_1")
		for _, r := range rels {
			content := []byte{}
			for blk := range r.Blocks {
				content = append(content, page(r.Rel, blk)...)
			}
			f := filetree.RelFile{Node: r.Rel.Node, Fork: r.Rel.Fork}
			p[dir+"/"+f.String()] = content
			if f.Fork == core.InitFork {
				f.Fork = core.MainFork
				p[dir+"/"+f.String()] = content
			}
		}
	}
	return p
}

func parent(path string) string {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i]
	}
	return ""
}

func (p plain) isDir(path string) bool {
	b, ok := p[path]
	return ok && b == nil
}

// lookup is what stat(2) says of a path.
func (p plain) lookup(path string) error {
	if dir := parent(path); path != "" && !p.isDir(dir) {
		if err := p.lookup(dir); err != nil {
			return err
		}
		return vfs.ENOTDIR
	}
	if _, ok := p[path]; !ok {
		return vfs.ENOENT
	}
	return nil
}

func (p plain) list(dir string) (names []string) {
	for path := range p {
		if path != "" && parent(path) == dir {
			names = append(names, path[len(dir):])
		}
	}
	for i := range names {
		names[i] = strings.TrimPrefix(names[i], "/")
	}
	slices.Sort(names)
	return names
}

func (p plain) open(path string, how vfs.OpenHow) error {
	err := p.lookup(path)
	switch {
	case err == vfs.ENOENT && how.Create && p.isDir(parent(path)):
		p[path] = []byte{}
		return nil
	case err != nil:
		return err
	case how.Create && how.Excl:
		return vfs.EEXIST
	case p.isDir(path):
		return vfs.EISDIR
	case how.Trunc:
		p[path] = []byte{}
	}
	return nil
}

func (p plain) write(path string, b []byte, off int) {
	if n := off + len(b); n > len(p[path]) {
		p.truncate(path, n)
	}
	grown := bytes.Clone(p[path])
	copy(grown[off:], b)
	p[path] = grown
}

func (p plain) truncate(path string, size int) {
	b := make([]byte, size)
	copy(b, p[path])
	p[path] = b
}

func (p plain) remove(path string, dir bool) error {
	if err := p.lookup(path); err != nil {
		return err
	}
	switch {
	case dir && !p.isDir(path):
		return vfs.ENOTDIR
	case !dir && p.isDir(path):
		return vfs.EISDIR
	case dir && len(p.list(path)) > 0:
		return vfs.ENOTEMPTY
	}
	delete(p, path)
	return nil
}

// rename looks for both directories before it looks for the file, as the
// system call does.
func (p plain) rename(from, to string) error {
	for _, path := range []string{from, to} {
		if err := p.lookup(path); err != nil && !p.isDir(parent(path)) {
			return err
		}
	}
	if err := p.lookup(from); err != nil {
		return err
	}
	_, exists := p[to]
	switch {
	case from == to:
		return nil
	case p.isDir(from) && strings.HasPrefix(to, from+"/"):
		return vfs.EINVAL
	case exists && p.isDir(from) && !p.isDir(to):
		return vfs.ENOTDIR
	case exists && !p.isDir(from) && p.isDir(to):
		return vfs.EISDIR
	case exists && p.isDir(to) && len(p.list(to)) > 0:
		return vfs.ENOTEMPTY
	}
	for _, path := range slices.Sorted(maps.Keys(p)) {
		if path == from || strings.HasPrefix(path, from+"/") {
			b := p[path]
			delete(p, path)
			p[to+path[len(from):]] = b
		}
	}
	return nil
}

// paths are few, so that a run meets the same one often: relations of the
// timeline, forks, temporary ones, small files, a directory that comes and
// goes.
var paths = []string{
	"base/5/16384", "base/5/16384_vm", "base/5/16384_fsm", "base/5/16384.1", "base/5/16385", "base/5/16386", "base/5/16386_init",
	"base/5/t3_16390", "base/6/16384", "base/6/PG_VERSION", "base/5/99999", "base/7", "base/7/16384", "base/6", "base/5",
	"global/1262", "global/pg_filenode.map", "pg_xact/0000", "pg_stat_tmp/x", "pg_stat_tmp", "none/x",
}

func genPath(t *rapid.T) string { return rapid.SampledFrom(paths).Draw(t, "path") }

// genSpan draws where a write or read goes: whole pages mostly.
func genSpan(t *rapid.T) (off, n int) {
	if rapid.IntRange(0, 2).Draw(t, "aligned") > 0 {
		return core.PageSize * rapid.IntRange(0, 9).Draw(t, "block"), core.PageSize * rapid.IntRange(1, 3).Draw(t, "blocks")
	}
	return rapid.IntRange(0, 70000).Draw(t, "off"), rapid.IntRange(1, 20000).Draw(t, "n")
}

// TestTreeIsAFileSystem does the same to a tree and to a plain file system.
func TestTreeIsAFileSystem(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &machine{ctx: context.Background(), model: newPlain(newSource())}
		m.tree = newTree(t, newSource(), nil)
		t.Repeat(map[string]func(*rapid.T){
			"write":    m.write,
			"truncate": m.truncate,
			"create":   m.create,
			"mkdir":    m.mkdir,
			"remove":   m.remove,
			"rename":   m.rename,
			"":         m.check,
		})
	})
}

type machine struct {
	ctx   context.Context
	tree  vfs.Client
	model plain
}

func same(t *rapid.T, what string, got, want error) {
	if vfs.ErrnoOf(got) != vfs.ErrnoOf(want) {
		t.Fatalf("%s: %v, want %v", what, got, want)
	}
}

func (m *machine) write(t *rapid.T) {
	path := genPath(t)
	off, n := genSpan(t)
	f, err := m.tree.OpenFile(m.ctx, path, vfs.OpenHow{})
	same(t, "open "+path, err, m.model.open(path, vfs.OpenHow{}))
	if err != nil {
		return
	}
	defer f.Close(m.ctx)
	b := bytes.Repeat([]byte{rapid.SampledFrom([]byte{0, 0, 1, 2, 3}).Draw(t, "byte")}, n)
	if err := f.WriteAt(m.ctx, b, int64(off)); err != nil {
		t.Fatal(err)
	}
	m.model.write(path, b, off)
}

func (m *machine) truncate(t *rapid.T) {
	path := genPath(t)
	size := rapid.OneOf(rapid.IntRange(0, 90000), rapid.Just(0), rapid.Just(core.PageSize*2)).Draw(t, "size")
	f, err := m.tree.OpenFile(m.ctx, path, vfs.OpenHow{})
	same(t, "open "+path, err, m.model.open(path, vfs.OpenHow{}))
	if err != nil {
		return
	}
	defer f.Close(m.ctx)
	if err := f.Truncate(m.ctx, int64(size)); err != nil {
		t.Fatal(err)
	}
	m.model.truncate(path, size)
}

func (m *machine) create(t *rapid.T) {
	path := genPath(t)
	how := vfs.OpenHow{Create: true, Excl: rapid.Bool().Draw(t, "excl"), Trunc: rapid.Bool().Draw(t, "trunc"), Mode: 0o600}
	f, err := m.tree.OpenFile(m.ctx, path, how)
	same(t, "create "+path, err, m.model.open(path, how))
	if err == nil {
		f.Close(m.ctx)
	}
}

func (m *machine) mkdir(t *rapid.T) {
	path := genPath(t)
	want := m.model.lookup(path)
	switch {
	case want == nil:
		want = vfs.EEXIST
	case want == vfs.ENOENT && m.model.isDir(parent(path)):
		want = nil
		m.model[path] = nil
	}
	same(t, "mkdir "+path, m.tree.Mkdir(m.ctx, path, 0o700), want)
}

func (m *machine) remove(t *rapid.T) {
	path := genPath(t)
	if rapid.IntRange(0, 3).Draw(t, "dir") == 0 {
		same(t, "rmdir "+path, m.tree.Rmdir(m.ctx, path), m.model.remove(path, true))
		return
	}
	same(t, "unlink "+path, m.tree.Remove(m.ctx, path), m.model.remove(path, false))
}

func (m *machine) rename(t *rapid.T) {
	from, to := genPath(t), genPath(t)
	if m.model.isDir(from) || m.model.isDir(to) {
		return // a server renames no directory
	}
	same(t, "rename "+from+" "+to, m.tree.Rename(m.ctx, from, to), m.model.rename(from, to))
}

// check looks at some of the tree after each step.
func (m *machine) check(t *rapid.T) {
	path := genPath(t)
	at, err := m.tree.Stat(m.ctx, path)
	same(t, "stat "+path, err, m.model.lookup(path))
	if err != nil {
		return
	}
	if at.Kind == vfs.Directory {
		m.checkDir(t, path)
		return
	}
	want := m.model[path]
	if at.Size != int64(len(want)) || at.Links != 1 {
		t.Fatalf("%s has %d bytes and %d links, want %d", path, at.Size, at.Links, len(want))
	}
	off, n := genSpan(t)
	f, err := m.tree.OpenFile(m.ctx, path, vfs.OpenHow{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close(m.ctx)
	got := bytes.Repeat([]byte{0xEE}, n)
	read, err := f.ReadAt(m.ctx, got, int64(off))
	if err != nil {
		t.Fatal(err)
	}
	want = want[min(off, len(want)):min(off+n, len(want))]
	if !bytes.Equal(got[:read], want) {
		t.Fatalf("%s: %d bytes at %d differ; got %d", path, len(want), off, read)
	}
}

func (m *machine) checkDir(t *rapid.T, path string) {
	list, err := m.tree.ReadDir(m.ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name)
	}
	if want := m.model.list(path); !slices.Equal(names, want) {
		t.Fatalf("%s lists %q, want %q", path, names, want)
	}
}
