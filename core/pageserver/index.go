package pageserver

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/layer"
)

// An Index is what the object store says of a shard of a timeline: what never
// changes about it, and which layers make its base.
type Index struct {
	Tenant     core.TenantID   `json:"tenant"`
	Timeline   core.TimelineID `json:"timeline"`
	Shard      string          `json:"shard"`
	Generation core.Generation `json:"generation"` // of the owner that wrote this
	NextUpload uint64          `json:"next_upload"`

	Major       int    `json:"pg_version"` // PostgreSQL's major version
	SystemID    uint64 `json:"system_id"`
	SegmentSize uint32 `json:"wal_seg_size"`
	// DataChecksums tells whether the imported cluster had them; what is
	// served has none.
	DataChecksums bool `json:"data_checksums"`
	WALLogHints   bool `json:"wal_log_hints"`

	LSN     core.LSN `json:"lsn"`      // of the base: the end of its last record
	PrevLSN core.LSN `json:"prev_lsn"` // the start of that record

	Layers []LayerEntry `json:"layers"`
}

// A LayerEntry names one layer object.
type LayerEntry struct {
	Name       string          `json:"name"`
	Generation core.Generation `json:"generation"`
	Upload     uint64          `json:"upload"`
	Size       int64           `json:"size"` // bytes
}

// An index object, format version 0: 8 bytes magic, version and length of the
// JSON as u32, the JSON, CRC-32C of all before it.
const (
	indexMagic   = "XENONIDX"
	indexVersion = 0
	indexHead    = 16
	indexMax     = 256 << 20
)

func indexName(id core.TTID, gen core.Generation) string {
	return fmt.Sprintf("%sindex-%08x", layer.TimelinePrefix(id, core.Unsharded), uint32(gen))
}

func generationName(id core.TTID, gen core.Generation) string {
	return fmt.Sprintf("%sgen/%08x", layer.TimelinePrefix(id, core.Unsharded), uint32(gen))
}

// Encode is the bytes of the index object.
func (x *Index) Encode() []byte {
	body, err := json.MarshalIndent(x, "", " ")
	core.Must(err == nil, "index of timeline %s: %v", x.Timeline, err)
	b := append([]byte(indexMagic), 0, 0, 0, 0, 0, 0, 0, 0)
	binary.LittleEndian.PutUint32(b[8:], indexVersion)
	binary.LittleEndian.PutUint32(b[12:], uint32(len(body)))
	b = append(b, body...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// DecodeIndex reads an index object; name is what errors call it.
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

// LoadIndex reads the index of a timeline, of generation 1: the only one while
// nothing but an import writes layers.
func LoadIndex(ctx context.Context, s env.ObjectStore, id core.TTID) (*Index, error) {
	name := indexName(id, 1)
	b, _, err := env.ReadObject(ctx, s, name)
	if err != nil {
		return nil, fmt.Errorf("index %s: %w", name, err)
	}
	x, err := DecodeIndex(name, b)
	if err != nil {
		return nil, err
	}
	if x.Tenant != id.Tenant || x.Timeline != id.Timeline || x.Shard != core.Unsharded.String() {
		return nil, fmt.Errorf("index %s is of timeline %s/%s shard %s: %w", name, x.Tenant, x.Timeline, x.Shard, env.ErrCorrupt)
	}
	return x, nil
}

// mint claims generation 1 of a timeline, so that a name is imported once.
func mint(ctx context.Context, s env.ObjectStore, id core.TTID) error {
	_, err := s.Put(ctx, generationName(id, 1), env.Bytes([]byte(id.String())), env.PutOpts{IfNoneMatch: true})
	if errors.Is(err, env.ErrPrecondition) {
		return fmt.Errorf("timeline %s exists already: import under another id", id)
	}
	if err != nil {
		return fmt.Errorf("claim timeline %s (try again under another id): %w", id, err)
	}
	return nil
}

// create writes the first index of a timeline.
func (x *Index) create(ctx context.Context, s env.ObjectStore) error {
	id := core.TTID{Tenant: x.Tenant, Timeline: x.Timeline}
	name := indexName(id, x.Generation)
	if _, err := s.Put(ctx, name, env.Bytes(x.Encode()), env.PutOpts{IfNoneMatch: true}); err != nil {
		// The outcome may be unknown: what counts is what is stored.
		stored, lerr := LoadIndex(ctx, s, id)
		if lerr != nil || string(stored.Encode()) != string(x.Encode()) {
			return fmt.Errorf("write index %s: %w", name, errors.Join(err, lerr))
		}
	}
	return nil
}
