package e2e_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"xenon/cmd/xenon/internal/ctl"
	"xenon/core"
)

// TestTakeover starts a second compute on main while the first one is busy, or
// idle and read-only: the first ends at once, commits nothing more, and stays
// away.
func TestTakeover(t *testing.T) {
	for _, layout := range layouts {
		for _, busy := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, busy %v", layout.name, busy), func(t *testing.T) {
				in := install(t, layout.args...)
				in.sql(ledgerTable)
				in.takeover(busy)
			})
		}
	}
}

func (in *installation) takeover(busy bool) {
	t := in.t
	t.Helper()
	older := in.endpoint("main")
	if _, err := in.xenon("endpoint", "start", "main"); err == nil || !strings.Contains(err.Error(), "--takeover") {
		t.Errorf("a second endpoint without --takeover: %v", err)
	}
	var load *ledger
	if busy {
		load = in.write(1, 4)
		eventually(t, "load", func() bool { return load.rows() > 20 })
	}
	long := dial(t, older)
	query(t, long, "SET default_transaction_read_only = on")
	answer := make(chan error, 1)
	go func() {
		_, err := long.Query("SELECT pg_sleep(600)")
		answer <- err
	}()
	rows := follow(dial(t, older))
	eventually(t, "rows of the long query", func() bool { return rows.count() > 0 })

	in.noteSegments()
	old := in.segments
	in.segments = nil
	election := in.observeElection(older)
	gone := observeEnd(older.Postmaster)
	in.must("endpoint", "start", "main", "--takeover")

	elected, ended := <-election, <-gone
	bound := time.Duration(sized(3, 1)) * time.Second
	if late := ended.Sub(elected); late > bound {
		t.Errorf("the older server ended %v after the election", late)
	}
	rows.checkEnd(t, "the long query", elected)
	if err := <-answer; err == nil {
		t.Error("a long SELECT on the older server got a result")
	}
	if busy {
		load.running.Wait()
		if len(load.failures()) != load.clients {
			t.Errorf("of %d clients these failed: %v", load.clients, load.failures())
		}
	}
	newer := in.newerThan(older)
	in.staysAway(older, old)
	if busy {
		load.checkOn(newer)
	}
	in.oneHistory()
}

// observeElection tells when a majority of safekeepers was first seen in a
// later term than the endpoint's.
func (in *installation) observeElection(e ctl.Endpoint) <-chan time.Time {
	seen := make(chan time.Time, 1)
	go func() {
		for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
			n := 0
			for _, k := range in.askStatus().Safekeepers {
				if len(k.Timelines) > 0 && k.Timelines[0].Term > e.Term {
					n++
				}
			}
			if n >= 2 {
				break
			}
		}
		seen <- time.Now()
	}()
	return seen
}

// askStatus is status without the program, for those who ask often.
func (in *installation) askStatus() (s ctl.Status) {
	if err := ctl.Call(in.t.Context(), in.dir, "GET", "/status", nil, &s); err != nil {
		return ctl.Status{}
	}
	return s
}

// observeEnd tells when a process was gone.
func observeEnd(pid int) <-chan time.Time {
	gone := make(chan time.Time, 1)
	go func() {
		for deadline := time.Now().Add(patience); existsProcess(pid) && time.Now().Before(deadline); {
			time.Sleep(2 * time.Millisecond)
		}
		gone <- time.Now()
	}()
	return gone
}

// newerThan is the endpoint that took over from another one.
func (in *installation) newerThan(older ctl.Endpoint) ctl.Endpoint {
	in.t.Helper()
	for _, e := range in.status().Endpoints {
		if e.State == "ready" && e.Name != older.Name {
			if e.Term <= older.Term || e.Epoch <= older.Epoch {
				in.t.Errorf("the newer endpoint has term %d and epoch %d, the older %d and %d", e.Term, e.Epoch, older.Term, older.Epoch)
			}
			return e
		}
	}
	in.t.Fatal("no newer endpoint is ready")
	return ctl.Endpoint{}
}

// staysAway checks that a superseded endpoint leaves nothing and does not come
// back.
func (in *installation) staysAway(older ctl.Endpoint, old map[segment]bool) {
	t := in.t
	t.Helper()
	eventually(t, "the older endpoint to be superseded", func() bool {
		for _, e := range in.status().Endpoints {
			if e.Name == older.Name {
				return e.State == "superseded"
			}
		}
		return false
	})
	for until := time.Now().Add(time.Duration(sized(2, 15)) * time.Second); time.Now().Before(until); time.Sleep(100 * time.Millisecond) {
		for _, e := range in.status().Endpoints {
			if e.Name == older.Name && (e.State != "superseded" || e.Postmaster != 0) {
				t.Fatalf("the older endpoint came back: %+v", e)
			}
		}
	}
	in.oldIsGone("the older server", older, old)
}

// oneHistory checks that the WAL on all safekeepers is the same, byte for byte,
// as far as it is committed.
func (in *installation) oneHistory() {
	t := in.t
	t.Helper()
	var s ctl.Status
	eventually(t, "all safekeepers to be level", func() bool {
		s = in.status()
		for _, k := range s.Safekeepers {
			if len(k.Timelines) == 0 || k.Timelines[0].CommitLSN < s.Branches[0].CommitLSN {
				return false
			}
		}
		return true
	})
	b := s.Branches[0]
	var dirs []string
	for _, k := range s.Safekeepers {
		dirs = append(dirs, in.walDir(k, b))
	}
	for _, i := range differing(t, dirs, b.StartLSN, b.CommitLSN) {
		t.Errorf("safekeeper %d has other WAL than safekeeper %d between %s and %s", s.Safekeepers[i].ID, s.Safekeepers[0].ID, b.StartLSN, b.CommitLSN)
	}
}

// differing is which of the directories have other WAL than the first between
// two LSNs.
func differing(t *testing.T, dirs []string, from, to core.LSN) (which []int) {
	t.Helper()
	first := readWAL(t, dirs[0], from, to)
	if len(first) == 0 {
		t.Fatal("no WAL to compare")
	}
	for i := 1; i < len(dirs); i++ {
		if !bytes.Equal(first, readWAL(t, dirs[i], from, to)) {
			which = append(which, i)
		}
	}
	return which
}

// walDir is where a safekeeper keeps the segments of a branch.
func (in *installation) walDir(k ctl.Safekeeper, b ctl.Branch) string {
	return filepath.Join(in.dir, fmt.Sprintf("safekeeper-%d", k.ID), "timelines", b.Tenant.String(), b.Timeline.String())
}

// segmentSize is that of a cluster that initdb made.
const segmentSize = 16 << 20

// readWAL reads the bytes between two LSNs from the segments in a directory.
func readWAL(t *testing.T, dir string, from, to core.LSN) []byte {
	t.Helper()
	var all bytes.Buffer
	for at := from; at < to; {
		begin := at - at%segmentSize
		end := min(to, begin+segmentSize)
		name := filepath.Join(dir, fmt.Sprintf("%08X%08X%08X", 1, uint64(begin)>>32, uint64(begin)&0xffffffff/segmentSize))
		f, err := os.Open(name)
		if os.IsNotExist(err) {
			f, err = os.Open(name + ".partial")
		}
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(&all, io.NewSectionReader(f, int64(at-begin), int64(end-at)))
		f.Close()
		if err != nil || n != int64(end-at) {
			t.Fatalf("read %d bytes of %s from %s on: %v", n, name, at, err)
		}
		at = end
	}
	return all.Bytes()
}

// TestUpAfterTakeover kills everything after a take-over: the next up runs the
// branch again, whatever name the one had that ran it last.
func TestUpAfterTakeover(t *testing.T) {
	in := install(t, "--processes")
	in.sql(ledgerTable)
	in.must("endpoint", "start", "main", "--takeover")
	older := ctl.Endpoint{Name: "main"}
	newer := in.newerThan(older)
	// A sidecar that dies comes back without taking over again.
	kill(t, newer.PID)
	eventually(t, "the newer endpoint to be back", func() bool {
		for _, e := range in.status().Endpoints {
			if e.Name == newer.Name && e.State == "ready" && e.Term > newer.Term {
				return true
			}
		}
		return false
	})
	conf, err := os.ReadFile(filepath.Join(in.dir, "conf", "compute-"+newer.Name+".toml"))
	if err != nil || !strings.Contains(string(conf), "takeover = false") {
		t.Errorf("the configuration of the newer compute asks for a take-over at every start: %v\n%s", err, conf)
	}
	in.killEverything()
	in.start()
	in.must("stop")
	in.await()
	in.nothingLeft()
}
