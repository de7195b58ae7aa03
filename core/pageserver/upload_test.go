package pageserver_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/layer"
	"xenon/core/pageserver"
	"xenon/core/pageserver/remote"
	"xenon/core/wire/http1"
	"xenon/realio"
)

// A tap is an object store that can be away.
type tap struct {
	env.ObjectStore
	away atomic.Bool
}

func (s *tap) err() error {
	if s.away.Load() {
		return fmt.Errorf("test: %w", env.ErrUnavailable)
	}
	return nil
}

func (s *tap) Put(ctx context.Context, key string, b env.Body, o env.PutOpts) (env.ObjectMeta, error) {
	if err := s.err(); err != nil {
		return env.ObjectMeta{}, err
	}
	return s.ObjectStore.Put(ctx, key, b, o)
}

func (s *tap) Get(ctx context.Context, key string, o env.GetOpts) (io.ReadCloser, env.ObjectMeta, error) {
	if err := s.err(); err != nil {
		return nil, env.ObjectMeta{}, err
	}
	return s.ObjectStore.Get(ctx, key, o)
}

func (s *tap) List(ctx context.Context, o env.ListOpts) (env.ListPage, error) {
	if err := s.err(); err != nil {
		return env.ListPage{}, err
	}
	return s.ObjectStore.List(ctx, o)
}

func (s *tap) Delete(ctx context.Context, key string) error {
	if err := s.err(); err != nil {
		return err
	}
	return s.ObjectStore.Delete(ctx, key)
}

// runOver is run with an object store of its own.
func runOver(t *testing.T, dir string, store env.ObjectStore) *pserver {
	t.Helper()
	e := realio.New(realio.Options{Root: dir, Log: quiet(), Objects: store})
	t.Cleanup(func() { e.Close() })
	p := &pserver{t: t, env: e, done: make(chan error, 1)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.addr = l.Addr().String()
	l.Close()
	e.Go("pageserver", func(ctx context.Context) {
		p.done <- pageserver.Run(ctx, e, pageserver.Config{ID: 7, Listen: p.addr, WaitLSNSeconds: 60})
	})
	p.eventually("it listens", func() error { return p.call("GET", "/v1/status", nil, nil) })
	return p
}

// checkpoint flushes, and waits for the upload if told to.
func (p *pserver) checkpoint(upload bool) error {
	return p.call("PUT", fmt.Sprintf("%s/checkpoint?wait_upload=%t", routeOf(testTimeline), upload), nil, nil)
}

func (p *pserver) mustCheckpoint(upload bool) {
	p.t.Helper()
	if err := p.checkpoint(upload); err != nil {
		p.t.Fatal(err)
	}
}

// attached waits until a timeline of a former life is served again.
func (p *pserver) attached() {
	p.t.Helper()
	p.eventually("the timeline is attached", func() error { return p.call("GET", routeOf(testTimeline), nil, nil) })
}

// TestBucketAlone: a new machine has all that was uploaded from the object
// store, and of the WAL needs only what comes after.
func TestBucketAlone(t *testing.T) {
	w := newWorld(t)
	s := longScript(t, w, 300)
	half := s.lsns[150]
	k := newKeeper(t, s, half)
	p := w.run(t, t.TempDir())
	p.attach(k)
	p.reaches(half)
	p.mustCheckpoint(true)
	if info := p.info(); info.RemoteConsistent != half || info.DiskConsistent != half || info.Generation == 0 || len(info.Waits) != 0 {
		t.Errorf("after a checkpoint: %+v", info)
	}
	p.stop()

	k.set(func() { k.commit = s.last() })
	p = w.run(t, t.TempDir())
	p.attach(k)
	p.reaches(s.last())
	if info := p.info(); info.Resumed != half || info.Ingested != uint64(len(s.lsns)-151) {
		t.Errorf("ingest went on at %s with %d records, want %s and %d", info.Resumed, info.Ingested, half, len(s.lsns)-151)
	}
	p.checkAll(s)
	p.mustCheckpoint(true)
	p.stop()

	// And once more, without any WAL.
	p = w.run(t, t.TempDir())
	p.attach(newKeeper(t, s, s.begin))
	p.reaches(s.last())
	p.checkAll(s)
}

// TestStoreAway: without its object store a pageserver ingests, flushes, serves
// and starts again; it says what waits, and goes on where it stopped.
func TestStoreAway(t *testing.T) {
	w := newWorld(t)
	s := longScript(t, w, 300)
	part := func(i int) core.LSN { return s.lsns[len(s.lsns)*i/4-1] }
	k, dir, store := newKeeper(t, s, part(1)), t.TempDir(), &tap{ObjectStore: w.store}
	p := runOver(t, dir, store)
	p.attach(k)
	p.reaches(part(1))
	p.mustCheckpoint(true)
	p.checkAllUpTo(s, part(1)) // so that the base's blocks are in the cache
	first := p.info().Generation

	store.away.Store(true)
	k.set(func() { k.commit = part(2) })
	p.reaches(part(2))
	p.mustCheckpoint(false)
	p.eventually("it says what waits", func() error {
		info := p.info()
		if info.DiskConsistent != part(2) || info.RemoteConsistent != part(1) || !strings.Contains(fmt.Sprint(info.Waits), env.ErrUnavailable.Error()) {
			return fmt.Errorf("%+v", info)
		}
		return nil
	})
	p.checkAllUpTo(s, part(2))
	p.stop()

	p = runOver(t, dir, store)
	p.attached()
	k.set(func() { k.commit = part(3) })
	p.reaches(part(3))
	if info := p.info(); info.Generation != 0 || info.Resumed != part(2) || !strings.Contains(fmt.Sprint(info.Waits), env.ErrUnavailable.Error()) {
		t.Errorf("started without the store: %+v", info)
	}
	if err := p.branch(testTimeline, timelineID(9), part(1), k.addr); statusOf(err) != 503 {
		t.Errorf("a branch without the store: %v", err)
	}
	store.away.Store(false)
	p.mustCheckpoint(true)
	if info := p.info(); info.RemoteConsistent != part(3) || info.Generation <= first {
		t.Errorf("the store is back: %+v", info)
	}
	p.checkAllUpTo(s, part(3))
}

// checkAllUpTo is checkAll as of the records up to an LSN.
func (p *pserver) checkAllUpTo(s *script, lsn core.LSN) {
	p.t.Helper()
	c := *s
	for i, at := range s.lsns {
		if at == lsn {
			c.lsns = s.lsns[:i+1]
		}
	}
	p.checkAll(&c)
}

// TestTwoGenerations: of two pageservers on one timeline the older one stops
// uploading and reporting once it learns, and goes on serving; the newer one
// and whoever follows have everything.
func TestTwoGenerations(t *testing.T) {
	w := newWorld(t)
	s := longScript(t, w, 300)
	part := func(i int) core.LSN { return s.lsns[len(s.lsns)*i/4-1] }
	k := newKeeper(t, s, part(1))
	old := w.run(t, t.TempDir())
	old.attach(k)
	old.reaches(part(1))
	old.mustCheckpoint(true)
	now := w.run(t, t.TempDir())
	now.attach(k)
	k.set(func() { k.commit = part(2) })
	now.reaches(part(2))
	now.mustCheckpoint(true)
	old.reaches(part(2))
	if err := old.checkpoint(true); statusOf(err) != 409 || !strings.Contains(err.Error(), remote.ErrSuperseded.Error()) {
		t.Errorf("a checkpoint of the older one: %v", err)
	}
	info := old.info()
	if !info.Superseded || info.RemoteConsistent != part(1) || !strings.Contains(fmt.Sprint(info.Waits), "superseded") {
		t.Errorf("the older one: %+v", info)
	}
	old.checkAllUpTo(s, part(2))
	if err := old.branch(testTimeline, timelineID(9), part(1), k.addr); statusOf(err) != 409 {
		t.Errorf("a branch by the older one: %v", err)
	}
	k.set(func() { k.commit = s.last() })
	now.reaches(s.last())
	now.mustCheckpoint(true)
	now.checkAll(s)
	if info := now.info(); info.Superseded || info.RemoteConsistent != s.last() {
		t.Errorf("the newer one: %+v", info)
	}
	next := w.run(t, t.TempDir())
	next.attach(newKeeper(t, s, s.begin))
	next.reaches(s.last())
	next.checkAll(s)
}

// TestAnotherWentOn: layers that were not uploaded do not fit what another
// pageserver made of the timeline meanwhile. They are given up, and what was in
// them comes from the other one's.
func TestAnotherWentOn(t *testing.T) {
	for _, away := range []bool{false, true} {
		t.Run(fmt.Sprintf("away=%t", away), func(t *testing.T) { anotherWentOn(t, away) })
	}
}

// anotherWentOn starts the first pageserver again, at first without the object
// store if away is set.
func anotherWentOn(t *testing.T, away bool) {
	w := newWorld(t)
	s := longScript(t, w, 300)
	part := func(i int) core.LSN { return s.lsns[len(s.lsns)*i/6-1] }
	k, dir, store := newKeeper(t, s, part(1)), t.TempDir(), &tap{ObjectStore: w.store}
	one := runOver(t, dir, store)
	one.attach(k)
	one.reaches(part(1))
	one.mustCheckpoint(true)
	store.away.Store(true)
	k.set(func() { k.commit = part(3) })
	one.reaches(part(3))
	one.mustCheckpoint(false)
	one.stop()

	k.set(func() { k.commit = part(2) })
	other := w.run(t, t.TempDir())
	other.attach(k)
	other.reaches(part(2))
	other.mustCheckpoint(true)
	k.set(func() { k.commit = part(4) })
	other.reaches(part(4))
	other.mustCheckpoint(true)

	store.away.Store(away)
	k.set(func() { k.commit = s.last() })
	one = runOver(t, dir, store)
	one.attached()
	one.reaches(s.last())
	if away {
		if got := one.info().Resumed; got != part(3) {
			t.Errorf("without the store it went on at %s, want %s", got, part(3))
		}
		store.away.Store(false)
		one.eventually("it is opened anew", func() error {
			var info pageserver.TimelineInfo
			if err := one.call("GET", routeOf(testTimeline), nil, &info); err != nil {
				return err
			}
			if info.Resumed != part(4) || info.Generation == 0 {
				return fmt.Errorf("%+v", info)
			}
			return nil
		})
		one.reaches(s.last())
	}
	one.mustCheckpoint(true)
	one.checkAll(s)
	last := w.run(t, t.TempDir())
	last.attach(newKeeper(t, s, s.begin))
	last.reaches(s.last())
	last.checkAll(s)
}

// TestLostLayers: layer objects that are gone, or damaged, are named to those
// who read what is in them; everything else is served.
func TestLostLayers(t *testing.T) {
	w := newWorld(t)
	s := longScript(t, w, 200)
	half := s.lsns[100]
	k := newKeeper(t, s, half)
	p := w.run(t, t.TempDir())
	p.attach(k)
	p.reaches(half)
	p.mustCheckpoint(true)
	k.set(func() { k.commit = s.last() })
	p.reaches(s.last())
	p.mustCheckpoint(true)
	p.stop()
	x, err := remote.Peek(t.Context(), w.env, testTimeline)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range x.Layers {
		if e, err := layer.ParseExtent(l.Name); err == nil && e.Delta && e.LSNs.Contains(s.last()) {
			if err := w.store.Delete(t.Context(), x.Object(l)); err != nil {
				t.Fatal(err)
			}
			p = w.run(t, t.TempDir())
			err := p.call("POST", "/v1/tenant/"+testTimeline.Tenant.String()+"/timeline", pageserver.AttachRequest{Timeline: testTimeline.Timeline, Safekeepers: []string{k.addr}}, nil)
			var status *http1.StatusError
			if !errors.As(err, &status) || !strings.Contains(err.Error(), x.Object(l)) || !strings.Contains(err.Error(), "restore it") {
				t.Errorf("a timeline with a lost layer is attached: %v, want the layer's name and the way out", err)
			}
		}
	}
}

// TestDamagedBaseCopy: a copy of a base layer on the disk that is damaged makes
// place for the object.
func TestDamagedBaseCopy(t *testing.T) {
	w := newWorld(t)
	s := longScript(t, w, 50)
	k, dir := newKeeper(t, s, s.last()), t.TempDir()
	p := w.run(t, dir)
	p.attach(k)
	p.reaches(s.last())
	p.mustCheckpoint(true)
	p.stop()
	copies, err := filepath.Glob(filepath.Join(dir, "tenants", "*", "timelines", "*", "base-*"))
	if err != nil || len(copies) == 0 {
		t.Fatalf("no copies of base layers: %v", err)
	}
	for _, name := range copies {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for i := 200; i < len(b); i += 300 {
			b[i] ^= 0x10
		}
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p = w.run(t, dir)
	p.attached()
	p.reaches(s.last())
	p.checkAll(s)
}

// TestIndexDamaged: a timeline whose index is damaged, and that is on no disk,
// is not served; who asks learns the index's name, and when it is restored the
// timeline comes back by itself.
func TestIndexDamaged(t *testing.T) {
	w := newWorld(t)
	s := longScript(t, w, 20)
	k, dir := newKeeper(t, s, s.last()), t.TempDir()
	p := w.run(t, dir)
	p.attach(k)
	p.reaches(s.last())
	p.mustCheckpoint(true)
	p.stop()
	x, err := remote.Peek(t.Context(), w.env, testTimeline)
	if err != nil {
		t.Fatal(err)
	}
	key := fmt.Sprintf("%sindex-%08x", layer.TimelinePrefix(testTimeline, core.Unsharded), uint32(x.Generation))
	whole, _, err := env.ReadObject(t.Context(), w.store, key)
	if err != nil {
		t.Fatal(err)
	}
	restore := func(b []byte) {
		if _, err := w.store.Put(t.Context(), key, env.Bytes(b), env.PutOpts{}); err != nil {
			t.Fatal(err)
		}
	}
	restore(append(bytes.Clone(whole[:100]), make([]byte, len(whole)-100)...))
	kept, err := filepath.Glob(filepath.Join(dir, "tenants", "*", "timelines", "*", "index"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("copies of the index: %v, %v", kept, err)
	}
	if err := os.Remove(kept[0]); err != nil {
		t.Fatal(err)
	}
	p = w.run(t, dir)
	p.eventually("it says why", func() error {
		err := p.call("GET", routeOf(testTimeline), nil, nil)
		if statusOf(err) != 503 || !strings.Contains(err.Error(), key) {
			return fmt.Errorf("%w", err)
		}
		return nil
	})
	restore(whole)
	p.attached()
	p.reaches(s.last())
	p.checkAll(s)
}

// TestDeletedElsewhere: a timeline that was deleted while a pageserver could not
// know is served from its disk until it learns, and then is gone there too.
func TestDeletedElsewhere(t *testing.T) {
	w := newWorld(t)
	s := longScript(t, w, 50)
	k, dir, store := newKeeper(t, s, s.last()), t.TempDir(), &tap{ObjectStore: w.store}
	one := runOver(t, dir, store)
	one.attach(k)
	one.reaches(s.last())
	one.mustCheckpoint(true)
	one.stop()
	other := w.run(t, t.TempDir())
	other.attach(k)
	if err := other.remove(testTimeline); err != nil {
		t.Fatal(err)
	}
	store.away.Store(true)
	one = runOver(t, dir, store)
	one.attached()
	one.reaches(s.last())
	store.away.Store(false)
	one.eventually("it is gone", func() error {
		if err := one.call("GET", routeOf(testTimeline), nil, nil); statusOf(err) != 404 {
			return fmt.Errorf("%w", err)
		}
		return nil
	})
	// The directory goes after the timeline is no longer served.
	one.eventually("its directory is gone", func() error {
		if _, err := os.Stat(filepath.Join(dir, layer.TimelinePrefix(testTimeline, core.Unsharded))); !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("its directory: %v", err)
		}
		return nil
	})
}

// TestDeleteUnderWait: a timeline is deleted although somebody waits for WAL of
// it that never comes.
func TestDeleteUnderWait(t *testing.T) {
	w := newWorld(t)
	s := longScript(t, w, 50)
	half := s.lsns[25]
	p := w.run(t, t.TempDir())
	p.attach(newKeeper(t, s, half))
	p.reaches(half)
	c := p.dial()
	q := pageRequest(s.last())
	c.CopyData(q.Append(nil), nil)
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	p.eventually("the request waits", func() error {
		if n := p.info().Waiting; n != 1 {
			return fmt.Errorf("%d readers wait", n)
		}
		return nil
	})
	boot := make(chan error, 1)
	go func() {
		boot <- p.call("GET", fmt.Sprintf("%s/boot?lsn=%s", routeOf(testTimeline), s.last()), nil, nil)
	}()
	p.eventually("both wait", func() error {
		if n := p.info().Waiting; n != 2 {
			return fmt.Errorf("%d readers wait", n)
		}
		return nil
	})
	if err := p.remove(testTimeline); err != nil {
		t.Error(err)
	}
	if err := <-boot; err == nil {
		t.Error("a boot set of a deleted timeline")
	}
	if _, err := c.ReadCopy(); err == nil {
		t.Error("a page of a deleted timeline")
	}
}

// TestReopenLeavesOthers: a timeline that is opened anew takes nothing from
// those that are well.
func TestReopenLeavesOthers(t *testing.T) {
	w := newWorld(t)
	s := longScript(t, w, 60)
	k, dir, store := newKeeper(t, s, s.last()), t.TempDir(), &tap{ObjectStore: w.store}
	one := runOver(t, dir, store)
	one.attach(k)
	one.reaches(s.last())
	child, at := timelineID(0xC1), s.lsns[40]
	cs := branchScript(t, w, s, at, 60)
	own := cs.lsns[41:] // of the child
	ck := newKeeper(t, cs, own[20])
	if err := one.branch(testTimeline, child, at, ck.addr); err != nil {
		t.Fatal(err)
	}
	checkpoint := func(p *pserver, upload bool) {
		t.Helper()
		if err := p.call("PUT", fmt.Sprintf("%s/checkpoint?wait_upload=%t", routeOf(child), upload), nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	one.timelineReaches(child, own[20])
	checkpoint(one, true)
	one.mustCheckpoint(true)
	store.away.Store(true)
	ck.set(func() { ck.commit = own[40] })
	one.timelineReaches(child, own[40])
	checkpoint(one, false)
	one.stop()

	other := w.run(t, t.TempDir())
	other.attach(k)
	other.reaches(s.last())
	other.mustCheckpoint(true)
	req := pageserver.AttachRequest{Timeline: child.Timeline, Safekeepers: []string{newKeeper(t, cs, own[30]).addr}}
	if err := other.call("POST", "/v1/tenant/"+child.Tenant.String()+"/timeline", req, nil); err != nil {
		t.Fatal(err)
	}
	other.timelineReaches(child, own[30])
	checkpoint(other, true)

	ck.set(func() { ck.commit = cs.last() })
	one = runOver(t, dir, store)
	one.attached()
	one.timelineReaches(child, cs.last())
	store.away.Store(false)
	one.eventually("the child is opened anew, its parent taken over", func() error {
		info, err := one.timeline(child)
		if err != nil || info.Resumed != own[30] || info.Generation == 0 || one.info().Generation == 0 {
			return fmt.Errorf("%+v, %v", info, err)
		}
		return nil
	})
	one.timelineReaches(child, cs.last())
	if err := one.branch(testTimeline, timelineID(0xC2), at, ck.addr); err != nil {
		t.Errorf("a branch of the parent: %v", err)
	}
	if one.info().Superseded {
		t.Error("the parent is superseded by its own pageserver")
	}
	checkTwig(t, one, child, cs)
}
