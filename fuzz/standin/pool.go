package standin

import (
	"context"
	"fmt"
	"hash/crc32"

	"xenon/compute/vfs"
	"xenon/core"
	"xenon/core/redo"
)

// A block names a page of the data directory; an SLRU's page has no relation.
type block struct {
	rel core.Rel
	num uint32
}

// clog is the page of pg_xact that all transactions of a stand-in fit on.
var clog = block{}

func (b block) path() string {
	if b == clog {
		return "pg_xact/0000"
	}
	p := fmt.Sprintf("base/%d/%d", b.rel.DB, b.rel.Node)
	if b.rel.Fork != core.MainFork {
		p += "_" + b.rel.Fork.String()
	}
	return p
}

// A pool is the pages in memory, and a checksum of each page that was put out.
type pool struct {
	data   vfs.Client
	loaded func(at core.LSN, r core.Rel, block uint32, page *redo.Page) error
	x      core.LSN // where the server was started

	pages map[block]*redo.Page
	out   map[block]uint32
	// first has, of each fork that was cut, the least number of blocks that it
	// was cut to: from there on nothing is left of before.
	first map[core.Rel]uint32
	// size is the blocks of a fork as far as changes in memory know.
	size map[core.Rel]uint32
}

func (p *pool) init(data vfs.Client, loaded func(core.LSN, core.Rel, uint32, *redo.Page) error) {
	*p = pool{data: data, loaded: loaded, pages: map[block]*redo.Page{}, out: map[block]uint32{}, first: map[core.Rel]uint32{}, size: map[core.Rel]uint32{}}
}

// get is the page in memory, read if it is not there; one beyond the end of
// its file is new.
func (p *pool) get(ctx context.Context, b block) (*redo.Page, error) {
	if page := p.pages[b]; page != nil {
		return page, nil
	}
	page, n := new(redo.Page), 0
	f, err := p.data.OpenFile(ctx, b.path(), vfs.OpenHow{})
	if err == nil {
		n, err = f.ReadAt(ctx, page[:], int64(b.num)*core.PageSize)
		f.Close(ctx)
	} else if vfs.ErrnoOf(err) == vfs.ENOENT {
		err = nil
	}
	if err != nil {
		return nil, fmt.Errorf("read block %d of %s: %w", b.num, b.path(), err)
	}
	if err := p.check(b, page, n); err != nil {
		return nil, err
	}
	p.pages[b] = page
	return page, nil
}

// check compares what was read with what was written.
func (p *pool) check(b block, page *redo.Page, n int) error {
	sum, wrote := p.out[b]
	switch {
	case wrote && (n < len(page) || crc32.ChecksumIEEE(page[:]) != sum):
		return &WrongPage{fmt.Sprintf("block %d of %s is not as it was written", b.num, b.path())}
	case !wrote && p.isCut(b):
		if *page != (redo.Page{}) {
			return &WrongPage{fmt.Sprintf("block %d of %s came back after it was cut off", b.num, b.path())}
		}
	case !wrote && n > 0 && p.loaded != nil && b != clog:
		return p.loaded(p.x, b.rel, b.num, page)
	}
	return nil
}

func (p *pool) isCut(b block) bool {
	first, ok := p.first[b.rel]
	return ok && b.num >= first
}

// A WrongPage is a page that a server read and that cannot be right.
type WrongPage struct{ text string }

func (e *WrongPage) Error() string { return e.text }

// put writes a page to its file and forgets it.
func (p *pool) put(ctx context.Context, b block) error {
	page := p.pages[b]
	if page == nil {
		return nil
	}
	f, err := p.data.OpenFile(ctx, b.path(), vfs.OpenHow{Create: true, Mode: 0o600})
	if err != nil {
		return fmt.Errorf("open %s: %w", b.path(), err)
	}
	defer f.Close(ctx)
	if err := f.WriteAt(ctx, page[:], int64(b.num)*core.PageSize); err != nil {
		return fmt.Errorf("write block %d of %s: %w", b.num, b.path(), err)
	}
	p.out[b] = crc32.ChecksumIEEE(page[:])
	delete(p.pages, b)
	return nil
}

// blocks is the size of a fork: that of its file, or what is in memory beyond.
func (p *pool) blocks(ctx context.Context, r core.Rel) (uint32, error) {
	at, err := p.data.Stat(ctx, block{rel: r}.path())
	if err != nil && vfs.ErrnoOf(err) != vfs.ENOENT {
		return 0, err
	}
	return max(uint32(at.Size/core.PageSize), p.size[r]), nil
}

// grow notes that a block is there from now on.
func (p *pool) grow(b block) { p.size[b.rel] = max(p.size[b.rel], b.num+1) }

// cut makes a fork n blocks long, if it is longer.
func (p *pool) cut(ctx context.Context, r core.Rel, n uint32) error {
	size, err := p.blocks(ctx, r)
	if err != nil || size <= n {
		return err
	}
	if first, ok := p.first[r]; !ok || n < first {
		p.first[r] = n
	}
	p.size[r] = min(p.size[r], n)
	for b := n; b < size; b++ {
		delete(p.pages, block{r, b})
		delete(p.out, block{r, b})
	}
	at, err := p.data.Stat(ctx, block{rel: r}.path())
	if err == nil && at.Size > int64(n)*core.PageSize {
		err = p.data.Truncate(ctx, block{rel: r}.path(), int64(n)*core.PageSize)
	}
	if err != nil && vfs.ErrnoOf(err) != vfs.ENOENT {
		return fmt.Errorf("truncate %s: %w", block{rel: r}.path(), err)
	}
	return nil
}
