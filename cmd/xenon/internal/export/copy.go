package export

import (
	"context"
	"fmt"
	"path"
	"sync"

	"xenon/compute/filetree"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/pageserver/bootset"
	"xenon/core/xsync"
)

// chunk is how many pages a worker asks for at once, and holds.
const chunk = 128

// A copying is an export under way.
type copying struct {
	dir *directory
	src filetree.Source

	mu    sync.Mutex // guards todo and block
	todo  contents   // what nobody copies yet
	block uint32     // of todo.pages[0]: those before it are copied

	telling sync.Mutex // held while tell is called; guards done
	tell    func(done, total int64)
	total   int64
	done    int64
}

// copyAll writes everything but the control file.
func copyAll(ctx context.Context, e env.Env, d *directory, all *contents, src filetree.Source, tell func(done, total int64)) error {
	for _, name := range all.dirs {
		if err := d.mkdir(name); err != nil {
			return err
		}
	}
	d.files += len(all.files) + len(all.pages) + len(all.slrus)
	c := &copying{dir: d, src: src, todo: *all, tell: tell, total: all.bytes}
	g := xsync.NewGroup(ctx, e)
	for range workers {
		g.Go("copy", c.work)
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return xsync.Cause(ctx)
}

// work copies until nothing is left.
func (c *copying) work(ctx context.Context) error {
	buf := make([]byte, chunk*core.PageSize)
	for {
		j, ok := c.take()
		if !ok || xsync.Cause(ctx) != nil {
			return nil
		}
		b, err := j.read(ctx, c.src, buf)
		if err == nil {
			err = c.dir.write(j.path, b, j.at)
		}
		if err != nil {
			return err
		}
		c.wrote(int64(len(b)))
	}
}

// A job is a part of a file, and where it comes from: content, blocks of rel,
// or a whole segment of an SLRU.
type job struct {
	path string
	at   int64

	content []byte
	rel     core.Rel
	first   uint32
	blocks  uint32
	segment *bootset.Segment
}

// take is the next job.
func (c *copying) take() (j job, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &c.todo
	switch {
	case len(t.files) > 0:
		j = job{path: t.files[0].Path, content: t.files[0].Content}
		t.files = t.files[1:]
	case len(t.slrus) > 0:
		s := &t.slrus[0]
		j = job{path: path.Join(s.SLRU.Dir(), fmt.Sprintf("%04X", s.Segment)), segment: s}
		t.slrus = t.slrus[1:]
	case len(t.pages) > 0:
		f := &t.pages[0]
		j = job{path: f.path, at: int64(c.block) * core.PageSize, rel: f.Rel, first: f.First + c.block, blocks: min(chunk, f.Blocks-c.block)}
		if c.block += j.blocks; c.block == f.Blocks {
			t.pages, c.block = t.pages[1:], 0
		}
	default:
		return j, false
	}
	return j, true
}

// read gets what a job writes; it may be in buf.
func (j *job) read(ctx context.Context, src filetree.Source, buf []byte) ([]byte, error) {
	switch {
	case j.segment != nil:
		b, err := src.SLRUSegment(ctx, j.segment.SLRU, j.segment.Segment)
		if err == nil && len(b) != int(j.segment.Blocks)*core.PageSize {
			err = fmt.Errorf("%s has %d bytes, want %d pages: %w", j.path, len(b), j.segment.Blocks, env.ErrCorrupt)
		}
		return b, err
	case j.blocks > 0:
		b := buf[:int(j.blocks)*core.PageSize]
		return b, src.ReadPages(ctx, j.rel, j.first, b)
	}
	return j.content, nil
}

func (c *copying) wrote(n int64) {
	c.telling.Lock()
	defer c.telling.Unlock()
	c.done += n
	if c.tell != nil {
		c.tell(c.done, c.total)
	}
}
