package pageserver_test

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"xenon/core"
	"xenon/core/pageserver"
	"xenon/core/pageserver/bootset"
	"xenon/core/wal"
)

// An outside is what a cluster has beside pages: directories of tablespaces,
// those of databases in them, and the progress of replication origins.
type outside struct {
	dirs    map[bootset.Database]bool
	origins map[uint16]core.LSN
}

func (o *outside) clone() outside { return outside{maps.Clone(o.dirs), maps.Clone(o.origins)} }

func (o *outside) String() string {
	dirs := slices.Collect(maps.Keys(o.dirs))
	slices.SortFunc(dirs, func(a, b bootset.Database) int { return cmp.Or(cmp.Compare(a.Spc, b.Spc), cmp.Compare(a.DB, b.DB)) })
	var s strings.Builder
	for _, d := range dirs {
		fmt.Fprintf(&s, " %d/%d", d.Spc, d.DB)
	}
	for _, id := range slices.Sorted(maps.Keys(o.origins)) {
		fmt.Fprintf(&s, " %d@%s", id, o.origins[id])
	}
	return s.String()
}

// An outsider grows a timeline by records of that kind and knows what it must
// have after each.
type outsider struct {
	*twig
	now  outside
	then map[core.LSN]outside
}

func (o *outsider) put(t testing.TB, r *wal.Record) {
	t.Helper()
	o.add(t, r)
	if err := o.tl.Ingest(o.recs[len(o.recs)-1]); err != nil {
		t.Fatal(err)
	}
	o.ended = r.End
	o.then[r.End] = o.now.clone()
}

func (o *outsider) dropSpace(spc core.OID) {
	maps.DeleteFunc(o.now.dirs, func(d bootset.Database, _ bool) bool { return d.Spc == spc })
}

// step draws one record.
func (o *outsider) step(t testing.TB, d draw) {
	spc, db := core.OID(16400+d(2)), core.OID(5+d(2))
	rel := core.Rel{Spc: spc, DB: db, Node: core.OID(16384 + d(2))}
	id, at := uint16(1+d(3)), core.LSN(1+d(100))
	switch d(8) {
	case 0:
		o.now.dirs[bootset.Database{Spc: spc}] = true
		o.put(t, &wal.Record{Rmgr: wal.RmgrTblSpc, Main: append(dbBytes(uint32(spc)), 0)})
	case 1:
		o.dropSpace(spc)
		o.put(t, &wal.Record{Rmgr: wal.RmgrTblSpc, Info: 0x10, Main: dbBytes(uint32(spc))})
	case 2:
		o.now.dirs[bootset.Database{Spc: spc}], o.now.dirs[bootset.Database{Spc: spc, DB: db}] = true, true
		o.put(t, &wal.Record{Rmgr: wal.RmgrSMGR, Info: 0x10, Main: binary.LittleEndian.AppendUint32(relBytes(rel), 0)})
	case 3:
		o.now.dirs[bootset.Database{Spc: spc}], o.now.dirs[bootset.Database{Spc: spc, DB: db}] = true, true
		b := wal.Block{Rel: rel, Block: uint32(d(4))}
		b.SetImage(wal.PG15, heapPage(d(200)), wal.ImageOpts{Apply: true, Standard: true})
		o.put(t, &wal.Record{Rmgr: wal.RmgrXLOG, Info: 0xB0, Blocks: []wal.Block{b}})
	case 4:
		delete(o.now.dirs, bootset.Database{Spc: spc, DB: db})
		o.put(t, &wal.Record{Rmgr: wal.RmgrDBase, Info: 0x20, Main: dbBytes(uint32(db), 1, uint32(spc))})
	case 5:
		back := d(2) == 0
		if back || at > o.now.origins[id] {
			o.now.origins[id] = at
		}
		main := binary.LittleEndian.AppendUint64(nil, uint64(at))
		main = append(binary.LittleEndian.AppendUint16(main, id), 0, 0, 0, 0, 0, 0)
		if back {
			main[10] = 1
		}
		o.put(t, &wal.Record{Rmgr: wal.RmgrReplOrigin, Main: main})
	case 6:
		if at > o.now.origins[id] {
			o.now.origins[id] = at
		}
		main := append(make([]byte, 8), dbBytes(1<<5)...)
		main = binary.LittleEndian.AppendUint64(main, uint64(at))
		o.put(t, &wal.Record{Rmgr: wal.RmgrXact, Info: 0x80, XID: o.xid, Origin: id, HasOrigin: true, Main: append(main, make([]byte, 8)...)})
		o.xid++
	case 7:
		delete(o.now.origins, id)
		o.put(t, &wal.Record{Rmgr: wal.RmgrReplOrigin, Info: 0x10, Main: binary.LittleEndian.AppendUint16(nil, id)})
	}
}

// have is what a timeline has of it as of an LSN.
func have(tl *pageserver.Timeline, lsn core.LSN) (outside, error) {
	o := outside{map[bootset.Database]bool{}, map[uint16]core.LSN{}}
	set, err := tl.Boot(context.Background(), lsn)
	if err != nil {
		return o, err
	}
	for _, d := range set.Databases {
		if d.Spc >= 16384 {
			o.dirs[d] = true
		}
	}
	for _, f := range set.Files {
		if f.Path == "pg_logical/replorigin_checkpoint" {
			err = o.readOrigins(f.Content)
		}
	}
	return o, err
}

// readOrigins reads the file as PostgreSQL does (StartupReplicationOrigin).
func (o *outside) readOrigins(b []byte) error {
	le, n := binary.LittleEndian, len(b)-4
	if n < 4 || le.Uint32(b) != 0x1257DADE || le.Uint32(b[n:]) != crc32.Checksum(b[:n], crc32.MakeTable(crc32.Castagnoli)) {
		return fmt.Errorf("a file of %d bytes: %x", len(b), b)
	}
	for b = b[4:n]; len(b) >= 16; b = b[16:] {
		o.origins[le.Uint16(b)] = core.LSN(le.Uint64(b[8:]))
	}
	return nil
}

// differencesOutside draws a history on a timeline and a branch of it, with
// flushes and restarts, and compares what both have as of every record.
func differencesOutside(t testing.TB, w *world, seed uint64) (diffs []string) {
	rng := rand.New(rand.NewPCG(seed, 3))
	trunk := &outsider{w.trunk(t), outside{map[bootset.Database]bool{}, map[uint16]core.LSN{}}, map[core.LSN]outside{}}
	defer func() { trunk.tl.Close() }()
	for range 40 {
		trunk.step(t, rng.IntN)
		if rng.IntN(10) == 0 {
			trunk.flush(t)
		}
	}
	at := trunk.recs[rng.IntN(len(trunk.recs))].End
	branch := &outsider{trunk.branch(t, w, byte(2+seed), at), trunk.then[at], map[core.LSN]outside{}}
	branch.now = branch.now.clone()
	defer func() { branch.tl.Close() }()
	for range 20 {
		branch.step(t, rng.IntN)
	}
	branch.restart(t)
	trunk.restart(t)
	for range 10 {
		branch.step(t, rng.IntN)
		trunk.step(t, rng.IntN)
	}
	for name, o := range map[string]*outsider{"the timeline": trunk, "the branch": branch} {
		for lsn, want := range o.then {
			got, err := have(o.tl, lsn)
			if err != nil || got.String() != want.String() {
				diffs = append(diffs, fmt.Sprintf("seed %d, %s as of %s has%s (%v), want%s", seed, name, lsn, &got, err, &want))
			}
		}
	}
	return diffs
}

func TestTablespacesAndOrigins(t *testing.T) {
	w := newWorld(t)
	for seed := range uint64(20) {
		if diffs := differencesOutside(t, w, seed); len(diffs) > 0 {
			t.Errorf("%d differences, one is: %s", len(diffs), diffs[0])
		}
	}
}

// TestImportedOrigins: the progress of replication origins is taken over.
func TestImportedOrigins(t *testing.T) {
	file := binary.LittleEndian.AppendUint32(nil, 0x1257DADE)
	for _, o := range [][2]uint64{{7, 0x500}, {2, 0x1_0000_0000}} {
		file = binary.LittleEndian.AppendUint64(file, o[0])
		file = binary.LittleEndian.AppendUint64(file, o[1])
	}
	file = binary.LittleEndian.AppendUint32(file, crc32.Checksum(file, crc32.MakeTable(crc32.Castagnoli)))
	w := importOf(t, blankDir(t, put("pg_logical/replorigin_checkpoint", string(file))))
	tl := w.open(t)
	defer tl.Close()
	got, err := have(tl, w.im.Index.LSN)
	if want := " 2@1/0 7@0/500"; err != nil || got.String() != want {
		t.Errorf("has%s (%v), want%s", &got, err, want)
	}
}
