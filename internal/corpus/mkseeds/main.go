// Command mkseeds takes records of one manager out of a corpus, each with the
// page that it changes as it was before, for the fuzz targets of redo to begin
// with:
//
//	go run ./internal/corpus/mkseeds -manager Gin -corpus /var/tmp/gin core/redo/testdata/gin.seeds
//
// or records of all managers that do more than change the blocks they name:
//
//	go run ./internal/corpus/mkseeds -effects -each 1 -corpus /var/tmp/all core/redo/testdata/effects.seeds
package main

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"flag"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"slices"

	"xenon/core"
	"xenon/core/redo"
	"xenon/core/wal"
)

// noBlock stands for no block of a record, whose page is zeroes.
const noBlock = 255

// A seed is one block of a record and its page before.
type seed struct {
	rec   *wal.Record
	block uint8
	page  redo.Page
}

func main() {
	manager := flag.String("manager", "", "name of the resource manager, as pg_waldump prints it")
	dir := flag.String("corpus", "", "directory of the corpus")
	effects := flag.Bool("effects", false, "take records that do more than change blocks, without pages, instead of those of a manager")
	each := flag.Int("each", 2, "seeds of each opcode and block")
	flag.Parse()
	if flag.NArg() != 1 || (*manager == "") != *effects || *dir == "" {
		fmt.Fprintln(os.Stderr, "usage: mkseeds -manager NAME -corpus DIR FILE")
		flag.PrintDefaults()
		os.Exit(2)
	}
	seeds, err := collect(*dir, *manager, *effects, *each)
	if err == nil {
		err = write(flag.Arg(0), seeds)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "mkseeds:", err)
		os.Exit(1)
	}
	fmt.Println(len(seeds), "seeds")
}

// collect replays the WAL of a corpus. Pages that it does not make whole are
// left out.
func collect(dir, manager string, effects bool, each int) ([]seed, error) {
	ctl, err := control(dir)
	if err != nil {
		return nil, err
	}
	format := ctl.Format()
	names, err := filepath.Glob(filepath.Join(dir, "wal", "0*"))
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	s := selection{pages: map[core.Key]*redo.Page{}, taken: map[string][]seed{}, seen: map[string]int{}, manager: manager, effects: effects, each: each}
	d := wal.NewDecoder(format, ctl.CheckPoint.Redo, 0)
	for _, name := range names {
		_, seg, ok := core.ParseSegmentName(filepath.Base(name), format.SegmentSize)
		if !ok || seg < d.Pos().Segment(format.SegmentSize) {
			continue
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		if err := d.Feed(d.Pos(), b[d.Pos().SegmentOffset(format.SegmentSize):]); err != nil {
			return nil, err
		}
		for {
			rec, ok, err := d.Next()
			if err != nil {
				return s.all(), nil // the end of the WAL
			}
			if !ok {
				break
			}
			s.record(rec)
		}
	}
	return s.all(), nil
}

func control(dir string) (*wal.Control, error) {
	b, err := os.ReadFile(filepath.Join(dir, "initial", "global", "pg_control"))
	if err != nil {
		return nil, err
	}
	return wal.DecodeControl(b)
}

// A selection keeps some records of each kind, as if drawn by lot.
type selection struct {
	pages   map[core.Key]*redo.Page
	applier redo.Applier
	manager string
	effects bool
	decoder redo.Effects
	after   redo.Counters
	each    int
	taken   map[string][]seed
	seen    map[string]int
}

// record takes the record's blocks if they are wanted, and replays them.
func (s *selection) record(rec *wal.Record) {
	if s.effects {
		if list, err := s.decoder.Decode(rec, &s.after); err == nil && (len(list) > 0 || len(rec.Blocks) == 0) {
			s.consider(rec, noBlock, new(redo.Page))
		}
		return
	}
	for i := range rec.Blocks {
		blk := &rec.Blocks[i]
		key := core.BlockKey(blk.Rel, blk.Block)
		page := s.pages[key]
		if page == nil {
			page = new(redo.Page)
		}
		if rec.Rmgr.String() == s.manager && !blk.ApplyImage && (blk.WillInit || !redo.IsNew(page)) {
			s.consider(rec, blk.ID, page)
		}
		next := *page
		if _, err := s.applier.Apply(&next, rec, blk); err == nil {
			s.pages[key] = &next
		}
	}
}

// consider is reservoir sampling with the record's place for a lot, so that the
// same WAL gives the same seeds.
func (s *selection) consider(rec *wal.Record, block uint8, page *redo.Page) {
	kind := fmt.Sprintf("%s %d", rec.Name(), block)
	s.seen[kind]++
	at := len(s.taken[kind])
	if at < s.each {
		s.taken[kind] = append(s.taken[kind], seed{})
	} else {
		h := fnv.New64a()
		fmt.Fprint(h, rec.Start, block)
		if at = int(h.Sum64() % uint64(s.seen[kind])); at >= s.each {
			return
		}
	}
	bare := rec.Clone()
	for i := range bare.Blocks {
		b := &bare.Blocks[i]
		b.HasImage, b.Image, b.HoleOffset, b.HoleLen, b.Compression, b.ImageInfo = false, nil, 0, 0, 0, 0
	}
	s.taken[kind][at] = seed{rec: bare, block: block, page: *page}
}

func (s *selection) all() []seed {
	var out []seed
	for _, list := range s.taken {
		out = append(out, list...)
	}
	slices.SortFunc(out, func(a, b seed) int {
		if a.rec.Start != b.rec.Start {
			return int(a.rec.Start) - int(b.rec.Start)
		}
		return int(a.block) - int(b.block)
	})
	return out
}

// write is deflate over, for each seed: major and block id, a byte each, the
// start of the record, its length (8 and 4 bytes, little-endian), the record,
// and the page.
func write(name string, seeds []seed) error {
	var out bytes.Buffer
	z, err := flate.NewWriter(&out, flate.BestCompression)
	if err != nil {
		return err
	}
	for i := range seeds {
		s := &seeds[i]
		raw, err := s.rec.Version.AppendRecord(nil, s.rec)
		if err != nil {
			return err
		}
		head := []byte{byte(s.rec.Major()), s.block}
		head = binary.LittleEndian.AppendUint64(head, uint64(s.rec.Start))
		head = binary.LittleEndian.AppendUint32(head, uint32(len(raw)))
		for _, b := range [][]byte{head, raw, s.page[:]} {
			if _, err := z.Write(b); err != nil {
				return err
			}
		}
	}
	if err := z.Close(); err != nil {
		return err
	}
	return os.WriteFile(name, out.Bytes(), 0o644)
}
