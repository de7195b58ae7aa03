package corpus

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"xenon/core"
	"xenon/core/wal"
)

// Derive makes a corpus in dir out of the one in from, with records that no
// workload provokes: change is given a copy of each record and tells whether it
// changed it. A record must keep its length. PostgreSQL replays what comes of
// it. Derive returns how many records were changed.
func Derive(ctx context.Context, dir, from string, o Options, change func(rec *wal.Record) bool) (int, error) {
	o.defaults()
	s, err := newServer(dir, o)
	if err != nil {
		return 0, err
	}
	for _, d := range []string{dir, filepath.Join(dir, "wal")} {
		if err := s.mkdir(d); err != nil {
			return 0, err
		}
	}
	for _, tree := range []string{"initial", "final"} {
		if err := s.linkTree(ctx, filepath.Join(from, tree), filepath.Join(dir, tree)); err != nil {
			return 0, err
		}
	}
	segments, err := filepath.Glob(filepath.Join(from, "wal", "*"))
	if err != nil {
		return 0, err
	}
	slices.Sort(segments)
	var r rewrite
	if err := r.read(from, segments); err != nil {
		return 0, err
	}
	if err := r.change(change); err != nil {
		return 0, err
	}
	for i, name := range segments {
		to := filepath.Join(dir, "wal", filepath.Base(name))
		if err := os.WriteFile(to, r.segments[i], 0o600); err != nil {
			return 0, err
		}
		if err := s.own(to); err != nil {
			return 0, err
		}
	}
	defer func() { os.RemoveAll(s.socket) }()
	return r.changed, s.replay(ctx, dir)
}

// A rewrite is the WAL of one timeline in memory.
type rewrite struct {
	format   wal.Format
	start    core.LSN // where replay begins
	first    uint64   // number of the first segment
	segments [][]byte
	changed  int
}

func (r *rewrite) read(from string, segments []string) error {
	b, err := os.ReadFile(filepath.Join(from, "initial", "global", "pg_control"))
	if err != nil {
		return err
	}
	ctl, err := wal.DecodeControl(b)
	if err != nil {
		return err
	}
	r.format, r.start = ctl.Format(), ctl.CheckPoint.Redo
	for i, name := range segments {
		tli, seg, ok := core.ParseSegmentName(filepath.Base(name), r.format.SegmentSize)
		if i == 0 {
			r.first = seg
		}
		if !ok || tli != r.format.TimelineID || seg != r.first+uint64(i) {
			return fmt.Errorf("%s is not segment %d of timeline %d", name, r.first+uint64(i), r.format.TimelineID)
		}
		if b, err = os.ReadFile(name); err != nil {
			return err
		}
		r.segments = append(r.segments, b)
	}
	return nil
}

// change offers every record to f and puts those that it changed in place.
func (r *rewrite) change(f func(rec *wal.Record) bool) error {
	d := wal.NewDecoder(r.format, r.start, 0)
	for {
		seg := d.Pos().Segment(r.format.SegmentSize)
		if seg < r.first || seg >= r.first+uint64(len(r.segments)) {
			return nil
		}
		// The decoder keeps what it is fed until the record is whole.
		fed := slices.Clone(r.segments[seg-r.first][d.Pos().SegmentOffset(r.format.SegmentSize):])
		if err := d.Feed(d.Pos(), fed); err != nil {
			return err
		}
		for {
			rec, ok, err := d.Next()
			if err != nil {
				return nil // the end of the WAL
			}
			if !ok {
				break
			}
			if err := r.offer(rec, f); err != nil {
				return err
			}
		}
	}
}

func (r *rewrite) offer(rec *wal.Record, f func(rec *wal.Record) bool) error {
	other := rec.Clone()
	if !f(other) {
		return nil
	}
	if same, err := rec.Version.AppendRecord(nil, rec); err != nil || !bytes.Equal(same, rec.Raw) {
		return fmt.Errorf("record %s at %s is not written as it was read (%v)", rec.Name(), rec.Start, err)
	}
	raw, err := rec.Version.AppendRecord(nil, other)
	if err != nil {
		return err
	}
	if len(raw) != len(rec.Raw) {
		return fmt.Errorf("record %s at %s got %d bytes, had %d", rec.Name(), rec.Start, len(raw), len(rec.Raw))
	}
	r.changed++
	r.put(rec.Start, raw)
	return nil
}

// put writes a record's bytes around the page headers.
func (r *rewrite) put(at core.LSN, raw []byte) {
	for len(raw) > 0 {
		in := at.SegmentOffset(r.format.SegmentSize)
		page := int(in % core.WALPageSize)
		if page == 0 {
			at += core.LSN(r.format.HeaderSize(at))
			continue
		}
		segment := r.segments[at.Segment(r.format.SegmentSize)-r.first]
		n := copy(segment[in:int(in)+min(len(raw), core.WALPageSize-page)], raw)
		at, raw = at+core.LSN(n), raw[n:]
	}
}
