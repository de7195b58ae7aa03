package export

import (
	"context"
	"path"
	"slices"

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
		dir := db.Dir(cfg.SpaceDir)
		all.addDirs(dir)
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

// addDirs adds a directory and the parents that it lacks.
func (c *contents) addDirs(dir string) {
	if slices.Contains(c.dirs, dir) {
		return
	}
	if up := path.Dir(dir); up != "." {
		c.addDirs(up)
	}
	c.dirs = append(c.dirs, dir)
}
