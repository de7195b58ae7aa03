package safekeeper

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"xenon/consensus"
	"xenon/core"
	"xenon/core/wal"
	"xenon/diskdrv"
)

// cutOffStaysOff cuts a durable tail off, with a sync that fails: the zeroes
// are in the page cache then, clean, and the tail is on the disk. The timeline
// is loaded anew and asked for the same truncation, which succeeds; the tail must
// not be there after a power cut.
func cutOffStaysOff(seed uint64) error {
	disk := diskdrv.NewDisk(diskdrv.DiskOptions{Rand: rand.New(rand.NewPCG(seed, 1))})
	files := disk.FS(nil)
	f := wal.Format{Version: wal.PG15, SegmentSize: machineSize, SystemID: 7, TimelineID: pgTimeline}
	c := consensus.Control{TimelineStart: machineStart, LocalStart: machineStart, Commit: machineStart}
	load := func() (*segments, core.LSN, error) {
		s := &segments{disk: files, dir: machineDir, size: machineSize}
		tail, err := s.findEnd(f, &c, 0)
		return s, tail.End, err
	}
	s := &segments{disk: files, dir: machineDir, size: machineSize}
	enc := wal.NewEncoder(f, machineStart, 0)
	var log []byte
	var ends []core.LSN
	for range 2 {
		var err error
		if log, err = enc.Append(log, &wal.Record{Rmgr: wal.RmgrXLOG, Info: wal.XLOGNoop, Main: []byte("record")}); err != nil {
			return err
		}
		ends = append(ends, enc.Pos())
	}
	if err := errors.Join(files.Mkdir(machineDir), files.SyncDir("."), s.prepare(machineStart, ends[1])); err != nil {
		return err
	}
	if _, err := s.write(machineStart, log); err != nil {
		return err
	}
	if err := errors.Join(s.sync(), s.close(), files.SyncDir(machineDir)); err != nil {
		return err
	}
	if err := disk.FailNextSync(s.partial(machineStart.Segment(machineSize))); err != nil {
		return err
	}
	if err := s.truncate(ends[0]); err == nil {
		return errors.New("the truncation was done although its sync failed")
	}
	s, end, err := load()
	if err != nil {
		return err
	}
	if end >= ends[0] { // a disk may also have taken its zeroes back
		if err := errors.Join(s.truncate(ends[0]), s.close()); err != nil {
			return err
		}
	}
	disk.CutPower()
	files = disk.FS(nil)
	if _, end, err = load(); err != nil || end > ends[0] {
		return fmt.Errorf("the log ends at %s (%v), it was cut off at %s", end, err, ends[0])
	}
	return nil
}

func TestCutOffStaysOff(t *testing.T) {
	for seed := range uint64(20) {
		if err := cutOffStaysOff(seed); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}
