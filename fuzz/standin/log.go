package standin

import (
	"context"
	"fmt"

	"xenon/compute/vfs"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/wal"
	"xenon/core/xsync"
)

// A log writes WAL as PostgreSQL does: records into pages in memory, whole
// pages into segments, the last page again and again as it fills.
type log struct {
	dir vfs.Client

	mu     xsync.Mutex // insertion; guards what follows
	format wal.Format
	enc    *wal.Encoder
	begin  core.LSN // a page boundary
	pages  []byte   // from begin to the end of the last record

	writing xsync.Mutex // taken before mu; guards what follows
	flushed core.LSN
	file    *vfs.File // the segment being written
	seg     uint64
}

func (l *log) init(e env.Env, dir vfs.Client) {
	l.dir = dir
	l.mu.Init(e)
	l.writing.Init(e)
}

// start continues the log at end, behind a record that begins at prev.
func (l *log) start(ctx context.Context, f wal.Format, end, prev core.LSN) error {
	l.format, l.enc, l.flushed = f, wal.NewEncoder(f, end, prev), end
	l.begin = end &^ (core.WALPageSize - 1)
	l.pages = make([]byte, end-l.begin)
	if len(l.pages) == 0 {
		return nil
	}
	n, err := l.readSegment(ctx, l.pages, l.begin)
	if err == nil && n < len(l.pages) {
		err = fmt.Errorf("%d bytes at %s, want %d", n, l.begin, len(l.pages))
	}
	return err
}

func (l *log) readSegment(ctx context.Context, p []byte, at core.LSN) (int, error) {
	name := core.SegmentName(1, at.Segment(l.format.SegmentSize), l.format.SegmentSize)
	f, err := l.dir.OpenFile(ctx, name, vfs.OpenHow{})
	if err != nil {
		return 0, fmt.Errorf("WAL segment %s: %w", name, err)
	}
	defer f.Close(ctx)
	off := at.SegmentOffset(l.format.SegmentSize)
	return f.ReadAt(ctx, p[:min(len(p), int(l.format.SegmentSize-off))], int64(off))
}

// insert appends a record, whose positions it sets. The caller holds mu.
func (l *log) insert(r *wal.Record) error {
	var err error
	l.pages, err = l.enc.Append(l.pages, r)
	return err
}

// flush returns once WAL up to lsn is durable.
func (l *log) flush(ctx context.Context, lsn core.LSN) error {
	if err := l.writing.LockCtx(ctx); err != nil {
		return err
	}
	defer l.writing.Unlock()
	if l.flushed >= lsn {
		return nil
	}
	at, b, end, err := l.take(ctx)
	if err != nil {
		return err
	}
	for len(b) > 0 {
		n := min(len(b), int(l.format.SegmentSize-at.SegmentOffset(l.format.SegmentSize)))
		if err := l.write(ctx, at, b[:n]); err != nil {
			return fmt.Errorf("write WAL at %s: %w", at, err)
		}
		at, b = at+core.LSN(n), b[n:]
	}
	l.flushed = end
	return nil
}

// take returns the pages that are to be written, and lets go of those that
// are full.
func (l *log) take(ctx context.Context) (at core.LSN, b []byte, end core.LSN, err error) {
	if err := l.mu.LockCtx(ctx); err != nil {
		return 0, nil, 0, err
	}
	defer l.mu.Unlock()
	at, end = l.begin, l.begin+core.LSN(len(l.pages))
	b = append([]byte(nil), l.pages...)
	if rest := len(b) % core.WALPageSize; rest > 0 {
		b = append(b, make([]byte, core.WALPageSize-rest)...)
	}
	last := end &^ (core.WALPageSize - 1)
	l.pages = append([]byte(nil), l.pages[last-l.begin:]...)
	l.begin = last
	return at, b, end, nil
}

// write writes whole pages of one segment and syncs it.
func (l *log) write(ctx context.Context, at core.LSN, b []byte) error {
	seg := at.Segment(l.format.SegmentSize)
	if l.file == nil || l.seg != seg {
		if l.file != nil {
			l.file.Close(ctx)
			l.file = nil
		}
		f, err := l.open(ctx, seg)
		if err != nil {
			return err
		}
		l.file, l.seg = f, seg
	}
	if err := l.file.WriteAt(ctx, b, int64(at.SegmentOffset(l.format.SegmentSize))); err != nil {
		return err
	}
	return l.file.Sync(ctx)
}

// open opens a segment, or makes it under another name first, as
// XLogFileInitInternal does with wal_init_zero off.
func (l *log) open(ctx context.Context, seg uint64) (*vfs.File, error) {
	name := core.SegmentName(1, seg, l.format.SegmentSize)
	f, err := l.dir.OpenFile(ctx, name, vfs.OpenHow{})
	if err == nil || vfs.ErrnoOf(err) != vfs.ENOENT {
		return f, err
	}
	const temp = "xlogtemp.1"
	if f, err = l.dir.OpenFile(ctx, temp, vfs.OpenHow{Create: true, Excl: true, Mode: 0o600}); err != nil {
		return nil, err
	}
	if err = f.WriteAt(ctx, []byte{0}, int64(l.format.SegmentSize)-1); err == nil {
		err = f.Sync(ctx)
	}
	if err == nil {
		err = l.dir.Rename(ctx, temp, name)
	}
	if err != nil {
		f.Close(ctx)
		return nil, err
	}
	return f, nil
}
