package export

import (
	"context"
	"fmt"
	"path"

	"xenon/compute/boot"
	"xenon/compute/filetree"
	"xenon/core"
	"xenon/core/pageserver/bootset"
)

// contents is everything that an export writes.
type contents struct {
	dirs    []string // parents first
	files   []bootset.File
	pages   []pageFile
	slrus   []bootset.Segment
	control []byte
	bytes   int64 // of all of it
}

// A pageFile is a file of a relation.
type pageFile struct {
	path string
	filetree.FileAt
}

// list finds out what there is to write; of pages, only how many there are.
func list(ctx context.Context, p *boot.Plan, src filetree.Source) (*contents, error) {
	cfg := p.Contents()
	all := &contents{dirs: append([]string{"global", "base", "pg_wal", "pg_wal/archive_status"}, cfg.Dirs...), slrus: cfg.SLRUs}
	all.addFiles(cfg.Files)
	all.addFiles(p.Segments())
	for _, db := range cfg.Databases {
		dir, err := relationDir(db)
		if err != nil {
			return nil, err
		}
		if dir != "global" {
			all.dirs = append(all.dirs, dir)
		}
		rels, err := src.Relations(ctx, db)
		if err != nil {
			return nil, err
		}
		for _, f := range filetree.Files(rels) {
			all.pages = append(all.pages, pageFile{path.Join(dir, f.String()), f})
			all.bytes += int64(f.Blocks) * core.PageSize
		}
	}
	for _, s := range all.slrus {
		all.bytes += int64(s.Blocks) * core.PageSize
	}
	return all, nil
}

// addFiles takes files, the last of those with one path.
func (c *contents) addFiles(files []bootset.File) {
	last := map[string]int{}
	for i, f := range files {
		last[f.Path] = i
	}
	for i, f := range files {
		switch {
		case last[f.Path] != i:
		case f.Path == boot.ControlFile:
			c.control = f.Content
		default:
			c.files = append(c.files, f)
			c.bytes += int64(len(f.Content))
		}
	}
}

// relationDir is where the relations of a database are.
func relationDir(db bootset.Database) (string, error) {
	switch {
	case db == bootset.Database{Spc: core.GlobalTablespace}:
		return "global", nil
	case db.Spc == core.DefaultTablespace && db.DB != 0:
		return fmt.Sprintf("base/%d", db.DB), nil
	}
	return "", fmt.Errorf("database %d in tablespace %d: tablespaces are not supported", db.DB, db.Spc)
}
