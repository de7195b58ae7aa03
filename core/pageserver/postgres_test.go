package pageserver_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"xenon/core"
	"xenon/core/pageserver"
	"xenon/core/pageserver/bootset"
	"xenon/core/redo"
	"xenon/core/wal"
	"xenon/internal/pgtest"
	"xenon/realio"
)

// A server is a throwaway PostgreSQL.
type server struct {
	pgtest.Postgres
	t   *testing.T
	dir string // holds data directories, WAL and the socket

	readies int // lines in the log that tell the end of a start
}

// needPostgres skips the test where there is no PostgreSQL 15, or fails it if
// nothing may be skipped.
func needPostgres(t *testing.T) *server { return needMajor(t, 15) }

// needMajor is needPostgres for any major version.
func needMajor(t *testing.T, major int) *server {
	t.Helper()
	s := &server{t: t, Postgres: pgtest.NeedMajor(t, major)}
	s.dir = s.Dir()
	return s
}

func (s *server) path(name string) string { return filepath.Join(s.dir, name) }

// run runs a program of PostgreSQL, or of the system, as the server's user.
func (s *server) run(name string, args ...string) string {
	s.t.Helper()
	cmd := s.Command(context.Background(), name, args...)
	cmd.Dir = s.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		log, _ := os.ReadFile(s.path("log"))
		s.t.Fatalf("%s %s: %v\n%s\n%s", name, strings.Join(args, " "), err, out, log[max(0, len(log)-2000):])
	}
	return string(out)
}

func (s *server) initdb(data string, args ...string) {
	s.t.Helper()
	s.run("initdb", append([]string{"-D", s.path(data), "-U", "postgres", "-N", "-E", "UTF8", "--locale=C", "-A", "trust"}, args...)...)
}

func (s *server) start(data string, settings ...string) {
	s.t.Helper()
	settings = append([]string{"listen_addresses=", "unix_socket_directories=" + s.dir, "fsync=off", "shared_buffers=4MB",
		"wal_keep_size=8GB", "max_wal_size=8GB", "autovacuum=off", "max_prepared_transactions=10", "wal_recycle=off",
		"wal_level=replica", "checkpoint_timeout=1h", "hot_standby=off"}, settings...)
	opts := ""
	for _, o := range settings {
		if o == "-b" {
			opts += " -b"
		} else {
			opts += " -c '" + o + "'"
		}
	}
	s.run("pg_ctl", "-D", s.path(data), "-s", "-w", "-t", "300", "-l", s.path("log"), "-o", opts, "start")
	s.t.Cleanup(func() { s.stop(data) })
}

// stop is a fast shutdown; a server that was stopped stays so.
func (s *server) stop(data string) {
	if _, err := os.Stat(s.path(data + "/postmaster.pid")); err == nil {
		s.run("pg_ctl", "-D", s.path(data), "-s", "-w", "-t", "300", "-m", "fast", "stop")
	}
}

// sql runs each line as one command.
func (s *server) sql(db string, lines ...string) string {
	s.t.Helper()
	args := []string{"-h", s.dir, "-U", "postgres", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", db}
	for _, line := range lines {
		args = append(args, "-c", line)
	}
	return strings.TrimSpace(s.run("psql", args...))
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// at is an Env whose disk is a directory, with the objects of store.
func at(t testing.TB, dir string, store *realio.ObjectDir) *realio.Env {
	t.Helper()
	o := realio.Options{Root: dir, Log: quiet()}
	if store != nil {
		o.Objects = store
	}
	e := realio.New(o)
	t.Cleanup(func() { e.Close() })
	return e
}

func newStore(t testing.TB) *realio.ObjectDir {
	t.Helper()
	store, err := realio.DirStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

var testTimeline = core.TTID{Tenant: core.TenantID{1}, Timeline: core.TimelineID{2}}

// importAndOpen makes a timeline of a data directory and opens it.
func importAndOpen(t testing.TB, data string) (*pageserver.Timeline, *pageserver.Imported) {
	t.Helper()
	w := importOf(t, data)
	tl := w.open(t)
	t.Cleanup(tl.Close)
	return tl, w.im
}

// importOf makes a timeline of a data directory.
func importOf(t testing.TB, data string) *world {
	t.Helper()
	w := &world{env: at(t, t.TempDir(), newStore(t))}
	var err error
	if w.im, err = pageserver.Import(context.Background(), w.env, at(t, data, nil).FS(), testTimeline); err != nil {
		t.Fatal(err)
	}
	return w
}

// walFiles reads WAL of segment files in a directory.
func walFiles(dir string) wal.ReadFunc {
	return func(p []byte, at core.LSN) (int, error) {
		f, err := os.Open(filepath.Join(dir, core.SegmentName(1, at.Segment(core.DefaultSegmentSize), core.DefaultSegmentSize)))
		if errors.Is(err, os.ErrNotExist) {
			return 0, io.EOF
		}
		if err != nil {
			return 0, err
		}
		defer f.Close()
		off := at.SegmentOffset(core.DefaultSegmentSize)
		return f.ReadAt(p[:min(len(p), core.DefaultSegmentSize-int(off))], int64(off))
	}
}

// ingestAll ingests the WAL of a directory and returns its records.
func ingestAll(t testing.TB, tl *pageserver.Timeline, dir string) (recs []pageserver.Record) {
	t.Helper()
	return ingestEach(t, &tl, dir, func() {})
}

// ingestEach calls after when a record is ingested, which may replace the
// timeline.
func ingestEach(t testing.TB, at **pageserver.Timeline, dir string, after func()) (recs []pageserver.Record) {
	t.Helper()
	last := (*at).LastRecord()
	v, err := wal.VersionByMajor((*at).Index().Major)
	if err != nil {
		t.Fatal(err)
	}
	d := wal.NewDecoder(wal.Format{Version: v, SegmentSize: core.DefaultSegmentSize}, last.LSN, last.Prev)
	read, buf := walFiles(dir), make([]byte, 128<<10)
	for {
		n, err := read(buf, d.Pos())
		if err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		if n == 0 {
			return recs
		}
		if err := d.Feed(d.Pos(), buf[:n]); err != nil {
			t.Fatal(err)
		}
		for {
			rec, ok, err := d.Next()
			if errors.Is(err, wal.ErrEndOfLog) {
				return recs
			}
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			if err := (*at).Ingest(rec); err != nil {
				t.Fatal(err)
			}
			recs = append(recs, (*at).LastRecord())
			after()
		}
	}
}

// recover makes stock PostgreSQL replay the WAL onto a copy of the initial
// directory, through the record that begins at target, and leaves its files.
func (s *server) recover(name string, target core.LSN) string {
	s.t.Helper()
	s.run("cp", "-a", s.path("initial"), s.path(name))
	s.run("touch", s.path(name+"/recovery.signal"))
	log, _ := os.ReadFile(s.path("log"))
	s.readies = strings.Count(string(log), "ready to accept connections")
	s.start(name, "restore_command=cp "+s.path("wal")+"/%f %p", "recovery_target_lsn="+target.String(),
		"recovery_target_inclusive=on", "recovery_target_action=promote", "recovery_target_timeline=current",
		"track_commit_timestamp=on")
	// Without hot standby pg_ctl does not wait for the end of recovery, and a
	// session would set hint bits.
	for range 6000 {
		if log, _ := os.ReadFile(s.path("log")); strings.Count(string(log), "ready to accept connections") > s.readies {
			s.stop(name)
			return s.path(name)
		}
		time.Sleep(20 * time.Millisecond)
	}
	s.t.Fatalf("recovery to %s does not end", target)
	return ""
}

// sameFiles compares every page of every fork that stock has with what the
// timeline makes, and the other way round. Both sides are made by redo, so
// they are equal to the last byte, checksums too if the cluster has them.
func sameFiles(t testing.TB, tl *pageserver.Timeline, lsn core.LSN, data string) (pages int) {
	t.Helper()
	set, err := tl.Boot(context.Background(), lsn)
	if err != nil {
		t.Fatal(err)
	}
	var dirs []string
	for _, d := range set.Databases {
		ctl, err := wal.DecodeControl(set.Control)
		if err != nil {
			t.Fatal(err)
		}
		dirs = append(dirs, filepath.Join(data, d.Dir(ctl.SpaceDir())))
		pages += sameDir(t, tl, lsn, d, dirs[len(dirs)-1])
	}
	if want := directories(t, data); !slices.Equal(slices.Sorted(slices.Values(dirs)), want) {
		t.Errorf("as of %s: the directories are %q, stock's %q", lsn, dirs, want)
	}
	if size(t, data, "pg_logical/replorigin_checkpoint") > 8 && !slices.ContainsFunc(set.Files, func(f bootset.File) bool { return strings.Contains(f.Path, "replorigin") }) {
		t.Errorf("as of %s: no replication origins, stock has some", lsn)
	}
	for _, f := range set.Files {
		want, err := os.ReadFile(filepath.Join(data, f.Path))
		if err != nil || string(want) != string(f.Content) {
			t.Errorf("as of %s: %s has %d bytes, stock's %d (%v)", lsn, f.Path, len(f.Content), len(want), err)
		}
	}
	for _, g := range set.SLRUs {
		sameSegment(t, tl, lsn, g, data)
	}
	return pages
}

// directories are the directories of relations in a data directory, and those
// of tablespaces, sorted.
func directories(t testing.TB, data string) []string {
	t.Helper()
	list := []string{filepath.Join(data, "global")}
	for _, pattern := range []string{"base/*", "pg_tblspc/*/PG_*", "pg_tblspc/*/PG_*/*"} {
		found, err := filepath.Glob(filepath.Join(data, pattern))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, found...)
	}
	list = slices.DeleteFunc(list, func(dir string) bool { return strings.HasSuffix(dir, "pgsql_tmp") })
	slices.Sort(list)
	return list
}

// size is that of a file, 0 if it is not there.
func size(t testing.TB, data, name string) int64 {
	info, err := os.Stat(filepath.Join(data, name))
	if err != nil {
		return 0
	}
	return info.Size()
}

func sameSegment(t testing.TB, tl *pageserver.Timeline, lsn core.LSN, g bootset.Segment, data string) {
	t.Helper()
	got, err := tl.SLRUSegment(context.Background(), g.SLRU, g.Segment, lsn)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(filepath.Join(data, g.SLRU.Dir(), fmt.Sprintf("%04X", g.Segment)))
	if err != nil || string(got) != string(want) {
		at := 0
		for at < min(len(got), len(want)) && got[at] == want[at] {
			at++
		}
		t.Errorf("as of %s: %s/%04X has %d bytes, stock's %d, the first difference is at %d (%v)", lsn, g.SLRU.Dir(), g.Segment, len(got), len(want), at, err)
	}
}

func sameDir(t testing.TB, tl *pageserver.Timeline, lsn core.LSN, d bootset.Database, dir string) (pages int) {
	t.Helper()
	have := map[string]bool{}
	for _, r := range tl.Relations(d, lsn) {
		name := fmt.Sprint(r.Rel.Node)
		if r.Rel.Fork != core.MainFork {
			name += "_" + r.Rel.Fork.String()
		}
		have[name] = true
		pages += sameFork(t, tl, lsn, r, filepath.Join(dir, name))
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name := e.Name()
		info, _ := e.Info()
		if e.IsDir() || strings.ContainsAny(name, "pP") || strings.HasSuffix(name, "_fsm") || have[name] {
			continue
		}
		// A dropped relation leaves an empty file until a checkpoint.
		if info.Size() > 0 && !have[name+"_init"] {
			t.Errorf("as of %s: stock has %s/%s of %d bytes, the timeline has none", lsn, dir, name, info.Size())
		}
	}
	return pages
}

func sameFork(t testing.TB, tl *pageserver.Timeline, lsn core.LSN, r bootset.Relation, path string) int {
	t.Helper()
	want, err := os.ReadFile(path)
	if err != nil {
		t.Errorf("as of %s: %v", lsn, err)
		return 0
	}
	if len(want) != int(r.Blocks)*core.PageSize {
		t.Errorf("as of %s: %s has %d blocks, stock's %d", lsn, r.Rel, r.Blocks, len(want)/core.PageSize)
	}
	reqs := make([]pageserver.PageAt, len(want)/core.PageSize)
	for i := range reqs {
		reqs[i] = pageserver.PageAt{Rel: r.Rel, Block: uint32(i), LSN: lsn}
	}
	pages, errs := make([]redo.Page, len(reqs)), make([]error, len(reqs))
	tl.GetPages(context.Background(), reqs, pages, errs)
	for i := range pages {
		stock := redo.Page(want[i*core.PageSize:])
		if errs[i] != nil {
			t.Errorf("as of %s: %v", lsn, errs[i])
			continue
		}
		if !tl.Index().DataChecksums {
			for _, p := range []*redo.Page{&pages[i], &stock} {
				p[8], p[9] = 0, 0
			}
		}
		if pages[i] != stock {
			at := 0
			for pages[i][at] == stock[at] {
				at++
			}
			t.Errorf("as of %s: %s block %d differs from stock at byte %d: LSN %s, stock's %s", lsn, r.Rel, i, at, redo.PageLSN(&pages[i]), redo.PageLSN(&stock))
		}
	}
	return len(pages)
}

// history is SQL that leaves hardly a kind of change out, as one statement a
// line, so that a recovery target can lie between any two.
var history = []string{
	"CREATE TABLE a (id int PRIMARY KEY, v text, n int) WITH (fillfactor=70)",
	"INSERT INTO a SELECT i, repeat('x', i % 50), i FROM generate_series(1, 3000) i",
	"VACUUM (FREEZE, ANALYZE) a",
	"UPDATE a SET n = n + 1 WHERE id % 7 = 0",
	"DELETE FROM a WHERE id % 5 = 0",
	"VACUUM a",
	"CREATE INDEX a_n ON a (n)",
	"CREATE UNLOGGED TABLE u (x int); INSERT INTO u SELECT generate_series(1, 1000)",
	"CREATE SEQUENCE s; SELECT nextval('s') FROM generate_series(1, 40)",
	// A table that is filled, vacuumed, emptied, vacuumed to size 0, refilled.
	"CREATE TABLE v AS SELECT i, repeat('y', 100) t FROM generate_series(1, 2000) i",
	"VACUUM v",
	"DELETE FROM v",
	"VACUUM v",
	"INSERT INTO v SELECT i, 'again' FROM generate_series(1, 1500) i",
	"BEGIN; TRUNCATE a; INSERT INTO a SELECT i, 'new', i FROM generate_series(1, 500) i; COMMIT",
	"BEGIN; INSERT INTO a VALUES (-1, 'prepared', 0); PREPARE TRANSACTION 'one'",
	"BEGIN; CREATE TABLE p2 (x int); INSERT INTO p2 VALUES (1); PREPARE TRANSACTION 'two'",
	"BEGIN; SELECT 1 FROM a WHERE id = 1 FOR KEY SHARE; SAVEPOINT s; UPDATE a SET v = v WHERE id = 1; ROLLBACK TO s; COMMIT",
	"COMMIT PREPARED 'one'",
	"CREATE DATABASE copied STRATEGY file_copy",
	"CREATE DATABASE logged STRATEGY wal_log",
	"UPDATE a SET n = -n; DELETE FROM v WHERE i < 700",
	"DROP TABLE v",
	"CHECKPOINT",
	"ROLLBACK PREPARED 'two'",
	"CREATE TABLE big (id bigserial PRIMARY KEY, pad text); INSERT INTO big (pad) SELECT repeat(md5(i::text), 20) FROM generate_series(1, 3000) i",
	"VACUUM FULL a",
	"VACUUM FULL pg_class",
	"ALTER TABLE big ADD COLUMN extra int DEFAULT 3; UPDATE big SET extra = 4 WHERE id % 3 = 0; VACUUM big",
	"DROP DATABASE copied",
	"SET allow_in_place_tablespaces = on; CREATE TABLESPACE near LOCATION ''",
	"CREATE TABLE spaced TABLESPACE near AS SELECT i, repeat('s', 50) t FROM generate_series(1, 1000) i; CREATE INDEX ON spaced (i) TABLESPACE near; VACUUM spaced",
	"CREATE DATABASE within TABLESPACE near STRATEGY wal_log",
	"CREATE DATABASE moved TABLESPACE near STRATEGY file_copy",
	"DELETE FROM spaced WHERE i % 10 = 0; VACUUM spaced; ALTER TABLE spaced SET TABLESPACE pg_default; ALTER TABLE big SET TABLESPACE near",
	"ALTER DATABASE moved SET TABLESPACE pg_default",
	"DROP DATABASE within",
	"SET allow_in_place_tablespaces = on; CREATE TABLESPACE brief LOCATION ''; DROP TABLESPACE brief",
	"SELECT pg_replication_origin_create('o'); SELECT pg_replication_origin_advance('o', '0/5000')",
	"SELECT pg_replication_origin_session_setup('o'); BEGIN; SELECT pg_replication_origin_xact_setup('0/6000', now()); INSERT INTO a VALUES (-5, 'far', 0); COMMIT",
	"SELECT pg_replication_origin_create('p'); SELECT pg_replication_origin_advance('p', '0/77')",
	"SELECT pg_logical_emit_message(false, 'x', 'said'); SELECT pg_replication_origin_drop('p')",
	"UPDATE big SET extra = 5 WHERE id % 7 = 0",
}

var strategy = regexp.MustCompile(` STRATEGY \w+`)

// makeHistory runs the history on a copy of initial, and keeps the WAL in wal.
// There are no full-page images, as under a compute: an image after each
// checkpoint would hide chains that go back too far.
func (s *server) makeHistory() {
	s.t.Helper()
	settings := []string{"track_commit_timestamp=on", "full_page_writes=off"}
	s.run("cp", "-a", s.path("initial"), s.path("data"))
	s.start("data", settings...)
	for i, line := range history {
		// Several databases see changes.
		if i == 22 {
			s.sql("copied", "CREATE TABLE mine AS SELECT 1 x", "DELETE FROM pg_description WHERE objoid::int % 3 = 0", "VACUUM pg_description")
		}
		if s.Install.Major < 15 {
			// There is one way to make a database: as a copy of files.
			line = strategy.ReplaceAllString(line, "")
		}
		s.sql("postgres", strings.Split(line, "; ")...)
	}
	s.stop("data")
	// A relfilenode that was dropped is used again, as it is when the counter
	// of OIDs has gone round: the mode of pg_upgrade lets one choose it.
	s.start("data", append(settings, "-b")...)
	s.reuse("30000", "INSERT INTO r SELECT i, repeat('z', 60) FROM generate_series(1, 3000) i", "VACUUM r", "DROP TABLE r", "CHECKPOINT")
	s.reuse("30000", "INSERT INTO r SELECT i, 'w' FROM generate_series(1, 100) i", "DELETE FROM r WHERE i < 10", "INSERT INTO r SELECT i, 'grown' FROM generate_series(1, 2000) i", "VACUUM r", "UPDATE r SET t = 'x' WHERE i = 50")
	s.stop("data")
	s.run("sh", "-c", "mkdir "+s.path("wal")+" && cp "+s.path("data/pg_wal")+"/0* "+s.path("wal"))
}

// reuse makes table r with a relfilenode of its own choice.
func (s *server) reuse(node string, after ...string) {
	s.t.Helper()
	chosen := "binary_upgrade_set_next_heap_pg_class_oid(40003), binary_upgrade_set_next_heap_relfilenode(" + node + ")"
	if s.Install.Major < 15 {
		chosen = "binary_upgrade_set_next_heap_pg_class_oid(" + node + ")" // which is the relfilenode
	}
	s.sql("postgres", `SELECT binary_upgrade_set_next_pg_type_oid(40001), binary_upgrade_set_next_array_pg_type_oid(40002), `+chosen+`;
		CREATE TABLE r (i int, t char(200)) WITH (fillfactor=90)`)
	for _, stmt := range after {
		s.sql("postgres", stmt)
	}
}

// ingestFlushing ingests the WAL of a directory, flushes after every few
// hundred kilobytes and restarts now and then.
func ingestFlushing(t testing.TB, w *world, dir string) *pageserver.Timeline {
	t.Helper()
	own, flushes := w.own(t), 0
	tl := w.openIn(t, own)
	flush := func() {
		if err := tl.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
		if flushes++; flushes%10 != 0 {
			return
		}
		last := tl.LastRecord()
		tl.Close()
		if tl = w.openIn(t, own); tl.LastRecord() != last {
			t.Fatalf("a restart resumes at %v, flushed was up to %v", tl.LastRecord(), last)
		}
	}
	ingestEach(t, &tl, dir, func() {
		if tl.LastRecord().LSN-tl.DiskConsistent().LSN > 300<<10 {
			flush()
		}
	})
	flush()
	n, bytes := tl.LayerCount()
	wal := int64(tl.LastRecord().LSN - w.im.Index.LSN)
	t.Logf("%d bytes of WAL in %d layers of %d bytes", wal, n, bytes)
	if bytes > wal+wal*3/10 {
		t.Errorf("%d bytes of layers for %d of WAL", bytes, wal)
	}
	tl.Close()
	return w.openIn(t, own)
}

// TestPagesEqualStockRecovery compares whole clusters as of random records of
// a mixed history with what stock PostgreSQL has after recovery to them.
func TestPagesEqualStockRecovery(t *testing.T) {
	pagesEqualStockRecovery(t, 15)
}

// TestPagesEqualStockRecoveryChecksums is the same with data checksums: pages
// have them, and hint bits are logged.
func TestPagesEqualStockRecoveryChecksums(t *testing.T) {
	pagesEqualStockRecovery(t, 15, "-k")
}

// TestPagesEqualStockRecoveryMajors is the same for other versions.
func TestPagesEqualStockRecoveryMajors(t *testing.T) {
	majors := []int{18}
	if os.Getenv("XENON_FULL") != "" {
		majors = []int{14, 16, 17, 18}
	}
	for _, major := range majors {
		t.Run(strconv.Itoa(major), func(t *testing.T) { pagesEqualStockRecovery(t, major, "-k") })
	}
}

func pagesEqualStockRecovery(t *testing.T, major int, initdb ...string) {
	s := needMajor(t, major)
	s.initdb("initial", initdb...)
	s.makeHistory()
	w := importOf(t, s.path("initial"))
	tl, im := w.open(t), w.im
	defer tl.Close()
	if im.Unlogged != 0 || im.Checksums != (len(initdb) > 0) || im.Pages < 2000 {
		t.Errorf("imported %+v", im)
	}
	recs := ingestAll(t, tl, s.path("wal"))
	t.Logf("%d records to %s, %d layers of %d bytes", len(recs), tl.LastRecord().LSN, len(im.Index.Layers), im.Bytes)
	flushed := ingestFlushing(t, w, s.path("wal"))
	defer flushed.Close()
	n := 3
	if os.Getenv("XENON_FULL") == "1" {
		n = 20
	}
	rng := rand.New(rand.NewPCG(7, uint64(os.Getpid())))
	targets := []int{len(recs) - 2}
	for len(targets) < n {
		targets = append(targets, rng.IntN(len(recs)))
		// The end has more of what is rare: reuse, copies, drops.
		if late := len(recs) / 8; len(targets) < n {
			targets = append(targets, len(recs)-1-rng.IntN(late))
		}
	}
	slices.Sort(targets)
	for i, at := range targets {
		rec := recs[at]
		data := s.recover(fmt.Sprintf("recovered%d", i), rec.Prev)
		pages := sameFiles(t, tl, rec.LSN, data)
		pages += sameFiles(t, flushed, rec.LSN, data)
		t.Logf("record %d at %s: %d pages compared", at, rec.Prev, pages)
		if t.Failed() {
			log, _ := os.ReadFile(s.path("log"))
			t.Fatalf("the server said\n%s", log[max(0, len(log)-3000):])
		}
		s.run("rm", "-rf", data)
	}
}
