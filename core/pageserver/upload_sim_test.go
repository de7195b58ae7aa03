package pageserver_test

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"testing"
	"time"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/pageserver"
	"xenon/core/pageserver/remote"
	"xenon/core/wire/http1"
	"xenon/diskdrv"
	"xenon/netsim"
)

// A pair is two pageservers that are both told to serve the timeline, over one
// bucket that misbehaves.
type pair struct {
	*simulated
	procs   [2]*netsim.Proc
	rng     *rand.Rand
	over    bool
	wipes   int
	stalls  int
	uploads core.LSN // what the safekeepers heard last
}

func pairAddr(i int) string { return fmt.Sprintf("pair%d:6400", i) }

// start starts a pageserver that flushes and uploads all the time, on an empty
// disk if wipe is set.
func (p *pair) start(i int, wipe bool) {
	p.procs[i].Start(func(ctx context.Context, e env.Env) error {
		if wipe {
			if err := empty(e.FS(), "."); err != nil {
				return err
			}
		}
		return pageserver.Run(ctx, e, pageserver.Config{ID: core.NodeID(7 + i), Listen: pairAddr(i), WaitLSNSeconds: 600,
			MemoryBytes: 1 << 20, CheckpointDistance: 4000, CheckpointTimeoutSeconds: 2})
	})
}

func empty(fsys env.FS, dir string) error {
	entries, err := fsys.ReadDir(dir)
	for _, x := range entries {
		at := dir + "/" + x.Name
		if dir == "." {
			at = x.Name
		}
		if x.Dir {
			err = errors.Join(err, empty(fsys, at))
		}
		err = errors.Join(err, fsys.Remove(at))
	}
	return err
}

// haunt ends, wipes and stalls pageservers.
func (p *pair) haunt() {
	if p.over {
		return
	}
	i := p.rng.IntN(2)
	switch what := p.rng.IntN(6); {
	case !p.procs[i].Running():
		p.start(i, p.rng.IntN(3) == 0)
	case what == 0:
		p.procs[i].Kill()
		p.start(i, false)
	case what == 1:
		p.procs[i].PowerCut()
		p.start(i, true)
		p.wipes++
	default:
		p.stalls++
		p.procs[i].Pause()
		p.w.After(time.Duration(p.rng.Int64N(int64(20*time.Second))), func() {
			if p.procs[i].Running() {
				p.procs[i].Resume()
			}
		})
	}
	p.w.After(time.Duration(p.rng.Int64N(int64(8*time.Second))), p.haunt)
}

// TestSimulatedPair: two pageservers supersede each other again and again while
// WAL is committed and pages are read from both. In the end the bucket alone
// has all that was reported as remote-consistent, and a third pageserver goes
// on from there.
func TestSimulatedPair(t *testing.T) {
	wipes, stalls, uploads := 0, 0, 0
	for seed := range max(seeds()/2, 3) {
		p := runPair(t, seed)
		if wipes, stalls = wipes+p.wipes, stalls+p.stalls; p.uploads > 0 {
			uploads++
		}
	}
	t.Logf("%d disks wiped, %d stalls, reports in %d worlds", wipes, stalls, uploads)
	if wipes == 0 || stalls == 0 || uploads == 0 {
		t.Error("something was never tried")
	}
}

func runPair(t *testing.T, seed uint64) *pair {
	t.Helper()
	p := &pair{simulated: simulate(t, seed), rng: rand.New(rand.NewPCG(seed, 9))}
	if err := p.test.Do(time.Minute, p.begin); err != nil {
		t.Fatal(err)
	}
	for i := range p.procs {
		p.procs[i] = p.proc(fmt.Sprintf("pair%d", i))
	}
	sc := newScript(&world{im: p.im})
	for len(sc.recs) < 300 {
		sc.step(t, p.rng.IntN)
	}
	for i := range p.sks {
		p.startSK(i)
	}
	p.start(0, false)
	p.start(1, false)
	p.bucket.SetFaults(diskdrv.BucketFaults{SlowDown: 20, Unavailable: 20, LostRequest: 20, LostResponse: 40, Late: 40, Twice: 20, CutBody: 10, Keys: "tenants/"})
	var late func()
	late = func() {
		p.bucket.RunLate()
		p.w.After(time.Second, late)
	}
	late()
	p.w.After(5*time.Second, p.haunt)
	err := p.test.Do(3*time.Hour, func(ctx context.Context, e env.Env) error { return p.work(ctx, e, sc) })
	if err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	return p
}

// work commits the script, reads meanwhile, and checks the bucket in the end.
func (p *pair) work(ctx context.Context, e env.Env, sc *script) error {
	var sks []*safekeeperAt
	for i := range p.sks {
		k := &safekeeperAt{env: e, addr: skAddr(i)}
		if err := errors.Join(k.create(ctx, p.im, 3), k.elect(ctx, members(3), testServer, 1)); err != nil {
			return err
		}
		sks = append(sks, k)
	}
	for i := range p.procs {
		if err := attach(ctx, e, pairAddr(i)); err != nil {
			return err
		}
	}
	from := sc.begin
	for n := 20; n <= len(sc.lsns); n += 20 {
		to := sc.lsns[n-1]
		for _, k := range sks {
			k.c.NetConn().SetDeadline(e.Clock().Now().Add(time.Minute))
			if err := k.push(sc, from, to); err != nil {
				return err
			}
		}
		from = to
		i := p.rng.IntN(2)
		// One that was wiped does not know the timeline until it is told again.
		if err := attach(ctx, e, pairAddr(i)); err != nil {
			return err
		}
		if err := sc.check(ctx, e, pairAddr(i), sc.lsns[p.rng.IntN(n)]); err != nil {
			return err
		}
		if err := e.Clock().Sleep(ctx, 4*time.Second); err != nil {
			return err
		}
	}
	p.over = true
	p.bucket.SetFaults(diskdrv.BucketFaults{})
	for _, proc := range p.procs {
		if proc.Running() {
			proc.Kill()
		}
	}
	for _, k := range sks {
		st, err := k.status(ctx)
		if err != nil {
			return err
		}
		p.uploads = max(p.uploads, st.RemoteConsistent)
	}
	return p.third(ctx, e, sc)
}

// third checks what is in the bucket, and what a new pageserver makes of it.
func (p *pair) third(ctx context.Context, e env.Env, sc *script) error {
	x, err := remote.Peek(ctx, e, testTimeline)
	if err != nil {
		return err
	}
	if x.DiskConsistent.LSN < p.uploads {
		return fmt.Errorf("the index goes up to %s, %s was reported", x.DiskConsistent.LSN, p.uploads)
	}
	for _, l := range x.Layers {
		b, _, err := env.ReadObject(ctx, e.Objects(), x.Object(l))
		if err != nil || crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) != l.CRC {
			return fmt.Errorf("layer %s of the index: %v", l.Name, err)
		}
	}
	p.start(0, true)
	if err := attach(ctx, e, pairAddr(0)); err != nil {
		return err
	}
	for i := 0; i < len(sc.lsns)/20*20; i += 7 {
		if err := sc.check(ctx, e, pairAddr(0), sc.lsns[i]); err != nil {
			return err
		}
	}
	var info pageserver.TimelineInfo
	if err := http1.Call(ctx, e, pairAddr(0), "GET", routeOf(testTimeline), nil, &info); err != nil {
		return err
	}
	if info.Resumed != x.DiskConsistent.LSN {
		return fmt.Errorf("ingest went on at %s, the index goes up to %s", info.Resumed, x.DiskConsistent.LSN)
	}
	return nil
}
