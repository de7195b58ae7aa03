package e2e_test

import (
	"encoding/json"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// TestIngestBudget holds the pageserver to its memory while pgbench fills a
// database, and while a fresh one takes in all that WAL at once; and to what it
// stores for it.
func TestIngestBudget(t *testing.T) {
	needs(t)
	const memory, stored = 512 << 20, 1.3
	out, err := exec.Command(bin(t), "bench", "ingest", "--json", "--rounds", "1",
		"--scale", strconv.Itoa(sized(4, 100)), "--transactions", strconv.Itoa(sized(2000, 20000))).Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	var r struct {
		WALBytes int64 `json:"wal_bytes"`
		Live     struct {
			PeakRSS   int64   `json:"peak_rss_bytes"`
			Uploaded  float64 `json:"uploaded_per_wal"`
			WALStored float64 `json:"wal_stored_per_wal"`
		} `json:"live"`
		Rows []struct {
			PeakRSS  int64   `json:"peak_rss_bytes"`
			Written  float64 `json:"written_per_wal"`
			Uploaded float64 `json:"uploaded_per_wal"`
		} `json:"rows"`
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &r); err != nil || len(r.Rows) != 1 {
		t.Fatalf("%v in %s", err, out)
	}
	row := r.Rows[0]
	t.Logf("%d MB of WAL: %d MiB beside pgbench, %d MiB at once; %.2f and %.2f × WAL uploaded, %.2f × written; %.2f × of the WAL itself",
		r.WALBytes/1e6, r.Live.PeakRSS>>20, row.PeakRSS>>20, r.Live.Uploaded, row.Uploaded, row.Written, r.Live.WALStored)
	if r.Live.PeakRSS > memory || row.PeakRSS > memory {
		t.Errorf("the pageserver had more than %d MiB", memory>>20)
	}
	// Nothing stored would mean that nothing was measured.
	if up := max(r.Live.Uploaded, row.Uploaded, row.Written); up > stored || min(r.Live.Uploaded, row.Uploaded) < 0.001 {
		t.Errorf("stored %.3f × WAL, want %.1f at most", up, stored)
	}
}
