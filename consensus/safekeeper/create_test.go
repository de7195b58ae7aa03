package safekeeper_test

import (
	"fmt"
	"testing"

	"xenon/consensus/safekeeper"
	"xenon/diskdrv"
)

// createdAgain makes a timeline a few times over while syncs fail, and ends the
// process: what the next one finds on the disk is a timeline or none, never its
// name alone.
func createdAgain(t *testing.T) error {
	for seed := range uint64(60) {
		disk := newDisk(seed)
		r := start(t, disk, safekeeper.Limits{})
		disk.SetFaults(diskdrv.Faults{SyncError: 200})
		tries := 0
		for tries < 4 && r.create(startAt, nil) != nil {
			tries++
		}
		disk.SetFaults(diskdrv.Faults{})
		r.stop()
		disk.Killed()
		r = start(t, disk, safekeeper.Limits{})
		if err := r.create(startAt, nil); err != nil {
			return fmt.Errorf("seed %d: after %d tries that failed: %w", seed, tries, err)
		}
		if s := r.status(); s.Failed != "" || s.Flush != startAt {
			return fmt.Errorf("seed %d: the timeline ends at %s (%s)", seed, s.Flush, s.Failed)
		}
		r.stop()
	}
	return nil
}

// TestCreatedAgain: a creation that failed twice leaves nothing that the next
// one, or the next start, stumbles over.
func TestCreatedAgain(t *testing.T) {
	if err := createdAgain(t); err != nil {
		t.Error(err)
	}
}
