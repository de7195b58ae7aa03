package bench

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"xenon/core"
	"xenon/core/redo"
	"xenon/core/wal"
)

// A replayer is a cluster in memory that WAL is replayed onto, as a server's
// startup process does with its buffers. Pages come from a data directory when
// they are first touched.
type replayer struct {
	dir      string
	forks    map[core.Rel]*replayFork
	slru     map[core.Key]*redo.Page
	last     *replayFork // which most records hit again
	applier  redo.Applier
	effects  redo.Effects
	counters redo.Counters
	slab     []redo.Page

	records, blocks int64

	// watch is told of each block before it is changed; nil: nobody is.
	watch func(rec *wal.Record, blk *wal.Block, page *redo.Page)
}

// A replayFork is one file of a relation.
type replayFork struct {
	rel   core.Rel
	pages []*redo.Page
	file  *os.File // nil if the data directory has none
}

func newReplayer(dir string, c redo.Counters) *replayer {
	return &replayer{dir: dir, counters: c, forks: map[core.Rel]*replayFork{}, slru: map[core.Key]*redo.Page{}}
}

func (r *replayer) close() {
	for _, f := range r.forks {
		if f.file != nil {
			f.file.Close()
		}
	}
}

func (r *replayer) newPage() *redo.Page {
	if len(r.slab) == 0 {
		r.slab = make([]redo.Page, 128)
	}
	p := &r.slab[0]
	r.slab = r.slab[1:]
	return p
}

func (r *replayer) fork(rel core.Rel) (*replayFork, error) {
	if r.last != nil && r.last.rel == rel {
		return r.last, nil
	}
	f := r.forks[rel]
	if f == nil {
		f = &replayFork{rel: rel}
		r.forks[rel] = f
		file, err := os.Open(filepath.Join(r.dir, relPath(rel)))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		if err == nil {
			f.file = file
		}
	}
	r.last = f
	return f, nil
}

// relPath is the file of a fork's first gigabyte, below the data directory.
func relPath(rel core.Rel) string {
	name := strconv.Itoa(int(rel.Node))
	if rel.Fork != core.MainFork {
		name += "_" + rel.Fork.String()
	}
	if rel.Spc == core.GlobalTablespace {
		return filepath.Join("global", name)
	}
	return filepath.Join("base", strconv.Itoa(int(rel.DB)), name)
}

// page is a block, read if it was not yet; past the end it is zeroes.
func (r *replayer) page(rel core.Rel, blk uint32) (*redo.Page, error) {
	f, err := r.fork(rel)
	if err != nil {
		return nil, err
	}
	if n := int(blk) + 1; n > len(f.pages) {
		f.pages = append(f.pages, make([]*redo.Page, n-len(f.pages))...)
	}
	if p := f.pages[blk]; p != nil {
		return p, nil
	}
	if f.file == nil {
		f.pages[blk] = r.newPage()
		return f.pages[blk], nil
	}
	err = r.read(f, blk)
	return f.pages[blk], err
}

// readAhead is how many pages are read at once.
const readAhead = 16

// read reads a block of a file, and with it those around that were not touched
// yet.
func (r *replayer) read(f *replayFork, blk uint32) error {
	first := blk &^ (readAhead - 1)
	b := make([]byte, readAhead*core.PageSize)
	n, err := f.file.ReadAt(b, int64(first)*core.PageSize)
	if err != nil && (!errors.Is(err, io.EOF) || n%core.PageSize != 0) {
		return fmt.Errorf("%s block %d: %w", f.rel, blk, err)
	}
	if m := int(first) + readAhead; m > len(f.pages) {
		f.pages = append(f.pages, make([]*redo.Page, m-len(f.pages))...)
	}
	for i := range readAhead {
		if at := &f.pages[int(first)+i]; *at == nil {
			*at = (*redo.Page)(b[i*core.PageSize:])
		}
	}
	return nil
}

// apply replays one record.
func (r *replayer) apply(rec *wal.Record) error {
	r.records++
	r.applier.LogHints = r.counters.Settings.LogHints()
	effects, err := r.effects.Decode(rec, &r.counters)
	if err != nil {
		return err
	}
	for i := range rec.Blocks {
		b := &rec.Blocks[i]
		if b.Rel.Fork == core.FSMFork {
			continue
		}
		p, err := r.page(b.Rel, b.Block)
		if err != nil {
			return err
		}
		if r.watch != nil {
			r.watch(rec, b, p)
		}
		if _, err := r.applier.Apply(p, rec, b); err != nil {
			return err
		}
		r.blocks++
	}
	for i := range effects {
		if err := r.effect(&effects[i]); err != nil {
			return err
		}
	}
	return nil
}

// effect does what changes pages; files are not kept.
func (r *replayer) effect(e *redo.Effect) error {
	if e.Kind != redo.PatchPage {
		return nil
	}
	var p *redo.Page
	if rel, blk, ok := core.BlockOfKey(e.Key); ok {
		var err error
		if p, err = r.page(rel, blk); err != nil {
			return err
		}
	} else if p = r.slru[e.Key]; p == nil {
		p = r.newPage()
		r.slru[e.Key] = p
	}
	return e.Patch.Apply(p)
}
