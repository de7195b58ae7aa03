package wal

import (
	"encoding/binary"
	"fmt"

	"xenon/core"
	"xenon/core/env"
)

// ControlFileSize is PG_CONTROL_FILE_SIZE, the bytes of global/pg_control; the
// rest behind the struct is zero.
const ControlFileSize = 8192

// A ControlState is the state of a cluster (src/include/catalog/pg_control.h,
// DBState).
type ControlState uint32

// The states that matter here.
const (
	StateShutDown           ControlState = 1 // cleanly
	StateShutDownInRecovery ControlState = 2 // a standby, cleanly
	StateInArchiveRecovery  ControlState = 5
	StateInProduction       ControlState = 6 // running, or crashed
)

func (s ControlState) String() string {
	// The words of pg_controldata.
	names := [...]string{"starting up", "shut down", "shut down in recovery", "shutting down",
		"in crash recovery", "in archive recovery", "in production"}
	if int(s) < len(names) {
		return names[s]
	}
	return fmt.Sprintf("state %d", uint32(s))
}

// Offsets in ControlFileData that no supported version moved.
const (
	ctlSystemID       = 0
	ctlVersion        = 8
	ctlCatalog        = 12
	ctlState          = 16
	ctlTime           = 24
	ctlCheckPoint     = 32
	ctlCheckPointCopy = 40
	ctlUnloggedLSN    = 128
	ctlMinRecovery    = 136 // five fields about recovery and backup, to 168
	ctlWALLevel       = 172
	ctlWALLogHints    = 176
	ctlSettings       = 180 // five integers
	ctlTrackCommitTs  = 200
	ctlBlockSize      = 216
	ctlWALBlockSize   = 224
	ctlSegmentSize    = 228
	ctlChecksums      = 252
	ctlCRCMax         = 292 // the largest controlLayout.crc
)

// A controlLayout is where a version's ControlFileData has what moved.
type controlLayout struct {
	crc int // of the checksum, which is the last field
}

var (
	control1300 = controlLayout{crc: 288}
	// 18 put default_char_signedness in front of mock_authentication_nonce.
	control1800 = controlLayout{crc: 292}
)

// A WALLevel is wal_level (src/include/access/xlog.h).
type WALLevel uint32

// The levels. At Minimal, changes are missing in the WAL.
const (
	Minimal WALLevel = 0
	Replica WALLevel = 1
	Logical WALLevel = 2
)

// A Control is a decoded global/pg_control. What it has no field for is kept
// and written back as it was.
type Control struct {
	SystemID        uint64
	CatalogVersion  uint32
	State           ControlState
	Time            int64    // seconds since 1970
	CheckPointLSN   core.LSN // start of the last checkpoint record
	CheckPoint      CheckPoint
	UnloggedLSN     core.LSN
	MinRecovery     core.LSN
	WALLevel        WALLevel
	WALLogHints     bool
	Settings        ControlSettings
	TrackCommitTs   bool
	SegmentSize     uint32
	ChecksumVersion uint32 // data checksums; 0: none

	version *Version
	rest    [ctlCRCMax]byte
}

// ControlSettings are the settings that a standby compares with its own.
type ControlSettings struct {
	MaxConnections, MaxWorkerProcesses, MaxWALSenders, MaxPreparedXacts, MaxLocksPerXact int32
}

// Version is whose control file it is.
func (c *Control) Version() *Version { return c.version }

// SpaceDir is the directory below a tablespace that is the version's
// (src/include/common/relpath.h, TABLESPACE_VERSION_DIRECTORY).
func (c *Control) SpaceDir() string {
	return fmt.Sprintf("PG_%d_%d", c.version.Major, c.CatalogVersion)
}

// Format is the format of the cluster's WAL.
func (c *Control) Format() Format {
	return Format{Version: c.version, SegmentSize: c.SegmentSize, SystemID: c.SystemID, TimelineID: c.CheckPoint.TimelineID}
}

// DecodeControl reads a control file. Bad bytes are env.ErrCorrupt; another
// version, block size or byte order is an error that says so.
func DecodeControl(b []byte) (*Control, error) {
	le := binary.LittleEndian
	if len(b) < ctlCRCMax+4 {
		return nil, fmt.Errorf("pg_control of %d bytes, want %d: %w", len(b), ControlFileSize, env.ErrCorrupt)
	}
	v, err := versionByControl(le.Uint32(b[ctlVersion:]), le.Uint32(b[ctlCatalog:]))
	if err != nil {
		return nil, err
	}
	crc := v.control.crc
	if want, got := le.Uint32(b[crc:]), crcOf(b[:crc]); want != got {
		return nil, fmt.Errorf("pg_control has checksum %08X, its bytes have %08X: %w", want, got, env.ErrCorrupt)
	}
	cp, err := v.DecodeCheckPoint(b[ctlCheckPointCopy:ctlUnloggedLSN])
	if err != nil {
		return nil, err
	}
	c := &Control{
		SystemID: le.Uint64(b[ctlSystemID:]), CatalogVersion: le.Uint32(b[ctlCatalog:]),
		State: ControlState(le.Uint32(b[ctlState:])), Time: int64(le.Uint64(b[ctlTime:])),
		CheckPointLSN: core.LSN(le.Uint64(b[ctlCheckPoint:])), CheckPoint: cp,
		UnloggedLSN: core.LSN(le.Uint64(b[ctlUnloggedLSN:])), MinRecovery: core.LSN(le.Uint64(b[ctlMinRecovery:])),
		WALLevel: WALLevel(le.Uint32(b[ctlWALLevel:])), WALLogHints: b[ctlWALLogHints] != 0,
		TrackCommitTs: b[ctlTrackCommitTs] != 0, SegmentSize: le.Uint32(b[ctlSegmentSize:]),
		ChecksumVersion: le.Uint32(b[ctlChecksums:]), version: v,
	}
	copy(c.rest[:crc], b)
	s := &c.Settings
	for i, f := range s.fields() {
		*f = int32(le.Uint32(b[ctlSettings+4*i:]))
	}
	return c, c.check()
}

func (s *ControlSettings) fields() [5]*int32 {
	return [5]*int32{&s.MaxConnections, &s.MaxWorkerProcesses, &s.MaxWALSenders, &s.MaxPreparedXacts, &s.MaxLocksPerXact}
}

func (c *Control) check() error {
	le := binary.LittleEndian
	if n := le.Uint32(c.rest[ctlBlockSize:]); n != core.PageSize {
		return fmt.Errorf("cluster with pages of %d bytes, want %d", n, core.PageSize)
	}
	if n := le.Uint32(c.rest[ctlWALBlockSize:]); n != core.WALPageSize {
		return fmt.Errorf("cluster with WAL pages of %d bytes, want %d", n, core.WALPageSize)
	}
	return c.Format().Check()
}

// Encode is the whole file, checksum included.
func (c *Control) Encode() []byte {
	le := binary.LittleEndian
	b := make([]byte, ControlFileSize)
	copy(b, c.rest[:])
	crc := c.version.control.crc
	le.PutUint64(b[ctlSystemID:], c.SystemID)
	le.PutUint32(b[ctlCatalog:], c.CatalogVersion)
	le.PutUint32(b[ctlState:], uint32(c.State))
	le.PutUint64(b[ctlTime:], uint64(c.Time))
	le.PutUint64(b[ctlCheckPoint:], uint64(c.CheckPointLSN))
	c.version.AppendCheckPoint(b[:ctlCheckPointCopy], c.CheckPoint)
	le.PutUint64(b[ctlUnloggedLSN:], uint64(c.UnloggedLSN))
	le.PutUint64(b[ctlMinRecovery:], uint64(c.MinRecovery))
	le.PutUint32(b[ctlWALLevel:], uint32(c.WALLevel))
	b[ctlWALLogHints], b[ctlTrackCommitTs] = bit(c.WALLogHints), bit(c.TrackCommitTs)
	for i, f := range c.Settings.fields() {
		le.PutUint32(b[ctlSettings+4*i:], uint32(*f))
	}
	le.PutUint32(b[ctlSegmentSize:], c.SegmentSize)
	le.PutUint32(b[ctlChecksums:], c.ChecksumVersion)
	le.PutUint32(b[crc:], crcOf(b[:crc]))
	return b
}

func bit(on bool) byte {
	if on {
		return 1
	}
	return 0
}
