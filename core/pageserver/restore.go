package pageserver

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path"
	"slices"
	"strings"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
	"xenon/core/layer"
	"xenon/core/xsync"
)

// metaKeys are the directories, the commit-time index and the counters.
var metaKeys = layer.KeyRange{Start: core.MakeKey(0x64, 0, 0, 0, 0, 0), End: core.MakeKey(0x6B, 0, 0, 0, 0, 0)}

// restore finds the delta layers that the timeline has and makes the state as
// of the last record that is in them. It reads their metadata, not their pages.
//
// A layer that is damaged or missing is lost. If it is in the object store it
// comes from there; if not, what it had is still in the WAL, and is ingested
// again from the last record of the layer before.
func (t *Timeline) restore(ctx context.Context) error {
	layers, disk, named, err := t.choose()
	if err != nil {
		return err
	}
	for {
		lost, err := t.restoreFrom(ctx, layers, disk)
		if err == nil {
			break
		}
		if lost < 0 {
			return err
		}
		had, was := layers[lost].Name, disk
		layers, disk, named = layers[:lost], t.before(lost), false
		t.noteLoss(disk, had, err)
		t.layers.lost.repeats(fmt.Sprintf("layer %s was lost, %v", had, err), was.LSN)
	}
	for _, f := range t.state.journal.forks {
		f.noted = false
	}
	*t.state.journal = journal{}
	if !named {
		// A crash between the two must not leave a manifest that names files
		// which are gone.
		if err := t.replaceManifest(t.layers.list, t.disk); err != nil {
			t.env.Log().Warn("files that belong to nothing stay, the manifest cannot be replaced", slog.String("timeline", t.id.String()), slog.Any("err", err))
			return nil
		}
	}
	t.sweep()
	return nil
}

// restoreFrom makes the state of the base and of layers. If one of them is
// damaged or missing and nowhere else, lost is its place, else -1.
func (t *Timeline) restoreFrom(ctx context.Context, layers []manifestLayer, disk Record) (lost int, err error) {
	t.state = newState()
	t.hints.Store(nil)
	t.disk, t.layers.list, t.layers.m = disk, nil, new(layer.Map[*deltaLayer])
	if err := t.base.begin(ctx, t); err != nil {
		return -1, err
	}
	t.counters = t.ingest.counters
	if len(layers) == 0 {
		return -1, nil
	}
	for _, l := range layers {
		d, err := t.newDelta(l.LayerEntry, l.Ends)
		if err == nil {
			err = t.layers.push(d)
		}
		if err != nil {
			return -1, err
		}
	}
	if faults.On && len(layers) > 1 && faults.Hit(faults.RestartEarlier) {
		t.disk = layers[len(layers)-2].Ends
	}
	var commits []commitAt
	for begin, list := 0, t.layers.list; begin < len(list); begin += restoreMost {
		some := list[begin:min(begin+restoreMost, len(list))]
		metas, errs := t.readMetas(ctx, some)
		for i, d := range some {
			err := errs[i]
			if err == nil {
				err = t.replayMeta(d, metas[i], &commits)
			}
			if err == nil {
				continue
			}
			if gone := lostBy(err); gone && !d.uploaded() {
				return begin + i, err
			}
			return -1, err
		}
	}
	slices.SortFunc(commits, func(a, b commitAt) int { return cmp.Compare(a.lsn, b.lsn) })
	for _, m := range commits {
		t.state.commit(m.micros, m.lsn)
	}
	if err := t.loadNow(ctx); err != nil {
		return t.firstBad(), err
	}
	return -1, nil
}

// choose is the layers that the timeline has, and how far they go: those of
// the manifest, as far as they are there; those of the index if the manifest
// lacks one of them, or is lost. named is whether the manifest on the disk, if
// there is one, names these and no others.
func (t *Timeline) choose() (layers []manifestLayer, disk Record, named bool, err error) {
	disk = t.index.DiskConsistent
	if disk.LSN < t.index.LSN {
		disk = Record{LSN: t.index.LSN, Prev: t.index.PrevLSN}
	}
	stored := t.stored()
	m, err := t.readManifest()
	damaged := errors.Is(err, env.ErrCorrupt)
	if damaged {
		// What was in it is in the object store or still in the WAL.
		t.env.Log().Error("manifest is lost, going on from the object store's index", slog.String("timeline", t.id.String()), slog.Any("err", err))
		m, err = nil, nil
	}
	if err != nil {
		return nil, disk, false, err
	}
	if m == nil || m.DiskConsistent.LSN < disk.LSN || !m.adopt(stored) {
		return stored, disk, m == nil && !damaged, nil
	}
	return m.Layers, m.DiskConsistent, true, nil
}

// stored is the delta layers of the index, ascending by LSN.
func (t *Timeline) stored() (list []manifestLayer) {
	for _, l := range t.index.Layers {
		if x, err := layer.ParseExtent(l.Name); err != nil || x.Delta {
			list = append(list, manifestLayer{l, Record{LSN: x.LSNs.End - 1}})
		}
	}
	slices.SortFunc(list, func(a, b manifestLayer) int { return cmp.Compare(a.Ends.LSN, b.Ends.LSN) })
	if n := len(list); n > 0 && list[n-1].Ends.LSN == t.index.DiskConsistent.LSN {
		list[n-1].Ends = t.index.DiskConsistent
	}
	return list
}

// adopt takes over what the index says of layers; ok is false if it has one
// that the manifest has not: another pageserver went on from there.
func (m *manifest) adopt(stored []manifestLayer) (ok bool) {
	places := make(map[string]int, len(m.Layers))
	for i, l := range m.Layers {
		places[l.Name] = i
	}
	for _, s := range stored {
		i, ok := places[s.Name]
		if !ok || m.Layers[i].Size != s.Size {
			return false
		}
		m.Layers[i].LayerEntry = s.LayerEntry
	}
	return true
}

// restoreMost is how many layers are read at once: of each there are a few
// requests to the object store, one after the other, if it is not on the disk.
const restoreMost = 16

// readMetas reads of layers, side by side, what is not pages.
func (t *Timeline) readMetas(ctx context.Context, layers []*deltaLayer) ([][]placedVersion, []error) {
	metas, errs := make([][]placedVersion, len(layers)), make([]error, len(layers))
	g := xsync.NewGroup(ctx, t.env)
	for i, d := range layers {
		g.Go("restore", func(ctx context.Context) error {
			metas[i], errs[i] = d.readMeta(ctx)
			return nil
		})
	}
	g.Wait()
	return metas, errs
}

// readMeta lists what a layer has of what is not pages.
func (d *deltaLayer) readMeta(ctx context.Context) (list []placedVersion, err error) {
	err = d.retried(ctx, func(r *layer.Delta) error {
		list = nil
		c := r.Cursor(metaKeys)
		for {
			k, v, ok, err := c.Next(ctx)
			if err != nil || !ok {
				return err
			}
			list = append(list, placedVersion{k, v})
		}
	})
	return list, err
}

// replayMeta does what a layer has of what is not pages.
func (t *Timeline) replayMeta(d *deltaLayer, list []placedVersion, commits *[]commitAt) error {
	for _, v := range list {
		if err := t.loadMeta(v.key, v.Version, commits); err != nil {
			return fmt.Errorf("layer %s: key %s at %s: %w", d.entry.Name, v.key, v.LSN, err)
		}
	}
	return nil
}

// loadMeta does one version of what is not a page.
func (t *Timeline) loadMeta(k core.Key, v layer.Version, commits *[]commitAt) error {
	f1, f2, f3, f4, f5, f6 := k.Fields()
	s := t.state
	var f *fork
	switch f1 {
	case 0x64:
		f = &s.database(dbID{core.OID(f2), core.OID(f3)}).sizes
	case 0x65:
		f = s.makeFork(core.Rel{Spc: core.OID(f2), DB: core.OID(f3), Node: core.OID(f4), Fork: core.Fork(f5)})
	case 0x66:
		if f2 > uint32(core.CommitTs) {
			return fmt.Errorf("an unknown SLRU: %w", env.ErrCorrupt)
		}
		f = s.segment(core.SLRU(f2), f4)
	case 0x67:
		f = s.transaction(f6)
	case 0x68:
		if len(v.Data) != 16 {
			return fmt.Errorf("a commit time of %d bytes: %w", len(v.Data), env.ErrCorrupt)
		}
		*commits = append(*commits, commitAt{int64(binary.BigEndian.Uint64(v.Data)), core.LSN(binary.BigEndian.Uint64(v.Data[8:]))})
		return nil
	case 0x69:
		if k == core.LogHintsKey() && len(v.Data) == 1 {
			t.ingest.counters.Settings.WALLogHints = v.Data[0] == 1
			t.noteHints(v.LSN)
		}
		return nil
	case 0x6A:
		if f6 > math.MaxUint16 {
			return fmt.Errorf("replication origin %d: %w", f6, env.ErrCorrupt)
		}
		f = &s.replOrigin(uint16(f6)).sizes
	}
	sizes, err := s.readSizes(v.LSN, v.Data)
	if err != nil {
		return err
	}
	for _, z := range sizes {
		if z.lsn < f.now().lsn {
			return fmt.Errorf("a size of %s after one at %s: %w", z.lsn, f.now().lsn, env.ErrCorrupt)
		}
		f.resize(z)
	}
	return nil
}

// loadNow takes into memory what ingest needs as it is now: counters, the
// relation maps, of which a database may be made as a copy, and the progress of
// replication origins, which goes only forward.
func (t *Timeline) loadNow(ctx context.Context) error {
	s, at := t.state, t.disk.LSN
	s.held = at + 1 // so that they are looked for in the layers
	c, err := t.countersAt(ctx, at)
	if err != nil {
		return err
	}
	t.ingest.counters = c
	s.held, s.counters, s.nextXIDs = at, []counted{{at, c}}, nil
	clear(s.relmaps)
	for _, id := range s.databases(at) {
		data, ok, err := t.file(ctx, core.RelmapKey(id.spc, id.db), at)
		if err != nil {
			return err
		}
		if ok {
			s.relmaps[id] = slices.Clone(data)
		}
	}
	return t.loadOrigins(ctx, at)
}

// sweep removes files of flushes that did not end, and of layers that are no
// longer the timeline's.
func (t *Timeline) sweep() {
	files, err := t.env.FS().ReadDir(t.dir)
	for _, f := range files {
		_, bad := layer.ParseExtent(strings.TrimSuffix(f.Name, partSuffix))
		if f.Dir || t.layers.find(f.Name) != nil || bad != nil && f.Name != manifestName+".new" {
			continue
		}
		err = errors.Join(err, t.env.FS().Remove(path.Join(t.dir, f.Name)))
	}
	if err != nil {
		t.env.Log().Warn("files that belong to nothing stay", slog.String("timeline", t.id.String()), slog.Any("err", err))
	}
}

// partSuffix is what the name of a layer file ends in while it is downloaded.
const partSuffix = ".part"
