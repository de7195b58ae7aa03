package pageserver_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/layer"
	"xenon/core/pageserver"
	"xenon/core/wal"
)

// blankDir is a data directory that imports; change breaks it.
func blankDir(t *testing.T, change func(t *testing.T, dir string)) string {
	t.Helper()
	dir := t.TempDir()
	err := pageserver.WriteBlank(at(t, dir, nil).FS(), pageserver.Blank{SystemID: testSystem, Rels: []pageserver.BlankRel{{Node: 16384, Blocks: 2}}})
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(t, dir)
	}
	return dir
}

func put(name, content string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// control changes pg_control.
func control(change func(*wal.Control)) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		path := filepath.Join(dir, "global/pg_control")
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		c, err := wal.DecodeControl(b)
		if err != nil {
			t.Fatal(err)
		}
		change(c)
		if err := os.WriteFile(path, c.Encode(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestImportRefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(*testing.T, string)
		want   []string // what is wrong, where, the way out
	}{
		{"no data directory", func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, "PG_VERSION")) }, []string{"PG_VERSION", "not a PostgreSQL data directory"}},
		{"another major", put("PG_VERSION", "13\n"), []string{`"13"`, "14 to 18", "PG_VERSION", "pg_upgrade"}},
		{"files of two majors", put("PG_VERSION", "16\n"), []string{"PostgreSQL 15", "PostgreSQL 16", "PG_VERSION", "two clusters"}},
		{"running", put("postmaster.pid", "1"), []string{"postmaster.pid", "pg_ctl stop"}},
		{"a backup", put("backup_label", "x"), []string{"backup_label", "start it"}},
		{"a standby", put("standby.signal", ""), []string{"standby.signal", "promote"}},
		{"in production", control(func(c *wal.Control) { c.State = wal.StateInProduction }), []string{"in production", "global/pg_control", "pg_ctl stop"}},
		{"wal_level minimal", control(func(c *wal.Control) { c.WALLevel = wal.Minimal }), []string{"minimal", "wal_level=replica"}},
		{"another segment size", control(func(c *wal.Control) { c.SegmentSize = 1 << 20 }), []string{"1048576", "pg_resetwal"}},
		{"another timeline", control(func(c *wal.Control) { c.CheckPoint.TimelineID = 3 }), []string{"timeline 3", "pg_dumpall"}},
		{"a damaged control file", put("global/pg_control", strings.Repeat("x", 8192)), []string{"pg_control"}},
		{"no checkpoint", control(func(c *wal.Control) { c.CheckPointLSN += 8192 }), []string{"no checkpoint", "pg_wal"}},
		{"a tablespace elsewhere", func(t *testing.T, dir string) {
			if err := os.MkdirAll(filepath.Join(dir, "pg_tblspc"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(t.TempDir(), filepath.Join(dir, "pg_tblspc/16400")); err != nil {
				t.Fatal(err)
			}
		}, []string{"pg_tblspc/16400", "SET TABLESPACE pg_default"}},
		{"damaged replication origins", put("pg_logical/replorigin_checkpoint", strings.Repeat("o", 8+16)), []string{"replorigin_checkpoint", "checksum", "drop"}},
		{"half a page", put("base/5/16384", "half"), []string{"base/5/16384", "4 bytes", "damaged"}},
		{"half a status page", put("pg_xact/0000", "half"), []string{"pg_xact/0000", "damaged"}},
		{"a damaged relation map", put("base/5/pg_filenode.map", "half"), []string{"base/5/pg_filenode.map", "damaged"}},
		{"a damaged prepared transaction", put("pg_twophase/00000300", "half of it"), []string{"pg_twophase/00000300", "checksum"}},
		{"a stray prepared transaction", put("pg_twophase/x", ""), []string{"pg_twophase/x"}},
		{"data that fails its checksums", func(t *testing.T, dir string) {
			control(func(c *wal.Control) { c.ChecksumVersion = 1 })(t, dir)
			put("base/5/16384", strings.Repeat("p", core.PageSize))(t, dir)
		}, []string{"base/5/16384 block 0", "checksum", "backup"}},
	}
	for _, q := range tests {
		t.Run(q.name, func(t *testing.T) {
			store := newStore(t)
			_, err := pageserver.Import(context.Background(), at(t, t.TempDir(), store), at(t, blankDir(t, q.change), nil).FS(), testTimeline)
			if !errors.Is(err, pageserver.ErrRefused) {
				t.Fatalf("%v, want %v", err, pageserver.ErrRefused)
			}
			for _, part := range q.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%v\ndoes not name %q", err, part)
				}
			}
			page, err := store.List(context.Background(), env.ListOpts{})
			if err != nil || len(page.Objects) > 0 {
				t.Errorf("%d objects were written (%v)", len(page.Objects), err)
			}
		})
	}
}

func TestImportTwiceIsRefused(t *testing.T) {
	w := newWorld(t)
	_, err := pageserver.Import(context.Background(), w.env, at(t, blankDir(t, nil), nil).FS(), testTimeline)
	if err == nil || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("%v, want a refusal", err)
	}
}

// TestImportGivesTheSegment: what the safekeepers begin with is the bytes of
// pg_wal, from the segment's start to the end of the checkpoint.
func TestImportGivesTheSegment(t *testing.T) {
	for _, lsn := range []core.LSN{core.DefaultSegmentSize, core.DefaultSegmentSize + 8192 - 64, 2*core.DefaultSegmentSize - 120, 2*core.DefaultSegmentSize - 64} {
		dir := t.TempDir()
		if err := pageserver.WriteBlank(at(t, dir, nil).FS(), pageserver.Blank{SystemID: testSystem, LSN: lsn}); err != nil {
			t.Fatal(err)
		}
		im, err := pageserver.Import(context.Background(), at(t, t.TempDir(), newStore(t)), at(t, dir, nil).FS(), testTimeline)
		if err != nil {
			t.Fatal(err)
		}
		if im.SegmentStart.SegmentOffset(core.DefaultSegmentSize) != 0 || im.SegmentStart+core.LSN(len(im.WAL)) != im.Index.LSN {
			t.Errorf("WAL of %d bytes from %s, the timeline begins at %s", len(im.WAL), im.SegmentStart, im.Index.LSN)
		}
		want := make([]byte, len(im.WAL))
		if n, err := walFiles(filepath.Join(dir, "pg_wal"))(want, im.SegmentStart); n < len(want) {
			t.Fatalf("%d of %d bytes: %v", n, len(want), err)
		}
		if string(want) != string(im.WAL) {
			t.Errorf("checkpoint at %s: the WAL differs from the file", lsn)
		}
	}
}

// TestDamagedObjects flips a bit in each object of a base: opening or reading
// says that it is corrupt.
func TestDamagedObjects(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	page, err := w.store.List(ctx, env.ListOpts{})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range page.Objects {
		if strings.Contains(o.Key, "/gen/") {
			continue
		}
		b, _, err := env.ReadObject(ctx, w.store, o.Key)
		if err != nil {
			t.Fatal(err)
		}
		bad := append([]byte(nil), b...)
		bad[len(bad)/2] ^= 1
		if _, err := w.store.Put(ctx, o.Key, env.Bytes(bad), env.PutOpts{}); err != nil {
			t.Fatal(err)
		}
		tl, err := pageserver.OpenTimeline(ctx, w.env, testTimeline, ".", layer.NewCache(1<<20))
		if err == nil {
			_, err = tl.SLRUSegment(ctx, core.Clog, 0, w.im.Index.LSN)
			tl.Close()
		}
		if !errors.Is(err, env.ErrCorrupt) {
			t.Errorf("%s damaged: %v, want %v", o.Key, err, env.ErrCorrupt)
		}
		if _, err := w.store.Put(ctx, o.Key, env.Bytes(b), env.PutOpts{}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestImportOfRealClusters: one with data checksums, whose pages are verified,
// and one with unlogged relations and a prepared transaction.
func TestImportOfRealClusters(t *testing.T) {
	s := needPostgres(t)
	s.initdb("sums", "-k")
	s.start("sums")
	s.sql("postgres", "CREATE UNLOGGED TABLE u AS SELECT generate_series(1, 1000) i", "CREATE TABLE k (i int)",
		"BEGIN", "INSERT INTO k VALUES (1)", "PREPARE TRANSACTION 'kept'")
	s.stop("sums")
	tl, im := importAndOpen(t, s.path("sums"))
	if !im.Checksums || im.Unlogged != 1 {
		t.Errorf("imported %+v, want checksums and one unlogged relation", im)
	}
	lsn := im.Index.LSN
	sameFiles(t, tl, lsn, s.path("sums"))
	set, err := tl.Boot(context.Background(), lsn)
	if err != nil {
		t.Fatal(err)
	}
	ctl, err := wal.DecodeControl(set.Control)
	if err != nil || ctl.ChecksumVersion != 1 || set.Prev != im.Index.PrevLSN {
		t.Errorf("control file with checksums %d (%v), prev %s", ctl.ChecksumVersion, err, set.Prev)
	}
	prepared := 0
	for _, f := range set.Files {
		if strings.HasPrefix(f.Path, "pg_twophase/") {
			prepared++
		}
	}
	if prepared != 1 {
		t.Errorf("%d prepared transactions, want 1", prepared)
	}
}
