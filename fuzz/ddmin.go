package fuzz

import "slices"

// ddmin finds a small set of the numbers below n for which holds is true, if it
// is true for all of them: one from which no single number can be taken
// (Zeller and Hildebrandt, Simplifying and Isolating Failure-Inducing Input,
// 2002). It first tries none at all.
func ddmin(n int, holds func(keep []int) bool) []int {
	if n == 0 || holds(nil) {
		return nil
	}
	keep := make([]int, n)
	for i := range keep {
		keep[i] = i
	}
	for parts := 2; len(keep) > 1; {
		smaller, ok := without(keep, parts, holds)
		switch {
		case ok:
			keep, parts = smaller, max(2, parts-1)
		case parts >= len(keep):
			return keep
		default:
			parts = min(2*parts, len(keep))
		}
	}
	return keep
}

// without tries keep without each of so many parts of it, the last ones first:
// what comes late in a run is seldom what broke it.
func without(keep []int, parts int, holds func([]int) bool) ([]int, bool) {
	for i := parts - 1; i >= 0; i-- {
		from, to := i*len(keep)/parts, (i+1)*len(keep)/parts
		rest := slices.Concat(keep[:from], keep[to:])
		if holds(rest) {
			return rest, true
		}
	}
	return nil, false
}

// those are the elements of a list at some places.
func those[T any](list []T, places []int) []T {
	out := make([]T, len(places))
	for i, at := range places {
		out[i] = list[at]
	}
	return out
}
