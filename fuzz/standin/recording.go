package standin

import (
	"bytes"
	"compress/gzip"
	"context"
	_ "embed" // the recording
	"encoding/binary"
	"fmt"
	"io"
	"sync"

	"xenon/compute/vfs"
	"xenon/core"
	"xenon/core/wal"
)

// A recording is WAL that PostgreSQL wrote: relations of every kind with all
// that was done to them, one after the other. A stand-in writes the records of
// a relation again, in their order, among its own.
//
//go:embed testdata/recording.wal.gz
var recording []byte

// RecordingFormat and RecordingStart are what the recording is written in and
// from where on.
var (
	RecordingFormat = wal.Format{Version: wal.PG15, SegmentSize: 16 << 20, SystemID: 1, TimelineID: 1}
	RecordingStart  = core.LSN(16<<20 + 40)
)

// firstRecorded is the relation file node of the first recorded relation.
const firstRecorded core.OID = 50_000

// RecordedNode is the relation file node of the n-th recorded relation.
func RecordedNode(n int) core.OID { return firstRecorded + core.OID(n) }

// recorded is the records of each recorded relation.
var recorded = sync.OnceValue(func() [][]*wal.Record {
	all, err := decodeRecording(recording)
	core.Must(err == nil, "the recording that is part of the program: %v", err)
	return all
})

func decodeRecording(packed []byte) (all [][]*wal.Record, err error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(z)
	if err != nil {
		return nil, err
	}
	d := wal.NewDecoder(RecordingFormat, RecordingStart, 0)
	if err := d.Feed(RecordingStart, b); err != nil {
		return nil, err
	}
	for {
		rec, ok, err := d.Next()
		if err != nil || !ok {
			return all, err
		}
		n, ok := Recorded(rec)
		if !ok || n > len(all) {
			return nil, fmt.Errorf("record at %s is of no recorded relation", rec.Start)
		}
		if n == len(all) {
			all = append(all, nil)
		}
		all[n] = append(all[n], rec.Clone())
	}
}

// RecordedRelations is how many relations were recorded.
func RecordedRelations() int { return len(recorded()) }

// Recorded tells of which recorded relation a record is.
func Recorded(rec *wal.Record) (n int, ok bool) {
	node, ok := RecordedFile(rec)
	if len(rec.Blocks) > 0 {
		node, ok = rec.Blocks[0].Rel.Node, true
	}
	return int(node) - int(firstRecorded), ok && node >= firstRecorded
}

// locator is where a record's main data name a relation in full: spcOid, dbOid
// and relNumber of a RelFileLocator (src/include/catalog/storage_xlog.h,
// src/include/commands/sequence.h).
func locator(rec *wal.Record) []byte {
	at := -1
	switch {
	case rec.Rmgr == wal.RmgrSMGR && rec.Op() == smgrCreate, rec.Rmgr == wal.RmgrSeq:
		at = 0
	case rec.Rmgr == wal.RmgrSMGR && rec.Op() == smgrTruncate:
		at = 4 // behind the number of blocks
	}
	if at < 0 || len(rec.Main) < at+12 {
		return nil
	}
	return rec.Main[at : at+12]
}

// smgrCreate is XLOG_SMGR_CREATE.
const smgrCreate = 0x10

// RecordedFile is the relation file node that a record names without changing a
// block of it.
func RecordedFile(rec *wal.Record) (node core.OID, ok bool) {
	if l := locator(rec); l != nil && rec.Rmgr == wal.RmgrSMGR {
		return core.OID(binary.LittleEndian.Uint32(l[8:])), true
	}
	return 0, false
}

// Creates tells whether a record makes a relation's main fork.
func Creates(rec *wal.Record) bool {
	fork, ok := createdFork(rec)
	return ok && fork == core.MainFork
}

func createdFork(rec *wal.Record) (core.Fork, bool) {
	if rec.Rmgr != wal.RmgrSMGR || rec.Op() != smgrCreate || len(rec.Main) < 16 {
		return 0, false
	}
	return core.Fork(rec.Main[12]), true
}

// Renumber makes a record one of another relation in the stand-in's database.
func Renumber(rec *wal.Record, node core.OID) {
	if l := locator(rec); l != nil {
		for i, id := range []core.OID{core.DefaultTablespace, DB, node} {
			binary.LittleEndian.PutUint32(l[4*i:], uint32(id))
		}
	}
	for i := range rec.Blocks {
		fork := rec.Blocks[i].Rel.Fork
		rec.Blocks[i].Rel = rel(node)
		rec.Blocks[i].Rel.Fork = fork
	}
}

// nextRecorded is the next record of a recorded relation, nil if all of them
// were written. If it is a transaction's, it is xid's.
func (s *Server) nextRecorded(n int, xid uint32) *wal.Record {
	if s.played == nil {
		return nil
	}
	n %= len(s.played)
	all := recorded()[n]
	if s.played[n] >= len(all) {
		return nil
	}
	rec := *all[s.played[n]]
	rec.Blocks = append([]wal.Block(nil), rec.Blocks...)
	if rec.XID != 0 {
		rec.XID = xid
	}
	s.played[n]++
	return &rec
}

// create makes a fork's file when a record says so. The caller holds log.mu.
func (s *Server) create(ctx context.Context, rec *wal.Record) error {
	fork, ok := createdFork(rec)
	if !ok {
		return nil
	}
	node, _ := RecordedFile(rec)
	r := rel(node)
	r.Fork = fork
	f, err := s.data.OpenFile(ctx, block{rel: r}.path(), vfs.OpenHow{Create: true, Mode: 0o600})
	if err != nil {
		return fmt.Errorf("make %s: %w", block{rel: r}.path(), err)
	}
	f.Close(ctx)
	return nil
}
