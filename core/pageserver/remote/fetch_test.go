package remote_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync/atomic"
	"testing"

	"xenon/core/env"
	"xenon/core/layer"
	"xenon/core/pageserver/remote"
	"xenon/core/xsync"
	"xenon/diskdrv"
	"xenon/realio"
)

// A shelf is a layer in the object store and a fetcher of it.
type shelf struct {
	w       *world
	e       env.Env
	l       remote.LayerEntry
	x       *remote.Index
	want    []byte
	fetcher *remote.Fetcher
	gets    atomic.Int32 // of the whole object
}

// newShelf has a layer that is not small.
func newShelf(t *testing.T) *shelf { return newShelfOf(t, 300<<10) }

func newShelfOf(t *testing.T, size int) *shelf {
	s := &shelf{w: newWorld(), want: bytes.Repeat([]byte("a layer "), size/8)}
	store := &counting{s.w.bucket.Objects(nil, "a"), &s.gets}
	e := realio.New(realio.Options{Root: t.TempDir(), Objects: store})
	t.Cleanup(func() { e.Close() })
	s.e = e
	o := made(t, e)
	var err error
	if s.l, err = o.Upload(t.Context(), extent(0), env.Bytes(s.want)); err != nil {
		t.Fatal(err)
	}
	s.x = o.Index()
	s.fetcher = remote.NewFetcher(t.Context(), e, testID, xsync.NewSem(e, remote.Downloads))
	t.Cleanup(s.fetcher.Close)
	return s
}

// counting counts Gets of whole objects.
type counting struct {
	env.ObjectStore
	whole *atomic.Int32
}

func (s *counting) Get(ctx context.Context, key string, o env.GetOpts) (io.ReadCloser, env.ObjectMeta, error) {
	if o.Len == 0 && strings.Contains(key, "/layers/") {
		s.whole.Add(1)
	}
	return s.ObjectStore.Get(ctx, key, o)
}

func (s *shelf) source(t *testing.T) layer.Source {
	t.Helper()
	src, err := s.fetcher.Source(t.Context(), s.l, "layer")
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// read reads a piece and compares it.
func (s *shelf) read(t *testing.T, src layer.Source, off int) {
	t.Helper()
	b := make([]byte, 100)
	if err := src.ReadRange(t.Context(), b, int64(off)); err != nil || !bytes.Equal(b, s.want[off:off+100]) {
		t.Fatalf("read at %d: %q, %v", off, b, err)
	}
}

func (s *shelf) onDisk() bool {
	_, err := s.e.FS().Stat("layer")
	return err == nil
}

// TestFetch: a layer that is read more than a little comes to the disk, once;
// without its file it is read from the object store again.
func TestFetch(t *testing.T) {
	s := newShelf(t)
	src := s.source(t)
	s.read(t, src, 0)
	if s.onDisk() || s.gets.Load() != 0 {
		t.Error("one read brought the whole layer to the disk")
	}
	for i := range 200 {
		s.read(t, src, i*10)
	}
	if err := s.fetcher.Fetch(t.Context(), s.l, "layer"); err != nil || !s.onDisk() {
		t.Fatalf("fetch: %v", err)
	}
	g := xsync.NewGroup(t.Context(), s.e)
	for range 20 {
		g.Go("read", func(ctx context.Context) error { return s.fetcher.Fetch(ctx, s.l, "layer") })
	}
	if err := g.Wait(); err != nil || s.gets.Load() != 1 {
		t.Errorf("%d downloads, %v", s.gets.Load(), err)
	}
	s.w.bucket.SetOutage(true)
	s.read(t, src, 500)
	s.w.bucket.SetOutage(false)
	if err := s.e.FS().Remove("layer"); err != nil {
		t.Fatal(err)
	}
	s.read(t, src, 700)
	s.fetcher.Close()
	if err := s.fetcher.Fetch(t.Context(), s.l, "another"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("fetch by a closed fetcher: %v", err)
	}
}

// TestFetchSmall: a small layer comes to the disk when it is first read, if
// there is room, and is one request.
func TestFetchSmall(t *testing.T) {
	s := newShelfOf(t, 8000)
	src := s.source(t)
	for i := range 20 {
		s.read(t, src, i*100)
	}
	if !s.onDisk() || s.gets.Load() != 1 {
		t.Errorf("%d downloads, on the disk: %t", s.gets.Load(), s.onDisk())
	}
}

// TestFetchTrouble: an object that is gone, damaged or of another length is
// named, and leaves no file.
func TestFetchTrouble(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(s *shelf, key string)
		want  error
		says  string
	}{
		{"gone", func(s *shelf, key string) { s.w.bucket.Lose(key) }, remote.ErrLost, "restore it"},
		{"damaged", func(s *shelf, key string) { s.w.bucket.Corrupt(key, 4000, 1) }, env.ErrCorrupt, "restore it"},
		{"cut short", func(s *shelf, key string) { put(s.e, key, s.want[:4000]) }, env.ErrCorrupt, "4000 bytes"},
		{"forbidden", func(s *shelf, _ string) { s.w.bucket.SetFaults(diskdrv.BucketFaults{Forbidden: 1000}) }, env.ErrForbidden, "download"},
	}
	for _, tt := range tests {
		s := newShelf(t)
		key := s.x.Object(s.l)
		tt.spoil(s, key)
		err := s.fetcher.Fetch(t.Context(), s.l, "layer")
		if !errors.Is(err, tt.want) || !strings.Contains(fmt.Sprint(err), key) || !strings.Contains(fmt.Sprint(err), tt.says) {
			t.Errorf("%s: %v, want %v that names %s", tt.name, err, tt.want, key)
		}
		if names, _ := s.e.FS().ReadDir("."); len(names) != 0 {
			t.Errorf("%s: %v is left on the disk", tt.name, names)
		}
		if s.fetcher.Waits() == "" {
			t.Errorf("%s: nothing is said of it", tt.name)
		}
	}
}

// TestFetchFaults: whatever passes, the layer comes.
func TestFetchFaults(t *testing.T) {
	s := newShelf(t)
	s.w.bucket.SetFaults(diskdrv.BucketFaults{Unavailable: 300, SlowDown: 200, CutBody: 300})
	if err := s.fetcher.Fetch(t.Context(), s.l, "layer"); err != nil {
		t.Fatal(err)
	}
	s.read(t, s.source(t), 1234)
}
