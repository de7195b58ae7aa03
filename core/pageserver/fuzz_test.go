package pageserver

import (
	"errors"
	"testing"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/pageserver/remote"
	"xenon/core/redo"
)

// FuzzManifest: any bytes are a manifest that encodes to itself, or an error.
func FuzzManifest(f *testing.F) {
	m := manifest{Shard: "0001", Base: 100, DiskConsistent: Record{LSN: 300, Prev: 250}, Layers: []manifestLayer{
		{remote.LayerEntry{Name: "a", Size: 7, CRC: 9}, Record{LSN: 200, Prev: 150}},
		{remote.LayerEntry{Name: "b", Size: 8, Generation: 2, Upload: 5}, Record{LSN: 300, Prev: 250}},
	}}
	b := m.encode()
	f.Add(b)
	f.Add(b[:20])
	f.Add(append(b[:len(b):len(b)], 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeManifest("x", b)
		if err != nil {
			return
		}
		again, err := decodeManifest("x", m.encode())
		if err != nil || string(again.encode()) != string(m.encode()) {
			t.Errorf("%+v becomes %+v (%v)", m, again, err)
		}
	})
}

// FuzzSizes: any bytes are sizes that encode to themselves, or corrupt.
func FuzzSizes(f *testing.F) {
	c := changes{copies: []copied{{dbID{1663, 5}, 77}}}
	f.Add(c.appendSizes(nil, []size{{9, 4, fromZeroes}}))
	f.Add(c.appendSizes(nil, []size{{9, 0, gone}, {9, 4, fromCopies}, {9, 3, fromBase}}))
	f.Add([]byte{3, 0, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		s := newState()
		sizes, err := s.readSizes(9, b)
		if err != nil {
			if !errors.Is(err, env.ErrCorrupt) {
				t.Error(err)
			}
			return
		}
		c := changes{copies: s.copies}
		if again := c.appendSizes(nil, sizes); string(again) != string(b) {
			t.Errorf("%X becomes %X", b, again)
		}
	})
}

// FuzzCounters: any bytes are counters that encode to themselves, or corrupt.
func FuzzCounters(f *testing.F) {
	f.Add(encodeCounters(&redo.Counters{NextXID: 1<<40 + 731, NextOID: 16384, OldestCommitTs: 3, EarlyOffsetsPage: 9, FullPageWrites: true,
		Settings: redo.Settings{WALLevel: 1, MaxLocks: 64, DataChecksums: true}}))
	f.Add(make([]byte, countersBytes))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decodeCounters(b)
		if err != nil {
			if !errors.Is(err, env.ErrCorrupt) {
				t.Error(err)
			}
			return
		}
		if again := encodeCounters(&c); string(again) != string(b) {
			t.Errorf("%X becomes %X", b, again)
		}
	})
}

// TestCountersAreWhole: every field of the counters is stored.
func TestCountersAreWhole(t *testing.T) {
	c := redo.Counters{NextXID: 1, NextOID: 2, NextMulti: 3, NextOffset: 4, OldestXID: 5, OldestXIDDB: 6, OldestMulti: 7, OldestMultiDB: 8,
		OldestCommitTs: 9, NewestCommitTs: 10, FullPageWrites: true, LastOffsetsPage: 11, EarlyOffsetsPage: 12,
		Settings: redo.Settings{WALLevel: 13, MaxConnections: 14, MaxWorkers: 15, MaxWALSenders: 16, MaxPreparedXacts: 17, MaxLocks: -18,
			WALLogHints: true, TrackCommitTimestamp: true, DataChecksums: true}}
	for _, flip := range counterFlags(&c) {
		*flip = !*flip
		if got, err := decodeCounters(encodeCounters(&c)); err != nil || got != c {
			t.Errorf("%+v becomes %+v (%v)", c, got, err)
		}
	}
	if dirKey(core.BlockKey(core.Rel{Spc: 1, DB: 2, Node: 3, Fork: core.VMFork}, 0)) != core.RelDirKey(core.Rel{Spc: 1, DB: 2, Node: 3, Fork: core.VMFork}) ||
		dirKey(core.SLRUBlockKey(core.MultiXactMembers, 7, 0)) != core.SLRUDirKey(core.MultiXactMembers, 7) ||
		dirKey(core.DBDirKey(1, 2)) != core.DBDirKey(1, 2) || dirKey(core.TwoPhaseDirKey(9)) != core.TwoPhaseDirKey(9) {
		t.Error("a fork's sizes are kept under another key")
	}
}
