package wal

import (
	"encoding/binary"
	"fmt"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
)

// CheckPointSize is sizeof(CheckPoint) in every supported version: what 17
// added took the place of padding.
const CheckPointSize = 88

// A CheckPoint is the body of a checkpoint record, and a part of pg_control
// (src/include/catalog/pg_control.h).
type CheckPoint struct {
	Redo           core.LSN // where recovery starts; of a shutdown checkpoint its own start
	TimelineID     uint32   // PostgreSQL's
	PrevTimelineID uint32
	FullPageWrites bool
	WALLevel       WALLevel // since 17; 0 before
	NextXID        uint64   // with the epoch in the high half
	NextOID        uint32
	NextMulti      uint32
	NextMultiOff   uint32
	OldestXID      uint32
	OldestXIDDB    core.OID
	OldestMulti    uint32
	OldestMultiDB  core.OID
	Time           int64 // time_t: seconds since 1970
	OldestCommitTs uint32
	NewestCommitTs uint32
	OldestActive   uint32 // 0 for a shutdown checkpoint
}

// DecodeCheckPoint reads the body of a checkpoint record; a length other than
// the version's is env.ErrCorrupt.
func (v *Version) DecodeCheckPoint(b []byte) (CheckPoint, error) {
	if len(b) != CheckPointSize {
		return CheckPoint{}, fmt.Errorf("checkpoint of %d bytes, %s writes %d: %w", len(b), v.orDefault(), CheckPointSize, env.ErrCorrupt)
	}
	le := binary.LittleEndian
	c := CheckPoint{
		Redo: core.LSN(le.Uint64(b)), TimelineID: le.Uint32(b[8:]), PrevTimelineID: le.Uint32(b[12:]),
		FullPageWrites: b[16] != 0, NextXID: le.Uint64(b[24:]), NextOID: le.Uint32(b[32:]),
		NextMulti: le.Uint32(b[36:]), NextMultiOff: le.Uint32(b[40:]),
		OldestXID: le.Uint32(b[44:]), OldestXIDDB: core.OID(le.Uint32(b[48:])),
		OldestMulti: le.Uint32(b[52:]), OldestMultiDB: core.OID(le.Uint32(b[56:])),
		Time: int64(le.Uint64(b[64:])), OldestCommitTs: le.Uint32(b[72:]),
		NewestCommitTs: le.Uint32(b[76:]), OldestActive: le.Uint32(b[80:]),
	}
	if v.orDefault().checkPointLevel {
		c.WALLevel = WALLevel(le.Uint32(b[20:]))
	}
	return c, nil
}

// AppendCheckPoint appends the bytes of c; padding is zero.
func (v *Version) AppendCheckPoint(dst []byte, c CheckPoint) []byte {
	le := binary.LittleEndian
	var b [CheckPointSize]byte
	le.PutUint64(b[0:], uint64(c.Redo))
	le.PutUint32(b[8:], c.TimelineID)
	le.PutUint32(b[12:], c.PrevTimelineID)
	b[16] = bit(c.FullPageWrites)
	if v.orDefault().checkPointLevel && !(faults.On && faults.Hit(faults.LevelLost)) {
		le.PutUint32(b[20:], uint32(c.WALLevel))
	}
	le.PutUint64(b[24:], c.NextXID)
	for i, f := range [...]uint32{c.NextOID, c.NextMulti, c.NextMultiOff, c.OldestXID,
		uint32(c.OldestXIDDB), c.OldestMulti, uint32(c.OldestMultiDB)} {
		le.PutUint32(b[32+4*i:], f)
	}
	le.PutUint64(b[64:], uint64(c.Time))
	le.PutUint32(b[72:], c.OldestCommitTs)
	le.PutUint32(b[76:], c.NewestCommitTs)
	le.PutUint32(b[80:], c.OldestActive)
	return append(dst, b[:]...)
}
