package pageserver

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/layer"
	"xenon/core/redo"
	"xenon/core/wal"
)

// In a base layer the value of a directory key is what it names in short: of
// a relation's fork and of an SLRU's segment the number of blocks, little
// endian, so that opening a timeline reads the directories and no page; of a
// database and of a prepared transaction one byte that means nothing.
var dirExists = []byte{'x'}

func appendBlocks(blocks uint32) []byte { return binary.LittleEndian.AppendUint32(nil, blocks) }

// Ranges of keys by their first field.
var (
	dirKeys      = layer.KeyRange{Start: core.MakeKey(0x64, 0, 0, 0, 0, 0), End: core.MakeKey(0x68, 0, 0, 0, 0, 0)}
	twoPhaseKeys = layer.KeyRange{Start: core.MakeKey(2, 0, 0, 0, 0, 0), End: core.MakeKey(3, 0, 0, 0, 0, 0)}
)

// A base is what a timeline begins with: the image layers of an import, or its
// ancestor as of the branch point.
type base interface {
	// begin makes the timeline's state at the base's LSN.
	begin(ctx context.Context, t *Timeline) error
	// pages reads blocks as of the base's LSN. It calls done once for each of
	// keys, with its place in them, in any order; page is valid for the call.
	pages(ctx context.Context, keys []core.Key, done func(i int, page []byte, err error))
}

// openBase opens what a timeline begins with.
func openBase(ctx context.Context, e env.Env, o Opening) (base, error) {
	if o.Ancestor != nil {
		return branchFrom(o.Ancestor, o.Index.LSN)
	}
	return openImages(ctx, e, o.ID, o.Index.Layers, o.Cache)
}

// images is the base of an imported timeline: layers in the order of their
// keys, which do not overlap.
type images []*layer.Image

// openImages opens the layers that an index names.
func openImages(ctx context.Context, e env.Env, id core.TTID, list []LayerEntry, cache *layer.Cache) (images, error) {
	var base images
	for _, l := range list {
		x, err := layer.ParseExtent(l.Name)
		if err != nil {
			return nil, err
		}
		if x.Delta {
			continue
		}
		image := layer.ImageID{Keys: x.Keys, LSN: x.LSNs.Start}
		image.TTID, image.Shard = id, core.Unsharded
		src := layer.Object(e.Objects(), image.ObjectName(l.Generation, l.Upload), l.Size)
		im, err := layer.Open(ctx, src, image, cache)
		if err != nil {
			return nil, err
		}
		base = append(base, im)
	}
	slices.SortFunc(base, func(a, b *layer.Image) int { return a.ID().Keys.Start.Compare(b.ID().Keys.Start) })
	return base, nil
}

// begin makes the state at the base's LSN of the base's directories.
func (base images) begin(ctx context.Context, t *Timeline) error {
	if err := base.scan(ctx, dirKeys, t.loadDir); err != nil {
		return err
	}
	if err := base.scan(ctx, twoPhaseKeys, t.loadFile); err != nil {
		return err
	}
	for _, id := range t.state.databases(t.index.LSN) {
		k := core.RelmapKey(id.spc, id.db)
		if err := base.scan(ctx, layer.KeyRange{Start: k, End: k.Next()}, t.loadFile); err != nil {
			return err
		}
	}
	k := core.ControlFileKey()
	err := base.scan(ctx, layer.KeyRange{Start: k, End: k.Next()}, func(_ core.Key, v []byte) (err error) {
		t.ctl, err = wal.DecodeControl(v)
		return err
	})
	if err != nil {
		return err
	}
	if t.ctl == nil {
		return fmt.Errorf("the base has no control file: %w", env.ErrCorrupt)
	}
	t.ingest.counters = redo.CountersOf(t.ctl)
	t.state.counters = []counted{{t.index.LSN, t.ingest.counters}}
	t.noteHints(t.index.LSN)
	return nil
}

// scan reads a range of keys over all layers.
func (base images) scan(ctx context.Context, r layer.KeyRange, emit func(core.Key, []byte) error) error {
	for _, im := range base {
		if !im.ID().Keys.Overlaps(r) {
			continue
		}
		if err := im.Scan(ctx, r, emit); err != nil {
			return err
		}
	}
	return nil
}

func (t *Timeline) loadDir(k core.Key, v []byte) error {
	s, at := t.state, t.index.LSN
	f1, f2, f3, f4, f5, _ := k.Fields()
	came := size{lsn: at, blocks: 1, from: fromBase}
	if f1 == 0x65 || f1 == 0x66 {
		if len(v) != 4 {
			return fmt.Errorf("directory key %s with a value of %d bytes: %w", k, len(v), env.ErrCorrupt)
		}
		came.blocks = binary.LittleEndian.Uint32(v)
	}
	switch f1 {
	case 0x64:
		s.database(dbID{core.OID(f2), core.OID(f3)}).sizes.resize(came)
	case 0x65:
		s.makeFork(core.Rel{Spc: core.OID(f2), DB: core.OID(f3), Node: core.OID(f4), Fork: core.Fork(f5)}).resize(came)
	case 0x66:
		if f2 > uint32(core.CommitTs) {
			return fmt.Errorf("directory key %s of an unknown SLRU: %w", k, env.ErrCorrupt)
		}
		s.segment(core.SLRU(f2), f4).resize(came)
	}
	return nil
}

// loadFile takes a small file of the base into memory.
func (t *Timeline) loadFile(k core.Key, v []byte) error {
	if f1, _, _, _, _, xid := k.Fields(); f1 == 2 {
		t.state.transaction(xid).resize(size{t.index.LSN, 1, fromBase})
	}
	t.state.put(k, t.index.LSN, slices.Clone(v))
	return nil
}

// find is the layer that holds k, nil if none does.
func (base images) find(k core.Key) *layer.Image {
	i, found := slices.BinarySearchFunc(base, k, func(im *layer.Image, k core.Key) int { return im.ID().Keys.Start.Compare(k) })
	if !found {
		i--
	}
	if i < 0 || !base[i].ID().Keys.Contains(k) {
		return nil
	}
	return base[i]
}

// pages reads each run of keys that lie in one layer together.
func (base images) pages(ctx context.Context, keys []core.Key, done func(int, []byte, error)) {
	for begin := 0; begin < len(keys); {
		im := base.find(keys[begin])
		end := begin + 1
		for end < len(keys) && base.find(keys[end]) == im {
			end++
		}
		readImage(ctx, im, keys[begin:end], func(i int, page []byte, err error) { done(begin+i, page, err) })
		begin = end
	}
}

// readImage reads blocks of one layer, nil if there is none that has them. A
// block that the directory has and the layer has not is missing.
func readImage(ctx context.Context, im *layer.Image, keys []core.Key, done func(int, []byte, error)) {
	got := make([]bool, len(keys))
	var err error
	if im != nil {
		err = im.Get(ctx, keys, func(i int, v []byte) error {
			if len(v) == core.PageSize {
				got[i] = true
				done(i, v, nil)
			}
			return nil
		})
	}
	if err == nil {
		err = fmt.Errorf("missing in the base layers: %w", env.ErrCorrupt)
	}
	for i, ok := range got {
		if !ok {
			_, _, _, _, _, blk := keys[i].Fields()
			done(i, nil, fmt.Errorf("%s block %d: %w", name(keys[i]), blk, err))
		}
	}
}

// controlAt is the control file with the counters as of a moment. It names no
// checkpoint: whoever boots of it makes one (wal.ShutdownCheckpoint).
func controlAt(base *wal.Control, n redo.Counters) *wal.Control {
	c := *base
	n.Into(&c.CheckPoint)
	s := n.Settings
	c.WALLevel, c.WALLogHints, c.TrackCommitTs = wal.WALLevel(s.WALLevel), s.WALLogHints, s.TrackCommitTimestamp
	c.Settings = wal.ControlSettings{MaxConnections: s.MaxConnections, MaxWorkerProcesses: s.MaxWorkers,
		MaxWALSenders: s.MaxWALSenders, MaxPreparedXacts: s.MaxPreparedXacts, MaxLocksPerXact: s.MaxLocks}
	return &c
}
