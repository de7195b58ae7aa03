package verify_test

import (
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"xenon/core"
	"xenon/core/redo"
	"xenon/core/redo/verify"
)

// flipped is a file system in which one byte of one file is wrong.
type flipped struct {
	fs.FS
	name string
	at   int64
}

func (f flipped) ReadFile(name string) ([]byte, error) {
	b, err := fs.ReadFile(f.FS, name)
	if err == nil && name == f.name {
		b[f.at] ^= 0x40
	}
	return b, err
}

func (f flipped) Open(name string) (fs.File, error) {
	file, err := f.FS.Open(name)
	if err != nil || name != f.name {
		return file, err
	}
	return &flippedFile{File: file, at: f.at}, nil
}

type flippedFile struct {
	fs.File
	at, pos int64
}

func (f *flippedFile) ReadAt(b []byte, off int64) (int, error) {
	n, err := f.File.(io.ReaderAt).ReadAt(b, off)
	f.flip(b[:n], off)
	return n, err
}

func (f *flippedFile) Read(b []byte) (int, error) {
	n, err := f.File.Read(b)
	f.flip(b[:n], f.pos)
	f.pos += int64(n)
	return n, err
}

func (f *flippedFile) flip(b []byte, off int64) {
	if i := f.at - off; i >= 0 && i < int64(len(b)) {
		b[i] ^= 0x40
	}
}

// TestOraclesSeeOneByte damages the corpus instead of redo: one wrong byte in
// what PostgreSQL made must show.
func TestOraclesSeeOneByte(t *testing.T) {
	dir := hinted.dir(t, 15)
	for _, name := range []string{"replayed/base/5/1259", "replayed/global/1262", "replayed/pg_xact/0000",
		"replayed/pg_commit_ts/0000", "replayed/base/5/pg_filenode.map", "initial/base/5/2601"} {
		t.Run(name, func(t *testing.T) {
			res, err := verify.Corpus(flipped{os.DirFS(dir), name, 100}, verify.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if res.Mismatches == 0 {
				t.Error("no mismatch")
			}
		})
	}
}

func TestWALThatEndsInTheMiddleIsAnError(t *testing.T) {
	dir := everything.dir(t, 15)
	segments, err := filepath.Glob(filepath.Join(dir, "wal", "0*"))
	if err != nil || len(segments) < 8 {
		t.Fatalf("%d segments, %v", len(segments), err)
	}
	name := "wal/" + filepath.Base(segments[6])
	_, err = verify.Corpus(flipped{os.DirFS(dir), name, 50000}, verify.Options{})
	if err == nil || !strings.Contains(err.Error(), "ends within the corpus") {
		t.Errorf("error %v", err)
	}
}

// without is a corpus that lacks a file.
type without struct {
	fs.FS
	name string
}

func (f without) Open(name string) (fs.File, error) {
	if name == f.name {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return f.FS.Open(name)
}

func (f without) ReadDir(name string) ([]fs.DirEntry, error) {
	list, err := fs.ReadDir(f.FS, name)
	return slices.DeleteFunc(list, func(e fs.DirEntry) bool { return path.Join(name, e.Name()) == f.name }), err
}

func TestMissingSegmentIsAnError(t *testing.T) {
	dir := everything.dir(t, 15)
	segments, err := filepath.Glob(filepath.Join(dir, "wal", "0*"))
	if err != nil || len(segments) < 8 {
		t.Fatalf("%d segments, %v", len(segments), err)
	}
	_, err = verify.Corpus(without{os.DirFS(dir), "wal/" + filepath.Base(segments[6])}, verify.Options{})
	if err == nil || !strings.Contains(err.Error(), "ends within the corpus") {
		t.Errorf("error %v", err)
	}
}

func TestWALOfAnotherClusterIsRefused(t *testing.T) {
	dir := everything.dir(t, 15)
	segments, err := filepath.Glob(filepath.Join(dir, "wal", "0*"))
	if err != nil || len(segments) == 0 {
		t.Fatalf("%d segments, %v", len(segments), err)
	}
	const systemID = 24 // in the header of a segment's first page
	_, err = verify.Corpus(flipped{os.DirFS(dir), "wal/" + filepath.Base(segments[0]), systemID}, verify.Options{})
	if err == nil || !strings.Contains(err.Error(), "another cluster") {
		t.Errorf("error %v", err)
	}
}

func TestCorpusThatIsNone(t *testing.T) {
	tests := []struct {
		name string
		fsys fstest.MapFS
		want string
	}{
		{"an empty directory", fstest.MapFS{}, "initial/global/pg_control"},
		{"a control file that is none", fstest.MapFS{"initial/global/pg_control": {Data: make([]byte, 8192)}}, "pg_control"},
		{"a control file cut short", fstest.MapFS{"initial/global/pg_control": {Data: []byte("x")}}, "pg_control"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := verify.Corpus(test.fsys, verify.Options{})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q in it", err, test.want)
			}
		})
	}
}

// TestWatch follows a page: its LSN is that of the last record that changed it,
// and each step begins where the one before ended.
func TestWatch(t *testing.T) {
	var last redo.Page
	steps, broken := 0, 0
	watch := &verify.Watch{Rel: core.Rel{Spc: 1663, DB: 5, Node: 1259}, Step: func(s verify.Step) {
		if steps++; steps > 1 && *s.Before != last {
			broken++
		}
		// VISIBLE moves a heap page's LSN only where hint bits are logged.
		visible := strings.HasSuffix(s.Rec.Name(), "/VISIBLE")
		if s.Err == nil && s.Outcome == redo.Redone && !visible && redo.PageLSN(s.After) != s.Rec.End {
			t.Errorf("after %s at %s the page is of %s", s.Rec.Name(), s.Rec.Start, redo.PageLSN(s.After))
		}
		last = *s.After
	}}
	if _, err := verify.Corpus(os.DirFS(corpusDir(t, 15, "smoke")), verify.Options{Watch: watch}); err != nil {
		t.Fatal(err)
	}
	if steps < 5 || broken != 0 {
		t.Errorf("%d steps, %d of them do not begin where the one before ended", steps, broken)
	}
}
