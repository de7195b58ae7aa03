package pageserver_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/pageserver"
	"xenon/core/wire/http1"
	"xenon/core/xsync"
	"xenon/diskdrv"
)

// TestSimulatedOpening: a timeline of hundreds of layers is opened of the object
// store alone in a few seconds, though each request takes its time. An attach
// that loses its patience loses nothing; meanwhile others are attached, asked
// and branched off.
func TestSimulatedOpening(t *testing.T) {
	s := simulate(t, 1)
	s.bucket = diskdrv.BucketIn(s.w, "slow bucket", diskdrv.BucketFaults{}) // one that knows the time
	if err := s.test.Do(time.Minute, s.begin); err != nil {
		t.Fatal(err)
	}
	sc := newScript(&world{im: s.im})
	rng := s.w.Rand("script")
	for len(sc.recs) < 700 {
		sc.step(t, rng.IntN)
	}
	for i := range s.sks {
		s.startSK(i)
	}
	ps := s.proc("opener")
	start := func(wipe bool) {
		ps.Start(func(ctx context.Context, e env.Env) error {
			if wipe {
				if err := empty(e.FS(), "."); err != nil {
					return err
				}
			}
			return pageserver.Run(ctx, e, pageserver.Config{ID: 7, Listen: openerAddr, WaitLSNSeconds: 600, CheckpointDistance: 1 << 30})
		})
	}
	start(false)
	o := opener{simulated: s, sc: sc, restart: func() { ps.PowerCut(); start(true) }}
	if err := s.test.Do(3*time.Hour, o.work); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d layers opened in %s, another timeline in %s", o.layers, o.took, o.other)
	if o.layers < 300 {
		t.Errorf("only %d layers", o.layers)
	}
	// One after the other they take three requests of 50 ms each.
	if bound := time.Duration(o.layers) * 150 * time.Millisecond / 8; o.took > bound {
		t.Errorf("%d layers were opened in %s, want %s at most", o.layers, o.took, bound)
	}
	if o.other > time.Second { // some ten requests, one after the other
		t.Errorf("another timeline was opened in %s beside that", o.other)
	}
}

const openerAddr = "opener:6400"

var otherTimeline = timelineID(8)

type opener struct {
	*simulated
	sc          *script
	restart     func()
	layers      int
	took, other time.Duration
}

func (o *opener) call(ctx context.Context, e env.Env, method, path string, in any) (info pageserver.TimelineInfo, err error) {
	err = http1.Call(ctx, e, openerAddr, method, path, in, &info)
	return info, err
}

func (o *opener) attach(ctx context.Context, e env.Env, id core.TTID, of core.TTID, at core.LSN) error {
	req := pageserver.AttachRequest{Timeline: id.Timeline, Ancestor: of.Timeline, AncestorStart: at}
	for i := range o.sks {
		req.Safekeepers = append(req.Safekeepers, skAddr(i))
	}
	_, err := o.call(ctx, e, "POST", "/v1/tenant/"+id.Tenant.String()+"/timeline", req)
	return err
}

// work makes a timeline of one layer for every two records, and another one of
// none, and opens both of the object store.
func (o *opener) work(ctx context.Context, e env.Env) error {
	var sks []*safekeeperAt
	for i := range o.sks {
		k := &safekeeperAt{env: e, addr: skAddr(i)}
		if err := errors.Join(k.create(ctx, o.im, 3), k.elect(ctx, members(3), testServer, 1)); err != nil {
			return err
		}
		sks = append(sks, k)
	}
	err := o.attach(ctx, e, testTimeline, core.TTID{}, 0)
	from := o.sc.begin
	for n := (len(o.sc.lsns) - 1) % 2; n < len(o.sc.lsns) && err == nil; n += 2 {
		to := o.sc.lsns[n]
		for _, k := range sks {
			k.c.NetConn().SetDeadline(e.Clock().Now().Add(time.Minute))
			err = errors.Join(err, k.push(o.sc, from, to))
		}
		from = to
		if err == nil {
			err = o.sc.check(ctx, e, openerAddr, to)
		}
		if err == nil {
			_, err = o.call(ctx, e, "PUT", routeOf(testTimeline)+"/checkpoint?wait_upload=true", nil)
		}
	}
	if err != nil {
		return err
	}
	if _, err := pageserver.Import(ctx, e, e.FS(), otherTimeline); err != nil {
		return err
	}
	return o.open(ctx, e)
}

// open has the pageserver lose its disk and open both timelines.
func (o *opener) open(ctx context.Context, e env.Env) error {
	o.bucket.SetFaults(diskdrv.BucketFaults{Latency: diskdrv.Delay{Base: 25 * time.Millisecond}})
	o.restart()
	if err := e.Clock().Sleep(ctx, time.Second); err != nil {
		return err
	}
	began := e.Clock().Mono()
	hasty, cancel := xsync.WithTimeout(ctx, e, 500*time.Millisecond)
	err := o.attach(hasty, e, testTimeline, core.TTID{}, 0)
	cancel()
	if err == nil {
		return errors.New("the timeline of many layers was opened in no time")
	}
	second := e.Clock().Mono()
	if err := o.attach(ctx, e, otherTimeline, core.TTID{}, 0); err != nil {
		return err
	}
	o.other = e.Clock().Mono().Sub(second)
	if err := o.attach(ctx, e, timelineID(9), otherTimeline, o.sc.begin); err != nil {
		return fmt.Errorf("a branch off the other timeline: %w", err)
	}
	if _, err := o.call(ctx, e, "GET", routeOf(otherTimeline), nil); err != nil {
		return err
	}
	if _, err := o.call(ctx, e, "GET", routeOf(testTimeline), nil); statusOf(err) != 404 && statusOf(err) != 503 {
		return fmt.Errorf("the timeline that is being opened: %w", err)
	}
	if err := o.attach(ctx, e, testTimeline, core.TTID{}, 0); err != nil {
		return err
	}
	o.took = e.Clock().Mono().Sub(began)
	info, err := o.call(ctx, e, "GET", routeOf(testTimeline), nil)
	if o.layers = info.Layers; err == nil && info.Resumed != o.sc.last() {
		err = fmt.Errorf("it was opened up to %s, want %s", info.Resumed, o.sc.last())
	}
	for i := 0; i < len(o.sc.lsns) && err == nil; i += 50 {
		err = o.sc.check(ctx, e, openerAddr, o.sc.lsns[i])
	}
	return err
}
