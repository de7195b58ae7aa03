package netsim_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"testing"
	"time"

	"xenon/core/env"
	"xenon/netsim"
)

// rough is options that use every kind of chance, drawn from the seed.
func rough(seed uint64) netsim.Options {
	kinds := []netsim.PolicyKind{netsim.AtRandom, netsim.InOrder, netsim.ByPriority, netsim.StarveTask, netsim.StarveProc}
	return netsim.Options{
		Seed: seed, Yields: int(seed%4) * 30, Wakes: int(seed%3) * 20, Guard: true,
		Policy: netsim.Policy{Kind: kinds[seed%5], Depth: 10, Horizon: 2000, Starved: "server"},
	}
}

// prints runs the scenario for some seeds and tells all that must be equal
// between two runs.
func prints(seeds uint64) (string, error) {
	var b bytes.Buffer
	for seed := range seeds {
		w, err := scenario(rough(seed))
		if err := errors.Join(err, w.Close()); err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "%d: %x %d %s %x\n", seed, w.Hash(), w.Steps(), w.Elapsed(), w.Windows())
	}
	return b.String(), nil
}

const printsEnv = "XENON_NETSIM_PRINTS"

// TestSameInAnotherProcess runs the same seeds in a second operating system
// process, with another number of threads and another garbage collector's
// pace.
func TestSameInAnotherProcess(t *testing.T) {
	const seeds = 20
	if os.Getenv(printsEnv) != "" {
		runtime.GC()
		s, err := prints(seeds)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("<<%s>>", s)
		return
	}
	here, err := prints(seeds)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestSameInAnotherProcess$", "-test.count=1")
	cmd.Env = append(os.Environ(), printsEnv+"=1", "GOMAXPROCS=1", "GOGC=20", "UNRELATED=x")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	_, rest, _ := bytes.Cut(out, []byte("<<"))
	there, _, _ := bytes.Cut(rest, []byte(">>"))
	if string(there) != here {
		t.Errorf("here:\n%s\nin another process:\n%s", here, there)
	}
}

// Seeds differ, and so do runs whose messages differ in one byte.
func TestHashTellsRunsApart(t *testing.T) {
	send := func(seed uint64, text string) (uint64, uint64) {
		w := netsim.New(netsim.Options{Seed: seed, Policy: netsim.Policy{Kind: netsim.InOrder},
			Link: netsim.LinkOptions{Latency: time.Millisecond, Window: 1000}})
		w.Proc("server", netsim.ProcOptions{}).Start((&sink{}).run)
		err := w.Do(time.Hour, func(ctx context.Context, e env.Env) error {
			c, err := dial(ctx, e)
			if err == nil {
				_, err = c.Write([]byte(text))
			}
			return err
		})
		if err := errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
		return w.Hash(), w.Steps()
	}
	h1, s1 := send(1, "commit 0/1000")
	h2, s2 := send(1, "commit 0/1001")
	h3, _ := send(1, "commit 0/1000")
	h4, _ := send(2, "commit 0/1000")
	if s1 != s2 {
		t.Errorf("the runs take %d and %d steps: they differ in more than a byte", s1, s2)
	}
	if h1 == h2 || h1 == h4 {
		t.Error("different runs have one hash")
	}
	if h1 != h3 {
		t.Error("equal runs have different hashes")
	}
}

// TestLeakIsFound: what the scheduler does not see is seen by others.
func TestLeakIsFound(t *testing.T) {
	w := netsim.New(netsim.Options{Guard: true})
	done := make(chan struct{})
	err := w.Do(time.Hour, func(ctx context.Context, e env.Env) error {
		go close(done)
		return e.Clock().Sleep(ctx, time.Second)
	})
	<-done
	if err != nil {
		t.Fatal(err)
	}
	var f *netsim.Failure
	if err := w.Close(); !errors.As(err, &f) || f.Kind != "goroutines" {
		t.Errorf("got %v", err)
	}
}

// TestMapOrderIsFound: a task whose steps depend on the order of a map changes
// the windows from one run to the next.
func TestMapOrderIsFound(t *testing.T) {
	run := func() []uint64 {
		w := netsim.New(netsim.Options{Seed: 1})
		m := make(map[int]bool)
		for i := range 100 {
			m[i] = true
		}
		err := w.Do(time.Hour, func(ctx context.Context, e env.Env) error {
			for range 30 {
				for i := range m {
					if err := e.Clock().Sleep(ctx, time.Duration(1+i)); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err := errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
		return w.Windows()
	}
	if first := run(); len(first) < 2 || slices.Equal(first, run()) {
		t.Errorf("two runs in map order are equal: %x", first)
	}
}

// TestWatchdog: a task that really blocks is reported with all stacks.
func TestWatchdog(t *testing.T) {
	release := make(chan struct{})
	var report []byte
	w := netsim.New(netsim.Options{Stuck: func(stacks []byte) {
		report = stacks
		close(release)
	}})
	err := w.Do(time.Hour, func(context.Context, env.Env) error {
		blocksForReal(release)
		return nil
	})
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(report, []byte("blocksForReal")) {
		t.Errorf("the report does not show who blocks: %s", report)
	}
}

func blocksForReal(until chan struct{}) { <-until }

// TestTasksDoNotLeak: a world that was closed leaves no coroutine behind.
func TestTasksDoNotLeak(t *testing.T) {
	before := runtime.NumGoroutine()
	for seed := range uint64(10) {
		w, err := scenario(netsim.Options{Seed: seed})
		if err := errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if after := runtime.NumGoroutine(); after > before+2 {
		t.Errorf("%d goroutines before, %d after", before, after)
	}
}
