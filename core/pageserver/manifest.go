package pageserver

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path"
	"slices"
	"strings"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/pageserver/remote"
)

// A manifest names the delta layers that a timeline has, and the record up to
// which they hold everything. It is replaced as a whole after each flush, and
// after uploads. A file that it does not name is nothing.
type manifest struct {
	Tenant   core.TenantID   `json:"tenant"`
	Timeline core.TimelineID `json:"timeline"`
	Shard    string          `json:"shard"`
	// Base is where the timeline begins: the LSN of its index.
	Base           core.LSN        `json:"base_lsn"`
	DiskConsistent Record          `json:"disk_consistent"`
	Layers         []manifestLayer `json:"layers"` // ascending by LSN
}

// A manifestLayer is a layer and what is disk-consistent with it. Generation
// and upload are 0 until it is in the object store.
type manifestLayer struct {
	remote.LayerEntry
	Ends Record `json:"ends"`
}

// A manifest, format version 0: 8 bytes magic, version and length of the JSON
// as u32, the JSON, CRC-32C of all before it.
const (
	manifestName    = "manifest"
	manifestMagic   = "XENONMAN"
	manifestVersion = 0
	manifestHead    = 16
	// manifestMax bounds a manifest: a million layers fit.
	manifestMax = 256 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encode is the bytes of the file.
func (m *manifest) encode() []byte {
	body, err := json.Marshal(m)
	core.Must(err == nil, "manifest of timeline %s: %v", m.Timeline, err)
	b := append(make([]byte, 0, manifestHead+len(body)+4), manifestMagic...)
	b = binary.LittleEndian.AppendUint32(b, manifestVersion)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(body)))
	b = append(b, body...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// decodeManifest reads a manifest; name is what errors call it.
func decodeManifest(name string, b []byte) (*manifest, error) {
	bad := func(format string, args ...any) (*manifest, error) {
		return nil, fmt.Errorf("manifest %s: %s: %w", name, fmt.Sprintf(format, args...), env.ErrCorrupt)
	}
	if len(b) < manifestHead+4 || string(b[:8]) != manifestMagic {
		return bad("%d bytes that are no manifest", len(b))
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v != manifestVersion {
		return nil, fmt.Errorf("manifest %s has format version %d, this program reads version %d: use the program that wrote it, or `xenon export`", name, v, manifestVersion)
	}
	if n := binary.LittleEndian.Uint32(b[12:]); uint64(n) != uint64(len(b)-manifestHead-4) {
		return bad("%d bytes, the header says %d", len(b)-manifestHead-4, n)
	}
	body, sum := b[:len(b)-4], binary.LittleEndian.Uint32(b[len(b)-4:])
	if got := crc32.Checksum(body, castagnoli); got != sum {
		return bad("checksum is %08X, computed %08X", sum, got)
	}
	var m manifest
	if err := json.Unmarshal(body[manifestHead:], &m); err != nil {
		return bad("%v", err)
	}
	last := Record{LSN: m.Base}
	for _, l := range m.Layers {
		if l.Size <= 0 || l.Ends.LSN <= last.LSN || l.Ends.LSN > m.DiskConsistent.LSN || strings.ContainsAny(l.Name, "/.") {
			return bad("layer %q of %d bytes ends at %s, after %s", l.Name, l.Size, l.Ends.LSN, last.LSN)
		}
		last = l.Ends
	}
	return &m, nil
}

// readManifest is the manifest of the timeline's directory, nil if there is
// none.
func (t *Timeline) readManifest() (*manifest, error) {
	name := path.Join(t.dir, manifestName)
	b, err := readFile(t.env.FS(), name, manifestMax)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w", name, err)
	}
	m, err := decodeManifest(name, b)
	if err != nil {
		return nil, err
	}
	if m.Tenant != t.id.Tenant || m.Timeline != t.id.Timeline || m.Shard != core.Unsharded.String() || m.Base != t.index.LSN {
		return nil, fmt.Errorf("manifest %s is of timeline %s/%s shard %s that begins at %s, wanted %s at %s: another timeline's directory?",
			name, m.Tenant, m.Timeline, m.Shard, m.Base, t.id, t.index.LSN)
	}
	return m, nil
}

// writeManifest replaces the manifest by what the timeline has and, if one is
// being flushed, a new layer and where the disk-consistent record is with it.
// The manifest's lock is held.
func (t *Timeline) writeManifest(more *deltaLayer, disk Record) error {
	t.mu.Lock()
	list := t.layers.list
	t.mu.Unlock()
	if more != nil {
		list = append(slices.Clip(list), more)
	}
	return t.replaceManifest(list, disk)
}

// replaceManifest replaces the manifest by one of some layers. Its lock is held.
func (t *Timeline) replaceManifest(list []*deltaLayer, disk Record) error {
	m := manifest{Tenant: t.id.Tenant, Timeline: t.id.Timeline, Shard: core.Unsharded.String(), Base: t.index.LSN, DiskConsistent: disk}
	t.mu.Lock()
	for _, d := range list {
		m.Layers = append(m.Layers, manifestLayer{d.entry, d.ends})
	}
	t.mu.Unlock()
	if err := writeFile(t.env.FS(), t.dir, manifestName, m.encode()); err != nil {
		return fmt.Errorf("manifest of timeline %s: %w", t.id, err)
	}
	return nil
}
