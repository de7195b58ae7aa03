package crosscheck

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"xenon/compute/filetree"
	"xenon/compute/pageclient"
	"xenon/compute/vfs"
	"xenon/core"
	"xenon/core/faults"
	"xenon/core/redo"
	"xenon/core/xsync"
)

const (
	// queueLimit bounds the pages that wait, to 8 MiB. A checkpoint writes
	// thousands at once.
	queueLimit = 1024
	// commitPatience is how long the WAL of a page is waited for. Whoever builds
	// an index writes pages before their WAL is flushed; that happens at the
	// latest when he commits, and mostly within the walwriter's 200 ms.
	commitPatience = 10 * time.Second
	// batchLimit is how many are asked for together: as many as a pageserver
	// makes together.
	batchLimit = 32
	// gistBuildLSN is the LSN of pages that GiST builds (GistBuildLSN,
	// src/include/access/gist.h).
	gistBuildLSN core.LSN = 1
)

// A Quorum commits the server's WAL. The proposer's driver is one.
type Quorum interface {
	// Committed is the commit LSN now; it does not wait.
	Committed() core.LSN
	// AwaitCommit waits until it is lsn or later.
	AwaitCommit(ctx context.Context, lsn core.LSN) error
}

// A Life is one server whose pages are looked at.
type Life struct {
	Branch string
	TTID   core.TTID
	// Boot is X, the LSN at which the server started.
	Boot   core.LSN
	Quorum Quorum
	Pages  Pages
}

// A Sampler chooses pages of one server, and compares them as a task. It is a
// filetree.Watcher.
type Sampler struct {
	c    *Checker
	life Life

	queue   *xsync.Queue[*sample]
	pending atomic.Int64 // samples in the queue and at hand
	over    atomic.Bool  // the queue is closed

	// Of the task alone.
	batch    [batchLimit]*sample
	versions []pageclient.Version
	rebuilt  []byte

	mu   sync.Mutex // leaf
	free []*sample
}

// A sample is a page as it was written.
type sample struct {
	pageclient.Version
	page   redo.Page
	commit core.LSN // when it was written
	inCopy bool     // its database was made by this server
}

// Sampler makes the sampler of a server. Run is to be its task.
func (c *Checker) Sampler(l Life) *Sampler {
	return &Sampler{c: c, life: l, queue: xsync.NewQueue[*sample](c.env, queueLimit), rebuilt: make([]byte, batchLimit*core.PageSize)}
}

var _ filetree.Watcher = (*Sampler)(nil)

// Wants tells whether to look at a page that was written. It implements
// filetree.Watcher.
func (s *Sampler) Wants(file vfs.NodeID, block int64, page []byte) bool {
	return hash(uint64(file), block, redo.PageLSN((*redo.Page)(page))) <= s.c.limit
}

// Position is the commit LSN. It implements filetree.Watcher.
func (s *Sampler) Position() core.LSN { return s.life.Quorum.Committed() }

// Take looks at a page later, unless it cannot be compared. It does not wait.
func (s *Sampler) Take(w filetree.WrittenPage) {
	lsn, commit := redo.PageLSN((*redo.Page)(w.Page)), s.life.Quorum.Committed()
	if r := s.unfit(&w, lsn); r != reasons {
		s.c.skip(r)
		return
	}
	x := s.spare()
	x.Version = pageclient.Version{Rel: w.Rel, Block: w.Block, LSN: lsn}
	x.commit, x.inCopy = commit, w.Made != 0
	copy(x.page[:], w.Page)
	if faults.On && faults.Hit(faults.SampleFlipped) {
		x.page[27] ^= 0x10 // the length of the first line pointer
	}
	s.pending.Add(1)
	if !s.queue.TryPush(x) {
		s.done(x)
		if s.over.Load() {
			s.c.skip(Ended)
		} else {
			s.c.skip(Behind)
		}
	}
}

// unfit is why a page cannot be compared, reasons if it can.
func (s *Sampler) unfit(w *filetree.WrittenPage, lsn core.LSN) Reason {
	switch {
	case w.Rel.Fork != core.MainFork:
		return NotMain
	case w.Unlogged:
		return Unlogged
	case lsn <= gistBuildLSN:
		return NoLSN
	case w.Made != 0 && lsn <= w.Made:
		return Copied
	case lsn <= s.life.Boot:
		return Unchanged
	case w.Made != 0 && isRevmap((*redo.Page)(w.Page), w.Block):
		return Copied
	}
	return reasons
}

// isRevmap tells whether a page maps the ranges of a BRIN index. Where CREATE
// DATABASE logs whole pages it takes the map for a hole, so that replay, any
// server's, forgets the summaries; the server that did it has them still.
func isRevmap(p *redo.Page, block uint32) bool {
	const revmap = 0xF092 // BRIN_PAGETYPE_REVMAP (src/include/access/brin_page.h)
	kind := uint16(p[core.PageSize-2]) | uint16(p[core.PageSize-1])<<8
	return block > 0 && kind == revmap
}

// spare is a sample to fill.
func (s *Sampler) spare() *sample {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.free); n > 0 {
		x := s.free[n-1]
		s.free = s.free[:n-1]
		return x
	}
	return new(sample)
}

// spareLimit bounds the samples that are kept for reuse.
const spareLimit = 2 * batchLimit

// done takes a sample back.
func (s *Sampler) done(x *sample) {
	s.pending.Add(-1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.free) < spareLimit {
		s.free = append(s.free, x)
	}
}

// Run compares what was taken until ctx ends.
func (s *Sampler) Run(ctx context.Context) error {
	for {
		n, err := s.queue.PopMany(ctx, s.batch[:])
		if err != nil {
			s.abandon()
			return nil
		}
		s.check(ctx, s.committed(ctx, s.batch[:n]))
		for _, x := range s.batch[:n] {
			s.done(x)
		}
	}
}

// committed waits for the WAL of a batch, and moves the pages to the front
// whose WAL is there. The others are counted.
func (s *Sampler) committed(ctx context.Context, batch []*sample) []*sample {
	last := core.LSN(0)
	for _, x := range batch {
		last = max(last, x.LSN)
	}
	if s.life.Quorum.Committed() < last {
		wait, cancel := xsync.WithTimeout(ctx, s.c.env, commitPatience)
		_ = s.life.Quorum.AwaitCommit(wait, last) // what came of it is seen below
		cancel()
	}
	commit, n := s.life.Quorum.Committed(), 0
	for i, x := range batch {
		if x.LSN > commit {
			s.c.skip(Uncommitted)
			continue
		}
		batch[i], batch[n] = batch[n], x
		n++
	}
	return batch[:n]
}

// abandon counts what nobody will look at.
func (s *Sampler) abandon() {
	s.over.Store(true)
	s.queue.Close(nil)
	for {
		x, ok := s.queue.TryPop()
		if !ok {
			return
		}
		s.c.skip(Ended)
		s.done(x)
	}
}

// Drain waits until everything taken was compared, for patience at most. A
// server that shuts down writes all it has.
func (s *Sampler) Drain(ctx context.Context, patience time.Duration) {
	const step = 10 * time.Millisecond
	clock := s.c.env.Clock()
	for began := clock.Mono(); s.pending.Load() > 0 && clock.Mono().Sub(began) < patience; {
		if clock.Sleep(ctx, step) != nil {
			return
		}
	}
}
