package remote

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path"
	"sync"
	"sync/atomic"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
	"xenon/core/layer"
	"xenon/core/xsync"
)

const (
	// Downloads bounds how many layers that are not small a process downloads at
	// once.
	Downloads = 4
	// MinFree is how many bytes of the disk downloads leave free.
	MinFree = 256 << 20
	// PartSuffix is what a file's name ends in while it is being downloaded.
	PartSuffix = ".part"
)

// ErrLost reports a layer that the index names and that is not in the object
// store.
var ErrLost = errors.New("layer object is lost")

// A Fetcher makes layers readable that lie in the object store and may be on
// the disk. The first few reads of one that is not go to the store: to open
// a layer and to look at its metadata takes a few blocks. What is read more, or
// is small, is brought to the disk, once, and read there from then on. A file
// may be removed at any time.
type Fetcher struct {
	e     env.Env
	id    core.TTID
	group *xsync.Group // downloads run in it
	gate  *xsync.Gate  // before the group
	slots *xsync.Sem

	mu      sync.Mutex                       // leaf
	flights map[string]*xsync.Watch[landing] // by path
	last    error                            // of the last download, nil if it succeeded
}

// A landing is the end of a download.
type landing struct {
	done bool
	err  error
}

// NewFetcher fetches layers of a timeline until ctx ends. slots bounds the
// downloads of all fetchers that share it. Close must be called.
func NewFetcher(ctx context.Context, e env.Env, id core.TTID, slots *xsync.Sem) *Fetcher {
	f := &Fetcher{e: e, id: id, group: xsync.NewGroup(ctx, e), gate: xsync.NewGate(e), slots: slots}
	f.flights = map[string]*xsync.Watch[landing]{}
	return f
}

var errClosed = errors.New("timeline is closed")

// Close ends all downloads; reads of what is not on the disk fail from now on.
func (f *Fetcher) Close() {
	f.group.Cancel(errClosed)
	f.gate.Close(context.Background())
	f.group.Wait()
}

// Waits says why the last download failed or how many are under way, "" if
// there is nothing to say.
func (f *Fetcher) Waits() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.last != nil:
		return f.last.Error()
	case len(f.flights) > 0:
		return fmt.Sprintf("%d layers are being downloaded", len(f.flights))
	}
	return ""
}

// Source is the layer l, whose file is path below the root of Env.FS, if it is
// there. Nothing is read before the first ReadRange.
func (f *Fetcher) Source(_ context.Context, l LayerEntry, path string) (layer.Source, error) {
	if l.Size <= 0 {
		return nil, fmt.Errorf("layer %s of timeline %s has %d bytes in the index: %w", l.Name, f.id, l.Size, env.ErrCorrupt)
	}
	return &fetched{from: f, l: l, path: path}, nil
}

// Fetch returns when the layer is on the disk, as path.
func (f *Fetcher) Fetch(ctx context.Context, l LayerEntry, path string) error {
	if _, err := f.e.FS().Stat(path); err == nil {
		return nil
	}
	flight, err := f.begin(l, path)
	if err != nil {
		return err
	}
	end, err := flight.Await(ctx, func(l landing) bool { return l.done })
	if err != nil {
		return fmt.Errorf("download of layer %s: %w", objectName(f.id, l), err)
	}
	return end.err
}

// A fetched layer reads its file, or the object.
type fetched struct {
	from *Fetcher
	l    LayerEntry
	path string
	far  atomic.Int32 // reads of the object
}

// farReads is how many reads of a layer go to the object store before it is
// brought to the disk: enough to open it and to find a few keys.
const farReads = 12

// smallLayer is up to how many bytes a layer is brought to the disk as soon as
// it is read: to get all of it takes as long as to get a block.
const smallLayer = 256 << 10

func (s *fetched) Size() int64  { return s.l.Size }
func (s *fetched) Name() string { return objectName(s.from.id, s.l) }

// ReadRange opens the file for each read: blocks are cached above, files may be
// removed below, and no timeline holds thousands of files open.
func (s *fetched) ReadRange(ctx context.Context, p []byte, off int64) error {
	err := s.readFile(ctx, p, off)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if s.l.Size <= smallLayer && s.far.Load() <= farReads {
		// One request instead of the three that opening it takes, and none the
		// next time. If there is no place for it, it is read where it is.
		if err := s.from.Fetch(ctx, s.l, s.path); err == nil {
			err := s.readFile(ctx, p, off)
			if !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	if s.far.Add(1) > farReads {
		// The read does not wait for it. What becomes of it shows in Waits;
		// without a place on the disk reads go on as they do now.
		if _, err := s.from.begin(s.l, s.path); err != nil {
			return err
		}
	}
	return s.from.readFar(ctx, s.l, p, off)
}

// readFar reads from the object, as long as ctx lets it try.
func (f *Fetcher) readFar(ctx context.Context, l LayerEntry, p []byte, off int64) error {
	src := layer.Object(f.e.Objects(), objectName(f.id, l), l.Size)
	err := retry(ctx, f.e.Clock(), func() error {
		err := src.ReadRange(ctx, p, off)
		if transient(err) {
			f.failed(err)
		}
		return err
	})
	if err != nil {
		return f.explain(l, err)
	}
	return nil
}

func (s *fetched) readFile(ctx context.Context, p []byte, off int64) error {
	file, err := s.from.e.FS().Open(s.path, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	return layer.File(file, s.path, s.l.Size).ReadRange(ctx, p, off)
}

// begin starts the download of a layer, unless it is under way.
func (f *Fetcher) begin(l LayerEntry, path string) (*xsync.Watch[landing], error) {
	if !f.gate.Enter() {
		return nil, errClosed
	}
	defer f.gate.Leave()
	flight := xsync.NewWatch(f.e, landing{})
	f.mu.Lock()
	first := f.flights[path] == nil
	if first {
		f.flights[path] = flight
	}
	flight = f.flights[path]
	f.mu.Unlock()
	if first {
		f.group.Go("download", func(ctx context.Context) error {
			f.land(path, flight, f.download(ctx, l, path))
			return nil
		})
	}
	return flight, nil
}

func (f *Fetcher) failed(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last = err
}

func (f *Fetcher) land(path string, flight *xsync.Watch[landing], err error) {
	f.mu.Lock()
	delete(f.flights, path)
	f.last = err
	f.mu.Unlock()
	flight.Set(landing{true, err})
}

// download brings the object to the disk: under another name first, so that a
// file under the layer's own is always whole.
func (f *Fetcher) download(ctx context.Context, l LayerEntry, to string) error {
	if l.Size > smallLayer { // others are bounded as all requests are
		if err := f.slots.Acquire(ctx, 1); err != nil {
			return err
		}
		defer f.slots.Release(1)
	}
	if free, err := f.e.FS().Free(); err == nil && free < MinFree+uint64(l.Size) {
		return fmt.Errorf("layer %s is read from the object store: %w: %d bytes are free, %d are to stay so", objectName(f.id, l), env.ErrNoSpace, free, MinFree)
	}
	fsys, tmp := f.e.FS(), to+PartSuffix
	err := retry(ctx, f.e.Clock(), func() error {
		err := f.copy(ctx, l, tmp)
		if err != nil {
			f.failed(f.explain(l, err))
		}
		return err
	})
	if err == nil {
		if err = fsys.Rename(tmp, to); err == nil {
			err = fsys.SyncDir(path.Dir(to))
		}
	}
	if err != nil {
		fsys.Remove(tmp)
		return f.explain(l, err)
	}
	return nil
}

// explain says what an error of a download means and what to do.
func (f *Fetcher) explain(l LayerEntry, err error) error {
	name := objectName(f.id, l)
	switch {
	case errors.Is(err, env.ErrNotFound):
		// Not env.ErrNotFound to callers: there is such a timeline.
		return fmt.Errorf("layer %s, which the index names: %w: unless this pageserver is superseded, somebody removed it; restore it from the bucket's versions or a backup: %v", name, ErrLost, err)
	case errors.Is(err, env.ErrCorrupt):
		return fmt.Errorf("layer %s is damaged in the object store; restore it from the bucket's versions or a backup: %w", name, err)
	}
	return fmt.Errorf("download of layer %s: %w", name, err)
}

// copy writes the object to a file, durably, and compares size and CRC.
func (f *Fetcher) copy(ctx context.Context, l LayerEntry, to string) error {
	r, meta, err := f.e.Objects().Get(ctx, objectName(f.id, l), env.GetOpts{})
	if err != nil {
		return err
	}
	defer r.Close()
	if meta.Size != l.Size {
		return fmt.Errorf("it has %d bytes, the index says %d: %w", meta.Size, l.Size, env.ErrCorrupt)
	}
	file, err := f.e.FS().Open(to, env.Write|env.Create|env.Trunc)
	if err != nil {
		return err
	}
	err = copyTo(file, r, l)
	if err == nil {
		err = file.Sync(env.SyncFull)
	}
	if cerr := file.Close(); err == nil {
		err = cerr
	}
	return err
}

const copyChunk = 1 << 20

func copyTo(file env.File, r io.Reader, l LayerEntry) error {
	buf := make([]byte, min(copyChunk, l.Size))
	crc := uint32(0)
	for off := int64(0); off < l.Size; {
		n, err := io.ReadFull(r, buf[:min(int64(len(buf)), l.Size-off)])
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		crc = crc32.Update(crc, castagnoli, buf[:n])
		if _, err := file.WriteAt(buf[:n], off); err != nil {
			return err
		}
		off += int64(n)
	}
	if crc != l.CRC && !(faults.On && faults.Hit(faults.RemoteDownloadUnchecked)) {
		return fmt.Errorf("its checksum is %08X, the index says %08X: %w", crc, l.CRC, env.ErrCorrupt)
	}
	return nil
}
