package waldir_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"xenon/compute/intake"
	"xenon/compute/overlay"
	"xenon/compute/vfs"
	"xenon/compute/waldir"
	"xenon/core"
	"xenon/core/wal"
	"xenon/realio"
)

const (
	segSize = 1 << 20
	segment = 5
	start   = core.LSN(segment*segSize + 2*core.WALPageSize)
)

var format = wal.Format{Version: wal.PG15, SegmentSize: segSize, SystemID: 7, TimelineID: 1}

// A quorum is one that a test answers for.
type quorum struct {
	log     []byte
	awaited core.LSN
	err     error
}

func (q *quorum) Offer(begin core.LSN, b []byte) error {
	if begin != start+core.LSN(len(q.log)) {
		return fmt.Errorf("offered %s", begin)
	}
	q.log = append(q.log, b...)
	return nil
}
func (q *quorum) Committed() core.LSN { return 0 }
func (q *quorum) AwaitCommit(_ context.Context, lsn core.LSN) error {
	q.awaited = lsn
	return q.err
}

func newDir(t *testing.T) (vfs.Client, *waldir.Tree, *quorum) {
	t.Helper()
	e := realio.New(realio.Options{Root: t.TempDir()})
	t.Cleanup(func() { e.Close() })
	scratch, err := overlay.NewScratch(e, "wal", 2)
	if err != nil {
		t.Fatal(err)
	}
	q := &quorum{}
	tree := waldir.New(e, scratch, intake.New(e, intake.Config{Format: format, Start: start}, q), segSize)
	if err := tree.Preset(t.Context(), start-8, []byte("8 before")); err != nil {
		t.Fatal(err)
	}
	return vfs.Client{Tree: tree}, tree, q
}

// logOf is pages of WAL with one record, and where it ends.
func logOf(t *testing.T) (pages []byte, end core.LSN) {
	t.Helper()
	e := wal.NewEncoder(format, start, 0)
	b, err := e.Append(nil, &wal.Record{Rmgr: wal.RmgrXLOG, Info: wal.XLOGNoop, Main: bytes.Repeat([]byte("x"), 10000)})
	if err != nil {
		t.Fatal(err)
	}
	return append(b, make([]byte, 2*core.WALPageSize-len(b))...), e.Pos()
}

func name(seg uint64) string { return core.SegmentName(waldir.TimelineID, seg, segSize) }

func open(t *testing.T, c vfs.Client, path string, how vfs.OpenHow) *vfs.File {
	t.Helper()
	f, err := c.OpenFile(t.Context(), path, how)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close(context.Background()) })
	return f
}

func TestFlushWaitsForQuorum(t *testing.T) {
	c, _, q := newDir(t)
	pages, end := logOf(t)
	f := open(t, c, name(segment), vfs.OpenHow{})
	if size, _ := f.Size(t.Context()); size != segSize {
		t.Errorf("segment of %d bytes", size)
	}
	if err := f.WriteAt(t.Context(), pages, 2*core.WALPageSize); err != nil {
		t.Fatal(err)
	}
	if q.awaited != 0 || start+core.LSN(len(q.log)) != end {
		t.Fatalf("after the write: awaited %s, offered %d bytes", q.awaited, len(q.log))
	}
	if err := f.Sync(t.Context()); err != nil || q.awaited != end {
		t.Fatalf("sync awaited %s, want %s: %v", q.awaited, end, err)
	}
	got := make([]byte, 8+len(pages))
	if _, err := f.ReadAt(t.Context(), got, 2*core.WALPageSize-8); err != nil || !bytes.Equal(got, append([]byte("8 before"), pages...)) {
		t.Errorf("read back other bytes: %v", err)
	}
	q.err = errors.New("fenced")
	if err := f.Sync(t.Context()); vfs.ErrnoOf(err) != vfs.EIO {
		t.Errorf("sync without a quorum: %v", err)
	}
}

// checkDsync writes as wal_sync_method=open_datasync does, and tells what was
// waited for.
func checkDsync(t *testing.T) (awaited, want core.LSN) {
	c, _, q := newDir(t)
	pages, end := logOf(t)
	f := open(t, c, name(segment), vfs.OpenHow{Sync: true})
	if err := f.WriteAt(t.Context(), pages, 2*core.WALPageSize); err != nil {
		t.Fatal(err)
	}
	return q.awaited, end
}

func TestDsyncWriteWaitsForQuorum(t *testing.T) {
	if awaited, want := checkDsync(t); awaited != want {
		t.Errorf("the write awaited %s, want %s", awaited, want)
	}
}

// TestNewSegment makes a segment as a server does: filled under another name,
// flushed, renamed, flushed. None of that is WAL, and none of it waits.
func TestNewSegment(t *testing.T) {
	c, _, q := newDir(t)
	pages, _ := logOf(t)
	f := open(t, c, name(segment), vfs.OpenHow{})
	if err := f.WriteAt(t.Context(), pages, 2*core.WALPageSize); err != nil {
		t.Fatal(err)
	}
	tmp := open(t, c, "xlogtemp.1", vfs.OpenHow{Create: true, Excl: true, Mode: 0o600})
	zeros := make([]byte, core.WALPageSize)
	for off := int64(0); off < segSize; off += core.WALPageSize {
		if err := tmp.WriteAt(t.Context(), zeros, off); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(tmp.Sync(t.Context()), c.Rename(t.Context(), "xlogtemp.1", name(segment+1)), tmp.Sync(t.Context())); err != nil {
		t.Fatal(err)
	}
	if q.awaited != 0 {
		t.Errorf("making a segment waited for %s", q.awaited)
	}
	// A recycled one likewise; what stands in it is old.
	old := open(t, c, "old", vfs.OpenHow{Create: true, Mode: 0o600})
	if err := errors.Join(old.WriteAt(t.Context(), pages, 0), c.Rename(t.Context(), "old", name(segment+2))); err != nil {
		t.Fatal(err)
	}
	if err := old.Sync(t.Context()); err != nil || q.awaited != 0 {
		t.Errorf("flush of a recycled segment waited for %s: %v", q.awaited, err)
	}
}

func TestOtherTimelinesAreRefused(t *testing.T) {
	c, _, _ := newDir(t)
	f := open(t, c, core.SegmentName(2, segment, segSize), vfs.OpenHow{Create: true, Mode: 0o600})
	if err := f.WriteAt(t.Context(), make([]byte, core.WALPageSize), 0); vfs.ErrnoOf(err) != vfs.EIO {
		t.Errorf("write to timeline 2: %v", err)
	}
}

func TestPresetCrossesSegments(t *testing.T) {
	c, tree, _ := newDir(t)
	b := bytes.Repeat([]byte("preset"), 100)
	if err := tree.Preset(t.Context(), core.SegmentStart(9, segSize)-300, b); err != nil {
		t.Fatal(err)
	}
	var got []byte
	for _, part := range []struct {
		seg    uint64
		off, n int
	}{{8, segSize - 300, 300}, {9, 0, 300}} {
		p := make([]byte, part.n)
		if _, err := open(t, c, name(part.seg), vfs.OpenHow{}).ReadAt(t.Context(), p, int64(part.off)); err != nil {
			t.Fatal(err)
		}
		got = append(got, p...)
	}
	if !bytes.Equal(got, b) {
		t.Error("other bytes")
	}
}
