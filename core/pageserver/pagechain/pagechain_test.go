package pagechain_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/pageserver/pagechain"
	"xenon/core/redo"
	"xenon/core/wal"
)

var rel = core.Rel{Spc: 1663, DB: 5, Node: 16384}

// insert is the WAL record that adds the n-th tuple to a page.
func insert(t testing.TB, n byte, init bool) []byte {
	t.Helper()
	r := &wal.Record{Rmgr: wal.RmgrHeap, XID: 700, Main: []byte{n, 0, 0},
		Blocks: []wal.Block{{Rel: rel, Block: 3, WillInit: init, Data: []byte{1, 0, 0, 8, 24, 0, n}}}}
	if init {
		r.Info = 0x80 // XLOG_HEAP_INIT_PAGE
	}
	b, err := wal.PG15.AppendRecord(nil, r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// chain is a page with three tuples.
func chain(t testing.TB) *pagechain.Chain {
	c := &pagechain.Chain{Rel: pagechain.RelName(rel), Block: 3, LSN: 0x4000, Major: 15}
	for n := byte(1); n <= 3; n++ {
		start := core.LSN(0x1000) * core.LSN(n)
		c.Versions = append(c.Versions, pagechain.Version{Kind: pagechain.Record, Start: start, LSN: start + 0x80, Data: insert(t, n, n == 1)})
	}
	return c
}

func encode(t testing.TB, c *pagechain.Chain) []byte {
	t.Helper()
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestReplay(t *testing.T) {
	c, err := pagechain.Decode(encode(t, chain(t)))
	if err != nil {
		t.Fatal(err)
	}
	var lsns []core.LSN
	page, err := c.Replay(func(i int, v *pagechain.Version, rec *wal.Record, p *redo.Page) {
		if rec == nil || rec.Start != v.Start || redo.PageLSN(p) != v.LSN {
			t.Errorf("step %d has record %v and a page as of %s", i, rec, redo.PageLSN(p))
		}
		lsns = append(lsns, v.LSN)
	})
	if err != nil || len(lsns) != 3 || redo.PageLSN(&page) != 0x3080 {
		t.Fatalf("page as of %s after %v, %v", redo.PageLSN(&page), lsns, err)
	}
	// With old versions in the base, it is the same page.
	for limit := range c.Bytes() {
		folded, err := pagechain.Decode(encode(t, c))
		if err == nil {
			err = folded.Fold(limit)
		}
		if err != nil || len(folded.Versions) == 0 || folded.Folded+len(folded.Versions) != 3 {
			t.Fatalf("folded to %d bytes: %+v, %v", limit, folded, err)
		}
		if again, err := folded.Replay(nil); err != nil || again != page {
			t.Errorf("folded to %d bytes it is another page (%v)", limit, err)
		}
	}
}

func TestEndsWithHint(t *testing.T) {
	hint := func(image bool) []byte {
		b := wal.Block{Rel: rel, Block: 3}
		if image {
			b.SetImage(wal.PG15, new(redo.Page), wal.ImageOpts{Apply: true, Standard: true})
		}
		raw, err := wal.PG15.AppendRecord(nil, &wal.Record{Rmgr: wal.RmgrXLOG, Info: wal.XLOGFPIForHint, Blocks: []wal.Block{b}})
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	c := chain(t)
	if c.EndsWithHint() {
		t.Error("it ends with an insertion")
	}
	c.Versions = append(c.Versions, pagechain.Version{Kind: pagechain.Record, Start: 0x3FC0, LSN: 0x4000, Data: hint(false)})
	if !c.EndsWithHint() {
		t.Error("it does not end with a hint")
	}
	before, _ := chain(t).Replay(nil)
	if after, err := c.Replay(nil); err != nil || after != before {
		t.Errorf("a hint without an image changes the page (%v)", err)
	}
	c.Versions[3].Data = hint(true)
	if c.EndsWithHint() {
		t.Error("an image is more than a hint")
	}
	c.Versions[3] = pagechain.Version{Kind: pagechain.Record, Start: 0x3E00, LSN: 0x3F00, Data: hint(false)}
	if c.EndsWithHint() {
		t.Error("the hint is older than the page")
	}
}

func TestReplayFails(t *testing.T) {
	c := chain(t)
	c.Versions = c.Versions[1:] // the page was never made
	if _, err := c.Replay(nil); !errors.Is(err, pagechain.ErrNoReplay) || !errors.Is(err, redo.ErrNoPage) {
		t.Errorf("without its first record: %v", err)
	}
	c = chain(t)
	c.Block = 4
	if _, err := c.Replay(nil); !errors.Is(err, pagechain.ErrNoReplay) {
		t.Errorf("of another block: %v", err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	tests := map[string]func(c *pagechain.Chain){
		"an unknown version of PostgreSQL": func(c *pagechain.Chain) { c.Major = 9 },
		"half a page to begin with":        func(c *pagechain.Chain) { c.Base = make([]byte, 100) },
		"versions in disorder":             func(c *pagechain.Chain) { c.Versions[0].LSN = 0x3000 },
		"a version beyond the page":        func(c *pagechain.Chain) { c.LSN = 0x3000 },
		"half an image":                    func(c *pagechain.Chain) { c.Versions[1].Kind = pagechain.Image },
		"an unknown kind":                  func(c *pagechain.Chain) { c.Versions[1].Kind = "surprise" },
	}
	for name, change := range tests {
		c := chain(t)
		change(c)
		if _, err := pagechain.Decode(encode(t, c)); !errors.Is(err, env.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := pagechain.Decode([]byte("{")); !errors.Is(err, env.ErrCorrupt) {
		t.Errorf("half of it: %v", err)
	}
}

func TestRelName(t *testing.T) {
	for _, text := range []string{"1663/5/16384", "1663/5/16384_vm", "1664/0/1262_fsm"} {
		var r pagechain.RelName
		if err := r.UnmarshalText([]byte(text)); err != nil || core.Rel(r).String() != text {
			t.Errorf("%s is %s (%v)", text, core.Rel(r), err)
		}
	}
	for _, text := range []string{"", "1663/5", "1663/5/16384_x", "1663/5/16384_"} {
		if err := new(pagechain.RelName).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is a relation", text)
		}
	}
}

func FuzzReplay(f *testing.F) {
	f.Add(encode(f, chain(f)))
	f.Add([]byte(strings.Replace(string(encode(f, chain(f))), "record", "patch", 1)))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := pagechain.Decode(b)
		if err != nil {
			return
		}
		if _, err := c.Replay(nil); err != nil && !errors.Is(err, pagechain.ErrNoReplay) {
			t.Error(err)
		}
	})
}

// TestExtensionsReplay: a chain with records of an extension is replayed and
// folded by who has its redo, and by nobody else.
func TestExtensionsReplay(t *testing.T) {
	managers, err := redo.NewManagers(map[wal.RmgrID]redo.Manager{200: {Name: "tally", Ops: map[uint8]string{0: "COUNT"},
		Redo: func(p *redo.Page, rec *wal.Record, _ *wal.Block) bool {
			p[12], p[15], p[17], p[18], p[19] = 32, 0x20, 0x20, 4, 0x20 // lower, upper, special, size and version
			p[24] += rec.Main[0]
			return true
		}}})
	if err != nil {
		t.Fatal(err)
	}
	c := chain(t)
	c.Versions = c.Versions[:0]
	for n := range 5 {
		raw, err := wal.PG15.AppendRecord(nil, &wal.Record{Rmgr: 200, Main: []byte{3}, Blocks: []wal.Block{{Rel: rel, Block: 3, WillInit: n == 0}}})
		if err != nil {
			t.Fatal(err)
		}
		start := core.LSN(0x100 * (n + 1))
		c.Versions = append(c.Versions, pagechain.Version{Kind: pagechain.Record, Start: start, LSN: start + 0x80, Data: raw})
	}
	if c, err = pagechain.Decode(encode(t, c)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Replay(nil); !errors.Is(err, pagechain.ErrNoReplay) || !errors.Is(err, redo.ErrUnknown) {
		t.Errorf("without its redo: %v", err)
	}
	c.Managers = managers
	if err := c.Fold(1); err != nil || c.Folded != 4 {
		t.Fatalf("%d versions folded, %v", c.Folded, err)
	}
	if page, err := c.Replay(nil); err != nil || page[24] != 15 {
		t.Errorf("the page counts %d, %v, want 15", page[24], err)
	}
}
