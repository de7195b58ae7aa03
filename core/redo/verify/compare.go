package verify

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"xenon/core"
	"xenon/core/redo"
	"xenon/core/wal"
)

// pageHeader is SizeOfPageHeaderData; the content of a map begins there.
const pageHeader = 24

// compareImage holds a page to the image that its record brought. After a
// mismatch the image is taken, so that one fault is counted once.
func (v *verifier) compareImage(p *page, rec *wal.Record, blk *wal.Block) error {
	if err := wal.RestoreImage(blk, &v.image); err != nil {
		return err
	}
	v.res.ImagesCompared++
	if blk.Rel.Fork == core.VMFork {
		v.compareMap(p, rec, blk)
		return nil
	}
	v.got = p.Page
	v.opt.Managers.Mask(&v.got, rec.Rmgr, blk.Block)
	v.opt.Managers.Mask(&v.image, rec.Rmgr, blk.Block)
	if v.got == v.image {
		return nil
	}
	text := redo.Diff(&v.got, &v.image, rec.Rmgr)
	if err := wal.RestoreImage(blk, &v.image); err != nil { // it is masked
		return err
	}
	v.blame("image", rec, blk, text, &p.Page, &v.image)
	return v.adopt(p, rec, blk)
}

// compareMap compares a visibility map raw: its mask would hide all of it.
func (v *verifier) compareMap(p *page, rec *wal.Record, blk *wal.Block) {
	got, want := p.Page[pageHeader:], v.image[pageHeader:]
	if bytes.Equal(got, want) {
		return
	}
	db := core.Rel{Spc: blk.Rel.Spc, DB: blk.Rel.DB}
	if v.c.walLogged[db] && subset(got, want) {
		v.res.VMBitsLost++
		return
	}
	v.blame("vm image", rec, blk, redo.Diff(&p.Page, &v.image, wal.RmgrXLOG), &p.Page, &v.image)
	copy(got, want)
}

// subset tells whether every bit of a is in b.
func subset(a, b []byte) bool {
	for i := range a {
		if a[i]&^b[i] != 0 {
			return false
		}
	}
	return true
}

// checkCheckpoint holds the counters to a shutdown checkpoint. Its next oid
// takes back what was reserved and not used.
func (v *verifier) checkCheckpoint(rec *wal.Record) {
	if rec.Rmgr != wal.RmgrXLOG || rec.Op() != wal.XLOGCheckpointShutdown {
		return
	}
	v.res.Checkpoints++
	before, after := v.counters, v.counters
	if _, err := v.effects.Decode(rec, &after); err != nil {
		return // the caller meets it again
	}
	wrong := func(name string, got, want uint64) {
		v.mismatch(Mismatch{Oracle: "checkpoint", LSN: rec.Start,
			Text: fmt.Sprintf("%s at %s: got %d, want %d", name, rec.Start, got, want)})
	}
	got, want := exact(before), exact(after)
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got[name] != want[name] {
			wrong(name, got[name], want[name])
		}
	}
	old, limit := lagging(before), lagging(after)
	for _, name := range slices.Sorted(maps.Keys(limit)) {
		if int32(limit[name]-old[name]) < 0 {
			wrong(name, uint64(old[name]), uint64(limit[name]))
		}
	}
	if before.NextOID < after.NextOID {
		wrong("nextOid", uint64(before.NextOID), uint64(after.NextOID))
	}
}

// compareReplayed holds every file to replayed/, if that is there.
func (v *verifier) compareReplayed() error {
	if _, err := fs.Stat(v.fsys, "replayed"); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	want, err := load(v.fsys, "replayed")
	if err != nil {
		return err
	}
	defer want.files.close()
	rels := append(v.c.rels(), want.rels()...)
	slices.SortFunc(rels, func(a, b core.Rel) int {
		ka, kb := core.BlockKey(a, 0), core.BlockKey(b, 0)
		return ka.Compare(kb)
	})
	for _, r := range slices.Compact(rels) {
		if err := v.compareFork(r, want); err != nil {
			return err
		}
	}
	v.compareSLRUs(want)
	v.compareMaps("relation map", v.c.relmaps, want.relmaps)
	v.compareTwoPhase(want)
	v.compareSmall("replication origin", fmt.Sprint(v.c.origins), fmt.Sprint(want.origins))
	v.compareSmall("tablespaces", fmt.Sprint(v.c.spcs), fmt.Sprint(want.spcs))
	if err := v.compareSettings(); err != nil {
		return err
	}
	return v.account(want)
}

// compareSmall compares what is told as text, maps in the order of their keys.
func (v *verifier) compareSmall(what, got, want string) {
	v.res.FilesCompared++
	if got != want {
		v.mismatch(Mismatch{Oracle: "replayed", Text: fmt.Sprintf("%s: got %s, want %s", what, got, want)})
	}
}

func (v *verifier) differs(r core.Rel, blk uint32, format string, args ...any) {
	v.mismatch(Mismatch{Oracle: "replayed", Rel: r, Block: blk, Text: fmt.Sprintf(format, args...)})
}

// compareFork compares one fork by size and bytes.
func (v *verifier) compareFork(r core.Rel, other *cluster) error {
	initFork := r
	initFork.Fork = core.InitFork
	switch {
	case r.Fork == core.FSMFork:
		v.res.AllowedBy[freeSpace]++
		return nil
	case r.Fork != core.InitFork && v.c.forks[initFork] != nil:
		v.res.AllowedBy[unlogged]++
		return nil
	}
	a, b := v.c.forks[r], other.forks[r]
	if a == nil || b == nil {
		v.differs(r, 0, "the fork is there in one of both only: got %v, want %v", a != nil, b != nil)
		return nil
	}
	v.res.FilesCompared++
	if a.size() != b.size() {
		v.differs(r, 0, "%d blocks, want %d", a.size(), b.size())
		return nil
	}
	for blk := range a.size() {
		p, err := v.c.page(a, blk)
		if err != nil {
			return err
		}
		q, err := other.page(b, blk)
		if err != nil {
			return err
		}
		v.comparePage(r, blk, p, q)
		if err := v.atLimit(); err != nil {
			return err
		}
		b.pages[blk] = nil // read once, not needed again
	}
	return nil
}

// comparePage compares byte for byte but for the checksum, which is set when a
// page is written; a page that was taken from an image has the mask of its
// manager.
func (v *verifier) comparePage(r core.Rel, blk uint32, p, q *page) {
	v.res.PagesCompared++
	v.got, v.image = p.Page, q.Page
	clear(v.got[8:10])
	clear(v.image[8:10])
	id := wal.RmgrHeap
	if p.adopted {
		id = p.rmgr
		redo.Mask(&v.got, id, blk)
		redo.Mask(&v.image, id, blk)
	}
	if v.got != v.image {
		v.mismatch(Mismatch{Oracle: "replayed", Rel: r, Block: blk, Text: redo.Diff(&v.got, &v.image, id),
			Manager: id, Got: &p.Page, Want: &q.Page})
	}
}

func (v *verifier) compareSLRUs(other *cluster) {
	keys := append(slices.Collect(maps.Keys(v.c.slru)), slices.Collect(maps.Keys(other.slru))...)
	slices.SortFunc(keys, core.Key.Compare)
	for _, k := range slices.Compact(keys) {
		s, seg, blk := slruOf(k)
		a, b := v.c.slru[k], other.slru[k]
		if a == nil || b == nil {
			v.mismatch(Mismatch{Oracle: "replayed", Text: fmt.Sprintf(
				"%s/%04X page %d is there in one of both only: got %v, want %v", s.Dir(), seg, blk, a != nil, b != nil)})
			continue
		}
		v.res.PagesCompared++
		at := 0
		for at < core.PageSize && a[at] == b[at] {
			at++
		}
		if at < core.PageSize {
			v.mismatch(Mismatch{Oracle: "replayed", Text: fmt.Sprintf(
				"%s/%04X page %d byte %d: got %02x, want %02x", s.Dir(), seg, blk, at, a[at], b[at])})
		}
	}
}

func (v *verifier) compareMaps(what string, a, b map[core.Rel][]byte) {
	keys := append(slices.Collect(maps.Keys(a)), slices.Collect(maps.Keys(b))...)
	slices.SortFunc(keys, func(x, y core.Rel) int {
		kx, ky := core.RelmapKey(x.Spc, x.DB), core.RelmapKey(y.Spc, y.DB)
		return kx.Compare(ky)
	})
	for _, r := range slices.Compact(keys) {
		v.res.FilesCompared++
		if !bytes.Equal(a[r], b[r]) {
			v.differs(r, 0, "%s: got %d bytes, want %d, or other ones", what, len(a[r]), len(b[r]))
		}
	}
}

func (v *verifier) compareTwoPhase(other *cluster) {
	keys := append(slices.Collect(maps.Keys(v.c.twoPhase)), slices.Collect(maps.Keys(other.twoPhase))...)
	slices.Sort(keys)
	for _, xid := range slices.Compact(keys) {
		v.res.FilesCompared++
		if !bytes.Equal(v.c.twoPhase[xid], other.twoPhase[xid]) {
			v.mismatch(Mismatch{Oracle: "replayed", Text: fmt.Sprintf("pg_twophase/%08X: got %d bytes, want %d, or other ones",
				xid, len(v.c.twoPhase[xid]), len(other.twoPhase[xid]))})
		}
	}
}
