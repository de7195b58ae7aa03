package waltool_test

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"xenon/cmd/xenon/internal/waltool"
	"xenon/core"
	"xenon/core/wal"
	"xenon/internal/corpus"
	"xenon/internal/pgbin"
	"xenon/internal/pgtest"
)

const segSize = 1 << 20

var start = core.LSN(segSize)

// writeLog makes a segment of records of many kinds in a new directory.
func writeLog(t *testing.T, recs ...*wal.Record) (dir string) {
	t.Helper()
	f := wal.Format{Version: wal.PG15, SegmentSize: segSize, SystemID: 77, TimelineID: 1}
	e := wal.NewEncoder(f, start, 0)
	var out []byte
	for _, rec := range recs {
		b, err := e.Append(out, rec)
		if err != nil {
			t.Fatal(err)
		}
		out = b
	}
	dir = t.TempDir()
	out = append(out, make([]byte, segSize-len(out))...)
	if err := os.WriteFile(filepath.Join(dir, "000000010000000000000001"), out, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

var (
	table = core.Rel{Spc: 1663, DB: 5, Node: 16384}
	index = core.Rel{Spc: 1663, DB: 5, Node: 16390}
)

// micros is a commit's time.
func micros(t time.Time) []byte {
	us := t.Sub(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).Microseconds()
	b := make([]byte, 8)
	for i := range b {
		b[i] = byte(us >> (8 * i))
	}
	return b
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func sample() []*wal.Record {
	page := new([core.PageSize]byte)
	copy(page[5000:], "secret")
	image := wal.Block{Rel: table, Block: 8}
	image.SetImage(wal.PG15, page, wal.ImageOpts{Apply: true})
	return []*wal.Record{
		{Rmgr: wal.RmgrHeap, XID: 700, Main: []byte{1, 0, 0}, Blocks: []wal.Block{{Rel: table, Block: 7, Data: []byte("\x01\x00\x00\x00\x18needle")}}},
		{Rmgr: wal.RmgrBtree, XID: 700, Main: []byte{1, 0}, Blocks: []wal.Block{{Rel: index, Block: 1, Data: []byte("key")}}},
		{Rmgr: wal.RmgrXact, XID: 700, Main: micros(noon)},
		{Rmgr: wal.RmgrHeap, Info: 0x10, XID: 701, Main: make([]byte, 8), Blocks: []wal.Block{{Rel: table, Block: 8}}},
		{Rmgr: wal.RmgrXLOG, Info: 0xB0, Blocks: []wal.Block{image}},
		{Rmgr: wal.RmgrXact, Info: 0xA0, XID: 702, Main: append(micros(noon.Add(time.Hour)), 2, 0, 0, 0, 1, 0, 0, 0, 189, 2, 0, 0)},
	}
}

func TestDumpSelects(t *testing.T) {
	dir := writeLog(t, sample()...)
	fork, block := core.MainFork, uint32(8)
	tests := []struct {
		name string
		sel  waltool.Selection
		want string // names
	}{
		{"all", waltool.Selection{}, "Heap/INSERT Btree/INSERT_LEAF Transaction/COMMIT Heap/DELETE XLOG/FPI Transaction/ABORT"},
		{"a relation", waltool.Selection{Rels: []core.Rel{index}}, "Btree/INSERT_LEAF"},
		{"a relation by its file", waltool.Selection{Rels: []core.Rel{{Node: 16384}}}, "Heap/INSERT Heap/DELETE XLOG/FPI"},
		{"another database", waltool.Selection{Rels: []core.Rel{{DB: 4, Node: 16384}}}, ""},
		{"a block", waltool.Selection{Block: &block, Fork: &fork}, "Heap/DELETE XLOG/FPI"},
		{"a transaction", waltool.Selection{XIDs: []uint32{700}}, "Heap/INSERT Btree/INSERT_LEAF Transaction/COMMIT"},
		{"a subtransaction and its end", waltool.Selection{XIDs: []uint32{701}}, "Heap/DELETE Transaction/ABORT"},
		{"a manager", waltool.Selection{Rmgrs: []string{"heap"}}, "Heap/INSERT Heap/DELETE"},
		{"an opcode", waltool.Selection{Record: []string{"insert*"}}, "Heap/INSERT Btree/INSERT_LEAF"},
		{"an opcode of a manager", waltool.Selection{Record: []string{"Heap/*"}}, "Heap/INSERT Heap/DELETE"},
		{"images", waltool.Selection{Images: true}, "XLOG/FPI"},
		{"since", waltool.Selection{Since: noon.Add(time.Second)}, "Transaction/ABORT"},
		{"until", waltool.Selection{Until: noon.Add(time.Second)}, "Transaction/COMMIT Heap/DELETE XLOG/FPI"},
		{"a pattern", waltool.Selection{Pattern: regexp.MustCompile(`blk 8 image`)}, "XLOG/FPI"},
		{"bytes in data", waltool.Selection{Bytes: []byte("needle")}, "Heap/INSERT"},
		{"bytes in an image", waltool.Selection{Bytes: []byte("secret")}, "XLOG/FPI"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			src, err := waltool.Open(dir, 0)
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			res, err := waltool.Dump(&out, src, &waltool.DumpOptions{Select: test.sel, JSON: true})
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for line := range strings.Lines(out.String()) {
				var rec struct{ Rmgr, Record string }
				if err := json.Unmarshal([]byte(line), &rec); err != nil {
					t.Fatal(err)
				}
				names = append(names, rec.Rmgr+"/"+rec.Record)
			}
			if got := strings.Join(names, " "); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			if res.Selected != int64(len(names)) || res.Damaged || !res.Asked && !strings.HasPrefix(res.Stop, "end of WAL at") {
				t.Errorf("result %+v", res)
			}
		})
	}
}

// A dump that follows prints what is written after it began.
func TestFollow(t *testing.T) {
	recs := sample()
	whole, err := os.ReadFile(filepath.Join(writeLog(t, recs...), "000000010000000000000001"))
	if err != nil {
		t.Fatal(err)
	}
	dir := writeLog(t, recs[:2]...)
	src, err := waltool.Open(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	done := make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		_, err := waltool.Dump(w, src, &waltool.DumpOptions{Scan: waltool.Scan{Follow: true, Done: done}})
		w.Close()
		ended <- err
	}()
	lines := make(chan string)
	go func() {
		defer close(lines)
		buf := make([]byte, 0, 1<<16)
		for {
			n, err := r.Read(buf[len(buf):cap(buf)])
			buf = buf[:len(buf)+n]
			for i := bytes.IndexByte(buf, '\n'); i >= 0; i = bytes.IndexByte(buf, '\n') {
				lines <- string(buf[:i])
				buf = append(buf[:0], buf[i+1:]...)
			}
			if err != nil {
				return
			}
		}
	}()
	for i := range recs {
		if i == 2 {
			if err := os.WriteFile(filepath.Join(dir, "000000010000000000000001"), whole, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if line := <-lines; !strings.Contains(line, " xid=") {
			t.Errorf("line %q", line)
		}
	}
	close(done)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestEnds(t *testing.T) {
	const name = "000000010000000000000001"
	tests := []struct {
		name    string
		spoil   func(dir string, b []byte) []byte
		want    string
		damaged bool
	}{
		{"zeroes", func(_ string, b []byte) []byte { return b }, "only zeroes follow", false},
		{"a bad checksum", func(_ string, b []byte) []byte { b[70] ^= 1; return b }, "checksum", true},
		{"a file cut in a record", func(_ string, b []byte) []byte { return b[:60] }, "is not complete", false},
		{"a hole with WAL behind it", func(dir string, b []byte) []byte {
			next := append([]byte(nil), b...)
			next[10] = 0x20 // the page says that it is in segment 2
			os.WriteFile(filepath.Join(dir, "000000010000000000000002"), next, 0o600)
			b[70] ^= 1
			return b
		}, "this one is damaged", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := writeLog(t, sample()...)
			file := filepath.Join(dir, name)
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, test.spoil(dir, b), 0o600); err != nil {
				t.Fatal(err)
			}
			src, err := waltool.Open(dir, 0)
			if err != nil {
				t.Fatal(err)
			}
			res, err := waltool.Stats(src, &waltool.StatsOptions{})
			if err != nil || res.Damaged != test.damaged || !strings.Contains(res.Stop, test.want) {
				t.Errorf("%+v, %v, want %q, damaged %v", res.End, err, test.want, test.damaged)
			}
		})
	}
}

func TestStatsByRelation(t *testing.T) {
	src, err := waltool.Open(writeLog(t, sample()...), 0)
	if err != nil {
		t.Fatal(err)
	}
	res, err := waltool.Stats(src, &waltool.StatsOptions{By: waltool.ByRelation})
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Rows) != 3 || res.Rows[0].Name != table.String() || res.Rows[0].FPI != core.PageSize || res.Rows[0].Count != 3 {
		t.Errorf("rows %+v", res.Rows)
	}
}

// TestStatsAsPgWaldump holds every number to pg_waldump --stats=record.
func TestStatsAsPgWaldump(t *testing.T) {
	install, err := pgbin.Find(15)
	if err != nil {
		pgtest.Skip(t, "pg_waldump of PostgreSQL 15", err)
	}
	dump, err := install.Path("pg_waldump")
	if err != nil {
		pgtest.Skip(t, "pg_waldump of PostgreSQL 15", err)
	}
	root, err := os.MkdirTemp("/var/tmp", "xenon-waldump-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	if err := os.Chmod(root, 0o777); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(root, "c")
	if err := corpus.Make(t.Context(), dir, "smoke", corpus.Options{NoReplay: true}); err != nil {
		t.Fatal(err)
	}
	src, err := waltool.Open(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	res, err := waltool.Stats(src, &waltool.StatsOptions{By: waltool.ByRecord})
	if err != nil {
		t.Fatal(err)
	}
	theirs := pgWaldumpStats(t, dump, filepath.Join(dir, "wal"), res.Start)
	ours := map[string]waltool.Row{}
	for _, row := range append(res.Rows, res.Total) {
		ours[row.Name] = row
	}
	if len(ours) != len(theirs) || len(ours) < 20 {
		t.Errorf("%d kinds of records, pg_waldump has %d", len(ours), len(theirs))
	}
	for name, want := range theirs {
		if ours[name] != want {
			t.Errorf("%s: got %+v, pg_waldump has %+v", name, ours[name], want)
		}
	}
	t.Logf("%d records, %d bytes, %d of images", res.Total.Count, res.Total.Combined, res.Total.FPI)
}

// pgWaldumpStats reads the table of pg_waldump: name, then four numbers with
// their percentages in parentheses.
func pgWaldumpStats(t *testing.T, dump, dir string, from core.LSN) map[string]waltool.Row {
	t.Helper()
	var out, stderr bytes.Buffer
	cmd := exec.Command(dump, "-p", dir, "-s", from.String(), "--stats=record")
	cmd.Stdout, cmd.Stderr = &out, &stderr
	// It ends with status 1 where the log ends.
	if err := cmd.Run(); err != nil && out.Len() == 0 {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	line := regexp.MustCompile(`^(\S.*?)\s+(\d+) \(.*?\)\s+(\d+) \(.*?\)\s+(\d+) \(.*?\)\s+(\d+) \(`)
	total := regexp.MustCompile(`^Total\s+(\d+)\s+(\d+) \[.*?\]\s+(\d+) \[.*?\]\s+(\d+) \[`)
	rows := map[string]waltool.Row{}
	for l := range strings.Lines(out.String()) {
		name, m := "total", total.FindStringSubmatch(l)
		if m == nil {
			if m = line.FindStringSubmatch(l); m == nil {
				continue
			}
			name, m = m[1], m[1:]
		}
		var n [4]int64
		for i := range n {
			n[i], _ = strconv.ParseInt(m[i+1], 10, 64)
		}
		rows[name] = waltool.Row{Name: name, Count: n[0], Record: n[1], FPI: n[2], Combined: n[3]}
	}
	return rows
}

// TestStatsInParts holds the counts of several segments, read at once, to those
// of a reader that goes through them.
func TestStatsInParts(t *testing.T) {
	f := wal.Format{Version: wal.PG15, SegmentSize: segSize, SystemID: 77, TimelineID: 1}
	e := wal.NewEncoder(f, start, 0)
	var out []byte
	var ends []core.LSN
	for i := range 9000 {
		rec := &wal.Record{Rmgr: wal.RmgrLogicalMsg, XID: uint32(i), Main: make([]byte, 100+i%700)}
		b, err := e.Append(out, rec)
		if err != nil {
			t.Fatal(err)
		}
		out, ends = b, append(ends, e.Pos())
	}
	dir := t.TempDir()
	write := func(b []byte) {
		for seg := uint64(1); len(b) > 0; seg++ {
			data := make([]byte, segSize)
			b = b[copy(data, b):]
			if err := os.WriteFile(filepath.Join(dir, core.SegmentName(1, seg, segSize)), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	check := func(from, to core.LSN, want int64, stop string) {
		t.Helper()
		src, err := waltool.Open(dir, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
		res, err := waltool.Stats(src, &waltool.StatsOptions{Scan: waltool.Scan{Start: from, End: to}, By: waltool.ByRecord})
		if err != nil || res.Total.Count != want || res.Records != want || !strings.Contains(res.Stop, stop) {
			t.Errorf("%d records, ended by %q, %v, want %d and %q", res.Total.Count, res.Stop, err, want, stop)
		}
	}
	write(out)
	check(0, 0, 9000, "only zeroes follow")
	check(ends[99], 0, 8900, "only zeroes follow")
	check(ends[99], ends[7999], 7900, "asked for")
	// What is behind a place that is damaged does not count.
	bad := append([]byte(nil), out...)
	bad[2*segSize+500_000] ^= 1
	write(bad)
	src, err := waltool.Open(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	res, err := waltool.Dump(io.Discard, src, &waltool.DumpOptions{Count: true})
	if err != nil || !res.Damaged {
		t.Fatalf("%+v, %v", res, err)
	}
	check(0, 0, res.Records, "damaged")
}
