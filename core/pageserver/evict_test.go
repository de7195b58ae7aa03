package pageserver_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"xenon/core/env"
	"xenon/core/pageserver"
	"xenon/core/wire/http1"
	"xenon/diskdrv"
	"xenon/netsim"
)

const smallAddr = "small:6400"

// withSmall makes a history of 200 records, and a pageserver that has a disk of
// its own and does not run yet.
func withSmall(t *testing.T) (*simulated, *script, *diskdrv.Disk, *netsim.Proc) {
	s := simulate(t, 1)
	if err := s.test.Do(time.Minute, s.begin); err != nil {
		t.Fatal(err)
	}
	sc := newScript(&world{im: s.im})
	rng := rand.New(rand.NewPCG(1, 1))
	for len(sc.recs) < 200 {
		sc.step(t, rng.IntN)
	}
	disk := diskdrv.NewDisk(diskdrv.DiskOptions{Rand: s.w.Rand("small disk")})
	return s, sc, disk, s.w.Proc("small", netsim.ProcOptions{Disk: disk, Objects: func(e env.Env) env.ObjectStore { return s.bucket.Objects(e, "small") }})
}

// TestFullDisk: when the disk gets full, layers that are in the object store
// leave it, and are read there.
func TestFullDisk(t *testing.T) {
	s, sc, disk, ps := withSmall(t)
	var files env.FS
	ps.Start(func(ctx context.Context, e env.Env) error {
		files = e.FS()
		return pageserver.Run(ctx, e, pageserver.Config{ID: 7, Listen: smallAddr, WaitLSNSeconds: 600, CheckpointDistance: 4000})
	})
	for i := range s.sks {
		s.startSK(i)
	}
	err := s.test.Do(time.Hour, func(ctx context.Context, e env.Env) error {
		k := &safekeeperAt{env: e, addr: skAddr(0)}
		if err := errors.Join(k.create(ctx, s.im, 1), k.elect(ctx, members(1), testServer, 1), k.push(sc, sc.begin, sc.last())); err != nil {
			return err
		}
		if err := attach(ctx, e, smallAddr); err != nil {
			return err
		}
		if err := sc.check(ctx, e, smallAddr, sc.last()); err != nil {
			return err
		}
		if err := http1.Call(ctx, e, smallAddr, "PUT", routeOf(testTimeline)+"/checkpoint?wait_upload=true", nil, nil); err != nil {
			return err
		}
		if len(layersOn(files)) == 0 {
			return errors.New("no layers are on the disk")
		}
		disk.SetFree(1 << 20)
		if err := e.Clock().Sleep(ctx, 15*time.Second); err != nil {
			return err
		}
		if n := len(layersOn(files)); n != 0 {
			return fmt.Errorf("%d layers stay on a full disk", n)
		}
		for i := 0; i < len(sc.lsns); i += 3 {
			if err := sc.check(ctx, e, smallAddr, sc.lsns[i]); err != nil {
				return err
			}
		}
		if n := len(layersOn(files)); n != 0 {
			return fmt.Errorf("%d layers came back to a full disk", n)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
