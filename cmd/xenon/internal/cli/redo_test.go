package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"xenon/core"
	"xenon/core/redo"
	"xenon/core/redo/verify"
	"xenon/core/wal"
)

// sequencePages are a sequence's page before and after a record, and that.
func sequencePages(t *testing.T) (rec *wal.Record, before, after *redo.Page) {
	t.Helper()
	tuple := make([]byte, 24+17)
	tuple[22], tuple[24] = 24, 7
	rec = &wal.Record{Start: 0x1000, End: 0x1100, Rmgr: wal.RmgrSeq, XID: 700, Main: append(make([]byte, 12), tuple...),
		Blocks: []wal.Block{{Rel: core.Rel{Spc: 1663, DB: 5, Node: 16384}, WillInit: true}}}
	before, after = new(redo.Page), new(redo.Page)
	var a redo.Applier
	if _, err := a.Apply(after, rec, &rec.Blocks[0]); err != nil {
		t.Fatal(err)
	}
	return rec, before, after
}

func TestShowMismatch(t *testing.T) {
	rec, _, want := sequencePages(t)
	got := *want
	got[12]++ // pd_lower
	var b strings.Builder
	showMismatch(&b, verify.Mismatch{Oracle: "image", Record: rec.Name(), LSN: rec.Start, Rel: rec.Blocks[0].Rel, Text: "pd_lower differs",
		Manager: wal.RmgrSeq, Rec: rec, Got: &got, Want: want})
	for _, text := range []string{
		"mismatch: image: Sequence/LOG at 0/1000, 1663/5/16384 block 0: pd_lower differs\n",
		"record:   0/1000 ", "node=0/0/0 last_value=7 log_cnt=0",
		"differs:  pd_lower (byte 12): got 29, want 28\n",
		"page by redo:\n  header   pd_lsn=0/1100 ", "page by PostgreSQL:\n", "  special  magic=5911\n", "  item 1   lp_off=",
	} {
		if !strings.Contains(b.String(), text) {
			t.Errorf("%q is not in\n%s", text, b.String())
		}
	}
}

func TestPageHistory(t *testing.T) {
	rec, before, after := sequencePages(t)
	h := &pageHistory{Rel: "1663/5/16384", Fork: "main", rel: rec.Blocks[0].Rel, fields: 3}
	h.add(pageStep{LSN: rec.Start, What: "record", Outcome: outcomes[redo.Redone]}, rec, before, after, nil)
	text := h.text("structure\n")
	for _, want := range []string{"Sequence/LOG", "    pd_lsn: 0/0 -> 0/1100\n", "    pd_lower: 0 -> 28\n", "\nstructure\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	b, err := json.Marshal(h)
	if err != nil || !strings.Contains(string(b), `{"field":"pd_lower","at":12,"from":"0","to":"28"}`) {
		t.Errorf("%v: %s", err, b)
	}
}
