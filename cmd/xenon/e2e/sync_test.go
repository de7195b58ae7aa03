package e2e_test

import (
	"path/filepath"
	"strings"
	"testing"

	"xenon/core"
)

// TestSync: after a compute was killed at its work, and with a safekeeper away,
// `xenon run compute --sync` makes the log level without a server and says
// where it ends; a compute with linearizable reads then goes on from there.
func TestSync(t *testing.T) {
	in := install(t, "--processes")
	in.must("stop")
	in.await()
	d := in.runRoles()
	s := dial(t, d.endpoint())
	query(t, s, "CREATE TABLE kept (n int)")
	d.kill("safekeeper-3")
	query(t, s, "INSERT INTO kept SELECT generate_series(1, 1000)")
	acked, err := core.ParseLSN(query(t, s, "SELECT pg_current_wal_flush_lsn()"))
	if err != nil {
		t.Fatal(err)
	}
	d.kill("compute-main")
	file := filepath.Join(in.dir, "conf", "compute-main.toml")
	out, err := in.xenon("run", "compute", "--config", file, "--sync")
	if err != nil {
		t.Fatal(err)
	}
	end, err := core.ParseLSN(strings.TrimSpace(out))
	if err != nil || end < acked {
		t.Fatalf("the log is level up to %q, acknowledged was %s", out, acked)
	}
	d.run("compute-main", "-c", `reads="linearizable"`, "-c", "read_gate=true")
	if n := query(t, dial(t, d.endpoint()), "SELECT count(*) FROM kept"); n != "1000" {
		t.Errorf("%s rows after the sync, want 1000", n)
	}
	if start := d.endpoint().StartLSN; start < end {
		t.Errorf("the next server starts at %s, the log was level up to %s", start, end)
	}
}
