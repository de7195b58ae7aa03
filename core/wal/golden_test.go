package wal_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"flag"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"xenon/core"
	"xenon/core/wal"
)

var rewrite = flag.Bool("rewrite", false, "make testdata/golden.* anew with the installed PostgreSQL")

// A golden is a log that PostgreSQL wrote, and what its pg_waldump said of it.
// `go test ./core/wal -run TestGoldenIsWhatPostgresWrites -rewrite` makes it.
type golden struct {
	Postgres string
	SystemID uint64
	Start    core.LSN
	Control  []byte // global/pg_control after the shutdown at the end
	Lines    []string
	Images   []string // relation, block and checksum of each image restored
	WAL      []byte   `json:"-"` // from Start
}

const (
	goldenLog  = "testdata/golden.wal.gz"
	goldenText = "testdata/golden.json.gz"
)

func loadGolden(t rapid.TB) *golden {
	t.Helper()
	var g golden
	if err := json.Unmarshal(gunzip(t, goldenText), &g); err != nil {
		t.Fatal(err)
	}
	g.WAL = gunzip(t, goldenLog)
	return &g
}

func gunzip(t rapid.TB, name string) []byte {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (g *golden) save(t *testing.T) {
	t.Helper()
	text, err := json.MarshalIndent(g, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{goldenText: text, goldenLog: g.WAL} {
		var out bytes.Buffer
		z, _ := gzip.NewWriterLevel(&out, gzip.BestCompression)
		z.Write(b)
		z.Close()
		if err := os.WriteFile(name, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func (g *golden) format() wal.Format {
	return wal.Format{Version: wal.PG15, SegmentSize: segSize, SystemID: g.SystemID, TimelineID: 1}
}

// decode is the lines and images of the log as the decoder sees them.
func (g *golden) decode(t *testing.T, chunk int) (lines, images []string) {
	t.Helper()
	recs, err := decodeAll(wal.NewDecoder(g.format(), g.Start, 0), g.WAL, func() int { return chunk })
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range recs {
		lines = append(lines, line(t, r))
		for i := range r.Blocks {
			if b := &r.Blocks[i]; b.HasImage {
				page := restore(t, b)
				images = append(images, fmt.Sprintf("%s %s %d %s %08x", r.Start, b.Rel, b.Block, b.Compression, crc32.ChecksumIEEE(page[10:])))
			}
		}
	}
	return lines, images
}

func restore(t rapid.TB, b *wal.Block) *[core.PageSize]byte {
	t.Helper()
	var page [core.PageSize]byte
	if err := wal.RestoreImage(b, &page); err != nil {
		t.Fatal(err)
	}
	return &page
}

func TestGolden(t *testing.T) {
	g := loadGolden(t)
	for _, chunk := range []int{1 << 30, 100_000, 64} {
		lines, images := g.decode(t, chunk)
		if d := cmp.Diff(g.Lines, lines); d != "" {
			t.Errorf("records (-pg_waldump +ours):\n%s", d)
		}
		if d := cmp.Diff(g.Images, images); d != "" {
			t.Errorf("images:\n%s", d)
		}
	}
}

// Encoding what was decoded gives PostgreSQL's own bytes, page headers,
// padding and all.
func TestGoldenIsEncodedToTheSameBytes(t *testing.T) {
	g := loadGolden(t)
	recs, err := decodeAll(wal.NewDecoder(g.format(), g.Start, 0), g.WAL, whole)
	if err != nil {
		t.Fatal(err)
	}
	e := wal.NewEncoder(g.format(), g.Start, recs[0].Prev)
	var b []byte
	for _, r := range recs {
		b = mustEncode(t, e, b, r)
	}
	want := append([]byte(nil), g.WAL[:len(b)]...)
	for page := 0; page < len(b); page += core.WALPageSize {
		// Whether images may be removed changes while a backup runs.
		want[page+2] &^= wal.BackupRemovable
	}
	for i := range b {
		if b[i] != want[i] {
			t.Fatalf("byte at %s is %02x, PostgreSQL wrote %02x", g.Start+core.LSN(i), b[i], want[i])
		}
	}
}

// The committed log is not all that is tested: where PostgreSQL is installed, a
// new one is made and compared with pg_waldump, and its images with the files
// of the indexes they were taken of.
func TestGoldenIsWhatPostgresWrites(t *testing.T) {
	c := newCluster(t)
	sql, err := os.ReadFile("testdata/golden.sql")
	if err != nil {
		t.Fatal(err)
	}
	g := &golden{Postgres: strings.TrimSpace(c.run("postgres", "--version"))}
	c.sql("select pg_switch_wal()")
	if g.Start, err = core.ParseLSN(c.sql("select pg_current_wal_lsn()")); err != nil {
		t.Fatal(err)
	}
	g.Start &^= segSize - 1
	cut := strings.Index(string(sql), "checkpoint;")
	c.script(string(sql[:cut]))
	files := map[string]string{}
	for _, index := range []string{"t_pglz", "t_lz4", "t_zstd", "t_off"} {
		files[index] = c.sql("checkpoint; select pg_relation_filepath('" + index + "')")
	}
	pages := map[string][]byte{}
	for _, f := range files {
		pages[f] = c.read(f)
	}
	c.script(string(sql[cut:]))
	c.stop()

	g.Control = c.read("global/pg_control")
	ctl, err := wal.DecodeControl(g.Control)
	if err != nil {
		t.Fatal(err)
	}
	g.SystemID = ctl.SystemID
	for seg := g.Start.Segment(segSize); seg <= ctl.CheckPointLSN.Segment(segSize); seg++ {
		g.WAL = append(g.WAL, c.read("pg_wal/"+core.SegmentName(1, seg, segSize))...)
	}
	end := ctl.CheckPointLSN + 120
	g.WAL = g.WAL[:end-g.Start]
	for _, l := range c.waldump("-p", c.data()+"/pg_wal", "-s", g.Start.String()) {
		g.Lines = append(g.Lines, dumped(t, l))
	}
	lines, images := g.decode(t, 50_000)
	if d := cmp.Diff(g.Lines, lines); d != "" {
		t.Fatalf("records (-pg_waldump +ours):\n%s", d)
	}
	g.Images = images
	checkIndexImages(t, g, pages)
	if *rewrite {
		g.save(t)
	}
}

// checkIndexImages compares the images that CREATE INDEX logged with the files
// it wrote: outside the hole they differ in nothing but LSN and checksum.
func checkIndexImages(t *testing.T, g *golden, pages map[string][]byte) {
	t.Helper()
	recs, err := decodeAll(wal.NewDecoder(g.format(), g.Start, 0), g.WAL, whole)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[wal.Compression]int{}
	for _, r := range recs {
		for i := range r.Blocks {
			b := &r.Blocks[i]
			file := pages[fmt.Sprintf("base/%d/%d", b.Rel.DB, b.Rel.Node)]
			if r.Name() != "XLOG/FPI" || file == nil || b.Rel.Fork != core.MainFork {
				continue
			}
			page := restore(t, b)
			want := [core.PageSize]byte(file[int(b.Block)*core.PageSize:])
			// In a hole the file has what was there before.
			clear(want[b.HoleOffset:][:b.HoleLen])
			if !bytes.Equal(page[10:], want[10:]) {
				t.Errorf("%s: %s image of %s block %d is not its page", r.Start, b.Compression, b.Rel, b.Block)
			}
			seen[b.Compression]++
		}
	}
	if len(seen) != 4 {
		t.Errorf("images compared: %v, want some of each compression", seen)
	}
}

// line writes a record the way that dumped rewrites pg_waldump's lines.
func line(t rapid.TB, r *wal.Record) string {
	var s strings.Builder
	images := 0
	for i := range r.Blocks {
		images += len(r.Blocks[i].Image)
	}
	fmt.Fprintf(&s, "%s %d/%d tx %d lsn %s prev %s", r.Name(), int(r.Len)-images, r.Len, r.XID, padded(r.Start), padded(r.Prev))
	for i := range r.Blocks {
		b := &r.Blocks[i]
		fmt.Fprintf(&s, " #%d %d/%d/%d %s %d", b.ID, b.Rel.Spc, b.Rel.DB, b.Rel.Node, b.Rel.Fork, b.Block)
		if b.HasImage && b.ApplyImage {
			s.WriteString(" FPW")
		} else if b.HasImage {
			s.WriteString(" FPW for WAL verification")
		}
	}
	if r.Rmgr == wal.RmgrXact {
		s.WriteString(xactParts(t, r))
	}
	return s.String()
}

func padded(l core.LSN) string { return fmt.Sprintf("%X/%08X", uint32(l>>32), uint32(l)) }

// xactParts writes the parts of a transaction record as rmgrdesc does.
func xactParts(t rapid.TB, r *wal.Record) string {
	var x wal.Xact
	if err := wal.ParseXact(r, &x); err != nil {
		t.Fatal(err)
	}
	if x.Op >= wal.XactAssignment {
		return ""
	}
	var s strings.Builder
	epoch := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	fmt.Fprintf(&s, " %s", epoch.Add(time.Duration(x.Time)*time.Microsecond).Format("2006-01-02 15:04:05.000000 UTC"))
	rels := func(label string, list []core.Rel) {
		if len(list) == 0 {
			return
		}
		s.WriteString("; " + label + ":")
		for _, rel := range list {
			fmt.Fprintf(&s, " base/%d/%d", rel.DB, rel.Node)
		}
	}
	if x.Op == wal.XactPrepare {
		rels("rels(commit)", x.Rels)
		rels("rels(abort)", x.AbortRels)
	} else {
		rels("rels", x.Rels)
	}
	if len(x.SubXIDs) > 0 {
		s.WriteString("; subxacts:")
		for _, xid := range x.SubXIDs {
			fmt.Fprintf(&s, " %d", xid)
		}
	}
	if x.Op != wal.XactPrepare && x.DroppedStats > 0 {
		fmt.Fprintf(&s, "; dropped stats: %d", x.DroppedStats)
	}
	if x.Invals > 0 {
		fmt.Fprintf(&s, "; inval msgs: %d", x.Invals)
	}
	return s.String()
}

var (
	dumpLine = regexp.MustCompile(`^rmgr: (\S+) +len \(rec/tot\): +(\d+)/ *(\d+), tx: +(\d+), lsn: (\S+), prev (\S+), desc: (.*)$`)
	blockRef = regexp.MustCompile(`blkref #(\d+): rel (\S+)(?: fork (\S+))? blk (\d+)( FPW(?: for WAL verification)?)?`)
	xactTime = regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6} UTC`)
	xactPart = regexp.MustCompile(`; ((?:rels|rels\(commit\)|rels\(abort\)|subxacts|dropped stats|inval msgs):[^;]*)`)
	// The inval messages of pg_waldump are words of different counts.
	invalMsg = regexp.MustCompile(` (?:catcache|catalog|relcache|smgr|relmap|snapshot|unrecognized)( id)?`)
)

// dumped rewrites a line of pg_waldump.
func dumped(t *testing.T, s string) string {
	t.Helper()
	m := dumpLine.FindStringSubmatch(s)
	if m == nil {
		t.Fatalf("pg_waldump printed %q", s)
	}
	desc := m[7]
	op, _, _ := strings.Cut(desc, " ")
	op = strings.TrimSuffix(op, ",")
	var out strings.Builder
	fmt.Fprintf(&out, "%s/%s %s/%s tx %s lsn %s prev %s", m[1], op, m[2], m[3], m[4], m[5], m[6])
	for _, b := range blockRef.FindAllStringSubmatch(desc, -1) {
		if b[3] == "" {
			b[3] = "main"
		}
		fmt.Fprintf(&out, " #%s %s %s %s%s", b[1], b[2], b[3], b[4], b[5])
	}
	if m[1] == "Transaction" && op != "ASSIGNMENT" && op != "INVALIDATION" {
		out.WriteString(dumpedXact(desc))
	}
	return out.String()
}

// dumpedXact rewrites the description of a transaction record.
func dumpedXact(desc string) string {
	var out strings.Builder
	fmt.Fprintf(&out, " %s", xactTime.FindString(desc))
	for _, p := range xactPart.FindAllStringSubmatch(desc, -1) {
		label, rest, _ := strings.Cut(strings.TrimRight(p[1], " "), ":")
		switch label {
		case "inval msgs":
			rest = fmt.Sprintf(" %d", len(invalMsg.FindAllString(rest, -1)))
		case "dropped stats":
			rest = fmt.Sprintf(" %d", len(strings.Fields(rest)))
		}
		fmt.Fprintf(&out, "; %s:%s", label, rest)
	}
	return out.String()
}
