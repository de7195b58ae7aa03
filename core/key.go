package core

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// KeySize is the bytes of a key at rest.
const KeySize = 18

// A Key names one value of a timeline: a page, a size, a file. It is Neon's
// key space: six big-endian fields of 1, 4, 4, 4, 1 and 4 bytes, ordered as
// bytes.
type Key [KeySize]byte

// MakeKey builds a key of its six fields.
func MakeKey(f1 uint8, f2, f3, f4 uint32, f5 uint8, f6 uint32) (k Key) {
	k[0] = f1
	binary.BigEndian.PutUint32(k[1:], f2)
	binary.BigEndian.PutUint32(k[5:], f3)
	binary.BigEndian.PutUint32(k[9:], f4)
	k[13] = f5
	binary.BigEndian.PutUint32(k[14:], f6)
	return k
}

// Fields are the six fields of the key.
func (k Key) Fields() (f1 uint8, f2, f3, f4 uint32, f5 uint8, f6 uint32) {
	be := binary.BigEndian
	return k[0], be.Uint32(k[1:]), be.Uint32(k[5:]), be.Uint32(k[9:]), k[13], be.Uint32(k[14:])
}

// Compare orders keys as their bytes.
func (k Key) Compare(o Key) int { return bytes.Compare(k[:], o[:]) }

// Next is the smallest key above k; the largest key is its own next.
func (k Key) Next() Key {
	for i := KeySize - 1; i >= 0; i-- {
		k[i]++
		if k[i] != 0 {
			return k
		}
	}
	return MaxKey
}

// String is 36 upper-case hex digits.
func (k Key) String() string { return fmt.Sprintf("%X", k[:]) }

// ParseKey reads what String wrote.
func ParseKey(s string) (k Key, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != KeySize {
		return k, fmt.Errorf("key %q: want 36 hex digits", s)
	}
	copy(k[:], b)
	return k, nil
}

// MaxKey is the largest key.
var MaxKey = func() (k Key) {
	for i := range k {
		k[i] = 0xFF
	}
	return k
}()

// sizeField is field 6 of the key under which a relation's or an SLRU
// segment's size is kept: no block has this number.
const sizeField = 0xFFFFFFFF

// BlockKey names block number blk of a relation's fork.
func BlockKey(r Rel, blk uint32) Key {
	return MakeKey(0, uint32(r.Spc), uint32(r.DB), uint32(r.Node), uint8(r.Fork), blk)
}

// RelSizeKey names the size of a relation's fork: its value is the number of
// blocks, a little-endian uint32.
func RelSizeKey(r Rel) Key { return BlockKey(r, sizeField) }

// BlockOfKey is the inverse of [BlockKey]; ok is false for every other key.
func BlockOfKey(k Key) (r Rel, blk uint32, ok bool) {
	f1, f2, f3, f4, f5, f6 := k.Fields()
	if f1 != 0 || f4 == 0 || f6 == sizeField {
		return Rel{}, 0, false
	}
	return Rel{Spc: OID(f2), DB: OID(f3), Node: OID(f4), Fork: Fork(f5)}, f6, true
}

// An SLRU is one of the fixed-page logs of the transaction system.
type SLRU uint8

// The SLRUs that a pageserver keeps, in Neon's numbering; commit timestamps
// are ours.
const (
	Clog             SLRU = 0
	MultiXactMembers SLRU = 1
	MultiXactOffsets SLRU = 2
	CommitTs         SLRU = 3
)

// Dir is the directory of the SLRU below the data directory.
func (s SLRU) Dir() string {
	switch s {
	case Clog:
		return "pg_xact"
	case MultiXactMembers:
		return "pg_multixact/members"
	case MultiXactOffsets:
		return "pg_multixact/offsets"
	case CommitTs:
		return "pg_commit_ts"
	}
	return fmt.Sprintf("slru%d", uint8(s))
}

// SLRUSegmentPages is SLRU_PAGES_PER_SEGMENT (src/include/access/slru.h).
const SLRUSegmentPages = 32

// SLRUBlockKey names page blk (0 to 31) of a segment of an SLRU.
func SLRUBlockKey(s SLRU, seg, blk uint32) Key { return MakeKey(1, uint32(s), 1, seg, 0, blk) }

// SLRUSizeKey names the size in pages of a segment of an SLRU.
func SLRUSizeKey(s SLRU, seg uint32) Key { return SLRUBlockKey(s, seg, sizeField) }

// RelmapKey names the pg_filenode.map file of a database; the shared one has
// spc 1664 and db 0.
func RelmapKey(spc, db OID) Key { return MakeKey(0, uint32(spc), uint32(db), 0, 0, 0) }

// TwoPhaseKey names the state of a prepared transaction.
func TwoPhaseKey(xid uint32) Key { return MakeKey(2, 0, 0, 0, 0, xid) }

// ControlFileKey names the image of global/pg_control.
func ControlFileKey() Key { return MakeKey(3, 0, 0, 0, 0, 0) }

// CheckpointKey names the CheckPoint struct with the counters kept up to date.
func CheckpointKey() Key { return MakeKey(3, 0, 0, 0, 0, 1) }

// The directories are sparse: one key for each thing that exists, so that no
// value grows with a database. An empty image is a tombstone.
const (
	dbDirField     = 0x64 // a database exists
	relDirField    = 0x65 // a relation's fork exists
	slruDirField   = 0x66 // a segment of an SLRU exists
	twoPhaseField  = 0x67 // a prepared transaction exists
	commitTimeMark = 0x68 // the commit-time index, one entry a second
	countersField  = 0x69 // what a control file has, kept up to date
	originDirField = 0x6A // a replication origin exists
)

// ReplOriginKey names the progress of a replication origin: the LSN of its own
// up to which it was applied, a big-endian uint64.
func ReplOriginKey(id uint16) Key { return MakeKey(replOriginField, 0, 0, 0, 0, uint32(id)) }

// ReplOriginDirKey marks that a replication origin exists.
func ReplOriginDirKey(id uint16) Key { return MakeKey(originDirField, 0, 0, 0, 0, uint32(id)) }

const replOriginField = 0x63

// DBDirKey marks that a database exists in a tablespace; db 0 is the tablespace
// itself, or in that of the shared relations their directory.
func DBDirKey(spc, db OID) Key { return MakeKey(dbDirField, uint32(spc), uint32(db), 0, 0, 0) }

// RelDirKey marks that a relation's fork exists.
func RelDirKey(r Rel) Key {
	return MakeKey(relDirField, uint32(r.Spc), uint32(r.DB), uint32(r.Node), uint8(r.Fork), 1)
}

// SLRUDirKey marks that a segment of an SLRU exists.
func SLRUDirKey(s SLRU, seg uint32) Key { return MakeKey(slruDirField, uint32(s), 0, seg, 0, 0) }

// TwoPhaseDirKey marks that a prepared transaction exists.
func TwoPhaseDirKey(xid uint32) Key { return MakeKey(twoPhaseField, 0, 0, 0, 0, xid) }

// CommitTimeKey names the entry of the commit-time index for the second that
// begins sec seconds after 2000-01-01; its value is 16 bytes: the
// microseconds of the last commit of that second and its LSN, big-endian.
func CommitTimeKey(sec uint64) Key {
	return MakeKey(commitTimeMark, 0, uint32(sec>>32), uint32(sec), 0, 0)
}

// CountersKey names the counters of the cluster and the settings of its control
// file, as they are after the last record that changed them.
func CountersKey() Key { return MakeKey(countersField, 0, 0, 0, 0, 0) }

// NextXIDKey names the next transaction id alone, which nearly every
// transaction changes: a little-endian uint64 with the epoch. Of this and
// [CountersKey] the later one holds.
func NextXIDKey() Key { return MakeKey(countersField, 0, 0, 0, 0, 1) }

// LogHintsKey names whether hint bits are logged: one byte, 0 or 1.
func LogHintsKey() Key { return MakeKey(countersField, 0, 0, 0, 0, 2) }

// IsSparse tells whether a missing value of k is no error.
func (k Key) IsSparse() bool { return k[0] >= 0x60 && k[0] <= 0x7E }
