package export_test

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"xenon/cmd/xenon/internal/export"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/pageserver"
	"xenon/core/pageserver/bootset"
	"xenon/core/wal"
	"xenon/core/wire/http1"
	"xenon/core/xsync"
	"xenon/realio"
)

const (
	systemID = 77
	start    = core.DefaultSegmentSize + 4096 // of the timeline
	large    = 300                            // blocks of the largest relation
)

// serve runs a pageserver with a timeline of a blank cluster.
func serve(t *testing.T) (e *realio.Env, o export.Options) {
	t.Helper()
	store, err := realio.DirStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	e = realio.New(realio.Options{Root: t.TempDir(), Objects: store, Grace: time.Millisecond, Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() { e.Close() })
	source := realio.New(realio.Options{Root: t.TempDir()})
	t.Cleanup(func() { source.Close() })
	err = pageserver.WriteBlank(source.FS(), pageserver.Blank{SystemID: systemID, LSN: start,
		Rels: []pageserver.BlankRel{{Node: 16384, Blocks: large}, {Node: 16385}, {Node: 16386, Blocks: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	o.TTID = core.TTID{Tenant: core.TenantID{1}, Timeline: core.TimelineID{2}}
	im, err := pageserver.Import(context.Background(), e, source.FS(), o.TTID)
	if err != nil {
		t.Fatal(err)
	}
	o.Source, o.Pageserver, o.LSN, o.Wait = "main@x", freeAddress(t), im.Index.LSN, time.Minute
	e.Go("pageserver", func(ctx context.Context) {
		if err := pageserver.Run(ctx, e, pageserver.Config{Listen: o.Pageserver}); err != nil && xsync.Cause(ctx) == nil {
			t.Error(err)
		}
	})
	attach(t, e, o)
	return e, o
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// attach makes the pageserver serve the timeline; nobody has more WAL of it.
func attach(t *testing.T, e env.Env, o export.Options) {
	t.Helper()
	req := pageserver.AttachRequest{Timeline: o.TTID.Timeline, Safekeepers: []string{"127.0.0.1:1"}}
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		err := http1.Call(context.Background(), e, o.Pageserver, "POST", "/v1/tenant/"+o.TTID.Tenant.String()+"/timeline", req, nil)
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// TestRun exports a cluster that PostgreSQL did not make: every file is there
// with its size and mode, and it could be imported again.
func TestRun(t *testing.T) {
	e, o := serve(t)
	o.Dir = filepath.Join(t.TempDir(), "a", "b")
	o.Conf = []bootset.File{{Path: "pg_hba.conf", Content: []byte("local all all peer\n")}}
	var done, total int64
	o.Progress = func(n, all int64) {
		if n < done || n > all {
			t.Errorf("progress goes from %d to %d of %d", done, n, all)
		}
		done, total = n, all
	}
	r, err := export.Run(e.Context(), e, o)
	if err != nil {
		t.Fatal(err)
	}
	if r.LSN != o.LSN || r.Bytes != total || done != total {
		t.Errorf("result %+v, told %d of %d", r, done, total)
	}
	for name, size := range map[string]int64{
		"base/5/16384": large * core.PageSize, "base/5/16385": 0, "base/5/16386": core.PageSize,
		"PG_VERSION": 3, "base/5/PG_VERSION": 3, "global/pg_filenode.map": 512, "pg_hba.conf": 19, "postgresql.conf": 0,
		"pg_xact/0000": core.PageSize, "pg_wal/" + core.SegmentName(1, 1, core.DefaultSegmentSize): core.DefaultSegmentSize,
	} {
		if info, err := os.Stat(filepath.Join(o.Dir, name)); err != nil || info.Size() != size {
			t.Errorf("%s: %v, want %d bytes", name, err, size)
		}
	}
	modes(t, o.Dir, r.Files)
	ctl := control(t, o.Dir)
	if ctl.State != wal.StateShutDown || ctl.SystemID != systemID || ctl.CheckPoint.Redo != ctl.CheckPointLSN || ctl.CheckPointLSN < o.LSN {
		t.Errorf("control file %+v", ctl)
	}
	again := realio.New(realio.Options{Root: o.Dir})
	defer again.Close()
	if err := pageserver.CheckImport(again.FS()); err != nil {
		t.Error(err)
	}
	if _, err := export.Run(e.Context(), e, o); err == nil || !strings.Contains(err.Error(), "a data directory already") {
		t.Errorf("the same directory again: %v", err)
	}
}

// modes checks that nobody but the owner can look in, and counts the files.
func modes(t *testing.T, dir string, files int) {
	t.Helper()
	n := 0
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = fs.ModeDir | 0o700
		} else {
			n++
		}
		if err == nil && info.Mode() != want {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
		return err
	})
	if err != nil || n != files {
		t.Errorf("%d files, the result says %d: %v", n, files, err)
	}
}

func control(t *testing.T, dir string) *wal.Control {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "global", "pg_control"))
	if err != nil {
		t.Fatal(err)
	}
	ctl, err := wal.DecodeControl(b)
	if err != nil {
		t.Fatal(err)
	}
	return ctl
}

// TestInterrupted ends an export in its midst: there is no control file, and
// the directory says what it is.
func TestInterrupted(t *testing.T) {
	e, o := serve(t)
	o.Dir = filepath.Join(t.TempDir(), "data")
	ctx, cancel := xsync.WithCancel(e.Context())
	enough := errors.New("enough")
	o.Progress = func(n, all int64) {
		if n > all/2 {
			cancel(enough)
		}
	}
	if _, err := export.Run(ctx, e, o); !errors.Is(err, enough) {
		t.Errorf("ends with %v", err)
	}
	if _, err := os.Stat(filepath.Join(o.Dir, "global", "pg_control")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the control file: %v", err)
	}
	b, err := os.ReadFile(filepath.Join(o.Dir, export.Unfinished))
	if err != nil || !strings.HasPrefix(string(b), o.Source) {
		t.Errorf("%s: %q, %v", export.Unfinished, b, err)
	}
	if _, err := export.Run(e.Context(), e, o); err == nil || !strings.Contains(err.Error(), "did not end ("+o.Source) {
		t.Errorf("the same directory again: %v", err)
	}
}

// TestNotThere: what cannot be had leaves no directory.
func TestNotThere(t *testing.T) {
	e, o := serve(t)
	o.Dir = filepath.Join(t.TempDir(), "data")
	for _, test := range []struct {
		name string
		lsn  core.LSN
		want string
	}{
		{"before the beginning", o.LSN - 4096, o.LSN.String()},
		{"later than there is WAL", o.LSN + 4096, "deadline"},
	} {
		o := o
		o.LSN, o.Wait = test.lsn, 100*time.Millisecond
		_, err := export.Run(e.Context(), e, o)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q in it", test.name, err, test.want)
		}
		if _, err := os.Stat(o.Dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: the directory was made: %v", test.name, err)
		}
	}
}
