//go:build faults

package safekeeper_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"xenon/consensus/safekeeper"
	"xenon/core/faults"
	"xenon/core/wire"
)

// Every planted fault of the safekeeper is found by the tests that are there
// to find it.
func TestPlantedFaults(t *testing.T) {
	atEveryOperation := func(t *testing.T) error { return cuts(t, 3, 1) }
	tests := []struct {
		name  string
		point faults.Point
		check func(t *testing.T) error
	}{
		{"acknowledge before fsync", faults.AckBeforeFsync, atEveryOperation},
		{"vote not durable", faults.VoteNotDurable, atEveryOperation},
		{"control file not synced", faults.ControlNotSynced, atEveryOperation},
		{"rename not synced", faults.RenameNotSynced, atEveryOperation},
		{"segment's name not synced", faults.SegmentNotSynced, atEveryOperation},
		{"scan skipped", faults.ScanSkipped, atEveryOperation},
		{"tail kept", faults.TailKept, tailKept},
		{"fsync tried again", faults.SyncRetried, func(t *testing.T) error { return someSeed(t, failedSync) }},
		{"tail not rewritten", faults.TailNotRewritten, func(t *testing.T) error { return someSeed(t, failedSync) }},
		{"link not checked", faults.LinkUnchecked, linkChecked},
		{"uncommitted WAL served", faults.ServeUncommitted, onlyCommitted},
		{"recovery of any term", faults.RecoverAnyTerm, recoveryBound},
		{"tombstone forgotten", faults.TombstoneForgotten, deletedAndKilled},
		{"roster not settled", faults.RosterUnsettled, createdAgain},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			undo := faults.Plant(test.point)
			defer undo()
			err := test.check(t)
			if err == nil {
				t.Fatal("the fault was not found")
			}
			t.Log(err)
		})
	}
}

// The checks themselves hold for the code as it is.
func TestChecksOfPlantedFaults(t *testing.T) {
	for _, check := range []func(*testing.T) error{tailKept, linkChecked, onlyCommitted, recoveryBound, deletedAndKilled, createdAgain} {
		if err := check(t); err != nil {
			t.Error(err)
		}
	}
}

func someSeed(t *testing.T, f func(testing.TB, uint64) error) error {
	for seed := range uint64(20) {
		if err := f(t, seed); err != nil {
			return err
		}
	}
	return nil
}

// tailKept cuts a tail off, restarts before anything is written over it, and
// looks for it.
func tailKept(t *testing.T) error {
	disk := newDisk(1)
	r := start(t, disk, safekeeper.Limits{})
	r.mustCreate()
	p := r.push()
	at := p.lead(1)
	w := newWAL(at, 0)
	fork := pour(t, p, 1, w, 1, 100)
	tail := w.records(5, 500)
	if _, err := p.append(1, fork, tail, 0); err != nil {
		return err
	}
	p.vote(2)
	p.elect(2, fork, historyOf(1, at, 2, fork))
	p.append(2, fork, nil, 0)
	r.stop()
	disk.Killed()
	if s := start(t, disk, safekeeper.Limits{}).status(); s.Flush != fork {
		return fmt.Errorf("flush LSN %s after the tail from %s was cut off", s.Flush, fork)
	}
	return nil
}

func linkChecked(t *testing.T) error {
	r := start(t, newDisk(1), safekeeper.Limits{})
	r.mustCreate()
	p := r.push()
	at := p.lead(1)
	next := pour(t, p, 1, newWAL(at, 0), 3, 100)
	if _, err := p.append(1, next, newWAL(next, at+8).records(1, 100), 0); err == nil {
		return errors.New("WAL of another log was taken")
	}
	return nil
}

func onlyCommitted(t *testing.T) error {
	r := start(t, newDisk(1), safekeeper.Limits{})
	r.mustCreate()
	p := r.push()
	at := p.lead(1)
	w := newWAL(at, 0)
	end := pour(t, p, 1, w, 3, 100)
	b := w.records(1, 100)
	if _, err := p.append(1, end, b, 0); err != nil {
		return err
	}
	c := r.connect(wire.ClientConfig{TTID: ttid})
	if err := c.CopyBoth(startReplication(end)); err != nil {
		return err
	}
	body, err := c.ReadCopy() // a keepalive, a second later
	if err != nil {
		return err
	}
	if m, err := wire.DecodeStream(body); err != nil || m.Kind == wire.MsgXLogData {
		return fmt.Errorf("%d bytes of WAL beyond the commit LSN, %v", len(m.Data.WAL), err)
	}
	return nil
}

func recoveryBound(t *testing.T) error {
	r := start(t, newDisk(1), safekeeper.Limits{})
	r.mustCreate()
	p := r.push()
	at := p.lead(3)
	b := newWAL(at, 0).records(3, 100)
	if _, err := p.append(3, at, b, 0); err != nil {
		return err
	}
	_, err := r.readWAL(startReplication(at)+" (term='2')", wire.ClientConfig{}, len(b))
	if err == nil || !strings.Contains(err.Error(), "recovery of term 2") {
		return fmt.Errorf("recovery of another term: %v", err)
	}
	return nil
}
