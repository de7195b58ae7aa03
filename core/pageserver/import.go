package pageserver

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"slices"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/layer"
	"xenon/core/pageserver/remote"
)

// Imported says what an import made.
type Imported struct {
	Index *Index
	// SegmentStart is where the WAL segment begins in which the timeline does,
	// and WAL its bytes from there to Index.LSN: the safekeepers start with
	// them, so that readers from the segment's start find the checkpoint.
	SegmentStart core.LSN
	WAL          []byte
	// Checksums tells that the cluster has data checksums. They were verified,
	// and are computed anew for what is served.
	Checksums bool
	// Unlogged is how many unlogged relations come up empty.
	Unlogged int
	Pages    uint64 // of relations and SLRUs
	Bytes    int64  // of layer objects
}

// layerTarget is the raw bytes at which a base layer is closed.
const layerTarget = 64 << 20

// CheckImport says why [Import] would refuse a data directory as far as that
// shows without reading its pages; nil if it does not.
func CheckImport(src env.FS) error {
	_, err := look(src)
	return err
}

// Import makes a timeline of a cleanly shut down data directory, which src is
// rooted at, as of its last checkpoint: base layers and an index in e's object
// store. Nothing is written if the directory is refused ([ErrRefused]). An id
// that was imported before is refused too; after any other error the id is
// spent.
func Import(ctx context.Context, e env.Env, src env.FS, id core.TTID) (*Imported, error) {
	s, err := look(src)
	if err != nil {
		return nil, err
	}
	return s.imported(ctx, e, id)
}

// imported makes the timeline of what was surveyed.
func (s *survey) imported(ctx context.Context, e env.Env, id core.TTID) (*Imported, error) {
	out := &Imported{Checksums: s.ctl.ChecksumVersion != 0, Unlogged: s.unlogged}
	if err := out.readWAL(s); err != nil {
		return nil, err
	}
	if err := s.verify(ctx); err != nil {
		return nil, err
	}
	owner, err := remote.Create(ctx, e, Index{
		Tenant: id.Tenant, Timeline: id.Timeline,
		Major: s.ctl.Version().Major, SystemID: s.ctl.SystemID, SegmentSize: s.ctl.SegmentSize,
		DataChecksums: out.Checksums, WALLogHints: s.ctl.WALLogHints, LSN: s.end.End, PrevLSN: s.end.Last,
	}, "import")
	if err != nil {
		return nil, err
	}
	w := &importer{owner: owner, s: s, id: id, out: out, cuts: s.cuts(), lsn: s.end.End}
	if err := w.all(ctx); err != nil {
		return nil, fmt.Errorf("import of timeline %s: %w", id, err)
	}
	err = owner.Change(ctx, func(x *Index) error {
		x.Layers = w.layers
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("import of timeline %s: %w", id, err)
	}
	out.Index = owner.Index()
	return out, nil
}

// readWAL takes the bytes of the segment up to the end of the checkpoint.
func (out *Imported) readWAL(s *survey) error {
	size := s.ctl.SegmentSize
	// The checkpoint ends in the segment before, where it fills that to the
	// last byte.
	out.SegmentStart = core.SegmentStart((s.end.End - 1).Segment(size), size)
	b := make([]byte, s.end.End-out.SegmentStart)
	for at := 0; at < len(b); {
		n, err := s.readWAL(b[at:], out.SegmentStart+core.LSN(at))
		if n == 0 {
			return fmt.Errorf("read WAL at %s: %w", out.SegmentStart+core.LSN(at), err)
		}
		at += n
	}
	out.WAL = b
	return nil
}

// verify checks what can be known wrong before anything is written: prepared
// transactions, relation maps, and every page if the cluster has checksums.
func (s *survey) verify(ctx context.Context) error {
	for _, xid := range s.prepared {
		if _, err := s.twoPhaseState(xid); err != nil {
			return err
		}
	}
	size := s.major.RelMapSize
	for i, path := range s.relmaps {
		if path == "" {
			continue
		}
		b, err := readFile(s.src, path, int64(size))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			s.relmaps[i] = "" // a database whose creation was cut short
		case err != nil:
			return err
		case len(b) != size:
			return refused("%s has %d bytes, want %d: the file is damaged", path, len(b), size)
		}
	}
	if s.ctl.ChecksumVersion == 0 {
		return nil
	}
	for i := range s.rels {
		r := &s.rels[i]
		err := s.readRel(ctx, r, func(blk uint32, page []byte) error {
			if got, want := binary.LittleEndian.Uint16(page[8:]), pageChecksum(page, blk); !isZero(page) && got != want {
				return refused("%s block %d has checksum %04X, its bytes have %04X: the page is damaged; restore it from a backup", r.path, blk, got, want)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// twoPhaseState is the file of a prepared transaction without its checksum.
func (s *survey) twoPhaseState(xid uint32) ([]byte, error) {
	path := "pg_twophase/" + s.twoPhaseName(xid)
	b, err := readFile(s.src, path, layer.MaxValue)
	if err != nil {
		return nil, err
	}
	n := len(b) - 4
	if n < 0 || crc32.Checksum(b[:n], castagnoli) != binary.LittleEndian.Uint32(b[n:]) {
		return nil, refused("%s fails its checksum: the prepared transaction is damaged; restore it from a backup", path)
	}
	return b[:n], nil
}

// readRel calls emit for each page of a fork, in order.
func (s *survey) readRel(ctx context.Context, r *relFile, emit func(blk uint32, page []byte) error) error {
	for first := uint32(0); first < r.blocks; first += relSegBlocks {
		path := r.path
		if first > 0 {
			path = fmt.Sprintf("%s.%d", path, first/relSegBlocks)
		}
		if err := s.readPages(ctx, path, min(r.blocks-first, relSegBlocks), func(i uint32, page []byte) error {
			return emit(first+i, page)
		}); err != nil {
			return err
		}
	}
	return nil
}

// readPages calls emit for the first n pages of a file.
func (s *survey) readPages(ctx context.Context, path string, n uint32, emit func(i uint32, page []byte) error) error {
	f, err := s.src.Open(path, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	buf := make([]byte, 16*core.PageSize)
	for i := uint32(0); i < n; {
		if err := ctx.Err(); err != nil {
			return err
		}
		b := buf[:min(uint32(len(buf)/core.PageSize), n-i)*core.PageSize]
		if got, err := f.ReadAt(b, int64(i)*core.PageSize); got < len(b) {
			return fmt.Errorf("read %s at block %d: %w", path, i, err)
		}
		for ; len(b) > 0; b = b[core.PageSize:] {
			if err := emit(i, b[:core.PageSize]); err != nil {
				return err
			}
			i++
		}
	}
	return nil
}

// cuts are the keys at which a new layer begins.
func (s *survey) cuts() []core.Key {
	var cuts []core.Key
	room := int64(layerTarget)
	for i := range s.rels {
		r := &s.rels[i]
		for blk := uint32(0); blk < r.blocks; {
			n := min(int64(r.blocks-blk), max(room/core.PageSize, 1))
			if room <= 0 {
				cuts = append(cuts, core.BlockKey(r.rel, blk))
				room = layerTarget
				continue
			}
			blk += uint32(n)
			room -= n * core.PageSize
		}
	}
	return cuts
}

// An importer writes the base in the order of keys.
type importer struct {
	owner  *remote.Owner
	s      *survey
	id     core.TTID
	lsn    core.LSN // of the base
	out    *Imported
	cuts   []core.Key   // of the layers to come
	layers []LayerEntry // that are stored

	layer layer.ImageID
	buf   *layer.Buffer
	w     *layer.Writer
}

func (m *importer) all(ctx context.Context) error {
	for _, part := range []func(context.Context) error{m.relations, m.slrus, m.files, m.directories} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	return m.close(ctx)
}

// add puts a value into the open layer, or the next one.
func (m *importer) add(ctx context.Context, k core.Key, v []byte) error {
	for m.w == nil || !m.layer.Keys.Contains(k) {
		if err := m.close(ctx); err != nil {
			return err
		}
		if err := m.open(); err != nil {
			return err
		}
	}
	return m.w.Add(k, v)
}

func (m *importer) open() (err error) {
	keys := layer.KeyRange{Start: m.layer.Keys.End, End: core.MaxKey}
	if len(m.cuts) > 0 {
		keys.End, m.cuts = m.cuts[0], m.cuts[1:]
	}
	m.layer = layer.ImageID{TTID: m.id, Shard: core.Unsharded, Keys: keys, LSN: m.lsn}
	m.buf = new(layer.Buffer)
	m.w, err = layer.NewWriter(m.buf, m.layer, true)
	return err
}

func (m *importer) close(ctx context.Context) error {
	if m.w == nil {
		return nil
	}
	size, err := m.w.Finish()
	if err != nil {
		return err
	}
	entry, err := m.owner.Upload(ctx, m.layer.Extent(), m.buf)
	if err != nil {
		return err
	}
	m.layers = append(m.layers, entry)
	m.out.Bytes += size
	m.w, m.buf = nil, nil
	return nil
}

// relations writes pages and relation maps, which lie between each other: the
// map of a database is before its relations.
func (m *importer) relations(ctx context.Context) error {
	maps := m.relmaps()
	for i := range m.s.rels {
		r := &m.s.rels[i]
		for len(maps) > 0 && maps[0].key.Compare(core.BlockKey(r.rel, 0)) < 0 {
			if err := m.relmap(ctx, maps[0]); err != nil {
				return err
			}
			maps = maps[1:]
		}
		err := m.s.readRel(ctx, r, func(blk uint32, page []byte) error {
			m.out.Pages++
			return m.add(ctx, core.BlockKey(r.rel, blk), page)
		})
		if err != nil {
			return err
		}
	}
	for _, f := range maps {
		if err := m.relmap(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

type relmapFile struct {
	key  core.Key
	path string
}

// relmaps lists the relation maps in the order of keys.
func (m *importer) relmaps() []relmapFile {
	var maps []relmapFile
	for i, id := range m.s.dbs {
		if m.s.relmaps[i] != "" {
			maps = append(maps, relmapFile{core.RelmapKey(id.spc, id.db), m.s.relmaps[i]})
		}
	}
	sortByKey(maps, func(f relmapFile) core.Key { return f.key })
	return maps
}

func (m *importer) relmap(ctx context.Context, f relmapFile) error {
	b, err := readFile(m.s.src, f.path, int64(m.s.major.RelMapSize))
	if err != nil {
		return err
	}
	return m.add(ctx, f.key, b)
}

func (m *importer) slrus(ctx context.Context) error {
	for _, f := range m.s.slrus {
		err := m.s.readPages(ctx, f.path, f.blocks, func(i uint32, page []byte) error {
			m.out.Pages++
			return m.add(ctx, core.SLRUBlockKey(f.slru, f.seg, i), page)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// files writes prepared transactions, the control file, and replication origins.
func (m *importer) files(ctx context.Context) error {
	for _, xid := range m.s.prepared {
		b, err := m.s.twoPhaseState(xid)
		if err != nil {
			return err
		}
		if err := m.add(ctx, core.TwoPhaseKey(xid), b); err != nil {
			return err
		}
	}
	if err := m.add(ctx, core.ControlFileKey(), m.s.ctl.Encode()); err != nil {
		return err
	}
	for _, o := range m.s.origins {
		if err := m.add(ctx, core.ReplOriginKey(o.id), binary.BigEndian.AppendUint64(nil, uint64(o.at))); err != nil {
			return err
		}
	}
	return nil
}

// directories writes what there is, key by key; see base.go.
func (m *importer) directories(ctx context.Context) error {
	type dir struct {
		key   core.Key
		value []byte
	}
	var dirs []dir
	for _, id := range m.s.dbs {
		dirs = append(dirs, dir{core.DBDirKey(id.spc, id.db), dirExists})
	}
	for i := range m.s.rels {
		dirs = append(dirs, dir{core.RelDirKey(m.s.rels[i].rel), appendBlocks(m.s.rels[i].blocks)})
	}
	for _, f := range m.s.slrus {
		dirs = append(dirs, dir{core.SLRUDirKey(f.slru, f.seg), appendBlocks(f.blocks)})
	}
	for _, xid := range m.s.prepared {
		dirs = append(dirs, dir{core.TwoPhaseDirKey(xid), dirExists})
	}
	sortByKey(dirs, func(d dir) core.Key { return d.key })
	for _, d := range dirs {
		if err := m.add(ctx, d.key, d.value); err != nil {
			return err
		}
	}
	return nil
}

func sortByKey[T any](list []T, key func(T) core.Key) {
	slices.SortFunc(list, func(a, b T) int { return key(a).Compare(key(b)) })
}
