package overlay_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"xenon/compute/overlay"
	"xenon/core"
	"xenon/core/env"
	"xenon/diskdrv"
	"xenon/netsim"
	"xenon/realio"
)

// A base has pages that tell their number, and may fail.
type base struct{ err error }

func (b *base) ReadBlocks(_ context.Context, first uint32, dst []byte) error {
	for i := range dst {
		dst[i] = byte(first) + byte(i/core.PageSize) + 1
	}
	return b.err
}

const baseBlocks = 6

// TestFileIsItsBytes does the same to a file over a base and to a slice.
func TestFileIsItsBytes(t *testing.T) {
	dir := t.TempDir()
	e := realio.New(realio.Options{Root: dir})
	t.Cleanup(func() { e.Close() })
	rapid.Check(t, func(t *rapid.T) {
		s, err := overlay.NewScratch(e, "s", 1)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		b := &base{}
		f := overlay.NewFile(e, s, b, baseBlocks)
		other := overlay.NewFile(e, s, nil, 0) // so that files are closed and opened again
		want := make([]byte, baseBlocks*core.PageSize)
		b.ReadBlocks(t.Context(), 0, want)
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			off, n := genSpan(t)
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0:
				want = cut(want, off)
				err = f.Truncate(t.Context(), int64(off))
			case 1:
				want = cut(want, max(len(want), off+n))
				err = f.Allocate(int64(off), int64(n))
			default:
				p := bytes.Repeat([]byte{rapid.SampledFrom([]byte{0, 0, 'a', 'b'}).Draw(t, "byte")}, n)
				want = cut(want, max(len(want), off+n))
				copy(want[off:], p)
				err = errors.Join(f.WriteAt(t.Context(), p, int64(off)), other.WriteAt(t.Context(), []byte("x"), 0))
			}
			if err != nil {
				t.Fatal(err)
			}
			got := make([]byte, len(want)+100)
			n, err = f.ReadAt(t.Context(), got, 0)
			if err != nil || !bytes.Equal(got[:n], want) || f.Size() != int64(len(want)) {
				t.Fatalf("%d of %d bytes, %v", n, len(want), err)
			}
		}
		if err := errors.Join(f.Drop(), other.Drop()); err != nil {
			t.Fatal(err)
		}
	})
	left, err := os.ReadDir(filepath.Join(dir, "s"))
	if err != nil || len(left) > 0 {
		t.Errorf("%d files left, %v", len(left), err)
	}
}

func genSpan(t *rapid.T) (off, n int) {
	if rapid.Bool().Draw(t, "aligned") {
		return core.PageSize * rapid.IntRange(0, 7).Draw(t, "block"), core.PageSize
	}
	return rapid.IntRange(0, 60000).Draw(t, "off"), rapid.IntRange(1, 20000).Draw(t, "n")
}

func cut(b []byte, size int) []byte {
	c := make([]byte, size)
	copy(c, b)
	return c
}

// TestErrorsChangeNothing: a base that fails, or a disk that is full, leaves
// the file as it was, or as the write would have it.
func TestErrorsChangeNothing(t *testing.T) {
	w := netsim.New(netsim.Options{Seed: 1})
	disk := diskdrv.DiskIn(w, "disk", 4<<20, diskdrv.Faults{NoSpace: 200, WriteError: 200})
	p := w.Proc("p", netsim.ProcOptions{Disk: disk})
	failed := 0
	err := p.Do(0, func(ctx context.Context, e env.Env) error {
		var s *overlay.Scratch
		err := errors.New("not tried")
		for err != nil {
			s, err = overlay.NewScratch(e, "s", 4)
		}
		f := overlay.NewFile(e, s, &base{}, baseBlocks)
		want := make([]byte, baseBlocks)
		for i := range want {
			want[i] = byte(i + 1)
		}
		r := e.Rand("test")
		for range 300 {
			blk, v := r.IntN(baseBlocks), byte(r.IntN(200)+1)
			err := f.WriteAt(ctx, bytes.Repeat([]byte{v}, core.PageSize), int64(blk)*core.PageSize)
			got := make([]byte, core.PageSize)
			if _, rerr := f.ReadAt(ctx, got, int64(blk)*core.PageSize); rerr != nil {
				return rerr
			}
			if err != nil {
				failed++
				v = 0 // any mixture: written anew below
				for err != nil {
					v = byte(r.IntN(200) + 1)
					err = f.WriteAt(ctx, bytes.Repeat([]byte{v}, core.PageSize), int64(blk)*core.PageSize)
				}
			}
			want[blk] = v
			for i, b := range want {
				if _, err := f.ReadAt(ctx, got, int64(i)*core.PageSize); err != nil || !bytes.Equal(got, bytes.Repeat([]byte{b}, core.PageSize)) {
					return errors.Join(err, errors.New("another block changed"))
				}
			}
		}
		return nil
	})
	if err := errors.Join(err, w.Close()); err != nil || failed < 20 {
		t.Errorf("%d failed writes, %v", failed, err)
	}
}

func TestBaseErrorsPass(t *testing.T) {
	e := realio.New(realio.Options{Root: t.TempDir()})
	t.Cleanup(func() { e.Close() })
	s, err := overlay.NewScratch(e, "s", 1)
	if err != nil {
		t.Fatal(err)
	}
	b := &base{err: errors.New("no page")}
	f := overlay.NewFile(e, s, b, baseBlocks)
	for what, err := range map[string]error{
		"read":              func() error { _, err := f.ReadAt(t.Context(), make([]byte, 10), 0); return err }(),
		"part of a page":    f.WriteAt(t.Context(), []byte("x"), 5),
		"cut inside a page": f.Truncate(t.Context(), 100),
	} {
		if !errors.Is(err, b.err) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if f.Size() != baseBlocks*core.PageSize {
		t.Errorf("size %d after errors", f.Size())
	}
	if err := f.WriteAt(t.Context(), make([]byte, core.PageSize), 0); err != nil {
		t.Errorf("a whole page needs no base: %v", err)
	}
	if err := f.WriteAt(t.Context(), []byte("x"), 1<<45); err == nil {
		t.Error("a write at 32 TiB")
	}
}
