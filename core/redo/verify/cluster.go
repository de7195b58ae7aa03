package verify

import (
	"maps"
	"slices"

	"xenon/core"
	"xenon/core/redo"
	"xenon/core/wal"
)

// A cluster is a data directory in memory. Pages are read from files when they
// are first asked for.
type cluster struct {
	files    *files
	forks    map[core.Rel]*fork
	slru     map[core.Key]*redo.Page
	relmaps  map[core.Rel][]byte // keyed by tablespace and database
	twoPhase map[uint32][]byte
	origins  map[uint16]core.LSN // how far replication origins have come
	spcs     map[core.OID]bool   // tablespaces
	// walLogged has the databases that were made with STRATEGY wal_log.
	walLogged map[core.Rel]bool
}

// A page and who last had it taken from an image, unverified.
type page struct {
	redo.Page
	adopted bool
	rmgr    wal.RmgrID
}

// A fork is one file of a relation, in blocks.
type fork struct {
	pages []*page // nil: as in the file, or zeroes from fileBlocks on
	// file is the fork whose file has the blocks below fileBlocks: the fork
	// itself, or what it was copied from.
	file       core.Rel
	fileBlocks uint32
}

func (f *fork) size() uint32 { return uint32(len(f.pages)) }

// grow makes the fork at least n blocks long.
func (f *fork) grow(n uint32) {
	if n > f.size() {
		f.pages = append(f.pages, make([]*page, n-f.size())...)
	}
}

func (f *fork) truncate(n uint32) {
	if n < f.size() {
		f.pages = f.pages[:n:n]
		f.fileBlocks = min(f.fileBlocks, n)
	}
}

// page is block blk of a fork, which must be long enough.
func (c *cluster) page(f *fork, blk uint32) (*page, error) {
	if p := f.pages[blk]; p != nil {
		return p, nil
	}
	p := new(page)
	if blk < f.fileBlocks {
		if err := c.files.readBlock(f.file, blk, &p.Page); err != nil {
			return nil, err
		}
	}
	f.pages[blk] = p
	return p, nil
}

// fork is a fork that is there or is made now, empty.
func (c *cluster) fork(r core.Rel) *fork {
	f := c.forks[r]
	if f == nil {
		f = new(fork)
		c.forks[r] = f
	}
	return f
}

// rels is every fork of the cluster, in order.
func (c *cluster) rels() []core.Rel {
	return slices.SortedFunc(maps.Keys(c.forks), func(a, b core.Rel) int {
		ka, kb := core.BlockKey(a, 0), core.BlockKey(b, 0)
		return ka.Compare(kb)
	})
}

func (c *cluster) dropRel(r core.Rel) {
	for r.Fork = core.MainFork; r.Fork <= core.InitFork; r.Fork++ {
		delete(c.forks, r)
	}
}

func (c *cluster) dropSpc(spc core.OID) {
	maps.DeleteFunc(c.forks, func(r core.Rel, _ *fork) bool { return r.Spc == spc })
	delete(c.spcs, spc)
}

func (c *cluster) dropDB(db core.Rel) {
	maps.DeleteFunc(c.forks, func(r core.Rel, _ *fork) bool { return r.Spc == db.Spc && r.DB == db.DB })
	delete(c.relmaps, db)
	delete(c.walLogged, db)
}

// copyDB makes a database as a copy of another.
func (c *cluster) copyDB(to, from core.Rel) {
	c.dropDB(to)
	for _, r := range c.rels() {
		if r.Spc != from.Spc || r.DB != from.DB {
			continue
		}
		f := c.forks[r]
		twin := &fork{pages: make([]*page, len(f.pages)), file: f.file, fileBlocks: f.fileBlocks}
		for i, p := range f.pages {
			if p != nil {
				q := *p
				twin.pages[i] = &q
			}
		}
		r.Spc, r.DB = to.Spc, to.DB
		c.forks[r] = twin
	}
	if m := c.relmaps[from]; m != nil {
		c.relmaps[to] = m
	}
}

// slruPage is a page of an SLRU, made of zeroes if it is not there.
func (c *cluster) slruPage(k core.Key) *redo.Page {
	p := c.slru[k]
	if p == nil {
		p = new(redo.Page)
		c.slru[k] = p
	}
	return p
}

// slruOf takes the key of an SLRU's page apart.
func slruOf(k core.Key) (s core.SLRU, seg, blk uint32) {
	_, kind, _, seg, _, blk := k.Fields()
	return core.SLRU(kind), seg, blk
}
