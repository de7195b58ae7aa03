package remote_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/layer"
	"xenon/core/pageserver/remote"
	"xenon/core/xsync"
	"xenon/diskdrv"
	"xenon/realio"
)

var testID = core.TTID{Tenant: core.TenantID{1}, Timeline: core.TimelineID{2}}

const testLSN core.LSN = 0x1000

// blank is a new timeline.
func blank() remote.Index {
	return remote.Index{Tenant: testID.Tenant, Timeline: testID.Timeline, Major: 15, SystemID: 7, SegmentSize: 1 << 24, LSN: testLSN, PrevLSN: testLSN - 100}
}

// extent is of the n-th delta layer.
func extent(n core.LSN) layer.Extent {
	return layer.Extent{Keys: layer.Everything, LSNs: layer.LSNRange{Start: testLSN + n*100, End: testLSN + n*100 + 100}, Delta: true}
}

// A world is a bucket that several processes use. Late requests take effect
// when somebody sleeps.
type world struct {
	bucket *diskdrv.Bucket
}

func newWorld() *world {
	return &world{diskdrv.NewBucket(diskdrv.BucketOptions{Rand: rand.New(rand.NewPCG(1, 1))})}
}

// proc is a process of the world.
func (w *world) proc(t testing.TB, name string) env.Env {
	e := realio.New(realio.Options{Objects: w.bucket.Objects(nil, name)})
	t.Cleanup(func() { e.Close() })
	return &proc{e, w}
}

type proc struct {
	*realio.Env
	w *world
}

func (p *proc) Clock() env.Clock { return sleepless{p.Env.Clock(), p.w} }

type sleepless struct {
	env.Clock
	w *world
}

func (c sleepless) Sleep(ctx context.Context, _ time.Duration) error {
	c.w.bucket.RunLate()
	return xsync.Cause(ctx)
}

// made makes the test's timeline and stores its first index.
func made(t testing.TB, e env.Env) *remote.Owner {
	t.Helper()
	o, err := remote.Create(t.Context(), e, blank(), "test")
	if err == nil {
		err = o.Change(t.Context(), nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func acquire(t testing.TB, e env.Env) *remote.Owner {
	t.Helper()
	o, err := remote.Acquire(t.Context(), e, testID, "test")
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// add uploads the n-th layer and enters it.
func add(ctx context.Context, o *remote.Owner, n core.LSN) (remote.LayerEntry, error) {
	x := extent(n)
	l, err := o.Upload(ctx, x, env.Bytes(fmt.Appendf(nil, "layer %d of generation %d", n, o.Generation())))
	if err != nil {
		return l, err
	}
	return l, o.Change(ctx, func(i *remote.Index) error {
		if !slices.Contains(i.Layers, l) {
			i.Layers = append(i.Layers, l)
			i.DiskConsistent = remote.Record{LSN: x.LSNs.End, Prev: x.LSNs.Start}
		}
		return nil
	})
}

func mustAdd(t testing.TB, o *remote.Owner, n core.LSN) remote.LayerEntry {
	t.Helper()
	l, err := add(t.Context(), o, n)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func peek(t testing.TB, e env.Env) *remote.Index {
	t.Helper()
	x, err := remote.Peek(t.Context(), e, testID)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// stored tells whether a layer's object is in the bucket.
func (w *world) stored(x *remote.Index, l remote.LayerEntry) bool {
	_, there := w.bucket.Peek(x.Object(l))
	return there
}

// TestTakeOver: a new owner begins where the old one was, whose later work
// changes nothing that readers of the new one see.
func TestTakeOver(t *testing.T) {
	w := newWorld()
	a, b := w.proc(t, "a"), w.proc(t, "b")
	old := made(t, a)
	if got := old.RemoteConsistent(); got != testLSN {
		t.Errorf("a new timeline is consistent up to %s, want its beginning %s", got, testLSN)
	}
	first := mustAdd(t, old, 0)
	now := acquire(t, b)
	if x := now.Index(); len(x.Layers) != 1 || x.Layers[0] != first || x.Generation != now.Generation() || now.RemoteConsistent() != testLSN+100 {
		t.Fatalf("the new owner has %+v", x)
	}
	// The old one does not know yet, and does as before.
	if old.Superseded() != nil || old.RemoteConsistent() != testLSN+100 {
		t.Errorf("the old owner: %v, %s", old.Superseded(), old.RemoteConsistent())
	}
	if _, err := add(t.Context(), old, 1); !errors.Is(err, remote.ErrSuperseded) {
		t.Errorf("the old owner added a layer: %v", err)
	}
	if err := old.Remove(t.Context(), []remote.LayerEntry{first}); !errors.Is(err, remote.ErrSuperseded) {
		t.Errorf("the old owner removed a layer: %v", err)
	}
	if _, err := old.Upload(t.Context(), extent(5), env.Bytes([]byte("x"))); !errors.Is(err, remote.ErrSuperseded) || old.RemoteConsistent() != 0 {
		t.Errorf("the old owner: %v, reports %s", err, old.RemoteConsistent())
	}
	mine := mustAdd(t, now, 1)
	x := peek(t, a)
	if len(x.Layers) != 2 || x.Layers[1] != mine || !w.stored(x, first) || !w.stored(x, mine) {
		t.Errorf("the index is %+v", x)
	}
}

// TestRemoveByTheOld: an owner that is superseded between its index and its
// look does not delete what the new one loaded.
func TestRemoveByTheOld(t *testing.T) {
	w := newWorld()
	a, b := w.proc(t, "a"), w.proc(t, "b")
	old := made(t, a)
	l := mustAdd(t, old, 0)
	now := acquire(t, b)
	if err := old.Remove(t.Context(), []remote.LayerEntry{l}); !errors.Is(err, remote.ErrSuperseded) {
		t.Errorf("the old owner removed a layer: %v", err)
	}
	if x := now.Index(); !w.stored(x, l) {
		t.Error("the layer is gone")
	}
	if err := now.Remove(t.Context(), []remote.LayerEntry{l}); err != nil {
		t.Fatal(err)
	}
	if x := peek(t, a); len(x.Layers) != 0 || w.stored(x, l) {
		t.Errorf("after the removal: %+v", x)
	}
}

// TestStalledBetween: an owner that minted, loaded and stalled writes its first
// index late, when a newer one has reported what an owner before both wrote
// meanwhile. Whoever comes next does not go back behind the report.
func TestStalledBetween(t *testing.T) {
	w := newWorld()
	a := made(t, w.proc(t, "a"))
	stop := &stalling{ObjectStore: w.bucket.Objects(nil, "b"), before: "index-00000002", reached: make(chan bool), go_: make(chan bool)}
	e := realio.New(realio.Options{Objects: stop})
	defer e.Close()
	done := make(chan error)
	go func() {
		_, err := remote.Acquire(context.Background(), e, testID, "b")
		done <- err
	}()
	<-stop.reached
	// The first owner does not know of the second. What it adds it may not
	// count on.
	if _, err := add(t.Context(), a, 0); !errors.Is(err, remote.ErrSuperseded) {
		t.Fatal(err)
	}
	c := acquire(t, w.proc(t, "c"))
	if got := c.RemoteConsistent(); got != testLSN+100 {
		t.Fatalf("the third owner reports %s", got)
	}
	close(stop.go_)
	if err := <-done; !errors.Is(err, remote.ErrSuperseded) {
		t.Errorf("the owner that stalled: %v", err)
	}
	if d := acquire(t, w.proc(t, "d")); d.Index().DiskConsistent.LSN != testLSN+100 {
		t.Errorf("the fourth owner is consistent up to %s, %s was reported", d.Index().DiskConsistent.LSN, testLSN+100)
	}
}

// stalling holds the Put of a key back.
type stalling struct {
	env.ObjectStore
	before       string
	reached, go_ chan bool
}

func (s *stalling) Put(ctx context.Context, key string, b env.Body, o env.PutOpts) (env.ObjectMeta, error) {
	if strings.HasSuffix(key, s.before) {
		close(s.reached)
		<-s.go_
	}
	return s.ObjectStore.Put(ctx, key, b, o)
}

// TestUnknownOutcomes: whatever becomes of requests, a Change that returned nil
// is there, and each is there once.
func TestUnknownOutcomes(t *testing.T) {
	w := newWorld()
	e := w.proc(t, "a")
	o := made(t, e)
	w.bucket.SetFaults(diskdrv.BucketFaults{LostRequest: 150, LostResponse: 200, Late: 150, Twice: 100, SlowDown: 100, Unavailable: 100})
	var want []remote.LayerEntry
	for n := core.LSN(0); n < 100; {
		l, err := add(t.Context(), o, n)
		if err == nil {
			want = append(want, l)
			n++
		}
	}
	w.bucket.SetFaults(diskdrv.BucketFaults{})
	if x := peek(t, e); !slices.Equal(x.Layers, want) {
		t.Errorf("the index has %d layers, want %d", len(x.Layers), len(want))
	}
	if n, err := acquire(t, e).Sweep(t.Context()); err != nil || n == 0 {
		t.Errorf("%d layers of failed uploads were swept, %v", n, err)
	}
	kept := 0
	for _, key := range w.bucket.Keys() {
		if strings.Contains(key, "/layers/") {
			kept++
		}
	}
	if kept != len(want) {
		t.Errorf("%d layer objects are left, want %d", kept, len(want))
	}
}

// TestAbandonedChange: a Change whose caller gave up may still get in; the next
// one is made on top of whatever is there.
func TestAbandonedChange(t *testing.T) {
	tests := []struct {
		name   string
		faults diskdrv.BucketFaults
		want   int // children in the end
	}{
		{"late", diskdrv.BucketFaults{Late: 1000}, 2},
		{"lost", diskdrv.BucketFaults{LostRequest: 1000}, 1},
		{"unheard", diskdrv.BucketFaults{LostResponse: 1000}, 2},
	}
	for _, tt := range tests {
		w := newWorld()
		p := w.proc(t, "a").(*proc)
		ctx, cancel := xsync.WithCancel(t.Context())
		impatient := &hooked{ObjectStore: p.Env.Objects()}
		e := &hookedProc{p, impatient}
		o := made(t, e)
		impatient.afterPut = func() { cancel(nil) }
		w.bucket.SetFaults(tt.faults)
		err := o.Change(ctx, func(x *remote.Index) error {
			x.AddChild(remote.BranchPoint{Timeline: core.TimelineID{1}, LSN: testLSN})
			return nil
		})
		if !errors.Is(err, env.ErrUnknown) {
			t.Errorf("%s: %v, want %v", tt.name, err, env.ErrUnknown)
		}
		w.bucket.SetFaults(diskdrv.BucketFaults{})
		w.bucket.RunLate()
		err = o.Change(t.Context(), func(x *remote.Index) error {
			x.AddChild(remote.BranchPoint{Timeline: core.TimelineID{2}, LSN: testLSN})
			return nil
		})
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if x := peek(t, e); len(x.Children) != tt.want || len(o.Index().Children) != tt.want {
			t.Errorf("%s: %d children, the owner has %d, want %d", tt.name, len(x.Children), len(o.Index().Children), tt.want)
		}
	}
}

// TestSweepUnsure: a sweep between an index and the look that did not come
// about leaves alone what a newer owner loaded.
func TestSweepUnsure(t *testing.T) {
	if err := sweepUnsure(t); err != nil {
		t.Error(err)
	}
}

func sweepUnsure(t *testing.T) error {
	w := newWorld()
	l := mustAdd(t, made(t, w.proc(t, "a")), 0)
	p := w.proc(t, "b").(*proc)
	store := &hooked{ObjectStore: p.Env.Objects()}
	b := acquire(t, &hookedProc{p, store})
	c := acquire(t, w.proc(t, "c"))
	store.noList = true
	if err := b.Remove(t.Context(), []remote.LayerEntry{l}); !errors.Is(err, env.ErrForbidden) || len(b.Index().Layers) != 0 {
		t.Fatalf("remove without a look: %v", err)
	}
	store.noList = false
	if _, err := b.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !w.stored(c.Index(), l) {
		return errors.New("a layer of the newer owner is gone")
	}
	return nil
}

// hooked calls afterPut after each Put, and may refuse to list.
type hooked struct {
	env.ObjectStore
	afterPut func()
	noList   bool
}

func (s *hooked) List(ctx context.Context, o env.ListOpts) (env.ListPage, error) {
	if s.noList {
		return env.ListPage{}, env.ErrForbidden
	}
	return s.ObjectStore.List(ctx, o)
}

func (s *hooked) Put(ctx context.Context, key string, b env.Body, o env.PutOpts) (env.ObjectMeta, error) {
	meta, err := s.ObjectStore.Put(ctx, key, b, o)
	if s.afterPut != nil {
		s.afterPut()
	}
	return meta, err
}

type hookedProc struct {
	*proc
	store env.ObjectStore
}

func (p *hookedProc) Objects() env.ObjectStore { return p.store }

// TestCreateAndDestroy: an id is taken once, an import cut short leaves it
// free, and a deleted timeline stays so.
func TestCreateAndDestroy(t *testing.T) {
	w := newWorld()
	e, ctx := w.proc(t, "a"), t.Context()
	half, err := remote.Create(ctx, e, blank(), "cut short")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := half.Upload(ctx, extent(0), env.Bytes([]byte("x"))); err != nil {
		t.Fatal(err)
	}
	if _, err := remote.Peek(ctx, e, testID); !errors.Is(err, env.ErrNotFound) {
		t.Errorf("peek at half a timeline: %v", err)
	}
	if _, err := remote.Acquire(ctx, e, testID, "b"); !errors.Is(err, env.ErrNotFound) {
		t.Errorf("half a timeline was taken over: %v", err)
	}
	o := made(t, e)
	if err := half.Change(ctx, nil); !errors.Is(err, remote.ErrSuperseded) {
		t.Errorf("the one that was cut short goes on: %v", err)
	}
	if _, err := remote.Create(ctx, e, blank(), "again"); !errors.Is(err, remote.ErrExists) {
		t.Errorf("made twice: %v", err)
	}
	mustAdd(t, o, 0)
	child := core.TimelineID{9}
	if err := o.Change(ctx, func(x *remote.Index) error { x.AddChild(remote.BranchPoint{Timeline: child, LSN: testLSN}); return nil }); err != nil {
		t.Fatal(err)
	}
	if err := remote.Destroy(ctx, e, testID, "b"); !errors.Is(err, remote.ErrChildren) || !strings.Contains(err.Error(), child.String()) {
		t.Errorf("a parent was deleted: %v", err)
	}
	if err := o.Destroy(ctx); !errors.Is(err, remote.ErrChildren) {
		t.Errorf("a parent was deleted: %v", err)
	}
	if err := o.Change(ctx, func(x *remote.Index) error { x.RemoveChild(child); return nil }); err != nil {
		t.Fatal(err)
	}
	if err := remote.Destroy(ctx, e, testID, "b"); err != nil {
		t.Fatal(err)
	}
	if err := remote.Destroy(ctx, e, testID, "b"); err != nil {
		t.Errorf("deleted again: %v", err)
	}
	if _, err := remote.Acquire(ctx, e, testID, "c"); !errors.Is(err, remote.ErrDeleted) {
		t.Errorf("a deleted timeline was taken over: %v", err)
	}
	if _, err := remote.Create(ctx, e, blank(), "c"); !errors.Is(err, remote.ErrDeleted) {
		t.Errorf("a deleted timeline was made again: %v", err)
	}
	for _, key := range w.bucket.Keys() {
		if strings.Contains(key, "/layers/") {
			t.Errorf("%s is left", key)
		}
	}
}

// TestBadObjects: what cannot be an index of the timeline is refused by name,
// and nothing is written over it.
func TestBadObjects(t *testing.T) {
	other := testID
	other.Timeline[0]++
	at := layer.TimelinePrefix(testID, core.Unsharded)
	tests := []struct {
		name  string
		spoil func(w *world, e env.Env)
		want  error
		says  string
	}{
		{"a byte flipped", func(w *world, _ env.Env) { w.bucket.Corrupt(at+"index-00000001", 100, 1) }, env.ErrCorrupt, "index-00000001"},
		{"cut short", func(w *world, e env.Env) { put(e, at+"index-00000001", []byte("xenoregs")) }, env.ErrCorrupt, "index-00000001"},
		{"of another timeline", func(w *world, e env.Env) {
			b, _ := w.bucket.Peek(at + "index-00000001")
			w.bucket.Lose(at + "index-00000001")
			put(e, layer.TimelinePrefix(other, core.Unsharded)+"index-00000001", b)
		}, env.ErrCorrupt, testID.Timeline.String()},
		{"of another generation", func(w *world, e env.Env) {
			b, _ := w.bucket.Peek(at + "index-00000001")
			put(e, at+"index-00000003", b)
		}, env.ErrCorrupt, "index-00000003"},
		{"not an index at all", func(w *world, e env.Env) { put(e, at+"index-new", nil) }, env.ErrCorrupt, "index-new"},
		{"lost", func(w *world, _ env.Env) { w.bucket.Lose(at + "index-00000001") }, env.ErrNotFound, testID.Timeline.String()},
		{"forbidden", func(w *world, _ env.Env) { w.bucket.SetFaults(diskdrv.BucketFaults{Forbidden: 1000}) }, env.ErrForbidden, at},
	}
	for _, tt := range tests {
		w := newWorld()
		e := w.proc(t, "a")
		made(t, e)
		tt.spoil(w, e)
		before := len(w.bucket.Keys())
		id := testID
		if tt.name == "of another timeline" {
			id = other
		}
		for what, err := range map[string]error{
			"peek":    second(remote.Peek(t.Context(), e, id)),
			"acquire": second(remote.Acquire(t.Context(), e, id, "b")),
		} {
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%s: %s: %v, want %v that names %s", tt.name, what, err, tt.want, tt.says)
			}
		}
		if after := len(w.bucket.Keys()); after != before {
			t.Errorf("%s: %d objects became %d", tt.name, before, after)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func put(e env.Env, key string, b []byte) {
	if _, err := e.Objects().Put(context.Background(), key, env.Bytes(b), env.PutOpts{}); err != nil {
		panic(err)
	}
}

// TestOutage: who asks a store that is away waits until its context ends, and
// then says what it waited for.
func TestOutage(t *testing.T) {
	w := newWorld()
	o := made(t, w.proc(t, "a"))
	w.bucket.SetOutage(true)
	e := realio.New(realio.Options{Objects: w.bucket.Objects(nil, "b")})
	defer e.Close()
	ctx, cancel := xsync.WithTimeout(t.Context(), e, 100*time.Millisecond)
	defer cancel()
	_, err := remote.Acquire(ctx, e, testID, "b")
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, env.ErrUnavailable) {
		t.Errorf("%v, want both that it gave up and why", err)
	}
	if _, err := o.Upload(t.Context(), extent(1), env.Bytes([]byte("x"))); !errors.Is(err, env.ErrUnavailable) {
		t.Errorf("upload: %v", err)
	}
	w.bucket.SetOutage(false)
	mustAdd(t, o, 0)
}

// TestUnownedLayer: an index with a layer that was not uploaded is never
// written.
func TestUnownedLayer(t *testing.T) {
	o := made(t, newWorld().proc(t, "a"))
	defer func() {
		if recover() == nil {
			t.Error("a layer that is not there entered the index")
		}
	}()
	o.Change(t.Context(), func(x *remote.Index) error {
		x.Layers = append(x.Layers, remote.LayerEntry{Name: extent(1).Name(), Generation: o.Generation()})
		return nil
	})
}
