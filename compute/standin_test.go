package compute_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"xenon/compute"
	"xenon/compute/vfs"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/wal"
	"xenon/core/xsync"
)

// A host starts stand-ins for servers, as tasks of its process.
type host struct {
	h *computeHost
	e env.Env
}

// A server does with its two trees what the life of an endpoint can tell
// apart: it starts from the checkpoint that the control file names, commits by
// writing WAL pages and syncing them, reads pages of the data directory,
// edits its settings, shuts down, and dies.
type server struct {
	h     *computeHost
	e     env.Env
	ctx   context.Context // of the mounts: trees answer until it ends
	data  vfs.Client
	wal   vfs.Client
	tasks *xsync.Group
	rand  *rand.Rand
	phase *xsync.Watch[phase]

	enc    *wal.Encoder
	begin  core.LSN // a page boundary
	buf    []byte   // WAL from there
	booted core.LSN // the checkpoint it starts from
	term   core.Term
	err    error // why it ended by itself
}

type phase struct {
	ready, stop, ended bool
	exit               compute.Exit
}

// Start implements compute.Host.
func (h *host) Start(ctx context.Context, l compute.Launch) (compute.Server, error) {
	if h.h.broken != nil {
		return nil, h.h.broken
	}
	s := &server{
		h: h.h, e: h.e, ctx: ctx, data: vfs.Client{Tree: l.Data}, wal: vfs.Client{Tree: l.WAL},
		tasks: xsync.NewGroup(ctx, h.e), rand: h.e.Rand("server"), phase: xsync.NewWatch(h.e, phase{}),
		term: h.h.ep.Status().Term,
	}
	h.h.server = s
	s.tasks.Go("server", s.main)
	return s, nil
}

func (s *server) say(f func(*phase)) {
	s.phase.Update(func(p phase) phase {
		f(&p)
		return p
	})
}

// die ends the server without a word to its disk.
func (s *server) die(reason string) {
	s.say(func(p *phase) {
		if !p.ended {
			p.ended, p.exit = true, compute.Exit{Reason: reason}
		}
	})
}

// AwaitReady implements compute.Server.
func (s *server) AwaitReady(ctx context.Context) error {
	p, err := s.phase.Await(ctx, func(p phase) bool { return p.ready || p.ended })
	if err == nil && p.ended {
		err = errors.New(p.exit.Reason)
	}
	return err
}

// Extend implements compute.Server: nobody reads from this one.
func (s *server) Extend(compute.Bound) {}

// Stop implements compute.Server.
func (s *server) Stop() { s.say(func(p *phase) { p.stop = true }) }

// AwaitExit implements compute.Server.
func (s *server) AwaitExit(ctx context.Context) (compute.Exit, error) {
	p, err := s.phase.Await(ctx, func(p phase) bool { return p.ended })
	return p.exit, err
}

// End implements compute.Server. A task that waits in a tree cannot be killed:
// the trees must answer.
func (s *server) End() {
	s.die("killed")
	s.tasks.Cancel(errors.New("killed"))
	s.tasks.Wait()
}

// main is the server from its start to its end.
func (s *server) main(ctx context.Context) error {
	err := s.startUp()
	if err == nil {
		s.say(func(p *phase) { p.ready = true })
		err = s.work(ctx)
	}
	if err == nil {
		err = s.shutDown()
	}
	if err != nil {
		s.err = err
		s.die(fmt.Sprintf("PANIC: %v", err))
		return nil
	}
	s.say(func(p *phase) {
		if !p.ended {
			p.ended, p.exit = true, compute.Exit{Clean: true, Reason: "shut down"}
		}
	})
	return nil
}

// startUp reads the control file, and checks that recovery from its checkpoint
// would find nothing behind it.
func (s *server) startUp() error {
	b, err := s.data.ReadFile(s.ctx, "global/pg_control")
	if err != nil {
		return err
	}
	ctl, err := wal.DecodeControl(b)
	if err != nil || ctl.State != wal.StateShutDown {
		return s.wrong(fmt.Errorf("control file in state %v: %w", ctl.State, err))
	}
	tail, err := wal.FindEnd(format, s.readWAL, ctl.CheckPointLSN, 0)
	if err != nil || tail.Records != 1 {
		return s.wrong(fmt.Errorf("recovery from %s finds %d records: %w", ctl.CheckPointLSN, tail.Records, err))
	}
	s.booted, s.enc, s.begin = ctl.CheckPointLSN, wal.NewEncoder(format, tail.End, ctl.CheckPointLSN), tail.End&^(core.WALPageSize-1)
	s.buf = make([]byte, tail.End-s.begin)
	if _, err := s.readWAL(s.buf, s.begin); err != nil {
		return err
	}
	for blk := range uint32(blocks) {
		if err := s.read(blk); err != nil {
			return err
		}
	}
	return nil
}

// wrong is an error that no fault explains: unless this server was ended
// meanwhile, the run fails.
func (s *server) wrong(err error) error {
	if s.ctx.Err() == nil {
		s.h.c.w.Fail(err)
	}
	return err
}

func (s *server) readWAL(p []byte, at core.LSN) (int, error) {
	f, err := s.segment(at, vfs.OpenHow{})
	if err != nil {
		return 0, nil // as far as WAL goes
	}
	defer f.Close(s.ctx)
	n := min(uint64(len(p)), uint64(format.SegmentSize)-uint64(at.SegmentOffset(format.SegmentSize)))
	return f.ReadAt(s.ctx, p[:n], int64(at.SegmentOffset(format.SegmentSize)))
}

func (s *server) segment(at core.LSN, how vfs.OpenHow) (*vfs.File, error) {
	return s.wal.OpenFile(s.ctx, core.SegmentName(1, at.Segment(format.SegmentSize), format.SegmentSize), how)
}

// work commits and reads until it is asked to stop, or dead.
func (s *server) work(ctx context.Context) error {
	for {
		p, err := s.phase.Get(), xsync.Cause(ctx)
		switch {
		case err != nil:
			return err
		case p.ended:
			return errors.New(p.exit.Reason)
		case p.stop:
			return nil
		}
		if f := s.h.order; f != nil {
			s.h.outcome = f(s)
			s.h.order = nil
		}
		blk := uint32(s.rand.IntN(blocks))
		if s.h.idle || s.rand.IntN(4) == 0 {
			err = s.read(blk)
		} else {
			err = s.commit(blk)
		}
		if err == nil {
			err = s.e.Clock().Sleep(ctx, time.Duration(1+s.rand.IntN(20))*time.Millisecond)
		}
		if err != nil {
			return err
		}
	}
}

// page is a standard page whose last eight bytes are a value.
func pageOf(v uint64) *[core.PageSize]byte {
	b := new([core.PageSize]byte)
	le := binary.LittleEndian
	le.PutUint16(b[12:], 24)     // lower
	le.PutUint16(b[14:], 8184)   // upper
	le.PutUint16(b[16:], 8192)   // special
	le.PutUint16(b[18:], 0x2004) // size and version
	le.PutUint64(b[8184:], v)
	return b
}

// commit changes a block, and tells the ledger once that is durable. Then the
// page is written: never before its WAL.
func (s *server) commit(blk uint32) error {
	ledger := s.h.on.ledger
	v := ledger.try(blk)
	page := pageOf(v)
	b := wal.Block{Rel: table, Block: blk}
	b.SetImage(wal.PG15, page, wal.ImageOpts{Apply: true, Standard: s.rand.IntN(2) == 0})
	rec := wal.Record{Rmgr: wal.RmgrXLOG, Info: wal.XLOGFPI, Blocks: []wal.Block{b}}
	err := s.flush(&rec)
	ledger.written = append(ledger.written, written{blk, v, rec.End})
	if err != nil {
		return err
	}
	if s.phase.Get().ended {
		return errors.New("dead")
	}
	ledger.ack(blk, v, s.term)
	s.h.acks++
	f, err := s.data.OpenFile(s.ctx, fmt.Sprintf("base/%d/%d", table.DB, table.Node), vfs.OpenHow{})
	if err != nil {
		return err
	}
	defer f.Close(s.ctx)
	return f.WriteAt(s.ctx, page[:], int64(blk)*core.PageSize)
}

// flush appends a record and returns once a quorum has it.
func (s *server) flush(r *wal.Record) (err error) {
	if s.buf, err = s.enc.Append(s.buf, r); err != nil {
		return s.wrong(err)
	}
	at, pages := s.begin, append([]byte(nil), s.buf...)
	pages = append(pages, make([]byte, -len(pages)&(core.WALPageSize-1))...)
	for len(pages) > 0 {
		n := min(len(pages), int(format.SegmentSize-at.SegmentOffset(format.SegmentSize)))
		f, err := s.segment(at, vfs.OpenHow{Create: true, Mode: 0o600})
		if err != nil {
			return err
		}
		err = f.WriteAt(s.ctx, pages[:n], int64(at.SegmentOffset(format.SegmentSize)))
		if err == nil {
			err = f.Sync(s.ctx)
		}
		f.Close(s.ctx)
		if err != nil {
			return err
		}
		at, pages = at+core.LSN(n), pages[n:]
	}
	last := s.enc.Pos() &^ (core.WALPageSize - 1)
	s.buf = append([]byte(nil), s.buf[last-s.begin:]...)
	s.begin = last
	return nil
}

// read checks a block against what was acknowledged.
func (s *server) read(blk uint32) error {
	f, err := s.data.OpenFile(s.ctx, fmt.Sprintf("base/%d/%d", table.DB, table.Node), vfs.OpenHow{})
	if err != nil {
		return err
	}
	defer f.Close(s.ctx)
	b := make([]byte, core.PageSize)
	n, err := f.ReadAt(s.ctx, b, int64(blk)*core.PageSize)
	if err != nil {
		return err
	}
	v := binary.LittleEndian.Uint64(b[8184:])
	if err := s.h.on.ledger.check(blk, v, s.term); err != nil || n != len(b) {
		return s.wrong(fmt.Errorf("a server booted at %s reads %d bytes: %w", s.booted, n, err))
	}
	return nil
}

// shutDown writes the checkpoint of a clean end.
func (s *server) shutDown() error {
	return s.flush(&wal.Record{Rmgr: wal.RmgrXLOG, Info: wal.XLOGNoop, Main: make([]byte, 80)})
}

// set replaces a settings file as ALTER SYSTEM does.
func (s *server) set(name, content string) error {
	if err := s.data.WriteFile(s.ctx, name+".tmp", []byte(content)); err != nil {
		return err
	}
	return s.data.Rename(s.ctx, name+".tmp", name)
}

// has compares a settings file.
func (s *server) has(name, want string) error {
	b, err := s.data.ReadFile(s.ctx, name)
	if err == nil && string(b) != want {
		err = fmt.Errorf("%s says %q, want %q", name, b, want)
	}
	return err
}
