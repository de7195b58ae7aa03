package fuzz

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/layer"
	"xenon/core/pageserver/remote"
	"xenon/core/register"
	"xenon/diskdrv"
	"xenon/netsim"
)

// A ledger feeds a store's judge with requests that took effect.
type ledger struct {
	t    *testing.T
	w    *netsim.World
	j    *judge
	main *line
	puts int
}

func newLedger(t *testing.T) *ledger {
	w := netsim.New(netsim.Options{Seed: 1})
	t.Cleanup(func() { w.Close() })
	c := &cluster{w: w, sks: make([]*node, usual.Safekeepers), bucket: diskdrv.BucketIn(w, "bucket", diskdrv.BucketFaults{})}
	for i := range c.sks {
		c.sks[i] = &node{Proc: w.Proc(fmt.Sprintf("sk%d", i+1), netsim.ProcOptions{})}
	}
	b, err := blanks[0]()
	if err != nil {
		t.Fatal(err)
	}
	j := newJudge(c, new(Counts))
	main := j.watch(branch, ttid, newGhost(b.im.Index.LSN, b.im.Index.PrevLSN, b.reference()))
	return &ledger{t: t, w: w, j: j, main: main}
}

func prefixOf(id core.TTID) string { return layer.TimelinePrefix(id, core.Unsharded) }

// mint has an owner mint a generation.
func (l *ledger) mint(owner string, id core.TTID, g core.Generation) {
	l.j.store.did(diskdrv.ObjectOp{Owner: owner, Kind: "put", Key: register.GenerationKey(prefixOf(id), g), After: "x"}, nil)
}

// index has an owner write an index.
func (l *ledger) index(owner string, x remote.Index) {
	l.puts++
	x.Shard = core.Unsharded.String()
	body := registered(l.t, x.Encode())
	key := fmt.Sprintf("%sindex-%08x", prefixOf(x.TTID()), uint32(x.Generation))
	l.j.store.did(diskdrv.ObjectOp{Owner: owner, Kind: "put", Key: key, After: env.ETag(fmt.Sprint(l.puts))}, body)
}

// put has an owner upload a layer.
func (l *ledger) put(owner string, x remote.Index, e remote.LayerEntry, body string, before string) remote.LayerEntry {
	l.j.store.did(diskdrv.ObjectOp{Owner: owner, Kind: "put", Key: x.Object(e), Before: env.ETag(before), After: env.ETag(body)}, []byte(body))
	o := l.j.store.objects[x.Object(e)]
	e.Size, e.CRC = o.size, o.crc
	return e
}

func (l *ledger) remove(owner string, x remote.Index, e remote.LayerEntry) {
	l.j.store.did(diskdrv.ObjectOp{Owner: owner, Kind: "delete", Key: x.Object(e), Before: "x"}, nil)
}

// verdict is the oracle that failed, "" if none did.
func (l *ledger) verdict() Oracle {
	var v *Violation
	if err := l.w.Run(0, nil); err != nil && !errors.As(err, &v) {
		l.t.Fatal(err)
	}
	if v == nil {
		return ""
	}
	return v.Oracle
}

// TestStoreIsJudged: each promise about the object store is broken once by
// hand, beside what only looks like it.
func TestStoreIsJudged(t *testing.T) {
	b, err := blanks[0]()
	if err != nil {
		t.Fatal(err)
	}
	begin := b.im.Index.LSN
	x := remote.Index{Tenant: ttid.Tenant, Timeline: ttid.Timeline, Generation: 1, LSN: begin, DiskConsistent: remote.Record{LSN: begin}}
	child := x
	child.Timeline, child.Ancestor = core.TimelineID{0x71, 1}, &remote.BranchPoint{Timeline: ttid.Timeline, LSN: begin}
	delta := func(from, to core.LSN, gen core.Generation) remote.LayerEntry {
		e := layer.Extent{Keys: layer.Everything, LSNs: layer.LSNRange{Start: from, End: to}, Delta: true}
		return remote.LayerEntry{Name: e.Name(), Generation: gen, Upload: 1}
	}
	old := delta(begin-64, begin, 1) // no record ends above begin in these tests
	with := func(x remote.Index, layers ...remote.LayerEntry) remote.Index {
		x.Layers = layers
		return x
	}
	of := func(x remote.Index, g core.Generation) remote.Index {
		x.Generation = g
		return x
	}
	tests := []struct {
		name string
		do   func(l *ledger)
		want Oracle
	}{
		{"a layer, then the index", func(l *ledger) { l.index("ps1", with(x, l.put("ps1", x, old, "abc", ""))) }, ""},
		{"the index alone", func(l *ledger) { l.index("ps1", with(x, old)) }, IndexComplete},
		{"other bytes than the index says", func(l *ledger) {
			e := l.put("ps1", x, old, "abc", "")
			l.put("ps1", x, old, "abd", "")
			l.index("ps1", with(x, e))
		}, IndexComplete},
		{"a name used twice", func(l *ledger) { l.put("ps1", x, old, "abc", ""); l.put("ps1", x, old, "abd", "abc") }, WriteOnce},
		{"a request executed twice", func(l *ledger) { l.put("ps1", x, old, "abc", ""); l.put("ps1", x, old, "abc", "abc") }, ""},
		{"layers that overlap", func(l *ledger) {
			l.index("ps1", with(x, l.put("ps1", x, old, "abc", ""), l.put("ps1", x, delta(begin-32, begin, 1), "abd", "")))
		}, IndexSound},
		{"a layer above the end", func(l *ledger) { l.index("ps1", with(x, l.put("ps1", x, delta(begin, begin+64, 1), "abc", ""))) }, IndexSound},
		{"an end where no record ends", func(l *ledger) {
			y := x
			y.DiskConsistent.LSN += 8
			l.index("ps1", y)
		}, IndexSound},
		{"an index of another's generation", func(l *ledger) { l.mint("ps2", ttid, 2); l.index("ps1", of(x, 2)) }, Fenced},
		{"an old owner's own index", func(l *ledger) { l.mint("ps2", ttid, 2); l.index("ps2", of(x, 2)); l.index("ps1", x) }, ""},
		{"an index of before that comes late", func(l *ledger) {
			e := l.put("ps1", x, old, "abc", "")
			l.mint("ps2", ttid, 2)
			l.index("ps2", of(x, 2))
			l.remove("ps2", x, e)
			l.index("ps1", with(x, e))
		}, ""},
		{"a layer deleted that the index names", func(l *ledger) {
			e := l.put("ps1", x, old, "abc", "")
			l.index("ps1", with(x, e))
			l.remove("ps1", x, e)
		}, Reachable},
		{"a layer deleted that the index names no more", func(l *ledger) {
			e := l.put("ps1", x, old, "abc", "")
			l.index("ps1", with(x, e))
			l.index("ps1", x)
			l.remove("ps1", x, e)
		}, ""},
		{"a layer deleted that a newer owner may have loaded", func(l *ledger) {
			e := l.put("ps1", x, old, "abc", "")
			l.index("ps1", with(x, e))
			l.mint("ps2", ttid, 2)
			l.index("ps1", x)
			l.remove("ps1", x, e)
		}, Reachable},
		{"an old owner deletes what the newest names", func(l *ledger) {
			e := l.put("ps1", x, old, "abc", "")
			l.index("ps1", with(x, e))
			l.mint("ps2", ttid, 2)
			l.index("ps2", of(with(x, e), 2))
			l.index("ps1", x)
			l.remove("ps1", x, e)
		}, Reachable},
		{"WAL given up that the index holds", func(l *ledger) { l.j.store.reports("ps1", ttid.Timeline, begin) }, ""},
		{"WAL given up above the index", func(l *ledger) { l.j.store.reports("ps1", ttid.Timeline, begin+8) }, RemoteHeld},
		{"a child that its parent names", func(l *ledger) {
			y := x
			y.AddChild(remote.BranchPoint{Timeline: child.Timeline, LSN: begin})
			l.index("ps1", y)
			l.mint("ps1", child.TTID(), 1)
			l.index("ps1", child)
		}, ""},
		{"a child that its parent does not name", func(l *ledger) { l.mint("ps1", child.TTID(), 1); l.index("ps1", child) }, ChildNamed},
		{"a parent deleted", func(l *ledger) {
			y := x
			y.AddChild(remote.BranchPoint{Timeline: child.Timeline, LSN: begin})
			l.index("ps1", y)
			l.j.branch(l.main, begin)
			l.mint("ps1", child.TTID(), 1)
			l.index("ps1", child)
			y.Children, y.Deleted = nil, true
			l.index("ps1", y)
		}, Reachable},
	}
	for _, tt := range tests {
		l := newLedger(t)
		l.mint("ps1", ttid, 1)
		l.index("ps1", x)
		tt.do(l)
		if got := l.verdict(); got != tt.want {
			t.Errorf("%s: judged %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestDisksAreJudged: what a pageserver says of its disk and of records.
func TestDisksAreJudged(t *testing.T) {
	tests := []struct {
		name string
		do   func(l *line, r *reel, begin core.LSN)
		want Oracle
	}{
		{"opened where it begins", func(l *line, r *reel, at core.LSN) { l.opened("ps1", r, at) }, ""},
		{"opened within a record", func(l *line, r *reel, at core.LSN) { l.opened("ps1", r, at+8) }, IngestBound},
		{"less than the disk held", func(l *line, r *reel, at core.LSN) { r.disk = at + 8; l.opened("ps1", r, at) }, DiskHeld},
		{"a record that is not committed", func(l *line, r *reel, at core.LSN) { l.opened("ps1", r, at); l.ingested("ps1", r, at+64) }, IngestBound},
		{"a record once more", func(l *line, r *reel, at core.LSN) { l.opened("ps1", r, at); l.ingested("ps1", r, at) }, IngestOnce},
	}
	for _, tt := range tests {
		l := newLedger(t)
		l.mint("ps1", ttid, 1)
		tt.do(l.main, &reel{}, l.main.ghost.begin)
		if got := l.verdict(); got != tt.want {
			t.Errorf("%s: judged %q, want %q", tt.name, got, tt.want)
		}
	}
}

// registered is the object of a register that holds payload.
func registered(t *testing.T, payload []byte) []byte {
	t.Helper()
	w := netsim.New(netsim.Options{Seed: 1})
	defer w.Close()
	bucket := diskdrv.BucketIn(w, "bucket", diskdrv.BucketFaults{})
	p := w.Proc("writer", netsim.ProcOptions{Objects: func(e env.Env) env.ObjectStore { return bucket.Objects(e, "writer") }})
	err := p.Do(time.Minute, func(ctx context.Context, e env.Env) error {
		_, err := register.NewSized(e, "r", 1<<20).Write(ctx, register.State{}, payload)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	body, _ := bucket.Peek("r")
	return body
}
