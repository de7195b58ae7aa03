package report_test

import (
	"bytes"
	"strings"
	"testing"

	"xenon/fuzz"
	"xenon/fuzz/report"
)

// TestRecordingChangesNothing: a run that is watched is the run that was not.
func TestRecordingChangesNothing(t *testing.T) {
	for seed := range uint64(3) {
		o := fuzz.Options{Seed: seed + 1}
		plain, watched := fuzz.Run(o), report.Record(o)
		if plain.Hash != watched.Hash || plain.Steps != watched.Steps {
			t.Errorf("seed %d: hash %x after %d steps, watched %x after %d", o.Seed, plain.Hash, plain.Steps, watched.Hash, watched.Steps)
		}
	}
}

// TestPictureOfARun: everything that a person looks for is there.
func TestPictureOfARun(t *testing.T) {
	r := report.Record(fuzz.Options{Seed: 1})
	p := r.Picture
	if r.Err != nil || p.Failed || p.Verdict != "passed" {
		t.Fatalf("verdict %q, error %v", p.Verdict, r.Err)
	}
	kinds, calls, roles, curves := map[string]int{}, map[string]int{}, map[string]bool{}, map[string]bool{}
	for _, a := range p.Arrows {
		kinds[a.Kind]++
	}
	for _, c := range p.Calls {
		calls[c.Outcome]++
	}
	for _, l := range p.Lanes {
		for _, s := range l.Roles {
			roles[s.Kind] = true
		}
	}
	for _, s := range p.Series {
		if strings.Trim(s.Group, "0123456789abcdef") == "" {
			t.Errorf("the timeline of curves %q has no name", s.Group)
		}
		curves[s.Name] = true
	}
	for _, k := range []string{"vote", "elected", "append", "ack", "wal", "page", "http"} {
		if kinds[k] == 0 {
			t.Errorf("no message is a %s: %v", k, kinds)
		}
	}
	for _, k := range []string{"write", "flush", "commit", "ingest", "disk", "remote"} {
		if !curves[k] {
			t.Errorf("no curve of %s: %v", k, curves)
		}
	}
	if !roles["leader"] || !roles["follower"] || calls["ok"] == 0 {
		t.Errorf("roles %v, calls %v", roles, calls)
	}
	struck := 0
	for _, b := range p.Bands {
		if b.Kind == "fault" && b.Struck && len(b.Lanes) > 0 {
			struck++
		}
	}
	if struck == 0 {
		t.Errorf("no fault names whom it befell: %+v", p.Bands)
	}
	if n := len(p.Story); n < 3 || n > 10 {
		t.Errorf("a story of %d lines:\n%s", n, r.Text())
	}
}

// TestPageStaysSmall: the page of a run of full size opens at once.
func TestPageStaysSmall(t *testing.T) {
	r := report.Record(fuzz.Options{Seed: 2})
	var b bytes.Buffer
	if err := report.HTML(&b, r, nil); err != nil {
		t.Fatal(err)
	}
	if b.Len() > 8<<20 {
		t.Errorf("%d bytes", b.Len())
	}
	t.Logf("%.1f simulated seconds, %d steps, %d bytes", r.Elapsed.Seconds(), r.Steps, b.Len())
}
