package archive_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"xenon/consensus/safekeeper/archive"
	"xenon/core"
	"xenon/core/env"
	"xenon/netsim"

	"xenon/diskdrv"
)

const size = 128 << 10

var id = core.TTID{Tenant: core.TenantID{0xAA}, Timeline: core.TimelineID{0xBB}}

// inWorld runs f as a task with an object store, and gives it the bucket.
func inWorld(t *testing.T, f func(ctx context.Context, s env.ObjectStore, b *diskdrv.Bucket)) {
	t.Helper()
	w := netsim.New(netsim.Options{Seed: 1})
	defer w.Close()
	b := diskdrv.BucketIn(w, "bucket", diskdrv.BucketFaults{})
	p := w.Proc("p", netsim.ProcOptions{Objects: func(e env.Env) env.ObjectStore { return b.Objects(e, "p") }})
	err := p.Do(1e10, func(ctx context.Context, e env.Env) error {
		f(ctx, e.Objects(), b)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// someWAL is bytes that look like nothing.
func someWAL(n int) []byte {
	r := rand.New(rand.NewPCG(uint64(n), 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func from(b []byte, begin core.LSN) archive.Source {
	return func(p []byte, at core.LSN) error {
		copy(p, b[at-begin:])
		return nil
	}
}

func anything(core.LSN, []byte) error { return nil }

// put stores b as WAL from begin on.
func put(ctx context.Context, s env.ObjectStore, begin core.LSN, b []byte) error {
	body, err := archive.Survey(id, begin, begin+core.LSN(len(b)), from(b, begin), anything)
	if err != nil {
		return err
	}
	return archive.PutSegment(ctx, s, archive.SegmentKey(id, begin.Segment(size), size), body)
}

// TestReadBack: what was stored is read from any place on, in pieces of any
// length, across segments.
func TestReadBack(t *testing.T) {
	inWorld(t, func(ctx context.Context, s env.ObjectStore, _ *diskdrv.Bucket) {
		b := someWAL(3 * size)
		for i := range 3 {
			if err := put(ctx, s, core.LSN(5+i)*size, b[i*size:(i+1)*size]); err != nil {
				t.Fatal(err)
			}
		}
		dice := rand.New(rand.NewPCG(1, 2))
		r := archive.NewReader(s, id, size)
		defer r.Close()
		for range 30 {
			at := dice.IntN(len(b))
			end := at + dice.IntN(len(b)-at) + 1
			for pos := at; pos < end; {
				p := make([]byte, 1+dice.IntN(end-pos))
				n, err := r.Read(ctx, p, 5*size+core.LSN(pos))
				if err != nil || n == 0 || !bytes.Equal(p[:n], b[pos:pos+n]) {
					t.Fatalf("at %d: %d bytes, %v", pos, n, err)
				}
				pos += n
			}
		}
		if _, err := r.Read(ctx, make([]byte, 1), 8*size); !errors.Is(err, env.ErrNotFound) {
			t.Errorf("a segment that is not there: %v", err)
		}
	})
}

// TestStoredTwice: who stores a segment that is there finds out whether it is
// the same.
func TestStoredTwice(t *testing.T) {
	inWorld(t, func(ctx context.Context, s env.ObjectStore, _ *diskdrv.Bucket) {
		b := someWAL(size)
		if err := errors.Join(put(ctx, s, size, b), put(ctx, s, size, b)); err != nil {
			t.Fatal(err)
		}
		other := bytes.Clone(b)
		other[size-1]++
		err := put(ctx, s, size, other)
		if !errors.Is(err, archive.ErrOther) || !strings.Contains(err.Error(), archive.SegmentKey(id, 1, size)) {
			t.Errorf("other bytes: %v", err)
		}
	})
}

// TestDamage: a wrong byte anywhere is found before anything is given out that
// it may have touched, and the object is named.
func TestDamage(t *testing.T) {
	if err := damage(t); err != nil {
		t.Error(err)
	}
}

func damage(t *testing.T) (found error) {
	inWorld(t, func(ctx context.Context, s env.ObjectStore, bucket *diskdrv.Bucket) {
		key, b := archive.SegmentKey(id, 1, size), someWAL(size)
		if err := put(ctx, s, size, b); err != nil {
			t.Fatal(err)
		}
		whole, ok := bucket.Peek(key)
		if !ok {
			t.Fatalf("%s is not there", key)
		}
		for _, at := range []int{0, 9, 13, 20, 40, 50, 60, 64, 75, 80, len(whole) / 2, len(whole) - 1} {
			bad := bytes.Clone(whole)
			bad[at] ^= 4
			if _, err := s.Put(ctx, key, env.Bytes(bad), env.PutOpts{}); err != nil {
				t.Fatal(err)
			}
			r := archive.NewReader(s, id, size)
			for pos := core.LSN(size); pos < 2*size; {
				p := make([]byte, 10_000)
				n, err := r.Read(ctx, p, pos)
				if err != nil {
					if !strings.Contains(err.Error(), key) {
						t.Errorf("byte %d: the object is not named: %v", at, err)
					}
					break
				}
				if !bytes.Equal(p[:n], b[pos-size:int(pos-size)+n]) {
					found = errors.New("damaged WAL was given out")
				}
				if pos += core.LSN(n); pos == 2*size {
					found = errors.New("a damaged object was read to its end")
				}
			}
			r.Close()
		}
		if _, err := s.Put(ctx, key, env.Bytes(whole[:len(whole)-1]), env.PutOpts{}); err != nil {
			t.Fatal(err)
		}
		r := archive.NewReader(s, id, size)
		if _, err := r.Read(ctx, make([]byte, 1), size); !errors.Is(err, env.ErrCorrupt) {
			t.Errorf("an object that is too short: %v", err)
		}
	})
	return found
}

// TestPartial: a partial segment is read to its end, and a body that changes
// while it is stored is no body.
func TestPartial(t *testing.T) {
	inWorld(t, func(ctx context.Context, s env.ObjectStore, _ *diskdrv.Bucket) {
		b := someWAL(70_000)
		p := archive.Partial{Segment: 3, LastTerm: 7, Flush: 3*size + 70_000, Commit: 3*size + 60_000, Node: 2, Nonce: 0xBEEF}
		body, err := archive.Survey(id, 3*size, p.Flush, from(b, 3*size), anything)
		if err != nil {
			t.Fatal(err)
		}
		if err := archive.PutPartial(ctx, s, p.Key(id, size), body); err != nil {
			t.Fatal(err)
		}
		var got []byte
		err = archive.ReadPartial(ctx, s, id, p, size, func(at core.LSN, b []byte) error {
			if at != 3*size+core.LSN(len(got)) {
				t.Errorf("bytes at %s behind %d", at, len(got))
			}
			got = append(got, b...)
			return nil
		})
		if err != nil || !bytes.Equal(got, b) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		b[66_000]++
		p.Nonce++
		if err := archive.PutPartial(ctx, s, p.Key(id, size), body); !errors.Is(err, env.ErrCorrupt) {
			t.Errorf("WAL that changed: %v", err)
		}
	})
}

func TestNames(t *testing.T) {
	p := archive.Partial{Segment: 0x1FFFF, LastTerm: 12, Flush: 0x1FFFF*size + 5, Commit: 0x1FFFF * size, Node: 3, Nonce: 1}
	name := p.Name(size)
	if want := "00000001000000030000" + "7FFF_12_00000003FFFE0005_00000003FFFE0000_sk3_00000001.partial"; name != want {
		t.Errorf("%s, want %s", name, want)
	}
	if err := env.CheckKey(p.Key(id, size)); err != nil {
		t.Error(err)
	}
	if got, err := archive.ParsePartial(name, size); err != nil || got != p {
		t.Errorf("%+v, %v", got, err)
	}
	if got, rest, ok := archive.ParseKey(p.Key(id, size)); !ok || got != id || rest != name {
		t.Errorf("%v %s %v", got, rest, ok)
	}
	for _, bad := range []string{"", name + "x", strings.Replace(name, "_12_", "_+12_", 1), strings.Replace(name, "sk3", "3", 1), strings.ToLower(name)} {
		if _, err := archive.ParsePartial(bad, size); err == nil {
			t.Errorf("%q is a name", bad)
		}
	}
}

// FuzzNames: what is read as a name is written the same.
func FuzzNames(f *testing.F) {
	f.Add(archive.Partial{Segment: 5, LastTerm: 1, Flush: 5*size + 1, Commit: 5 * size, Node: 1}.Name(size))
	f.Add("000000010000000000000005_1_0_0_sk1_0.partial")
	f.Fuzz(func(t *testing.T, name string) {
		if p, err := archive.ParsePartial(name, size); err == nil && p.Name(size) != name {
			t.Errorf("%q is read as %q", name, p.Name(size))
		}
	})
}

// FuzzObject: bytes in a bucket are an error or the WAL that was stored.
func FuzzObject(f *testing.F) {
	f.Add(uint32(0), byte(1))
	f.Add(uint32(70), byte(0x80))
	f.Fuzz(func(t *testing.T, at uint32, flip byte) {
		inWorld(t, func(ctx context.Context, s env.ObjectStore, bucket *diskdrv.Bucket) {
			b := someWAL(size)
			if err := put(ctx, s, size, b); err != nil {
				t.Fatal(err)
			}
			whole, _ := bucket.Peek(archive.SegmentKey(id, 1, size))
			bad := bytes.Clone(whole)
			bad[int(at)%len(bad)] ^= flip
			s.Put(ctx, archive.SegmentKey(id, 1, size), env.Bytes(bad), env.PutOpts{})
			r := archive.NewReader(s, id, size)
			defer r.Close()
			p := make([]byte, size)
			for pos := 0; pos < size; {
				n, err := r.Read(ctx, p, size+core.LSN(pos))
				if err != nil {
					return
				}
				if !bytes.Equal(p[:n], b[pos:pos+n]) {
					t.Fatalf("byte %d of the object is %02x off, and the WAL at %d is wrong", at, flip, pos)
				}
				pos += n
			}
		})
	})
}
