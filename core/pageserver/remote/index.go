package remote

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"slices"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/layer"
)

// An Index is what the object store says of a shard of a timeline: what never
// changes about it, where it comes from, how far its layers go, and which they
// are.
type Index struct {
	Tenant     core.TenantID   `json:"tenant"`
	Timeline   core.TimelineID `json:"timeline"`
	Shard      string          `json:"shard"`
	Generation core.Generation `json:"generation"` // of the owner that wrote this
	NextUpload uint64          `json:"next_upload"`

	Major       int    `json:"pg_version"` // PostgreSQL's major version
	SystemID    uint64 `json:"system_id"`
	SegmentSize uint32 `json:"wal_seg_size"`
	// DataChecksums tells whether pages have them; they are computed when a
	// page is served.
	DataChecksums bool `json:"data_checksums"`
	WALLogHints   bool `json:"wal_log_hints"`

	// LSN is where the timeline begins: the end of its base's last record, or
	// the branch point. PrevLSN is the start of that record, 0 if unknown.
	LSN     core.LSN `json:"lsn"`
	PrevLSN core.LSN `json:"prev_lsn"`

	// DiskConsistent is the last record that is in the layers, as every record
	// before it: ingest goes on behind it.
	DiskConsistent Record `json:"disk_consistent"`

	// Ancestor is nil if the base is image layers of its own.
	Ancestor *BranchPoint `json:"ancestor,omitempty"`
	// Children are the timelines that branch off this one, sorted.
	Children []BranchPoint `json:"children,omitempty"`
	// Deleted is a tombstone: the timeline is gone, its objects are or will be.
	Deleted bool `json:"deleted,omitempty"`

	Layers []LayerEntry `json:"layers"`
}

// A Record is where a record of WAL lies.
type Record struct {
	LSN  core.LSN `json:"lsn"`  // its end
	Prev core.LSN `json:"prev"` // its start
}

// A BranchPoint is where one timeline leaves another. Whether Timeline is the
// parent or the child is said by the field that has it.
type BranchPoint struct {
	Timeline core.TimelineID `json:"timeline"`
	LSN      core.LSN        `json:"lsn"`
}

// A LayerEntry names one layer object.
type LayerEntry struct {
	Name       string          `json:"name"` // layer.Extent.Name
	Generation core.Generation `json:"generation"`
	Upload     uint64          `json:"upload"`
	Size       int64           `json:"size"` // bytes
	CRC        uint32          `json:"crc"`  // CRC-32C of them all
}

// TTID names the timeline.
func (x *Index) TTID() core.TTID { return core.TTID{Tenant: x.Tenant, Timeline: x.Timeline} }

// Has tells whether the index names a layer of that extent.
func (x *Index) Has(name string) bool {
	return slices.ContainsFunc(x.Layers, func(l LayerEntry) bool { return l.Name == name })
}

// Object is the key of a layer's object.
func (x *Index) Object(l LayerEntry) string { return objectName(x.TTID(), l) }

func objectName(id core.TTID, l LayerEntry) string {
	return fmt.Sprintf("%slayers/%s-%08x-%08x", layer.TimelinePrefix(id, core.Unsharded), l.Name, uint32(l.Generation), l.Upload)
}

// clone is a copy whose lists may be changed.
func (x *Index) clone() *Index {
	c := *x
	c.Layers, c.Children = slices.Clone(x.Layers), slices.Clone(x.Children)
	return &c
}

// An index, format version 0: 8 bytes magic, version and length of the JSON as
// u32, the JSON, CRC-32C of all before it. It is the payload of a register.
const (
	indexMagic   = "XENONIDX"
	indexVersion = 0
	indexHead    = 16
	// MaxIndex bounds the bytes of an index: a million layers fit.
	MaxIndex = 256 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Encode is the bytes of the index.
func (x *Index) Encode() []byte {
	body, err := json.Marshal(x)
	core.Must(err == nil, "index of timeline %s: %v", x.Timeline, err)
	b := make([]byte, 0, indexHead+len(body)+4)
	b = append(b, indexMagic...)
	b = binary.LittleEndian.AppendUint32(b, indexVersion)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(body)))
	b = append(b, body...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// DecodeIndex reads an index; name is what errors call it.
func DecodeIndex(name string, b []byte) (*Index, error) {
	bad := func(format string, args ...any) (*Index, error) {
		return nil, fmt.Errorf("index %s: %s: %w", name, fmt.Sprintf(format, args...), env.ErrCorrupt)
	}
	if len(b) < indexHead+4 || string(b[:8]) != indexMagic {
		return bad("%d bytes that are no index", len(b))
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v != indexVersion {
		return nil, fmt.Errorf("index %s has format version %d, this program reads version %d: use the program that wrote it, or `xenon export`", name, v, indexVersion)
	}
	if n := binary.LittleEndian.Uint32(b[12:]); uint64(n) != uint64(len(b)-indexHead-4) {
		return bad("%d bytes, the header says %d", len(b)-indexHead-4, n)
	}
	body, sum := b[:len(b)-4], binary.LittleEndian.Uint32(b[len(b)-4:])
	if got := crc32.Checksum(body, castagnoli); got != sum {
		return bad("checksum is %08X, computed %08X", sum, got)
	}
	var x Index
	if err := json.Unmarshal(body[indexHead:], &x); err != nil {
		return bad("%v", err)
	}
	return &x, nil
}
