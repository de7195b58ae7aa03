package segments_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"testing"
	"testing/fstest"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/wal"
	"xenon/core/wal/segments"
)

const segSize = 1 << 20

// logOf makes segments of a log with messages of a size, from segment 1 on; it
// returns where the records begin and end, too.
func logOf(t *testing.T, records, size int) (fstest.MapFS, []core.LSN) {
	t.Helper()
	f := wal.Format{Version: wal.PG15, SegmentSize: segSize, SystemID: 77, TimelineID: 1}
	e := wal.NewEncoder(f, segSize, 0)
	ends := []core.LSN{segSize}
	var out []byte
	for i := range records {
		rec := &wal.Record{Rmgr: wal.RmgrLogicalMsg, XID: uint32(700 + i), Main: make([]byte, size)}
		b, err := e.Append(out, rec)
		if err != nil {
			t.Fatal(err)
		}
		out, ends = b, append(ends, e.Pos())
	}
	fsys := fstest.MapFS{}
	for seg := uint64(1); len(out) > 0; seg++ {
		data := make([]byte, segSize)
		out = out[copy(data, out):]
		fsys["d/"+core.SegmentName(1, seg, segSize)] = &fstest.MapFile{Data: data}
	}
	return fsys, ends
}

// read reads all records there are.
func read(t *testing.T, r *segments.Reader) (n int) {
	t.Helper()
	for {
		_, err := r.Next()
		if errors.Is(err, io.EOF) {
			return n
		}
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
}

func TestReader(t *testing.T) {
	fsys, ends := logOf(t, 3000, 900) // over three segments
	fsys["d/archive_status"] = &fstest.MapFile{Mode: fs.ModeDir}
	set, err := segments.Open(fsys, "d", 0)
	if err != nil {
		t.Fatal(err)
	}
	if set.First != 1 || set.Last != 3 || set.Format.SystemID != 77 || set.Format.Version != wal.PG15 {
		t.Errorf("set %+v", set)
	}
	r := set.NewReader(0)
	defer r.Close()
	if n := read(t, r); n != 3000 || r.End() != ends[3000] {
		t.Errorf("%d records to %s, want 3000 to %s", n, r.End(), ends[3000])
	}
	if !errors.Is(r.Stop(), wal.ErrEndOfLog) {
		t.Errorf("stop %v, want the end of the log", r.Stop())
	}
	middle := set.NewReader(ends[1000])
	defer middle.Close()
	if n := read(t, middle); n != 2000 {
		t.Errorf("%d records from the middle, want 2000", n)
	}
}

// A reader at the end sees what is written later: in the same segment, and in
// one that was not there.
func TestReaderFollows(t *testing.T) {
	whole, ends := logOf(t, 3000, 900)
	const name1, name2, name3 = "d/000000010000000000000001", "d/000000010000000000000002", "d/000000010000000000000003"
	grown := make([]byte, segSize)
	copy(grown, whole[name1].Data[:500_000])
	fsys := fstest.MapFS{name1: {Data: grown}}
	set, err := segments.Open(fsys, "d", 0)
	if err != nil {
		t.Fatal(err)
	}
	r := set.NewReader(0)
	defer r.Close()
	first := read(t, r)
	if first == 0 || r.Partial() != r.End() && r.Partial() > ends[first+1] {
		t.Fatalf("%d records, the next begins at %s", first, r.Partial())
	}
	copy(grown, whole[name1].Data)
	second := read(t, r)
	var missing *segments.MissingError
	if !errors.As(r.Stop(), &missing) || missing.Gap {
		t.Fatalf("stop %v, want the end of the segments", r.Stop())
	}
	fsys[name2], fsys[name3+".partial"] = whole[name2], whole[name3]
	if err := set.Refresh(); err != nil {
		t.Fatal(err)
	}
	if third := read(t, r); first+second+third != 3000 {
		t.Errorf("%d + %d + %d records, want 3000", first, second, third)
	}
}

func TestDamageAndGaps(t *testing.T) {
	fsys, _ := logOf(t, 3000, 900)
	fsys["d/000000010000000000000001"].Data[700_000] ^= 1
	set, err := segments.Open(fsys, "d", 0)
	if err != nil {
		t.Fatal(err)
	}
	r := set.NewReader(0)
	defer r.Close()
	read(t, r)
	var bad *wal.InvalidError
	if !errors.As(r.Stop(), &bad) || bad.Flaw != wal.BadCRC {
		t.Errorf("stop %v, want a bad checksum", r.Stop())
	}
	if next, ok := r.GoesOn(r.End()); !ok || next != 2*segSize {
		t.Errorf("goes on at %s, %v, want the second segment", next, ok)
	}

	fsys, _ = logOf(t, 3000, 900)
	delete(fsys, "d/000000010000000000000002")
	if set, err = segments.Open(fsys, "d", 0); err != nil {
		t.Fatal(err)
	}
	r = set.NewReader(0)
	defer r.Close()
	read(t, r)
	var missing *segments.MissingError
	if !errors.As(r.Stop(), &missing) || !missing.Gap || missing.Name != "000000010000000000000002" {
		t.Errorf("stop %v, want a gap", r.Stop())
	}
}

// After a promotion the segment of the switch is read from the new timeline.
func TestTimelines(t *testing.T) {
	fsys, ends := logOf(t, 3000, 900)
	// The successor's copy of the second segment, with its own page headers.
	b := append([]byte(nil), fsys["d/000000010000000000000002"].Data...)
	for page := 0; page < segSize; page += core.WALPageSize {
		b[page+4] = 2
	}
	fsys["d/000000020000000000000002"] = &fstest.MapFile{Data: b}
	fsys["d/00000002.history"] = &fstest.MapFile{Data: fmt.Appendf(nil, "1\t%s\tno recovery target specified\n", ends[2000])}
	set, err := segments.Open(fsys, "d", 0)
	if err != nil {
		t.Fatal(err)
	}
	if set.Last != 2 {
		t.Errorf("last segment %d, want 2: the third is the ancestor's", set.Last)
	}
	r := set.NewReader(0)
	defer r.Close()
	if n := read(t, r); n < 1900 {
		t.Errorf("%d records", n)
	}
	history := fsys["d/00000002.history"]
	delete(fsys, "d/00000002.history")
	if set, err = segments.Open(fsys, "d", 0); err != nil || set.First != 1 || set.Last != 2 {
		t.Errorf("without a history: %+v, %v, want segments 1 and 2", set, err)
	}
	fsys["d/00000002.history"] = history
	if set, err = segments.Open(fsys, "d", 1); err != nil || set.Last != 3 {
		t.Errorf("timeline 1: %+v, %v", set, err)
	}
	fsys["d/00000002.history"].Data = []byte("1 nonsense\n")
	if _, err := segments.Open(fsys, "d", 0); !errors.Is(err, env.ErrCorrupt) {
		t.Errorf("error %v, want %v", err, env.ErrCorrupt)
	}
}

func TestOpenRefuses(t *testing.T) {
	tests := []struct {
		name string
		fsys fstest.MapFS
		want error
	}{
		{"a directory without segments", fstest.MapFS{"d/x": {}}, fs.ErrNotExist},
		{"a segment cut short", fstest.MapFS{"d/000000010000000000000001": {Data: []byte("x")}}, env.ErrCorrupt},
		{"a segment that is none", fstest.MapFS{"d/000000010000000000000001": {Data: make([]byte, 8192)}}, env.ErrCorrupt},
	}
	for _, test := range tests {
		if _, err := segments.Open(test.fsys, "d", 0); !errors.Is(err, test.want) {
			t.Errorf("%s: error %v, want %v", test.name, err, test.want)
		}
	}
}

func TestOpenFile(t *testing.T) {
	fsys, _ := logOf(t, 3000, 900)
	fsys["copy-of-two"] = fsys["d/000000010000000000000002"]
	set, err := segments.OpenFile(fsys, "copy-of-two")
	if err != nil {
		t.Fatal(err)
	}
	r := set.NewReader(0)
	defer r.Close()
	if n := read(t, r); n < 900 || set.First != 2 {
		t.Errorf("%d records from segment %d", n, set.First)
	}
}
