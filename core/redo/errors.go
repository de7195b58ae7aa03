package redo

import (
	"errors"
	"fmt"

	"xenon/core"
	"xenon/core/wal"
)

var (
	// ErrUnknown reports a resource manager, an opcode or a form of a record
	// that this code does not know. Ingest stops: to guess is to lose data.
	ErrUnknown = errors.New("unknown kind of WAL record")

	// ErrUnsupported reports a change of the cluster that is known but cannot be
	// kept: wal_level below replica. Ingest stops; a verifier of pages counts it
	// and goes on.
	ErrUnsupported = errors.New("WAL record with an effect that is not supported")

	// ErrMalformed reports a record whose bytes contradict themselves or the
	// page they are applied to. The page is then half changed: throw it away.
	ErrMalformed = errors.New("record does not fit the page")

	// ErrNoPage reports a change of a page that was never initialised.
	ErrNoPage = errors.New("record changes a page that does not exist")
)

// A RecordError is one of the errors above with the record, and the page if
// it is about one.
type RecordError struct {
	Err     error // one of this package's sentinels
	Detail  string
	Version *wal.Version // of the record; nil stands for PostgreSQL 15
	Rmgr    wal.RmgrID
	Info    uint8
	LSN     core.LSN // start of the record
	OnPage  bool     // Rel and Block are set
	Rel     core.Rel
	Block   uint32
}

func (e *RecordError) Error() string {
	s := fmt.Sprintf("record %s at %s", e.Version.RecordName(e.Rmgr, e.Info), e.LSN)
	if e.OnPage {
		s += fmt.Sprintf(", page %s block %d", e.Rel, e.Block)
	}
	s += ": " + e.Err.Error()
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	return s
}

// Unwrap is the sentinel.
func (e *RecordError) Unwrap() error { return e.Err }

// fail is an error about a record as a whole.
func fail(rec *wal.Record, err error, format string, args ...any) error {
	return &RecordError{Err: err, Detail: fmt.Sprintf(format, args...), Version: rec.Version, Rmgr: rec.Rmgr, Info: rec.Info, LSN: rec.Start}
}

// failPage is an error about a record's change of one page.
func failPage(rec *wal.Record, blk *wal.Block, err error, detail string) error {
	return &RecordError{
		Err: err, Detail: detail, Version: rec.Version, Rmgr: rec.Rmgr, Info: rec.Info, LSN: rec.Start,
		OnPage: true, Rel: blk.Rel, Block: blk.Block,
	}
}
