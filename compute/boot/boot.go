// Package boot makes what a stock server starts with at an LSN X, so that it
// believes it was shut down cleanly there: a shutdown checkpoint that is the
// next record of the WAL, a control file that names it, the directories and
// small files of a cluster, and the trees that hold them.
//
// Start at [New].
package boot

import (
	"context"
	"fmt"
	"slices"
	"time"

	"xenon/compute/filetree"
	"xenon/compute/intake"
	"xenon/compute/overlay"
	"xenon/compute/waldir"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/pageserver/bootset"
	"xenon/core/wal"
)

// A Plan is a server about to start at an LSN.
type Plan struct {
	// Boot has the checkpoint. Boot.WAL, from Boot.X to Boot.End, is the first
	// WAL of the term: the proposer offers it before the server's own.
	Boot   *wal.Boot
	Format wal.Format

	set  *bootset.Set
	conf []bootset.File
}

// New plans the start of a server with the files of set, at X = set.LSN. prev
// is the start of the last record before X: exact where a timeline goes on, 0
// at a branch point. now is the time of the checkpoint. conf are the settings
// files: postgresql.conf, and those kept for the branch; what is missing gets
// a default.
func New(set *bootset.Set, prev core.LSN, now time.Time, conf []bootset.File) (*Plan, error) {
	ctl, err := wal.DecodeControl(set.Control)
	if err != nil {
		return nil, fmt.Errorf("boot at %s: %w", set.LSN, err)
	}
	if ctl.SystemID != set.SystemID || ctl.SegmentSize != set.SegmentSize || ctl.Version().Major != set.Major {
		return nil, fmt.Errorf("boot at %s: pg_control is of system %d, %s, segments of %d bytes; the timeline of system %d, major %d, %d bytes: %w",
			set.LSN, ctl.SystemID, ctl.Version(), ctl.SegmentSize, set.SystemID, set.Major, set.SegmentSize, env.ErrCorrupt)
	}
	ctl.CheckPoint.Time = now.Unix()
	ctl.CheckPoint.TimelineID, ctl.CheckPoint.PrevTimelineID = waldir.TimelineID, waldir.TimelineID
	b, err := wal.ShutdownCheckpoint(ctl, set.LSN, prev)
	if err != nil {
		return nil, err
	}
	return &Plan{Boot: b, Format: ctl.Format(), set: set, conf: conf}, nil
}

// dirs are the directories of a cluster (src/bin/initdb/initdb.c, subdirs)
// that are not made with something in them. Those of SLRUs and prepared
// transactions are filled from the timeline; what the others held is of no use
// to a new server.
var dirs = []string{
	"pg_commit_ts", "pg_dynshmem", "pg_logical", "pg_logical/mappings", "pg_logical/snapshots",
	"pg_multixact", "pg_multixact/members", "pg_multixact/offsets", "pg_notify", "pg_replslot",
	"pg_serial", "pg_snapshots", "pg_stat", "pg_stat_tmp", "pg_subtrans", "pg_tblspc", "pg_twophase", "pg_xact",
}

// defaults are the settings files that a server does not start without.
// Nobody but the socket's users is let in until somebody says otherwise.
var defaults = []bootset.File{
	{Path: "postgresql.conf", Content: nil},
	{Path: "postgresql.auto.conf", Content: nil},
	{Path: "pg_ident.conf", Content: nil},
	{Path: "pg_hba.conf", Content: []byte("local all all trust\n")},
}

// ControlFile is the path of the control file below the data directory.
const ControlFile = "global/pg_control"

// Contents is everything in the data directory but pg_wal. Of files with one
// path the last counts; that of the control file is the last of all.
func (p *Plan) Contents() filetree.Config {
	cfg := filetree.Config{Dirs: dirs, Files: slices.Clone(defaults), Databases: p.set.Databases, SpaceDir: p.Boot.Control.SpaceDir(), SLRUs: p.set.SLRUs}
	cfg.Files = append(cfg.Files, p.set.Files...)
	cfg.Files = append(cfg.Files, p.conf...)
	cfg.Files = append(cfg.Files, bootset.File{Path: ControlFile, Content: p.Boot.Control.Encode()})
	return cfg
}

// Data makes the data directory. walDir is where its link pg_wal leads.
func (p *Plan) Data(ctx context.Context, e env.Env, s *overlay.Scratch, src filetree.Source, walDir string, keep filetree.KeepFunc) (*filetree.Tree, error) {
	cfg := p.Contents()
	cfg.Source, cfg.WALDir, cfg.Keep = src, walDir, keep
	return filetree.New(ctx, e, s, cfg)
}

// Stream makes the intake of the WAL that the server writes behind the
// checkpoint. onFail is told when the server's WAL turns out to be broken.
func (p *Plan) Stream(e env.Env, q intake.Quorum, onFail func(error)) *intake.Stream {
	b := p.Boot
	page := b.End &^ (core.WALPageSize - 1)
	have := make([]byte, b.End-page)
	for _, s := range p.spans() {
		lay(have, page, s)
	}
	return intake.New(e, intake.Config{Format: p.Format, Start: b.End, Prev: b.Start, Page: have, OnFail: onFail}, q)
}

// WAL makes pg_wal, whose WAL goes to stream. It holds the checkpoint and the
// page headers that a reader needs to find it.
func (p *Plan) WAL(ctx context.Context, e env.Env, s *overlay.Scratch, stream *intake.Stream) (*waldir.Tree, error) {
	t := waldir.New(e, s, stream, p.Format.SegmentSize)
	for _, span := range p.spans() {
		if err := t.Preset(ctx, span.At, span.Bytes); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// Segments are the files of pg_wal for a server without a mount: whole
// segments, zeroes behind the checkpoint.
func (p *Plan) Segments() []bootset.File {
	size := p.Format.SegmentSize
	spans := append(p.Format.Filled(p.Boot.X), wal.Span{At: p.Boot.X, Bytes: p.Boot.WAL})
	var files []bootset.File
	for seg := p.Boot.X.Segment(size); core.SegmentStart(seg, size) < p.Boot.End; seg++ {
		content := make([]byte, size)
		for _, s := range spans {
			lay(content, core.SegmentStart(seg, size), s)
		}
		files = append(files, bootset.File{Path: "pg_wal/" + core.SegmentName(waldir.TimelineID, seg, size), Content: content})
	}
	return files
}

// spans are all bytes of WAL that the server starts with.
func (p *Plan) spans() []wal.Span {
	return append(slices.Clone(p.Boot.Before), wal.Span{At: p.Boot.X, Bytes: p.Boot.WAL})
}

// lay copies what of s falls into dst, which begins at LSN at.
func lay(dst []byte, at core.LSN, s wal.Span) {
	end := at + core.LSN(len(dst))
	if s.At >= end || s.At+core.LSN(len(s.Bytes)) <= at {
		return
	}
	if s.At < at {
		copy(dst, s.Bytes[at-s.At:])
		return
	}
	copy(dst[s.At-at:], s.Bytes)
}
