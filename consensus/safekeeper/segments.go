package safekeeper

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"sync"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
)

// Names in a timeline's directory beside the segments: PostgreSQL's names,
// the last one with the suffix .partial as pg_receivewal has it.
const (
	partialSuffix = ".partial"
	spareName     = "spare"     // a segment of zeroes for whoever needs one next
	spareTemp     = "spare.tmp" // the spare while it is made
	segmentTemp   = "segment.tmp"
)

// zeroes is what new segments are made of, and how much is written at once.
var zeroes [128 << 10]byte

// scratches are buffers for WAL that is read in pieces as long.
var scratches = sync.Pool{New: func() any { return new([len(zeroes)]byte) }}

// segments are the WAL files of a timeline. A segment gets its full length and
// real zeroes before its name: later flushes then change data alone, and
// fdatasync writes no metadata. The caller serialises everything but reads
// through a segmentReader.
type segments struct {
	disk env.FS
	dir  string
	size uint32

	cur    env.File // the segment being written, nil if none is open
	curSeg uint64
	dirty  bool // cur has writes that are not synced
	spare  bool // spareName is there
	count  int  // segment files, the spare included
	making bool // a task makes a spare, whose space is spoken for
	// bare is where the WAL begins of a timeline that has none yet: there and
	// beyond, its first segment may be no more than allocated. 0 otherwise.
	bare core.LSN
	// blank tells that nobody has written to that segment since it was made
	// here: there is nothing to wipe.
	blank bool
	// filled is up to where cur has real zeroes or WAL: all of it, but in a
	// first segment that was bare, which is filled as it is written.
	filled uint32
	// unsure tells that zeroes which were found, and not written by this
	// incarnation, may be in the page cache alone: a wipe whose sync failed
	// leaves them there, clean, over what the disk still has.
	unsure bool
	syncs  uint64 // of WAL so far
}

func (s *segments) path(name string) string { return path.Join(s.dir, name) }

func (s *segments) name(seg uint64) string { return core.SegmentName(pgTimeline, seg, s.size) }

// partial and final are the two names of a segment.
func (s *segments) partial(seg uint64) string { return s.path(s.name(seg) + partialSuffix) }
func (s *segments) final(seg uint64) string   { return s.path(s.name(seg)) }

// A segmentFile is one name that was found.
type segmentFile struct {
	seg     uint64
	partial bool
}

// list finds the segments in order. Temporary files of a crash are removed.
func (s *segments) list() ([]segmentFile, error) {
	entries, err := s.disk.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var found []segmentFile
	s.spare, s.count = false, 0
	for _, e := range entries {
		name, isPartial := strings.CutSuffix(e.Name, partialSuffix)
		_, seg, ok := core.ParseSegmentName(name, s.size)
		switch {
		case ok:
			found = append(found, segmentFile{seg, isPartial})
			s.count++
		case e.Name == spareName:
			s.spare = true
			s.count++
		case strings.HasSuffix(e.Name, ".tmp"):
			if err := s.disk.Remove(s.path(e.Name)); err != nil {
				return nil, err
			}
		case e.Name != controlName:
			return nil, fmt.Errorf("%s is no file of a safekeeper: move it away", s.path(e.Name))
		}
	}
	return found, nil
}

// bytes is the space that the segments take, and the spare that is being made.
func (s *segments) bytes() int64 {
	n := int64(s.count) * int64(s.size)
	if s.making {
		n += int64(s.size)
	}
	return n
}

// missing is how many segments have yet to be made for WAL from begin to end.
// Only the first byte of a segment can find it not there.
func (s *segments) missing(begin, end core.LSN) int {
	if end == begin {
		return 0
	}
	need := int((end - 1).Segment(s.size) - begin.Segment(s.size))
	if s.cur == nil && begin.SegmentOffset(s.size) == 0 {
		need++
	}
	if s.spare && need > 0 {
		need--
	}
	return need
}

// prepare makes the segments that WAL from begin to end lies on, at most two.
// After [env.ErrNoSpace] without errUnsynced it may be tried again.
func (s *segments) prepare(begin, end core.LSN) error {
	if end == begin {
		return nil
	}
	if err := s.open(begin.Segment(s.size)); err != nil {
		return err
	}
	if (end-1).Segment(s.size) == s.curSeg || s.spare {
		return nil
	}
	return s.makeSpare()
}

// write writes WAL at lsn, across the end of a segment if need be, and tells
// how many bytes it wrote. A segment that is full is synced and gets its final
// name. After [env.ErrNoSpace] without errUnsynced the rest may be tried again.
func (s *segments) write(lsn core.LSN, b []byte) (done int, err error) {
	for done < len(b) {
		at := lsn + core.LSN(done)
		if err := s.open(at.Segment(s.size)); err != nil {
			return done, err
		}
		off := at.SegmentOffset(s.size)
		n := min(len(b)-done, int(s.size-off))
		s.dirty = true
		if _, err := s.cur.WriteAt(b[done:done+n], int64(off)); err != nil {
			return done, fmt.Errorf("write WAL at %s: %w", at, err)
		}
		done += n
		if err := s.ahead(off + uint32(n)); err != nil {
			return done, err
		}
		if off+uint32(n) == s.size {
			if err := s.finish(); err != nil {
				return done, err
			}
		}
	}
	return done, nil
}

// open makes seg the segment being written.
func (s *segments) open(seg uint64) error {
	if s.cur != nil && s.curSeg == seg {
		return nil
	}
	core.Must(s.cur == nil, "segment %d opened while %d is being written", seg, s.curSeg)
	f, err := s.disk.Open(s.partial(seg), env.Write)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = s.create(seg)
	}
	if err != nil {
		return fmt.Errorf("open WAL segment %s: %w", s.partial(seg), err)
	}
	s.filled = s.size
	if s.bare != 0 && s.bare.Segment(s.size) == seg {
		s.filled = s.bare.SegmentOffset(s.size)
	}
	s.cur, s.curSeg, s.dirty, s.bare, s.blank = f, seg, false, 0, false
	return nil
}

// fillAhead is how much of a bare segment is filled at once.
const fillAhead = 1 << 20

// ahead fills some of a bare segment beyond what was just written up to off.
// The sync of the WAL is the zeroes' too; a server's first commits so wait for
// little more than their own bytes.
func (s *segments) ahead(off uint32) error {
	if off < s.filled || s.filled == s.size {
		return nil
	}
	end := min(uint64(off)+fillAhead, uint64(s.size))
	if err := writeZeroes(s.cur, int64(off), int64(end)); err != nil {
		return fmt.Errorf("fill WAL segment %s: %w", s.partial(s.curSeg), err)
	}
	s.filled = uint32(end)
	return nil
}

// create gives a spare segment, made here if there is none, the name of seg.
func (s *segments) create(seg uint64) (env.File, error) {
	if !s.spare {
		if err := s.makeSpare(); err != nil {
			return nil, err
		}
	}
	if err := s.disk.Rename(s.path(spareName), s.partial(seg)); err != nil {
		return nil, err
	}
	s.spare = false
	// WAL written to a file whose name is lost is lost with it.
	if !(faults.On && faults.Hit(faults.SegmentNotSynced)) {
		if err := s.disk.SyncDir(s.dir); err != nil {
			return nil, fmt.Errorf("%w: %w", errUnsynced, err)
		}
	}
	return s.disk.Open(s.partial(seg), env.Write)
}

func (s *segments) makeSpare() error {
	if err := s.makeZeroed(segmentTemp); err != nil {
		return fmt.Errorf("make a WAL segment: %w", err)
	}
	return s.adoptSpare(segmentTemp)
}

// adoptSpare makes a finished temporary file the spare.
func (s *segments) adoptSpare(temp string) error {
	if err := s.disk.Rename(s.path(temp), s.path(spareName)); err != nil {
		return err
	}
	s.spare = true
	s.count++
	return nil
}

// makeZeroed makes a synced file of zeroes, as long as a segment. It uses
// nothing that changes, so that a task may run it beside everything else with
// a temporary name of its own.
func (s *segments) makeZeroed(temp string) error {
	f, err := s.disk.Open(s.path(temp), env.Write|env.Create|env.Trunc)
	if err != nil {
		return err
	}
	if err = f.Allocate(0, int64(s.size)); err == nil {
		err = fill(f, 0, int64(s.size))
	}
	if err = errors.Join(err, f.Close()); err != nil {
		s.disk.Remove(s.path(temp))
	}
	return err
}

// fill writes zeroes to [off, end) of a file and syncs it. Space that is only
// allocated becomes data by a change of metadata, which every fdatasync after
// it would have to write.
func fill(f env.File, off, end int64) error {
	err := writeZeroes(f, off, end)
	if err == nil {
		err = f.Sync(env.SyncFull)
	}
	return err
}

func writeZeroes(f env.File, off, end int64) (err error) {
	for err == nil && off < end {
		b := zeroes[:min(int64(len(zeroes)), end-off)]
		_, err = f.WriteAt(b, off)
		off += int64(len(b))
	}
	return err
}

// finish syncs the full segment and gives it its final name.
func (s *segments) finish() error {
	if err := s.sync(); err != nil {
		return err
	}
	seg := s.curSeg
	if err := s.close(); err != nil {
		return err
	}
	if err := s.disk.Rename(s.partial(seg), s.final(seg)); err != nil {
		return err
	}
	// A lost rename is harmless, either name is taken at start-up; the next
	// segment's sync of the directory makes it last.
	return nil
}

// sync makes everything written durable. After an error nothing is known.
func (s *segments) sync() error {
	if s.cur == nil || !s.dirty {
		return nil
	}
	s.syncs++
	err := s.cur.Sync(env.SyncData)
	if err != nil && faults.On && faults.Hit(faults.SyncRetried) {
		err = s.cur.Sync(env.SyncData)
	}
	if err != nil {
		return fmt.Errorf("sync WAL segment %s: %w: %w", s.partial(s.curSeg), errUnsynced, err)
	}
	s.dirty = false
	return nil
}

func (s *segments) close() error {
	if s.cur == nil {
		return nil
	}
	err := s.cur.Close()
	s.cur, s.dirty = nil, false
	return err
}

// truncate drops all WAL from lsn on, durably: later segments are removed, the
// rest of lsn's segment becomes zeroes.
func (s *segments) truncate(lsn core.LSN) error {
	if s.blank && lsn == s.bare {
		return nil // as every first election asks for
	}
	if err := s.close(); err != nil {
		return err
	}
	found, err := s.list()
	if err != nil {
		return err
	}
	seg := lsn.Segment(s.size)
	for i := len(found) - 1; i >= 0 && found[i].seg >= seg; i-- {
		if found[i].seg == seg && lsn.SegmentOffset(s.size) > 0 {
			err = s.truncateIn(found[i], lsn.SegmentOffset(s.size))
		} else if !(faults.On && faults.Hit(faults.TailKept)) {
			err = s.remove(found[i])
		}
		if err != nil {
			return fmt.Errorf("truncate WAL to %s: %w", lsn, err)
		}
	}
	if err := s.disk.SyncDir(s.dir); err != nil {
		return fmt.Errorf("truncate WAL to %s: %w: %w", lsn, errUnsynced, err)
	}
	s.unsure = false
	return nil
}

func (s *segments) pathOf(f segmentFile) string {
	if f.partial {
		return s.partial(f.seg)
	}
	return s.final(f.seg)
}

func (s *segments) remove(f segmentFile) error {
	s.count--
	return s.disk.Remove(s.pathOf(f))
}

// truncateIn zeroes a segment from off on and makes it one that is written to.
func (s *segments) truncateIn(file segmentFile, off uint32) error {
	f, err := s.disk.Open(s.pathOf(file), env.Write)
	if err != nil {
		return err
	}
	if !(faults.On && faults.Hit(faults.TailKept)) {
		err = zeroFrom(f, int64(off), int64(s.size), s.unsure && !(faults.On && faults.Hit(faults.WipeTrusted)))
	}
	if err == nil {
		err = f.Sync(env.SyncData)
	}
	if err = errors.Join(err, f.Close()); err != nil || file.partial {
		return err
	}
	return s.disk.Rename(s.final(file.seg), s.partial(file.seg))
}

// zeroFrom writes zeroes where a file has anything else in [off, end), or
// everywhere there.
func zeroFrom(f env.File, off, end int64, everywhere bool) error {
	scratch := scratches.Get().(*[len(zeroes)]byte)
	defer scratches.Put(scratch)
	for off < end {
		b, n, err := scratch[:min(int64(len(scratch)), end-off)], 0, error(nil)
		if !everywhere {
			n, err = f.ReadAt(b, off)
		}
		// What cannot be read is not zero, and can be once it was written.
		if n < len(b) && err != nil && !errors.Is(err, io.EOF) && !damagedRead(err) {
			return err
		}
		if n < len(b) || !allZero(b) {
			if _, err := f.WriteAt(zeroes[:len(b)], off); err != nil {
				return err
			}
		}
		off += int64(len(b))
	}
	return nil
}

func allZero(b []byte) bool {
	for len(b) >= 8 {
		if b[0]|b[1]|b[2]|b[3]|b[4]|b[5]|b[6]|b[7] != 0 {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// A segmentReader reads WAL by LSN. It keeps the last segment open, which
// stays readable while the segment gets its final name.
type segmentReader struct {
	s   *segments
	f   env.File
	seg uint64
}

// read fills p with WAL from lsn on, up to the end of lsn's segment. A segment
// that is not there is fs.ErrNotExist.
func (r *segmentReader) read(p []byte, lsn core.LSN) (int, error) {
	seg := lsn.Segment(r.s.size)
	if r.f == nil || r.seg != seg {
		r.close()
		f, err := r.s.openToRead(seg)
		if err != nil {
			return 0, err
		}
		r.f, r.seg = f, seg
	}
	off := lsn.SegmentOffset(r.s.size)
	p = p[:min(len(p), int(r.s.size-off))]
	n, err := r.f.ReadAt(p, int64(off))
	if n < len(p) && (err == nil || errors.Is(err, io.EOF)) {
		return n, fmt.Errorf("WAL segment %s ends at byte %d: %w", r.s.name(seg), int64(off)+int64(n), env.ErrCorrupt)
	}
	return n, err
}

func (r *segmentReader) close() {
	if r.f != nil {
		r.f.Close()
		r.f = nil
	}
}

// openToRead finds a segment under either name. It may change from .partial
// to final between two looks, hence the third.
func (s *segments) openToRead(seg uint64) (f env.File, err error) {
	for _, name := range []string{s.final(seg), s.partial(seg), s.final(seg)} {
		f, err = s.disk.Open(name, 0)
		if !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
	}
	return nil, err
}
