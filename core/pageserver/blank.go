package pageserver

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"math"
	"slices"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/wal"
)

// A Blank says what cluster [WriteBlank] makes.
type Blank struct {
	SystemID uint64
	LSN      core.LSN // where its checkpoint is appended; 0 is the start of segment 1
	DB       core.OID // its one database; 0 is 5
	Rels     []BlankRel
	// SegmentSize is wal_segment_size; 0 is the 16 MiB that [Import] insists
	// on. [ImportBlank] takes any: the simulator's segments are small.
	SegmentSize uint32
	// NextMulti is the next multixact, those before it forgotten; 0 is 1, the
	// first.
	NextMulti uint32
}

// A BlankRel is a relation of a Blank: main forks of pages of zeroes.
type BlankRel struct {
	Node   core.OID
	Blocks uint32
}

// multisPerPage is MULTIXACT_OFFSETS_PER_PAGE
// (src/backend/access/transam/multixact.c). A Blank has one segment of them.
const multisPerPage = core.PageSize / 4

// WriteBlank writes the smallest data directory that [Import] takes, without a
// PostgreSQL: a cluster with a control file, a checkpoint, transaction logs of
// one page, and relations of zeroes. Standing in for initdb, it lets all that
// follows an import run in the simulator. No server could start on it: it has
// no catalogs.
func WriteBlank(f env.FS, b Blank) error {
	if b.SegmentSize == 0 {
		b.SegmentSize = core.DefaultSegmentSize
	}
	if b.LSN == 0 {
		b.LSN = core.LSN(b.SegmentSize)
	}
	if b.DB == 0 {
		b.DB = 5
	}
	if b.NextMulti == 0 {
		b.NextMulti = 1
	}
	base := fmt.Sprintf("base/%d", b.DB)
	for _, dir := range []string{"base", base, "global", "pg_wal", "pg_xact", "pg_multixact",
		"pg_multixact/members", "pg_multixact/offsets", "pg_twophase", "pg_tblspc"} {
		if err := f.Mkdir(dir); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	ctl, err := blankControl(b)
	if err != nil {
		return err
	}
	boot, err := wal.ShutdownCheckpoint(ctl, b.LSN, 0)
	if err != nil {
		return err
	}
	var zero [core.PageSize]byte
	relmap := blankRelmap()
	files := map[string][]byte{
		"PG_VERSION": []byte("15\n"), base + "/PG_VERSION": []byte("15\n"),
		"global/pg_control": boot.Control.Encode(), "global/pg_filenode.map": relmap, base + "/pg_filenode.map": relmap,
		"pg_xact/0000": zero[:], "pg_multixact/members/0000": zero[:], "pg_multixact/offsets/0000": make([]byte, (b.NextMulti/multisPerPage+1)*core.PageSize),
	}
	for _, r := range b.Rels {
		files[fmt.Sprintf("%s/%d", base, r.Node)] = make([]byte, int(r.Blocks)*core.PageSize)
	}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		if err := blankFile(f, path, 0, files[path]); err != nil {
			return err
		}
	}
	return blankWAL(f, boot, b.SegmentSize)
}

// ImportBlank writes a Blank to src, which is empty, and imports it.
func ImportBlank(ctx context.Context, e env.Env, src env.FS, b Blank, id core.TTID) (*Imported, error) {
	if err := WriteBlank(src, b); err != nil {
		return nil, err
	}
	s := &survey{src: src, anySegments: true}
	if err := s.look(); err != nil {
		return nil, err
	}
	return s.imported(ctx, e, id)
}

func blankFile(f env.FS, path string, off int64, b []byte) error {
	file, err := f.Open(path, env.Write|env.Create)
	if err != nil {
		return err
	}
	_, err = file.WriteAt(b, off)
	return errors.Join(err, file.Close())
}

// blankWAL writes the segments in which the checkpoint is.
func blankWAL(f env.FS, boot *wal.Boot, size uint32) error {
	for _, s := range append(slices.Clone(boot.Before), wal.Span{At: boot.X, Bytes: boot.WAL}) {
		for len(s.Bytes) > 0 {
			n := min(len(s.Bytes), int(size-s.At.SegmentOffset(size)))
			name := "pg_wal/" + core.SegmentName(1, s.At.Segment(size), size)
			if err := blankFile(f, name, int64(s.At.SegmentOffset(size)), s.Bytes[:n]); err != nil {
				return err
			}
			s.At, s.Bytes = s.At+core.LSN(n), s.Bytes[n:]
		}
	}
	return nil
}

// blankRelmap is an empty relation map (src/backend/utils/cache/relmapper.c):
// magic, no mappings, checksum.
func blankRelmap() []byte {
	b := make([]byte, wal.PG15.RelMapSize)
	binary.LittleEndian.PutUint32(b, 0x592717)
	binary.LittleEndian.PutUint32(b[504:], crc32.Checksum(b[:504], castagnoli))
	return b
}

// blankControl is a control file as initdb makes it, with its first counters
// (src/backend/access/transam/xlog.c, BootStrapXLOG).
func blankControl(b Blank) (*wal.Control, error) {
	le := binary.LittleEndian
	raw := make([]byte, wal.ControlFileSize)
	le.PutUint32(raw[8:], wal.PG15.ControlVersion)
	le.PutUint32(raw[12:], wal.PG15.CatalogVersion)
	le.PutUint32(raw[204:], 8) // maximum alignment
	le.PutUint64(raw[208:], math.Float64bits(1234567))
	for i, n := range []uint32{core.PageSize, relSegBlocks, core.WALPageSize, b.SegmentSize, 64, 32, 1996, 2048, 1} {
		le.PutUint32(raw[216+4*i:], n)
	}
	le.PutUint32(raw[288:], crc32.Checksum(raw[:288], castagnoli))
	c, err := wal.DecodeControl(raw)
	if err != nil {
		return nil, fmt.Errorf("blank control file: %w", err)
	}
	c.SystemID, c.State, c.WALLevel = b.SystemID, wal.StateShutDown, wal.Replica
	c.Settings = wal.ControlSettings{MaxConnections: 100, MaxWorkerProcesses: 8, MaxWALSenders: 10, MaxLocksPerXact: 64}
	c.CheckPoint = wal.CheckPoint{TimelineID: 1, PrevTimelineID: 1, FullPageWrites: true, NextXID: 731, NextOID: 16384,
		NextMulti: b.NextMulti, OldestXID: 716, OldestXIDDB: 1, OldestMulti: 1, OldestMultiDB: 1}
	return c, nil
}
