package standin

import (
	"context"

	"xenon/core"
	"xenon/core/redo"
	"xenon/core/wal"
)

// A Churn is work on [Heap], or on the log alone, that no client asks for.
type Churn uint8

// The kinds of churn. Each writes at most one record and its transaction's end,
// but for Replay, which writes several.
const (
	Grow     Churn = iota // a block at the end
	Fill                  // a tuple into a block
	Remove                // a tuple deleted
	Vacuum                // a block marked all-visible
	Truncate              // blocks cut off the end
	Bulk                  // a long record, over pages and maybe segments
	Switch                // the rest of the segment left unused
	ChurnKinds
	Replay = ChurnKinds // what PostgreSQL wrote about a relation, a few records on
)

// Do does one piece of churn, of size bytes where that means something. Where
// there is nothing to do it on, nothing happens.
func (s *Server) Do(ctx context.Context, c Churn, size int) error {
	own := s.tasks.Context()
	lsn, touched, err := s.churn(own, c, size)
	if err == nil && lsn != 0 && size%2 == 0 {
		if err = s.log.flush(own, lsn); err == nil {
			err = s.evict(own, touched, lsn)
		}
	}
	if err != nil && ctx.Err() == nil {
		s.panicked(err)
	}
	return err
}

// evict may put out pages that are durable up to lsn.
func (s *Server) evict(ctx context.Context, touched []block, lsn core.LSN) error {
	if err := s.log.mu.LockCtx(ctx); err != nil {
		return err
	}
	defer s.log.mu.Unlock()
	for _, b := range touched {
		if err := s.mayEvict(ctx, b, lsn); err != nil {
			return err
		}
	}
	return nil
}

// churn returns the end of what it wrote, 0 for nothing, and which pages it
// changed.
func (s *Server) churn(ctx context.Context, c Churn, size int) (lsn core.LSN, touched []block, err error) {
	if err := s.log.mu.LockCtx(ctx); err != nil {
		return 0, nil, err
	}
	defer s.log.mu.Unlock()
	times := 1
	if c == Replay {
		times += size % maxReplayed
	}
	xid, ended := uint32(s.counters.NextXID), true
	for range times {
		r, err := s.draw(ctx, c, size, xid)
		if err != nil {
			return 0, nil, err
		}
		if r == nil {
			break
		}
		for i := range r.Blocks {
			touched = append(touched, block{r.Blocks[i].Rel, r.Blocks[i].Block})
		}
		if err := s.change(ctx, r); err != nil {
			return 0, nil, err
		}
		lsn, ended = r.End, ended && r.XID == 0
	}
	if ended {
		return lsn, touched, nil
	}
	last := end(xid, s.micros(), size%7 != 0)
	err = s.change(ctx, last)
	return last.End, touched, err
}

// maxReplayed is how many records of a recorded relation are written at once.
const maxReplayed = 12

// draw makes the record of a piece of churn, nil if there is none to make; xid
// is its transaction's, if it has one.
func (s *Server) draw(ctx context.Context, c Churn, size int, xid uint32) (*wal.Record, error) {
	switch c {
	case Bulk:
		return bulk(size, byte(size)), nil
	case Replay:
		return s.nextRecorded(size, xid), nil
	case Switch:
		if s.log.enc.Pos().SegmentOffset(s.log.format.SegmentSize) == 0 {
			return nil, nil // PostgreSQL writes none there
		}
		return &wal.Record{Rmgr: wal.RmgrXLOG, Info: wal.XLOGSwitch}, nil
	}
	n, err := s.pool.blocks(ctx, rel(Heap))
	if err != nil || n == 0 && c != Grow {
		return nil, err
	}
	if c == Grow {
		if n >= maxHeap {
			return nil, nil
		}
		n += uint32(size) % 3 / 2 // now and then a block is left new, as bulk extension does
		return insertion(new(redo.Page), block{rel(Heap), n}, xid, make([]byte, size%maxValue), false), nil
	}
	if c == Truncate {
		return truncation(rel(Heap), n/2), nil
	}
	b := block{rel(Heap), uint32(size) % n}
	page, err := s.pool.get(ctx, b)
	if err != nil || redo.IsNew(page) {
		return nil, err
	}
	return s.onPage(c, b, page, xid, size), nil
}

// maxHeap is how many blocks [Heap] grows to.
const maxHeap = 40

// onPage makes the record of churn on one block of [Heap].
func (s *Server) onPage(c Churn, b block, page *redo.Page, xid uint32, size int) *wal.Record {
	p := (*heapPage)(page)
	switch c {
	case Fill:
		if p.fits(size % maxValue) {
			return insertion(page, b, xid, make([]byte, size%maxValue), p.allVisible())
		}
	case Remove:
		if n := p.tuples(); n > 0 {
			return deletion(b, xid, 1+size%n, p.allVisible())
		}
	case Vacuum:
		if !p.allVisible() {
			return visible(b)
		}
	}
	return nil
}
