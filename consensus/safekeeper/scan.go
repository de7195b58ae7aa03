package safekeeper

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"xenon/consensus"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
	"xenon/core/wal"
)

// checkSegments makes sure that every segment of committed WAL is there, whole
// and under one name. Anything else is a disk that lost or gained files, on
// which nothing is to be built.
func (s *segments) checkSegments(c *consensus.Control) error {
	found, err := s.list()
	if err != nil {
		return err
	}
	if found, err = s.dropDoubles(found); err != nil {
		return err
	}
	first, last := c.LocalStart.Segment(s.size), (c.Commit - 1).Segment(s.size)
	if found, err = s.dropRemoved(found, first); err != nil {
		return err
	}
	want := first
	for _, f := range found {
		info, err := s.disk.Stat(s.pathOf(f))
		if err != nil {
			return err
		}
		if info.Size != int64(s.size) {
			return fmt.Errorf("WAL segment %s has %d bytes, want %d: %w", s.pathOf(f), info.Size, s.size, env.ErrCorrupt)
		}
		if f.seg == want {
			want++
		}
	}
	if c.Commit > core.SegmentStart(first, s.size) && want <= last {
		return fmt.Errorf("WAL segment %s is missing, but WAL is committed up to %s: %w; replace this safekeeper by an empty one",
			s.final(want), c.Commit, fs.ErrNotExist)
	}
	return nil
}

// dropRemoved removes the segments before first, which a crash has kept from
// being removed after the control file said so.
func (s *segments) dropRemoved(found []segmentFile, first uint64) ([]segmentFile, error) {
	n := 0
	for ; n < len(found) && found[n].seg < first; n++ {
		if err := s.remove(found[n]); err != nil {
			return nil, err
		}
	}
	return found[n:], nil
}

// dropDoubles resolves a segment that has both names: a rename that a power
// cut left half done. Both must then have the same bytes.
func (s *segments) dropDoubles(found []segmentFile) ([]segmentFile, error) {
	var out []segmentFile
	for _, f := range found {
		n := len(out)
		if n == 0 || out[n-1].seg != f.seg {
			out = append(out, f)
			continue
		}
		same, err := s.sameBytes(f.seg)
		if err != nil {
			return nil, err
		}
		if !same {
			return nil, fmt.Errorf("WAL segment %s is there twice, also as %s, with different contents: %w",
				s.final(f.seg), s.partial(f.seg), env.ErrCorrupt)
		}
		if err := s.remove(segmentFile{f.seg, true}); err != nil {
			return nil, err
		}
		if err := s.disk.SyncDir(s.dir); err != nil {
			return nil, err
		}
		out[n-1] = segmentFile{f.seg, false}
	}
	return out, nil
}

func (s *segments) sameBytes(seg uint64) (bool, error) {
	var files [2]env.File
	for i, name := range []string{s.final(seg), s.partial(seg)} {
		f, err := s.disk.Open(name, 0)
		if err != nil {
			return false, err
		}
		defer f.Close()
		files[i] = f
	}
	a, b := make([]byte, len(zeroes)), make([]byte, len(zeroes))
	for off := int64(0); ; off += int64(len(a)) {
		n, err := files[0].ReadAt(a, off)
		if err != nil && !errors.Is(err, io.EOF) {
			return false, err
		}
		m, err := files[1].ReadAt(b, off)
		if err != nil && !errors.Is(err, io.EOF) {
			return false, err
		}
		if n != m || string(a[:n]) != string(b[:n]) {
			return false, nil
		}
		if n < len(a) {
			return true, nil
		}
	}
}

// readLog makes a reader of the WAL on the disk for package wal: a segment that
// is not there is the end, and so is limit unless it is 0.
func (s *segments) readLog(r *segmentReader, limit core.LSN) wal.ReadFunc {
	return func(p []byte, at core.LSN) (int, error) {
		if limit > 0 {
			if at >= limit {
				return 0, io.EOF
			}
			p = p[:min(core.LSN(len(p)), limit-at)]
		}
		n, err := r.read(p, at)
		if errors.Is(err, fs.ErrNotExist) {
			err = io.EOF
		}
		return n, err
	}
}

// recordBefore finds the start of the record that ends at lsn, which is a
// record boundary; 0 if it does not lie here, as at a timeline's very start.
// It looks back from lsn, farther each time, because a record can be long.
func (s *segments) recordBefore(f wal.Format, start, lsn core.LSN) (core.LSN, error) {
	first := core.SegmentStart(start.Segment(s.size), s.size)
	r := segmentReader{s: s}
	defer r.close()
	for back := core.LSN(core.WALPageSize); ; back *= 8 {
		from := first
		if lsn > first+back {
			from = (lsn - back) &^ (core.WALPageSize - 1)
		}
		tail, err := wal.FindEnd(f, s.readLog(&r, lsn), from, 0)
		if err != nil {
			return 0, fmt.Errorf("find the WAL record before %s: %w", lsn, err)
		}
		if tail.Last != 0 && f.RecordStart(tail.End) == f.RecordStart(lsn) {
			return tail.Last, nil
		}
		if from == first {
			return 0, nil
		}
	}
}

// findEnd scans the log from the durable commit LSN, and makes what it found
// durable: bytes that survived a killed process may be in the page cache
// alone, or, after a failed fsync, be taken for clean there. They are written
// again, because a sync alone would do nothing. What is behind the end is for the
// next truncation to wipe, which comes before anything is written there.
//
// Unless limit is 0, nothing is read from there on. What a switch to the next
// segment leaves empty is known all the same, and written.
func (s *segments) findEnd(f wal.Format, c *consensus.Control, limit core.LSN) (tail wal.Tail, err error) {
	s.unsure = true
	prev, err := s.recordBefore(f, c.LocalStart, c.Commit)
	if err != nil {
		return tail, err
	}
	if faults.On && faults.Hit(faults.ScanSkipped) {
		return wal.Tail{End: c.Commit, Last: prev}, nil
	}
	r := segmentReader{s: s}
	defer r.close()
	tail, err = wal.FindEnd(f, s.readLog(&r, limit), c.Commit, prev)
	if err != nil {
		return tail, fmt.Errorf("find the end of WAL after %s: %w", c.Commit, err)
	}
	if tail.Last == 0 {
		tail.Last = prev
	}
	if faults.On && faults.Hit(faults.TailNotRewritten) {
		return tail, nil
	}
	if limit > 0 && tail.End > limit {
		if err := s.blankOut(limit, tail.End); err != nil {
			return tail, err
		}
	}
	return tail, s.rewrite(c.Commit&^(core.WALPageSize-1), tail.End)
}

// blankOut writes zeros over [from, to), which lies in one segment.
func (s *segments) blankOut(from, to core.LSN) error {
	f, err := s.openToWrite(from.Segment(s.size))
	if err != nil {
		return err
	}
	for off, end := int64(from.SegmentOffset(s.size)), int64(from.SegmentOffset(s.size))+int64(to-from); off < end && err == nil; off += int64(len(zeroes)) {
		_, err = f.WriteAt(zeroes[:min(int64(len(zeroes)), end-off)], off)
	}
	return errors.Join(err, f.Close())
}

// rewrite writes [from, to) over itself and syncs it.
func (s *segments) rewrite(from, to core.LSN) error {
	for from < to {
		seg := from.Segment(s.size)
		end := min(to, core.SegmentStart(seg+1, s.size))
		if err := s.rewriteIn(seg, from.SegmentOffset(s.size), int64(end-from)); err != nil {
			return fmt.Errorf("make WAL from %s to %s durable: %w", from, end, err)
		}
		from = end
	}
	return nil
}

func (s *segments) rewriteIn(seg uint64, off uint32, n int64) error {
	f, err := s.openToWrite(seg)
	if errors.Is(err, fs.ErrNotExist) {
		// The log ends with nothing in a segment that was never made.
		return nil
	}
	if err != nil {
		return err
	}
	scratch := scratches.Get().(*[len(zeroes)]byte)
	defer scratches.Put(scratch)
	buf := scratch[:]
	for at, end := int64(off), int64(off)+n; at < end && err == nil; at += int64(len(buf)) {
		b := buf[:min(int64(len(buf)), end-at)]
		if _, err = f.ReadAt(b, at); err == nil || errors.Is(err, io.EOF) {
			_, err = f.WriteAt(b, at)
		}
	}
	if err == nil {
		err = f.Sync(env.SyncFull)
	}
	return errors.Join(err, f.Close())
}

// openToWrite opens a segment that is there, by whichever name.
func (s *segments) openToWrite(seg uint64) (env.File, error) {
	f, err := s.disk.Open(s.final(seg), env.Write)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = s.disk.Open(s.partial(seg), env.Write)
	}
	return f, err
}
