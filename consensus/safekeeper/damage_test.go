package safekeeper_test

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"reflect"
	"strings"
	"testing"
	"time"

	"xenon/consensus"
	"xenon/consensus/safekeeper"
	"xenon/core"
	"xenon/core/wire"
	"xenon/core/wire/http1"
	"xenon/realio"
)

// firstSegment is the file of the first segment once that has ended.
func firstSegment() string {
	return path.Join("timelines", ttid.Tenant.String(), ttid.Timeline.String(), core.SegmentName(1, startAt.Segment(segSize), segSize))
}

// TestRottenIsNotStored: a segment in which a bit has changed is not uploaded,
// and is named; once it is right again it is.
func TestRottenIsNotStored(t *testing.T) {
	if err := rottenIsNotStored(t); err != nil {
		t.Error(err)
	}
}

func rottenIsNotStored(t *testing.T) (found error) {
	d := newDepot(t, safekeeper.Config{})
	d.do(func(c *customer) error {
		if err := c.create(); err != nil {
			return err
		}
		p, at, err := c.lead(1)
		if err != nil {
			return err
		}
		c.bucket.SetOutage(true)
		if _, err := write(p, 1, newWAL(at, 0), 2); err != nil {
			return err
		}
		const off = segSize / 2
		if err := c.disk.Corrupt(firstSegment(), off, 4); err != nil {
			return err
		}
		c.bucket.SetOutage(false)
		c.sleep(20 * time.Second)
		if keys := c.bucket.Keys(); len(keys) > 0 {
			found = fmt.Errorf("%v is stored, which is no WAL", keys)
			return nil
		}
		if s := c.status(); !strings.Contains(s.OffloadError, "damaged") {
			found = fmt.Errorf("why nothing is stored: %q", s.OffloadError)
			return nil
		}
		if err := c.disk.Corrupt(firstSegment(), off, 4); err != nil {
			return err
		}
		return c.until("the segment is stored", func(s safekeeper.TimelineStatus) bool { return s.Backup >= startAt+segSize/2 && s.OffloadError == "" })
	})
	return found
}

// TestBadSectorIsMended: a sealed segment that cannot be read is read out of the
// object store, and made anew of it.
func TestBadSectorIsMended(t *testing.T) {
	d := newDepot(t, safekeeper.Config{})
	d.do(func(c *customer) error {
		if err := c.create(); err != nil {
			return err
		}
		p, at, err := c.lead(1)
		if err != nil {
			return err
		}
		b, err := write(p, 1, newWAL(at, 0), 2)
		if err != nil {
			return err
		}
		if err := c.until("it is stored", func(s safekeeper.TimelineStatus) bool { return s.Backup >= 2*segSize }); err != nil {
			return err
		}
		if err := c.disk.BadSector(firstSegment(), segSize/2); err != nil {
			return err
		}
		for range 2 {
			got, err := c.read(startAt, len(b)/2)
			if err != nil || !bytes.Equal(got[:len(b)/2], b[:len(b)/2]) {
				return fmt.Errorf("%d bytes are read, %v", len(got), err)
			}
			c.sleep(5 * time.Second)
		}
		before := c.disk.Harm().BadReads
		if _, err := c.read(startAt, len(b)/2); err != nil || c.disk.Harm().BadReads != before {
			return fmt.Errorf("the sector is still bad: %v", err)
		}
		return nil
	})
}

// TestRottenIsNotCopied: a copy is not made of a donor with a bit that has
// changed, but of the next one.
func TestRottenIsNotCopied(t *testing.T) {
	if err := rottenIsNotCopied(t); err != nil {
		t.Error(err)
	}
}

func rottenIsNotCopied(t *testing.T) error {
	disk := newDisk(1)
	rotten, log := donorOn(t, disk)
	good, _ := donorOn(t, newDisk(3))
	if err := disk.Corrupt(firstSegment()+".partial", int64(startAt.SegmentOffset(segSize))+3000, 1); err != nil {
		return err
	}
	to, err := arrive(t, newDisk(2).FS(nil))
	if err != nil {
		return err
	}
	if _, err := to.pull(2, rotten); err == nil || !strings.Contains(err.Error(), "damaged") {
		return fmt.Errorf("a copy of what is no WAL: %v", err)
	}
	if _, err := to.pull(2, rotten, good); err != nil {
		return err
	}
	return to.copied(good, log)
}

// TestMendedByTheGood: a segment that cannot be read is made anew of the
// member that has it right.
func TestMendedByTheGood(t *testing.T) {
	if err := mendedByTheGood(t); err != nil {
		t.Error(err)
	}
}

func mendedByTheGood(t *testing.T) error {
	bad := newDisk(1)
	rotten, log := donorOn(t, bad)
	good, _ := donorOn(t, newDisk(3))
	disk := newDisk(2)
	real := realio.New(realio.Options{Log: quiet, Grace: time.Millisecond})
	to, err := bootAs(t, real, quick{real, disk.FS(nil)}, safekeeper.Config{NodeID: newcomer})
	if err != nil {
		return err
	}
	if _, err := to.pull(2, good); err != nil {
		return err
	}
	members := generation(3, true)
	for i, r := range []*rig{rotten, good} {
		if members.Members[i], err = consensus.ParseMember(members.Members[i].ID, r.addr); err != nil {
			return err
		}
	}
	if _, err := to.put("membership", members); err != nil {
		return err
	}
	const sector = 3000
	err = errors.Join(bad.Corrupt(firstSegment()+".partial", int64(startAt.SegmentOffset(segSize))+sector, 1), disk.BadSector(firstSegment()+".partial", sector))
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		got, err := to.readWAL(startReplication(startAt), wire.ClientConfig{}, 12000)
		if err == nil && !bytes.Equal(got, log[:len(got)]) {
			return errors.New("the segment has other WAL now")
		}
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("it is not mended: %w", err)
		}
	}
}

// TestRequestForAnother: a request that names another safekeeper is refused.
func TestRequestForAnother(t *testing.T) {
	r := start(t, newDisk(1), safekeeper.Limits{})
	body := safekeeper.NewCreation(ttid, conf, pg, startAt, nil)
	if err := r.post(safekeeper.RouteTo(me+1, "/v1/tenant/timeline"), body); !refusedWith(err, 421) {
		t.Errorf("a request for safekeeper %d: %v", me+1, err)
	}
	if err := r.post(safekeeper.RouteTo(me, "/v1/tenant/timeline"), body); err != nil {
		t.Error(err)
	}
}

// TestPeerReports: questions on a kept connection are answered for every
// timeline, and by the safekeeper that is meant alone.
func TestPeerReports(t *testing.T) {
	r := start(t, newDisk(1), safekeeper.Limits{})
	if err := r.post(safekeeper.RouteTo(me, "/v1/tenant/timeline"), safekeeper.NewCreation(ttid, conf, pg, startAt, nil)); err != nil {
		t.Fatal(err)
	}
	client, err := wire.Connect(r.real.Context(), r.e, r.addr, wire.ClientConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.CopyBoth(fmt.Sprintf("PEER_REPORTS %d", me+1)); err == nil {
		t.Errorf("questions for safekeeper %d are taken", me+1)
	}
	if err := client.CopyBoth(fmt.Sprintf("PEER_REPORTS %d", me)); err != nil {
		t.Fatal(err)
	}
	other := core.TTID{Tenant: ttid.Tenant, Timeline: core.TimelineID{9}}
	for _, id := range []core.TTID{ttid, other, ttid} {
		client.CopyData(wire.AppendPeerQuestion(nil, id), nil)
	}
	if err := client.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []core.TTID{ttid, other, ttid} {
		body, err := client.ReadCopy()
		if err != nil {
			t.Fatal(err)
		}
		id, report, known, err := wire.DecodePeerReport(body)
		if err != nil || id != want || known != (want == ttid) || known && (report.Commit != startAt || !reflect.DeepEqual(report.Config, conf)) {
			t.Errorf("asked for %s: %v, %v, %+v, %v", want, id, known, report, err)
		}
	}
}

func (r *rig) post(route string, body any) error {
	return http1.Call(r.real.Context(), r.e, r.addr, "POST", route, body, nil)
}
