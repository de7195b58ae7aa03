package diskdrv_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"strings"
	"testing"

	"xenon/core/env"
	"xenon/diskdrv"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func create(f env.FS, name string) env.File { return must(f.Open(name, env.Write|env.Create)) }

func read(f env.FS, name string) string {
	h := must(f.Open(name, 0))
	b := make([]byte, must(h.Size()))
	if _, err := h.ReadAt(b, 0); err != nil && err != io.EOF {
		panic(err)
	}
	return string(b)
}

// outcomes counts what many crashes of one history leave.
func outcomes(mode diskdrv.CrashMode, history func(f env.FS), after func(f env.FS) string) map[string]int {
	seen := make(map[string]int)
	for seed := range uint64(300) {
		d := newDisk(seed, mode)
		history(d.FS(nil))
		d.CutPower()
		seen[after(d.FS(nil))]++
	}
	return seen
}

// TestCrashReachesEveryState: what a crash may leave it does leave, in some
// run. A simulator that is too kind finds nothing.
func TestCrashReachesEveryState(t *testing.T) {
	exists := func(names ...string) func(env.FS) string {
		return func(f env.FS) string {
			var there []string
			for _, name := range names {
				if _, err := f.Stat(name); err == nil {
					there = append(there, name)
				}
			}
			return strings.Join(there, " ")
		}
	}
	tests := []struct {
		name       string
		history    func(env.FS)
		after      func(env.FS) string
		harsh      []string // the states, in full
		journalled []string
	}{
		{
			name: "two unsynced writes to one sector",
			history: func(f env.FS) {
				h := create(f, "a")
				must(h.WriteAt([]byte("0"), 0))
				must(0, h.Sync(env.SyncData))
				must(0, f.SyncDir("."))
				must(h.WriteAt([]byte("1"), 0))
				must(h.WriteAt([]byte("2"), 0))
			},
			after:      func(f env.FS) string { return read(f, "a") },
			harsh:      []string{"0", "1", "2"},
			journalled: []string{"0", "1", "2"},
		},
		{
			name: "two unsynced writes to two sectors",
			history: func(f env.FS) {
				h := create(f, "a")
				must(h.WriteAt(bytes.Repeat([]byte("0"), 1024), 0))
				must(0, h.Sync(env.SyncData))
				must(0, f.SyncDir("."))
				must(h.WriteAt([]byte("1"), 0))
				must(h.WriteAt([]byte("2"), 512))
			},
			after: func(f env.FS) string { t := read(f, "a"); return t[:1] + t[512:513] },
			harsh: []string{"00", "02", "10", "12"},
			// The second never without the first.
			journalled: []string{"00", "10", "12"},
		},
		{
			name: "a torn write",
			history: func(f env.FS) {
				h := create(f, "a")
				must(h.WriteAt(bytes.Repeat([]byte("0"), 1536), 0))
				must(0, h.Sync(env.SyncData))
				must(0, f.SyncDir("."))
				must(h.WriteAt(bytes.Repeat([]byte("1"), 1536), 0))
			},
			after:      func(f env.FS) string { t := read(f, "a"); return t[:1] + t[600:601] + t[1500:1501] },
			harsh:      []string{"000", "001", "010", "011", "100", "101", "110", "111"},
			journalled: []string{"000", "001", "010", "011", "100", "101", "110", "111"},
		},
		{
			name: "an unsynced append",
			history: func(f env.FS) {
				must(create(f, "a").WriteAt([]byte("1"), 0))
				must(0, f.SyncDir("."))
			},
			after:      func(f env.FS) string { return read(f, "a") },
			harsh:      []string{"", "\x00", "1"},
			journalled: []string{"", "1"},
		},
		{
			name: "a synced file whose directory is not",
			history: func(f env.FS) {
				must(0, create(f, "a").Sync(env.SyncFull))
			},
			after:      exists("a"),
			harsh:      []string{"", "a"},
			journalled: []string{"", "a"},
		},
		{
			name: "an unsynced rename",
			history: func(f env.FS) {
				create(f, "a")
				must(0, f.SyncDir("."))
				must(0, f.Rename("a", "b"))
			},
			after: exists("a", "b"),
			// Lost, done, or doubled; never gone.
			harsh:      []string{"a", "a b", "b"},
			journalled: []string{"a", "a b", "b"},
		},
		{
			name: "an unsynced rename of a directory",
			history: func(f env.FS) {
				must(0, f.Mkdir("a"))
				must(0, f.SyncDir("."))
				must(0, f.Rename("a", "b"))
			},
			after:      exists("a", "b"),
			harsh:      []string{"a", "b"},
			journalled: []string{"a", "b"},
		},
		{
			name: "an unsynced removal and another file made in its place",
			history: func(f env.FS) {
				create(f, "a")
				must(0, f.SyncDir("."))
				must(0, f.Remove("a"))
				create(f, "b")
			},
			after:      exists("a", "b"),
			harsh:      []string{"", "a", "a b", "b"},
			journalled: []string{"", "a", "b"},
		},
	}
	for _, tt := range tests {
		for mode, want := range map[diskdrv.CrashMode][]string{diskdrv.CrashHarsh: tt.harsh, diskdrv.CrashJournalled: tt.journalled} {
			seen := outcomes(mode, tt.history, tt.after)
			for _, w := range want {
				if seen[w] == 0 {
					t.Errorf("%s, mode %d: %q never happens: %v", tt.name, mode, w, seen)
				}
				delete(seen, w)
			}
			if len(seen) > 0 {
				t.Errorf("%s, mode %d: impossible states %v", tt.name, mode, seen)
			}
		}
	}
}

// TestFailedSync: the error comes once, the cache looks well, and a crash
// shows that a later sync that succeeded says nothing of the lost bytes.
func TestFailedSync(t *testing.T) {
	seen := outcomes(diskdrv.CrashHarsh, func(f env.FS) {
		h := create(f, "a")
		must(h.WriteAt([]byte("0"), 0))
		must(0, h.Sync(env.SyncData))
		must(0, f.SyncDir("."))
	}, func(f env.FS) string { return read(f, "a") })
	if len(seen) != 1 {
		t.Fatalf("a synced write: %v", seen)
	}

	lost := 0
	for seed := range uint64(100) {
		d := newDisk(seed, diskdrv.CrashHarsh)
		f := d.FS(nil)
		h := create(f, "a")
		must(h.WriteAt([]byte("0"), 0))
		must(0, h.Sync(env.SyncData))
		must(0, f.SyncDir("."))
		must(h.WriteAt([]byte("1"), 0))
		must(0, d.FailNextSync("a"))
		if err := h.Sync(env.SyncData); !errors.Is(err, env.ErrIO) {
			t.Fatalf("the sync that was to fail: %v", err)
		}
		if got := read(f, "a"); got != "1" {
			t.Fatalf("the cache holds %q after a failed sync", got)
		}
		must(0, h.Sync(env.SyncData)) // reports success
		d.CutPower()
		switch got := read(d.FS(nil), "a"); got {
		case "0":
			lost++
		case "1":
		default:
			t.Fatalf("after the crash: %q", got)
		}
	}
	if lost == 0 || lost == 100 {
		t.Errorf("a failed sync lost its bytes in %d of 100 runs", lost)
	}
}

// TestKilled: a killed process loses nothing, its lock is free, and its
// handles are dead.
func TestKilled(t *testing.T) {
	d := newDisk(1, diskdrv.CrashHarsh)
	f := d.FS(nil)
	h := create(f, "a")
	must(h.WriteAt([]byte("text"), 0))
	must(f.Lock("."))
	d.Killed()
	g := d.FS(nil)
	if got := read(g, "a"); got != "text" {
		t.Errorf("after a kill: %q", got)
	}
	must(g.Lock("."))()
	defer func() {
		if recover() == nil {
			t.Error("a handle of the dead process wrote")
		}
	}()
	h.WriteAt([]byte("x"), 0)
}

func TestSpace(t *testing.T) {
	d := diskdrv.NewDisk(diskdrv.DiskOptions{Rand: rand.New(rand.NewPCG(1, 1)), Capacity: 40960})
	f := d.FS(nil)
	free := func(want uint64) {
		t.Helper()
		if got := must(f.Free()); got != want {
			t.Errorf("free: %d bytes, want %d", got, want)
		}
	}
	free(40960)
	a := create(f, "a")
	must(0, a.Allocate(0, 16384))
	free(24576)
	must(a.WriteAt(make([]byte, 16384), 0)) // into what is reserved
	free(24576)
	b := create(f, "b")
	n, err := b.WriteAt(make([]byte, 40000), 100)
	if n != 24476 || !errors.Is(err, env.ErrNoSpace) {
		t.Errorf("a write of more than is free: %d, %v", n, err)
	}
	if size := must(b.Size()); size != 24576 {
		t.Errorf("size after a partial write: %d", size)
	}
	free(0)
	if err := a.Allocate(0, 20000); !errors.Is(err, env.ErrNoSpace) {
		t.Errorf("allocate on a full disk: %v", err)
	}
	if _, err := f.Open("c", env.Write|env.Create); !errors.Is(err, env.ErrNoSpace) {
		t.Errorf("create on a full disk: %v", err)
	}
	must(0, b.Truncate(4097))
	free(16384)
	must(0, f.Remove("a"))
	free(16384) // still open
	must(0, a.Close())
	free(32768)
	d.SetFree(4096)
	free(4096)
	create(f, "c")
	must(0, f.Rename("b", "c")) // replaces
	free(4096)
	must(0, f.SyncDir("."))
	must(0, b.Sync(env.SyncData))
	d.CutPower()
	f = d.FS(nil)
	free(4096)
}

func TestInjectedFaults(t *testing.T) {
	newFS := func(faults diskdrv.Faults) (*diskdrv.Disk, env.FS) {
		d := newDisk(3, diskdrv.CrashHarsh)
		h := create(d.FS(nil), "a")
		must(h.WriteAt(bytes.Repeat([]byte("0"), 8192), 0))
		must(0, h.Sync(env.SyncData))
		must(0, d.FS(nil).SyncDir("."))
		d.SetFaults(faults)
		return d, d.FS(nil)
	}
	open := func(f env.FS) env.File { return must(f.Open("a", env.Write)) }
	is := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	buf := make([]byte, 8192)

	_, f := newFS(diskdrv.Faults{ReadError: 1000})
	_, err := open(f).ReadAt(buf, 0)
	is("read error", err, env.ErrIO)

	_, f = newFS(diskdrv.Faults{WriteError: 1000})
	n, err := open(f).WriteAt(bytes.Repeat([]byte("1"), 8192), 0)
	is("write error", err, env.ErrIO)
	if got := read(f, "a"); got != strings.Repeat("1", n)+strings.Repeat("0", 8192-n) {
		t.Errorf("a write that failed after %d bytes wrote something else", n)
	}

	_, f = newFS(diskdrv.Faults{NoSpace: 1000})
	_, err = open(f).WriteAt(buf, 0)
	is("no space", err, env.ErrNoSpace)
	_, err = f.Open("b", env.Write|env.Create)
	is("no space for a name", err, env.ErrNoSpace)

	_, f = newFS(diskdrv.Faults{SyncError: 1000})
	is("sync error", open(f).Sync(env.SyncData), env.ErrIO)
	is("directory sync error", f.SyncDir("."), env.ErrIO)

	_, f = newFS(diskdrv.Faults{NameError: 1000})
	is("rename error", f.Rename("a", "b"), env.ErrIO)
	is("remove error", f.Remove("a"), env.ErrIO)
	is("mkdir error", f.Mkdir("d"), env.ErrIO)

	d, f := newFS(diskdrv.Faults{})
	d.SetReadOnly(true)
	_, err = f.Open("a", env.Write)
	is("read-only disk", err, env.ErrReadOnly)
	is("removal on a read-only disk", f.Remove("a"), env.ErrReadOnly)
	if read(f, "a") == "" {
		t.Error("a read-only disk cannot be read")
	}
	d.SetGone(true)
	_, err = f.Open("a", 0)
	is("a device that is gone", err, env.ErrIO)
	d.SetGone(false)
	d.SetReadOnly(false)

	must(0, d.Corrupt("a", 5000, 0x03))
	if got := read(f, "a"); got[5000] != '0'^3 || strings.Count(got, "0") != 8191 {
		t.Error("Corrupt did not change that byte alone")
	}
	is("corrupting what is not there", d.Corrupt("b", 0, 1), fs.ErrNotExist)

	_, f = newFS(diskdrv.Faults{BitRot: 1000})
	first := read(f, "a")
	if strings.Count(first, "0") != 8191 {
		t.Error("bit rot did not change one byte")
	}

	d, f = newFS(diskdrv.Faults{LostWrite: 1000})
	h := open(f)
	must(h.WriteAt([]byte("1"), 0))
	must(0, h.Sync(env.SyncData))
	if got := read(f, "a"); got[0] != '0' {
		t.Error("a lost write is there")
	}
	var one [1]byte
	if n := must(d.ReadDurable("a", one[:], 0)); n != 1 || one[0] != '0' {
		t.Error("a lost write is on the device")
	}
}

// TestReadDurable: oracles see what a crash cannot take, and no more.
func TestReadDurable(t *testing.T) {
	d := newDisk(1, diskdrv.CrashHarsh)
	f := d.FS(nil)
	h := create(f, "a")
	must(h.WriteAt([]byte("synced"), 0))
	must(0, h.Sync(env.SyncData))
	buf := make([]byte, 100)
	if _, err := d.ReadDurable("a", buf, 0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a name that was not synced: %v", err)
	}
	must(0, f.SyncDir("."))
	must(h.WriteAt([]byte("more"), 6))
	must(h.WriteAt([]byte("S"), 0))
	if n := must(d.ReadDurable("a", buf, 0)); string(buf[:n]) != "synced" {
		t.Errorf("durable: %q", buf[:n])
	}
}

// TestLog is the order of operations that golden tests of other packages
// compare.
func TestLog(t *testing.T) {
	d := newDisk(1, diskdrv.CrashHarsh)
	f := d.FS(nil)
	d.StartLog()
	must(0, f.Mkdir("d"))
	h := create(f, "d/a.tmp")
	must(h.WriteAt([]byte("text"), 8))
	must(0, h.Allocate(0, 100))
	must(0, h.Truncate(50))
	must(0, h.Sync(env.SyncData))
	must(0, h.Close())
	must(0, f.Rename("d/a.tmp", "d/a"))
	must(0, f.SyncDir("d"))
	must(0, d.FailNextSync("d"))
	_ = f.SyncDir("d")
	must(0, f.Remove("d/a"))
	const want = `mkdir d
create d/a.tmp
write d/a.tmp 8+4
allocate d/a.tmp 0+100
truncate d/a.tmp 50
sync d/a.tmp
rename d/a.tmp d/a
sync-dir d
sync-dir d failed: input/output error
remove d/a
`
	if got := d.LogText(); got != want {
		t.Errorf("log:\n%swant:\n%s", got, want)
	}
}

// TestSameSeedSameDisk: two disks of one seed make the same choices.
func TestSameSeedSameDisk(t *testing.T) {
	run := func() string {
		var b strings.Builder
		d := diskdrv.NewDisk(diskdrv.DiskOptions{
			Rand:   rand.New(rand.NewPCG(7, 7)),
			Faults: diskdrv.Faults{WriteError: 100, SyncError: 100, NoSpace: 100, BitRot: 50, LostWrite: 50},
			Note:   func(o diskdrv.Op, data []byte) { fmt.Fprintf(&b, "%s %x\n", o, data) },
		})
		for life := range 5 {
			f := d.FS(nil)
			for i := range 50 {
				name := fmt.Sprintf("f%d", i%5)
				h, err := f.Open(name, env.Write|env.Create)
				if err != nil {
					continue
				}
				_, _ = h.WriteAt(bytes.Repeat([]byte{byte(i)}, 700), int64(i*100))
				if i%3 == 0 {
					_ = h.Sync(env.SyncData)
				}
				if i%7 == 0 {
					_ = f.SyncDir(".")
				}
				_ = f.Rename(name, fmt.Sprintf("f%d", life))
			}
			d.CutPower()
		}
		f := d.FS(nil)
		for _, e := range must(f.ReadDir(".")) {
			fmt.Fprintf(&b, "%s %x\n", e.Name, read(f, e.Name))
		}
		return b.String()
	}
	first := run()
	for range 5 {
		if run() != first {
			t.Fatal("two runs differ")
		}
	}
}
