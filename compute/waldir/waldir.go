// Package waldir is the directory pg_wal of a server: its WAL goes to the
// quorum, and a flush of it returns when the quorum has it.
//
// Only files with the name of a segment are WAL. A server makes a segment
// under another name, fills it with zeros, and renames it, or gives an old one
// a new name; none of these bytes were written as WAL, so a file given a
// segment's name counts as unwritten. What a server writes into a segment is
// kept on the scratch disk as well, where it reads it back.
package waldir

import (
	"context"
	"fmt"

	"xenon/compute/intake"
	"xenon/compute/names"
	"xenon/compute/overlay"
	"xenon/compute/vfs"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
)

// TimelineID is PostgreSQL's timeline of all WAL here: terms tell writers
// apart, not timelines.
const TimelineID = 1

// A Tree is the directory pg_wal.
type Tree struct {
	*names.Tree
	segSize uint32
	stream  *intake.Stream
}

// New makes a pg_wal without segments, whose WAL goes to stream. segSize is
// wal_segment_size in bytes.
func New(e env.Env, s *overlay.Scratch, stream *intake.Stream, segSize uint32) *Tree {
	t := &Tree{Tree: names.New(e, s), segSize: segSize, stream: stream}
	t.MakeDir(t.Root(), "archive_status", true)
	return t
}

// Preset puts b at LSN at before the server starts, in a segment that is zero
// elsewhere. These are not bytes that the server wrote.
func (t *Tree) Preset(ctx context.Context, at core.LSN, b []byte) error {
	for len(b) > 0 {
		n, err := t.segmentFile(ctx, at.Segment(t.segSize))
		if err != nil {
			return err
		}
		off := at.SegmentOffset(t.segSize)
		part := b[:min(len(b), int(t.segSize-off))]
		if err := n.File.WriteAt(ctx, part, int64(off)); err != nil {
			return fmt.Errorf("WAL at %s for the server to start with: %w", at, err)
		}
		at, b = at+core.LSN(len(part)), b[len(part):]
	}
	return nil
}

// segmentFile finds or makes the file of a segment.
func (t *Tree) segmentFile(ctx context.Context, seg uint64) (*names.Node, error) {
	name := core.SegmentName(TimelineID, seg, t.segSize)
	if n, _ := t.Child(t.Root(), name); n != nil {
		return n, nil
	}
	if err := t.MakeFile(ctx, t.Root(), name, nil); err != nil {
		return nil, fmt.Errorf("make WAL segment %s: %w", name, err)
	}
	n, _ := t.Child(t.Root(), name)
	return n, n.File.Truncate(ctx, int64(t.segSize))
}

// segment tells whether a file is a segment now, and which.
func (t *Tree) segment(id vfs.NodeID) (seg uint64, ok bool, err error) {
	n, err := t.Node(id)
	if err != nil {
		return 0, false, err
	}
	dir, name := t.Name(n)
	if dir != t.Root() {
		return 0, false, nil
	}
	tli, seg, ok := core.ParseSegmentName(name, t.segSize)
	if ok && tli != TimelineID {
		return 0, false, fmt.Errorf("WAL segment %s of PostgreSQL timeline %d: a branch has timeline %d only: %w", name, tli, TimelineID, vfs.EIO)
	}
	return seg, ok, nil
}

// Write gives what a server writes into a segment to the quorum, and keeps it.
// With sync it returns when the quorum has it.
func (t *Tree) Write(ctx context.Context, id vfs.NodeID, p []byte, off int64, sync bool) error {
	seg, wal, err := t.segment(id)
	if err != nil {
		return err
	}
	if !wal {
		return noRoomIsIO(t.Tree.Write(ctx, id, p, off, sync))
	}
	if off < 0 || off+int64(len(p)) > int64(t.segSize) {
		return fmt.Errorf("write of %d bytes at %d of a WAL segment of %d: %w", len(p), off, t.segSize, vfs.EINVAL)
	}
	// The quorum first: the network takes longer than the disk, and a flush
	// comes soon.
	if err := t.stream.Write(core.SegmentStart(seg, t.segSize)+core.LSN(off), p); err != nil {
		return err
	}
	if err := t.Tree.Write(ctx, id, p, off, sync); err != nil {
		return noRoomIsIO(err)
	}
	if sync && !(faults.On && faults.Hit(faults.DsyncForgotten)) {
		return t.stream.FlushSegment(ctx, seg)
	}
	return nil
}

// noRoomIsIO keeps a server from taking a full scratch disk for a full WAL
// disk, which it would treat as something it may carry on after.
func noRoomIsIO(err error) error {
	if vfs.ErrnoOf(err) == vfs.ENOSPC {
		return fmt.Errorf("%w: %w", vfs.EIO, err)
	}
	return err
}

// Sync of a segment returns when a quorum has flushed every record that is
// complete in what was written.
func (t *Tree) Sync(ctx context.Context, id vfs.NodeID, _ bool) error {
	seg, wal, err := t.segment(id)
	if err != nil || !wal {
		return err
	}
	return t.stream.FlushSegment(ctx, seg)
}

var _ vfs.Tree = (*Tree)(nil)
