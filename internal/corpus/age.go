package corpus

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

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

// freeze lets the databases of a cluster know how old it is: as long as one of
// them may hold the first multixact of all, the server takes the numbers of
// members for used up and vacuums everything without being asked.
func (s *server) freeze(ctx context.Context, dir string) error {
	s.log = dir + ".log"
	if err := s.appendFile(s.log, ""); err != nil {
		return err
	}
	if err := s.makeSocket(); err != nil {
		return err
	}
	defer os.RemoveAll(s.socket)
	// Not in its configuration: a corpus begins with that of initdb.
	options := "-c listen_addresses='' -c fsync=off -c autovacuum=off -c unix_socket_directories=" + s.socket
	if _, err := s.run(ctx, "pg_ctl", "-D", dir, "-l", s.log, "-s", "-w", "-t", "600", "-o", options, "start"); err != nil {
		return err
	}
	w := &session{ctx: ctx, s: s, data: dir, major: s.opt.Major}
	w.freezeAll()
	if err := s.stop(ctx, dir, "fast"); w.err == nil {
		w.err = err
	}
	if w.err == nil {
		w.err = os.Remove(s.log)
	}
	return w.err
}

// freezeAll moves the oldest transaction and multixact of every database, so
// that the logs of both are cut.
func (w *session) freezeAll() {
	w.sql("postgres", "update pg_database set datallowconn = true where datname = 'template0';")
	for db := range strings.FieldsSeq(w.query("postgres", "select datname from pg_database order by oid")) {
		w.sql(db, `
set vacuum_freeze_min_age = 0;
set vacuum_freeze_table_age = 0;
set vacuum_multixact_freeze_min_age = 0;
set vacuum_multixact_freeze_table_age = 0;
vacuum (freeze);
`)
	}
	w.sql("postgres", "update pg_database set datallowconn = false where datname = 'template0'; checkpoint;")
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
