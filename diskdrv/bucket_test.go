package diskdrv_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"xenon/core/env"
	"xenon/diskdrv"
)

func newBucket(f diskdrv.BucketFaults) *diskdrv.Bucket {
	return diskdrv.NewBucket(diskdrv.BucketOptions{Rand: rand.New(rand.NewPCG(5, 5)), Faults: f})
}

// TestBucketFaults is what a caller learns and what is stored, for a Put of
// "new" over "old".
func TestBucketFaults(t *testing.T) {
	tests := []struct {
		name   string
		faults diskdrv.BucketFaults
		outage bool
		opts   func(old env.ETag) env.PutOpts
		err    error
		stored string
		later  string // once late requests have taken effect
	}{
		{name: "no fault", stored: "new", later: "new"},
		{name: "slow down", faults: diskdrv.BucketFaults{SlowDown: 1000}, err: env.ErrSlowDown, stored: "old", later: "old"},
		{name: "unavailable", faults: diskdrv.BucketFaults{Unavailable: 1000}, err: env.ErrUnavailable, stored: "old", later: "old"},
		{name: "outage", outage: true, err: env.ErrUnavailable, stored: "old", later: "old"},
		{name: "lost request", faults: diskdrv.BucketFaults{LostRequest: 1000}, err: env.ErrUnknown, stored: "old", later: "old"},
		{name: "lost response", faults: diskdrv.BucketFaults{LostResponse: 1000}, err: env.ErrUnknown, stored: "new", later: "new"},
		{name: "late", faults: diskdrv.BucketFaults{Late: 1000}, err: env.ErrUnknown, stored: "old", later: "new"},
		{
			name:   "a change executed twice reports that it was refused",
			faults: diskdrv.BucketFaults{Twice: 1000},
			opts:   func(old env.ETag) env.PutOpts { return env.PutOpts{IfMatch: old} },
			err:    env.ErrPrecondition, stored: "new", later: "new",
		},
	}
	ctx := context.Background()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBucket(diskdrv.BucketFaults{})
			s := b.Objects(nil, "p1")
			old := must(s.Put(ctx, "a", env.Bytes([]byte("old")), env.PutOpts{}))
			b.SetFaults(tt.faults)
			b.SetOutage(tt.outage)
			var o env.PutOpts
			if tt.opts != nil {
				o = tt.opts(old.ETag)
			}
			if _, err := s.Put(ctx, "a", env.Bytes([]byte("new")), o); !errors.Is(err, tt.err) {
				t.Errorf("put: %v, want %v", err, tt.err)
			}
			if got, _ := b.Peek("a"); string(got) != tt.stored {
				t.Errorf("stored: %q, want %q", got, tt.stored)
			}
			b.RunLate()
			if got, _ := b.Peek("a"); string(got) != tt.later {
				t.Errorf("stored later: %q, want %q", got, tt.later)
			}
		})
	}
}

// TestLatePutKeepsItsCondition: a late conditional Put is decided when it
// takes effect, not when it was sent.
func TestLatePutKeepsItsCondition(t *testing.T) {
	ctx := context.Background()
	b := newBucket(diskdrv.BucketFaults{Late: 1000})
	s := b.Objects(nil, "p1")
	_, err := s.Put(ctx, "a", env.Bytes([]byte("late")), env.PutOpts{IfNoneMatch: true})
	if !errors.Is(err, env.ErrUnknown) {
		t.Fatal(err)
	}
	b.SetFaults(diskdrv.BucketFaults{})
	must(s.Put(ctx, "a", env.Bytes([]byte("first")), env.PutOpts{IfNoneMatch: true}))
	b.RunLate()
	if got, _ := b.Peek("a"); string(got) != "first" {
		t.Errorf("a late create overwrote: %q", got)
	}
}

func TestCutBody(t *testing.T) {
	ctx := context.Background()
	b := newBucket(diskdrv.BucketFaults{CutBody: 1000})
	s := b.Objects(nil, "p1")
	must(s.Put(ctx, "a", env.Bytes(make([]byte, 1000)), env.PutOpts{}))
	for range 20 {
		got, _, err := env.ReadObject(ctx, s, "a")
		if !errors.Is(err, io.ErrUnexpectedEOF) || len(got) >= 1000 {
			t.Fatalf("read %d bytes, %v", len(got), err)
		}
	}
}

// TestChosenVictims: faults befall the requests they are meant for, and are
// counted.
func TestChosenVictims(t *testing.T) {
	ctx := context.Background()
	tests := []struct {
		name   string
		faults diskdrv.BucketFaults
		hits   string // of p1 and p2, each on a layer and on an index
	}{
		{"all", diskdrv.BucketFaults{Forbidden: 1000}, "XXXX"},
		{"one owner", diskdrv.BucketFaults{Forbidden: 1000, Owner: "p2"}, "--XX"},
		{"some keys", diskdrv.BucketFaults{Forbidden: 1000, Keys: "index-"}, "-X-X"},
		{"some keys of one", diskdrv.BucketFaults{Forbidden: 1000, Owner: "p1", Keys: "layers/"}, "X---"},
	}
	for _, tt := range tests {
		b := newBucket(tt.faults)
		hits := ""
		for _, owner := range []string{"p1", "p2"} {
			for _, key := range []string{"t/layers/1", "t/index-1"} {
				_, err := b.Objects(nil, owner).Put(ctx, key, env.Bytes(nil), env.PutOpts{})
				switch {
				case err == nil:
					hits += "-"
				case errors.Is(err, env.ErrForbidden):
					hits += "X"
				default:
					t.Fatal(err)
				}
			}
		}
		if hits != tt.hits || b.Struck() != strings.Count(hits, "X") {
			t.Errorf("%s: %s, want %s; struck %d", tt.name, hits, tt.hits, b.Struck())
		}
	}
}

// TestWatchKnowsWhoHears: an observer sees what took effect, and whether
// anybody learned of it.
func TestWatchKnowsWhoHears(t *testing.T) {
	ctx := context.Background()
	b := newBucket(diskdrv.BucketFaults{LostResponse: 1000})
	var seen []diskdrv.ObjectOp
	b.Watch(func(o diskdrv.ObjectOp, _ []byte) { seen = append(seen, o) })
	s := b.Objects(nil, "p1")
	_, err := s.Put(ctx, "a", env.Bytes([]byte("x")), env.PutOpts{})
	if !errors.Is(err, env.ErrUnknown) {
		t.Fatal(err)
	}
	b.SetFaults(diskdrv.BucketFaults{})
	must(s.Head(ctx, "a"))
	if len(seen) != 2 || !seen[0].Unheard || seen[0].Kind != "put" || seen[1].Unheard {
		t.Errorf("seen: %+v", seen)
	}
}

// TestSameContentSameETag: as in S3, an ETag tells contents apart, not writes.
func TestSameContentSameETag(t *testing.T) {
	ctx := context.Background()
	s := newBucket(diskdrv.BucketFaults{}).Objects(nil, "p1")
	first := must(s.Put(ctx, "a", env.Bytes([]byte("x")), env.PutOpts{}))
	must(s.Put(ctx, "a", env.Bytes([]byte("y")), env.PutOpts{}))
	again := must(s.Put(ctx, "a", env.Bytes([]byte("x")), env.PutOpts{}))
	if first.ETag != again.ETag {
		t.Error("the same content has two ETags")
	}
}

func TestBucketRecords(t *testing.T) {
	ctx := context.Background()
	var noted []string
	b := diskdrv.NewBucket(diskdrv.BucketOptions{
		Rand: rand.New(rand.NewPCG(1, 1)),
		Note: func(o diskdrv.ObjectOp, data []byte) {
			noted = append(noted, o.Owner+" "+o.Kind+" "+o.Key+" "+string(data))
		},
	})
	b.StartLog()
	p1, p2 := b.Objects(nil, "p1"), b.Objects(nil, "p2")
	must(p1.Put(ctx, "a", env.Bytes([]byte("text")), env.PutOpts{}))
	_, _, _ = env.ReadObject(ctx, p2, "a")
	_, _ = p2.Put(ctx, "a", env.Bytes([]byte("x")), env.PutOpts{IfNoneMatch: true})
	must(0, p2.Delete(ctx, "a"))
	must(p2.List(ctx, env.ListOpts{Prefix: "p"}))
	want := []string{"p1 put a text", "p2 get a text", "p2 put a ", "p2 delete a ", "p2 list p "}
	if !slices.Equal(noted, want) {
		t.Errorf("noted %q, want %q", noted, want)
	}
	log := b.Log()
	if len(log) != 5 || log[0].Before != "" || log[0].After != log[1].Before || !errors.Is(log[2].Err, env.ErrPrecondition) || log[3].After != "" {
		t.Errorf("log: %+v", log)
	}
	if u := b.Usage(); u != (diskdrv.Usage{Puts: 2, Gets: 1, Lists: 1, Deletes: 1, BytesIn: 5, BytesOut: 4}) {
		t.Errorf("usage: %+v", u)
	}
	must(p1.Put(ctx, "b", env.Bytes([]byte("text")), env.PutOpts{}))
	must(0, b.Corrupt("b", 2, 1))
	if got, _ := b.Peek("b"); string(got) != "teyt" {
		t.Errorf("corrupted: %q", got)
	}
	b.Lose("b")
	if len(b.Keys()) != 0 {
		t.Errorf("keys: %q", b.Keys())
	}
}
