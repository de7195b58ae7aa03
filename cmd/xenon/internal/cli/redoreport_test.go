package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"xenon/compute/crosscheck"
	"xenon/core"
	"xenon/core/pageserver/pagechain"
	"xenon/core/wal"
)

// TestRedoReport shows a report of a page whose second record was replayed
// wrongly.
func TestRedoReport(t *testing.T) {
	rel := core.Rel{Spc: 1663, DB: 5, Node: 16384}
	chain := &pagechain.Chain{Rel: pagechain.RelName(rel), LSN: 0x3000, Major: 15}
	for n := byte(1); n <= 2; n++ {
		r := &wal.Record{Rmgr: wal.RmgrHeap, XID: 700, Main: []byte{n, 0, 0},
			Blocks: []wal.Block{{Rel: rel, WillInit: n == 1, Data: []byte{1, 0, 0, 8, 24, 0, n}}}}
		if n == 1 {
			r.Info = 0x80 // XLOG_HEAP_INIT_PAGE
		}
		b, err := wal.PG15.AppendRecord(nil, r)
		if err != nil {
			t.Fatal(err)
		}
		end := core.LSN(n) * 0x1000
		chain.Versions = append(chain.Versions, pagechain.Version{Kind: pagechain.Record, Start: end - 0x80, LSN: end, Data: b})
	}
	chain.LSN = 0x2000
	written, err := chain.Replay(nil)
	if err != nil {
		t.Fatal(err)
	}
	rebuilt := written
	rebuilt[8191-7] ^= 3 // the data of the first tuple

	dir := filepath.Join(t.TempDir(), "one")
	report := crosscheck.Report{Branch: "main", Rel: chain.Rel, LSN: 0x2000, CommitLSN: 0x2100, StartLSN: 0x800, Difference: "item 1 data"}
	files := map[string][]byte{crosscheck.WrittenFile: written[:], crosscheck.RebuiltFile: rebuilt[:]}
	for name, v := range map[string]any{crosscheck.ReportFile: report, crosscheck.ChainFile: chain} {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = b
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(want int, args ...string) string {
		t.Helper()
		var stdout, stderr bytes.Buffer
		if got := Main(append([]string{"redo", "report"}, args...), &stdout, &stderr); got != want {
			t.Fatalf("%v exits with %d, want %d: %s", args, got, want, &stderr)
		}
		return stdout.String() + stderr.String()
	}
	expect := func(text string, all ...string) {
		t.Helper()
		for _, s := range all {
			if !strings.Contains(text, s) {
				t.Errorf("no %q in:\n%s", s, text)
			}
		}
	}
	expect(run(0, dir), "block 0 of 1663/5/16384, a page of Heap, as of 0/2000", "item 1 data", "   9  0/1000  0/F80", "   0  0/2000  0/1F80", "Heap/INSERT+INIT")
	expect(run(0, "--pages", dir), "the page of redo:", "the page of PostgreSQL:", "item 2")
	expect(run(0, filepath.Dir(dir)), "one: block 0 of 1663/5/16384 as of 0/2000: item 1 data")
	expect(run(0, "--json", dir), `"differ":0`)

	if err := os.Remove(filepath.Join(dir, crosscheck.RebuiltFile)); err != nil {
		t.Fatal(err)
	}
	expect(run(0, dir), "the pageserver made no such page")
	if err := os.WriteFile(filepath.Join(dir, crosscheck.WrittenFile), []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	expect(run(1, dir), "5 bytes are no page")
	expect(run(1, filepath.Join(dir, "nowhere")), "nowhere")
}
