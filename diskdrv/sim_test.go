package diskdrv_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"xenon/core/env"
	"xenon/core/env/envtest"
	"xenon/diskdrv"
	"xenon/netsim"
)

// inWorld runs the lives of a case as the main tasks of one simulated process,
// with a power cut between them, and returns the hash of the run.
func inWorld(c envtest.Case, seed uint64) (uint64, error) {
	w := netsim.New(netsim.Options{Seed: seed, Yields: 50, Wakes: 20})
	defer w.Close()
	slow := diskdrv.Delay{Base: time.Millisecond, Jitter: 5 * time.Millisecond, Stalls: 5, Stall: time.Second}
	d := diskdrv.DiskIn(w, "disk", 0, diskdrv.Faults{Read: slow, Write: slow, Sync: slow, Name: slow})
	b := diskdrv.BucketIn(w, "bucket", diskdrv.BucketFaults{Latency: slow})
	p := w.Proc("p", netsim.ProcOptions{
		Disk:    d,
		Objects: func(e env.Env) env.ObjectStore { return b.Objects(e, "p") },
	})
	for _, life := range c.Lives {
		done := false
		p.Start(func(ctx context.Context, e env.Env) error {
			life(ctx, e)
			done = true
			return e.Clock().Sleep(ctx, 1000*time.Hour) // until the power fails
		})
		if err := w.Run(time.Hour, func() bool { return done }); err != nil {
			return 0, err
		}
		p.PowerCut()
	}
	return w.Hash(), nil
}

// TestContractsInWorld holds the simulated disk and bucket to their contracts
// where they take time and tasks are coroutines, and runs every seed twice.
func TestContractsInWorld(t *testing.T) {
	each := func(t *testing.T, c envtest.Case) {
		for seed := range uint64(10) {
			first, err := inWorld(c, seed)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if again, err := inWorld(c, seed); again != first {
				t.Fatalf("seed %d: two runs have the hashes %x and %x, %v", seed, first, again, err)
			}
		}
	}
	t.Run("disk", func(t *testing.T) { envtest.FS(t, each) })
	t.Run("bucket", func(t *testing.T) { envtest.Objects(t, each) })
}

// TestRequestOutlivesItsProcess: what was sent takes effect although its
// sender was killed meanwhile.
func TestRequestOutlivesItsProcess(t *testing.T) {
	w := netsim.New(netsim.Options{Seed: 1})
	defer w.Close()
	b := diskdrv.BucketIn(w, "bucket", diskdrv.BucketFaults{Latency: diskdrv.Delay{Base: time.Second}})
	p := w.Proc("p", netsim.ProcOptions{Objects: func(e env.Env) env.ObjectStore { return b.Objects(e, "p") }})
	p.Start(func(ctx context.Context, e env.Env) error {
		_, err := e.Objects().Put(ctx, "a", env.Bytes([]byte("text")), env.PutOpts{})
		return fmt.Errorf("a dead process got an answer: %w", err)
	})
	w.After(500*time.Millisecond, p.Kill)
	if err := w.Run(time.Minute, nil); err != nil {
		t.Fatal(err)
	}
	if got, _ := b.Peek("a"); string(got) != "text" {
		t.Errorf("stored: %q, main: %v", got, p.Err())
	}
}

// TestKilledInSync: a process killed while it syncs has synced or has not.
func TestKilledInSync(t *testing.T) {
	seen := make(map[string]int)
	for seed := range uint64(60) {
		w := netsim.New(netsim.Options{Seed: seed})
		d := diskdrv.DiskIn(w, "disk", 0, diskdrv.Faults{})
		p := w.Proc("p", netsim.ProcOptions{Disk: d})
		if err := p.Do(time.Minute, func(_ context.Context, e env.Env) error { return e.FS().SyncDir(".") }); err != nil {
			t.Fatal(err)
		}
		d.SetFaults(diskdrv.Faults{Sync: diskdrv.Delay{Base: time.Second}})
		p.Start(func(_ context.Context, e env.Env) error {
			h := create(e.FS(), "a")
			must(0, e.FS().SyncDir("."))
			must(h.WriteAt([]byte("text"), 0))
			return errors.Join(h.Sync(env.SyncData), errors.New("the sync returned"))
		})
		w.After(time.Second+time.Duration(w.Rand("cut").Int64N(int64(time.Second))), p.PowerCut)
		if err := w.Run(time.Minute, func() bool { return !p.Running() }); err != nil {
			t.Fatal(err)
		}
		var buf [10]byte
		seen[string(buf[:must(d.ReadDurable("a", buf[:], 0))])]++
		w.Close()
	}
	if seen["text"] == 0 || seen[""] == 0 {
		t.Errorf("what was left: %v", seen)
	}
}
