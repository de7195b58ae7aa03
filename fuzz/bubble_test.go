package fuzz_test

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
	"testing/synctest"

	"xenon/fuzz"
)

// inBubble tells a second process of this test what a run has to be like.
const inBubble = "XENON_TEST_BUBBLE"

// TestRunInABubble: in a bubble the wall clock stands still and a goroutine that
// is left over fails the test. A run is the same there, so that it looks at no
// clock but its own and leaves nothing behind. The bubble is in a process of its
// own: what is made once for all runs must not be made outside of it.
func TestRunInABubble(t *testing.T) {
	trail := func() string {
		r := fuzz.Run(fuzz.Options{Seed: 7})
		return fmt.Sprintf("%d steps with hash %016x, %v", r.Steps, r.Hash, r.Err)
	}
	if outside := os.Getenv(inBubble); outside != "" {
		synctest.Test(t, func(t *testing.T) {
			if inside := trail(); inside != outside {
				t.Errorf("%s outside, %s inside", outside, inside)
			}
		})
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestRunInABubble$")
	cmd.Env = append(os.Environ(), inBubble+"="+trail())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("in a bubble: %v\n%s", err, out)
	}
}
