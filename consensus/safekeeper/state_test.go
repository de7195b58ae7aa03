package safekeeper_test

import (
	"strings"
	"testing"
	"time"

	"xenon/consensus"
	"xenon/consensus/safekeeper"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/wire/http1"
	"xenon/diskdrv"
	"xenon/realio"
)

var (
	tenantDir = "timelines/" + ttid.Tenant.String()
	dir       = "timelines/" + ttid.String()
)

// used makes a disk with a timeline of two segments and something in each.
func used(t *testing.T) (*diskdrv.Disk, core.LSN) {
	disk := newDisk(1)
	r := start(t, disk, safekeeper.Limits{})
	r.mustCreate()
	p := r.push()
	at := p.lead(4)
	end := pour(t, p, 4, newWAL(at, 0), 30, 100_000)
	if end < 2*segSize+100_000 {
		t.Fatalf("WAL ends at %s, too early for this test", end)
	}
	p.c.Close()
	r.stop()
	disk.Killed()
	return disk, end
}

// pour appends and commits n records.
func pour(t testing.TB, p *proposer, term core.Term, w *walMaker, n, size int) core.LSN {
	t.Helper()
	for range n {
		at := w.enc.Pos()
		if err := pourOne(p, term, at, w.records(1, size)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.append(term, w.enc.Pos(), nil, w.enc.Pos()); err != nil {
		t.Fatal(err)
	}
	return w.enc.Pos()
}

func pourOne(p *proposer, term core.Term, at core.LSN, b []byte) error {
	for len(b) > 0 {
		n := min(len(b), consensus.MaxAppend)
		if _, err := p.append(term, at, b[:n], 0); err != nil {
			return err
		}
		at, b = at+core.LSN(n), b[n:]
	}
	return nil
}

func removeAll(fs env.FS, name string) {
	entries, _ := fs.ReadDir(name)
	for _, e := range entries {
		fs.Remove(name + "/" + e.Name)
	}
	fs.Remove(name)
}

func writeFile(fs env.FS, name string, b []byte) {
	f, err := fs.Open(name, env.Write|env.Create|env.Trunc)
	if err != nil {
		panic(err)
	}
	f.WriteAt(b, 0)
	f.Close()
}

// What a safekeeper finds missing, corrupt or foreign it refuses, and says
// what and where.
func TestBadStateIsRefusedByName(t *testing.T) {
	first := core.SegmentName(1, 1, segSize)
	tests := []struct {
		name string
		harm func(d *diskdrv.Disk, fs env.FS)
		open string // error of the node
		want string // reason why the timeline is out of service
	}{
		{"the timeline's directory is gone", func(_ *diskdrv.Disk, fs env.FS) { removeAll(fs, dir) }, "", "its directory " + dir + " is gone"},
		{"all timelines are gone", func(_ *diskdrv.Disk, fs env.FS) { removeAll(fs, dir); removeAll(fs, tenantDir); fs.Remove("timelines") }, "", "its directory " + dir + " is gone"},
		{"the control file is gone", func(_ *diskdrv.Disk, fs env.FS) { fs.Remove(dir + "/control") }, "", "read " + dir + "/control"},
		{"a byte of the control file", func(d *diskdrv.Disk, _ env.FS) { d.Corrupt(dir+"/control", 100, 4) }, "", "checksum"},
		{"the magic of the control file", func(d *diskdrv.Disk, _ env.FS) { d.Corrupt(dir+"/control", 0, 1) }, "", "begins with"},
		{"the version of the control file", func(d *diskdrv.Disk, _ env.FS) { d.Corrupt(dir+"/control", 8, 1) }, "", "format version 1, this program reads version 0"},
		{"a control file cut short", func(_ *diskdrv.Disk, fs env.FS) { writeFile(fs, dir+"/control", []byte("xnskctl")) }, "", "too few"},
		{"an empty control file", func(_ *diskdrv.Disk, fs env.FS) { writeFile(fs, dir+"/control", nil) }, "", "too few"},
		{"a segment is gone", func(_ *diskdrv.Disk, fs env.FS) { fs.Remove(dir + "/" + first) }, "", first + " is missing"},
		{"the last segment is gone", func(_ *diskdrv.Disk, fs env.FS) { removePartial(fs) }, "", "is missing, but WAL is committed up to"},
		{"a segment is short", func(_ *diskdrv.Disk, fs env.FS) { writeFile(fs, dir+"/"+first, make([]byte, 100)) }, "", "has 100 bytes"},
		{"a segment is there twice", func(_ *diskdrv.Disk, fs env.FS) {
			writeFile(fs, dir+"/"+first+".partial", make([]byte, segSize))
		}, "", "is there twice"},
		{"a file of somebody else", func(_ *diskdrv.Disk, fs env.FS) { writeFile(fs, dir+"/notes.txt", nil) }, "", "notes.txt is no file of a safekeeper"},
		{"a timeline of somebody else", func(_ *diskdrv.Disk, fs env.FS) {
			other := tenantDir + "/" + core.TimelineID{0xCC}.String()
			fs.Mkdir(other)
			b := readFile(fs, dir+"/control")
			writeFile(fs, other+"/control", b)
		}, "it is of timeline", ""},
		{"no directory of ours", func(_ *diskdrv.Disk, fs env.FS) { fs.Mkdir(tenantDir + "/lost+found") }, "it is no directory of a safekeeper", ""},
		{"the roster is gone", func(_ *diskdrv.Disk, fs env.FS) { fs.Remove("roster") }, "roster is missing although there are timelines", ""},
		{"a byte of the roster", func(d *diskdrv.Disk, _ env.FS) { d.Corrupt("roster", 30, 4) }, "checksum", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			disk, _ := used(t)
			test.harm(disk, disk.FS(nil))
			real := realio.New(realio.Options{Log: quiet, Grace: time.Millisecond})
			e := onDisk{real, disk.FS(nil)}
			if test.open != "" {
				defer real.Close()
				if _, err := safekeeper.Open(real.Context(), e, safekeeper.Config{NodeID: me}); err == nil || !strings.Contains(err.Error(), test.open) {
					t.Fatalf("error %v, want one with %q", err, test.open)
				}
				return
			}
			r := boot(t, real, e, safekeeper.Limits{})
			if s := r.status(); !strings.Contains(s.Failed, test.want) {
				t.Errorf("status says %q, want %q", s.Failed, test.want)
			}
			p := r.push()
			p.sendGreeting(pg)
			if _, err := p.receive(); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("a proposer is told %v, want %q", err, test.want)
			}
			if err := r.create(startAt, nil); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("creation over it: %v, want %q", err, test.want)
			}
		})
	}
}

func removePartial(fs env.FS) {
	entries, _ := fs.ReadDir(dir)
	for _, e := range entries {
		if strings.HasSuffix(e.Name, ".partial") {
			fs.Remove(dir + "/" + e.Name)
		}
	}
}

func readFile(fs env.FS, name string) []byte {
	f, err := fs.Open(name, 0)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	n, _ := f.Size()
	b := make([]byte, n)
	f.ReadAt(b, 0)
	return b
}

func TestDirectoryOfAnotherSafekeeper(t *testing.T) {
	disk, _ := used(t)
	real := realio.New(realio.Options{Log: quiet, Grace: time.Millisecond})
	defer real.Close()
	_, err := safekeeper.Open(real.Context(), onDisk{real, disk.FS(nil)}, safekeeper.Config{NodeID: 2})
	if err == nil || !strings.Contains(err.Error(), "belongs to safekeeper 1, and this is safekeeper 2") {
		t.Errorf("error %v", err)
	}
}

func TestAppendsWaitAtLimits(t *testing.T) {
	tests := []struct {
		name   string
		limits safekeeper.Limits
		before func(d *diskdrv.Disk)
		after  func(d *diskdrv.Disk) // nil: nothing short of a new limit helps
		want   string
	}{
		{"low water", safekeeper.Limits{LowWaterBytes: 3 << 20}, func(d *diskdrv.Disk) { d.SetFree(3<<20 - 4096) }, func(d *diskdrv.Disk) { d.SetFree(1 << 30) }, "limits.low_water_bytes = 3145728"},
		{"all timelines", safekeeper.Limits{MaxBytes: 2 << 20, LowWaterBytes: -1}, nil, nil, "limits.max_bytes = 2097152"},
		{"one timeline", safekeeper.Limits{MaxTimelineBytes: 2 << 20, LowWaterBytes: -1}, nil, nil, "limits.max_timeline_bytes = 2097152"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			disk := newDisk(1)
			real := realio.New(realio.Options{Log: quiet, Grace: time.Millisecond})
			r := boot(t, real, quick{real, disk.FS(nil)}, test.limits)
			r.mustCreate()
			p := r.push()
			at := p.lead(1)
			if test.before != nil {
				test.before(disk)
				time.Sleep(50 * time.Millisecond) // housekeeping looks every 10 ms here
			}
			w := newWAL(at, 0)
			b := w.records(200, 100_000) // more than may be under way when it waits
			done := make(chan error, 1)
			go func() { done <- pourOne(p, 1, at, b) }()
			waitFor(t, func() bool { return strings.Contains(r.status().Waiting, test.want) })
			// The proposer is answered all the while, so that it stays.
			select {
			case err := <-done:
				if test.before != nil || err != nil {
					t.Fatalf("appends did not wait: %v", err)
				}
			default:
			}
			if test.after == nil {
				return
			}
			test.after(disk)
			waitFor(t, func() bool { return r.status().Flush == w.enc.Pos() })
		})
	}
}

func waitFor(t *testing.T, what func() bool) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !what(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not happen within a minute")
		}
	}
}

// A failed fsync takes the timeline out of service; nothing that it was to
// make durable is ever acknowledged on the strength of a later one.
func TestFailedSync(t *testing.T) {
	for seed := range uint64(5) {
		if err := failedSync(t, seed); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

func TestListAndStatus(t *testing.T) {
	r := start(t, newDisk(1), safekeeper.Limits{})
	r.mustCreate()
	var s safekeeper.NodeStatus
	if err := http1.Call(r.real.Context(), r.e, r.addr, "GET", "/v1/status", nil, &s); err != nil || s.ID != me || s.Timelines != 1 || s.WALBytes != segSize {
		t.Errorf("status %+v, %v", s, err)
	}
	var list []map[string]string
	if err := http1.Call(r.real.Context(), r.e, r.addr, "GET", "/v1/tenant/timeline", nil, &list); err != nil || len(list) != 1 || list[0]["timeline_id"] != ttid.Timeline.String() {
		t.Errorf("list %v, %v", list, err)
	}
	err := http1.Call(r.real.Context(), r.e, r.addr, "GET", "/v1/tenant/"+ttid.Tenant.String()+"/timeline/"+core.TimelineID{9}.String(), nil, nil)
	if err == nil || !strings.Contains(err.Error(), "does not exist on safekeeper 1") {
		t.Errorf("unknown timeline: %v", err)
	}
}
