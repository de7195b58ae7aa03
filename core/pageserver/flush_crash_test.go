package pageserver_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"xenon/core/env"
	"xenon/core/layer"
	"xenon/core/pageserver"
	"xenon/diskdrv"
	"xenon/netsim"
)

// A crashing is one timeline on a simulated disk whose power is cut now and
// then, also in the middle of flushes.
type crashing struct {
	s       *simulated
	disk    *diskdrv.Disk
	ps      *netsim.Proc
	sc      *script
	flushed pageserver.Record // the last that a Flush reported
	cuts    int
	diffs   []string
}

func newCrashing(t *testing.T, seed uint64, records int) *crashing {
	t.Helper()
	c := &crashing{s: simulate(t, seed)}
	c.disk = diskdrv.NewDisk(diskdrv.DiskOptions{Rand: c.s.w.Rand("disk crashing")})
	c.ps = c.s.w.Proc("crashing", netsim.ProcOptions{Disk: c.disk,
		Objects: func(e env.Env) env.ObjectStore { return c.s.bucket.Objects(e, "crashing") }})
	if err := c.s.test.Do(time.Minute, c.s.begin); err != nil {
		t.Fatal(err)
	}
	c.sc = newScript(&world{im: c.s.im})
	rng := rand.New(rand.NewPCG(seed, 6))
	for len(c.sc.recs) < records {
		c.sc.step(t, rng.IntN)
	}
	return c
}

// run ingests to the end in as many incarnations as it takes.
func (c *crashing) run(t *testing.T, rng *rand.Rand) {
	t.Helper()
	for done := false; !done; {
		at := time.Duration(rng.IntN(400)) * time.Millisecond
		cut := false
		if c.cuts < 12 {
			c.s.w.After(at, func() {
				if c.ps.Running() {
					cut = true
					c.ps.PowerCut()
				}
			})
		}
		err := c.ps.Do(time.Hour, func(ctx context.Context, e env.Env) error {
			if err := c.live(ctx, e, rng); err != nil {
				return err
			}
			done = true
			return nil
		})
		if cut {
			c.cuts++
			continue
		}
		if err != nil {
			c.diffs = append(c.diffs, err.Error())
			return
		}
	}
}

// live is one incarnation.
func (c *crashing) live(ctx context.Context, e env.Env, rng *rand.Rand) error {
	if err := e.FS().Mkdir("tl"); err == nil {
		if err := e.FS().SyncDir("."); err != nil {
			return err
		}
	}
	tl, err := pageserver.OpenTimeline(ctx, e, testTimeline, "tl", layer.NewCache(1<<20))
	if err != nil {
		return err
	}
	defer tl.Close()
	if at := tl.LastRecord(); at.LSN < c.flushed.LSN {
		return fmt.Errorf("a restart resumes behind %s, flushed was up to %s", at.LSN, c.flushed.LSN)
	}
	for i, rec := range c.sc.recs {
		if rec.End <= tl.LastRecord().LSN {
			continue
		}
		if err := tl.Ingest(rec); err != nil {
			return err
		}
		if rng.IntN(8) == 0 {
			if err := tl.Flush(ctx); err != nil {
				return err
			}
			c.flushed = tl.DiskConsistent()
		}
		if rng.IntN(4) == 0 {
			c.diffs = append(c.diffs, c.sc.compare(tl, c.sc.lsns[rng.IntN(i+1)])...)
		}
		if err := e.Clock().Sleep(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
	for i := 0; i < len(c.sc.lsns); i += 5 {
		c.diffs = append(c.diffs, c.sc.compare(tl, c.sc.lsns[i])...)
	}
	return nil
}

// runCrashes returns what is wrong in one world.
func runCrashes(t *testing.T, seed uint64) []string {
	t.Helper()
	c := newCrashing(t, seed, 150)
	c.disk.SetFaults(diskdrv.Faults{Write: diskdrv.Delay{Base: time.Millisecond, Jitter: 2 * time.Millisecond}, Sync: diskdrv.Delay{Base: time.Millisecond, Jitter: 8 * time.Millisecond}})
	c.run(t, rand.New(rand.NewPCG(seed, 7)))
	if c.cuts < 4 && len(c.diffs) == 0 {
		t.Errorf("%d power cuts: too few to mean anything", c.cuts)
	}
	return c.diffs
}

// TestFlushSurvivesPowerCuts: what a flush reported is there after any power
// cut, and what is there is right.
func TestFlushSurvivesPowerCuts(t *testing.T) {
	for seed := range 2 * seeds() {
		for _, d := range runCrashes(t, seed) {
			t.Errorf("seed %d: %s", seed, d)
		}
	}
}

// TestFlushOperations is what a flush does to the disk, in order: nothing names
// what is not durable.
func TestFlushOperations(t *testing.T) {
	c := newCrashing(t, 1, 20)
	var log []string
	err := c.ps.Do(time.Hour, func(ctx context.Context, e env.Env) error {
		if err := e.FS().Mkdir("tl"); err != nil {
			return err
		}
		tl, err := pageserver.OpenTimeline(ctx, e, testTimeline, "tl", layer.NewCache(1<<20))
		if err != nil {
			return err
		}
		for _, rec := range c.sc.recs {
			if err := tl.Ingest(rec); err != nil {
				return err
			}
		}
		c.disk.StartLog()
		if err := tl.Flush(ctx); err != nil {
			return err
		}
		for _, op := range c.disk.Log() {
			name := op.Name
			if strings.Contains(name, "__") {
				name = "LAYER"
			}
			line := op.Kind + " " + strings.TrimPrefix(name, "tl/")
			if len(log) == 0 || log[len(log)-1] != line { // writes go in pieces
				log = append(log, line)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	const want = "create LAYER\nwrite LAYER\nsync LAYER\nsync-dir tl\n" +
		"create manifest.new\nwrite manifest.new\nsync manifest.new\nrename manifest.new\nsync-dir tl"
	if got := strings.Join(log, "\n"); got != want {
		t.Errorf("a flush does\n%s\nwant\n%s", got, want)
	}
}
