package register_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"xenon/core/env"
	"xenon/core/register"
	"xenon/core/xsync"
	"xenon/diskdrv"
	"xenon/realio"
)

// A world is one process and a bucket whose late requests take effect when the
// process sleeps.
type world struct {
	*realio.Env
	bucket *diskdrv.Bucket
	// faults is what happens to the first Put of this process's store.
	faults diskdrv.BucketFaults
	// afterPut is called after each Put.
	afterPut func(n int)
	puts     int
	sleeps   int
}

func newWorld(t *testing.T) *world {
	e := realio.New(realio.Options{})
	t.Cleanup(func() { e.Close() })
	b := diskdrv.NewBucket(diskdrv.BucketOptions{Rand: rand.New(rand.NewPCG(1, 1))})
	return &world{Env: e, bucket: b}
}

func (w *world) Clock() env.Clock         { return sleepless{w.Env.Clock(), w} }
func (w *world) Objects() env.ObjectStore { return watched{w.bucket.Objects(nil, "p1"), w} }

// other is a process that nothing happens to.
func (w *world) other() env.Env { return &world{Env: w.Env, bucket: w.bucket} }

type sleepless struct {
	env.Clock
	w *world
}

func (c sleepless) Sleep(ctx context.Context, _ time.Duration) error {
	c.w.sleeps++
	c.w.bucket.RunLate()
	return xsync.Cause(ctx)
}

type watched struct {
	env.ObjectStore
	w *world
}

func (s watched) Put(ctx context.Context, key string, body env.Body, o env.PutOpts) (env.ObjectMeta, error) {
	if s.w.puts++; s.w.puts == 1 && s.w.faults != (diskdrv.BucketFaults{}) {
		s.w.bucket.SetFaults(s.w.faults)
		defer s.w.bucket.SetFaults(diskdrv.BucketFaults{})
	}
	m, err := s.ObjectStore.Put(ctx, key, body, o)
	if s.w.afterPut != nil {
		s.w.afterPut(s.w.puts)
	}
	return m, err
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

const key = "dir/register"

// TestWriteOutcomes: one write over version 1, in a store that misbehaves
// once, while another writer may come in between.
func TestWriteOutcomes(t *testing.T) {
	ctx := context.Background()
	tests := []struct {
		name   string
		faults diskdrv.BucketFaults
		// others is how many changes another writer makes right after the first
		// request.
		others  int
		remove  bool // an operator removes the object then
		err     error
		version uint64 // of the State returned
		stored  string
	}{
		{name: "no fault", version: 2, stored: "mine"},
		{name: "the answer is lost", faults: diskdrv.BucketFaults{LostResponse: 1000}, version: 2, stored: "mine"},
		{name: "the request is lost", faults: diskdrv.BucketFaults{LostRequest: 1000}, version: 2, stored: "mine"},
		{name: "the request is late", faults: diskdrv.BucketFaults{Late: 1000}, version: 2, stored: "mine"},
		{name: "executed twice", faults: diskdrv.BucketFaults{Twice: 1000}, version: 2, stored: "mine"},
		{name: "refused for now", faults: diskdrv.BucketFaults{SlowDown: 1000}, version: 2, stored: "mine"},
		{name: "another was first", faults: diskdrv.BucketFaults{LostRequest: 1000}, others: 1, err: register.ErrChanged, version: 2, stored: "other 1"},
		{name: "another was first, and this one late", faults: diskdrv.BucketFaults{Late: 1000}, others: 1, err: register.ErrChanged, version: 2, stored: "other 1"},
		{name: "many others were first", faults: diskdrv.BucketFaults{Late: 1000}, others: 16, err: register.ErrChanged, version: 17, stored: "other 16"},
		{name: "others built on this one", faults: diskdrv.BucketFaults{LostResponse: 1000}, others: 16, version: 2, stored: "other 16"},
		{name: "too many others to tell", faults: diskdrv.BucketFaults{LostResponse: 1000}, others: 17, err: env.ErrUnknown, version: 19, stored: "other 17"},
		{name: "the object is gone", faults: diskdrv.BucketFaults{LostRequest: 1000}, remove: true, err: env.ErrCorrupt},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			r, other := register.New(w, key), register.New(w.other(), key)
			first := must(other.Write(ctx, register.State{}, []byte("first")))
			w.faults = tt.faults
			w.afterPut = func(int) {
				w.afterPut = nil
				w.bucket.SetFaults(diskdrv.BucketFaults{})
				for i := range tt.others {
					must(other.Update(ctx, func(register.State) ([]byte, error) { return fmt.Appendf(nil, "other %d", i+1), nil }))
				}
				if tt.remove {
					w.bucket.Lose(key)
				}
			}
			s, err := r.Write(ctx, first, []byte("mine"))
			if !errors.Is(err, tt.err) {
				t.Fatalf("write: %v, want %v", err, tt.err)
			}
			if s.Version() != tt.version {
				t.Errorf("version %d, want %d", s.Version(), tt.version)
			}
			w.bucket.RunLate()
			if now := must(other.Read(ctx)); string(now.Payload) != tt.stored {
				t.Errorf("the register holds %q, want %q", now.Payload, tt.stored)
			}
		})
	}
}

// TestSupersededState: a State that others have built on cannot be written
// over.
func TestSupersededState(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	r, other := register.New(w, key), register.New(w.other(), key)
	w.faults = diskdrv.BucketFaults{LostResponse: 1000}
	w.afterPut = func(int) {
		w.afterPut = nil
		w.bucket.SetFaults(diskdrv.BucketFaults{})
		must(other.Update(ctx, func(register.State) ([]byte, error) { return []byte("theirs"), nil }))
	}
	s := must(r.Write(ctx, register.State{}, []byte("mine")))
	if _, err := r.Write(ctx, s, []byte("again")); !errors.Is(err, register.ErrChanged) {
		t.Errorf("write over a State of the past: %v", err)
	}
	if now := must(r.Read(ctx)); string(now.Payload) != "theirs" {
		t.Errorf("the register holds %q", now.Payload)
	}
}

// TestGivingUp: a caller who runs out of time learns whether its write may
// still happen.
func TestGivingUp(t *testing.T) {
	enough := errors.New("enough")
	tests := []struct {
		name    string
		faults  diskdrv.BucketFaults
		unknown bool
	}{
		{"nothing was sent", diskdrv.BucketFaults{Unavailable: 1000}, false},
		{"a request may be on its way", diskdrv.BucketFaults{LostRequest: 1000}, true},
	}
	for _, tt := range tests {
		w := newWorld(t)
		w.bucket.SetFaults(tt.faults)
		ctx, cancel := xsync.WithCancel(context.Background())
		w.afterPut = func(n int) {
			if n == 1 {
				cancel(enough)
			}
		}
		_, err := register.New(w, key).Write(ctx, register.State{}, []byte("mine"))
		if !errors.Is(err, enough) || errors.Is(err, env.ErrUnknown) != tt.unknown {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestDamagedObjectIsNamed(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	r := register.New(w, key)
	must(r.Write(ctx, register.State{}, []byte("text")))
	must(0, w.bucket.Corrupt(key, 12, 1))
	if _, err := r.Read(ctx); !errors.Is(err, env.ErrCorrupt) || w.sleeps > 0 {
		t.Errorf("read of a damaged register: %v, after %d pauses", err, w.sleeps)
	}
	if _, err := r.Write(ctx, register.State{}, make([]byte, register.MaxPayload+1)); err == nil {
		t.Error("a payload over the limit was written")
	}
}

func TestMint(t *testing.T) {
	ctx := context.Background()
	const prefix = "tenant/"
	tests := []struct {
		name   string
		faults diskdrv.BucketFaults // of the first Put
		want   int
	}{
		{"the next number", diskdrv.BucketFaults{}, 3},
		{"a lost answer burns a number", diskdrv.BucketFaults{LostResponse: 1000}, 4},
		{"a late request burns a number", diskdrv.BucketFaults{Late: 1000}, 4},
		{"twice executed burns a number", diskdrv.BucketFaults{Twice: 1000}, 4},
		{"refused for now burns none", diskdrv.BucketFaults{SlowDown: 1000}, 3},
	}
	for _, tt := range tests {
		w := newWorld(t)
		for want := range 2 {
			if g := must(register.Mint(ctx, w.other(), prefix, nil)); int(g) != want+1 {
				t.Fatalf("minted %d, want %d", g, want+1)
			}
		}
		w.faults = tt.faults
		g := must(register.Mint(ctx, w, prefix, []byte("owner")))
		if int(g) != tt.want {
			t.Errorf("%s: minted %d, want %d", tt.name, g, tt.want)
		}
		w.bucket.RunLate()
		if next := must(register.Mint(ctx, w.other(), prefix, nil)); next != g+1 {
			t.Errorf("%s: the number after %d is %d", tt.name, g, next)
		}
		if newest := must(register.Newest(ctx, w, prefix)); newest != g+1 {
			t.Errorf("%s: the newest is %d", tt.name, newest)
		}
	}
}
