package safekeeper_test

import (
	"fmt"
	"testing"
	"time"

	"xenon/consensus/safekeeper"
	"xenon/core"
	"xenon/realio"
)

// failedSync lets one fsync of WAL fail, goes on as far as the safekeeper
// does, cuts the power and compares.
func failedSync(t testing.TB, seed uint64) error {
	disk := newDisk(seed)
	real := realio.New(realio.Options{Log: quiet, Grace: time.Millisecond})
	r := boot(t, real, quick{real, disk.FS(nil)}, safekeeper.Limits{})
	r.mustCreate()
	p := r.push()
	at := p.lead(1)
	w := newWAL(at, 0)
	acked := pour(t, p, 1, w, 3, 1000)
	if err := disk.FailNextSync(dir + "/" + core.SegmentName(1, 1, segSize) + ".partial"); err != nil {
		return err
	}
	b := w.records(2, 1000)
	resp, err := p.append(1, acked, b, 0)
	if err == nil {
		acked = resp.Flush
	}
	// It comes back by itself: what it then says of its log it has written anew.
	deadline := time.Now().Add(60 * time.Second)
	for err != nil && r.status().Failed != "" {
		if time.Now().After(deadline) {
			return fmt.Errorf("still out of service: %s", r.status().Failed)
		}
		time.Sleep(5 * time.Millisecond)
	}
	if err != nil {
		q := r.push()
		acked = max(acked, q.lead(2))
	}
	r.stop()
	disk.CutPower()
	r = start(t, disk, safekeeper.Limits{})
	if s := r.status(); s.Flush < acked || s.Failed != "" {
		return fmt.Errorf("after a failed fsync and a power cut flush LSN %s (%s), %s was acknowledged", s.Flush, s.Failed, acked)
	}
	return nil
}
