package pageserver

import (
	"cmp"
	"maps"
	"slices"
	"sort"

	"xenon/core"
	"xenon/core/pageserver/bootset"
	"xenon/core/redo"
)

// A state is the history of everything in a cluster but the bytes of pages:
// which databases, relations and segments there were, the small files, the
// counters. The Timeline's mutex guards it.
type state struct {
	from  *ancestor // of a branch: it has the forks that are not in forks
	forks map[core.Key]*fork
	dbs   map[dbID]*database
	slrus [4][]*fork // by core.SLRU, in the order in which they came
	// prepared has when each prepared transaction was there, as forks of one
	// block.
	prepared map[uint32]*fork
	origins  map[uint16]*replOrigin
	// files has the small files that are in no layer yet, and those of the
	// base; relmaps the relation map that each database has now.
	files   map[core.Key][]file
	relmaps map[dbID][]byte
	copies  []copied

	// counters and nextXIDs are whole from held on; what was before is in the
	// layers.
	counters []counted
	nextXIDs []xidAt
	held     core.LSN
	commits  []commitAt

	journal *journal
}

// A journal is what changed of a state since the last freeze, beside what its
// lists tell by their LSNs.
type journal struct {
	forks []*fork
	files []core.Key
}

// A file is a version of a small file; no data means that it ended.
type file struct {
	lsn  core.LSN
	data []byte
}

// A dbID names the directory of a database in a tablespace; db 0 is the
// shared one, or the tablespace itself.
type dbID struct{ spc, db core.OID }

// A database is the relations of one directory.
type database struct {
	sizes fork    // its size is 1 while the directory exists
	forks []*fork // in the order in which they came
}

// A copied database is where the blocks of a CREATE DATABASE … STRATEGY
// file_copy come from: the source as it was.
type copied struct {
	from dbID
	lsn  core.LSN
}

// counted is the counters from an LSN on. A change of nothing but the next
// xid, which every transaction makes, is an xidAt.
type counted struct {
	lsn core.LSN
	redo.Counters
}

type xidAt struct {
	lsn core.LSN
	xid uint64
}

// commitAt is the last commit of a second: microseconds since 2000 and the
// end of its record.
type commitAt struct {
	micros int64
	lsn    core.LSN
}

func newState() *state {
	return &state{
		forks:    map[core.Key]*fork{},
		dbs:      map[dbID]*database{},
		prepared: map[uint32]*fork{},
		origins:  map[uint16]*replOrigin{},
		files:    map[core.Key][]file{},
		relmaps:  map[dbID][]byte{},
		journal:  new(journal),
	}
}

// fork finds the fork of a relation, nil if there never was one.
func (s *state) fork(r core.Rel) *fork { return s.find(core.BlockKey(r, 0)) }

// makeFork finds or makes the fork of a relation, which need not exist.
func (s *state) makeFork(r core.Rel) *fork {
	k := core.BlockKey(r, 0)
	if f := s.find(k); f != nil {
		return f
	}
	f := &fork{first: k, journal: s.journal}
	s.forks[k] = f
	d := s.database(dbID{r.Spc, r.DB})
	d.forks = append(d.forks, f)
	return f
}

func (s *state) database(id dbID) *database {
	d := s.dbs[id]
	if d == nil {
		d = &database{sizes: fork{first: core.DBDirKey(id.spc, id.db), journal: s.journal}}
		s.dbs[id] = d
	}
	return d
}

// segment finds or makes a segment of an SLRU.
func (s *state) segment(u core.SLRU, seg uint32) *fork {
	k := core.SLRUBlockKey(u, seg, 0)
	f := s.forks[k]
	if f == nil {
		f = &fork{first: k, journal: s.journal}
		s.forks[k] = f
		s.slrus[u] = append(s.slrus[u], f)
	}
	return f
}

// transaction finds or makes the history of a prepared transaction.
func (s *state) transaction(xid uint32) *fork {
	f := s.prepared[xid]
	if f == nil {
		f = &fork{first: core.TwoPhaseDirKey(xid), journal: s.journal}
		s.prepared[xid] = f
	}
	return f
}

// exists is the size of a fork as of an LSN; ok is false if there was none.
func (f *fork) exists(lsn core.LSN) (blocks uint32, ok bool) {
	if f == nil {
		return 0, false
	}
	i := f.at(lsn)
	if i < 0 || f.sizes[i].from == gone {
		return 0, false
	}
	return f.sizes[i].blocks, true
}

// put notes a version of a small file, the last one of its record.
func (s *state) put(k core.Key, lsn core.LSN, data []byte) {
	vs := s.files[k]
	if n := len(vs); n > 0 && vs[n-1].lsn == lsn {
		vs[n-1].data = data
	} else {
		s.files[k] = append(vs, file{lsn, data})
		s.journal.files = append(s.journal.files, k)
	}
	if id, ok := relmapOf(k); ok {
		s.relmaps[id] = data
	}
}

// relmapOf is the database whose relation map a key names.
func relmapOf(k core.Key) (id dbID, ok bool) {
	f1, f2, f3, f4, f5, f6 := k.Fields()
	return dbID{core.OID(f2), core.OID(f3)}, f1 == 0 && f4 == 0 && f5 == 0 && f6 == 0
}

// file is the version of a small file as of an LSN among those in memory.
func (s *state) file(k core.Key, lsn core.LSN) (v file, ok bool) {
	vs := s.files[k]
	n := sort.Search(len(vs), func(i int) bool { return vs[i].lsn > lsn })
	if n == 0 {
		return file{}, false
	}
	return vs[n-1], true
}

// filesAt lists the small files that there may have been, in the order of
// their keys: of each database a relation map, of each prepared transaction its
// state, of each replication origin its progress.
func (s *state) filesAt(lsn core.LSN) []core.Key {
	var keys []core.Key
	for _, id := range s.databases(lsn) {
		keys = append(keys, core.RelmapKey(id.spc, id.db))
	}
	for _, xid := range s.preparedAt(lsn) {
		keys = append(keys, core.TwoPhaseKey(xid))
	}
	for _, id := range s.originsAt(lsn) {
		keys = append(keys, core.ReplOriginKey(id))
	}
	return keys
}

// preparedAt lists the prepared transactions that existed, sorted.
func (s *state) preparedAt(lsn core.LSN) []uint32 {
	xids := slices.Sorted(maps.Keys(s.prepared))
	return slices.DeleteFunc(xids, func(xid uint32) bool {
		_, ok := s.prepared[xid].exists(lsn)
		return !ok
	})
}

// count notes the counters after a record.
func (s *state) count(lsn core.LSN, c *redo.Counters) {
	last := &s.counters[len(s.counters)-1].Counters
	now := *c
	now.NextXID = last.NextXID
	if now != *last {
		s.counters = append(s.counters, counted{lsn, *c})
		return
	}
	if n := len(s.nextXIDs); n == 0 && c.NextXID != last.NextXID || n > 0 && c.NextXID != s.nextXIDs[n-1].xid {
		s.nextXIDs = append(s.nextXIDs, xidAt{lsn, c.NextXID})
	}
}

// countersAt is the counters as of an LSN; ok is false if they are in a layer.
func (s *state) countersAt(lsn core.LSN) (_ redo.Counters, ok bool) {
	if lsn < s.held {
		return redo.Counters{}, false
	}
	n := sort.Search(len(s.counters), func(i int) bool { return s.counters[i].lsn > lsn })
	c := s.counters[max(n-1, 0)]
	m := sort.Search(len(s.nextXIDs), func(i int) bool { return s.nextXIDs[i].lsn > lsn })
	if m > 0 && s.nextXIDs[m-1].lsn > c.lsn {
		c.NextXID = s.nextXIDs[m-1].xid
	}
	return c.Counters, true
}

// commit notes a commit: one entry for each second of commits, the last of it.
func (s *state) commit(micros int64, lsn core.LSN) {
	n := len(s.commits)
	if n > 0 && s.commits[n-1].micros/1e6 == micros/1e6 {
		s.commits[n-1] = commitAt{micros, lsn}
		return
	}
	s.commits = append(s.commits, commitAt{micros, lsn})
}

// relations lists the forks that existed in a directory, in no order that
// means anything.
func (s *state) relations(id dbID, lsn core.LSN) []bootset.Relation {
	d := s.dbs[id]
	if d == nil {
		return nil
	}
	rels := s.inheritedRelations(id)
	for _, f := range d.forks {
		if n, ok := f.exists(lsn); ok {
			r, _, _ := core.BlockOfKey(f.first)
			rels = append(rels, bootset.Relation{Rel: r, Blocks: n})
		}
	}
	return rels
}

// commitBefore is the end of the last commit at or before a time, by entries
// of whole seconds; later tells whether there are commits after it. ok is
// false if all commits are later, or there are none.
//
// Commits above limit do not count.
func (s *state) commitBefore(micros int64, limit core.LSN) (lsn core.LSN, later, ok bool) {
	for _, c := range s.commits {
		if c.lsn > limit {
			break
		}
		if c.micros > micros {
			later = true
			continue
		}
		// Clocks may go back: what counts is the last one in the WAL.
		lsn, ok, later = c.lsn, true, false
	}
	return lsn, later, ok
}

// databases lists the directories that existed, sorted.
func (s *state) databases(lsn core.LSN) []dbID {
	ids := slices.SortedFunc(maps.Keys(s.dbs), func(a, b dbID) int {
		return cmp.Or(cmp.Compare(a.spc, b.spc), cmp.Compare(a.db, b.db))
	})
	ids = slices.DeleteFunc(ids, func(id dbID) bool {
		_, ok := s.dbs[id].sizes.exists(lsn)
		return !ok
	})
	return ids
}
