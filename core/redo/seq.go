package redo

import (
	"xenon/core/faults"
	"xenon/core/wal"
)

const (
	seqMagic   = 0x1717 // SEQ_MAGIC (src/backend/commands/sequence.c)
	seqSpecial = 4      // sizeof(sequence_magic)
	seqHeader  = 12     // xl_seq_rec: the relation
)

// redoSeq makes the one page of a sequence of the tuple in the record.
func redoSeq(p *Page, rec *wal.Record) bool {
	if len(rec.Main) <= seqHeader {
		return false
	}
	initPage(p, seqSpecial)
	if !faults.On || !faults.Hit(faults.RedoSeqMagic) {
		put32(p[:], special(p), seqMagic)
	}
	return addItem(p, rec.Main[seqHeader:], 1)
}
