package boot_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"xenon/compute/boot"
	"xenon/compute/vfs"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/wal"
	"xenon/core/xsync"
)

// A server does with the two directories what PostgreSQL does: it inserts
// records into buffers, writes whole WAL pages and flushes them for a group of
// commits, and writes data pages only behind their WAL.
type server struct {
	sim  *sim
	env  env.Env
	data vfs.Client
	wal  vfs.Client

	mu      xsync.Mutex // WALInsertLock: guards what follows
	enc     *wal.Encoder
	buf     []byte // WAL from begin, a page boundary
	begin   core.LSN
	truth   map[uint32]uint64   // what each block must hold
	lsn     map[uint32]core.LSN // of the last change of a block
	buffers map[uint32]uint64   // blocks in memory
	dirty   map[uint32]bool
	next    uint64

	flushing xsync.Mutex // WALWriteLock
	flushed  core.LSN
	segment  *vfs.File
	open     uint64 // its number
}

func newServer(s *sim, e env.Env, plan *boot.Plan, data, walDir vfs.Client, h *history) *server {
	b := plan.Boot
	srv := &server{
		sim: s, env: e, data: data, wal: walDir,
		enc: wal.NewEncoder(format, b.End, b.Start), begin: b.End &^ (core.WALPageSize - 1), flushed: b.End,
		truth: map[uint32]uint64{}, lsn: map[uint32]core.LSN{}, buffers: map[uint32]uint64{}, dirty: map[uint32]bool{},
		next: uint64(b.End) << 16,
	}
	srv.mu.Init(e)
	srv.flushing.Init(e)
	for blk := range uint32(blocks) {
		srv.truth[blk], srv.lsn[blk] = h.values[blk], h.lsns[blk]
	}
	return srv
}

// work runs sessions until one gets an error, as a PANIC ends them all.
func (s *server) work(ctx context.Context) error {
	if err := s.startUp(ctx); err != nil {
		return err
	}
	g := xsync.NewGroup(ctx, s.env)
	for i := range 3 {
		g.Go(fmt.Sprintf("session %d", i), func(ctx context.Context) error { return s.session(ctx, i) })
	}
	return g.Wait()
}

// startUp reads the control file, finds the checkpoint, and takes over the
// page that it is on.
func (s *server) startUp(ctx context.Context) error {
	b, err := s.data.ReadFile(ctx, "global/pg_control")
	if err != nil {
		return err
	}
	ctl, err := wal.DecodeControl(b)
	if err != nil {
		return s.wrong(err)
	}
	tail, err := wal.FindEnd(format, func(p []byte, at core.LSN) (int, error) {
		f, err := s.segmentOf(ctx, at)
		if err != nil {
			return 0, nil
		}
		return f.ReadAt(ctx, p, int64(at.SegmentOffset(format.SegmentSize)))
	}, ctl.CheckPointLSN, 0)
	if err != nil || tail.Records != 1 || tail.End != s.enc.Pos() {
		return s.wrong(fmt.Errorf("recovery from %s finds %d records up to %s, %w", ctl.CheckPointLSN, tail.Records, tail.End, err))
	}
	s.buf = make([]byte, s.enc.Pos()-s.begin)
	if len(s.buf) == 0 {
		return nil
	}
	f, err := s.segmentOf(ctx, s.begin)
	if err != nil {
		return err
	}
	_, err = f.ReadAt(ctx, s.buf, int64(s.begin.SegmentOffset(format.SegmentSize)))
	return err
}

// wrong is an error that no fault explains.
func (s *server) wrong(err error) error {
	s.sim.w.Fail(err)
	return err
}

func (s *server) session(ctx context.Context, i int) error {
	r := s.env.Rand(fmt.Sprintf("session %d", i))
	for {
		var err error
		blk := uint32(r.IntN(blocks))
		switch k := r.IntN(10); {
		case k < 5:
			err = s.commit(ctx, blk)
		case k < 7:
			err = s.evict(ctx, blk)
		default:
			err = s.read(ctx, blk)
		}
		if err != nil {
			return err
		}
		if err := s.env.Clock().Sleep(ctx, time.Duration(r.IntN(10))*time.Millisecond); err != nil {
			return err
		}
	}
}

// commit changes a block and returns when the change is durable.
func (s *server) commit(ctx context.Context, blk uint32) error {
	end, v, err := s.insert(blk, 10+int(blk)*2500)
	if err != nil {
		return s.wrong(err)
	}
	if err := s.flush(ctx, end); err != nil {
		return err
	}
	s.sim.acked[end] = v
	s.sim.commits++
	return nil
}

func (s *server) insert(blk uint32, size int) (end core.LSN, v uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next++
	v = s.next
	main := make([]byte, 12+size)
	binary.LittleEndian.PutUint32(main, blk)
	binary.LittleEndian.PutUint64(main[4:], v)
	if s.buf, err = s.enc.Append(s.buf, &wal.Record{Rmgr: wal.RmgrXLOG, Info: wal.XLOGNoop, Main: main}); err != nil {
		return 0, 0, err
	}
	end = s.enc.Pos()
	s.truth[blk], s.lsn[blk], s.buffers[blk], s.dirty[blk] = v, end, v, true
	return end, v, nil
}

// flush is XLogFlush.
func (s *server) flush(ctx context.Context, upto core.LSN) error {
	if err := s.flushing.LockCtx(ctx); err != nil {
		return err
	}
	defer s.flushing.Unlock()
	if s.flushed >= upto {
		return nil
	}
	s.mu.Lock()
	end := s.enc.Pos()
	from := s.flushed &^ (core.WALPageSize - 1)
	pages := append([]byte(nil), s.buf[from-s.begin:]...)
	s.mu.Unlock()
	pages = append(pages, make([]byte, -len(pages)&(core.WALPageSize-1))...)
	for len(pages) > 0 {
		n := min(len(pages), int(format.SegmentSize-from.SegmentOffset(format.SegmentSize)))
		f, err := s.segmentOf(ctx, from)
		if err != nil {
			return err
		}
		if err := f.WriteAt(ctx, pages[:n], int64(from.SegmentOffset(format.SegmentSize))); err != nil {
			return err
		}
		if err := f.Sync(ctx); err != nil {
			return err
		}
		from, pages = from+core.LSN(n), pages[n:]
	}
	s.flushed = end
	s.mu.Lock()
	defer s.mu.Unlock()
	keep := end &^ (core.WALPageSize - 1)
	s.buf = append([]byte(nil), s.buf[keep-s.begin:]...)
	s.begin = keep
	return nil
}

// segmentOf opens the segment that holds at, and makes it if need be as
// PostgreSQL does: under another name, extended by its last byte, flushed,
// renamed.
func (s *server) segmentOf(ctx context.Context, at core.LSN) (*vfs.File, error) {
	seg := at.Segment(format.SegmentSize)
	if s.segment != nil && s.open == seg {
		return s.segment, nil
	}
	name := core.SegmentName(1, seg, format.SegmentSize)
	f, err := s.wal.OpenFile(ctx, name, vfs.OpenHow{})
	if vfs.ErrnoOf(err) == vfs.ENOENT && s.buf != nil {
		if f, err = s.wal.OpenFile(ctx, "xlogtemp.1", vfs.OpenHow{Create: true, Excl: true, Mode: 0o600}); err != nil {
			return nil, err
		}
		if err = f.WriteAt(ctx, []byte{0}, int64(format.SegmentSize)-1); err == nil {
			err = f.Sync(ctx)
		}
		if err == nil {
			err = s.wal.Rename(ctx, "xlogtemp.1", name)
		}
	}
	if err != nil {
		return nil, err
	}
	s.segment, s.open = f, seg
	return f, nil
}

// evict writes a block out behind its WAL, and forgets it.
func (s *server) evict(ctx context.Context, blk uint32) error {
	s.mu.Lock()
	v, lsn, dirty := s.truth[blk], s.lsn[blk], s.dirty[blk]
	s.mu.Unlock()
	if dirty {
		if err := s.flush(ctx, lsn); err != nil {
			return err
		}
		f, err := s.data.OpenFile(ctx, tablePath, vfs.OpenHow{})
		if err != nil {
			return err
		}
		defer f.Close(ctx)
		if err := f.WriteAt(ctx, pageOf(v, lsn), int64(blk)*core.PageSize); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lsn[blk] == lsn {
		delete(s.buffers, blk)
		delete(s.dirty, blk)
	}
	return nil
}

// read checks that a block that is not in memory is read as it was written
// last, by this server or in its history.
func (s *server) read(ctx context.Context, blk uint32) error {
	s.mu.Lock()
	_, cached := s.buffers[blk]
	want, lsn := s.truth[blk], s.lsn[blk]
	s.mu.Unlock()
	if cached {
		return nil
	}
	f, err := s.data.OpenFile(ctx, tablePath, vfs.OpenHow{})
	if err != nil {
		return err
	}
	defer f.Close(ctx)
	page := make([]byte, core.PageSize)
	n, err := f.ReadAt(ctx, page, int64(blk)*core.PageSize)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lsn[blk] == lsn && (n != len(page) || valueOf(page) != want) {
		return s.wrong(fmt.Errorf("block %d reads %d (%d bytes), want %d of %s", blk, valueOf(page), n, want, lsn))
	}
	if _, now := s.buffers[blk]; !now && s.lsn[blk] == lsn {
		s.buffers[blk] = want
	}
	return nil
}
