package fuzz

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"xenon/consensus"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/pageserver"
	"xenon/core/pageserver/reference"
	"xenon/core/redo"
	"xenon/core/wal"
	"xenon/diskdrv"
	"xenon/fuzz/standin"
	"xenon/netsim"
)

const (
	systemID = 7_300_000_000_000_000_001
	// segmentSize is the smallest there is: segments are crossed often, stored
	// and removed, and making one does not take long.
	segmentSize = wal.MinSegmentSize
)

var (
	ttid   = core.TTID{Tenant: core.TenantID{0x7e}, Timeline: core.TimelineID{0x71}}
	server = consensus.Server{PGVersion: 150000, SystemID: systemID, SegmentSize: segmentSize}
	format = wal.Format{Version: wal.PG15, SegmentSize: segmentSize, SystemID: systemID, TimelineID: 1}
)

// A blank is an imported cluster without content: what is in the bucket, and
// what the reference begins with.
type blank struct {
	im       *pageserver.Imported
	keys     []string
	objects  [][]byte
	counters redo.Counters
}

// blanks are made when first asked for, once for all runs: the timeline begins
// early in a segment, shortly before the end of one, and at a page's start.
var blanks = [...]func() (*blank, error){
	sync.OnceValues(func() (*blank, error) { return makeBlank(segmentSize + 4096) }),
	sync.OnceValues(func() (*blank, error) { return makeBlank(2*segmentSize - 3*core.WALPageSize) }),
	sync.OnceValues(func() (*blank, error) { return makeBlank(segmentSize + core.WALPageSize) }),
}

// makeBlank imports a blank cluster whose checkpoint lies at lsn.
func makeBlank(lsn core.LSN) (*blank, error) {
	w := netsim.New(netsim.Options{Seed: uint64(lsn)})
	defer w.Close()
	bucket := diskdrv.BucketIn(w, "bucket", diskdrv.BucketFaults{})
	p := w.Proc("import", netsim.ProcOptions{
		Disk:    diskdrv.DiskIn(w, "import", 0, diskdrv.Faults{}),
		Objects: func(e env.Env) env.ObjectStore { return bucket.Objects(e, "import") },
	})
	b := new(blank)
	err := p.Do(time.Minute, func(ctx context.Context, e env.Env) (err error) {
		b.im, err = pageserver.ImportBlank(ctx, e, e.FS(), pageserver.Blank{
			SystemID: systemID, LSN: lsn, DB: standin.DB, SegmentSize: segmentSize,
			Rels: []pageserver.BlankRel{{Node: standin.Table, Blocks: standin.Keys / 2}, {Node: standin.Heap}},
		}, ttid)
		if err == nil {
			b.counters, err = countersOf(e.FS())
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("blank cluster: %w", err)
	}
	b.keys = bucket.Keys()
	slices.SortStableFunc(b.keys, func(a, b string) int { return cmp.Compare(rank(a), rank(b)) })
	for _, k := range b.keys {
		body, _ := bucket.Peek(k)
		b.objects = append(b.objects, body)
	}
	return b, nil
}

// rank is when an object comes: an index behind all that it names.
func rank(key string) int {
	switch {
	case strings.Contains(key, "/gen/"):
		return 0
	case strings.Contains(key, "/index-"):
		return 2
	}
	return 1
}

// countersOf reads the counters that a data directory stands at.
func countersOf(f env.FS) (redo.Counters, error) {
	file, err := f.Open("global/pg_control", 0)
	if err != nil {
		return redo.Counters{}, err
	}
	defer file.Close()
	raw := make([]byte, wal.ControlFileSize)
	if _, err := file.ReadAt(raw, 0); err != nil {
		return redo.Counters{}, err
	}
	ctl, err := wal.DecodeControl(raw)
	if err != nil {
		return redo.Counters{}, err
	}
	return redo.CountersOf(ctl), nil
}

// fill puts the cluster's objects into a bucket.
func (b *blank) fill(ctx context.Context, s env.ObjectStore) error {
	for i, k := range b.keys {
		if _, err := s.Put(ctx, k, env.Bytes(b.objects[i]), env.PutOpts{}); err != nil {
			return err
		}
	}
	return nil
}

// initial is what safekeepers begin with: the cluster's own WAL where it is
// whole, which it is not where pages of a blank one lie before its checkpoint.
func (b *blank) initial() []byte {
	if len(b.im.WAL) > core.WALPageSize {
		return nil
	}
	return b.im.WAL
}

// reference is the cluster as a plain replay begins with it.
func (b *blank) reference() *reference.State {
	rel := func(node core.OID) core.Key {
		return core.BlockKey(core.Rel{Spc: core.DefaultTablespace, DB: standin.DB, Node: node}, 0)
	}
	sizes := map[core.Key]uint32{rel(standin.Table): standin.Keys / 2, rel(standin.Heap): 0}
	for u := core.Clog; u <= core.MultiXactOffsets; u++ {
		sizes[core.SLRUBlockKey(u, 0, 0)] = 1
	}
	return reference.New(b.counters, sizes)
}
