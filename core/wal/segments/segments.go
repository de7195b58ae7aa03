// Package segments reads the records of a directory of WAL segments: a
// server's pg_wal, an archive, a corpus, a safekeeper's timeline.
//
// Start at [Open] and [Reader.Next].
package segments

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/wal"
)

// A Set is the segments of one history of WAL in a directory.
type Set struct {
	// Format is whose WAL it is, as the first segment says. TimelineID is 0 if
	// there are segments of several.
	Format wal.Format
	// First and Last are the numbers of the segments at both ends. What lies
	// between may have gaps.
	First, Last uint64

	fsys  fs.FS
	dir   string            // "" for a set of one file
	tli   uint32            // that Open was asked for
	files map[uint64]string // by segment number
}

var segmentName = regexp.MustCompile(`^[0-9A-F]{24}(\.partial)?$`)

// Open finds the segments in dir of fsys; files of other names are left alone.
// A segment that is still being received, NAME.partial, counts where the whole
// one is not there. Of a segment that several timelines have, the one of tli
// counts, or of its ancestors as its history file tells, or without one the
// newest; tli 0 is the highest there is. An error that matches env.ErrCorrupt says that the first segment
// is no WAL.
func Open(fsys fs.FS, dir string, tli uint32) (*Set, error) {
	s := &Set{fsys: fsys, dir: dir, tli: tli}
	return s, s.Refresh()
}

// Refresh looks which segments there are by now; readers of the set see them.
func (s *Set) Refresh() error {
	if s.dir == "" {
		return nil
	}
	names, err := segmentNames(s.fsys, s.dir)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return fmt.Errorf("%s has no WAL segments (files like 000000010000000000000001): %w", s.dir, fs.ErrNotExist)
	}
	if s.Format, err = readFormat(s.fsys, path.Join(s.dir, names[0])); err != nil {
		return err
	}
	s.files = map[uint64]string{}
	if err := s.choose(s.dir, names, s.tli); err != nil {
		return err
	}
	all := slices.Sorted(maps.Keys(s.files))
	s.First, s.Last = all[0], all[len(all)-1]
	return nil
}

// OpenFile is a set of one segment.
func OpenFile(fsys fs.FS, name string) (*Set, error) {
	f, err := readFormat(fsys, name)
	if err != nil {
		return nil, err
	}
	page, err := readPage(fsys, name)
	if err != nil {
		return nil, err
	}
	// The name may be anything; the first page says which segment it is.
	at := core.LSN(le.Uint64(page[8:]))
	seg := at.Segment(f.SegmentSize)
	return &Set{Format: f, First: seg, Last: seg, fsys: fsys, files: map[uint64]string{seg: name}}, nil
}

func segmentNames(fsys fs.FS, dir string) (names []string, err error) {
	list, err := fs.ReadDir(fsys, dir)
	if err != nil {
		return nil, err
	}
	for _, e := range list {
		if segmentName.MatchString(e.Name()) && !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// choose picks the file of each segment number.
func (s *Set) choose(dir string, names []string, tli uint32) error {
	for _, name := range names {
		if t, _, ok := s.parse(name); ok && tli == 0 {
			s.Format.TimelineID = max(s.Format.TimelineID, t)
		}
	}
	if tli != 0 {
		s.Format.TimelineID = tli
	}
	history, err := s.history(dir, s.Format.TimelineID)
	if errors.Is(err, fs.ErrNotExist) {
		history, err = s.guess(names, s.Format.TimelineID), nil
	}
	if err != nil {
		return err
	}
	several := false
	for _, name := range names {
		t, seg, ok := s.parse(name)
		if !ok || !history.owns(t, seg) {
			continue
		}
		old, there := s.files[seg]
		if there && strings.HasSuffix(name, ".partial") && !strings.HasSuffix(old, ".partial") {
			continue // the whole one is there
		}
		several = several || t != s.Format.TimelineID
		s.files[seg] = path.Join(dir, name)
	}
	if len(s.files) == 0 {
		return fmt.Errorf("%s has no segments of PostgreSQL timeline %d: %w", dir, s.Format.TimelineID, fs.ErrNotExist)
	}
	if several {
		s.Format.TimelineID = 0
	}
	return nil
}

func (s *Set) parse(name string) (tli uint32, seg uint64, ok bool) {
	return core.ParseSegmentName(strings.TrimSuffix(name, ".partial"), s.Format.SegmentSize)
}

// A lineage is a timeline and its ancestors: which segments each one's are.
type lineage []ancestor

// An ancestor is one timeline and the segments that are read from it.
type ancestor struct {
	tli         uint32
	first, last uint64
}

func (l lineage) owns(tli uint32, seg uint64) bool {
	return slices.ContainsFunc(l, func(a ancestor) bool { return a.tli == tli && a.first <= seg && seg <= a.last })
}

// history reads TTTTTTTT.history: a line for each ancestor with where it was
// left. The segment of that place is read from the successor, which begins
// with a copy of it (src/backend/access/transam/timeline.c).
func (s *Set) history(dir string, tli uint32) (l lineage, err error) {
	b, err := fs.ReadFile(s.fsys, path.Join(dir, fmt.Sprintf("%08X.history", tli)))
	if err != nil {
		return nil, err
	}
	first := uint64(0)
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		line := strings.Fields(lines.Text())
		if len(line) < 2 || strings.HasPrefix(line[0], "#") {
			continue
		}
		t, err := strconv.ParseUint(line[0], 10, 32)
		at, err2 := core.ParseLSN(line[1])
		if err = errors.Join(err, err2); err != nil {
			return nil, fmt.Errorf("history of PostgreSQL timeline %d: %q: %w: %w", tli, lines.Text(), err, env.ErrCorrupt)
		}
		if until := at.Segment(s.Format.SegmentSize); until > first {
			l = append(l, ancestor{uint32(t), first, until - 1})
			first = until
		}
	}
	return append(l, ancestor{tli, first, ^uint64(0)}), lines.Err()
}

// guess is the lineage where there is no history: every timeline that has
// segments is an ancestor of the next, which took over in its first segment.
func (s *Set) guess(names []string, tli uint32) (l lineage) {
	for _, name := range names { // ascending
		t, seg, ok := s.parse(name)
		switch n := len(l); {
		case !ok || t > tli || n > 0 && l[n-1].tli == t:
		case n > 0:
			l[n-1].last = seg - 1
			fallthrough
		default:
			l = append(l, ancestor{t, seg, ^uint64(0)})
		}
	}
	return l
}

func readPage(fsys fs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, wal.LongHeaderSize)
	if _, err := io.ReadFull(f, b); err != nil {
		return nil, fmt.Errorf("%s: it is shorter than a page header: %w", name, env.ErrCorrupt)
	}
	return b, nil
}

// readFormat takes the format from a segment's first page.
func readFormat(fsys fs.FS, name string) (f wal.Format, err error) {
	b, err := readPage(fsys, name)
	if err != nil {
		return f, err
	}
	if f.Version, err = wal.VersionByMagic(le.Uint16(b)); err != nil {
		return f, fmt.Errorf("%s: %w: %w", name, err, env.ErrCorrupt)
	}
	f.SystemID, f.SegmentSize = le.Uint64(b[24:]), le.Uint32(b[32:])
	if err := f.Check(); err != nil {
		return f, fmt.Errorf("%s: %w: %w", name, err, env.ErrCorrupt)
	}
	return f, nil
}

// Start is where the first segment begins. The rest of a record that began
// before it is skipped by who reads from there.
func (s *Set) Start() core.LSN { return core.SegmentStart(s.First, s.Format.SegmentSize) }

// Bytes is how much WAL there is between two places, at most.
func (s *Set) Bytes(start, end core.LSN) int64 {
	last := core.SegmentStart(s.Last+1, s.Format.SegmentSize)
	if end == 0 || end > last {
		end = last
	}
	return max(0, int64(end)-int64(start))
}
