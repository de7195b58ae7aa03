package remote_test

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
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
	"xenon/netsim"
)

// A judge sees what takes effect at the bucket and what owners claim, and holds
// both to what the package promises.
type judge struct {
	objects map[string][]byte // of the bucket
	ever    map[string]uint32 // CRC of each layer object there ever was
	newest  *remote.Index
	minted  core.Generation
	claimed core.LSN // the highest that anybody reported as remote-consistent
	wrong   error

	indices, deletes, claims, changes int
}

func newJudge() *judge { return &judge{objects: map[string][]byte{}, ever: map[string]uint32{}} }

func (j *judge) fail(format string, args ...any) {
	if j.wrong == nil {
		j.wrong = fmt.Errorf(format, args...)
	}
}

var table = crc32.MakeTable(crc32.Castagnoli)

// saw is called with each request that takes effect.
func (j *judge) saw(o diskdrv.ObjectOp, data []byte) {
	if o.Err != nil {
		return
	}
	switch o.Kind {
	case "put":
		j.put(o.Key, data)
	case "delete":
		if _, there := j.objects[o.Key]; there {
			j.deletes++
		}
		delete(j.objects, o.Key)
		j.check("delete of " + o.Key)
	}
}

func (j *judge) put(key string, data []byte) {
	if strings.Contains(key, "/layers/") {
		sum := crc32.Checksum(data, table)
		if was, ok := j.ever[key]; ok && was != sum {
			j.fail("object %s is written twice with different bytes", key)
		}
		j.ever[key] = sum
	}
	j.objects[key] = slices.Clone(data)
	if i := strings.Index(key, "/gen/"); i >= 0 {
		var gen core.Generation
		fmt.Sscanf(key[i:], "/gen/%x", &gen)
		j.minted = max(j.minted, gen)
	}
	x, ok, err := remote.IndexIn(key, data)
	if err != nil {
		j.fail("%v", err)
	}
	if !ok || err != nil {
		return
	}
	j.indices++
	if j.newest != nil && x.Generation < j.newest.Generation {
		return // of an owner that is superseded: nobody loads it
	}
	if j.newest != nil && x.Generation > j.newest.Generation {
		j.changes++
	}
	j.newest = x
	j.check("put of " + key)
}

// check holds the newest index, which is the one the next owner loads, to its
// promises: it names only what is there, its layers have everything up to
// where it says, and it does not go back behind what was reported.
func (j *judge) check(after string) {
	x := j.newest
	if x == nil {
		return
	}
	at := x.LSN
	layers := slices.Clone(x.Layers)
	slices.SortFunc(layers, func(a, b remote.LayerEntry) int { return strings.Compare(a.Name, b.Name) })
	for _, l := range layers {
		b, ok := j.objects[x.Object(l)]
		if !ok {
			j.fail("after %s index %d names %s, which is not there", after, x.Generation, x.Object(l))
		} else if crc32.Checksum(b, table) != l.CRC || int64(len(b)) != l.Size {
			j.fail("after %s index %d names %s with other bytes", after, x.Generation, x.Object(l))
		}
		e, err := layer.ParseExtent(l.Name)
		if err != nil || e.LSNs.Start > at {
			j.fail("after %s index %d has layer %s behind %s (%v)", after, x.Generation, l.Name, at, err)
		}
		at = max(at, e.LSNs.End)
	}
	if at != x.DiskConsistent.LSN {
		j.fail("after %s index %d has layers up to %s and says %s", after, x.Generation, at, x.DiskConsistent.LSN)
	}
	if x.DiskConsistent.LSN < j.claimed {
		j.fail("after %s index %d is consistent up to %s, %s was reported", after, x.Generation, x.DiskConsistent.LSN, j.claimed)
	}
}

// claim notes what an owner reported as remote-consistent.
func (j *judge) claim(lsn core.LSN) {
	if j.claims++; lsn > j.claimed {
		j.claimed = lsn
	}
	j.check(fmt.Sprintf("the report of %s", lsn))
}

// A flushed is the disk of an owner: layer files that cover what was flushed.
type flushed struct {
	e      env.Env
	disk   *xsync.Watch[core.LSN]
	layers []remote.LocalLayer
}

// flush writes the next layer of n LSNs. Its bytes are this incarnation's own:
// the same extent has other bytes elsewhere.
func (f *flushed) flush(n core.LSN, by string) error {
	from := f.disk.Get()
	x := layer.Extent{Keys: layer.Everything, LSNs: layer.LSNRange{Start: from, End: from + n}, Delta: true}
	b := fmt.Appendf(nil, "%s to %s by %s", from, from+n, by)
	if err := writeAll(f.e.FS(), x.Name(), b); err != nil {
		return err
	}
	l := remote.LayerEntry{Name: x.Name(), Size: int64(len(b)), CRC: crc32.Checksum(b, table)}
	f.layers = append(f.layers, remote.LocalLayer{LayerEntry: l, Path: x.Name(), Ends: remote.Record{LSN: from + n, Prev: from}})
	f.disk.Set(from + n)
	return nil
}

func writeAll(fsys env.FS, name string, b []byte) error {
	file, err := fsys.Open(name, env.Write|env.Create|env.Trunc)
	if err == nil {
		_, err = file.WriteAt(b, 0)
		err = errors.Join(err, file.Close())
	}
	return err
}

func (f *flushed) AwaitFlush(ctx context.Context, lsn core.LSN) error {
	_, err := f.disk.Await(ctx, func(at core.LSN) bool { return at > lsn })
	return err
}

func (f *flushed) NotUploaded() ([]remote.LocalLayer, remote.Record) {
	disk := f.disk.Get()
	return slices.Clone(f.layers), remote.Record{LSN: disk, Prev: disk - 1}
}

func (f *flushed) Uploaded(_ context.Context, done []remote.LayerEntry, _ *remote.Index) error {
	for _, l := range done {
		f.layers = slices.DeleteFunc(f.layers, func(x remote.LocalLayer) bool { return x.Name == l.Name })
	}
	return nil
}

func (f *flushed) Suspect(context.Context, remote.LocalLayer, error) error { return nil }

// A life is one incarnation of an owner in the simulated world.
type life struct {
	e   env.Env
	j   *judge
	rng *rand.Rand
	u   *remote.Uploader
	o   *remote.Owner
	f   *flushed
}

// owner is the main function of a process that owns the timeline as long as it
// can: it flushes, uploads, merges layers, reads them and reports.
func owner(j *judge, name string) netsim.Main {
	return func(ctx context.Context, e env.Env) error {
		o, err := remote.Acquire(ctx, e, testID, name)
		if errors.Is(err, remote.ErrSuperseded) {
			return nil
		}
		if err != nil {
			return err
		}
		v := &life{e: e, j: j, rng: e.Rand("life"), o: o}
		v.f = &flushed{e: e, disk: xsync.NewWatch(e, o.Index().DiskConsistent.LSN)}
		v.u = remote.NewUploader(e, testID, v.f)
		g := xsync.NewGroup(ctx, e)
		fetcher := remote.NewFetcher(g.Context(), e, testID, xsync.NewSem(e, remote.Downloads))
		defer fetcher.Close()
		g.Go("upload", func(ctx context.Context) error { return v.u.Run(ctx, o) })
		g.Go("flush", func(ctx context.Context) error {
			return v.every(ctx, 400*time.Millisecond, func() error { return v.f.flush(1+core.LSN(v.rng.IntN(50)), fmt.Sprint(name, o.Generation())) })
		})
		g.Go("report", func(ctx context.Context) error {
			return v.every(ctx, 300*time.Millisecond, func() error {
				if at := v.u.RemoteConsistent(); at != 0 {
					j.claim(at)
				}
				return nil
			})
		})
		g.Go("merge", func(ctx context.Context) error {
			return v.every(ctx, time.Second, func() error { return v.merge(ctx) })
		})
		g.Go("read", func(ctx context.Context) error {
			return v.every(ctx, 500*time.Millisecond, func() error { return v.read(ctx, fetcher) })
		})
		g.Go("sweep", func(ctx context.Context) error {
			return v.every(ctx, 2*time.Second, func() error { return patient(second(o.Sweep(ctx))) })
		})
		if err := g.Wait(); !errors.Is(err, remote.ErrSuperseded) {
			return err
		}
		return nil
	}
}

// patient takes errors that pass for none.
func patient(err error) error {
	for _, kind := range []error{env.ErrUnavailable, env.ErrUnknown, env.ErrSlowDown, context.DeadlineExceeded} {
		if errors.Is(err, kind) {
			return nil
		}
	}
	return err
}

func (v *life) every(ctx context.Context, d time.Duration, f func() error) error {
	for {
		if err := v.e.Clock().Sleep(ctx, time.Duration(v.rng.Int64N(int64(2*d)))); err != nil {
			return err
		}
		if err := f(); err != nil {
			return err
		}
	}
}

// merge puts one layer in the place of two, as a compaction does.
func (v *life) merge(ctx context.Context) error {
	x := v.o.Index()
	if len(x.Layers) < 2 {
		return nil
	}
	layers := slices.Clone(x.Layers)
	slices.SortFunc(layers, func(a, b remote.LayerEntry) int { return strings.Compare(a.Name, b.Name) })
	i := v.rng.IntN(len(layers) - 1)
	a, b := layers[i], layers[i+1]
	from, _ := layer.ParseExtent(a.Name)
	to, _ := layer.ParseExtent(b.Name)
	from.LSNs.End = max(from.LSNs.End, to.LSNs.End)
	m, err := v.o.Upload(ctx, from, env.Bytes(fmt.Appendf(nil, "%s and %s, merged %d", a.Name, b.Name, v.rng.Int())))
	if err != nil {
		return patient(err)
	}
	err = v.o.Change(ctx, func(x *remote.Index) error {
		if slices.Contains(x.Layers, m) {
			return nil
		}
		x.Layers = append(x.Layers, m)
		return nil
	})
	if err == nil {
		err = v.o.Remove(ctx, []remote.LayerEntry{a, b})
	}
	return patient(err)
}

// read reads a layer that the owner's index names. If nobody has superseded it
// yet, the layer must be there.
func (v *life) read(ctx context.Context, f *remote.Fetcher) error {
	x := v.o.Index()
	if len(x.Layers) == 0 {
		return nil
	}
	l := x.Layers[v.rng.IntN(len(x.Layers))]
	src, err := f.Source(ctx, l, l.Name+fmt.Sprint("-", l.Generation, l.Upload))
	if err != nil {
		return err
	}
	b := make([]byte, l.Size)
	err = src.ReadRange(ctx, b, 0)
	switch still := slices.Contains(v.o.Index().Layers, l); {
	case err == nil && crc32.Checksum(b, table) != l.CRC:
		v.j.fail("layer %s reads other bytes than its index says", l.Name)
	case errors.Is(err, remote.ErrLost) && still && v.j.minted == v.o.Generation():
		v.j.fail("layer %s of the owner's index is gone: %v", l.Name, err)
	case err != nil && !errors.Is(err, remote.ErrLost):
		return patient(err)
	}
	return nil
}

// race runs three owners that supersede each other over a bucket that
// misbehaves, are killed, lose power and stall, and returns what was seen.
func race(seed uint64) (*judge, uint64, error) {
	w := netsim.New(netsim.Options{Seed: seed})
	defer w.Close()
	b := diskdrv.BucketIn(w, "bucket", diskdrv.BucketFaults{
		SlowDown: 30, Unavailable: 30, Conflict: 200, LostRequest: 40, LostResponse: 80, Late: 80, Twice: 40, CutBody: 20,
		Latency: diskdrv.Delay{Base: 5 * time.Millisecond, Jitter: 40 * time.Millisecond},
		Timeout: 300 * time.Millisecond, MaxLate: 5 * time.Second, PageSize: 7,
	})
	j := newJudge()
	b.Watch(j.saw)
	rng := w.Rand("nemesis")
	test := w.Proc("test", netsim.ProcOptions{Objects: func(e env.Env) env.ObjectStore { return b.Objects(e, "test") }})
	err := test.Do(time.Hour, func(ctx context.Context, e env.Env) error {
		o, err := remote.Create(ctx, e, blank(), "test")
		if err == nil {
			err = o.Change(ctx, nil)
		}
		return err
	})
	if err != nil {
		return j, 0, err
	}
	var failed error
	for i := range 3 {
		name := fmt.Sprintf("o%d", i)
		p := w.Proc(name, netsim.ProcOptions{
			Disk:    diskdrv.DiskIn(w, name, 0, diskdrv.Faults{}),
			Objects: func(e env.Env) env.ObjectStore { return b.Objects(e, name) },
			Exit: func(_ *netsim.Proc, err error) {
				if err != nil && failed == nil {
					failed = fmt.Errorf("%s: %w", name, err)
				}
			},
		})
		haunt(w, p, owner(j, name), rng)
	}
	over := false
	w.After(40*time.Second, func() { over = true })
	err = w.Run(time.Hour, func() bool { return over || failed != nil || j.wrong != nil })
	return j, w.Hash(), errors.Join(err, failed)
}

// haunt starts a process again and again, and ends or stalls it in between.
func haunt(w *netsim.World, p *netsim.Proc, main netsim.Main, rng *rand.Rand) {
	var next func()
	next = func() {
		switch what := rng.IntN(5); {
		case !p.Running():
			p.Start(main)
		case what == 0:
			p.Kill()
		case what == 1:
			p.PowerCut()
		default:
			p.Pause()
			w.After(time.Duration(rng.Int64N(int64(4*time.Second))), func() {
				if p.Running() {
					p.Resume()
				}
			})
		}
		w.After(time.Duration(rng.Int64N(int64(6*time.Second))), next)
	}
	w.After(time.Duration(rng.Int64N(int64(3*time.Second))), next)
}

func seeds() uint64 {
	if os.Getenv("XENON_FULL") == "1" {
		return 1000
	}
	return 40
}

// TestOwnersRace is the promise of the package, under everything that may go
// wrong with processes and the store.
func TestOwnersRace(t *testing.T) {
	var all judge
	for seed := range seeds() {
		j, _, err := race(seed)
		if err = errors.Join(err, j.wrong); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		all.indices, all.deletes, all.claims, all.changes = all.indices+j.indices, all.deletes+j.deletes, all.claims+j.claims, all.changes+j.changes
	}
	t.Logf("%d indices of %d owners, %d deletions, %d reports", all.indices, all.changes, all.deletes, all.claims)
	if all.changes == 0 || all.deletes == 0 || all.claims == 0 {
		t.Error("something was never tried")
	}
}

// TestSameSeed: a run is a function of its seed.
func TestSameSeed(t *testing.T) {
	_, first, err := race(3)
	if err != nil {
		t.Fatal(err)
	}
	if _, again, _ := race(3); again != first {
		t.Errorf("two runs of one seed have the hashes %x and %x", first, again)
	}
}
