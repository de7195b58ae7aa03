package pageserver

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/layer"
	"xenon/core/pageserver/bootset"
	"xenon/core/redo"
)

// A replOrigin is a replication origin: when it was there, as a fork of one
// block, and how far it has come by now. What it was before is a small file.
type replOrigin struct {
	sizes fork
	at    core.LSN // of the origin's own WAL
}

var originKeys = layer.KeyRange{Start: core.ReplOriginKey(0), End: core.MakeKey(0x64, 0, 0, 0, 0, 0)}

// originOf is the origin whose progress a key names.
func originOf(k core.Key) (id uint16, ok bool) {
	_, _, _, _, _, f6 := k.Fields()
	return uint16(f6), k == core.ReplOriginKey(uint16(f6))
}

// replOrigin finds or makes the history of a replication origin.
func (s *state) replOrigin(id uint16) *replOrigin {
	o := s.origins[id]
	if o == nil {
		o = &replOrigin{sizes: fork{first: core.ReplOriginDirKey(id), journal: s.journal}}
		s.origins[id] = o
	}
	return o
}

// advanceOrigin notes how far an origin has come, if that is further.
func (s *state) advanceOrigin(e *redo.Effect, lsn core.LSN) {
	o := s.replOrigin(e.Origin)
	if _, there := o.sizes.exists(lsn); there && !e.Back && e.Remote <= o.at {
		return
	}
	o.sizes.grow(lsn, 1)
	o.at = e.Remote
	s.put(core.ReplOriginKey(e.Origin), lsn, binary.BigEndian.AppendUint64(nil, uint64(e.Remote)))
}

func (s *state) dropOrigin(id uint16, lsn core.LSN) {
	o := s.replOrigin(id)
	if _, there := o.sizes.exists(lsn); !there {
		return
	}
	o.sizes.drop(lsn)
	o.at = 0
	s.put(core.ReplOriginKey(id), lsn, nil)
}

// originsAt lists the replication origins that existed, sorted.
func (s *state) originsAt(lsn core.LSN) []uint16 {
	ids := slices.Sorted(maps.Keys(s.origins))
	return slices.DeleteFunc(ids, func(id uint16) bool {
		_, ok := s.origins[id].sizes.exists(lsn)
		return !ok
	})
}

// originAt is how far an origin had come.
func (t *Timeline) originAt(ctx context.Context, id uint16, lsn core.LSN) (core.LSN, error) {
	data, ok, err := t.file(ctx, core.ReplOriginKey(id), lsn)
	if err == nil && (!ok || len(data) != 8) {
		err = fmt.Errorf("its progress has %d bytes: %w", len(data), env.ErrCorrupt)
	}
	if err != nil {
		return 0, fmt.Errorf("replication origin %d as of %s: %w", id, lsn, err)
	}
	return core.LSN(binary.BigEndian.Uint64(data)), nil
}

// loadOrigins takes into memory how far origins have come by now.
func (t *Timeline) loadOrigins(ctx context.Context, at core.LSN) (err error) {
	for _, id := range t.state.originsAt(at) {
		if t.state.origins[id].at, err = t.originAt(ctx, id, at); err != nil {
			return err
		}
	}
	return nil
}

// Of the file in which a server keeps the progress of replication origins from
// checkpoint to checkpoint: a magic number, for each origin its id, padding and
// its progress, and the CRC-32C of that
// (src/backend/replication/logical/origin.c, CheckPointReplicationOrigin).
const (
	originsPath  = "pg_logical/replorigin_checkpoint"
	originsMagic = 0x1257DADE
	originSize   = 16
)

// originsFile is that file of a set, if there are origins: without it a
// subscription would apply transactions a second time.
func (t *Timeline) originsFile(ctx context.Context, set *bootset.Set, ids []uint16) error {
	if len(ids) == 0 {
		return nil
	}
	le := binary.LittleEndian
	b := le.AppendUint32(nil, originsMagic)
	for _, id := range ids {
		at, err := t.originAt(ctx, id, set.LSN)
		if err != nil {
			return err
		}
		b = le.AppendUint64(b, uint64(id))
		b = le.AppendUint64(b, uint64(at))
	}
	b = le.AppendUint32(b, crc32.Checksum(b, castagnoli))
	set.Files = append(set.Files, bootset.File{Path: originsPath, Content: b})
	return nil
}

// An importedOrigin is a replication origin of a data directory.
type importedOrigin struct {
	id uint16
	at core.LSN
}

// parseOrigins reads that file; ok is false if it is damaged.
func parseOrigins(b []byte) (list []importedOrigin, ok bool) {
	le := binary.LittleEndian
	n := len(b) - 8
	if n < 0 || n%originSize != 0 || le.Uint32(b) != originsMagic || crc32.Checksum(b[:n+4], castagnoli) != le.Uint32(b[n+4:]) {
		return nil, false
	}
	for b = b[4 : n+4]; len(b) > 0; b = b[originSize:] {
		list = append(list, importedOrigin{le.Uint16(b), core.LSN(le.Uint64(b[8:]))})
	}
	slices.SortFunc(list, func(a, b importedOrigin) int { return int(a.id) - int(b.id) })
	for i := 1; i < len(list); i++ {
		if list[i].id == list[i-1].id {
			return nil, false
		}
	}
	return list, true
}
