package realio

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"xenon/core/env"
	"xenon/core/xsync"
)

// Where an ObjectDir keeps what, below its directory.
const (
	objectsDir = "objects" // one file for each object
	uploadsDir = "uploads" // bodies on their way in
	locksDir   = "locks"   // one directory for each stripe, for FS.Lock
)

const (
	// lockStripes bounds how many lock directories there are. Two keys of one
	// stripe wait for each other only while a name is put in place.
	lockStripes = 64
	// staleUpload is the age at which an upload is taken for left over by a
	// killed process. If it was not, its Put fails and nothing was stored.
	staleUpload = time.Hour
	// Bounds of the pause between two looks at a lock another process has.
	minLockPause = 200 * time.Microsecond
	maxLockPause = 10 * time.Millisecond
)

// An ObjectDir is an object store in a directory, shared by all processes that
// open it: a conditional Put is decided under a lock of the file system. Its
// ETags are random, so no two Puts ever have the same one.
//
// A Get, Head or List makes durable what it is about to tell, so that nobody
// acts on a Put that a power cut takes back.
type ObjectDir struct {
	fs      env.FS
	clock   env.Clock
	entropy io.Reader
	dir     string
	own     *Env // made by DirStore, closed by Close
	stripes [lockStripes]xsync.Mutex

	mu    sync.Mutex
	known map[string]bool // directories whose names are durable
}

var _ env.ObjectStore = (*ObjectDir)(nil)

// DirStore opens the object store in dir, and makes it if it does not exist.
// The caller closes it.
func DirStore(dir string) (*ObjectDir, error) {
	dir = filepath.Clean(dir)
	if err := os.MkdirAll(dir, dirPerm); err != nil {
		return nil, fmt.Errorf("make object store: %w", err)
	}
	if err := syncPath(filepath.Dir(dir)); err != nil {
		return nil, fmt.Errorf("make object store %s: %w", dir, err)
	}
	own := New(Options{Root: dir})
	d, err := DirStoreOn(own, ".")
	if err != nil {
		own.Close()
		return nil, fmt.Errorf("open object store %s: %w", dir, err)
	}
	d.own = own
	return d, nil
}

func syncPath(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// DirStoreOn opens the object store in dir, which exists, of e's file system.
func DirStoreOn(e env.Env, dir string) (*ObjectDir, error) {
	d := &ObjectDir{fs: e.FS(), clock: e.Clock(), entropy: e.Entropy(), dir: dir, known: make(map[string]bool)}
	for i := range d.stripes {
		d.stripes[i].Init(e)
	}
	for _, sub := range []string{objectsDir, uploadsDir, locksDir} {
		if err := d.makeDir(path.Join(dir, sub)); err != nil {
			return nil, err
		}
	}
	return d, d.removeStaleUploads()
}

// Close lets go of what DirStore opened.
func (d *ObjectDir) Close() error {
	if d.own == nil {
		return nil
	}
	return d.own.Close()
}

// makeDir makes a directory and its name durable, whoever made it.
func (d *ObjectDir) makeDir(dir string) error {
	d.mu.Lock()
	known := d.known[dir]
	d.mu.Unlock()
	if known {
		return nil
	}
	if err := d.fs.Mkdir(dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := d.fs.SyncDir(path.Dir(dir)); err != nil {
		return err
	}
	d.mu.Lock()
	d.known[dir] = true
	d.mu.Unlock()
	return nil
}

// makeParents makes the directories that the object file name lies in.
func (d *ObjectDir) makeParents(name string) error {
	base := path.Join(d.dir, objectsDir)
	for i, c := range name[len(base)+1:] {
		if c == '/' {
			if err := d.makeDir(name[:len(base)+1+i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// forgetDirs makes the next Put look for its directories again.
func (d *ObjectDir) forgetDirs() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.known)
}

// removeStaleUploads removes what killed processes left behind.
func (d *ObjectDir) removeStaleUploads() error {
	dir := path.Join(d.dir, uploadsDir)
	uploads, err := d.fs.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, u := range uploads {
		stamp, _, _ := strings.Cut(u.Name, "-")
		began, err := strconv.ParseInt(stamp, 16, 64)
		if err != nil || d.clock.Now().Sub(time.Unix(began, 0)) < staleUpload {
			continue
		}
		if err := d.fs.Remove(path.Join(dir, u.Name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Put writes the body beside the objects, makes it durable, and renames it
// into place once the conditions hold.
func (d *ObjectDir) Put(ctx context.Context, key string, body env.Body, o env.PutOpts) (env.ObjectMeta, error) {
	meta, err := d.put(ctx, key, body, o)
	if err != nil {
		return env.ObjectMeta{}, fmt.Errorf("put %q: %w", key, err)
	}
	return meta, nil
}

func (d *ObjectDir) put(ctx context.Context, key string, body env.Body, o env.PutOpts) (env.ObjectMeta, error) {
	name, err := d.fileOf(key)
	if err != nil {
		return env.ObjectMeta{}, err
	}
	if o.IfNoneMatch && o.IfMatch != "" {
		return env.ObjectMeta{}, fmt.Errorf("both If-None-Match and If-Match: %w", fs.ErrInvalid)
	}
	h := objectHeader{key: key, size: body.Size(), modified: d.clock.Now()}
	if _, err := io.ReadFull(d.entropy, h.nonce[:]); err != nil {
		return env.ObjectMeta{}, nothingDone(err)
	}
	upload := path.Join(d.dir, uploadsDir, strconv.FormatInt(h.modified.Unix(), 16)+"-"+hex.EncodeToString(h.nonce[:]))
	if err = d.upload(ctx, upload, h, body); err != nil {
		err = nothingDone(err)
	} else if err = d.place(ctx, upload, name, key, o); errors.Is(err, fs.ErrNotExist) {
		// Somebody removed directories that this store had made.
		d.forgetDirs()
		err = d.place(ctx, upload, name, key, o)
	}
	if err != nil {
		// A left-over is removed by age at the next start: this error says more.
		_ = d.fs.Remove(upload)
		return env.ObjectMeta{}, err
	}
	return h.meta(), nil
}

// place decides the conditions and makes the upload the object, under the
// lock of its key's stripe.
func (d *ObjectDir) place(ctx context.Context, upload, name, key string, o env.PutOpts) error {
	if err := d.makeParents(name); err != nil {
		return nothingDone(err)
	}
	unlock, err := d.lock(ctx, key)
	if err != nil {
		return nothingDone(err)
	}
	defer unlock()
	if err := d.checkConditions(name, key, o); err != nil {
		return err
	}
	if err := d.fs.Rename(upload, name); err != nil {
		return nothingDone(err)
	}
	if err := d.fs.SyncDir(path.Dir(name)); err != nil {
		return &kindError{err, env.ErrUnknown}
	}
	return nil
}

// checkConditions compares what is stored with what a Put asks for. An object
// whose header is damaged exists, and matches nothing.
func (d *ObjectDir) checkConditions(name, key string, o env.PutOpts) error {
	if !o.IfNoneMatch && o.IfMatch == "" {
		return nil
	}
	f, h, err := d.openObject(name, key)
	if err == nil {
		f.Close()
	}
	missing := errors.Is(err, env.ErrNotFound)
	switch {
	case o.IfNoneMatch && missing:
		return nil
	case o.IfNoneMatch && (err == nil || errors.Is(err, env.ErrCorrupt)):
		return fmt.Errorf("it exists: %w", env.ErrPrecondition)
	case err != nil && !missing && !errors.Is(err, env.ErrCorrupt):
		return nothingDone(err)
	case err != nil:
		return err
	case h.etag() != o.IfMatch:
		return fmt.Errorf("its ETag is %s, not %s: %w", h.etag(), o.IfMatch, env.ErrPrecondition)
	}
	return nil
}

// Get opens the range of an object. The reader keeps reading the object that
// was there, whatever is put over it.
func (d *ObjectDir) Get(ctx context.Context, key string, o env.GetOpts) (io.ReadCloser, env.ObjectMeta, error) {
	f, h, err := d.open(ctx, key)
	if err != nil {
		return nil, env.ObjectMeta{}, fmt.Errorf("get %q: %w", key, err)
	}
	r, err := newObjectReader(f, h, o)
	if err != nil {
		f.Close()
		return nil, env.ObjectMeta{}, fmt.Errorf("get %q: %w", key, err)
	}
	return r, h.meta(), nil
}

// Head reads an object's header.
func (d *ObjectDir) Head(ctx context.Context, key string) (env.ObjectMeta, error) {
	f, h, err := d.open(ctx, key)
	if err != nil {
		return env.ObjectMeta{}, fmt.Errorf("head %q: %w", key, err)
	}
	return h.meta(), f.Close()
}

// open opens an object, or finds that there is none, and makes durable what
// it found.
func (d *ObjectDir) open(ctx context.Context, key string) (env.File, objectHeader, error) {
	name, err := d.fileOf(key)
	if err == nil {
		err = xsync.Cause(ctx)
	}
	if err != nil {
		return nil, objectHeader{}, err
	}
	f, h, err := d.openObject(name, key)
	if serr := d.fs.SyncDir(path.Dir(name)); serr != nil && !errors.Is(serr, fs.ErrNotExist) {
		if err == nil {
			f.Close()
		}
		return nil, objectHeader{}, nothingDone(serr)
	}
	return f, h, err
}

// Delete removes a key.
func (d *ObjectDir) Delete(ctx context.Context, key string) error {
	if err := d.remove(ctx, key); err != nil {
		return fmt.Errorf("delete %q: %w", key, err)
	}
	return nil
}

func (d *ObjectDir) remove(ctx context.Context, key string) error {
	name, err := d.fileOf(key)
	if err != nil {
		return err
	}
	unlock, err := d.lock(ctx, key)
	if err != nil {
		return nothingDone(err)
	}
	defer unlock()
	if err := d.fs.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nothingDone(err)
	}
	// Also where there was nothing to remove: an earlier Delete may have been
	// killed before it got here.
	if err := d.fs.SyncDir(path.Dir(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &kindError{err, env.ErrUnknown}
	}
	return nil
}

// lock keeps every other process, and every other task of this one, from
// changing the objects of key's stripe.
func (d *ObjectDir) lock(ctx context.Context, key string) (unlock func(), err error) {
	sum := fnv.New32a()
	sum.Write([]byte(key))
	n := sum.Sum32() % lockStripes
	if err := d.stripes[n].LockCtx(ctx); err != nil {
		return nil, err
	}
	between, err := d.lockBetweenProcesses(ctx, path.Join(d.dir, locksDir, fmt.Sprintf("%02x", n)))
	if err != nil {
		d.stripes[n].Unlock()
		return nil, err
	}
	return func() { between(); d.stripes[n].Unlock() }, nil
}

func (d *ObjectDir) lockBetweenProcesses(ctx context.Context, dir string) (unlock func(), err error) {
	for pause := minLockPause; ; pause = min(2*pause, maxLockPause) {
		unlock, err = d.fs.Lock(dir)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			if err := d.fs.Mkdir(dir); err != nil && !errors.Is(err, fs.ErrExist) {
				return nil, err
			}
		case errors.Is(err, env.ErrLocked):
			if err := d.clock.Sleep(ctx, pause); err != nil {
				return nil, fmt.Errorf("wait for another process: %w", err)
			}
		default:
			return unlock, err
		}
	}
}

// nothingDone says that the store stopped before it changed anything.
func nothingDone(err error) error { return &kindError{err, env.ErrUnavailable} }
