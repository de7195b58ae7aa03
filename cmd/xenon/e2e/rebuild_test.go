package e2e_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"xenon/core"
	"xenon/core/layer"
	"xenon/core/pageserver"
	"xenon/core/pageserver/bootset"
	"xenon/core/redo"
	"xenon/core/wal"
	"xenon/realio"
)

// A rebuilt cluster is one whose pages come from an imported data directory and
// from WAL files, by a pageserver of this process that has seen nothing else.
type rebuilt struct {
	t  *testing.T
	tl *pageserver.Timeline
	at core.LSN

	rels, pages, maps int // that were compared
	// unlogged counts pages that the server has initialised and no record has
	// changed. beyond counts those past the end of the fork that redo has; they
	// hold nothing.
	unlogged, beyond int
}

// rebuild makes a cluster as of an LSN.
func rebuild(t *testing.T, base, walDir string, at core.LSN) *rebuilt {
	t.Helper()
	ctx := context.Background()
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	store, err := realio.DirStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	e := realio.New(realio.Options{Root: t.TempDir(), Log: quiet, Objects: store})
	src := realio.New(realio.Options{Root: base, Log: quiet})
	t.Cleanup(func() { src.Close(); e.Close(); store.Close() })
	id := core.TTID{Tenant: core.TenantID{1}, Timeline: core.TimelineID{2}}
	im, err := pageserver.Import(ctx, e, src.FS(), id)
	if err != nil {
		t.Fatal(err)
	}
	tl, err := pageserver.OpenTimeline(ctx, e, id, ".", layer.NewCache(64<<20))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tl.Close)
	r := &rebuilt{t: t, tl: tl, at: at}
	r.ingest(im.Index, walDir)
	return r
}

// ingest takes in the WAL of a directory up to the LSN.
func (r *rebuilt) ingest(x *pageserver.Index, dir string) {
	r.t.Helper()
	v, err := wal.VersionByMajor(x.Major)
	if err != nil {
		r.t.Fatal(err)
	}
	d := wal.NewDecoder(wal.Format{Version: v, SegmentSize: x.SegmentSize}, x.LSN, x.PrevLSN)
	for r.tl.LastRecord().LSN < r.at {
		b, err := os.ReadFile(filepath.Join(dir, core.SegmentName(1, d.Pos().Segment(x.SegmentSize), x.SegmentSize)))
		off := int(d.Pos().SegmentOffset(x.SegmentSize))
		if err != nil || len(b) <= off {
			r.t.Fatalf("no WAL at %s: %v", d.Pos(), err)
		}
		if err := d.Feed(d.Pos(), b[off:]); err != nil {
			r.t.Fatal(err)
		}
		r.ingestFed(d)
	}
}

func (r *rebuilt) ingestFed(d *wal.Decoder) {
	r.t.Helper()
	for r.tl.LastRecord().LSN < r.at {
		rec, ok, err := d.Next()
		if err != nil {
			r.t.Fatal(err)
		}
		if !ok {
			return
		}
		if err := r.tl.Ingest(rec); err != nil {
			r.t.Fatal(err)
		}
	}
}

// relationFile is the path of a file of a relation below a data directory.
var relationFile = regexp.MustCompile(`^(?:global|base/(\d+)|pg_tblspc/(\d+)/PG_[^/]*/(\d+))/(\d+)(_vm|_init)?(?:\.(\d+))?$`)

// parseRelation is which fork a file is of, and at which block it begins.
func parseRelation(path string) (rel core.Rel, first uint32, ok bool) {
	m := relationFile.FindStringSubmatch(path)
	if m == nil {
		return rel, 0, false
	}
	n := func(s string) uint32 { v, _ := strconv.ParseUint(s, 10, 32); return uint32(v) }
	rel = core.Rel{Spc: core.DefaultTablespace, DB: core.OID(n(m[1])), Node: core.OID(n(m[4]))}
	switch {
	case strings.HasPrefix(path, "global/"):
		rel.Spc = core.GlobalTablespace
	case m[2] != "":
		rel.Spc, rel.DB = core.OID(n(m[2])), core.OID(n(m[3]))
	}
	switch m[5] {
	case "_vm":
		rel.Fork = core.VMFork
	case "_init":
		rel.Fork = core.InitFork
	}
	return rel, n(m[6]) * 131072, true
}

// compareAll compares every file of a relation below a data directory, and
// looks for relations that are missing there. Init forks tell which relations
// are unlogged: no page of theirs is in the WAL.
func (r *rebuilt) compareAll(data string) {
	r.t.Helper()
	seen := map[core.Rel]bool{}
	var files []string
	for _, pattern := range []string{"global/*", "base/*/*", "pg_tblspc/*/PG_*/*/*"} {
		found, err := filepath.Glob(filepath.Join(data, pattern))
		if err != nil {
			r.t.Fatal(err)
		}
		files = append(files, found...)
	}
	for _, name := range files {
		path := strings.TrimPrefix(name, data+"/")
		rel, first, ok := parseRelation(path)
		if !ok || rel.Fork == core.InitFork {
			continue
		}
		init := rel
		init.Fork = core.InitFork
		if r.tl.Exists(init, r.at) {
			continue
		}
		seen[rel] = true
		r.compareFile(name, rel, first)
	}
	r.nothingMissing(seen)
}

// nothingMissing looks for forks that have pages and that the server has not.
func (r *rebuilt) nothingMissing(seen map[core.Rel]bool) {
	r.t.Helper()
	set, err := r.tl.Boot(context.Background(), r.at)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, d := range set.Databases {
		rels := r.tl.Relations(bootset.Database{Spc: d.Spc, DB: d.DB}, r.at)
		unlogged := map[core.OID]bool{}
		for _, f := range rels {
			unlogged[f.Rel.Node] = unlogged[f.Rel.Node] || f.Rel.Fork == core.InitFork
		}
		for _, f := range rels {
			if f.Blocks > 0 && !unlogged[f.Rel.Node] && !seen[f.Rel] {
				r.t.Errorf("the server has no %s, which has %d blocks", f.Rel, f.Blocks)
			}
		}
	}
}

// compareFile compares one file.
func (r *rebuilt) compareFile(name string, rel core.Rel, first uint32) {
	file, err := os.Open(name)
	if err != nil {
		r.t.Fatal(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		r.t.Fatal(err)
	}
	blocks, err := r.tl.RelSize(rel, r.at)
	if info.Size() > 0 && err != nil && !errors.Is(err, pageserver.ErrNoRelation) {
		r.t.Error(err)
	}
	r.rels++
	end := first + uint32(info.Size()/core.PageSize)
	if end < blocks && end-first < 131072 {
		r.t.Errorf("%s ends at block %d, redo has %d", name, end, blocks)
	}
	var pages [32]redo.Page
	var errs [len(pages)]error
	b := make([]byte, len(pages)*core.PageSize)
	reqs := make([]pageserver.PageAt, 0, len(pages))
	for blk := first; blk < end; blk += uint32(len(reqs)) {
		reqs = reqs[:0]
		for n := blk; n < end && len(reqs) < len(pages); n++ {
			reqs = append(reqs, pageserver.PageAt{Rel: rel, Block: n, LSN: r.at})
		}
		r.tl.GetPages(context.Background(), reqs, pages[:len(reqs)], errs[:len(reqs)])
		if _, err := file.ReadAt(b[:len(reqs)*core.PageSize], int64(blk-first)*core.PageSize); err != nil {
			r.t.Fatal(err)
		}
		for i := range reqs {
			written := redo.Page(b[i*core.PageSize:])
			r.comparePage(reqs[i], blocks, &written, &pages[i], errs[i])
		}
	}
}

// compareMap compares a page of a visibility map from its bits on: its LSN does
// not move when bits are cleared. CREATE DATABASE … STRATEGY wal_log logs maps
// as pages with a hole, where the bits are (src/backend/storage/buffer/bufmgr.c,
// RelationCopyStorageUsingBuffer): replay has none of those that came with the
// template, PostgreSQL's too, which is no harm.
func (r *rebuilt) compareMap(p pageserver.PageAt, written, made *redo.Page) {
	const firstOwn = 16384 // FirstNormalObjectId
	copied := p.Rel.DB >= firstOwn && p.Rel.Node < firstOwn
	for i := 24; i < core.PageSize; i++ {
		if w, m := written[i], made[i]; m&^w != 0 || w != m && !copied {
			r.t.Errorf("%s block %d, byte %d: redo has bits %08b, PostgreSQL %08b", p.Rel, p.Block, i, m, w)
			return
		}
	}
	r.maps++
}

// comparePage compares one page that a server wrote with what redo made.
func (r *rebuilt) comparePage(p pageserver.PageAt, blocks uint32, written, made *redo.Page, err error) {
	// A page that was extended or initialised and not logged has no LSN yet;
	// 1 is that of a page of an index whose build logs whole pages, later.
	const noLSN = 1
	lsn := redo.PageLSN(written)
	switch {
	case p.Block >= blocks && lsn <= noLSN:
		r.beyond++
		return
	case p.Block >= blocks:
		r.t.Errorf("%s block %d of LSN %s is past the end that redo has, %d", p.Rel, p.Block, lsn, blocks)
		return
	case err != nil:
		r.t.Errorf("%v", err)
		return
	case p.Rel.Fork == core.VMFork:
		r.compareMap(p, written, made)
	case lsn <= noLSN && redo.IsNew(made):
		r.unlogged++
		return
	default:
		if lsn <= noLSN {
			// It was logged as a whole after it was written.
			redo.SetPageLSN(written, redo.PageLSN(made))
		}
		if why := redo.DiffWritten(written, made, p.Block); why != "" {
			r.t.Errorf("%s block %d: %s", p.Rel, p.Block, why)
		}
	}
	r.pages++
}
