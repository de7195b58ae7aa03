package envtest_test

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"testing"

	"xenon/core/env"
	"xenon/core/env/envtest"
	"xenon/diskdrv"
	"xenon/realio"
)

// world is a production process over a simulated disk and bucket.
type world struct {
	env.Env
	fs      env.FS
	objects env.ObjectStore
}

func (w world) FS() env.FS               { return w.fs }
func (w world) Objects() env.ObjectStore { return w.objects }

// A broken world breaks one promise; the case that must notice is named.
type broken struct {
	promise string
	noticed string
	fs      func(env.FS) env.FS
	objects func(env.ObjectStore) env.ObjectStore
}

// fails runs a case with many seeds until it fails.
func (b broken) fails(c envtest.Case) bool {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 2))
		disk := diskdrv.NewDisk(diskdrv.DiskOptions{Rand: r})
		bucket := diskdrv.NewBucket(diskdrv.BucketOptions{Rand: r})
		err := envtest.Fails(c, func(life int) env.Env {
			if life > 0 {
				disk.CutPower()
			}
			e := realio.New(realio.Options{})
			w := world{e, disk.FS(e), bucket.Objects(e, "test")}
			if b.fs != nil {
				w.fs = b.fs(w.fs)
			}
			if b.objects != nil {
				w.objects = b.objects(w.objects)
			}
			return w
		})
		if err != nil {
			return true
		}
	}
	return false
}

// each runs every wrapper against the case that must notice it.
func each(t *testing.T, cases []envtest.Case, all []broken) {
	for _, b := range all {
		t.Run(b.promise, func(t *testing.T) {
			i := slices.IndexFunc(cases, func(c envtest.Case) bool { return c.Name == b.noticed })
			if i < 0 {
				t.Fatalf("there is no case %q", b.noticed)
			}
			if !b.fails(cases[i]) {
				t.Errorf("case %q passes although this promise is broken", b.noticed)
			}
		})
	}
}

func TestFSSuiteFails(t *testing.T) {
	each(t, envtest.FSCases(), []broken{
		{promise: "SyncDir makes names durable", noticed: "a synced file survives", fs: func(f env.FS) env.FS { return noSyncDir{f} }},
		{promise: "SyncDir makes removals durable", noticed: "a synced removal is done", fs: func(f env.FS) env.FS { return noSyncDir{f} }},
		{promise: "SyncDir makes renames durable", noticed: "a synced rename is done", fs: func(f env.FS) env.FS { return noSyncDir{f} }},
		{promise: "Sync makes bytes durable", noticed: "a second sync keeps what the first kept", fs: onFiles(func(f env.File) env.File { return noSync{f} })},
		{promise: "Sync keeps what is replaced whole", noticed: "a file replaced by rename is the old or the new one", fs: onFiles(func(f env.File) env.File { return noSync{f} })},
		{promise: "Sync makes reserved space durable", noticed: "allocated space survives", fs: onFiles(func(f env.File) env.File { return noSync{f} })},
		{promise: "a torn sector is old or new", noticed: "writes after a sync are there, gone or torn by sectors", fs: onFiles(func(f env.File) env.File { return tornSectors{f} })},
		{promise: "Rename is never half done", noticed: "a file between two directories is in one of them", fs: func(f env.FS) env.FS { return copyingRename{f} }},
		{promise: "Rename replaces", noticed: "rename", fs: func(f env.FS) env.FS { return shyRename{f} }},
		{promise: "Excl refuses what is there", noticed: "opening", fs: func(f env.FS) env.FS { return noExcl{f} }},
		{promise: "names stay below the root", noticed: "bad paths", fs: func(f env.FS) env.FS { return cleaning{f} }},
		{promise: "ReadDir sorts", noticed: "directories", fs: func(f env.FS) env.FS { return unsorted{f} }},
		{promise: "Lock excludes", noticed: "lock", fs: func(f env.FS) env.FS { return noLock{f} }},
		{promise: "ReadAt tells the end", noticed: "reading at the end", fs: onFiles(func(f env.File) env.File { return noEOF{f} })},
		{promise: "bytes stay where they were written", noticed: "bytes", fs: onFiles(func(f env.File) env.File { return misplaced{f} })},
		{promise: "writers do not disturb each other", noticed: "many writers", fs: onFiles(func(f env.File) env.File { return misplaced{f} })},
		{promise: "what was cut off is zeros", noticed: "truncate", fs: onFiles(func(f env.File) env.File { return keepsTail{f} })},
		{promise: "Allocate extends", noticed: "allocate", fs: onFiles(func(f env.File) env.File { return noAllocate{f} })},
		{promise: "without Write nothing is written", noticed: "read-only handle", fs: func(f env.FS) env.FS { return alwaysWrite{f} }},
	})
}

type noSyncDir struct{ env.FS }

func (noSyncDir) SyncDir(string) error { return nil }

type copyingRename struct{ env.FS }

// Rename copies without syncing and removes the old name.
func (f copyingRename) Rename(from, to string) error {
	src, err := f.FS.Open(from, 0)
	if err != nil {
		return err
	}
	size, _ := src.Size()
	b := make([]byte, size)
	if _, err := src.ReadAt(b, 0); err != nil && err != io.EOF {
		return err
	}
	dst, err := f.FS.Open(to, env.Write|env.Create|env.Trunc)
	if err != nil {
		return err
	}
	if _, err := dst.WriteAt(b, 0); err != nil {
		return err
	}
	return f.FS.Remove(from)
}

type shyRename struct{ env.FS }

func (f shyRename) Rename(from, to string) error {
	if _, err := f.FS.Stat(to); err == nil {
		return fs.ErrExist
	}
	return f.FS.Rename(from, to)
}

type noExcl struct{ env.FS }

func (f noExcl) Open(name string, flag env.OpenFlag) (env.File, error) {
	return f.FS.Open(name, flag&^env.Excl)
}

type alwaysWrite struct{ env.FS }

func (f alwaysWrite) Open(name string, flag env.OpenFlag) (env.File, error) {
	return f.FS.Open(name, flag|env.Write)
}

// cleaning takes names that are no valid paths for something below the root.
type cleaning struct{ env.FS }

func (f cleaning) Stat(name string) (env.FileInfo, error) {
	if !fs.ValidPath(name) {
		name = "."
	}
	return f.FS.Stat(name)
}

type unsorted struct{ env.FS }

func (f unsorted) ReadDir(name string) ([]env.DirEntry, error) {
	entries, err := f.FS.ReadDir(name)
	slices.Reverse(entries)
	return entries, err
}

type noLock struct{ env.FS }

func (noLock) Lock(string) (func(), error) { return func() {}, nil }

// onFiles wraps every file that is opened.
func onFiles(wrap func(env.File) env.File) func(env.FS) env.FS {
	return func(f env.FS) env.FS { return fileWrapper{f, wrap} }
}

type fileWrapper struct {
	env.FS
	wrap func(env.File) env.File
}

func (f fileWrapper) Open(name string, flag env.OpenFlag) (env.File, error) {
	h, err := f.FS.Open(name, flag)
	if err != nil {
		return nil, err
	}
	return f.wrap(h), nil
}

type noSync struct{ env.File }

func (noSync) Sync(env.SyncMode) error { return nil }

// tornSectors writes in pieces that are no sectors.
type tornSectors struct{ env.File }

func (f tornSectors) WriteAt(p []byte, off int64) (int, error) {
	for n := 0; n < len(p); n += 200 {
		if _, err := f.File.WriteAt(p[n:min(n+200, len(p))], off+int64(n)); err != nil {
			return n, err
		}
	}
	return len(p), nil
}

type noEOF struct{ env.File }

func (f noEOF) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(p, off)
	if err == io.EOF {
		err = nil
	}
	return n, err
}

// misplaced writes at sector bounds only.
type misplaced struct{ env.File }

func (f misplaced) WriteAt(p []byte, off int64) (int, error) {
	return f.File.WriteAt(p, max(off, 0)&^511)
}

// keepsTail truncates by remembering the size alone.
type keepsTail struct{ env.File }

func (f keepsTail) Truncate(size int64) error {
	had, _ := f.File.Size()
	if size < 0 || size >= had {
		return f.File.Truncate(size)
	}
	tail := make([]byte, had-size)
	_, _ = f.File.ReadAt(tail, size)
	if err := f.File.Truncate(size); err != nil {
		return err
	}
	_, err := f.File.WriteAt(tail, size)
	return err
}

type noAllocate struct{ env.File }

func (noAllocate) Allocate(int64, int64) error { return nil }

func TestObjectsSuiteFails(t *testing.T) {
	as := func(change func(*brokenStore)) func(env.ObjectStore) env.ObjectStore {
		return func(s env.ObjectStore) env.ObjectStore {
			b := &brokenStore{ObjectStore: s}
			change(b)
			return b
		}
	}
	each(t, envtest.ObjectCases(), []broken{
		{promise: "If-None-Match", noticed: "create once", objects: as(func(b *brokenStore) { b.put = func(o *env.PutOpts) { o.IfNoneMatch = false } })},
		{promise: "If-None-Match in a race", noticed: "one creator wins", objects: as(func(b *brokenStore) { b.put = func(o *env.PutOpts) { o.IfNoneMatch = false } })},
		{promise: "If-Match", noticed: "change what was read", objects: as(func(b *brokenStore) { b.put = func(o *env.PutOpts) { o.IfMatch = "" } })},
		{promise: "conditions survive a crash", noticed: "what was put survives", objects: as(func(b *brokenStore) { b.put = func(o *env.PutOpts) { o.IfNoneMatch = false } })},
		{promise: "a Put is durable", noticed: "what was put survives", objects: as(func(b *brokenStore) { b.key = func(k string) string { return fmt.Sprint(&b) + k } })},
		{promise: "ranges", noticed: "ranges", objects: as(func(b *brokenStore) { b.get = func(o *env.GetOpts) { o.Len = 0 } })},
		{promise: "order", noticed: "listing by pages", objects: as(func(b *brokenStore) { b.page = func(p *env.ListPage) { slices.Reverse(p.Objects) } })},
		{promise: "every page", noticed: "listing by pages", objects: as(func(b *brokenStore) { b.page = func(p *env.ListPage) { p.Next = "" } })},
		{promise: "every page, while keys change", noticed: "listing while keys change", objects: as(func(b *brokenStore) { b.page = func(p *env.ListPage) { p.Next = "" } })},
		{promise: "delimiter", noticed: "listing with a delimiter", objects: as(func(b *brokenStore) { b.page = func(p *env.ListPage) { p.Prefixes = nil } })},
		{promise: "ETags in listings", noticed: "listing by pages", objects: as(func(b *brokenStore) {
			b.page = func(p *env.ListPage) {
				for i := range p.Objects {
					p.Objects[i].ETag = ""
				}
			}
		})},
		{promise: "a missing key is no error", noticed: "put, get, head, delete", objects: as(func(b *brokenStore) { b.deleted = env.ErrNotFound })},
		{promise: "keys are bytes", noticed: "strange keys", objects: as(func(b *brokenStore) {
			b.key = func(k string) string {
				if k == "a/../b" {
					return "b"
				}
				return k
			}
		})},
		{promise: "contexts end requests", noticed: "ended context", objects: as(func(b *brokenStore) { b.deaf = true })},
		{promise: "a reader reads one object", noticed: "overwriting", objects: as(func(b *brokenStore) { b.lazy = true })},
		{promise: "bad keys are refused", noticed: "bad requests", objects: as(func(b *brokenStore) {
			b.key = func(k string) string {
				if k == "" {
					return "empty"
				}
				return k
			}
		})},
	})
}

// brokenStore changes requests and answers.
type brokenStore struct {
	env.ObjectStore
	put     func(*env.PutOpts)
	get     func(*env.GetOpts)
	page    func(*env.ListPage)
	key     func(string) string
	deleted error // of a Delete of what is not there
	deaf    bool  // ignores contexts
	lazy    bool  // reads the body when it is read, not when it is asked for
}

func (b *brokenStore) named(key string) string {
	if b.key != nil {
		return b.key(key)
	}
	return key
}

func (b *brokenStore) under(ctx context.Context) context.Context {
	if b.deaf {
		return context.Background()
	}
	return ctx
}

func (b *brokenStore) Put(ctx context.Context, key string, body env.Body, o env.PutOpts) (env.ObjectMeta, error) {
	if b.put != nil {
		b.put(&o)
	}
	return b.ObjectStore.Put(b.under(ctx), b.named(key), body, o)
}

func (b *brokenStore) Get(ctx context.Context, key string, o env.GetOpts) (io.ReadCloser, env.ObjectMeta, error) {
	if b.get != nil {
		b.get(&o)
	}
	r, m, err := b.ObjectStore.Get(b.under(ctx), b.named(key), o)
	if err == nil && b.lazy {
		return &lazyReader{b: b, key: key}, m, nil
	}
	return r, m, err
}

func (b *brokenStore) Head(ctx context.Context, key string) (env.ObjectMeta, error) {
	return b.ObjectStore.Head(b.under(ctx), b.named(key))
}

func (b *brokenStore) List(ctx context.Context, o env.ListOpts) (env.ListPage, error) {
	p, err := b.ObjectStore.List(b.under(ctx), o)
	if b.page != nil {
		b.page(&p)
	}
	return p, err
}

func (b *brokenStore) Delete(ctx context.Context, key string) error {
	if b.deleted != nil {
		if _, err := b.ObjectStore.Head(ctx, key); err != nil {
			return b.deleted
		}
	}
	return b.ObjectStore.Delete(b.under(ctx), b.named(key))
}

// lazyReader asks for each piece when it is read.
type lazyReader struct {
	b   *brokenStore
	key string
	off int64
}

func (r *lazyReader) Read(p []byte) (int, error) {
	src, _, err := r.b.ObjectStore.Get(context.Background(), r.key, env.GetOpts{Off: r.off, Len: int64(len(p))})
	if err != nil {
		return 0, err
	}
	n, err := src.Read(p)
	r.off += int64(n)
	return n, err
}

func (r *lazyReader) Close() error { return nil }
