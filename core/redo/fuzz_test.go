package redo

import (
	"errors"
	"testing"

	"xenon/core"
	"xenon/core/wal"
)

// known tells whether an error is one that Apply or Decode may give.
func known(err error) bool {
	for _, want := range []error{ErrUnknown, ErrUnsupported, ErrMalformed, ErrNoPage} {
		if errors.Is(err, want) {
			return true
		}
	}
	return err == nil
}

// FuzzApply feeds any record to any page: never a panic, and whatever is left
// must still be safe to mask, to compare and to apply more to.
func FuzzApply(f *testing.F) {
	var a Applier
	var heapPage, btPage Page
	for n := uint16(1); n < 6; n++ {
		rec := insertRecord(n, 0x1000*core.LSN(n))
		if _, err := a.Apply(&heapPage, rec, &rec.Blocks[0]); err != nil {
			f.Fatal(err)
		}
	}
	o := initBtree(&btPage)
	o.setFlags(btpLeaf)
	posting := make([]byte, 32)
	to := beginPosting(posting, []byte{0, 0, 0, 0, 1, 0, 16, 0, 'k', 'e', 'y', 0, 0, 0, 0, 0}, 16, 2)
	copy(to, []byte{0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 2, 0})
	addItem(&btPage, posting, 1)
	addItem(&btPage, []byte{0, 0, 2, 0, 1, 0, 16, 0, 'k', 'e', 'z', 0, 0, 0, 0, 0}, 2)

	up, ins := updateRecord(1, 0x9000), insertRecord(6, 0x9000)
	f.Add(uint8(wal.RmgrHeap), up.Info, uint8(0), up.Main, up.Blocks[0].Data, heapPage[:])
	f.Add(uint8(wal.RmgrHeap), ins.Info, uint8(0), ins.Main, ins.Blocks[0].Data, heapPage[:])
	f.Add(uint8(wal.RmgrHeap2), uint8(heap2Prune), uint8(0), words(0, 1|1<<16), []byte{1, 0, 2, 0, 3, 0, 4, 0}, heapPage[:])
	f.Add(uint8(wal.RmgrHeap2), uint8(heap2Freeze), uint8(0), words(0, 1), append(words(0, 1, 0x0900), 0), heapPage[:])
	f.Add(uint8(wal.RmgrHeap2), uint8(heap2MultiInsert|0x80), uint8(8), []byte{0, 0, 1, 0}, []byte{2, 0, 1, 0, 2, 9, 24, 0, 'x'}, heapPage[:])
	f.Add(uint8(wal.RmgrBtree), uint8(btInsertPost), uint8(0), []byte{2, 0}, append([]byte{1, 0}, posting[:16]...), btPage[:])
	f.Add(uint8(wal.RmgrBtree), uint8(btVacuum), uint8(0), []byte{0, 0, 1, 0}, []byte{1, 0, 1, 0, 0, 0}, btPage[:])
	f.Add(uint8(wal.RmgrBtree), uint8(btDedup), uint8(0), []byte{1, 0}, []byte{1, 0, 2, 0}, btPage[:])
	f.Add(uint8(wal.RmgrBtree), uint8(btSplitL), uint8(0), []byte{0, 0, 0, 0, 2, 0, 2, 0, 1, 0}, append(append([]byte{}, posting[:]...), posting...), btPage[:])
	f.Add(uint8(wal.RmgrBtree), uint8(btMarkHalfDead), uint8(1), make([]byte, 20), []byte{}, btPage[:])
	f.Add(uint8(wal.RmgrBtree), uint8(btNewRoot), uint8(10), make([]byte, 8), make([]byte, 28), btPage[:])
	f.Fuzz(func(t *testing.T, rmgr, info, block uint8, main, data, pageBytes []byte) {
		var p Page
		copy(p[:], pageBytes)
		rec := &wal.Record{Start: 1 << 40, End: 1<<40 + 64, XID: 77, Rmgr: wal.RmgrID(rmgr % 24), Info: info, Main: main}
		for id := range uint8(5) {
			rec.Blocks = append(rec.Blocks, wal.Block{ID: id, Rel: table, Block: uint32(id), Data: data, WillInit: block&8 != 0})
		}
		if block&16 != 0 {
			rec.Blocks = rec.Blocks[:1]
		}
		blk := &rec.Blocks[int(block&7)%len(rec.Blocks)]
		var a Applier
		out, err := a.Apply(&p, rec, blk)
		if !known(err) {
			t.Fatal(err)
		}
		if err == nil && out == Redone && !IsNew(&p) && !sane(&p) {
			t.Fatalf("%s left pointers out of order", rec.Name())
		}
		q := p
		Mask(&q, rec.Rmgr, 3)
		Diff(&q, &p, rec.Rmgr)
	})
}

// FuzzEffects decodes any record; what it yields must apply or be refused.
func FuzzEffects(f *testing.F) {
	f.Add(uint8(wal.RmgrXact), uint8(0x80), append(words(0, 0, 2, 2, 32768, 32770), 0))
	f.Add(uint8(wal.RmgrMultiXact), uint8(multiCreate), words(2047, 1635, 2, 11, 4, 12, 5))
	f.Add(uint8(wal.RmgrMultiXact), uint8(multiTruncate), words(1, 1, 9000, 1, 900000))
	f.Add(uint8(wal.RmgrSMGR), uint8(smgrTruncate), words(10, 1663, 5, 16384, 7))
	f.Add(uint8(wal.RmgrDBase), uint8(dbDrop), words(9, 0xFFFFFFFF, 1663))
	f.Add(uint8(wal.RmgrXLOG), uint8(wal.XLOGCheckpointShutdown), make([]byte, 88))
	f.Add(uint8(wal.RmgrXLOG), uint8(wal.XLOGParameterChange), append(words(1, 1, 1, 1, 1, 1), 1, 1, 0, 0))
	f.Add(uint8(wal.RmgrRelMap), uint8(0), append(words(5, 1663, 512), make([]byte, 512)...))
	f.Add(uint8(wal.RmgrHeap), uint8(heapUpdate), []byte{0, 0, 0, 0, 1, 0, 0, 3})
	f.Fuzz(func(t *testing.T, rmgr, info uint8, main []byte) {
		rec := &wal.Record{XID: 77, Rmgr: wal.RmgrID(rmgr), Info: info, Main: main,
			Blocks: []wal.Block{{Rel: table, Block: 32671}, {ID: 1, Rel: table, Block: 32672}}}
		checkEffects(t, rec)
	})
}

// checkEffects decodes a record and checks what holds for any: what is refused
// leaves the counters alone, what is yielded can be done.
func checkEffects(t *testing.T, rec *wal.Record) {
	t.Helper()
	var d Effects
	var c Counters
	list, err := d.Decode(rec, &c)
	if !known(err) {
		t.Fatal(err)
	}
	if err != nil && !errors.Is(err, ErrUnsupported) && (c != Counters{} || list != nil) {
		t.Fatalf("%s was refused (%v) and left %d effects, %+v", rec.Name(), err, len(list), c)
	}
	seen := map[core.Key]bool{}
	for i := range list {
		e := &list[i]
		e.DropsSegment(7)
		if e.Kind != PatchPage {
			continue
		}
		if seen[e.Key] {
			t.Fatalf("two patches for key %s", e.Key)
		}
		seen[e.Key] = true
		if err := e.Patch.Apply(new(Page)); err != nil {
			t.Fatalf("patch % x: %v", []byte(e.Patch), err)
		}
	}
}

// FuzzPatch applies any bytes: Check and Apply must agree.
func FuzzPatch(f *testing.F) {
	f.Add([]byte{opZero, opMultiOffset, 2, 0, 1, 2, 3, 4})
	f.Add([]byte{opClog, 1, 2, 0, 0, 4, 3, 4})
	f.Add([]byte{opCommitTs, 9, 0, 0, 0, 0, 0, 0, 0, 3, 0, 1, 0, 2, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		check, apply := Patch(b).Check(), Patch(b).Apply(new(Page))
		if (check == nil) != (apply == nil) || !known(check) {
			t.Fatalf("check %v, apply %v", check, apply)
		}
		_ = Patch(b).String()
	})
}
