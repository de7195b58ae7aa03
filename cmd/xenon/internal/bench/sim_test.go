package bench

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"
)

func TestSimIsMeasured(t *testing.T) {
	r, err := Sim(SimOptions{Seed: 1, Length: 20 * time.Second, Rounds: 1, Say: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	row := r.Rows[0]
	if r.Value <= 0 || row.Commits < 10 || row.Pages < 20 || row.Faults == 0 {
		t.Errorf("%+v", row)
	}
	sum := 0.0
	for _, s := range row.Shares {
		sum += s
	}
	if len(row.Shares) > 0 && math.Abs(sum-1) > 1e-6 {
		t.Errorf("shares add up to %f: %v", sum, row.Shares)
	}
}

func TestWhatCodeIsFor(t *testing.T) {
	for _, c := range []struct{ stack, want string }{
		{"runtime.memmove xenon/diskdrv.(*image).write xenon/consensus/safekeeper.(*Node).receive", "copying"},
		{"xenon/core/redo.(*Applier).Apply xenon/core/pageserver/reference.(*State).Apply", "checkers"},
		{"runtime.memmove xenon/fuzz.(*ghost).grow", "checkers"},
		{"xenon/core/redo.(*Applier).Apply xenon/core/pageserver.(*reading).run", "redo"},
		{"encoding/json.Marshal xenon/consensus/safekeeper.(*Timeline).save", "protocol"},
		{"runtime.mallocgc xenon/core/layer.(*Writer).Add", "memory and switches"},
		{"runtime.gcDrain runtime.gcBgMarkWorker", "memory and switches"},
		{"xenon/netsim.(*task).park xenon/compute.(*Endpoint).Run", "simulator"},
	} {
		if got := purpose(strings.Fields(c.stack)); got != c.want {
			t.Errorf("%s: %s, want %s", c.stack, got, c.want)
		}
	}
}

func FuzzReadProfile(f *testing.F) {
	f.Add([]byte("\x12\x04\x0a\x00\x12\x00\x32\x01a"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p := profile{functions: map[uint64]uint64{}, locations: map[uint64][]uint64{}}
		if eachField(b, p.field) == nil {
			p.stacks()
		}
		readProfile(bytes.NewReader(b))
	})
}
