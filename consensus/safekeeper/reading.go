package safekeeper

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"xenon/consensus/safekeeper/archive"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/wire"
)

// readWAL reads WAL at the sender's place from where it is: from the disk, or
// from the object store once it was removed here. A timeline that has left the
// disk comes back for what only it has.
func (s *sender) readWAL(ctx context.Context, p []byte) (int, error) {
	for range 2 {
		n, err := s.read.read(p, s.pos)
		damaged := damagedRead(err)
		if damaged {
			s.t.suspect(s.pos)
		}
		if !damaged && !errors.Is(err, fs.ErrNotExist) {
			return n, err
		}
		size := s.t.segs.size
		if damaged && s.t.control().Backup < core.SegmentStart(s.pos.Segment(size)+1, size) {
			return n, err
		}
		if core.SegmentStart(s.pos.Segment(size)+1, size) <= s.t.control().Backup {
			return s.readStored(ctx, p)
		}
		if err := s.t.bring(ctx); err != nil {
			return 0, err
		}
	}
	return 0, wire.Errorf(wire.CodeMissingFile, "requested WAL segment %s is not there", s.t.segs.name(s.pos.Segment(s.t.segs.size)))
}

// readStored reads WAL in the object store. It fails with what waits there, and
// where, when that takes longer than the reader waits.
func (s *sender) readStored(ctx context.Context, p []byte) (int, error) {
	if s.old == nil {
		s.old = archive.NewReader(s.t.node.store, s.t.id, s.t.segs.size)
	}
	n, err := s.old.Read(ctx, p, s.pos)
	if errors.Is(err, env.ErrNotFound) {
		err = fmt.Errorf("WAL below %s was removed from safekeeper %d, and is missing in the object store: %w", s.t.control().LocalStart, s.t.node.cfg.NodeID, err)
	}
	return n, err
}

func (s *sender) closeOld() {
	if s.old != nil {
		s.old.Close()
	}
}
