// Package waltool looks into WAL for people: which records there are, what they
// say, what they cost.
//
// A [Source] is WAL on a disk, a [Selection] chooses records of it; start at
// [Dump] and [Stats].
package waltool

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"xenon/core"
	"xenon/core/wal"
	"xenon/core/wal/segments"
)

// A Source is WAL in a directory or a file, or, with a Stream and no Set, of a
// branch.
type Source struct {
	Set    *segments.Set
	Stream *Stream
	Name   string
}

// Open opens path: a directory of segments, one that has them in pg_wal or wal
// (a data directory, a corpus), or one segment. tli is PostgreSQL's timeline, 0
// for the newest there.
func Open(path string, tli uint32) (*Source, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	s := &Source{Name: path}
	if !info.IsDir() {
		s.Set, err = segments.OpenFile(os.DirFS(filepath.Dir(path)), filepath.Base(path))
		return s, err
	}
	for _, below := range []string{"pg_wal", "wal"} {
		if info, err := os.Stat(filepath.Join(path, below)); err == nil && info.IsDir() {
			s.Name = filepath.Join(path, below)
			break
		}
	}
	if s.Set, err = segments.Open(os.DirFS(s.Name), ".", tli); err != nil {
		return nil, fmt.Errorf("%s: %w", s.Name, err)
	}
	return s, nil
}

// start is where the source begins.
func (s *Source) start() core.LSN {
	if s.Stream != nil {
		return s.Stream.Begin
	}
	return s.Set.Start()
}

// An End is where a scan ended, and why.
type End struct {
	LSN  core.LSN `json:"end"` // of the last record
	Stop string   `json:"stop"`
	// Damaged tells that this is no way for a log to end.
	Damaged bool `json:"damaged"`
	// Asked tells that the caller wanted no more.
	Asked bool `json:"-"`
}

// endOf says in words why a reader ended. A log may end in zeroes, in what a
// reused segment held before, in the middle of a record that never was written
// whole; it may not go on behind that.
func endOf(r *segments.Reader) End {
	e := End{LSN: r.End()}
	var bad *wal.InvalidError
	var missing *segments.MissingError
	stop := r.Stop()
	torn := ""
	if p := r.Partial(); p != r.End() {
		torn = fmt.Sprintf("; the record that begins at %s is not complete", p)
	}
	switch {
	case errors.As(stop, &missing):
		e.Stop, e.Damaged = missing.Error()+torn, missing.Gap
	case errors.Is(stop, wal.ErrEndOfLog):
		e.Stop = fmt.Sprintf("end of WAL at %s: only zeroes follow%s", r.End(), torn)
	case errors.As(stop, &bad):
		e.Stop, e.Damaged = flaw(bad)
	case stop != nil:
		e.Stop = stop.Error() + torn
	}
	if next, ok := r.GoesOn(r.Partial()); ok && bad != nil {
		e.Stop, e.Damaged = fmt.Sprintf("%s; and yet WAL goes on in the segment at %s: this one is damaged", e.Stop, next), true
	}
	return e
}

// flaw tells what a flaw at the end of a log means.
func flaw(bad *wal.InvalidError) (text string, damaged bool) {
	switch bad.Flaw {
	case wal.BadCRC, wal.BadContent:
		return fmt.Sprintf("%v: the last write was torn by a crash, or these bytes are damaged", bad), true
	case wal.BadPage, wal.BadPrev:
		return fmt.Sprintf("end of WAL, or a segment that is reused: %v", bad), false
	}
	return fmt.Sprintf("end of WAL: %v", bad), false
}

// followEvery is how often a scan that follows looks for more.
const followEvery = 200 * time.Millisecond

// A Scan reads the records of a source.
type Scan struct {
	Start, End core.LSN // 0: the beginning, no end
	// Follow waits for more at the end of the log, until Done is closed.
	Follow bool
	Done   <-chan struct{}
	// Progress is told how many bytes of how many are read, now and then.
	Progress func(done, total int64)
}

// progressEvery is how many records pass between two calls of Progress.
const progressEvery = 1 << 12

// run calls f for each record until it returns false.
func (c *Scan) run(s *Source, f func(*wal.Record) (bool, error)) (End, error) {
	if s.Stream != nil {
		return c.stream(s, f)
	}
	if c.Start != 0 && (c.Start < s.Set.Start() || s.Set.Bytes(c.Start, 0) == 0) {
		return End{}, fmt.Errorf("%s has no WAL at %s: its segments are %s to %s", s.Name, c.Start, s.Set.Start(), s.Set.Start()+core.LSN(s.Set.Bytes(s.Set.Start(), 0)))
	}
	r := s.Set.NewReader(c.Start)
	defer r.Close()
	start := max(c.Start, s.Set.Start())
	total := s.Set.Bytes(start, c.End)
	for n := 1; ; n++ {
		rec, err := r.Next()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				return End{LSN: r.End()}, err
			}
			if c.Follow && !damaged(r) && c.wait() {
				if err := s.Set.Refresh(); err != nil {
					return endOf(r), err
				}
				continue
			}
			return endOf(r), nil
		}
		if c.End != 0 && rec.Start >= c.End {
			return End{LSN: rec.Start, Stop: fmt.Sprintf("the end that was asked for, %s", c.End), Asked: true}, nil
		}
		if n%progressEvery == 0 && c.Progress != nil {
			c.Progress(int64(rec.End-start), total)
		}
		if goOn, err := f(rec); err != nil || !goOn {
			return End{LSN: rec.End, Stop: "as many as were asked for", Asked: true}, err
		}
	}
}

// damaged tells whether waiting cannot help: WAL goes on behind.
func damaged(r *segments.Reader) bool { return endOf(r).Damaged && goesOn(r) }

func goesOn(r *segments.Reader) bool {
	_, ok := r.GoesOn(r.Partial())
	return ok
}

// wait tells whether to look again.
func (c *Scan) wait() bool {
	select {
	case <-c.Done:
		return false
	case <-time.After(followEvery):
		return true
	}
}
