package e2e_test

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
)

// TestBenchRedo runs the measurement of redo at a size that says nothing: both
// sides replay and read the same WAL, and every figure is there.
func TestBenchRedo(t *testing.T) {
	needs(t)
	cmd := exec.Command(bin(t), "bench", "redo", "--scale", "1", "--transactions", "3000", "--rounds", "1", "--json")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, tail(string(out), 2000))
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	var report struct {
		Records, WALBytes int64
		Rows              []struct {
			Metric, Unit string
			Value, Aim   float64
			PeerValue    float64 `json:"peer_value"`
			Ratio        float64
		}
	}
	if err := json.Unmarshal([]byte(strings.Replace(lines[len(lines)-1], "wal_bytes", "WALBytes", 1)), &report); err != nil {
		t.Fatal(err)
	}
	// A transaction of pgbench is three updates, an insert, a commit at least.
	if report.Records < 5*3000 || report.WALBytes < 3000*300 {
		t.Errorf("%d records in %d bytes of WAL", report.Records, report.WALBytes)
	}
	want := map[string]bool{"redo CPU-µs/record": true, "redo of a gigabyte of WAL CPU-s/GB": true, "records redone records/CPU-s": true,
		"decoding and counting MB/CPU-s": true, "decoding and counting MB/s": true, "decoding and printing MB/CPU-s": true, "decoding and printing MB/s": true,
		"chain of 1 CPU-µs": false, "chain of 10 CPU-µs": false, "chain of 100 CPU-µs": false}
	for _, row := range report.Rows {
		name := row.Metric + " " + row.Unit
		hasPeer, known := want[name]
		if !known {
			t.Errorf("row %q is unknown, or there twice", name)
		}
		delete(want, name)
		if row.Value <= 0 || hasPeer && (row.PeerValue <= 0 || row.Ratio <= 0) || !hasPeer && row.Aim <= 0 {
			t.Errorf("%s: %+v", name, row)
		}
	}
	if len(want) > 0 {
		t.Errorf("no rows %v", want)
	}
}
