// Command mkrecording takes the records of some relations out of corpora of
// PostgreSQL 15, for the simulator's stand-in to write again:
//
//	go run ./internal/corpus/mkrecording fuzz/standin/testdata/recording.wal.gz /var/tmp/gin /var/tmp/heap …
//
// A relation is taken with all its forks from its creation on, up to where it
// has shown every kind of record that it ever shows. What comes out is WAL
// itself: the relations one after the other, each with a number of its own.
package main

import (
	"cmp"
	"compress/gzip"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"xenon/core"
	"xenon/core/wal"
	"xenon/core/wal/segments"
	"xenon/fuzz/standin"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: mkrecording FILE CORPUS…")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "mkrecording:", err)
		os.Exit(1)
	}
}

func run(out string, corpora []string) error {
	var all []*relation
	for _, dir := range corpora {
		rels, err := read(dir)
		if err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
		all = append(all, rels...)
	}
	return write(out, choose(all))
}

// A relation is the records of one since it was made.
type relation struct {
	node    core.OID
	records []*wal.Record
	mixed   bool // a record changes others too, or it was not made here
}

// read takes the WAL of a corpus apart.
func read(dir string) ([]*relation, error) {
	set, err := segments.Open(os.DirFS(dir), "wal", 0)
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(filepath.Join(dir, "initial", "global", "pg_control"))
	if err != nil {
		return nil, err
	}
	ctl, err := wal.DecodeControl(b)
	if err != nil {
		return nil, err
	}
	r := set.NewReader(ctl.CheckPoint.Redo)
	defer r.Close()
	rels := map[core.OID]*relation{}
	for {
		rec, err := r.Next()
		if err != nil {
			break // the end of the WAL
		}
		take(rels, rec)
	}
	return slices.Collect(maps.Values(rels)), nil
}

// take gives a record to the relation that it is about.
func take(rels map[core.OID]*relation, rec *wal.Record) {
	nodes := map[core.OID]bool{}
	for i := range rec.Blocks {
		nodes[rec.Blocks[i].Rel.Node] = true
	}
	if node, ok := standin.RecordedFile(rec); ok {
		nodes[node] = true
	}
	for node := range nodes {
		rel := rels[node]
		if rel == nil {
			rel = &relation{node: node}
			rels[node] = rel
			rel.mixed = !standin.Creates(rec)
		}
		rel.mixed = rel.mixed || len(nodes) > 1
		if !rel.mixed {
			rel.records = append(rel.records, plain(rec))
		}
	}
}

// plain is a record without what a replay has no use for.
func plain(rec *wal.Record) *wal.Record {
	const checkConsistency = 0x02 // XLR_CHECK_CONSISTENCY (src/include/access/xlogrecord.h)
	rec = rec.Clone()
	rec.Raw, rec.Info = nil, rec.Info&^checkConsistency
	rec.Origin, rec.HasOrigin, rec.TopXID = 0, false, 0
	for i := range rec.Blocks {
		if b := &rec.Blocks[i]; b.HasImage && !b.ApplyImage {
			b.HasImage, b.Image, b.HoleOffset, b.HoleLen, b.ImageInfo = false, nil, 0, 0, 0
		}
	}
	return rec
}

// choose takes relations until every kind of record is there, those first that
// show most for their size.
func choose(all []*relation) (chosen []*relation) {
	var usable []*relation
	for _, r := range all {
		if !r.mixed && r.shorten() {
			usable = append(usable, r)
		}
	}
	seen := map[string]bool{}
	for {
		best := slices.MaxFunc(append(usable, &relation{}), func(a, b *relation) int {
			return cmp.Or(cmp.Compare(a.gain(seen), b.gain(seen)), cmp.Compare(b.size(), a.size()), cmp.Compare(b.node, a.node))
		})
		if best.gain(seen) == 0 {
			return chosen
		}
		for kind := range best.kinds() {
			seen[kind] = true
		}
		chosen = append(chosen, best)
		fmt.Printf("%d records, %d bytes: %v\n", len(best.records), best.size(), slices.Sorted(maps.Keys(best.kinds())))
	}
}

func (r *relation) kinds() map[string]bool {
	kinds := map[string]bool{}
	for _, rec := range r.records {
		kinds[rec.Name()] = true
	}
	return kinds
}

func (r *relation) size() (n int) {
	for _, rec := range r.records {
		n += 32 + len(rec.Main) // with headers, about
		for _, b := range rec.Blocks {
			n += 20 + len(b.Image) + len(b.Data)
		}
	}
	return n
}

// gain is how many kinds are new, for each 100 kB.
func (r *relation) gain(seen map[string]bool) float64 {
	n := 0
	for kind := range r.kinds() {
		if !seen[kind] {
			n++
		}
	}
	return float64(n) / (1 + float64(r.size())/100_000)
}

// shorten leaves the records out that show nothing new at the end, and tells
// whether there is something left.
func (r *relation) shorten() bool {
	last, seen := 0, map[string]bool{}
	for i, rec := range r.records {
		if !seen[rec.Name()] {
			seen[rec.Name()], last = true, i+1
		}
	}
	r.records = r.records[:last]
	return last > 1 && r.size() < 800_000
}

// write encodes the relations.
func write(name string, rels []*relation) error {
	e, b := wal.NewEncoder(standin.RecordingFormat, standin.RecordingStart, 0), []byte(nil)
	for i, r := range rels {
		for _, rec := range r.records {
			standin.Renumber(rec, standin.RecordedNode(i))
			var err error
			if b, err = e.Append(b, rec); err != nil {
				return err
			}
		}
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewWriterLevel(f, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := z.Write(b); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	fmt.Printf("%d relations, %d bytes of WAL\n", len(rels), len(b))
	return f.Close()
}
