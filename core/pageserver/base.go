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
func openBase(e env.Env, o Opening) (base, error) {
	if o.Ancestor != nil {
		return branchFrom(o.Ancestor, o.Index.LSN)
	}
	return openImages(e, o)
}

// begin makes the state at the base's LSN of the base's directories.
func (base images) begin(ctx context.Context, t *Timeline) error {
	if err := base.scan(ctx, dirKeys, t.loadDir); err != nil {
		return err
	}
	for _, keys := range []layer.KeyRange{twoPhaseKeys, originKeys} {
		if err := base.scan(ctx, keys, t.loadFile); err != nil {
			return err
		}
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
	} else if id, ok := originOf(k); ok {
		if len(v) != 8 {
			return fmt.Errorf("replication origin %d: its progress has %d bytes: %w", id, len(v), env.ErrCorrupt)
		}
		o := t.state.replOrigin(id)
		o.sizes.resize(size{t.index.LSN, 1, fromBase})
		o.at = core.LSN(binary.BigEndian.Uint64(v))
	}
	t.state.put(k, t.index.LSN, slices.Clone(v))
	return nil
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
