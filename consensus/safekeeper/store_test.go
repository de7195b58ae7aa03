package safekeeper_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"xenon/consensus"
	"xenon/consensus/safekeeper"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/wire"
	"xenon/core/wire/http1"
	"xenon/diskdrv"
	"xenon/netsim"
)

// A depot is one safekeeper with an object store, in a simulated world.
type depot struct {
	t      *testing.T
	w      *netsim.World
	disk   *diskdrv.Disk
	bucket *diskdrv.Bucket
	sk     *netsim.Proc
	main   netsim.Main
}

func newDepot(t *testing.T, cfg safekeeper.Config) *depot {
	w := netsim.New(netsim.Options{Seed: 1})
	t.Cleanup(func() { w.Close() })
	d := &depot{t: t, w: w, bucket: diskdrv.BucketIn(w, "bucket", diskdrv.BucketFaults{})}
	d.disk = diskdrv.NewDisk(diskdrv.DiskOptions{Rand: w.Rand("disk")})
	d.sk = w.Proc("sk1", netsim.ProcOptions{Disk: d.disk, Objects: func(e env.Env) env.ObjectStore { return d.bucket.Objects(e, "sk1") }})
	cfg.NodeID, cfg.Listen, cfg.Limits.LowWaterBytes = me, "sk1:1", -1
	d.main = func(ctx context.Context, e env.Env) error { return safekeeper.Run(ctx, e, cfg) }
	d.sk.Start(d.main)
	return d
}

// do runs f as a client.
func (d *depot) do(f func(c *customer) error) {
	d.t.Helper()
	n := d.w.Elapsed()
	p := d.w.Proc(fmt.Sprintf("client-%d", n), netsim.ProcOptions{})
	err := p.Do(20*time.Minute, func(ctx context.Context, e env.Env) error { return f(&customer{d, ctx, e}) })
	if err != nil {
		d.t.Fatal(err)
	}
}

// A customer is a client at work.
type customer struct {
	*depot
	ctx context.Context
	e   env.Env
}

func (c *customer) sleep(d time.Duration) { c.e.Clock().Sleep(c.ctx, d) }

func (c *customer) create() error {
	body := safekeeper.NewCreation(ttid, conf, pg, startAt, nil)
	return http1.Call(c.ctx, c.e, "sk1:1", "POST", "/v1/tenant/timeline", body, nil)
}

func (c *customer) status() (s safekeeper.TimelineStatus) {
	path := "/v1/tenant/" + ttid.Tenant.String() + "/timeline/" + ttid.Timeline.String()
	if err := http1.Call(c.ctx, c.e, "sk1:1", "GET", path, nil, &s); err != nil {
		c.t.Error(err)
	}
	return s
}

// until waits for something to become so.
func (c *customer) until(what string, f func(s safekeeper.TimelineStatus) bool) error {
	for range 600 {
		if f(c.status()) {
			return nil
		}
		c.sleep(time.Second)
	}
	return fmt.Errorf("%s: it did not happen: %+v", what, c.status())
}

func (c *customer) connect() (*wire.Client, error) {
	return wire.Connect(c.ctx, c.e, "sk1:1", wire.ClientConfig{TTID: ttid, Timeout: time.Hour})
}

// lead elects a proposer.
func (c *customer) lead(term core.Term) (*proposer, core.LSN, error) {
	x, err := c.connect()
	if err == nil {
		err = x.CopyBoth("START_WAL_PUSH (proto_version '3', allow_timeline_creation 'false')")
	}
	if err != nil {
		return nil, 0, err
	}
	p := &proposer{c.t, x}
	return p, p.lead(term), nil
}

// stored reports, as a pageserver does, that the pages of WAL up to lsn are
// stored.
func (c *customer) stored(lsn core.LSN) error {
	x, err := c.connect()
	if err == nil {
		err = x.CopyBoth(startReplication(lsn))
	}
	if err != nil {
		return err
	}
	x.CopyData(wire.AppendFeedbackMessage(nil, &consensus.PageserverFeedback{LastReceived: lsn, DiskConsistent: lsn, RemoteConsistent: lsn}), nil)
	x.Flush()
	c.sleep(100 * time.Millisecond)
	return x.Close()
}

// read reads WAL as a reader does.
func (c *customer) read(from core.LSN, n int) ([]byte, error) {
	x, err := c.connect()
	if err == nil {
		err = x.CopyBoth(startReplication(from))
	}
	if err != nil {
		return nil, err
	}
	defer x.Close()
	var got []byte
	for len(got) < n {
		body, err := x.ReadCopy()
		if err != nil {
			return got, err
		}
		if m, err := wire.DecodeStream(body); err != nil {
			return got, err
		} else if m.Kind == wire.MsgXLogData {
			got = append(got, m.Data.WAL...)
		}
	}
	return got, nil
}

// write appends records until the log is n segments long, and commits up to
// commit of them; it returns the WAL.
func write(p *proposer, term core.Term, w *walMaker, segments int) (b []byte, err error) {
	for w.enc.Pos() < startAt+core.LSN(segments)*segSize {
		at := w.enc.Pos()
		part := w.records(1, 100_000)
		resp, err := p.append(term, at, part, at)
		if err != nil {
			return b, err
		}
		b = append(b, part...)
		for resp.Flush < w.enc.Pos() { // it is told that the append waits
			m, err := p.receive()
			if err != nil {
				return b, err
			}
			resp = m.Append
		}
	}
	_, err = p.append(term, w.enc.Pos(), nil, w.enc.Pos())
	return b, err
}

// TestWALGoesAndIsServed: segments go to the store once they are committed, and
// from the disk once their pages are stored; readers get them all the same. A
// limit makes appends wait while the store is down, says so, and lets them go
// on after.
func TestWALGoesAndIsServed(t *testing.T) {
	if err := goesAndIsServed(t); err != nil {
		t.Error(err)
	}
}

func goesAndIsServed(t *testing.T) (found error) {
	d := newDepot(t, safekeeper.Config{Limits: safekeeper.Limits{MaxTimelineBytes: 4 * segSize, WALHoldSeconds: 1}})
	d.do(func(c *customer) error {
		if err := c.create(); err != nil {
			return err
		}
		p, at, err := c.lead(1)
		if err != nil {
			return err
		}
		w := newWAL(at, 0)
		// A segment that is full and not committed stays.
		var b []byte
		for w.enc.Pos() < startAt+3*segSize/2 {
			part := w.records(1, 100_000)
			if _, err := p.append(1, w.enc.Pos()-core.LSN(len(part)), part, 0); err != nil {
				return err
			}
			b = append(b, part...)
		}
		c.sleep(5 * time.Second)
		if keys := c.bucket.Keys(); len(keys) > 0 {
			found = fmt.Errorf("%v is stored, committed is nothing", keys)
			return nil
		}
		more, err := write(p, 1, w, 2)
		if err != nil {
			return err
		}
		b = append(b, more...)
		if err := c.until("two segments are stored", func(s safekeeper.TimelineStatus) bool { return s.Backup == 3*segSize }); err != nil {
			return err
		}
		if s := c.status(); s.LocalStart != startAt || !strings.Contains(s.Held, "the pageserver has not stored") {
			found = fmt.Errorf("WAL is here from %s on: %s", s.LocalStart, s.Held)
			return nil
		}
		c.bucket.SetOutage(true)
		done := false
		c.e.Go("writer", func(context.Context) {
			more, err := write(p, 1, w, 8)
			if b = append(b, more...); err != nil {
				t.Error(err)
			}
			done = true
		})
		if err := c.until("appends wait", func(s safekeeper.TimelineStatus) bool {
			return strings.Contains(s.Waiting, "limits.max_timeline_bytes")
		}); err != nil {
			return err
		}
		c.sleep(time.Minute)
		if s := c.status(); done || s.OffloadError == "" {
			return fmt.Errorf("done %v while the store is down: %+v", done, s)
		}
		c.bucket.SetOutage(false)
		err = c.until("appends go on", func(s safekeeper.TimelineStatus) bool {
			if err := c.stored(s.Commit); err != nil {
				t.Error(err)
			}
			return done
		})
		if err != nil {
			return err
		}
		if err := c.stored(w.enc.Pos()); err != nil {
			return err
		}
		if err := c.until("the disk is empty but for what is written", func(s safekeeper.TimelineStatus) bool {
			return s.LocalStart == core.SegmentStart(w.enc.Pos().Segment(segSize), segSize) && s.WALBytes <= 2*segSize
		}); err != nil {
			return err
		}
		got, err := c.read(at, len(b))
		if err != nil || !bytes.Equal(got, b) {
			found = fmt.Errorf("%d bytes of %d are served, %w", len(got), len(b), err)
		}
		return nil
	})
	return found
}

// TestIdleLeavesAndReturns: an idle timeline leaves the disk, whatever a crash
// has left of uploads, and is the same when somebody wants it.
func TestIdleLeavesAndReturns(t *testing.T) {
	if err := leavesAndReturns(t); err != nil {
		t.Error(err)
	}
}

func leavesAndReturns(t *testing.T) (found error) {
	d := newDepot(t, safekeeper.Config{Backup: safekeeper.Backup{PartialSeconds: 2, IdleSeconds: 20}})
	var b []byte
	var end core.LSN
	d.do(func(c *customer) error {
		if err := c.create(); err != nil {
			return err
		}
		p, at, err := c.lead(1)
		if err != nil {
			return err
		}
		w := newWAL(at, 0)
		if b, err = write(p, 1, w, 2); err != nil {
			return err
		}
		end = w.enc.Pos()
		p.c.Close()
		// The answer to the first upload of the last segment comes never.
		c.bucket.SetFaults(diskdrv.BucketFaults{LostResponse: 1000, Keys: ".partial", Timeout: time.Hour, MaxLate: time.Second})
		c.sleep(8 * time.Second)
		return nil
	})
	d.sk.Kill()
	d.bucket.SetFaults(diskdrv.BucketFaults{})
	d.sk.Start(d.main)
	d.do(func(c *customer) error {
		c.sleep(3 * time.Second)
		if err := c.stored(end); err != nil {
			return err
		}
		if err := c.until("it leaves", func(s safekeeper.TimelineStatus) bool { return s.Evicted && s.WALBytes == 0 && s.Flush == end }); err != nil {
			return err
		}
		c.sleep(30 * time.Second)
		partials := 0
		for _, k := range c.bucket.Keys() {
			if strings.HasSuffix(k, ".partial") {
				partials++
			}
		}
		if partials != 1 {
			found = fmt.Errorf("%d partial segments are stored: %v", partials, c.bucket.Keys())
			return nil
		}
		c.e.Go("patience", func(ctx context.Context) {
			c.e.Clock().Sleep(ctx, time.Minute)
			if found == nil {
				found = fmt.Errorf("it does not return")
			}
		})
		p, at, err := c.lead(2)
		if err != nil {
			found = err
			return nil
		}
		defer p.c.Close()
		if s := c.status(); s.Evicted || at != end {
			found = fmt.Errorf("a proposer begins at %s, WAL ends at %s: %+v", at, end, s)
			return nil
		}
		got, err := c.read(startAt, len(b))
		if err != nil || !bytes.Equal(got, b) {
			found = fmt.Errorf("%d bytes of %d are served, %w", len(got), len(b), err)
		}
		return nil
	})
	return found
}
