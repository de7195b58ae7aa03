// Package bootset is what a pageserver tells a compute that is about to start
// a server at an LSN: everything but the pages of relations and SLRUs, which
// are asked for one by one.
//
// Start at [Set].
package bootset

import (
	"encoding/binary"
	"fmt"
	"net/url"

	"xenon/core"
)

// A Set is a cluster as of an LSN, without its pages. It travels as JSON.
type Set struct {
	LSN core.LSN `json:"lsn"`
	// Prev is the start of the last record that ends at or before LSN; 0 if
	// LSN is not the end of the last record that the pageserver has, nor its
	// base.
	Prev core.LSN `json:"prev_lsn"`
	// Last is the end of the last record that the pageserver has. Above LSN it
	// is of a history that does not end there.
	Last core.LSN `json:"last_record_lsn"`

	SystemID    uint64 `json:"system_id"`
	Major       int    `json:"pg_version"`
	SegmentSize uint32 `json:"wal_seg_size"`

	// Control is global/pg_control with the counters as of LSN. It names no
	// checkpoint at LSN: the booting side makes one (wal.ShutdownCheckpoint).
	Control []byte `json:"control"`
	// Files are the small files below the data directory, sorted by path:
	// PG_VERSION, relation maps, prepared transactions. Not pg_control.
	Files []File `json:"files"`
	// Databases are the directories of relations, the shared one (1664, 0)
	// among them, and tablespaces, which are databases 0 without relations.
	Databases []Database `json:"databases"`
	SLRUs     []Segment  `json:"slru_segments"`
}

// A File is a small file; Path is relative to the data directory.
type File struct {
	Path    string `json:"path"`
	Content []byte `json:"content"`
}

// A Database is a directory of relations, or, where DB is 0 and Spc not that of
// the shared ones, the directory of a tablespace.
type Database struct {
	Spc core.OID `json:"spc"`
	DB  core.OID `json:"db"`
}

// Dir is the path of the directory below the data directory. spaceDir is what
// the directory of this server within a tablespace is called
// (wal.Control.SpaceDir).
func (d Database) Dir(spaceDir string) string {
	switch {
	case d.Spc == core.GlobalTablespace:
		return "global"
	case d.Spc == core.DefaultTablespace:
		return fmt.Sprintf("base/%d", d.DB)
	case d.DB == 0:
		return fmt.Sprintf("pg_tblspc/%d/%s", d.Spc, spaceDir)
	}
	return fmt.Sprintf("pg_tblspc/%d/%s/%d", d.Spc, spaceDir, d.DB)
}

// A Segment is one file of an SLRU; Blocks is its pages.
type Segment struct {
	SLRU    core.SLRU `json:"slru"`
	Segment uint32    `json:"segment"`
	Blocks  uint32    `json:"blocks"`
}

// Path is the route of a Set as of lsn.
func Path(id core.TTID, lsn core.LSN) string {
	return fmt.Sprintf("/v1/tenant/%s/timeline/%s/boot?lsn=%s", id.Tenant, id.Timeline, url.QueryEscape(lsn.String()))
}

// RelationsPath is the route of the list of a directory's relations, which
// travels as [AppendRelations] writes it.
func RelationsPath(id core.TTID, lsn core.LSN, d Database) string {
	return fmt.Sprintf("/v1/tenant/%s/timeline/%s/relations?lsn=%s&spc=%d&db=%d",
		id.Tenant, id.Timeline, url.QueryEscape(lsn.String()), d.Spc, d.DB)
}

// A Relation is a fork of a relation and its size in blocks.
type Relation struct {
	Rel    core.Rel
	Blocks uint32
}

// A list of relations is a count, then node, fork and blocks of each, big
// endian.
const relationSize = 4 + 1 + 4

// AppendRelations encodes the relations of one directory.
func AppendRelations(dst []byte, rels []Relation) []byte {
	be := binary.BigEndian
	dst = be.AppendUint32(dst, uint32(len(rels)))
	for _, r := range rels {
		dst = be.AppendUint32(dst, uint32(r.Rel.Node))
		dst = append(dst, byte(r.Rel.Fork))
		dst = be.AppendUint32(dst, r.Blocks)
	}
	return dst
}

// DecodeRelations reads the list of directory d.
func DecodeRelations(b []byte, d Database) ([]Relation, error) {
	be := binary.BigEndian
	if len(b) < 4 || uint64(be.Uint32(b))*relationSize != uint64(len(b)-4) {
		return nil, fmt.Errorf("list of relations of %d/%d: %d bytes do not fit its count", d.Spc, d.DB, len(b))
	}
	rels := make([]Relation, be.Uint32(b))
	for i := range rels {
		r := b[4+i*relationSize:]
		rels[i] = Relation{core.Rel{Spc: d.Spc, DB: d.DB, Node: core.OID(be.Uint32(r)), Fork: core.Fork(r[4])}, be.Uint32(r[5:])}
	}
	return rels, nil
}
