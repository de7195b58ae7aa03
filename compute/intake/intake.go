// Package intake finds out, from the WAL pages that a server writes, which
// WAL is complete, hands it to a quorum, and says when a flush may return.
//
// A server writes whole pages, the last one again and again as it fills. What
// lies below the last page written is final; of the last page only what
// decodes as complete records is sure, because the server alone knows up to
// where it meant to write. So complete records, and nothing else, go to the
// quorum, and a flush waits for those that lie in the pages written before it:
// an incomplete tail is a record whose flush is still to come.
//
// A record that no timeline can keep is refused here, before anything is
// committed behind it: once a quorum had it, ingest would stop there for ever,
// and no server could start on the branch again.
//
// Start at [Stream].
package intake

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
	"xenon/core/redo"
	"xenon/core/wal"
	"xenon/core/xsync"
)

// A Quorum makes WAL durable. The proposer's driver is one.
type Quorum interface {
	// Offer appends complete records to the log; begin is where the last
	// offer ended. wal is only valid during the call. It does not wait for
	// safekeepers. After an error the log takes nothing more.
	Offer(begin core.LSN, wal []byte) error
	// Committed is the LSN up to which a majority has flushed.
	Committed() core.LSN
	// AwaitCommit returns nil once Committed is lsn or later. An error means
	// that this will never be known here: a higher term was seen, or ctx
	// ended.
	AwaitCommit(ctx context.Context, lsn core.LSN) error
}

// ErrFenced is what every write and flush of a stream wraps once it was ended.
var ErrFenced = errors.New("the WAL of this server takes no more")

// Config says where a stream begins.
type Config struct {
	Format wal.Format
	// Start is the end of the last record that the quorum was given before the
	// server started, the synthetic checkpoint; Prev is where it began.
	Start, Prev core.LSN
	// Page holds the bytes from the start of Start's page up to Start, as they
	// stand in the segment that the server was given. Empty if Start is a page
	// boundary.
	Page []byte
	// OnFail is called once, with the reason, when the stream ends by an error
	// of its own finding. It must not call back.
	OnFail func(error)
}

// A Stream is the WAL that one server writes. Its methods may be called
// concurrently; waits are in Flush alone.
type Stream struct {
	format wal.Format
	quorum Quorum
	onFail func(error)

	mu  xsync.Mutex
	dec *wal.Decoder
	// What ingest will do with each record: it must be able to. Its errors do
	// not depend on the counters.
	effects  redo.Effects
	counters redo.Counters
	// pages are the bytes from begin, a page boundary, up to written. The last
	// page of them may still be rewritten.
	pages   []byte
	begin   core.LSN
	written core.LSN // end of the last page written
	offered core.LSN // end of the last record given to the quorum
	ready   core.LSN // end of the last complete record that lies below written
	decoded core.LSN // end of the last record decoded; past written if it is a switch
	failed  error
}

// keepPages bounds the memory that a stream keeps after a long record.
const keepPages = 4 << 20

// New makes the stream of a server that starts at cfg.Start.
func New(e env.Env, cfg Config, q Quorum) *Stream {
	page := pageOf(cfg.Start)
	core.Must(core.LSN(len(cfg.Page)) == cfg.Start-page, "stream at %s begins with %d bytes of its page", cfg.Start, len(cfg.Page))
	s := &Stream{
		format: cfg.Format, quorum: q, onFail: cfg.OnFail,
		dec:   wal.NewDecoder(cfg.Format, cfg.Start, cfg.Prev),
		pages: append([]byte(nil), cfg.Page...), begin: page,
		offered: cfg.Start, ready: cfg.Start, decoded: cfg.Start, written: cfg.Start,
	}
	s.mu.Init(e)
	return s
}

func pageOf(l core.LSN) core.LSN { return l &^ (core.WALPageSize - 1) }

// Write takes the pages that the server wrote at LSN at: whole pages that
// begin with the last page written before, or right behind it. Complete
// records in them go to the quorum before it returns.
func (s *Stream) Write(at core.LSN, b []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil {
		return s.failed
	}
	err := s.take(at, b)
	if err != nil {
		s.fail(err)
		return s.failed
	}
	return nil
}

func (s *Stream) take(at core.LSN, b []byte) error {
	if at%core.WALPageSize != 0 || len(b) == 0 || len(b)%core.WALPageSize != 0 {
		return fmt.Errorf("WAL write of %d bytes at %s: want whole pages", len(b), at)
	}
	// A page that was written in full and ended at a record's end is not
	// written again; any other last page is.
	last := s.lastPage()
	if at != last && at != s.written {
		return fmt.Errorf("WAL write at %s: want it at %s, where the last page begins", at, last)
	}
	if err := s.unchanged(at, b); err != nil {
		return err
	}
	s.pages = append(s.pages[:at-s.begin], b...)
	s.written = at + core.LSN(len(b))
	if err := s.decode(); err != nil {
		return err
	}
	if err := s.offer(); err != nil {
		return err
	}
	s.trim()
	return nil
}

// lastPage is where the last page begins that is not known to be final.
func (s *Stream) lastPage() core.LSN {
	if s.written == s.begin {
		return s.begin
	}
	return pageOf(s.written - 1)
}

// unchanged checks that a page written again still has the bytes that were
// given to the quorum: they can never be taken back.
func (s *Stream) unchanged(at core.LSN, b []byte) error {
	if at >= s.offered || faults.On && faults.Hit(faults.WALRewriteUnseen) {
		return nil
	}
	n := min(int(s.offered-at), len(b))
	if !bytes.Equal(s.pages[at-s.begin:][:n], b[:n]) {
		return fmt.Errorf("WAL written again at %s differs from what was written before: %w", at, env.ErrCorrupt)
	}
	return nil
}

// decode reads what is new: first the pages that are final, where any flaw
// means that the server's WAL is broken, then the last one, whose flaws may
// just be bytes that are yet to come.
func (s *Stream) decode() error {
	last := s.lastPage()
	at := s.dec.Retreat()
	if at < last {
		if err := s.decodeTo(at, last); err != nil {
			return fmt.Errorf("WAL that the server wrote: %w", err)
		}
		s.dec.Mark()
		at = last
	}
	if at < s.written {
		if err := s.decodeTo(at, s.written); err != nil && !unfinished(err) {
			return fmt.Errorf("WAL that the server wrote: %w", err)
		}
	}
	return nil
}

// unfinished tells whether an error of the last page may go away when the
// server writes the page again: behind what the server meant to write stand
// zeroes, and records of which any part may have been copied there. Zeroes and
// parts have no resource manager that is none, and no checksum that fits: a
// flush must not leave such a record, and the commits behind it, to later.
func unfinished(err error) bool {
	var flaw *wal.InvalidError
	if !errors.As(err, &flaw) {
		return false
	}
	return flaw.Flaw != wal.BadContent && flaw.Flaw != wal.BadHeader || faults.On && faults.Hit(faults.TailExcused)
}

func (s *Stream) decodeTo(from, to core.LSN) error {
	if err := s.dec.Feed(from, s.pages[from-s.begin:to-s.begin]); err != nil {
		return err
	}
	for {
		rec, ok, err := s.dec.Next()
		if !ok || err != nil {
			return err
		}
		core.Must(rec.End >= s.decoded, "record at %s ends at %s, before the one before it at %s", rec.Start, rec.End, s.decoded)
		if err := s.keepable(rec); err != nil {
			return err
		}
		s.decoded = rec.End
		if rec.End <= s.written {
			s.ready = rec.End
		}
	}
}

// keepable tells whether a timeline can take in a record.
func (s *Stream) keepable(rec *wal.Record) error {
	if faults.On && faults.Hit(faults.UnkeptOffered) {
		return nil
	}
	_, err := s.effects.Decode(rec, &s.counters)
	return err
}

// offer gives the quorum the complete records. A switch ends with its
// segment, whose rest is written behind it; until then it waits.
func (s *Stream) offer() error {
	if s.decoded <= s.written {
		s.ready = s.decoded
	}
	to := s.ready
	if to == s.offered {
		return nil
	}
	if err := s.quorum.Offer(s.offered, s.pages[s.offered-s.begin:to-s.begin]); err != nil {
		return fmt.Errorf("offer WAL from %s to %s: %w", s.offered, to, err)
	}
	s.offered = to
	return nil
}

// trim lets go of what neither the decoder nor the quorum needs any more.
func (s *Stream) trim() {
	keep := min(pageOf(s.offered), s.lastPage())
	if keep <= s.begin {
		return
	}
	n := copy(s.pages, s.pages[keep-s.begin:])
	s.pages = s.pages[:n]
	s.begin = keep
	if cap(s.pages) > keepPages && n < keepPages {
		s.pages = append(make([]byte, 0, keepPages), s.pages...)
	}
}

// Flush returns nil once a quorum has flushed every record that was complete
// in the pages written before the call. It never returns early for any other
// reason than an error, after which the stream is over.
func (s *Stream) Flush(ctx context.Context) error {
	s.mu.Lock()
	target, failed := s.offered, s.failed
	s.mu.Unlock()
	if failed != nil {
		return failed
	}
	if faults.On && faults.Hit(faults.FlushBeforeQuorum) {
		return nil
	}
	if s.quorum.Committed() >= target {
		return nil
	}
	if err := s.quorum.AwaitCommit(ctx, target); err != nil {
		return fmt.Errorf("flush of WAL up to %s: %w: %w", target, ErrFenced, err)
	}
	return nil
}

// FlushSegment is Flush for the file of a segment. A segment that holds no
// WAL yet has nothing to wait for: a server flushes it when it makes it, under
// a lock that a wait for the quorum must not hold.
func (s *Stream) FlushSegment(ctx context.Context, seg uint64) error {
	s.mu.Lock()
	empty := core.SegmentStart(seg, s.format.SegmentSize) >= s.written && s.failed == nil
	s.mu.Unlock()
	if empty {
		return nil
	}
	return s.Flush(ctx)
}

// Fence ends the stream: every later call fails with err. Flushes that wait
// are woken by the quorum, which whoever fences ends as well.
func (s *Stream) Fence(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil {
		s.failed = fmt.Errorf("%w: %w", ErrFenced, err)
	}
}

func (s *Stream) fail(err error) {
	s.failed = fmt.Errorf("%w: %w", ErrFenced, err)
	if s.onFail != nil {
		s.onFail(err)
	}
}

// Written is the end of the last page written, and Offered the end of the
// last complete record in it.
func (s *Stream) Written() (written, offered core.LSN) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.written, s.offered
}
