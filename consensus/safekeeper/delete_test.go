package safekeeper_test

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"xenon/consensus/safekeeper"
	"xenon/core"
	"xenon/core/wire"
	"xenon/core/wire/http1"
)

func (r *rig) remove(id core.TTID) error {
	path := "/v1/tenant/" + id.Tenant.String() + "/timeline/" + id.Timeline.String()
	return http1.Call(r.real.Context(), r.e, r.addr, "DELETE", path, nil, nil)
}

// gone tells what is left of a timeline that was deleted.
func (r *rig) gone() error {
	var status *http1.StatusError
	if err := r.create(startAt, nil); !errors.As(err, &status) || status.Status != 410 {
		return fmt.Errorf("created after it was deleted: %v", err)
	}
	if _, err := r.e.FS().Stat("timelines/" + ttid.Tenant.String() + "/" + ttid.Timeline.String()); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("its directory is still there: %v", err)
	}
	c, err := wire.Connect(r.real.Context(), r.e, r.addr, wire.ClientConfig{TTID: ttid})
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.CopyBoth(startReplication(startAt)); err == nil || !strings.Contains(err.Error(), "deleted") {
		return fmt.Errorf("its WAL is served: %v", err)
	}
	return nil
}

// deleted deletes a timeline in use, and looks for it before and after a crash.
func deleted(t *testing.T, how string) error {
	disk := newDisk(3)
	r := start(t, disk, safekeeper.Limits{})
	r.mustCreate()
	p := r.push()
	at := p.lead(1)
	w := newWAL(at, 0)
	next := pour(t, p, 1, w, 3, 100)
	if err := r.remove(ttid); err != nil {
		return err
	}
	if err := pourOne(p, 1, next, w.records(1, 100)); err == nil || !strings.Contains(err.Error(), "deleted") {
		return fmt.Errorf("WAL is taken after the deletion: %v", err)
	}
	if err := r.gone(); err != nil {
		return err
	}
	if err := r.remove(ttid); err != nil {
		return fmt.Errorf("deleted again: %w", err)
	}
	r.stop()
	if how == "power" {
		disk.CutPower()
	} else {
		disk.Killed()
	}
	r = start(t, disk, safekeeper.Limits{})
	if err := r.gone(); err != nil {
		return fmt.Errorf("after a restart: %w", err)
	}
	var s safekeeper.NodeStatus
	if err := http1.Call(r.real.Context(), r.e, r.addr, "GET", "/v1/status", nil, &s); err != nil || s.Timelines != 0 || s.WALBytes != 0 {
		return fmt.Errorf("status %+v, %w", s, err)
	}
	return nil
}

func deletedAndKilled(t *testing.T) error { return deleted(t, "killed") }

// TestDelete: a deleted timeline is gone, with its files, and never comes back,
// whatever becomes of the process and its machine.
func TestDelete(t *testing.T) {
	for _, how := range []string{"killed", "power"} {
		t.Run(how, func(t *testing.T) {
			if err := deleted(t, how); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestDeleteBeforeCreation: a creation that is overtaken by the deletion makes
// nothing.
func TestDeleteBeforeCreation(t *testing.T) {
	r := start(t, newDisk(4), safekeeper.Limits{})
	if err := r.remove(ttid); err != nil {
		t.Fatal(err)
	}
	if err := r.gone(); err != nil {
		t.Error(err)
	}
}

// oddStarts are places where a branch may begin: mid-page, at a page's
// beginning, behind its header, so near its end that a record's header is cut
// by it, at a segment's beginning and behind its header, and near its end.
var oddStarts = []core.LSN{
	segSize + 40, segSize + 4096, segSize + 8192, segSize + 8192 + 24, segSize + 8192 + 64, segSize + 5*8192 - 8, segSize + 5*8192 - 64,
	2 * segSize, 2*segSize + 40, 2*segSize - 8, 2*segSize - 120, 2*segSize - 8192 + 24,
}

// TestBranchStarts: a timeline without bytes before its start takes WAL whose
// first record has a link to nowhere, finds it again after a crash, and serves
// it from the very start and from the start of the segment.
func TestBranchStarts(t *testing.T) {
	for _, at := range oddStarts {
		t.Run(at.String(), func(t *testing.T) {
			disk := newDisk(uint64(at))
			r := start(t, disk, safekeeper.Limits{})
			if err := r.create(at, nil); err != nil {
				t.Fatal(err)
			}
			p := r.push()
			if begin := p.lead(1); begin != at {
				t.Fatalf("the log begins at %s", begin)
			}
			w := newWAL(at, 0)
			all := w.records(20, 900)
			end := at + core.LSN(len(all))
			if resp, err := p.append(1, at, all, 0); err != nil || resp.Flush != end {
				t.Fatalf("flush LSN %s, want %s: %v", resp.Flush, end, err)
			}
			r.stop()
			disk.CutPower()
			r = start(t, disk, safekeeper.Limits{})
			p = r.push()
			if begin := p.lead(2); begin != end {
				t.Fatalf("after a power cut the log ends at %s, want %s", begin, end)
			}
			more := w.records(5, 900)
			all = append(all, more...)
			last := end + core.LSN(len(more))
			if _, err := p.append(2, end, more, 0); err != nil {
				t.Fatal(err)
			}
			if _, err := p.append(2, last, nil, last); err != nil {
				t.Fatal(err)
			}
			if got, err := r.readWAL(startReplication(at), wire.ClientConfig{}, len(all)); err != nil || string(got) != string(all) {
				t.Errorf("%d bytes of WAL, %v; want the %d that were appended", len(got), err, len(all))
			}
			segment := core.SegmentStart(at.Segment(segSize), segSize)
			got, err := r.readWAL(startReplication(segment), wire.ClientConfig{}, int(at-segment)+len(all))
			if err != nil || string(got[at-segment:]) != string(all) {
				t.Errorf("from the segment's start: %v", err)
			}
		})
	}
}
