package envtest

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"testing"

	"xenon/core/env"
	"xenon/core/xsync"
)

// FS checks that a file system keeps the contract of [env.FS]. open runs the
// lives of a case, each over the FS of an Env whose disk is empty at first,
// and reports what they panic with. A world whose crashes are decided by
// chance runs them many times.
func FS(t *testing.T, open func(t *testing.T, c Case)) {
	run(t, FSCases(), os.Getenv("XENON_FULL") != "", open)
}

// FSCases are the cases of [FS], for tests that break a promise on purpose.
func FSCases() []Case {
	on := func(f func(env.FS)) []Life {
		return []Life{func(_ context.Context, e env.Env) { f(e.FS()) }}
	}
	lives := func(fs ...func(env.FS)) (lives []Life) {
		for _, f := range fs {
			lives = append(lives, on(f)...)
		}
		return lives
	}
	return append([]Case{
		{Name: "opening", Lives: on(fsOpening)},
		{Name: "bad paths", Lives: on(fsBadPaths)},
		{Name: "reading at the end", Lives: on(fsReadingAtTheEnd)},
		{Name: "bytes", Lives: on(fsBytes)},
		{Name: "read-only handle", Lives: on(fsReadOnlyHandle)},
		{Name: "closed handle", Lives: on(fsClosedHandle)},
		{Name: "truncate", Lives: on(fsTruncate)},
		{Name: "allocate", Lives: on(fsAllocate)},
		{Name: "directories", Lives: on(fsDirectories)},
		{Name: "rename", Lives: on(fsRename)},
		{Name: "removed but open", Lives: on(fsRemovedButOpen)},
		{Name: "lock", Lives: lives(fsLock, fsLockAgain)},
		{Name: "free space", Lives: on(func(f env.FS) {
			if got(f.Free()) == 0 {
				failf("no free space on an empty disk")
			}
		})},
		{Name: "many writers", Lives: []Life{fsManyWriters}},
	}, fsCrashCases(lives)...)
}

// file opens a file for writing, and makes it.
func file(f env.FS, name string) env.File { return got(f.Open(name, env.Write|env.Create)) }

// put writes a whole file and closes it.
func put(f env.FS, name, text string) {
	h := got(f.Open(name, env.Write|env.Create|env.Trunc))
	got(h.WriteAt([]byte(text), 0))
	ok(h.Close())
}

// text reads a whole file.
func text(f env.FS, name string) string {
	h := got(f.Open(name, 0))
	defer h.Close()
	return all(h)
}

func all(h env.File) string {
	b := make([]byte, got(h.Size()))
	if len(b) > 0 {
		n, err := h.ReadAt(b, 0)
		if err != io.EOF {
			ok(err)
		}
		want(n, len(b), "bytes read")
	}
	return string(b)
}

// exists tells whether a name is there.
func exists(f env.FS, name string) bool {
	_, err := f.Stat(name)
	if err != nil {
		wantErr(err, "stat "+name, fs.ErrNotExist)
	}
	return err == nil
}

func fsOpening(f env.FS) {
	_, err := f.Open("a", 0)
	wantErr(err, "open of what is not there", fs.ErrNotExist)
	_, err = f.Open("a", env.Write)
	wantErr(err, "open for writing of what is not there", fs.ErrNotExist)
	ok(got(f.Open("a", env.Write|env.Create|env.Excl)).Close())
	_, err = f.Open("a", env.Write|env.Create|env.Excl)
	wantErr(err, "exclusive open of what is there", fs.ErrExist)
	put(f, "a", "text")
	ok(got(f.Open("a", env.Write|env.Create)).Close())
	want(text(f, "a"), "text", "after opening what is there with Create")
	ok(got(f.Open("a", env.Write|env.Trunc)).Close())
	want(text(f, "a"), "", "after opening with Trunc")
	_, err = f.Open("none/a", env.Write|env.Create)
	wantErr(err, "create in a directory that is not there", fs.ErrNotExist)
	ok(f.Mkdir("dir"))
	if _, err := f.Open("dir", 0); err == nil {
		failf("a directory opened as a file")
	}
	want(got(f.Stat("a")), env.FileInfo{Size: 0, Mode: got(f.Stat("a")).Mode}, "stat of a file")
	want(got(f.Stat("dir")).Dir, true, "stat of a directory tells Dir")
}

// fsBadPaths: nothing outside the root can be named.
func fsBadPaths(f env.FS) {
	put(f, "a", "text")
	for _, name := range []string{"", "/a", "../a", "..", "./a", "b/../a", "a/", "a//b", "dir/../../a"} {
		_, err := f.Open(name, env.Write|env.Create)
		wantErr(err, "open "+name, fs.ErrInvalid)
		wantErr(f.Mkdir(name), "mkdir "+name, fs.ErrInvalid)
		wantErr(f.Remove(name), "remove "+name, fs.ErrInvalid)
		wantErr(f.Rename("a", name), "rename to "+name, fs.ErrInvalid)
		wantErr(f.Rename(name, "a"), "rename from "+name, fs.ErrInvalid)
		wantErr(f.SyncDir(name), "sync directory "+name, fs.ErrInvalid)
		_, err = f.Stat(name)
		wantErr(err, "stat "+name, fs.ErrInvalid)
		_, err = f.ReadDir(name)
		wantErr(err, "read directory "+name, fs.ErrInvalid)
		_, err = f.Lock(name)
		wantErr(err, "lock "+name, fs.ErrInvalid)
	}
	want(text(f, "a"), "text", "the file that was there")
}

func fsReadingAtTheEnd(f env.FS) {
	put(f, "a", "0123456789")
	h := got(f.Open("a", 0))
	defer h.Close()
	for _, c := range []struct {
		off, size int64
		want      string
		err       error
	}{
		{0, 10, "0123456789", nil},
		{0, 11, "0123456789", io.EOF},
		{9, 1, "9", nil},
		{9, 2, "9", io.EOF},
		{10, 1, "", io.EOF},
		{99, 1, "", io.EOF},
	} {
		p := make([]byte, c.size)
		n, err := h.ReadAt(p, c.off)
		want(string(p[:n]), c.want, "bytes at the end")
		if err != c.err && !(err == io.EOF && int64(n) == c.size) {
			failf("read %d at %d of 10 bytes: error %v, want %v", c.size, c.off, err, c.err)
		}
	}
}

// fsBytes compares a file with a slice under overlapping writes around page
// and sector bounds.
func fsBytes(f env.FS) {
	h := file(f, "a")
	var model []byte
	for i, off := range []int64{0, 4095, 511, 8192, 4090, 100_000, 65_536, 3, 99_999} {
		p := bytes.Repeat([]byte{byte('a' + i)}, 1+i*1217)
		want(got(h.WriteAt(p, off)), len(p), "bytes written")
		if end := off + int64(len(p)); end > int64(len(model)) {
			model = append(model, make([]byte, end-int64(len(model)))...)
		}
		copy(model[off:], p)
		want(got(h.Size()), int64(len(model)), "size")
	}
	if all(h) != string(model) {
		failf("the file differs from what was written into it")
	}
	want(got(h.WriteAt(nil, 1<<20)), 0, "an empty write")
	want(got(h.Size()), int64(len(model)), "size after an empty write")
	if _, err := h.WriteAt([]byte("x"), -1); err == nil {
		failf("a write at a negative offset succeeded")
	}
	if _, err := h.ReadAt(make([]byte, 1), -1); err == nil {
		failf("a read at a negative offset succeeded")
	}
	ok(h.Sync(env.SyncData))
	ok(h.Sync(env.SyncFull))
	ok(h.Close())
}

func fsReadOnlyHandle(f env.FS) {
	put(f, "a", "text")
	h := got(f.Open("a", 0))
	if _, err := h.WriteAt([]byte("x"), 0); err == nil {
		failf("a handle without Write wrote")
	}
	if h.Truncate(0) == nil {
		failf("a handle without Write truncated")
	}
	ok(h.Close())
	want(text(f, "a"), "text", "after a write through a read-only handle")
}

func fsClosedHandle(f env.FS) {
	h := file(f, "a")
	ok(h.Close())
	_, err := h.WriteAt([]byte("x"), 0)
	wantErr(err, "write", fs.ErrClosed)
	_, err = h.ReadAt(make([]byte, 1), 0)
	wantErr(err, "read", fs.ErrClosed)
	wantErr(h.Sync(env.SyncData), "sync", fs.ErrClosed)
	wantErr(h.Close(), "second close", fs.ErrClosed)
}

func fsTruncate(f env.FS) {
	put(f, "a", "0123456789")
	h := got(f.Open("a", env.Write))
	ok(h.Truncate(4))
	want(all(h), "0123", "after truncating to 4")
	ok(h.Truncate(8))
	want(all(h), "0123\x00\x00\x00\x00", "after growing again")
	got(h.WriteAt([]byte("z"), 9))
	want(all(h), "0123\x00\x00\x00\x00\x00z", "after writing beyond the end")
	if h.Truncate(-1) == nil {
		failf("truncated to a negative size")
	}
	ok(h.Close())
}

func fsAllocate(f env.FS) {
	put(f, "a", "text")
	h := got(f.Open("a", env.Write))
	ok(h.Allocate(0, 16384))
	want(got(h.Size()), 16384, "size after Allocate")
	want(all(h), "text"+string(make([]byte, 16380)), "after Allocate")
	ok(h.Allocate(0, 100))
	want(got(h.Size()), 16384, "size after allocating less")
	ok(h.Close())
}

func fsDirectories(f env.FS) {
	want(len(got(f.ReadDir("."))), 0, "names in an empty root")
	ok(f.Mkdir("d"))
	wantErr(f.Mkdir("d"), "mkdir of what is there", fs.ErrExist)
	wantErr(f.Mkdir("none/d"), "mkdir below what is not there", fs.ErrNotExist)
	for _, name := range []string{"b", "a", "a.b", "a-b", "B", "10", "9"} {
		put(f, "d/"+name, name)
	}
	ok(f.Mkdir("d/aa"))
	var names []string
	for _, e := range got(f.ReadDir("d")) {
		names = append(names, e.Name)
		want(e.Dir, e.Name == "aa", "Dir of "+e.Name)
	}
	if expect := []string{"10", "9", "B", "a", "a-b", "a.b", "aa", "b"}; !slices.Equal(names, expect) {
		failf("directory lists %q, want %q", names, expect)
	}
	if f.Remove("d") == nil {
		failf("removed a directory with files in it")
	}
	wantErr(f.Remove("d/none"), "remove of what is not there", fs.ErrNotExist)
	for _, name := range names {
		ok(f.Remove("d/" + name))
	}
	ok(f.Remove("d"))
	_, err := f.ReadDir("d")
	wantErr(err, "list of a removed directory", fs.ErrNotExist)
	wantErr(f.SyncDir("d"), "sync of a removed directory", fs.ErrNotExist)
	ok(f.SyncDir("."))
}

func fsRename(f env.FS) {
	put(f, "a", "new")
	put(f, "b", "old")
	old := got(f.Open("b", 0))
	ok(f.Rename("a", "b"))
	want(text(f, "b"), "new", "after a rename over it")
	want(all(old), "old", "a handle of what was renamed over")
	ok(old.Close())
	want(exists(f, "a"), false, "the old name exists")
	wantErr(f.Rename("a", "b"), "rename of what is not there", fs.ErrNotExist)
	wantErr(f.Rename("b", "none/b"), "rename to a directory that is not there", fs.ErrNotExist)
	ok(f.Mkdir("d"))
	ok(f.Rename("b", "d/c"))
	want(text(f, "d/c"), "new", "after a rename into a directory")
	ok(f.Rename("d", "e"))
	want(text(f, "e/c"), "new", "after a rename of the directory")
	put(f, "g", "")
	if f.Rename("g", "e") == nil {
		failf("renamed a file over a directory")
	}
	if f.Rename("e", "e/sub") == nil {
		failf("renamed a directory into itself")
	}
}

func fsRemovedButOpen(f env.FS) {
	put(f, "a", "text")
	h := got(f.Open("a", env.Write))
	ok(f.Remove("a"))
	want(exists(f, "a"), false, "a removed file exists")
	put(f, "a", "another")
	want(all(h), "text", "a handle of a removed file")
	got(h.WriteAt([]byte("!"), 4))
	ok(h.Sync(env.SyncData))
	want(all(h), "text!", "a removed file after a write")
	ok(h.Close())
	want(text(f, "a"), "another", "the file made in its place")
}

func fsLock(f env.FS) {
	ok(f.Mkdir("d"))
	ok(f.Mkdir("e"))
	ok(f.SyncDir("."))
	_, err := f.Lock("none")
	wantErr(err, "lock of what is not there", fs.ErrNotExist)
	unlock := got(f.Lock("d"))
	_, err = f.Lock("d")
	wantErr(err, "second lock", env.ErrLocked)
	other := got(f.Lock("e"))
	unlock()
	again := got(f.Lock("d"))
	unlock() // of an earlier hold: does nothing to the later one
	_, err = f.Lock("d")
	wantErr(err, "lock after a stale unlock", env.ErrLocked)
	again()
	other()
	got(f.Lock("d"))
}

// fsLockAgain: the life before ended while it held the lock.
func fsLockAgain(f env.FS) { got(f.Lock("d"))() }

// fsManyWriters writes from several tasks through several handles.
func fsManyWriters(ctx context.Context, e env.Env) {
	const writers, blocks, size = 8, 16, 3000
	f := e.FS()
	h := file(f, "a")
	g := xsync.NewGroup(ctx, e)
	for w := range writers {
		g.Go("writer", func(context.Context) error {
			own, err := f.Open("a", env.Write)
			if err != nil {
				return err
			}
			for b := range blocks {
				off := int64(b*writers+w) * size
				if _, err := own.WriteAt(bytes.Repeat([]byte{byte('a' + w)}, size), off); err != nil {
					return err
				}
				if err := own.Sync(env.SyncData); err != nil {
					return err
				}
			}
			return own.Close()
		})
	}
	ok(g.Wait())
	var model []byte
	for range blocks {
		for w := range writers {
			model = append(model, bytes.Repeat([]byte{byte('a' + w)}, size)...)
		}
	}
	want(all(h) == string(model), true, "every block holds what its writer wrote")
	ok(h.Close())
}

// putDurably writes a file as parts of the system do: a temporary file, a
// sync, a rename, a sync of the directory.
func putDurably(f env.FS, name, text string) {
	h := got(f.Open(name+".tmp", env.Write|env.Create|env.Trunc))
	got(h.WriteAt([]byte(text), 0))
	ok(h.Sync(env.SyncData))
	ok(h.Close())
	ok(f.Rename(name+".tmp", name))
	ok(f.SyncDir(path.Dir(name)))
}
