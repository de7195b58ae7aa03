package consensus_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"testing"

	"xenon/core"
	"xenon/internal/killed"
)

func full() bool { return os.Getenv("XENON_FULL") == "1" }

// steps is how many steps each of rapid's 100 worlds takes.
func steps() int {
	if full() {
		return 400
	}
	return 150
}

// runWorld takes steps in a world, heals it, and returns the broken law.
func runWorld(nodes, props, steps int, choose func(int) int) (w *world, err error) {
	defer func() {
		switch v := recover().(type) {
		case nil:
		case core.Violation:
			err = v
		case error:
			err = fmt.Errorf("%w\n%s", v, debug.Stack())
		default:
			panic(v)
		}
	}()
	w = newWorld(nodes, props, choose)
	for range steps {
		w.step()
	}
	return w, w.heal()
}

// guarded makes an error of a broken invariant: a node that stops itself did
// no harm.
func guarded(f func() error) (err error) {
	defer func() {
		if v, ok := recover().(core.Violation); ok {
			err = v
		}
	}()
	return f()
}

// worldLaws is one random world.
func worldLaws(choose killed.Choose) error {
	_, err := runWorld(3, 2, steps(), choose)
	return err
}

func TestWorldKeepsTheLaws(t *testing.T) { killed.Holds(t, worldLaws) }

// TestSeededWorlds goes deeper than rapid's shrinkable worlds can.
func TestSeededWorlds(t *testing.T) {
	seeds := 150
	if full() {
		seeds = 5000
	}
	commits, elections := 0, 0
	for seed := range seeds {
		r := rand.New(rand.NewPCG(uint64(seed), 1))
		nodes := 3
		if seed%4 == 3 {
			nodes = 5
		}
		w, err := runWorld(nodes, 2, 500, r.IntN)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		commits += len(w.law.ghost) / recordLen
		elections += w.elections
	}
	if commits < 3*seeds || elections < 2*seeds {
		t.Errorf("%d seeds committed only %d records in %d elections: nothing was tested", seeds, commits, elections)
	}
	t.Logf("%d records committed in %d elections", commits, elections)
}
