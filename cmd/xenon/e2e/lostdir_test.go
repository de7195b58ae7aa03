package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"xenon/core"
)

// TestLostSafekeeperDirectory takes one safekeeper's directory away. It says
// so by name and takes no part; the other two carry on, and nothing is lost.
func TestLostSafekeeperDirectory(t *testing.T) {
	for _, layout := range layouts {
		t.Run(layout.name, func(t *testing.T) {
			in := install(t, layout.args...)
			in.psql("main", "CREATE TABLE t (n int)", "INSERT INTO t SELECT generate_series(1, 1000)")
			in.lose("safekeeper-2")
			in.psql("main", "INSERT INTO t SELECT generate_series(1001, 2000)", "CHECKPOINT")
			in.killEverything()
			in.start()
			if got := in.psql("main", "SELECT count(*), sum(n) FROM t"); got != "2000|2001000" {
				t.Errorf("after a restart: %s", got)
			}
			in.psql("main", "INSERT INTO t SELECT generate_series(2001, 3000)")
			in.takesNoPart(2)
			// The two that are left are the majority: one more would be too many.
			in.killPostmaster("main")
			if got := in.psql("main", "SELECT count(*), sum(n) FROM t"); got != "3000|4501500" {
				t.Errorf("after another restart: %s", got)
			}
		})
	}
}

// lose removes the directory of a role, which may be writing into it: what is
// new there while the removal goes through it goes with the next one.
func (in *installation) lose(role string) {
	in.t.Helper()
	eventually(in.t, "nothing to be left of "+role, func() bool {
		return os.RemoveAll(filepath.Join(in.dir, role)) == nil
	})
}

// takesNoPart checks that status names a safekeeper, why it has nothing, and
// that it has accepted no WAL.
func (in *installation) takesNoPart(id core.NodeID) {
	in.t.Helper()
	s := in.status()
	for _, k := range s.Safekeepers {
		for _, tl := range k.Timelines {
			if (k.ID == id) == (tl.State == "active") {
				in.t.Errorf("safekeeper %d is %s", k.ID, tl.State)
			}
			if k.ID == id && (tl.FlushLSN != 0 || tl.Term != 0) {
				in.t.Errorf("safekeeper %d has term %d and WAL up to %s", k.ID, tl.Term, tl.FlushLSN)
			}
		}
	}
	notes := strings.Join(s.Notes, "\n")
	if want := fmt.Sprintf("does not exist on safekeeper %d", id); !strings.Contains(notes, want) {
		in.t.Errorf("status notes %q, want %q in it", notes, want)
	}
}

// TestLostTimelineDirectory takes one timeline's directory from a safekeeper,
// which knows from its roster that something is missing.
func TestLostTimelineDirectory(t *testing.T) {
	in := install(t)
	in.psql("main", "CREATE TABLE t (n int)")
	in.signal(syscall.SIGTERM)
	in.await()
	b, err := filepath.Glob(filepath.Join(in.dir, "safekeeper-3", "timelines", "*", "*"))
	if err != nil || len(b) != 1 {
		t.Fatalf("%v, %v: want one timeline", b, err)
	}
	if err := os.RemoveAll(b[0]); err != nil {
		t.Fatal(err)
	}
	in.start()
	in.psql("main", "INSERT INTO t VALUES (1)")
	notes := strings.Join(in.status().Notes, "\n")
	for _, want := range []string{"safekeeper 3", "its directory", filepath.Base(b[0]), "is gone"} {
		if !strings.Contains(notes, want) {
			t.Errorf("status notes %q, want %q in it", notes, want)
		}
	}
}

// TestLostPageserverDirectory takes the pageserver's directory away: all that
// is in it can be made anew from the object store and WAL.
func TestLostPageserverDirectory(t *testing.T) {
	for _, running := range []bool{false, true} {
		t.Run(map[bool]string{false: "stopped", true: "running"}[running], func(t *testing.T) {
			in := install(t, "--processes")
			in.psql("main", "CREATE TABLE t (n int PRIMARY KEY, pad text)",
				"INSERT INTO t SELECT n, repeat('x', 100) FROM generate_series(1, 20000) n", "DELETE FROM t WHERE n % 3 = 0")
			if !running {
				in.signal(syscall.SIGTERM)
				in.await()
			}
			in.lose("pageserver-1")
			if running {
				// The process finds out when it starts again, if not before.
				before := in.status().Pageservers[0].PID
				if err := syscall.Kill(before, syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
				eventually(t, "another pageserver", func() bool {
					pid := in.status().Pageservers[0].PID
					return pid != 0 && pid != before
				})
				in.killPostmaster("main")
			} else {
				in.start()
			}
			if got := in.psql("main", "SELECT count(*), sum(n), max(length(pad)) FROM t"); got != "13334|133346667|100" {
				t.Errorf("after the loss: %s", got)
			}
			in.psql("main", "INSERT INTO t VALUES (0, 'more')")
		})
	}
}
