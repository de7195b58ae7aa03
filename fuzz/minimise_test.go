package fuzz

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"
	"xenon/netsim"
)

// TestDdmin: what it keeps holds, and no single number can be taken from it.
func TestDdmin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 40).Draw(t, "n")
		var wanted [][]int // any of these must be kept whole
		for range rapid.IntRange(1, 3).Draw(t, "ways") {
			wanted = append(wanted, rapid.SliceOfNDistinct(rapid.IntRange(0, max(0, n-1)), 0, min(n, 5), rapid.ID[int]).Draw(t, "way"))
		}
		tries := 0
		holds := func(keep []int) bool {
			tries++
			return slices.ContainsFunc(wanted, func(way []int) bool {
				return !slices.ContainsFunc(way, func(x int) bool { return !slices.Contains(keep, x) })
			})
		}
		keep := ddmin(n, holds)
		if !holds(keep) || !slices.IsSorted(keep) {
			t.Fatalf("%v of %d does not hold, want one of %v", keep, n, wanted)
		}
		for i := range keep {
			if holds(slices.Delete(slices.Clone(keep), i, i+1)) {
				t.Fatalf("%v of %d: %d can be taken from it, want one of %v", keep, n, keep[i], wanted)
			}
		}
		if tries > 1+len(keep)+n*(n+6) {
			t.Fatalf("%d tries for %d", tries, n)
		}
	})
}

// TestSignature: runs that fail alike have one signature, others have not.
func TestSignature(t *testing.T) {
	of := func(o Oracle, text string) signature {
		return (&Result{Err: &Violation{o, errors.New(text)}}).signature()
	}
	tests := []struct {
		name string
		a, b signature
		same bool
	}{
		{"other LSNs and nodes", of(DurableFlush, "sk1 reported flush LSN 0/1FA108, but on its device"), of(DurableFlush, "sk3 reported flush LSN 1/30, but on its device"), true},
		{"other branches", of(Liveness, "waiting for writes on main\nx"), of(Liveness, "waiting for writes on branch-2\ny"), true},
		{"other details behind", of(PageReplay, "ps2 answers of branch-1: block 1 of 1663/5/16384 as of 0/10, byte 7 is 8"), of(PageReplay, "ps1 answers of main: block 9 of 1663/5/16385 as of 0/1F, length"), true},
		{"another oracle", of(Prefix, "sk1 has other WAL"), of(LostCommit, "sk1 has other WAL"), false},
		{"another stage", of(Liveness, "waiting for writes on main"), of(Liveness, "waiting for acts to be done"), false},
		{"no failure", (&Result{}).signature(), of(Prefix, "sk1 has other WAL"), false},
	}
	for _, tt := range tests {
		if (tt.a == tt.b) != tt.same {
			t.Errorf("%s: %q and %q", tt.name, tt.a, tt.b)
		}
	}
	if SameFailure(&Result{}, &Result{}) {
		t.Error("two runs that did not fail failed the same way")
	}
}

// TestSplitSpans: pieces of spans are the spans.
func TestSplitSpans(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := netsim.Span{First: rapid.Uint64Range(1, 1000).Draw(t, "first"), Count: rapid.Uint64Range(1, 100_000).Draw(t, "count")}
		pieces := split([]netsim.Span{s}, rapid.IntRange(1, 20).Draw(t, "n"))
		next := s.First
		for _, p := range pieces {
			if p.First != next || p.Count == 0 {
				t.Fatalf("%v has %v", s, pieces)
			}
			next += p.Count
		}
		if next != s.First+s.Count {
			t.Fatalf("%v ends at %d", pieces, next)
		}
	})
}
