package filetree

import (
	"context"
	"fmt"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/pageserver/bootset"
	"xenon/core/xsync"
)

// A Source is where the pages come from that the server has not written: the
// timeline as of the LSN the server started at. The page client is one.
type Source interface {
	// Relations lists the forks in a directory of relations, with their sizes.
	Relations(ctx context.Context, d bootset.Database) ([]bootset.Relation, error)
	// ReadPages fills dst, whole pages, with the blocks of a fork from first
	// on.
	ReadPages(ctx context.Context, r core.Rel, first uint32, dst []byte) error
	// SLRUSegment is all pages of one segment of an SLRU.
	SLRUSegment(ctx context.Context, s core.SLRU, seg uint32) ([]byte, error)
}

// A relBase is the blocks below one file of a relation.
type relBase struct {
	source Source
	rel    core.Rel
	first  uint32 // block of the fork at which the file begins
}

func (b relBase) ReadBlocks(ctx context.Context, first uint32, dst []byte) error {
	return b.source.ReadPages(ctx, b.rel, b.first+first, dst)
}

// An slruBase is the pages below one segment of an SLRU. They come in one
// piece, and are kept: a segment is 256 KiB at most, and a server goes through
// its pages one by one.
type slruBase struct {
	source Source
	slru   core.SLRU
	seg    uint32
	blocks uint32

	mu    xsync.Mutex
	pages []byte
}

func newSLRUBase(e env.Env, src Source, s core.SLRU, seg, blocks uint32) *slruBase {
	b := &slruBase{source: src, slru: s, seg: seg, blocks: blocks}
	b.mu.Init(e)
	return b
}

func (b *slruBase) ReadBlocks(ctx context.Context, first uint32, dst []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pages == nil {
		pages, err := b.source.SLRUSegment(ctx, b.slru, b.seg)
		if err != nil {
			return err
		}
		// There may be more by now: the server has written those itself.
		if len(pages) < int(b.blocks)*core.PageSize {
			return fmt.Errorf("%s segment %04X has %d bytes, want %d pages: %w", b.slru.Dir(), b.seg, len(pages), b.blocks, env.ErrCorrupt)
		}
		b.pages = pages
	}
	copy(dst, b.pages[int(first)*core.PageSize:])
	return nil
}
