package objstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"
	"time"

	"xenon/core/env"
	"xenon/core/objstore"
	"xenon/core/xsync"
	"xenon/diskdrv"
	"xenon/netsim"
)

// A scene is a process over a bucket, and the requests that reached it.
type scene struct {
	t      *testing.T
	w      *netsim.World
	bucket *diskdrv.Bucket
	sent   []sent
	err    error
}

// A sent is a request that the layer under test made.
type sent struct {
	kind, key string
	at        time.Duration
	err       error
}

// play runs f as the main task of a process whose object store is bucket,
// seen through wrap if there is one.
func play(t *testing.T, seed uint64, faults diskdrv.BucketFaults, f func(ctx context.Context, e env.Env, s *scene) error) *scene {
	t.Helper()
	w := netsim.New(netsim.Options{Seed: seed})
	t.Cleanup(func() { w.Close() })
	s := &scene{t: t, w: w, bucket: diskdrv.BucketIn(w, "bucket", faults)}
	running := true
	w.Proc("p", netsim.ProcOptions{
		Objects: func(e env.Env) env.ObjectStore { return spy{s.bucket.Objects(e, "p"), s} },
		Exit:    func(_ *netsim.Proc, err error) { s.err, running = err, false },
	}).Start(func(ctx context.Context, e env.Env) error { return f(ctx, e, s) })
	if err := w.Run(24*time.Hour, func() bool { return !running }); err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	if s.err != nil {
		t.Errorf("seed %d: %v", seed, s.err)
	}
	return s
}

// between counts the requests of a time.
func (s *scene) between(from, to time.Duration) (n int) {
	for _, q := range s.sent {
		if from <= q.at && q.at < to {
			n++
		}
	}
	return n
}

// A spy notes what is asked of the store behind it.
type spy struct {
	env.ObjectStore
	s *scene
}

func (p spy) note(kind, key string, err error) error {
	p.s.sent = append(p.s.sent, sent{kind, key, p.s.w.Elapsed(), err})
	return err
}

func (p spy) Put(ctx context.Context, key string, b env.Body, o env.PutOpts) (env.ObjectMeta, error) {
	kind := "put"
	if o != (env.PutOpts{}) {
		kind = "conditional put"
	}
	m, err := p.ObjectStore.Put(ctx, key, b, o)
	return m, p.note(kind, key, err)
}

func (p spy) Get(ctx context.Context, key string, o env.GetOpts) (io.ReadCloser, env.ObjectMeta, error) {
	r, m, err := p.ObjectStore.Get(ctx, key, o)
	return r, m, p.note("get", key, err)
}

func (p spy) List(ctx context.Context, o env.ListOpts) (env.ListPage, error) {
	page, err := p.ObjectStore.List(ctx, o)
	return page, p.note("list", o.Prefix, err)
}

// bad is a bucket in which about every third request goes wrong.
var bad = diskdrv.BucketFaults{
	SlowDown: 60, Unavailable: 60, Forbidden: 10, LostRequest: 60, LostResponse: 60, Late: 60, CutBody: 100,
	Latency: diskdrv.Delay{Base: 5 * time.Millisecond, Jitter: 50 * time.Millisecond},
	Timeout: 300 * time.Millisecond, MaxLate: 3 * time.Second,
}

// content of the n-th object.
func content(n int) []byte { return bytes.Repeat(fmt.Appendf(nil, "%06d,", n), 1000+n) }

// work puts objects from several tasks, reads them back whole and in parts,
// lists them, and deletes every other one.
func work(ctx context.Context, e env.Env) error {
	store := e.Objects()
	g := xsync.NewGroup(ctx, e)
	for n := range 12 {
		g.Go("worker", func(ctx context.Context) error {
			key, want := fmt.Sprintf("dir/%02d", n), content(n)
			if _, err := store.Put(ctx, key, env.Bytes(want), env.PutOpts{}); err != nil {
				return err
			}
			got, _, err := env.ReadObject(ctx, store, key)
			if err != nil || !bytes.Equal(got, want) {
				return fmt.Errorf("%s: %d bytes that are not those, %w", key, len(got), err)
			}
			r, _, err := store.Get(ctx, key, env.GetOpts{Off: 1000, Len: 5000})
			if err != nil {
				return err
			}
			if got, err = io.ReadAll(r); err != nil || !bytes.Equal(got, want[1000:6000]) {
				return fmt.Errorf("%s: a range of %d bytes that are not those, %w", key, len(got), err)
			}
			if err := r.Close(); err != nil || n%2 == 0 {
				return err
			}
			return store.Delete(ctx, key)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	page, err := store.List(ctx, env.ListOpts{Prefix: "dir/"})
	if len(page.Objects) < 6 {
		return fmt.Errorf("%d objects are left, not 6 or more: %w", len(page.Objects), err)
	}
	return err
}

// TestBadBucket: over a bucket that fails all the time everything is done, and
// everything read is right.
func TestBadBucket(t *testing.T) {
	retries := uint64(0)
	for seed := range uint64(60) {
		s := play(t, seed, bad, func(ctx context.Context, e env.Env, s *scene) error {
			store := objstore.New(e, e.Objects(), objstore.Options{Concurrency: 4})
			if err := work(ctx, objstore.Over(e, store)); err != nil {
				return err
			}
			st := store.Stats()
			retries += st.Retries
			if len(store.Waits()) != 0 || st.InFlight != 0 {
				return fmt.Errorf("something is still under way: %v", store.Waits())
			}
			if n := st.Requests[objstore.Put] + st.Requests[objstore.Get] + st.Requests[objstore.List]; int(n) != len(s.sent) {
				return fmt.Errorf("%d requests counted, %d made", n, len(s.sent))
			}
			return nil
		})
		if t.Failed() {
			t.Fatalf("seed %d, after %d requests", seed, len(s.sent))
		}
	}
	if retries < 500 {
		t.Errorf("only %d requests had to be repeated", retries)
	}
}

// TestOutage: in an outage many callers wait, few requests are made, and what
// waits says why; when it is over everything gets done.
func TestOutage(t *testing.T) {
	const callers, outage = 200, time.Minute
	s := play(t, 1, diskdrv.BucketFaults{Latency: diskdrv.Delay{Base: time.Millisecond}}, func(ctx context.Context, e env.Env, s *scene) error {
		store := objstore.New(e, e.Objects(), objstore.Options{})
		s.bucket.SetOutage(true)
		g := xsync.NewGroup(ctx, e)
		for n := range callers {
			g.Go("caller", func(ctx context.Context) error {
				_, err := store.Put(ctx, fmt.Sprintf("k%d", n), env.Bytes([]byte("x")), env.PutOpts{})
				return err
			})
		}
		if err := e.Clock().Sleep(ctx, outage); err != nil {
			return err
		}
		text := store.Trouble()
		if waits := len(store.Waits()); waits != callers || !strings.Contains(text, "not available") || strings.Count(text, "put") != 1 || !strings.Contains(text, "and 199 more") {
			return fmt.Errorf("%d calls wait, and it is said: %s", waits, text)
		}
		s.bucket.SetOutage(false)
		if err := g.Wait(); err != nil {
			return err
		}
		if text := store.Trouble(); text != "" {
			return fmt.Errorf("nothing waits, and it is said: %s", text)
		}
		return nil
	})
	// Everybody once, what was saved up, and ten a second.
	if n := s.between(0, outage); n < callers+500 || n > callers+50+600+10 {
		t.Errorf("%d requests in an outage of %v", n, outage)
	}
	if s.w.Elapsed() > outage+30*time.Second {
		t.Errorf("it took %v after the outage", s.w.Elapsed()-outage)
	}
}

// TestConditionalPutsAreSentOnce, whatever comes of them.
func TestConditionalPutsAreSentOnce(t *testing.T) {
	if err := sentOnce(t); err != nil {
		t.Error(err)
	}
}

func sentOnce(t *testing.T) error {
	s := play(t, 1, bad, func(ctx context.Context, e env.Env, s *scene) error {
		store := objstore.New(e, e.Objects(), objstore.Options{})
		failed := 0
		for n := range 200 {
			_, err := store.Put(ctx, fmt.Sprint("k", n), env.Bytes([]byte("x")), env.PutOpts{IfNoneMatch: true})
			if err != nil {
				failed++
			}
		}
		if failed == 0 {
			s.err = errors.New("none failed")
		}
		return nil
	})
	seen := map[string]int{}
	for _, q := range s.sent {
		if seen[q.key]++; seen[q.key] > 1 {
			return fmt.Errorf("%s of %s was sent again", q.kind, q.key)
		}
	}
	return nil
}

// TestSlowDown: a bucket that asks to slow down gets fewer requests at once,
// and as many as before when it no longer does.
func TestSlowDown(t *testing.T) {
	play(t, 1, diskdrv.BucketFaults{}, func(ctx context.Context, e env.Env, s *scene) error {
		store := objstore.New(e, e.Objects(), objstore.Options{Concurrency: 16})
		steady := diskdrv.BucketFaults{Latency: diskdrv.Delay{Base: 10 * time.Millisecond}}
		storm := steady
		storm.SlowDown = 1000
		s.bucket.SetFaults(storm)
		g := xsync.NewGroup(ctx, e)
		for n := range 64 {
			g.Go("caller", func(ctx context.Context) error {
				for i := range 20 {
					if _, err := store.Put(ctx, fmt.Sprintf("%d/%d", n, i), env.Bytes(nil), env.PutOpts{}); err != nil {
						return err
					}
				}
				return nil
			})
		}
		if err := e.Clock().Sleep(ctx, 20*time.Second); err != nil {
			return err
		}
		if st := store.Stats(); st.Limit != 1 || st.SlowDown == 0 {
			return fmt.Errorf("in the storm: %+v", st)
		}
		s.bucket.SetFaults(steady)
		if err := g.Wait(); err != nil {
			return err
		}
		if st := store.Stats(); st.Limit != 16 {
			return fmt.Errorf("after the storm: %+v", st)
		}
		return nil
	})
}

// TestChangedWhileRead: the rest of a body is never taken from another object.
func TestChangedWhileRead(t *testing.T) {
	if err := changedWhileRead(t); err != nil {
		t.Error(err)
	}
}

func changedWhileRead(t *testing.T) (verdict error) {
	play(t, 1, diskdrv.BucketFaults{}, func(ctx context.Context, e env.Env, s *scene) error {
		store := objstore.New(e, e.Objects(), objstore.Options{})
		old, young := bytes.Repeat([]byte("o"), 100_000), bytes.Repeat([]byte("y"), 100_000)
		if _, err := store.Put(ctx, "k", env.Bytes(old), env.PutOpts{}); err != nil {
			return err
		}
		s.bucket.SetFaults(diskdrv.BucketFaults{CutBody: 1000})
		r, _, err := store.Get(ctx, "k", env.GetOpts{})
		if err != nil {
			return err
		}
		s.bucket.SetFaults(diskdrv.BucketFaults{})
		if _, err := e.Objects().Put(ctx, "k", env.Bytes(young), env.PutOpts{}); err != nil {
			return err
		}
		b, err := io.ReadAll(r)
		if !errors.Is(err, objstore.ErrChanged) {
			verdict = fmt.Errorf("%d bytes of two objects were read: %v", len(b), err)
		}
		return r.Close()
	})
	return verdict
}

// TestKeys: a key that some store refuses is refused over every store.
func TestKeys(t *testing.T) {
	play(t, 1, diskdrv.BucketFaults{}, func(ctx context.Context, e env.Env, s *scene) error {
		store := objstore.New(e, e.Objects(), objstore.Options{})
		for _, key := range []string{"", "a//b", "/a", "a b", "a/../b", "a\xff", strings.Repeat("k", env.MaxKey+1)} {
			if _, err := store.Put(ctx, key, env.Bytes(nil), env.PutOpts{}); !errors.Is(err, fs.ErrInvalid) {
				return fmt.Errorf("put of %q: %w", key, err)
			}
		}
		_, err := store.Put(ctx, "A-z_0.!*'()/"+strings.Repeat("k", env.MaxKey-12), env.Bytes(nil), env.PutOpts{})
		return err
	})
}

// TestEnds: whoever gives up learns why, and what the store said last.
func TestEnds(t *testing.T) {
	had := errors.New("the caller has had enough")
	play(t, 1, diskdrv.BucketFaults{Forbidden: 1000}, func(ctx context.Context, e env.Env, s *scene) error {
		store := objstore.New(e, e.Objects(), objstore.Options{})
		ctx, cancel := xsync.WithCancel(ctx)
		e.Clock().AfterFunc(time.Minute, func() { cancel(had) })
		_, err := store.Head(ctx, "k")
		if !errors.Is(err, had) || !errors.Is(err, env.ErrForbidden) {
			return fmt.Errorf("it says %w", err)
		}
		return nil
	})
}

// A deaf store does not answer, or its bodies stand still.
type deaf struct {
	env.ObjectStore
	e      env.Env
	bodies bool
	asked  *int
}

func (d deaf) Get(ctx context.Context, key string, o env.GetOpts) (io.ReadCloser, env.ObjectMeta, error) {
	if *d.asked++; *d.asked > 2 {
		return d.ObjectStore.Get(ctx, key, o)
	}
	if !d.bodies {
		return nil, env.ObjectMeta{}, d.hang(ctx)
	}
	r, m, err := d.ObjectStore.Get(ctx, key, o)
	return hanging{r, ctx, d}, m, err
}

// hang waits until somebody ends the request.
func (d deaf) hang(ctx context.Context) error {
	return fmt.Errorf("%w: %w", env.ErrUnavailable, d.e.Clock().Sleep(ctx, 1000*time.Hour))
}

type hanging struct {
	io.ReadCloser
	ctx context.Context
	d   deaf
}

func (h hanging) Read([]byte) (int, error) { return 0, h.d.hang(h.ctx) }

// TestDeafStore: a request without an answer, and a body that stands still,
// are given up and made again; a caller who takes its time is not.
func TestDeafStore(t *testing.T) {
	for _, bodies := range []bool{false, true} {
		play(t, 1, diskdrv.BucketFaults{}, func(ctx context.Context, e env.Env, s *scene) error {
			asked := 0
			under := deaf{e.Objects(), e, bodies, &asked}
			store := objstore.New(e, under, objstore.Options{Timeout: 10 * time.Second})
			if _, err := store.Put(ctx, "k", env.Bytes(content(1)), env.PutOpts{}); err != nil {
				return err
			}
			r, _, err := store.Get(ctx, "k", env.GetOpts{})
			if err != nil {
				return err
			}
			if err := e.Clock().Sleep(ctx, time.Hour); err != nil {
				return err
			}
			b, err := io.ReadAll(r)
			if err != nil || !bytes.Equal(b, content(1)) || asked != 3 {
				return fmt.Errorf("bodies %v: %d bytes after %d requests: %w", bodies, len(b), asked, err)
			}
			return r.Close()
		})
	}
}
