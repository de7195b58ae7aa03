package redo

import (
	"errors"

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
	// SLRUTruncate removes segments of an SLRU: SLRU, and [Effect.DropsSegment]
	// tells which.
	SLRUTruncate
	// RelCreate makes an empty fork: Rel.
	RelCreate
	// RelTruncate cuts a fork to Blocks blocks: Rel and Blocks. A fork that is
	// not longer, or not there, stays as it is. The free space map has none: it
	// is not kept.
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
	// main data of the PREPARE record, of which wal.TwoPhaseFile makes the file.
	TwoPhaseCreate
	// TwoPhaseRemove forgets the prepared transaction XID.
	TwoPhaseRemove
	// CommitTime tells that a transaction committed at Time.
	CommitTime
	// SpcCreate makes an empty tablespace: Rel.Spc. Where its directory was on
	// the server that wrote the record means nothing here. Databases come into
	// being in it with their first relation.
	SpcCreate
	// SpcDrop removes a tablespace and what is left in it: Rel.Spc.
	SpcDrop
	// OriginAdvance tells that the replication origin Origin has been applied
	// up to Remote, an LSN of its own. It goes back only if Back is set.
	OriginAdvance
	// OriginDrop forgets the replication origin Origin.
	OriginDrop
)

// An Effect is one thing that a record does and that none of its block
// references says. Its slices are good until the next Decode, and no longer
// than the record.
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

	Origin uint16
	Remote core.LSN
	Back   bool

	SLRU core.SLRU
	drop segments
}

// Effects decodes the effects of records. It owns the memory of what it
// returns and uses it again, so decoding allocates nothing in the long run;
// one Effects is for one goroutine. The zero value is ready.
type Effects struct {
	// Managers is the redo of extensions; nil if there are none.
	Managers *Managers

	list  []Effect
	arena []byte // of patches
	xact  wal.Xact
	xids  []uint32
}

// Decode lists what rec does beyond its blocks, in the order in which it must
// be done (growing forks by the blocks of the record comes first, see
// [NeedsBase]), and brings c up to date. The list is valid until the next call.
//
// [ErrUnknown] and [ErrMalformed] come with no list and c unchanged.
// [ErrUnsupported] comes with everything but the part it names, so that a
// verifier of pages can count it and go on; ingest must stop.
func (d *Effects) Decode(rec *wal.Record, c *Counters) ([]Effect, error) {
	d.list, d.arena = d.list[:0], d.arena[:0]
	if !rec.Rmgr.Custom() && !rec.KnownOp() {
		return nil, fail(rec, ErrUnknown, "xl_rmid %d, xl_info %02X", rec.Rmgr, rec.Info)
	}
	next := *c
	next.pastXID(rec.XID)
	err := d.decode(rec, &next)
	if err != nil && !errors.Is(err, ErrUnsupported) {
		return nil, err
	}
	*c = next
	return d.list, err
}

func (d *Effects) decode(rec *wal.Record, c *Counters) error {
	if rec.Rmgr.Custom() {
		return d.custom(rec)
	}
	switch rec.Rmgr {
	case wal.RmgrXLOG:
		return d.xlog(rec, c)
	case wal.RmgrXact:
		return d.transaction(rec, c)
	case wal.RmgrSMGR:
		return d.smgr(rec)
	case wal.RmgrCLOG:
		return d.clog(rec, c)
	case wal.RmgrDBase:
		return d.dbase(rec)
	case wal.RmgrTblSpc:
		return d.tablespace(rec)
	case wal.RmgrMultiXact:
		return d.multixact(rec, c)
	case wal.RmgrRelMap:
		return d.relmap(rec)
	case wal.RmgrStandby:
		return standby(rec, c)
	case wal.RmgrHeap:
		return d.heapVM(rec)
	case wal.RmgrHeap2:
		return d.heap2VM(rec)
	case wal.RmgrCommitTs:
		return d.commitTs(rec, c)
	case wal.RmgrReplOrigin:
		return d.origin(rec)
	}
	// The index managers, sequences and generic records change blocks only; a
	// logical message changes nothing.
	return nil
}

func (d *Effects) add(e Effect) { d.list = append(d.list, e) }

// sealPatch adds a PatchPage of the arena's bytes from start on. Patches of one
// record must have different keys: a pageserver keeps one value per key and LSN.
func (d *Effects) sealPatch(key core.Key, start int) {
	d.add(Effect{Kind: PatchPage, Key: key, Patch: Patch(d.arena[start:len(d.arena):len(d.arena)])})
}
