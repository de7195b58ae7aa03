package linearizability_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"xenon/core"
	"xenon/core/env"
	"xenon/linearizability"
)

// line is one call: client, operation, times; to 0 is an unknown outcome.
type line struct {
	client   int
	op       linearizability.Op
	result   linearizability.Result
	from, to env.Instant
}

func put(v string) linearizability.Op {
	return linearizability.Op{Kind: linearizability.Put, Key: "k", Value: v}
}
func add(v string) linearizability.Op {
	return linearizability.Op{Kind: linearizability.Append, Key: "k", Value: v}
}
func cas(old, v string) linearizability.Op {
	return linearizability.Op{Kind: linearizability.CAS, Key: "k", Old: old, Value: v}
}

var (
	get  = linearizability.Op{Kind: linearizability.Get, Key: "k"}
	none = linearizability.Result{}
)

func saw(v string) linearizability.Result { return linearizability.Result{Value: v} }

func TestCheck(t *testing.T) {
	swapped := linearizability.Result{Swapped: true}
	tests := []struct {
		name  string
		lines []line
		ok    bool
	}{
		{"nothing", nil, true},
		{"a read sees the last write", []line{{0, put("a"), none, 1, 2}, {1, get, saw("a"), 3, 4}}, true},
		{"a read after a write misses it", []line{{0, put("a"), none, 1, 2}, {1, get, saw(""), 3, 4}}, false},
		{"a read during a write may miss it", []line{{0, put("a"), none, 1, 5}, {1, get, saw(""), 3, 4}}, true},
		{"a value nobody wrote", []line{{0, get, saw("x"), 1, 2}}, false},
		{"two reads go back", []line{{0, put("a"), none, 1, 9}, {1, get, saw("a"), 2, 3}, {1, get, saw(""), 4, 5}}, false},
		{"an unknown write shows late", []line{{0, put("a"), none, 1, 0}, {1, get, saw(""), 5, 6}, {1, get, saw("a"), 7, 8}}, true},
		{"an unknown write never shows", []line{{0, put("a"), none, 1, 0}, {1, get, saw(""), 5, 6}}, true},
		{"an unknown write shows and vanishes", []line{{0, put("a"), none, 1, 0}, {1, get, saw("a"), 5, 6}, {1, get, saw(""), 7, 8}}, false},
		{"appends in either order", []line{{0, add("a"), none, 1, 5}, {1, add("b"), none, 1, 5}, {2, get, saw("ba"), 6, 7}}, true},
		{"an append is lost", []line{{0, add("a"), none, 1, 2}, {1, add("b"), none, 3, 4}, {2, get, saw("b"), 6, 7}}, false},
		{"an append is done twice", []line{{0, add("a"), none, 1, 2}, {2, get, saw("aa"), 6, 7}}, false},
		{"two swaps of one value", []line{{0, cas("", "a"), swapped, 1, 5}, {1, cas("", "b"), swapped, 1, 5}}, false},
		{"one of two swaps", []line{{0, cas("", "a"), swapped, 1, 5}, {1, cas("", "b"), none, 1, 5}}, true},
		{"an unknown swap is done", []line{{0, cas("", "a"), none, 1, 0}, {1, get, saw("a"), 3, 5}}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := record(test.lines).Check()
			if (err == nil) != test.ok {
				t.Errorf("linearizable: %v, want %v", err, test.ok)
			}
		})
	}
}

func record(lines []line) *linearizability.History {
	h := new(linearizability.History)
	for _, l := range lines {
		c := h.Begin(l.client, l.op, l.from)
		if l.to == 0 {
			h.Unknown(c, l.from+1)
		} else {
			h.Return(c, l.result, l.to)
		}
	}
	return h
}

func TestReportShowsTheCalls(t *testing.T) {
	err := record([]line{{0, put("a"), none, 1, 2}, {1, get, saw("b"), 3, 4}}).Check()
	var v *linearizability.Violation
	if !errors.As(err, &v) || v.Key != "k" {
		t.Fatalf("got %v", err)
	}
	var page strings.Builder
	if err := v.Report(&page); err != nil || !strings.Contains(page.String(), `get k`) {
		t.Errorf("the report does not show the calls: %v", err)
	}
}

// A register that is one is accepted whatever its clients do; one that loses an
// acknowledged write now and then is not.
func TestRandomRegisters(t *testing.T) {
	caught := 0
	for seed := range uint64(60) {
		if err := register(seed, false).Check(); err != nil {
			t.Fatalf("seed %d: a true register: %v", seed, err)
		}
		if register(seed, true).Check() != nil {
			caught++
		}
	}
	if caught < 50 {
		t.Errorf("only %d of 60 registers that lose writes are caught", caught)
	}
}

func register(seed uint64, loses bool) *linearizability.History {
	r := rand.New(rand.NewPCG(seed, 1))
	h := new(linearizability.History)
	values := map[string]string{}
	for i := range 60 {
		now := env.Instant(i * 10)
		op := linearizability.Op{Kind: linearizability.Kind(r.IntN(3)), Key: fmt.Sprint(r.IntN(2)), Value: fmt.Sprintf("%d.", i)}
		call := h.Begin(r.IntN(4), op, now-env.Instant(r.IntN(25)))
		var res linearizability.Result
		lost := loses && r.IntN(4) == 0
		switch {
		case op.Kind == linearizability.Get:
			res.Value = values[op.Key]
		case lost:
		case op.Kind == linearizability.Put:
			values[op.Key] = op.Value
		default:
			values[op.Key] += op.Value
		}
		if op.Kind != linearizability.Get && r.IntN(15) == 0 {
			h.Unknown(call, now)
		} else {
			h.Return(call, res, now+env.Instant(r.IntN(25)))
		}
	}
	return h
}

func TestWatermark(t *testing.T) {
	w := linearizability.Watermark{Name: "commit LSN"}
	for _, lsn := range []core.LSN{5, 5, 9} {
		if err := w.Move(lsn); err != nil {
			t.Fatal(err)
		}
	}
	if w.Move(8) == nil || w.At() != 9 {
		t.Error("a fall is not seen")
	}
}

func TestLog(t *testing.T) {
	const begin = core.LSN(1000)
	truth := make([]byte, 100_000)
	r := rand.New(rand.NewPCG(1, 1))
	for i := range truth {
		truth[i] = byte(r.Uint32())
	}
	reader := func(b []byte) func(core.LSN, []byte) error {
		return func(at core.LSN, p []byte) error {
			if copy(p, b[at-begin:]) < len(p) {
				return errors.New("too short")
			}
			return nil
		}
	}
	l := linearizability.NewLog(begin)
	for _, end := range []core.LSN{1, 10, 5, 8192, 8193, 30_000, 29_000, 100_000, 50_000} {
		if err := l.Commit("a", begin+end, reader(truth)); err != nil {
			t.Fatalf("up to %d: %v", end, err)
		}
	}
	if l.End() != begin+100_000 {
		t.Errorf("the log ends at %s", l.End())
	}
	other := append([]byte{}, truth...)
	other[97_000]++
	if l.Commit("b", begin+100_000, reader(other)) == nil {
		t.Error("a log that differs is accepted")
	}
	other = append([]byte{}, truth...)
	other[45_000]++
	if l.Commit("b", begin+50_000, reader(other)) == nil {
		t.Error("an old log that differs is accepted")
	}
	if l.Commit("c", begin+100_001, reader(truth)) == nil {
		t.Error("a log that does not hold what it calls committed is accepted")
	}
}
