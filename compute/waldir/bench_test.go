package waldir_test

import (
	"bytes"
	"testing"

	"xenon/compute/intake"
	"xenon/compute/overlay"
	"xenon/compute/vfs"
	"xenon/compute/waldir"
	"xenon/core"
	"xenon/core/wal"
	"xenon/realio"
)

// instant is a quorum that costs nothing.
type instant struct{ quorum }

func (q *instant) Offer(core.LSN, []byte) error { return nil }
func (q *instant) Committed() core.LSN          { return ^core.LSN(0) }

// BenchmarkCommit is what a commit costs here: one page written again with one
// more record in it, and a flush.
func BenchmarkCommit(b *testing.B) {
	e := realio.New(realio.Options{Root: b.TempDir()})
	defer e.Close()
	scratch, err := overlay.NewScratch(e, "wal", 8)
	if err != nil {
		b.Fatal(err)
	}
	tree := waldir.New(e, scratch, intake.New(e, intake.Config{Format: format, Start: start}, &instant{}), segSize)
	c := vfs.Client{Tree: tree}
	enc := wal.NewEncoder(format, start, 0)
	page, from := []byte{}, start
	rec := wal.Record{Rmgr: wal.RmgrXLOG, Info: wal.XLOGNoop, Main: bytes.Repeat([]byte("x"), 180)}
	var f *vfs.File
	open := ^uint64(0)
	out, zeros := make([]byte, 0, 4*core.WALPageSize), make([]byte, core.WALPageSize)
	b.ReportAllocs()
	for b.Loop() {
		if page, err = enc.Append(page, &rec); err != nil {
			b.Fatal(err)
		}
		if seg := from.Segment(segSize); seg != open {
			if f != nil {
				f.Close(b.Context())
			}
			if f, err = c.OpenFile(b.Context(), name(seg), vfs.OpenHow{Create: true, Mode: 0o600}); err != nil {
				b.Fatal(err)
			}
			open = seg
		}
		out = append(out[:0], page...)
		out = append(out, zeros[:-len(out)&(core.WALPageSize-1)]...)
		for rest := out; len(rest) > 0; { // a record may cross into the next segment
			n := min(len(rest), int(segSize-from.SegmentOffset(segSize)))
			if err := f.WriteAt(b.Context(), rest[:n], int64(from.SegmentOffset(segSize))); err != nil {
				b.Fatal(err)
			}
			if rest = rest[n:]; len(rest) > 0 {
				from, page = from+core.LSN(n), page[n:]
				open++
				f.Close(b.Context())
				if f, err = c.OpenFile(b.Context(), name(open), vfs.OpenHow{Create: true, Mode: 0o600}); err != nil {
					b.Fatal(err)
				}
			}
		}
		if err := f.Sync(b.Context()); err != nil {
			b.Fatal(err)
		}
		if n := len(page) &^ (core.WALPageSize - 1); n > 0 {
			from, page = from+core.LSN(n), append(page[:0], page[n:]...)
		}
	}
}
