package wal_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"xenon/core"
	"xenon/core/wal"
	"xenon/internal/pgtest"
)

// A majorGolden is what a server of one major version wrote, and what it said
// of it. `go test ./core/wal -run TestMajorsAreWhatPostgresWrites -rewrite`
// makes all of them.
type majorGolden struct {
	Postgres string
	// Control is global/pg_control after a checkpoint, and Said what the
	// functions pg_control_system, _checkpoint and _init said then.
	Control []byte
	Said    map[string]any
	Start   core.LSN
	WAL     []byte // from Start to the end of the shutdown
	// Records are lines about the first records, made by pg_walinspect; by the
	// decoder for 14, which has none.
	Records []string
	// Checkpoint is the description of the last of them.
	Checkpoint string
}

func majorFile(v *wal.Version) string { return fmt.Sprintf("testdata/major%d.json.gz", v.Major) }

func loadMajor(t rapid.TB, v *wal.Version) *majorGolden {
	t.Helper()
	var g majorGolden
	d := json.NewDecoder(bytes.NewReader(gunzip(t, majorFile(v))))
	d.UseNumber()
	if err := d.Decode(&g); err != nil {
		t.Fatal(err)
	}
	return &g
}

func (g *majorGolden) save(t *testing.T, v *wal.Version) {
	t.Helper()
	text, err := json.Marshal(g)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	z, _ := gzip.NewWriterLevel(&out, gzip.BestCompression)
	z.Write(text)
	z.Close()
	if err := os.WriteFile(majorFile(v), out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// eachMajor runs a test for each version, with what its server wrote.
func eachMajor(t *testing.T, test func(t rapid.TB, v *wal.Version, g *majorGolden)) {
	for _, v := range wal.Versions {
		t.Run(strconv.Itoa(v.Major), func(t *testing.T) { test(t, v, loadMajor(t, v)) })
	}
}

func (g *majorGolden) control(t rapid.TB) *wal.Control {
	t.Helper()
	c, err := wal.DecodeControl(g.Control)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestControlOfMajors(t *testing.T) { eachMajor(t, controlOfMajor) }

func controlOfMajor(t rapid.TB, v *wal.Version, g *majorGolden) {
	c := g.control(t)
	if c.Version() != v || c.State != wal.StateInProduction || c.WALLevel != wal.Logical || c.Settings.MaxPreparedXacts != 10 {
		t.Errorf("%s, %s, wal_level %d, %+v", c.Version(), c.State, c.WALLevel, c.Settings)
	}
	for k, want := range controlSaid(c) {
		if got := fmt.Sprint(g.Said[k]); got != want {
			t.Errorf("%s: %s, PostgreSQL said %s", k, want, got)
		}
	}
	if !bytes.Equal(c.Encode(), g.Control) {
		t.Error("a control file that is decoded and encoded is another one")
	}
	// Everything up to the end of its checksum is looked at.
	size := 292
	if v.Major >= 18 {
		size = 296
	}
	for i := range size {
		b := slices.Clone(g.Control)
		b[i] ^= 0x10
		if c, err := wal.DecodeControl(b); err == nil {
			t.Errorf("byte %d is wrong: %+v", i, c)
		}
	}
}

// controlSaid is what the functions should say, in their words.
func controlSaid(c *wal.Control) map[string]string {
	cp := &c.CheckPoint
	date := func(sec int64) string { return time.Unix(sec, 0).UTC().Format("2006-01-02T15:04:05+00:00") }
	return map[string]string{
		"pg_control_version": fmt.Sprint(c.Version().ControlVersion), "catalog_version_no": fmt.Sprint(c.CatalogVersion),
		"system_identifier": fmt.Sprint(c.SystemID), "pg_control_last_modified": date(c.Time),
		"checkpoint_lsn": c.CheckPointLSN.String(), "redo_lsn": cp.Redo.String(),
		"timeline_id": fmt.Sprint(cp.TimelineID), "prev_timeline_id": fmt.Sprint(cp.PrevTimelineID),
		"full_page_writes": fmt.Sprint(cp.FullPageWrites), "next_xid": fmt.Sprintf("%d:%d", cp.NextXID>>32, uint32(cp.NextXID)),
		"next_oid": fmt.Sprint(cp.NextOID), "next_multixact_id": fmt.Sprint(cp.NextMulti), "next_multi_offset": fmt.Sprint(cp.NextMultiOff),
		"oldest_xid": fmt.Sprint(cp.OldestXID), "oldest_xid_dbid": fmt.Sprint(cp.OldestXIDDB), "oldest_active_xid": fmt.Sprint(cp.OldestActive),
		"oldest_multi_xid": fmt.Sprint(cp.OldestMulti), "oldest_multi_dbid": fmt.Sprint(cp.OldestMultiDB),
		"oldest_commit_ts_xid": fmt.Sprint(cp.OldestCommitTs), "newest_commit_ts_xid": fmt.Sprint(cp.NewestCommitTs),
		"checkpoint_time": date(cp.Time), "bytes_per_wal_segment": fmt.Sprint(c.SegmentSize),
		"data_page_checksum_version": fmt.Sprint(c.ChecksumVersion),
	}
}

// records decodes the log, and encodes it again to the same bytes.
func (g *majorGolden) records(t rapid.TB) []*wal.Record {
	t.Helper()
	f := g.control(t).Format()
	recs, err := decodeAll(wal.NewDecoder(f, g.Start, 0), g.WAL, whole)
	if err != nil {
		t.Fatal(err)
	}
	e := wal.NewEncoder(f, g.Start, recs[0].Prev)
	var b []byte
	for _, r := range recs {
		b = mustEncode(t, e, b, r)
	}
	want := slices.Clone(g.WAL[:len(b)])
	for page := 0; page < len(b); page += core.WALPageSize {
		want[page+2] &^= wal.BackupRemovable
	}
	if !bytes.Equal(b, want) {
		t.Error("the log that is decoded and encoded is another one")
	}
	return recs
}

// inspected is a record as pg_walinspect has it.
func inspected(t rapid.TB, r *wal.Record) string {
	images := 0
	for i := range r.Blocks {
		images += len(r.Blocks[i].Image)
	}
	s := fmt.Sprintf("%s %s-%s prev %s xid %d: %d bytes, main %d, images %d", r.Name(), r.Start, r.End, r.Prev, r.XID, r.Len, len(r.Main), images)
	if r.Rmgr == wal.RmgrXact {
		s += afterTime(xactParts(t, r))
	}
	return s
}

// afterTime is the parts of a transaction record: servers write its time in
// another way than pg_waldump.
func afterTime(parts string) string {
	_, parts, _ = strings.Cut(parts, ";")
	return parts
}

func TestRecordsOfMajors(t *testing.T) { eachMajor(t, recordsOfMajor) }

func recordsOfMajor(t rapid.TB, v *wal.Version, g *majorGolden) {
	var lines []string
	seen := map[string]bool{}
	var gids []string
	stats, pglz := 0, 0
	for _, r := range g.records(t) {
		lines, seen[r.Name()] = append(lines, inspected(t, r)), true
		if !r.KnownOp() || r.Major() != v.Major {
			t.Errorf("%s of %s at %s is not known", r.Name(), r.Version, r.Start)
		}
		var x wal.Xact
		if r.Rmgr == wal.RmgrXact {
			if err := wal.ParseXact(r, &x); err != nil {
				t.Error(err)
			}
			stats += x.DroppedStats
		}
		if x.Op == wal.XactPrepare {
			gids = append(gids, x.GID)
		}
		for i := range r.Blocks {
			if b := &r.Blocks[i]; b.HasImage {
				restore(t, b)
				if b.Compression == wal.PGLZ {
					pglz++
				}
			}
		}
	}
	if d := cmp.Diff(g.Records, lines[:len(g.Records)]); d != "" {
		t.Errorf("records (-PostgreSQL +ours):\n%s", d)
	}
	if want := []string{"drops", "unmade", "left"}; !slices.Equal(gids, want) {
		t.Errorf("prepared %q, want %q", gids, want)
	}
	if (stats > 0) != (v.Major >= 15) || pglz == 0 {
		t.Errorf("%d dropped statistics, %d compressed images", stats, pglz)
	}
	for name, since := range map[string]int{"XLOG/CHECKPOINT_ONLINE": 14, "Heap2/FREEZE_PAGE": -16, "XLOG/CHECKPOINT_REDO": 17, "Heap2/PRUNE_VACUUM_SCAN": 17} {
		if want := since > 0 && v.Major >= since || since < 0 && v.Major <= -since; seen[name] != want {
			t.Errorf("%s is there: %v, want %v", name, seen[name], want)
		}
	}
}

// TestBootOfMajors makes the checkpoint of each version; what it says is what
// its server said of its own.
func TestBootOfMajors(t *testing.T) { eachMajor(t, bootOfMajor) }

func bootOfMajor(t rapid.TB, v *wal.Version, g *majorGolden) {
	ctl := g.control(t)
	if want := "wal_level logical"; strings.Contains(g.Checkpoint, want) != (v.Major >= 17) {
		t.Errorf("the checkpoint says %q", g.Checkpoint)
	}
	if want := map[bool]wal.WALLevel{true: wal.Logical}[v.Major >= 17]; ctl.CheckPoint.WALLevel != want {
		t.Errorf("the checkpoint has wal_level %d, want %d", ctl.CheckPoint.WALLevel, want)
	}
	ctl.CheckPoint.Time, ctl.UnloggedLSN = 1790000000, 1
	for _, p := range bootPlaces {
		shutdownCheckpointAt(t, ctl, p.name, 20*segSize+p.off)
	}
}

// The committed logs are not all that is tested: where the servers are
// installed, new ones are made, of the first and last version or, at full size,
// of all. Each server then starts from a boot.
func TestMajorsAreWhatPostgresWrites(t *testing.T) {
	versions := []*wal.Version{wal.PG14, wal.PG18}
	if *rewrite || os.Getenv("XENON_FULL") == "1" {
		versions = wal.Versions[:]
	}
	for _, v := range versions {
		t.Run(strconv.Itoa(v.Major), func(t *testing.T) {
			c := newClusterOf(t, pgtest.NeedMajor(t, v.Major), "wal_level=logical")
			g := c.recordMajor(v)
			controlOfMajor(t, v, g)
			recordsOfMajor(t, v, g)
			bootOfMajor(t, v, g)
			c.bootsAt(20*segSize + 4*core.WALPageSize - 64)
			if *rewrite && !t.Failed() {
				g.save(t, v)
			}
		})
	}
}

// recordMajor runs majors.sql and stops the server.
func (c *cluster) recordMajor(v *wal.Version) *majorGolden {
	t := c.t
	t.Helper()
	g := &majorGolden{Postgres: strings.TrimSpace(c.run("postgres", "--version"))}
	if v.Major >= 15 {
		c.sql("create extension pg_walinspect")
	}
	c.sql("select pg_switch_wal()")
	var err error
	if g.Start, err = core.ParseLSN(c.sql("select pg_current_wal_lsn()")); err != nil {
		t.Fatal(err)
	}
	g.Start &^= segSize - 1
	sql, err := os.ReadFile("testdata/majors.sql")
	if err != nil {
		t.Fatal(err)
	}
	c.script(string(sql))
	said := c.sql("select row_to_json(x) from (select * from pg_control_system(), pg_control_checkpoint(), pg_control_init()) x")
	d := json.NewDecoder(strings.NewReader(said))
	d.UseNumber() // a system identifier is larger than a float holds
	if err := d.Decode(&g.Said); err != nil {
		t.Fatal(err)
	}
	g.Control = c.read("global/pg_control")
	if v.Major >= 15 {
		g.inspect(c)
	}
	c.stop()
	ctl, err := wal.DecodeControl(c.read("global/pg_control"))
	if err != nil {
		t.Fatal(err)
	}
	for seg := g.Start.Segment(segSize); seg <= ctl.CheckPointLSN.Segment(segSize); seg++ {
		g.WAL = append(g.WAL, c.read("pg_wal/"+core.SegmentName(1, seg, segSize))...)
	}
	g.WAL = g.WAL[:ctl.CheckPointLSN+120-g.Start]
	if v.Major < 15 {
		for _, r := range g.records(t) {
			g.Records = append(g.Records, inspected(t, r))
		}
	}
	return g
}

// inspect asks the server what its log holds.
func (g *majorGolden) inspect(c *cluster) {
	records := fmt.Sprintf(" from pg_get_wal_records_info('%s', pg_current_wal_flush_lsn())", g.Start+wal.LongHeaderSize)
	out := c.sql("select format('%s/%s %s-%s prev %s xid %s: %s bytes, main %s, images %s', resource_manager, record_type, start_lsn, end_lsn, prev_lsn, xid, record_length, main_data_length, fpi_length) || " +
		"case when resource_manager = 'Transaction' and record_type not in ('ASSIGNMENT', 'INVALIDATION') then '@' || description else '' end" + records)
	for l := range strings.Lines(out) {
		line, desc, ok := strings.Cut(strings.TrimRight(l, "\n"), "@")
		if ok {
			line += afterTime(dumpedXact(desc))
		}
		g.Records = append(g.Records, line)
	}
	g.Checkpoint = c.sql("select description" + records + " where record_type = 'CHECKPOINT_ONLINE' order by start_lsn desc limit 1")
}

// bootsAt starts the stopped server from a boot at x: without recovery, with
// the rows that were committed and the transaction that was prepared.
func (c *cluster) bootsAt(x core.LSN) {
	t := c.t
	t.Helper()
	ctl, err := wal.DecodeControl(c.read("global/pg_control"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := wal.ShutdownCheckpoint(ctl, x, ctl.CheckPointLSN)
	if err != nil {
		t.Fatal(err)
	}
	installBoot(c, b)
	os.Remove(c.dir + "/log")
	c.start()
	if got := c.sql("select gid, transaction from pg_prepared_xacts"); !strings.HasPrefix(got, "left|") {
		t.Errorf("prepared transactions: %q, want left", got)
	}
	c.sql("commit prepared 'left'")
	if got := c.sql("insert into t values (2); select count(*) from t"); got != "2" {
		t.Errorf("%s rows, want 2", got)
	}
	c.stop()
	log, _ := os.ReadFile(c.dir + "/log")
	if !bytes.Contains(log, []byte("database system was shut down at")) || bytes.Contains(log, []byte("recovery was")) {
		t.Errorf("no plain start:\n%s", log)
	}
	if got, want := len(c.read("global/pg_filenode.map")), ctl.Version().RelMapSize; got != want {
		t.Errorf("a relation map has %d bytes, want %d", got, want)
	}
}
