package corpus

import (
	"fmt"
	"os"
	"path/filepath"

	"xenon/core"
	"xenon/core/wal"
)

// Where an aged cluster stands: a little before the end of a segment of
// pg_xact (32 pages of 32768 transactions) and of multixact offsets (32 pages
// of 2048), and before the place where the numbers of multixact members wrap.
const (
	agedXID      = 1<<20 - 24000
	agedMulti    = 1<<16 - 1000
	agedMembers  = 1<<32 - 3000
	xidsPerPage  = 4 * core.PageSize
	multisPage   = core.PageSize / 4
	membersPage  = core.PageSize / 20 * 4
	segmentPages = core.SLRUSegmentPages
)

// age makes a cluster as old as a million transactions would: what
// pg_resetwal does, by a shutdown checkpoint that says so, and the pages of
// the logs that the counters point at.
func (s *server) age(dir string) error {
	name := filepath.Join(dir, "global", "pg_control")
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	ctl, err := wal.DecodeControl(b)
	if err != nil {
		return err
	}
	ck := &ctl.CheckPoint
	ck.NextXID = agedXID
	ck.NextMulti, ck.NextMultiOff, ck.OldestMulti = agedMulti, agedMembers, agedMulti
	end, err := endOfWAL(dir, ctl)
	if err != nil {
		return err
	}
	boot, err := wal.ShutdownCheckpoint(ctl, end, ctl.CheckPointLSN)
	if err != nil {
		return err
	}
	if err := writeAt(segmentOf(dir, ctl, end), boot.WAL, int64(end.SegmentOffset(ctl.SegmentSize))); err != nil {
		return err
	}
	if err := writeAt(name, boot.Control.Encode(), 0); err != nil {
		return err
	}
	for _, log := range []struct {
		name string
		page uint32
	}{
		{"pg_xact", agedXID / xidsPerPage},
		{"pg_multixact/offsets", agedMulti / multisPage},
		{"pg_multixact/members", agedMembers / membersPage},
	} {
		file := filepath.Join(dir, log.name, fmt.Sprintf("%04X", log.page/segmentPages))
		if err := s.appendFile(file, ""); err != nil {
			return err
		}
		if err := os.Truncate(file, int64(log.page%segmentPages+1)*core.PageSize); err != nil {
			return err
		}
	}
	return nil
}

func segmentOf(dir string, ctl *wal.Control, at core.LSN) string {
	return filepath.Join(dir, "pg_wal", core.SegmentName(ctl.CheckPoint.TimelineID, at.Segment(ctl.SegmentSize), ctl.SegmentSize))
}

// endOfWAL is where the checkpoint ends that a control file names, the last
// record of a cluster that was shut down.
func endOfWAL(dir string, ctl *wal.Control) (core.LSN, error) {
	at := ctl.CheckPointLSN
	b, err := os.ReadFile(segmentOf(dir, ctl, at))
	if err != nil {
		return 0, err
	}
	d := wal.NewDecoder(ctl.Format(), at, 0)
	if err := d.Feed(at, b[at.SegmentOffset(ctl.SegmentSize):]); err != nil {
		return 0, err
	}
	rec, ok, err := d.Next()
	if err != nil || !ok {
		return 0, fmt.Errorf("no checkpoint at %s: %w", at, err)
	}
	return rec.End, nil
}

func writeAt(name string, b []byte, off int64) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(b, off); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
