package wal_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/wal"
)

// bootPlaces are places of each kind where a boot's record may begin, relative
// to a segment boundary.
var bootPlaces = []struct {
	name string
	off  core.LSN
}{
	{"in the middle of a page", 5*core.WALPageSize + 1000},
	{"in the first page", 4096},
	{"right behind the segment's header", wal.LongHeaderSize},
	{"right behind a page header", 2*core.WALPageSize + wal.ShortHeaderSize},
	{"at a page boundary", 3 * core.WALPageSize},
	{"at a segment boundary", 0},
	{"8 bytes before a page's end", 4*core.WALPageSize - 8},
	{"64 bytes before a page's end", 4*core.WALPageSize - 64},
	{"112 bytes before a page's end", 4*core.WALPageSize - 112},
	{"120 bytes before a page's end", 4*core.WALPageSize - 120},
	{"8 bytes before the segment's end", segSize - 8},
	{"64 bytes before the segment's end", segSize - 64},
}

func goldenControl(t rapid.TB) *wal.Control {
	t.Helper()
	ctl, err := wal.DecodeControl(loadGolden(t).Control)
	if err != nil {
		t.Fatal(err)
	}
	return ctl
}

func TestShutdownCheckpoint(t *testing.T) { shutdownCheckpoint(t) }

func shutdownCheckpoint(t rapid.TB) {
	ctl := goldenControl(t)
	ctl.CheckPoint.Time, ctl.CheckPoint.OldestActive, ctl.UnloggedLSN = 1790000000, 77, 1
	for _, p := range bootPlaces {
		shutdownCheckpointAt(t, ctl, p.name, 20*segSize+p.off)
	}
}

func shutdownCheckpointAt(t rapid.TB, ctl *wal.Control, name string, x core.LSN) {
	t.Helper()
	prev := core.LSN(20*segSize - 1000)
	b, err := wal.ShutdownCheckpoint(ctl, x, prev)
	if err != nil {
		t.Fatal(err)
	}
	recs, err := decodeAll(wal.NewDecoder(ctl.Format(), x, prev), b.WAL, whole)
	if err != nil || len(recs) != 1 {
		t.Fatalf("%d records, %v", len(recs), err)
	}
	r := recs[0]
	cp, err := ctl.Version().DecodeCheckPoint(r.Main)
	if err != nil {
		t.Fatal(err)
	}
	want := ctl.CheckPoint
	want.Redo, want.OldestActive = r.Start, 0
	if ctl.Version().Major >= 17 {
		want.WALLevel = ctl.WALLevel
	}
	if d := cmp.Diff(want, cp); d != "" {
		t.Error(d)
	}
	if r.Name() != "XLOG/CHECKPOINT_SHUTDOWN" || r.Len != 114 || r.Start != b.Start || r.End != b.End || x+core.LSN(len(b.WAL)) != b.End {
		t.Errorf("%s of %d bytes from %s to %s, boot says %s to %s", r.Name(), r.Len, r.Start, r.End, b.Start, b.End)
	}
	checkBootControl(t, b, cp)
	checkBefore(t, ctl.Format(), b)
}

func checkBootControl(t rapid.TB, b *wal.Boot, cp wal.CheckPoint) {
	t.Helper()
	c, err := wal.DecodeControl(b.Control.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if c.State != wal.StateShutDown || c.CheckPointLSN != b.Start || c.CheckPoint != cp || c.Time != cp.Time || c.UnloggedLSN != 1000 {
		t.Errorf("control file %+v", c)
	}
}

// checkBefore lays the boot out in zeroes and reads the pages that have
// headers: all agree that what is before X is the rest of one record.
func checkBefore(t rapid.TB, f wal.Format, b *wal.Boot) {
	t.Helper()
	segment := core.SegmentStart(b.X.Segment(segSize), segSize)
	bytes := make([]byte, b.End-segment)
	for _, s := range append(b.Before, wal.Span{At: b.X, Bytes: b.WAL}) {
		if s.At < segment || s.At+core.LSN(len(s.Bytes)) > b.End {
			t.Fatalf("span at %s", s.At)
		}
		copy(bytes[s.At-segment:], s.Bytes)
	}
	for _, s := range b.Before {
		h, err := f.ParsePageHeader(s.Bytes, s.At)
		if err != nil {
			t.Fatal(err)
		}
		end := s.At + core.LSN(f.HeaderSize(s.At))
		for left := core.LSN(h.RemLen); left > 0; {
			n := min(left, core.WALPageSize-end&(core.WALPageSize-1))
			end, left = end+n, left-n
			if left > 0 {
				end += wal.ShortHeaderSize
			}
		}
		if f.RecordStart(end) != f.RecordStart(b.X) {
			t.Errorf("the page at %s continues to %s, want %s", s.At, end, b.X)
		}
	}
	if page := b.X &^ (core.WALPageSize - 1); page != b.X {
		recs, err := decodeAll(wal.NewDecoder(f, page, 0), bytes[page-segment:], whole)
		if err != nil || len(recs) != 1 {
			t.Errorf("from the page's start: %d records, %v", len(recs), err)
		}
	}
}

// Every page before a boot says that it continues a record to X.
func TestFilled(t *testing.T) {
	f := goldenControl(t).Format()
	for _, p := range bootPlaces {
		x := 20*segSize + p.off
		spans := f.Filled(x)
		if want := int(p.off+core.WALPageSize-1) / core.WALPageSize; len(spans) != want {
			t.Errorf("%s: %d headers, want %d", p.name, len(spans), want)
		}
		// Where the record that they continue ends, by each of them.
		for i, s := range spans {
			h, err := f.ParsePageHeader(s.Bytes, 20*segSize+core.LSN(i)*core.WALPageSize)
			if err != nil {
				t.Fatalf("%s, header %d: %v", p.name, i, err)
			}
			left := int(h.RemLen)
			for _, next := range spans[i:] {
				left -= core.WALPageSize - len(next.Bytes)
			}
			last := x - (spans[len(spans)-1].At + core.WALPageSize) // 0 or less
			if left != int(int64(last)) && h.RemLen != 0 {
				t.Errorf("%s, header %d: %d bytes left at the end, want %d", p.name, i, left, int64(last))
			}
		}
	}
}

func TestShutdownCheckpointRefuses(t *testing.T) {
	ctl := goldenControl(t)
	for _, x := range []core.LSN{segSize + 1001, segSize + 8, segSize + core.WALPageSize + 16} {
		if b, err := wal.ShutdownCheckpoint(ctl, x, 0); err == nil {
			t.Errorf("booted at %s: %+v", x, b)
		}
	}
	if _, err := wal.ShutdownCheckpoint(ctl, segSize, segSize); err == nil {
		t.Error("booted at a record that is its own predecessor")
	}
}

func TestControlRefuses(t *testing.T) {
	good := loadGolden(t).Control
	if c := goldenControl(t); !bytes.Equal(c.Encode(), good) {
		t.Error("a control file that is decoded and encoded is another one")
	}
	for i := range 292 {
		b := append([]byte(nil), good...)
		b[i] ^= 0x10
		if c, err := wal.DecodeControl(b); err == nil {
			t.Errorf("byte %d is wrong: %+v", i, c)
		}
	}
	if _, err := wal.DecodeControl(good[:291]); !errors.Is(err, env.ErrCorrupt) {
		t.Errorf("cut short: %v", err)
	}
	c := goldenControl(t)
	c.SegmentSize = 3 << 20
	if _, err := wal.DecodeControl(c.Encode()); err == nil {
		t.Error("segments of 3 MiB")
	}
}

// pg_controldata reads what we write, and we read what it does.
func TestControlIsWhatPostgresReads(t *testing.T) {
	c := newCluster(t)
	c.sql("create table t (i int); insert into t select generate_series(1, 1000)")
	c.stop()
	ctl, err := wal.DecodeControl(c.read("global/pg_control"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := wal.ShutdownCheckpoint(ctl, 50*segSize-64, ctl.CheckPointLSN)
	if err != nil {
		t.Fatal(err)
	}
	b.Control.CheckPoint.OldestCommitTs, b.Control.CheckPoint.NewestCommitTs = 5, 6
	for _, ctl := range []*wal.Control{ctl, b.Control} {
		c.write("global/pg_control", ctl.Encode())
		said := map[string]string{}
		for l := range strings.Lines(c.run("pg_controldata", c.data())) {
			k, v, _ := strings.Cut(l, ":")
			said[strings.TrimSpace(k)] = strings.TrimSpace(v)
		}
		for k, v := range controlData(ctl) {
			if said[k] != v {
				t.Errorf("%s: %q, pg_controldata says %q", k, v, said[k])
			}
		}
	}
}

// controlData is what pg_controldata should say, in its words.
func controlData(c *wal.Control) map[string]string {
	date := func(sec int64) string { return time.Unix(sec, 0).UTC().Format("Mon Jan _2 15:04:05 2006") }
	onOff := map[bool]string{false: "off", true: "on"}
	cp, s := &c.CheckPoint, &c.Settings
	return map[string]string{
		"Database system identifier":            fmt.Sprint(c.SystemID),
		"Catalog version number":                fmt.Sprint(c.CatalogVersion),
		"Database cluster state":                c.State.String(),
		"pg_control last modified":              date(c.Time),
		"Latest checkpoint location":            c.CheckPointLSN.String(),
		"Latest checkpoint's REDO location":     cp.Redo.String(),
		"Latest checkpoint's TimeLineID":        fmt.Sprint(cp.TimelineID),
		"Latest checkpoint's PrevTimeLineID":    fmt.Sprint(cp.PrevTimelineID),
		"Latest checkpoint's full_page_writes":  onOff[cp.FullPageWrites],
		"Latest checkpoint's NextXID":           fmt.Sprintf("%d:%d", cp.NextXID>>32, uint32(cp.NextXID)),
		"Latest checkpoint's NextOID":           fmt.Sprint(cp.NextOID),
		"Latest checkpoint's NextMultiXactId":   fmt.Sprint(cp.NextMulti),
		"Latest checkpoint's NextMultiOffset":   fmt.Sprint(cp.NextMultiOff),
		"Latest checkpoint's oldestXID":         fmt.Sprint(cp.OldestXID),
		"Latest checkpoint's oldestXID's DB":    fmt.Sprint(cp.OldestXIDDB),
		"Latest checkpoint's oldestActiveXID":   fmt.Sprint(cp.OldestActive),
		"Latest checkpoint's oldestMultiXid":    fmt.Sprint(cp.OldestMulti),
		"Latest checkpoint's oldestMulti's DB":  fmt.Sprint(cp.OldestMultiDB),
		"Latest checkpoint's oldestCommitTsXid": fmt.Sprint(cp.OldestCommitTs),
		"Latest checkpoint's newestCommitTsXid": fmt.Sprint(cp.NewestCommitTs),
		"Time of latest checkpoint":             date(cp.Time),
		"Fake LSN counter for unlogged rels":    c.UnloggedLSN.String(),
		"Minimum recovery ending location":      c.MinRecovery.String(),
		"wal_level setting":                     [...]string{"minimal", "replica", "logical"}[c.WALLevel],
		"wal_log_hints setting":                 onOff[c.WALLogHints],
		"max_connections setting":               fmt.Sprint(s.MaxConnections),
		"max_worker_processes setting":          fmt.Sprint(s.MaxWorkerProcesses),
		"max_wal_senders setting":               fmt.Sprint(s.MaxWALSenders),
		"max_prepared_xacts setting":            fmt.Sprint(s.MaxPreparedXacts),
		"max_locks_per_xact setting":            fmt.Sprint(s.MaxLocksPerXact),
		"track_commit_timestamp setting":        onOff[c.TrackCommitTs],
		"Bytes per WAL segment":                 fmt.Sprint(c.SegmentSize),
		"Data page checksum version":            fmt.Sprint(c.ChecksumVersion),
	}
}

// PostgreSQL starts from a boot at a place of each kind, without recovery, has
// every row, and writes WAL that goes on from there.
func TestPostgresBoots(t *testing.T) {
	c := newCluster(t)
	c.sql("create table t (i int)")
	places := bootPlaces
	if os.Getenv("XENON_FULL") == "" {
		places = []struct {
			name string
			off  core.LSN
		}{bootPlaces[0], bootPlaces[5], bootPlaces[7]}
	}
	for i, p := range places {
		c.sql("insert into t values (1)")
		c.stop()
		ctl, err := wal.DecodeControl(c.read("global/pg_control"))
		if err != nil {
			t.Fatal(err)
		}
		x := core.SegmentStart(ctl.CheckPointLSN.Segment(segSize)+2, segSize) + p.off
		b, err := wal.ShutdownCheckpoint(ctl, x, ctl.CheckPointLSN)
		if err != nil {
			t.Fatal(err)
		}
		installBoot(c, b)
		os.Remove(c.dir + "/log")
		c.start()
		if n := c.sql("select count(*) from t"); n != fmt.Sprint(i+1) {
			t.Errorf("%s: %s rows, want %d", p.name, n, i+1)
		}
		log, _ := os.ReadFile(c.dir + "/log")
		if !bytes.Contains(log, []byte("database system was shut down at")) || bytes.Contains(log, []byte("recovery")) {
			t.Errorf("%s: no plain start:\n%s", p.name, log)
		}
		c.sql("insert into t values (2); delete from t where i = 2")
		lines := c.waldump("-p", c.data()+"/pg_wal", "-s", b.Start.String())
		if !strings.Contains(lines[0], "CHECKPOINT_SHUTDOWN") || len(lines) < 4 {
			t.Errorf("%s: pg_waldump from %s: %q", p.name, b.Start, lines)
		}
	}
}

// installBoot makes the only WAL of a stopped cluster the boot's.
func installBoot(c *cluster, b *wal.Boot) {
	c.t.Helper()
	old, err := os.ReadDir(c.data() + "/pg_wal")
	if err != nil {
		c.t.Fatal(err)
	}
	for _, e := range old {
		if !e.IsDir() {
			os.Remove(c.data() + "/pg_wal/" + e.Name())
		}
	}
	segments := map[uint64][]byte{}
	for _, s := range append(b.Before, wal.Span{At: b.X, Bytes: b.WAL}) {
		for i, v := range s.Bytes {
			at := s.At + core.LSN(i)
			n := at.Segment(segSize)
			if segments[n] == nil {
				segments[n] = make([]byte, segSize)
			}
			segments[n][at.SegmentOffset(segSize)] = v
		}
	}
	for n, bytes := range segments {
		c.write("pg_wal/"+core.SegmentName(1, n, segSize), bytes)
	}
	c.write("global/pg_control", b.Control.Encode())
}
