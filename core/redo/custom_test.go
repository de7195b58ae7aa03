package redo_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"xenon/core"
	"xenon/core/redo"
	"xenon/core/wal"
)

// A page of the toy extension counts: its records add to a number behind the
// page header. INIT makes the page, ADD adds.
const (
	toyInit = 0x00
	toyAdd  = 0x10
)

func redoToy(page *redo.Page, rec *wal.Record, _ *wal.Block) bool {
	le := binary.LittleEndian
	if len(rec.Main) != 4 {
		return false
	}
	if rec.Op() == toyInit {
		le.PutUint16(page[12:], 28)            // pd_lower
		le.PutUint16(page[14:], core.PageSize) // pd_upper
		le.PutUint16(page[16:], core.PageSize) // pd_special
		le.PutUint16(page[18:], core.PageSize|4)
	}
	le.PutUint32(page[24:], le.Uint32(page[24:])+le.Uint32(rec.Main))
	return true
}

func toy(tb testing.TB) *redo.Managers {
	tb.Helper()
	m, err := redo.NewManagers(map[wal.RmgrID]redo.Manager{128: {
		Name: "toy",
		Ops:  map[uint8]string{toyInit: "INIT", toyAdd: "ADD"},
		Redo: redoToy,
		Effects: func(rec *wal.Record, emit func(redo.Effect)) bool {
			if rec.Op() == toyInit {
				emit(redo.Effect{Kind: redo.RelCreate, Rel: rec.Blocks[0].Rel})
			}
			return len(rec.Main) == 4
		},
	}})
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

func toyRecord(op uint8, n byte, end core.LSN) *wal.Record {
	return &wal.Record{Start: end - 64, End: end, Rmgr: 128, Info: op, Main: []byte{n, 0, 0, 0},
		Blocks: []wal.Block{{Rel: core.Rel{Spc: 1663, DB: 5, Node: 16384}, WillInit: op == toyInit}}}
}

// An extension with a resource manager of its own is replayed by a manager in
// Go, of which everything that replays is told.
func ExampleNewManagers() {
	managers, err := redo.NewManagers(map[wal.RmgrID]redo.Manager{
		128: {Name: "toy", Ops: map[uint8]string{toyInit: "INIT", toyAdd: "ADD"}, Redo: redoToy},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	applier := redo.Applier{Managers: managers}
	var page redo.Page
	for i, rec := range []*wal.Record{toyRecord(toyInit, 40, 0x1000), toyRecord(toyAdd, 2, 0x2000)} {
		outcome, err := applier.Apply(&page, rec, &rec.Blocks[0])
		fmt.Println(i, managers.RecordName(rec), outcome == redo.Redone, err)
	}
	fmt.Println(binary.LittleEndian.Uint32(page[24:]), redo.PageLSN(&page))
	// Output:
	// 0 toy/INIT true <nil>
	// 1 toy/ADD true <nil>
	// 42 0/2000
}

func TestCustomEffects(t *testing.T) {
	d := redo.Effects{Managers: toy(t)}
	var c redo.Counters
	list, err := d.Decode(toyRecord(toyInit, 1, 0x1000), &c)
	if err != nil || len(list) != 1 || list[0].Kind != redo.RelCreate {
		t.Errorf("effects %v, %v, want the fork made", list, err)
	}
	if list, err = d.Decode(toyRecord(toyAdd, 1, 0x1000), &c); err != nil || len(list) != 0 {
		t.Errorf("effects %v, %v, want none", list, err)
	}
	bad := toyRecord(toyAdd, 1, 0x1000)
	bad.Main = nil
	if _, err = d.Decode(bad, &c); !errors.Is(err, redo.ErrMalformed) {
		t.Errorf("error %v, want %v", err, redo.ErrMalformed)
	}
}

// An extension that nobody knows stops ingest, with words that say whose it is
// and what to do.
func TestCustomUnknown(t *testing.T) {
	orioledb := toyRecord(toyAdd, 1, 0x1000)
	orioledb.Rmgr = 129
	newer := toyRecord(0x20, 1, 0x1000)
	tests := []struct {
		name string
		m    *redo.Managers
		rec  *wal.Record
		want []string
	}{
		{"no manager at all", nil, toyRecord(toyAdd, 1, 0x1000), []string{"resource manager 128", "shared_preload_libraries", "NewManagers"}},
		{"another's", toy(t), orioledb, []string{"resource manager 129", "OrioleDB", "shared_preload_libraries"}},
		{"an opcode that is new", toy(t), newer, []string{"resource manager 128 (toy)", "opcode 20", "newer"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d, a := redo.Effects{Managers: test.m}, redo.Applier{Managers: test.m}
			var c redo.Counters
			_, err := d.Decode(test.rec, &c)
			page := redo.Page{24: 1, 12: 28, 15: 32, 17: 32}
			_, onPage := a.Apply(&page, test.rec, &test.rec.Blocks[0])
			for _, err := range []error{err, onPage} {
				if !errors.Is(err, redo.ErrUnknown) {
					t.Fatalf("error %v, want %v", err, redo.ErrUnknown)
				}
				for _, want := range test.want {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("error %q, want %q in it", err, want)
					}
				}
			}
		})
	}
}

// What a manager makes of a page is checked before anything relies on it.
func TestCustomRedoThatSpoilsThePage(t *testing.T) {
	m, err := redo.NewManagers(map[wal.RmgrID]redo.Manager{128: {Name: "bad", Ops: map[uint8]string{0: "X"},
		Redo: func(p *redo.Page, _ *wal.Record, _ *wal.Block) bool { p[14], p[12] = 1, 99; return true }}})
	if err != nil {
		t.Fatal(err)
	}
	a := redo.Applier{Managers: m}
	rec := toyRecord(toyInit, 1, 0x1000)
	if _, err := a.Apply(new(redo.Page), rec, &rec.Blocks[0]); !errors.Is(err, redo.ErrMalformed) {
		t.Errorf("error %v, want %v", err, redo.ErrMalformed)
	}
}

func TestCustomMask(t *testing.T) {
	m, err := redo.NewManagers(map[wal.RmgrID]redo.Manager{
		200: {Name: "masked", Ops: map[uint8]string{0: "X"}, Redo: redoToy, Mask: func(p *redo.Page, _ uint32) { p[100] = 0 }},
		201: {Name: "plain", Ops: map[uint8]string{0: "X"}, Redo: redoToy},
	})
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[wal.RmgrID]redo.Page{200: {101: 1}, 201: {100: 1, 101: 1}} {
		p := redo.Page{3: 1, 8: 1, 100: 1, 101: 1}
		if m.Mask(&p, id, 0); p != want {
			t.Errorf("manager %d: masked page is not as wanted", id)
		}
	}
}

func TestNewManagersRefuses(t *testing.T) {
	ops := map[uint8]string{0: "X"}
	tests := []struct {
		name string
		id   wal.RmgrID
		m    redo.Manager
		want string
	}{
		{"an id of PostgreSQL's own", wal.RmgrHeap, redo.Manager{Name: "heap", Ops: ops, Redo: redoToy}, "128 to 255"},
		{"no name", 128, redo.Manager{Ops: ops, Redo: redoToy}, "needed"},
		{"no redo", 128, redo.Manager{Name: "x", Ops: ops}, "needed"},
		{"no opcodes", 128, redo.Manager{Name: "x", Redo: redoToy}, "needed"},
		{"an opcode in the low bits", 128, redo.Manager{Name: "x", Ops: map[uint8]string{1: "X"}, Redo: redoToy}, "low four bits"},
	}
	for _, test := range tests {
		if _, err := redo.NewManagers(map[wal.RmgrID]redo.Manager{test.id: test.m}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %q in it", test.name, err, test.want)
		}
	}
}
