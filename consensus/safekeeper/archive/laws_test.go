package archive_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"xenon/consensus/safekeeper/archive"
	"xenon/core"
	"xenon/core/env"
	"xenon/diskdrv"
	"xenon/internal/killed"
	"xenon/netsim"
)

// archiveLaws: of a few segments some are stored, some of them in part at first,
// by writers that may be repeated; whatever is read is what was stored there, up
// to the end of it, and a segment that was not stored is not there.
func archiveLaws(choose killed.Choose) error {
	choose = killed.Ahead(choose, 50)
	w := netsim.New(netsim.Options{Seed: 1})
	defer w.Close()
	b := diskdrv.BucketIn(w, "bucket", diskdrv.BucketFaults{})
	p := w.Proc("p", netsim.ProcOptions{Objects: func(e env.Env) env.ObjectStore { return b.Objects(e, "p") }})
	return p.Do(1e10, func(ctx context.Context, e env.Env) error { return storeAndRead(ctx, e.Objects(), choose) })
}

func storeAndRead(ctx context.Context, s env.ObjectStore, choose killed.Choose) error {
	const small, n = 16 << 10, 3
	wal := make([]byte, n*small)
	rand.NewChaCha8([32]byte{byte(choose(256))}).Read(wal)
	begin := 5 * core.LSN(small)
	var there [n]bool
	r := archive.NewReader(s, id, small)
	defer r.Close()
	for range 12 {
		if k := choose(n); choose(3) == 0 {
			at := begin + core.LSN(k*small)
			body, err := archive.Survey(id, at, at+small, from(wal, begin), anything)
			if err == nil {
				err = archive.PutSegment(ctx, s, archive.SegmentKey(id, at.Segment(small), small), body)
			}
			if err != nil {
				return fmt.Errorf("segment %d is stored: %w", k, err)
			}
			there[k] = true
			continue
		}
		at := choose(len(wal))
		p := make([]byte, 1+choose(2*small))
		got, err := r.Read(ctx, p, begin+core.LSN(at))
		k := at / small
		switch {
		case !there[k]:
			if !errors.Is(err, env.ErrNotFound) {
				return fmt.Errorf("segment %d was not stored, and is read: %v", k, err)
			}
		case err != nil || got == 0 || at+got > (k+1)*small || !bytes.Equal(p[:got], wal[at:at+got]):
			return fmt.Errorf("%d bytes at %d are %d others: %w", len(p), at, got, err)
		}
	}
	return nil
}

func TestArchiveLaws(t *testing.T) { killed.Holds(t, archiveLaws) }
