package pageserver

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"sort"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
	"xenon/core/layer"
	"xenon/core/redo"
)

// How a state is kept in delta layers. Its directories are versions of the
// sparse keys 0x64 to 0x67 and 0x6A, each a whole image: the sizes that the fork had by
// one record, in their order; most often one. Integers are little-endian.
//
//	u8 origin (0 zeroes, 1 base, 2 gone, 3 copy), u32 blocks,
//	of a copy: u32 tablespace and u32 database of the source, u64 LSN
//
// Small files are images under their own keys, the commit-time index under
// 0x68, counters under 0x69.
const (
	sizeBytes = 1 + 4
	copyBytes = 4 + 4 + 8

	storedCopy = 3 // the other origins are stored as they are
)

// changes is what a flush stores of a state: what happened in (from, to].
// Its lists are parts of the state's that do not change any more, so that it is
// read without a lock.
type changes struct {
	from, to core.LSN
	forks    []changedFork
	files    []changedFile
	counters []counted
	nextXIDs []xidAt
	commits  []commitAt
	hints    []hintsAt
	copies   []copied
}

type changedFork struct {
	first core.Key
	sizes []size
}

type changedFile struct {
	key      core.Key
	versions []file
}

// after is the part of a list that lies above an LSN.
func after[T any](list []T, lsn core.LSN, of func(*T) core.LSN) []T {
	return list[sort.Search(len(list), func(i int) bool { return of(&list[i]) > lsn }):len(list):len(list)]
}

// freeze takes what changed since the last freeze; all of it lies in (from, to].
func (s *state) freeze(from, to core.LSN, hints []hintsAt) changes {
	c := changes{from: from, to: to, copies: s.copies[:len(s.copies):len(s.copies)]}
	for _, f := range s.journal.forks {
		f.noted = false
		c.forks = append(c.forks, changedFork{f.first, after(f.sizes, from, func(s *size) core.LSN { return s.lsn })})
	}
	slices.SortFunc(s.journal.files, core.Key.Compare)
	for _, k := range slices.Compact(s.journal.files) {
		c.files = append(c.files, changedFile{k, after(s.files[k], from, func(f *file) core.LSN { return f.lsn })})
	}
	*s.journal = journal{}
	c.counters = after(s.counters, from, func(c *counted) core.LSN { return c.lsn })
	c.nextXIDs = after(s.nextXIDs, from, func(x *xidAt) core.LSN { return x.lsn })
	// The last commit of a second takes the place of those before it.
	c.commits = slices.Clone(after(s.commits, from, func(c *commitAt) core.LSN { return c.lsn }))
	c.hints = after(hints, from, func(h *hintsAt) core.LSN { return h.lsn })
	return c
}

// stored forgets what is in the layers now and is found there.
func (s *state) stored(c *changes, base core.LSN) {
	for i := range c.files {
		k := c.files[i].key
		kept := slices.DeleteFunc(s.files[k], func(v file) bool { return v.lsn > base && v.lsn <= c.to })
		if s.files[k] = kept; len(kept) == 0 {
			delete(s.files, k)
		}
	}
	s.held = c.to
	s.counters = lastUpTo(s.counters, c.to, func(c *counted) core.LSN { return c.lsn })
	s.nextXIDs = lastUpTo(s.nextXIDs, c.to, func(x *xidAt) core.LSN { return x.lsn })
}

// lastUpTo is a list without what comes before the last that lies at or below
// an LSN. It is a copy where much goes, to let the memory go too.
func lastUpTo[T any](list []T, lsn core.LSN, of func(*T) core.LSN) []T {
	n := sort.Search(len(list), func(i int) bool { return of(&list[i]) > lsn }) - 1
	if n <= 0 {
		return list
	}
	return slices.Clone(list[n:])
}

// A placed version is one value of a delta layer.
type placedVersion struct {
	key core.Key
	layer.Version
}

// versions are the changes as values, in the order of a delta layer.
func (c *changes) versions() []placedVersion {
	var list []placedVersion
	add := func(k core.Key, lsn core.LSN, kind layer.Kind, data []byte) {
		list = append(list, placedVersion{k, layer.Version{LSN: lsn, Value: layer.Value{Kind: kind, Data: data}}})
	}
	for i := range c.forks {
		f := &c.forks[i]
		for rest := f.sizes; len(rest) > 0; {
			n := 1
			for n < len(rest) && rest[n].lsn == rest[0].lsn {
				n++
			}
			add(dirKey(f.first), rest[0].lsn, layer.KindImage, c.appendSizes(nil, rest[:n]))
			rest = rest[n:]
		}
	}
	for i := range c.files {
		for _, v := range c.files[i].versions {
			if v.lsn > c.to {
				break
			}
			if v.data == nil {
				add(c.files[i].key, v.lsn, layer.KindGone, nil)
			} else {
				add(c.files[i].key, v.lsn, layer.KindImage, v.data)
			}
		}
	}
	for i := range c.counters {
		add(core.CountersKey(), c.counters[i].lsn, layer.KindImage, encodeCounters(&c.counters[i].Counters))
	}
	for _, x := range c.nextXIDs {
		add(core.NextXIDKey(), x.lsn, layer.KindImage, binary.LittleEndian.AppendUint64(nil, x.xid))
	}
	for _, h := range c.hints {
		on := []byte{0}
		if h.on {
			on[0] = 1
		}
		add(core.LogHintsKey(), h.lsn, layer.KindImage, on)
	}
	for _, m := range c.commits {
		b := binary.BigEndian.AppendUint64(nil, uint64(m.micros))
		add(core.CommitTimeKey(uint64(m.micros/1e6)), m.lsn, layer.KindImage, binary.BigEndian.AppendUint64(b, uint64(m.lsn)))
	}
	slices.SortFunc(list, func(a, b placedVersion) int { return cmp.Or(a.key.Compare(b.key), cmp.Compare(a.LSN, b.LSN)) })
	return list
}

// dirKey is where the sizes of a fork, by the key of its block 0, are kept.
func dirKey(first core.Key) core.Key {
	if r, _, ok := core.BlockOfKey(first); ok {
		return core.RelDirKey(r)
	}
	if f1, u, _, seg, _, _ := first.Fields(); f1 == 1 {
		return core.SLRUDirKey(core.SLRU(u), seg)
	}
	return first // of a database, a prepared transaction, a replication origin
}

func (c *changes) appendSizes(b []byte, sizes []size) []byte {
	for _, s := range sizes {
		stored := min(s.from, storedCopy)
		if faults.On && stored == storedCopy && faults.Hit(faults.OriginLost) {
			stored = fromZeroes
		}
		b = append(b, byte(stored))
		b = binary.LittleEndian.AppendUint32(b, s.blocks)
		if stored == storedCopy {
			from := c.copies[s.from-fromCopies]
			b = binary.LittleEndian.AppendUint32(b, uint32(from.from.spc))
			b = binary.LittleEndian.AppendUint32(b, uint32(from.from.db))
			b = binary.LittleEndian.AppendUint64(b, uint64(from.lsn))
		}
	}
	return b
}

// readSizes is the inverse of appendSizes.
func (s *state) readSizes(lsn core.LSN, b []byte) (sizes []size, err error) {
	le := binary.LittleEndian
	for len(b) > 0 {
		if len(b) < sizeBytes || b[0] > storedCopy || b[0] == storedCopy && len(b) < sizeBytes+copyBytes {
			return nil, fmt.Errorf("a size of %d bytes: %w", len(b), env.ErrCorrupt)
		}
		z := size{lsn, le.Uint32(b[1:]), origin(b[0])}
		if b = b[sizeBytes:]; z.from == storedCopy {
			from := copied{dbID{core.OID(le.Uint32(b)), core.OID(le.Uint32(b[4:]))}, core.LSN(le.Uint64(b[8:]))}
			z.from = fromCopies + origin(s.copy(from))
			b = b[copyBytes:]
		}
		sizes = append(sizes, z)
	}
	return sizes, nil
}

// copy finds or makes the place of a copied database in copies.
func (s *state) copy(from copied) int {
	i := slices.Index(s.copies, from)
	if i < 0 {
		i = len(s.copies)
		s.copies = append(s.copies, from)
	}
	return i
}

// Counters, in the order of their encoding: one u64, u32s, i32s, and a byte of
// flags from the lowest bit on.
func counterWords(c *redo.Counters) [11]*uint32 {
	return [...]*uint32{
		&c.NextOID, &c.NextMulti, &c.NextOffset, &c.OldestXID, &c.OldestXIDDB, &c.OldestMulti, &c.OldestMultiDB,
		&c.OldestCommitTs, &c.NewestCommitTs, &c.LastOffsetsPage, &c.EarlyOffsetsPage,
	}
}

func counterSettings(s *redo.Settings) [6]*int32 {
	return [...]*int32{&s.WALLevel, &s.MaxConnections, &s.MaxWorkers, &s.MaxWALSenders, &s.MaxPreparedXacts, &s.MaxLocks}
}

func counterFlags(c *redo.Counters) [4]*bool {
	s := &c.Settings
	return [...]*bool{&c.FullPageWrites, &s.WALLogHints, &s.TrackCommitTimestamp, &s.DataChecksums}
}

const countersBytes = 8 + 11*4 + 6*4 + 1

func encodeCounters(c *redo.Counters) []byte {
	b := binary.LittleEndian.AppendUint64(make([]byte, 0, countersBytes), c.NextXID)
	for _, w := range counterWords(c) {
		b = binary.LittleEndian.AppendUint32(b, *w)
	}
	for _, w := range counterSettings(&c.Settings) {
		b = binary.LittleEndian.AppendUint32(b, uint32(*w))
	}
	var flags byte
	for i, f := range counterFlags(c) {
		if *f {
			flags |= 1 << i
		}
	}
	return append(b, flags)
}

func decodeCounters(b []byte) (c redo.Counters, err error) {
	if len(b) != countersBytes || b[countersBytes-1] >= 1<<4 {
		return c, fmt.Errorf("counters of %d bytes: %w", len(b), env.ErrCorrupt)
	}
	le, flags := binary.LittleEndian, b[countersBytes-1]
	c.NextXID, b = le.Uint64(b), b[8:]
	for _, w := range counterWords(&c) {
		*w, b = le.Uint32(b), b[4:]
	}
	for _, w := range counterSettings(&c.Settings) {
		*w, b = int32(le.Uint32(b)), b[4:]
	}
	for i, f := range counterFlags(&c) {
		*f = flags>>i&1 == 1
	}
	return c, nil
}
