package verify

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"xenon/core"
	"xenon/core/redo"
)

// relSegBlocks is RELSEG_SIZE, the blocks of one file of a relation.
const relSegBlocks = 131072

// files is a data directory as files.
type files struct {
	fsys  fs.FS
	root  string
	paths map[core.Rel]string // of the first file of each fork
	seen  map[string]bool     // files that are part of the cluster

	// The file of a relation that was read last: blocks are read in runs.
	last     fs.File
	lastName string
}

// open is a file of a relation, good until the next call.
func (f *files) open(name string) (io.ReaderAt, error) {
	if name != f.lastName {
		f.close()
		file, err := f.fsys.Open(name)
		if err != nil {
			return nil, fmt.Errorf("read the corpus: %w", err)
		}
		f.last, f.lastName = file, name
	}
	r, ok := f.last.(io.ReaderAt)
	if !ok {
		return nil, fmt.Errorf("read %s: the file system has no ReadAt", name)
	}
	return r, nil
}

func (f *files) close() {
	if f.last != nil {
		f.last.Close()
		f.last, f.lastName = nil, ""
	}
}

// read is a file that is part of the cluster, nil if it is not there.
func (f *files) read(name string) ([]byte, error) {
	b, err := fs.ReadFile(f.fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the corpus: %w", err)
	}
	f.seen[name] = true
	return b, nil
}

// load reads what a data directory has: relations by size, everything else
// whole.
func load(fsys fs.FS, root string) (*cluster, error) {
	c := &cluster{
		files:   &files{fsys: fsys, root: root, paths: map[core.Rel]string{}, seen: map[string]bool{}},
		origins: map[uint16]core.LSN{}, spcs: map[core.OID]bool{},
		forks: map[core.Rel]*fork{}, slru: map[core.Key]*redo.Page{}, relmaps: map[core.Rel][]byte{},
		twoPhase: map[uint32][]byte{}, walLogged: map[core.Rel]bool{},
	}
	if err := c.loadDB(path.Join(root, "global"), core.Rel{Spc: core.GlobalTablespace}); err != nil {
		return nil, err
	}
	if err := c.loadTablespace(path.Join(root, "base"), core.DefaultTablespace); err != nil {
		return nil, err
	}
	if err := c.loadTablespaces(); err != nil {
		return nil, err
	}
	for s := core.Clog; s <= core.CommitTs; s++ {
		if err := c.loadSLRU(s); err != nil {
			return nil, err
		}
	}
	if err := c.loadTwoPhase(); err != nil {
		return nil, err
	}
	return c, c.loadOrigins()
}

func (c *cluster) readDir(dir string) ([]fs.DirEntry, error) {
	list, err := fs.ReadDir(c.files.fsys, dir)
	if err != nil {
		return nil, fmt.Errorf("list %s of the corpus: %w", dir, err)
	}
	return list, nil
}

// loadTablespaces finds relations in pg_tblspc/OID/PG_15_*/DB.
func (c *cluster) loadTablespaces() error {
	list, err := c.readDir(path.Join(c.files.root, "pg_tblspc"))
	if err != nil {
		return err
	}
	for _, e := range list {
		if spc, err := strconv.ParseUint(e.Name(), 10, 32); err == nil {
			c.spcs[core.OID(spc)] = true
		}
	}
	dirs, err := fs.Glob(c.files.fsys, path.Join(c.files.root, "pg_tblspc", "*", "PG_*"))
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		spc, err := strconv.ParseUint(path.Base(path.Dir(dir)), 10, 32)
		if err != nil {
			continue
		}
		if err := c.loadTablespace(dir, core.OID(spc)); err != nil {
			return err
		}
	}
	return nil
}

func (c *cluster) loadTablespace(dir string, spc core.OID) error {
	list, err := c.readDir(dir)
	if err != nil {
		return err
	}
	for _, e := range list {
		db, err := strconv.ParseUint(e.Name(), 10, 32)
		if err != nil {
			continue // pgsql_tmp
		}
		if err := c.loadDB(path.Join(dir, e.Name()), core.Rel{Spc: spc, DB: core.OID(db)}); err != nil {
			return err
		}
	}
	return nil
}

func (c *cluster) loadDB(dir string, db core.Rel) error {
	list, err := c.readDir(dir)
	if err != nil {
		return err
	}
	for _, e := range list {
		name := path.Join(dir, e.Name())
		if e.Name() == "pg_filenode.map" {
			if c.relmaps[db], err = c.files.read(name); err != nil {
				return err
			}
			continue
		}
		rel, seg, ok := parseFileName(e.Name(), db)
		if !ok {
			continue
		}
		st, err := e.Info()
		if err != nil {
			return fmt.Errorf("read the corpus: %w", err)
		}
		c.files.seen[name] = true
		f := c.fork(rel)
		f.grow(seg*relSegBlocks + uint32(st.Size()/core.PageSize))
		f.file, f.fileBlocks = rel, f.size()
		c.files.paths[rel] = path.Join(dir, strings.TrimSuffix(e.Name(), fmt.Sprintf(".%d", seg)))
	}
	return nil
}

// parseFileName reads node[_fork][.segment]; temporary relations and all other
// files are none.
func parseFileName(name string, db core.Rel) (rel core.Rel, seg uint32, ok bool) {
	rel = db
	name, tail, hasSeg := strings.Cut(name, ".")
	if hasSeg {
		n, err := strconv.ParseUint(tail, 10, 32)
		if err != nil {
			return rel, 0, false
		}
		seg = uint32(n)
	}
	node, forkName, hasFork := strings.Cut(name, "_")
	n, err := strconv.ParseUint(node, 10, 32)
	if err != nil {
		return rel, 0, false
	}
	if hasFork {
		if rel.Fork, err = core.ParseFork(forkName); err != nil {
			return rel, 0, false
		}
	}
	rel.Node = core.OID(n)
	return rel, seg, true
}

// readBlock reads one block of a relation's file.
func (f *files) readBlock(rel core.Rel, blk uint32, dst *redo.Page) error {
	name := f.paths[rel]
	if seg := blk / relSegBlocks; seg > 0 {
		name += fmt.Sprintf(".%d", seg)
	}
	r, err := f.open(name)
	if err != nil {
		return err
	}
	if n, err := r.ReadAt(dst[:], int64(blk%relSegBlocks)*core.PageSize); n < len(dst) {
		return fmt.Errorf("read block %d of %s: %w", blk, name, err)
	}
	return nil
}

func (c *cluster) loadSLRU(s core.SLRU) error {
	list, err := c.readDir(path.Join(c.files.root, s.Dir()))
	if err != nil {
		return err
	}
	for _, e := range list {
		seg, err := strconv.ParseUint(e.Name(), 16, 32)
		if err != nil {
			continue
		}
		b, err := c.files.read(path.Join(c.files.root, s.Dir(), e.Name()))
		if err != nil {
			return err
		}
		for i := 0; i+core.PageSize <= len(b); i += core.PageSize {
			copy(c.slruPage(core.SLRUBlockKey(s, uint32(seg), uint32(i/core.PageSize)))[:], b[i:])
		}
	}
	return nil
}

func (c *cluster) loadTwoPhase() error {
	dir := path.Join(c.files.root, "pg_twophase")
	list, err := c.readDir(dir)
	if err != nil {
		return err
	}
	for _, e := range list {
		xid, err := strconv.ParseUint(e.Name(), 16, 64) // with its epoch since 17
		if err != nil {
			continue
		}
		if c.twoPhase[uint32(xid)], err = c.files.read(path.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
