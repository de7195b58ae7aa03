//go:build faults

package pageserver_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"xenon/core/faults"
)

// TestReferenceCatches plants one wrong line after the other: the comparison
// with the reference must see each.
func TestReferenceCatches(t *testing.T) {
	w := newWorld(t)
	for name, p := range map[string]faults.Point{
		"forget truncate":   faults.ForgetTruncate,
		"newer page":        faults.NewerPage,
		"skip VM clear":     faults.SkipVMClear,
		"chain off by one":  faults.ChainOffByOne,
		"short fork":        faults.ShortFork,
		"drop main only":    faults.DropMainOnly,
		"copy later":        faults.CopyLater,
		"boot counters now": faults.BootNow,
	} {
		t.Run(name, func(t *testing.T) {
			defer faults.Plant(p)()
			bad, first := runSeeds(t, w, 10)
			if bad == 0 {
				t.Error("10 histories, no difference")
			}
			t.Logf("%d of 10 histories differ: %s", bad, first)
		})
	}
}

// TestSkippedWaitIsSeen: without the wait a page as of an LSN that was not
// reached is answered, wrongly.
func TestSkippedWaitIsSeen(t *testing.T) {
	w := newWorld(t)
	tl := w.open(t)
	defer tl.Close()
	at := w.im.Index.LSN + 800
	defer faults.Plant(faults.SkipWait)()
	if _, err := tl.ReadLSN(context.Background(), at, at, time.Millisecond); err != nil {
		t.Errorf("the fault is not reached: %v", err)
	}
}

// TestRecordsIngestedTwiceAreSeen: a receiver that begins anew after a lost
// stream breaks an invariant, which ends the process; so it is one of its own.
func TestRecordsIngestedTwiceAreSeen(t *testing.T) {
	if os.Getenv("XENON_INGEST_TWICE") != "" {
		defer faults.Plant(faults.IngestTwice)()
		w := newWorld(t)
		s := longScript(t, w, 40)
		k := newKeeper(t, s, s.last())
		k.cut = 4
		p := w.run(t, t.TempDir())
		p.attach(k)
		p.reaches(s.last())
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestRecordsIngestedTwiceAreSeen$")
	cmd.Env = append(os.Environ(), "XENON_INGEST_TWICE=1")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "invariant broken") || !strings.Contains(string(out), "ingested after") {
		t.Errorf("%v, want a broken invariant\n%s", err, out)
	}
}

// A recorder counts what a comparison finds.
type recorder struct {
	testing.TB
	first string
	n     int
}

func (r *recorder) Errorf(format string, args ...any) {
	if r.n++; r.first == "" {
		r.first = fmt.Sprintf(format, args...)
	}
}

// TestStockCatches: the comparison with stock recovery sees planted faults of
// what only real histories have: maps of tables that were cut and dropped,
// files copied and changed since.
func TestStockCatches(t *testing.T) {
	s := needPostgres(t)
	s.initdb("initial")
	s.makeHistory()
	tl, _ := importAndOpen(t, s.path("initial"))
	recs := ingestAll(t, tl, s.path("wal"))
	last := recs[len(recs)-2]
	data := s.recover("recovered", last.Prev)
	if r := (&recorder{TB: t}); sameFiles(r, tl, last.LSN, data) == 0 || r.n > 0 {
		t.Fatalf("without a fault: %d differences, %s", r.n, r.first)
	}
	for name, p := range map[string]faults.Point{
		"forget truncate": faults.ForgetTruncate, "skip VM clear": faults.SkipVMClear,
		"chain off by one": faults.ChainOffByOne, "short fork": faults.ShortFork, "drop main only": faults.DropMainOnly,
	} {
		t.Run(name, func(t *testing.T) {
			defer faults.Plant(p)()
			tl, _ := importAndOpen(t, s.path("initial"))
			ingestAll(t, tl, s.path("wal"))
			r := &recorder{TB: t}
			sameFiles(r, tl, last.LSN, data)
			if r.n == 0 {
				t.Error("no difference")
			}
			t.Logf("%d differences: %s", r.n, r.first)
		})
	}
}

// TestUnlookedAttachIsSeen: a pageserver that does not ask whether its timeline
// has a newer owner does not take it over.
func TestUnlookedAttachIsSeen(t *testing.T) {
	defer faults.Plant(faults.AttachedUnlooked)()
	_, owns := attachedAgain(t)
	for range 10 {
		if owns() == nil {
			t.Fatal("the fault is not reached")
		}
		time.Sleep(20 * time.Millisecond)
	}
}
