package redo

import (
	"xenon/core"
	"xenon/core/wal"
)

// A Kind is one kind of [Effect].
type Kind uint8

// The kinds of effects, and which fields of Effect each one sets.
const (
	// PatchPage changes part of a page of a visibility map or an SLRU: Key and
	// Patch. At most one for each key comes from one record, and never for a
	// block that the record names. A patch of a visibility map page at or past
	// the end of its fork has no effect and may be dropped; a page of an SLRU
	// past the end of its segment makes the segment longer.
	PatchPage Kind = iota + 1
	// SLRUTruncate removes segments of an SLRU: ask [Effect.DropsSegment].
	SLRUTruncate
	// RelCreate makes an empty fork: Rel.
	RelCreate
	// RelTruncate cuts a fork to Blocks blocks: Rel and Blocks. A fork that is
	// not longer, or not there, stays as it is.
	RelTruncate
	// RelDrop removes every fork of a relation: Rel, whose Fork means nothing.
	RelDrop
	// DBCreate makes an empty database directory: Rel.Spc and Rel.DB.
	DBCreate
	// DBCopy makes a database as a copy of another as of this record: its
	// relations with all forks and its relation map; Rel.Spc and Rel.DB from
	// From.Spc and From.DB. What was at the target before is gone.
	DBCopy
	// DBDrop removes a database's directory in one tablespace: Rel.Spc, Rel.DB.
	DBDrop
	// RelMap replaces pg_filenode.map of Rel.Spc and Rel.DB by Data.
	RelMap
	// TwoPhaseCreate keeps the state of the prepared transaction XID: Data, the
	// main data of the PREPARE record; [TwoPhaseFile] makes the file of it.
	TwoPhaseCreate
	// TwoPhaseRemove forgets the prepared transaction XID.
	TwoPhaseRemove
	// CommitTime tells that a transaction committed at Time.
	CommitTime
)

// An Effect is one thing that a record does and that none of its block
// references says. Its slices live as long as the [Effects] and the record
// are left alone.
type Effect struct {
	Kind   Kind
	Key    core.Key
	Patch  Patch
	Rel    core.Rel
	From   core.Rel // DBCopy: the source; only Spc and DB are set
	Blocks uint32
	XID    uint32
	Data   []byte
	Time   int64 // microseconds since 2000-01-01 00:00 UTC

	SLRU        core.SLRU
	first, last uint32 // SLRUTruncate: see DropsSegment
}

// DropsSegment tells whether an SLRUTruncate removes segment seg of e.SLRU.
func (e *Effect) DropsSegment(seg uint32) bool { return false }

// Effects decodes the effects of records. It owns the memory of what it
// returns and uses it again, so decoding allocates nothing in the long run;
// one Effects is for one goroutine. The zero value is ready.
type Effects struct {
	list  []Effect
	arena []byte
}

// Decode lists what rec does beyond its blocks, in the order in which it must
// be done (growing forks by the blocks of the record comes first, see
// [NeedsBase]), and brings c up to date. Both are valid until the next call.
//
// [ErrUnknown] and [ErrMalformed] come with no list and c unchanged.
// [ErrUnsupported] comes with everything but the part it names, so that a
// verifier of pages can count it and go on; ingest must stop.
func (d *Effects) Decode(rec *wal.Record, c *Counters) ([]Effect, error) {
	return nil, fail(rec, ErrUnknown, "")
}

// NeedsBase tells whether the block must have an older version: rec neither
// initialises it nor brings its image. Where such a block lies at or past the
// end of its fork, every block from the old end through this one, this one
// included, has a page of zeroes as its base; any other block past the end
// needs that for the blocks before it only.
func NeedsBase(rec *wal.Record, blk *wal.Block) bool { return !WillInit(rec, blk) }
