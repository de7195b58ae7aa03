package fuzz_test

import (
	"testing"
	"testing/synctest"

	"xenon/fuzz"
)

// TestRunInABubble: in a bubble the wall clock stands still and a goroutine that
// is left over fails the test. A run is the same there, so that it looks at no
// clock but its own and leaves nothing behind.
func TestRunInABubble(t *testing.T) {
	outside := fuzz.Run(fuzz.Options{Seed: 7})
	synctest.Test(t, func(t *testing.T) {
		inside := fuzz.Run(fuzz.Options{Seed: 7})
		if inside.Hash != outside.Hash || inside.Steps != outside.Steps {
			t.Errorf("%d steps with hash %016x outside, %d with %016x inside", outside.Steps, outside.Hash, inside.Steps, inside.Hash)
		}
	})
}
