package reference_test

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"xenon/core"
	"xenon/core/pageserver/reference"
	"xenon/core/redo"
	"xenon/core/wal"
)

// record writes an image to one of a few blocks, or truncates.
func record(dice *rand.Rand, lsn core.LSN) *wal.Record {
	rel := core.Rel{Spc: core.DefaultTablespace, DB: 5, Node: core.OID(1 + dice.IntN(2))}
	if dice.IntN(5) == 0 {
		main := binary.LittleEndian.AppendUint32(nil, uint32(dice.IntN(4)))
		for _, id := range []core.OID{rel.Spc, rel.DB, rel.Node} {
			main = binary.LittleEndian.AppendUint32(main, uint32(id))
		}
		main = binary.LittleEndian.AppendUint32(main, 7)                         // all forks
		return &wal.Record{Rmgr: wal.RmgrSMGR, Info: 0x20, Main: main, End: lsn} // XLOG_SMGR_TRUNCATE
	}
	page := new(redo.Page)
	for i := range 10 {
		page[24+dice.IntN(len(page)-24)] = byte(i + 1)
	}
	blk := wal.Block{Rel: rel, Block: uint32(dice.IntN(4))}
	blk.SetImage(wal.PG15, page, wal.ImageOpts{Apply: true})
	return &wal.Record{Rmgr: wal.RmgrXLOG, Info: wal.XLOGFPI, End: lsn, Blocks: []wal.Block{blk}}
}

// TestPastEqualsClones: every moment of a past is what a state was then.
func TestPastEqualsClones(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 2))
	s := reference.New(redo.Counters{NextXID: 7}, map[core.Key]uint32{})
	past := reference.NewPast(s)
	clones := []*reference.State{s.Clone()}
	cuts := 0
	for n := range 300 {
		r := record(dice, core.LSN(8*n+8))
		if err := s.Apply(r); err != nil {
			t.Fatal(err)
		}
		if err := past.Apply(r); err != nil {
			t.Fatal(err)
		}
		if len(r.Blocks) == 0 {
			cuts++
		}
		clones = append(clones, s.Clone())
	}
	if cuts < 20 {
		t.Fatalf("only %d truncations", cuts)
	}
	for n, want := range clones {
		compare(t, n, past.At(n).State(), want)
		for first, size := range want.Sizes {
			r, _, _ := core.BlockOfKey(first)
			if got, ok := past.At(n).Size(r); !ok || got != size {
				t.Fatalf("after %d records %s has %d blocks, want %d", n, r, got, size)
			}
			for blk := range size + 1 {
				got, ok := past.At(n).Page(r, blk)
				want, there := want.Page(r, blk)
				if got != want || ok != there {
					t.Fatalf("after %d records block %d of %s differs", n, blk, r)
				}
			}
		}
	}
}

func compare(t *testing.T, n int, got, want *reference.State) {
	t.Helper()
	if len(got.Sizes) != len(want.Sizes) || len(got.Pages) != len(want.Pages) || got.Counters != want.Counters {
		t.Fatalf("after %d records: %d forks, %d pages, want %d, %d", n, len(got.Sizes), len(got.Pages), len(want.Sizes), len(want.Pages))
	}
	for k, p := range want.Pages {
		if got.Pages[k] == nil || *got.Pages[k] != *p {
			t.Fatalf("after %d records page %v differs", n, k)
		}
	}
}
