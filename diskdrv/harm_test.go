package diskdrv_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"xenon/core/env"
	"xenon/diskdrv"
)

// written is a disk with a file of 8 KiB of "0" that is durable, and over it a
// write of "1" that is not, and a new file "b".
func written(mode diskdrv.CrashMode, seed uint64) *diskdrv.Disk {
	d := newDisk(seed, mode)
	f := d.FS(nil)
	h := create(f, "a")
	must(h.WriteAt(bytes.Repeat([]byte("0"), 8192), 0))
	must(0, h.Sync(env.SyncData))
	must(0, f.SyncDir("."))
	must(h.WriteAt(bytes.Repeat([]byte("1"), 8192), 0))
	b := create(f, "b")
	must(b.WriteAt([]byte("b"), 0))
	must(0, b.Sync(env.SyncFull))
	return d
}

// TestCrashModes: each takes what it says, and nothing else.
func TestCrashModes(t *testing.T) {
	old, fresh := strings.Repeat("0", 8192), strings.Repeat("1", 8192)
	for _, c := range []struct {
		mode diskdrv.CrashMode
		ok   func(a string, b bool) bool
		harm func(diskdrv.Harm) bool
	}{
		{diskdrv.CrashTorn, func(a string, b bool) bool {
			return b && strings.Count(a, "0")%512 == 0 && strings.Count(a, "0")+strings.Count(a, "1") == 8192
		}, func(h diskdrv.Harm) bool { return h.Torn == 1 }},
		{diskdrv.CrashNameless, func(a string, b bool) bool { return a == fresh && !b }, func(h diskdrv.Harm) bool { return h.NamesLost == 1 }},
		{diskdrv.CrashHollow, func(a string, b bool) bool { return a == old && b }, func(h diskdrv.Harm) bool { return h.Dropped == 1 }},
		{diskdrv.CrashReversed, func(a string, b bool) bool { return a == fresh || a == old }, func(h diskdrv.Harm) bool { return true }},
	} {
		for seed := range uint64(20) {
			d := written(c.mode, seed)
			d.CutPower()
			f := d.FS(nil)
			_, err := f.Stat("b")
			if a := read(f, "a"); !c.ok(a, err == nil) || !c.harm(d.Harm()) {
				t.Errorf("mode %d, seed %d: a has %d new bytes, b: %v, %+v", c.mode, seed, strings.Count(a, "1"), err, d.Harm())
			}
		}
	}
}

// TestSilentFaults: what goes wrong without an error is as it is said to be,
// befalls the files that it is for, and is counted.
func TestSilentFaults(t *testing.T) {
	for _, c := range []struct {
		name   string
		faults diskdrv.Faults
		harm   func(diskdrv.Harm) int
	}{
		{"stale read", diskdrv.Faults{StaleRead: 1000}, func(h diskdrv.Harm) int { return h.Stale }},
		{"misdirected read", diskdrv.Faults{WrongRead: 1000}, func(h diskdrv.Harm) int { return h.Misread }},
		{"misdirected write", diskdrv.Faults{WrongSpot: 1000}, func(h diskdrv.Harm) int { return h.Misplaced }},
	} {
		for _, names := range []string{"a", "elsewhere"} {
			d := newDisk(1, diskdrv.CrashHarsh)
			f := d.FS(nil)
			h := create(f, "a")
			want := make([]byte, 64<<10)
			for i := range want {
				want[i] = byte(1 + i>>9)
			}
			must(h.WriteAt(want, 0))
			c.faults.Names = names
			d.SetFaults(c.faults)
			part := bytes.Clone(want[8192:12288])
			must(h.WriteAt(part, 8192)) // the same bytes: only a wrong place changes anything
			got := make([]byte, 4096)
			must(h.ReadAt(got, 16384))
			d.SetFaults(diskdrv.Faults{})
			all := make([]byte, len(want))
			must(h.ReadAt(all, 0))
			harmed := !bytes.Equal(got, want[16384:20480]) || !bytes.Equal(all, want)
			if befell := names == "a"; harmed != befell || (c.harm(d.Harm()) > 0) != befell {
				t.Errorf("%s of files named %q: harmed %v, %+v", c.name, names, harmed, d.Harm())
			}
		}
	}
}

// TestBadSector: it cannot be read until it is written, and its neighbours can.
func TestBadSector(t *testing.T) {
	d := written(diskdrv.CrashHarsh, 1)
	must(0, d.BadSector("a", 1000))
	h := must(d.FS(nil).Open("a", env.Write))
	buf := make([]byte, 512)
	_, err := h.ReadAt(buf, 512)
	if !errors.Is(err, env.ErrIO) || d.Harm().BadReads != 1 {
		t.Errorf("bad sector: %v, %+v", err, d.Harm())
	}
	must(h.ReadAt(buf, 0))
	must(h.ReadAt(buf, 1024))
	must(h.WriteAt(buf, 512))
	must(h.ReadAt(buf, 512))
	if err := d.BadSector("a", 1<<20); err == nil {
		t.Error("a sector beyond the end")
	}
}

// TestRottenReads: who reads a rotten byte is counted until it is written anew.
func TestRottenReads(t *testing.T) {
	d := written(diskdrv.CrashHarsh, 1)
	must(0, d.Corrupt("a", 600, 1))
	h := must(d.FS(nil).Open("a", env.Write))
	buf := make([]byte, 512)
	must(h.ReadAt(buf, 0))
	must(h.ReadAt(buf, 512))
	must(h.WriteAt(buf, 512))
	must(h.ReadAt(buf, 512))
	if got := d.Harm(); got.Rotten != 1 || got.RottenRead != 1 {
		t.Errorf("%+v", got)
	}
}

// TestSnapshots: a disk can be what it was, and two can change places.
func TestSnapshots(t *testing.T) {
	d := written(diskdrv.CrashHarsh, 1)
	s := d.Snapshot()
	f := d.FS(nil)
	must(0, f.SyncDir("."))
	must(must(f.Open("a", env.Write)).WriteAt([]byte("2"), 0))
	d.Killed()
	d.Restore(s)
	if got := read(d.FS(nil), "a"); got != strings.Repeat("0", 8192) {
		t.Errorf("restored: %d bytes that are old", strings.Count(got, "0"))
	}
	if _, err := d.FS(nil).Stat("b"); err == nil {
		t.Error("a name that was not durable is in the snapshot")
	}
	other := newDisk(2, diskdrv.CrashHarsh)
	d.Swap(other)
	if _, err := d.FS(nil).Stat("a"); err == nil || len(read(other.FS(nil), "a")) != 8192 {
		t.Error("the disks did not change places")
	}
}

// TestTrap: after the operation that springs it nothing else is done.
func TestTrap(t *testing.T) {
	d := newDisk(1, diskdrv.CrashHarsh)
	sprung := 0
	d.SetTrap(&diskdrv.Trap{Kinds: []string{"sync"}, Left: 2, Then: func() { sprung++ }})
	f := d.FS(nil)
	h := create(f, "a")
	for range 2 {
		must(h.WriteAt([]byte("x"), 0))
		must(0, h.Sync(env.SyncData))
	}
	if _, err := h.WriteAt([]byte("y"), 0); err == nil || sprung != 1 {
		t.Errorf("sprung %d times, then %v", sprung, err)
	}
	d.Killed()
	if got := read(d.FS(nil), "a"); got != "x" {
		t.Errorf("the file holds %q", got)
	}
}

// TestBodies: what befalls bodies on their way.
func TestBodies(t *testing.T) {
	ctx := context.Background()
	want := make([]byte, 1000)
	for i := range want {
		want[i] = byte(i)
	}
	for _, c := range []struct {
		name   string
		faults diskdrv.BucketFaults
		tally  func(diskdrv.BucketTally) int
		wrong  bool
	}{
		{"wrong range", diskdrv.BucketFaults{WrongRange: 1000}, func(n diskdrv.BucketTally) int { return n.Wrong }, true},
		{"damaged", diskdrv.BucketFaults{Damaged: 1000}, func(n diskdrv.BucketTally) int { return n.Damaged }, true},
		{"stalled", diskdrv.BucketFaults{StallBody: 1000, Stall: time.Second}, func(n diskdrv.BucketTally) int { return n.Stalled }, false},
	} {
		b := newBucket(c.faults)
		s := b.Objects(nil, "p1")
		must(s.Put(ctx, "a", env.Bytes(bytes.Clone(want)), env.PutOpts{}))
		wrong := 0
		for range 10 {
			r, _, err := s.Get(ctx, "a", env.GetOpts{Off: 100, Len: 50})
			if err != nil {
				t.Fatal(err)
			}
			got := make([]byte, 50)
			if n, err := r.Read(got); n != 50 || err != nil {
				t.Fatalf("%s: %d bytes, %v", c.name, n, err)
			}
			if !bytes.Equal(got, want[100:150]) {
				wrong++
			}
		}
		if n := c.tally(b.Tally()); n != 10 || (wrong > 8) != c.wrong || b.Struck() != 10 {
			t.Errorf("%s: %d counted, %d wrong, %d struck", c.name, n, wrong, b.Struck())
		}
		if got, _ := b.Peek("a"); !bytes.Equal(got, want) {
			t.Errorf("%s: the object itself has changed", c.name)
		}
	}
}

// TestMend: an object that was lost or damaged comes back, unless somebody has
// done something to it meanwhile.
func TestMend(t *testing.T) {
	ctx := context.Background()
	b := newBucket(diskdrv.BucketFaults{})
	s := b.Objects(nil, "p1")
	for i, meanwhile := range []func(key string){
		func(string) {},
		func(key string) { must(0, s.Delete(ctx, key)) },
		func(key string) { must(s.Put(ctx, key, env.Bytes([]byte("new")), env.PutOpts{})) },
	} {
		key := fmt.Sprint(i)
		must(s.Put(ctx, key, env.Bytes([]byte("old")), env.PutOpts{}))
		b.Lose(key)
		if _, _, err := env.ReadObject(ctx, s, key); !errors.Is(err, env.ErrNotFound) {
			t.Errorf("a lost object: %v", err)
		}
		meanwhile(key)
		b.Mend(key, []byte("old"))
		got, _ := b.Peek(key)
		if want := []string{"old", "", "new"}[i]; string(got) != want {
			t.Errorf("mended: %q, want %q", got, want)
		}
	}
	if b.Tally().Missed != 3 {
		t.Errorf("%d requests missed their object", b.Tally().Missed)
	}
}
