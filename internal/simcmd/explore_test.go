package simcmd_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"xenon/fuzz"
	"xenon/internal/simcmd"
	"xenon/netsim"
)

// explorer makes the test binary a worker of a fleet: it explores for a moment
// without faults, and prints its summary. With XENON_SIM_BREAK it ends before.
func explorer() {
	if os.Getenv("XENON_SIM_BREAK") != "" {
		os.Exit(3)
	}
	s, err := simcmd.Run(simcmd.Options{From: 1, Explore: true, Within: time.Millisecond, Classes: []fuzz.Class{}})
	if err != nil {
		os.Exit(1)
	}
	json.NewEncoder(os.Stdout).Encode(s)
}

// TestFleet: what the processes of a fleet count is added up, and one that
// breaks makes the whole fail.
func TestFleet(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	o := simcmd.Options{From: 1, Explore: true, Classes: []fuzz.Class{}}
	s, err := simcmd.Fleet(o, exe, nil, 2, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	// Each worker runs one plan, the same one: both seeds begin at 1.
	one := fuzz.Run(fuzz.Options{Plan: fuzz.Draw(1, []fuzz.Class{})})
	if s.Seeds != 2 || s.Failures != 0 || s.Steps != 2*one.Steps || s.Writes != 2*one.Counts.Writes || s.CPUSeconds == 0 {
		t.Errorf("%+v, want twice %d steps", s, one.Steps)
	}
	if got := s.Gates["election_under_load"]; got.Least == 0 || got.Runs == 2 && got.Ratio != 1 {
		t.Errorf("gates: %+v", s.Gates)
	}
	t.Setenv("XENON_SIM_BREAK", "1")
	if _, err := simcmd.Fleet(o, exe, nil, 2, os.Stderr); err == nil || !strings.Contains(err.Error(), "worker") {
		t.Errorf("a fleet whose workers break: %v", err)
	}
}

// TestCorpusIsRunFirst: the plans of a directory are run, and one that cannot be
// read is named.
func TestCorpusIsRunFirst(t *testing.T) {
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "one.plan"))
	if err != nil {
		t.Fatal(err)
	}
	p := fuzz.Draw(77, []fuzz.Class{})
	p.WriteTo(f)
	f.Close()
	var ran []uint64
	o := simcmd.Options{From: 5, Explore: true, Classes: []fuzz.Class{}, Corpus: dir, Done: func(r *fuzz.Result) { ran = append(ran, r.Seed) }}
	if _, err := simcmd.Run(o); err != nil || len(ran) == 0 || ran[0] != 77 {
		t.Errorf("ran %v, %v", ran, err)
	}
	ran, o.Share = nil, simcmd.Share{Mine: 1, Of: 2}
	if _, err := simcmd.Run(o); err != nil || len(ran) != 0 {
		t.Errorf("the plan of another share ran: %v, %v", ran, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "two.plan"), []byte("{"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := simcmd.Run(o); err == nil || !strings.Contains(err.Error(), "two.plan") {
		t.Errorf("a plan that cannot be read: %v", err)
	}
}

// TestForkAndUntil: a run with another tail is another run, told by the command
// that makes it again, and one that ends early says where.
func TestForkAndUntil(t *testing.T) {
	hash := func(o simcmd.Options) (h uint64) {
		o.From, o.To, o.Done = 5, 5, func(r *fuzz.Result) { h = r.Hash }
		calm(t, o)
		return h
	}
	plain, forked := hash(simcmd.Options{}), simcmd.Options{Fork: netsim.Fork{Step: 1000, Seed: 3}}
	if h := hash(forked); h == plain || h != hash(forked) {
		t.Error("a fork gives the same run, or not twice the same")
	}
	if got := simcmd.Replay(forked, 5); got != "xenon sim --fork 1000 --seed-from 3 --seed 5" {
		t.Errorf("again: %s", got)
	}
	calm(t, simcmd.Options{From: 5, To: 5, Until: fuzz.Until{Step: 1000}, Done: func(r *fuzz.Result) {
		if where := simcmd.Where(r); !strings.Contains(where, "stopped at step 1000") || !strings.Contains(where, "sk1") {
			t.Errorf("where: %s", where)
		}
	}})
	calm(t, simcmd.Options{From: 5, To: 5, Until: fuzz.Until{Event: "nothing"}, Done: func(r *fuzz.Result) {
		if where := simcmd.Where(r); !strings.Contains(where, "never came to it") {
			t.Errorf("where: %s", where)
		}
	}})
}
