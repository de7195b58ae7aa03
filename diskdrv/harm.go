package diskdrv

import (
	"fmt"
	"maps"
	"slices"

	"xenon/core"
	"xenon/core/env"
)

// Harm counts what the faults of a disk have done to somebody, over the whole
// run: whoever injects a fault sees by it whether that befell anybody.
type Harm struct {
	Failed     int // operations that ended with an injected error
	Torn       int // writes of which a power cut left some sectors
	Dropped    int // writes that a power cut took
	NamesLost  int // changes of names that a power cut took
	Stale      int // reads that found what was there before
	Misread    int // reads that found another place's bytes
	Misplaced  int // writes that landed elsewhere
	Rotten     int // bytes that changed by themselves
	RottenRead int // reads that found one of them
	BadReads   int // reads of a bad sector
}

// Harm is what faults have done so far.
func (d *Disk) Harm() Harm {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.harm
}

// fails counts an operation that an injected fault ends.
func (d *Disk) fails(err error) error {
	d.harm.Failed++
	return err
}

// BadSector makes the sector of a file at off unreadable, until it is written.
func (d *Disk) BadSector(name string, off int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.lookup(name)
	if err != nil || n.dir || off < 0 || off >= n.shown.size {
		return fmt.Errorf("bad sector of %s at %d: no such place: %w", name, off, err)
	}
	n.bad = append(n.bad, off-off%sectorSize)
	return nil
}

// marred tells whether [off, end) has a sector that cannot be read, and counts
// what it has that is rotten.
func (d *Disk) marred(n *inode, off, end int64) bool {
	for _, at := range n.rotten {
		if off <= at && at < end {
			d.harm.RottenRead++
			break
		}
	}
	for _, at := range n.bad {
		if at < end && off < at+sectorSize {
			d.harm.BadReads++
			return true
		}
	}
	return false
}

// renewed forgets the marks of what is written anew.
func (n *inode) renewed(off, end int64) {
	if len(n.rotten)+len(n.bad) == 0 {
		return
	}
	n.rotten = slices.DeleteFunc(n.rotten, func(at int64) bool { return off <= at && at < end })
	n.bad = slices.DeleteFunc(n.bad, func(at int64) bool { return at < end && off < at+sectorSize })
}

// astray is what a read finds that goes wrong without an error: it changes p,
// which was read from off.
func (f *file) astray(faults *Faults, p []byte, off int64) {
	d := f.disk
	if len(p) == 0 {
		return
	}
	if faults.StaleRead.happens(d.rand) {
		at := d.rand.IntN(len(p))
		clear(p[at-at%sectorSize : min(len(p), at-at%sectorSize+sectorSize)])
		d.harm.Stale++
	}
	if faults.WrongRead.happens(d.rand) {
		if spare := f.inode.shown.size - int64(len(p)); spare > 0 {
			f.inode.shown.read(p, (off+1+d.rand.Int64N(spare))%(spare+1))
			d.harm.Misread++
		}
	}
}

// A Snapshot is everything that a disk was sure to hold at some moment.
type Snapshot struct{ root *inode }

// Snapshot copies the device, as the storage below it does: without what was
// not synced.
func (d *Disk) Snapshot() *Snapshot {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &Snapshot{d.copyTree(d.root, make(map[*inode]*inode))}
}

// Restore makes the disk what it was, while no process uses it. A snapshot can
// be restored once.
func (d *Disk) Restore(s *Snapshot) {
	d.mu.Lock()
	defer d.mu.Unlock()
	core.Must(s.root != nil, "a snapshot is restored twice")
	d.root, s.root = s.root, nil
	d.root.links = 1
	d.endEpoch()
}

// copyTree copies what the durable names lead to.
func (d *Disk) copyTree(n *inode, done map[*inode]*inode) *inode {
	if c := done[n]; c != nil {
		return c
	}
	c := d.newInode(n.dir)
	done[n] = c
	if !n.dir {
		c.durable = n.durable.clone()
		c.durable.truncate(c.durable.size)
		c.shown = c.durable.clone()
		c.rotten, c.bad = slices.Clone(n.rotten), slices.Clone(n.bad)
		return c
	}
	for _, name := range slices.Sorted(maps.Keys(n.durableNames)) {
		c.durableNames[name] = d.copyTree(n.durableNames[name], done)
	}
	c.names = maps.Clone(c.durableNames)
	return c
}

// Swap exchanges what two disks hold, while no process uses either.
func (d *Disk) Swap(other *Disk) {
	for _, x := range []*Disk{d, other} {
		x.mu.Lock()
		defer x.mu.Unlock()
	}
	d.root, other.root = other.root, d.root
	d.endEpoch()
	other.endEpoch()
}

// A Trap waits for operations that end well. At the last of Left whose kind is
// one of Kinds the disk stands still: no other operation of the incarnation
// begins. Then is told; it must not call the disk.
type Trap struct {
	Kinds []string // of [Op]
	Left  int
	Then  func()
}

// SetTrap sets a trap in place of the one before; nil takes it away.
func (d *Disk) SetTrap(t *Trap) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.trap = t
}

// spring is told of every operation.
func (d *Disk) spring(o Op) {
	t := d.trap
	if t == nil || o.Err != nil || !slices.Contains(t.Kinds, o.Kind) {
		return
	}
	if t.Left--; t.Left <= 0 {
		d.trap, d.frozen = nil, true
		t.Then()
	}
}

// errStill is what an operation on a disk that stands still comes to where no
// clock lets it wait.
var errStill = fmt.Errorf("the device does not answer: %w", env.ErrIO)
