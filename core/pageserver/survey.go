package pageserver

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/wal"
)

// ErrRefused reports a data directory that cannot be imported as it is. The
// error names what is wrong, where, and the way out.
var ErrRefused = errors.New("import refused")

func refused(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrRefused, fmt.Sprintf(format, args...))
}

// A survey is what a data directory holds, found without changing anything.
type survey struct {
	src      env.FS
	major    *wal.Version // that PG_VERSION says
	ctl      *wal.Control
	end      wal.Tail // of the WAL: its last record is the checkpoint
	rels     []relFile
	slrus    []slruFile
	dbs      []dbID
	relmaps  []string // path of the map of dbs[i], "" if it has none
	prepared []uint32
	origins  []importedOrigin
	unlogged int
	// anySegments lets WAL segments have another size than 16 MiB.
	anySegments bool
}

// A relFile is the files of one fork of a relation.
type relFile struct {
	rel    core.Rel
	path   string // of the first segment
	blocks uint32
}

type slruFile struct {
	slru   core.SLRU
	seg    uint32
	path   string
	blocks uint32
}

// relSegBlocks is RELSEG_SIZE, the blocks of one file of a relation.
const relSegBlocks = 131072

// look surveys a data directory, or says why it cannot be imported.
func look(src env.FS) (*survey, error) {
	s := &survey{src: src}
	return s, s.look()
}

func (s *survey) look() error {
	for _, step := range []func() error{s.version, s.stopped, s.control, s.checkpoint, s.progress, s.shared, s.databases, s.tablespaces, s.segments, s.twoPhase} {
		if err := step(); err != nil {
			return err
		}
	}
	slices.SortFunc(s.rels, func(a, b relFile) int { return core.BlockKey(a.rel, 0).Compare(core.BlockKey(b.rel, 0)) })
	return nil
}

// readFile reads a file of at most limit bytes.
func readFile(src env.FS, path string, limit int64) ([]byte, error) {
	f, err := src.Open(path, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > limit {
		return nil, refused("%s has %d bytes, at most %d are expected", path, size, limit)
	}
	b := make([]byte, size)
	if n, err := f.ReadAt(b, 0); n < len(b) && err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return b, nil
}

func (s *survey) version() error {
	b, err := readFile(s.src, "PG_VERSION", 64)
	if errors.Is(err, fs.ErrNotExist) {
		return refused("there is no PG_VERSION: this is not a PostgreSQL data directory")
	}
	if err != nil {
		return err
	}
	v := strings.TrimSpace(string(b))
	major, err := strconv.Atoi(v)
	if err == nil {
		s.major, err = wal.VersionByMajor(major)
	}
	if err != nil {
		return refused("PG_VERSION says %q, this program imports PostgreSQL %s: use pg_upgrade, or pg_dumpall into a new cluster", v, wal.Supported())
	}
	return nil
}

// stopped refuses what says that a server runs or must recover.
func (s *survey) stopped() error {
	for _, f := range [][2]string{
		{"postmaster.pid", "a server runs here, or was killed: stop it with pg_ctl stop -m fast; if none runs, start and stop it once"},
		{"backup_label", "this is a backup that was never started: start it and stop it once"},
		{"recovery.signal", "the cluster is in recovery: promote it, then stop it"},
		{"standby.signal", "the cluster is a standby: promote it, or import its primary"},
	} {
		if _, err := s.src.Stat(f[0]); err == nil {
			return refused("%s exists: %s", f[0], f[1])
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (s *survey) control() error {
	b, err := readFile(s.src, "global/pg_control", 64<<10)
	if err != nil {
		return fmt.Errorf("read global/pg_control: %w", err)
	}
	if s.ctl, err = wal.DecodeControl(b); err != nil {
		return refused("global/pg_control: %v", err)
	}
	c := s.ctl
	switch {
	case c.Version() != s.major:
		return refused("global/pg_control is of %s, and PG_VERSION of %s: the files are of two clusters", c.Version(), s.major)
	case c.State != wal.StateShutDown:
		return refused("global/pg_control says %q: the server runs or crashed; start it and stop it with pg_ctl stop -m fast", c.State)
	case c.WALLevel == wal.Minimal:
		return refused("global/pg_control says wal_level=minimal: set wal_level=replica in postgresql.conf, start the server and stop it")
	case c.SegmentSize != core.DefaultSegmentSize && !s.anySegments:
		return refused("global/pg_control says WAL segments of %d bytes, only %d are supported: use pg_resetwal --wal-segsize=16 on a copy, or pg_dumpall", c.SegmentSize, core.DefaultSegmentSize)
	case c.CheckPoint.TimelineID != 1:
		return refused("global/pg_control says PostgreSQL timeline %d, as a promoted standby has, only 1 is supported: use pg_dumpall into a new cluster", c.CheckPoint.TimelineID)
	}
	return nil
}

// checkpoint finds the record that pg_control names, which must be the last.
func (s *survey) checkpoint() error {
	f, at := s.ctl.Format(), s.ctl.CheckPointLSN
	var err error
	if s.end, err = wal.FindEnd(f, s.readWAL, at, 0); err != nil {
		return err
	}
	switch {
	case s.end.Records == 0:
		return refused("pg_wal has no checkpoint at %s, which global/pg_control names (%v): the WAL is not whole; start the server and stop it once", at, s.end.Stop)
	case s.end.Last != at:
		return refused("pg_wal has records after the checkpoint at %s, up to %s: the server was not shut down cleanly; start it and stop it once", at, s.end.End)
	}
	return nil
}

// readWAL is a wal.ReadFunc over pg_wal.
func (s *survey) readWAL(p []byte, at core.LSN) (int, error) {
	size := s.ctl.SegmentSize
	f, err := s.src.Open("pg_wal/"+core.SegmentName(1, at.Segment(size), size), 0)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, io.EOF
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	off := at.SegmentOffset(size)
	return f.ReadAt(p[:min(len(p), int(size-off))], int64(off))
}

// progress reads how far replication origins have come.
func (s *survey) progress() error {
	b, err := readFile(s.src, originsPath, 8+originSize<<16)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	list, ok := parseOrigins(b)
	if !ok {
		return refused("%s fails its checksum: the progress of replication origins is damaged; restore it from a backup, or drop the subscriptions and stop the server again", originsPath)
	}
	s.origins = list
	return nil
}

func (s *survey) shared() error {
	s.dbs = append(s.dbs, dbID{core.GlobalTablespace, 0})
	s.relmaps = append(s.relmaps, "global/pg_filenode.map")
	return s.relations("global", dbID{core.GlobalTablespace, 0})
}

func (s *survey) databases() error {
	dirs, err := s.src.ReadDir("base")
	if err != nil {
		return fmt.Errorf("read base: %w", err)
	}
	for _, d := range dirs {
		oid, err := strconv.ParseUint(d.Name, 10, 32)
		if err != nil || !d.Dir {
			continue // pgsql_tmp
		}
		if err := s.database("base/"+d.Name, dbID{core.DefaultTablespace, core.OID(oid)}); err != nil {
			return err
		}
	}
	return nil
}

func (s *survey) database(path string, id dbID) error {
	s.dbs, s.relmaps = append(s.dbs, id), append(s.relmaps, path+"/pg_filenode.map")
	return s.relations(path, id)
}

// tablespaces finds those in place, which is in the data directory; what
// belongs to another version in them is left out. A tablespace elsewhere is
// refused: on another machine its path means something else, or nothing.
func (s *survey) tablespaces() error {
	names, err := s.src.ReadDir("pg_tblspc")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, n := range names {
		spc, err := strconv.ParseUint(n.Name, 10, 32)
		if err != nil || !n.Dir {
			return refused("pg_tblspc/%s is no directory: only tablespaces in place (allow_in_place_tablespaces) are supported; move what is in it with ALTER TABLE or ALTER DATABASE … SET TABLESPACE pg_default, then DROP TABLESPACE", n.Name)
		}
		s.dbs, s.relmaps = append(s.dbs, dbID{core.OID(spc), 0}), append(s.relmaps, "")
		if err := s.space("pg_tblspc/"+n.Name+"/"+s.ctl.SpaceDir(), core.OID(spc)); err != nil {
			return err
		}
	}
	return nil
}

// space finds the databases in one tablespace.
func (s *survey) space(path string, spc core.OID) error {
	dirs, err := s.src.ReadDir(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read %s: %w", path, err)
	}
	for _, d := range dirs {
		oid, err := strconv.ParseUint(d.Name, 10, 32)
		if err != nil || !d.Dir {
			continue // pgsql_tmp
		}
		if err := s.database(path+"/"+d.Name, dbID{spc, core.OID(oid)}); err != nil {
			return err
		}
	}
	return nil
}

// relations finds the forks in one directory. Unlogged relations keep their
// init fork alone, as after a crash; temporary ones are left out, and free
// space maps, which correct themselves.
func (s *survey) relations(dir string, id dbID) error {
	names, err := s.src.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("read %s: %w", dir, err)
	}
	bytes := map[core.Rel]int64{}
	segs := map[core.Rel]uint32{}
	unlogged := map[core.OID]bool{}
	var rels []core.Rel
	for _, n := range names {
		rel, seg, ok := parseRelFile(n.Name)
		if !ok || n.Dir || rel.Fork == core.FSMFork {
			continue
		}
		rel.Spc, rel.DB = id.spc, id.db
		info, err := s.src.Stat(dir + "/" + n.Name)
		if err != nil {
			return err
		}
		if err := checkSegment(dir+"/"+n.Name, info.Size); err != nil {
			return err
		}
		if _, seen := bytes[rel]; !seen {
			rels = append(rels, rel)
		}
		bytes[rel] += info.Size
		segs[rel] = max(segs[rel], seg+1)
		if rel.Fork == core.InitFork {
			unlogged[rel.Node] = true
		}
	}
	for _, rel := range rels {
		if unlogged[rel.Node] && rel.Fork != core.InitFork {
			if rel.Fork == core.MainFork {
				s.unlogged++
			}
			continue
		}
		f := relFile{rel: rel, path: dir + "/" + relFileName(rel), blocks: uint32(bytes[rel] / core.PageSize)}
		if want := max((f.blocks+relSegBlocks-1)/relSegBlocks, 1); segs[rel] > want {
			// Empty segments at the end are what a truncation leaves.
			if int64(f.blocks) < int64(want-1)*relSegBlocks {
				return refused("%s has a segment missing before segment %d", f.path, segs[rel]-1)
			}
		}
		s.rels = append(s.rels, f)
	}
	return nil
}

func checkSegment(path string, size int64) error {
	if size%core.PageSize != 0 || size > relSegBlocks*core.PageSize {
		return refused("%s has %d bytes, which is no number of pages: the file is damaged", path, size)
	}
	return nil
}

// parseRelFile reads node[_fork][.segment].
func parseRelFile(name string) (r core.Rel, seg uint32, ok bool) {
	base, ext, has := strings.Cut(name, ".")
	if has {
		v, err := strconv.ParseUint(ext, 10, 32)
		if err != nil {
			return r, 0, false
		}
		seg = uint32(v)
	}
	node, fork, has := strings.Cut(base, "_")
	if has {
		f, err := core.ParseFork(fork)
		if err != nil || f == core.MainFork {
			return r, 0, false
		}
		r.Fork = f
	}
	v, err := strconv.ParseUint(node, 10, 32)
	if err != nil || v == 0 || node[0] == '0' {
		return r, 0, false
	}
	r.Node = core.OID(v)
	return r, seg, true
}

func relFileName(r core.Rel) string {
	name := strconv.FormatUint(uint64(r.Node), 10)
	if r.Fork != core.MainFork {
		name += "_" + r.Fork.String()
	}
	return name
}

func (s *survey) segments() error {
	for u := core.Clog; u <= core.CommitTs; u++ {
		names, err := s.src.ReadDir(u.Dir())
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, n := range names {
			seg, err := strconv.ParseUint(n.Name, 16, 32)
			if err != nil || n.Dir {
				continue
			}
			path := u.Dir() + "/" + n.Name
			info, err := s.src.Stat(path)
			if err != nil {
				return err
			}
			if info.Size%core.PageSize != 0 || info.Size > core.SLRUSegmentPages*core.PageSize {
				return refused("%s has %d bytes, which is no number of pages up to %d: the file is damaged", path, info.Size, core.SLRUSegmentPages)
			}
			s.slrus = append(s.slrus, slruFile{u, uint32(seg), path, uint32(info.Size / core.PageSize)})
		}
	}
	slices.SortFunc(s.slrus, func(a, b slruFile) int {
		return core.SLRUBlockKey(a.slru, a.seg, 0).Compare(core.SLRUBlockKey(b.slru, b.seg, 0))
	})
	return nil
}

func (s *survey) twoPhase() error {
	names, err := s.src.ReadDir("pg_twophase")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, n := range names {
		xid, err := strconv.ParseUint(n.Name, 16, 64)
		if err != nil || n.Name != s.twoPhaseName(uint32(xid)) {
			return refused("pg_twophase/%s is not the state of a prepared transaction", n.Name)
		}
		s.prepared = append(s.prepared, uint32(xid))
	}
	slices.Sort(s.prepared)
	return nil
}

// twoPhaseName is the file of a prepared transaction below pg_twophase.
func (s *survey) twoPhaseName(xid uint32) string {
	return s.major.TwoPhaseName(xid, s.ctl.CheckPoint.NextXID)
}
