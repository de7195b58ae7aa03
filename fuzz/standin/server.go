package standin

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"xenon/core"
	"xenon/core/faults"
	"xenon/core/redo"
	"xenon/core/wal"
)

// Keys is how many keys there are. Key k is block k of [Table], and what a
// cluster is made with has the first half of them.
const Keys = 8

// maxValue is the longest value; a page holds several versions of it.
const maxValue = 1000

// boot finds the checkpoint that the control file names, as a server does that
// was shut down cleanly, and continues the log behind it.
func (s *Server) boot(ctx context.Context) error {
	b, err := s.data.ReadFile(ctx, "global/pg_control")
	if err != nil {
		return err
	}
	ctl, err := wal.DecodeControl(b)
	if err != nil {
		return err
	}
	if ctl.State != wal.StateShutDown {
		return fmt.Errorf("the control file says %q", ctl.State)
	}
	s.log.format = ctl.Format()
	rec, err := s.checkpoint(ctx, ctl.CheckPointLSN)
	if err != nil {
		return err
	}
	ck, err := ctl.Version().DecodeCheckPoint(rec.Main)
	if err != nil {
		return err
	}
	if ck.NextXID != ctl.CheckPoint.NextXID {
		return fmt.Errorf("checkpoint at %s has next xid %d, the control file %d", rec.Start, ck.NextXID, ctl.CheckPoint.NextXID)
	}
	s.x, s.counters = rec.End, redo.CountersOf(ctl)
	s.checkPoint, s.pool.x = ck, rec.Start
	if s.opts.Played != nil {
		s.played = s.opts.Played(rec.Start)
	}
	if err := s.log.start(ctx, ctl.Format(), rec.End, rec.Start); err != nil {
		return err
	}
	_, err = s.pool.get(ctx, clog)
	return err
}

// checkpoint reads the record at lsn, which must be the last.
func (s *Server) checkpoint(ctx context.Context, lsn core.LSN) (*wal.Record, error) {
	d := wal.NewDecoder(s.log.format, lsn, 0)
	var page [core.WALPageSize]byte
	for {
		at := d.Pos()
		n, err := s.log.readSegment(ctx, page[:core.WALPageSize-at%core.WALPageSize], at)
		if err != nil {
			return nil, err
		}
		if err := d.Feed(at, page[:n]); err != nil {
			return nil, err
		}
		rec, ok, err := d.Next()
		if err != nil {
			return nil, fmt.Errorf("checkpoint record at %s: %w", lsn, err)
		}
		if !ok {
			continue
		}
		rec = rec.Clone()
		if rec.Rmgr != wal.RmgrXLOG || rec.Op() != wal.XLOGCheckpointShutdown {
			return nil, fmt.Errorf("record at %s is %s, want a shutdown checkpoint", lsn, rec.Name())
		}
		return rec, nil
	}
}

// shutDown writes the checkpoint of a clean end.
func (s *Server) shutDown(ctx context.Context) error {
	if err := s.log.mu.LockCtx(ctx); err != nil {
		return err
	}
	ck := s.checkPoint
	s.counters.Into(&ck)
	ck.Redo = s.log.format.RecordStart(s.log.enc.Pos())
	r := &wal.Record{Rmgr: wal.RmgrXLOG, Info: wal.XLOGCheckpointShutdown, Main: wal.PG15.AppendCheckPoint(nil, ck)}
	err := s.log.insert(r)
	s.log.mu.Unlock()
	if err != nil {
		return err
	}
	return s.log.flush(ctx, r.End)
}

// change inserts a record and does to the pages what it says. The caller holds
// log.mu.
func (s *Server) change(ctx context.Context, r *wal.Record) error {
	for i := range r.Blocks { // read before the record is there: nothing may fail behind it
		if _, err := s.pool.get(ctx, block{r.Blocks[i].Rel, r.Blocks[i].Block}); err != nil {
			return err
		}
	}
	if err := s.log.insert(r); err != nil {
		return err
	}
	for i := range r.Blocks {
		b := &r.Blocks[i]
		s.pool.grow(block{b.Rel, b.Block})
		page, err := s.pool.get(ctx, block{b.Rel, b.Block})
		if err == nil {
			_, err = s.applier.Apply(page, r, b)
		}
		if err != nil {
			return err
		}
	}
	if err := s.create(ctx, r); err != nil {
		return err
	}
	effects, err := s.effects.Decode(r, &s.counters)
	if err != nil {
		return err
	}
	for i := range effects {
		if err := s.effect(ctx, &effects[i]); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) effect(ctx context.Context, e *redo.Effect) error {
	switch e.Kind {
	case redo.PatchPage:
		b := clog
		if r, n, ok := core.BlockOfKey(e.Key); ok {
			if size, err := s.pool.blocks(ctx, r); err != nil || n >= size {
				return err
			}
			b = block{r, n}
		}
		page, err := s.pool.get(ctx, b)
		if err != nil {
			return err
		}
		return e.Patch.Apply(page)
	case redo.RelTruncate:
		return s.pool.cut(ctx, e.Rel, e.Blocks)
	}
	return nil
}

// ErrAborted says for certain that a write was not done and never will be.
var ErrAborted = errors.New("transaction aborted")

// Put sets a key and returns the end of the commit record once a quorum has
// it. After any other error than [ErrAborted] the outcome is not known.
func (s *Server) Put(ctx context.Context, key int, value string, abort bool) (core.LSN, error) {
	if len(value) > maxValue || strings.HasSuffix(value, pad) {
		return 0, fmt.Errorf("value of %d bytes: %w", len(value), ErrAborted)
	}
	if err := s.rows[key].LockCtx(ctx); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrAborted, err)
	}
	defer s.rows[key].Unlock()
	// From here on the transaction is the server's, which nobody cancels.
	ctx = s.tasks.Context()
	xid, lsn, err := s.write(ctx, key, value, !abort)
	if err == nil && abort {
		err = ErrAborted
	}
	if err == nil {
		err = s.log.flush(ctx, lsn)
	}
	if err == nil {
		err = s.settle(ctx, xid, []block{{rel(Table), uint32(key)}}, lsn)
	}
	if err != nil && !errors.Is(err, ErrAborted) {
		s.panicked(err)
	}
	return lsn, err
}

// pad is what values are filled up with: it is no part of them.
const pad = "."

// write makes the WAL of a transaction.
func (s *Server) write(ctx context.Context, key int, value string, commit bool) (xid uint32, lsn core.LSN, err error) {
	if err := s.log.mu.LockCtx(ctx); err != nil {
		return 0, 0, fmt.Errorf("%w: %w", ErrAborted, err)
	}
	defer s.log.mu.Unlock()
	xid = uint32(s.counters.NextXID)
	if err := s.insert(ctx, block{rel(Table), uint32(key)}, xid, []byte(value)); err != nil {
		return 0, 0, err
	}
	last := end(xid, s.micros(), commit)
	if err := s.change(ctx, last); err != nil {
		return 0, 0, err
	}
	if commit && !(faults.On && faults.Hit(faults.ShowUncommitted)) {
		s.running[xid] = true
	}
	return xid, last.End, nil
}

// mayEvict puts a page out if the dice say so and its WAL is durable, as it is
// up to lsn. The caller holds log.mu.
func (s *Server) mayEvict(ctx context.Context, b block, lsn core.LSN) error {
	p := s.pool.pages[b]
	squeezed := s.opts.Squeeze != nil && s.opts.Squeeze()
	if p == nil || s.dice.IntN(1000) >= s.opts.Evictions && !squeezed || redo.PageLSN(p) > lsn {
		return nil
	}
	return s.pool.put(ctx, b)
}

// prune replaces a full page by one that has its visible version alone, and
// returns what the page is then: a new one if there is none.
func (s *Server) prune(ctx context.Context, b block, page *redo.Page) (*redo.Page, error) {
	xmin, data, err := s.newest(ctx, page)
	if err != nil || xmin == 0 {
		return new(redo.Page), err
	}
	var fresh redo.Page
	r := insertion(&fresh, b, xmin, data, false)
	r.End = 1
	if _, err := s.applier.Apply(&fresh, r, &r.Blocks[0]); err != nil {
		return nil, err
	}
	return page, s.change(ctx, image(b, &fresh))
}

// newest is the version that a reader sees. The caller holds log.mu.
func (s *Server) newest(ctx context.Context, page *redo.Page) (xmin uint32, data []byte, err error) {
	status, err := s.pool.get(ctx, clog)
	if err != nil {
		return 0, nil, err
	}
	xmin, data = newest(page, status, s.running)
	return xmin, data, nil
}

// newest is the version that a reader sees who takes those running for not
// committed.
func newest(page, clog *redo.Page, running map[uint32]bool) (xmin uint32, data []byte) {
	p := (*heapPage)(page)
	for n := p.tuples(); n > 0; n-- {
		xmin, data := p.tuple(n)
		if xmin != 0 && committed(clog, xmin) && !running[xmin] {
			return xmin, data
		}
	}
	return 0, nil
}

// Value is what a server that starts with these pages finds under the key
// whose page it is; clog is the first page of pg_xact.
func Value(page, clog *redo.Page) string {
	_, data := newest(page, clog, nil)
	return strings.TrimRight(string(data), pad)
}

// Get is the value of a key, "" if it has none.
func (s *Server) Get(ctx context.Context, key int) (string, error) {
	v, err := s.read(ctx, key)
	if err == nil {
		err = s.leash.answer(ctx)
	}
	return v, err
}

func (s *Server) read(ctx context.Context, key int) (string, error) {
	if err := s.log.mu.LockCtx(ctx); err != nil {
		return "", err
	}
	defer s.log.mu.Unlock()
	page, err := s.pool.get(s.tasks.Context(), block{rel(Table), uint32(key)})
	if err != nil {
		s.panicked(err)
		return "", err
	}
	_, data, err := s.newest(ctx, page)
	return strings.TrimRight(string(data), pad), err
}

// micros is the time as PostgreSQL has it: microseconds since 2000.
func (s *Server) micros() int64 { return s.env.Clock().Now().UnixMicro() - 946684800_000_000 }
