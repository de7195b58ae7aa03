package diskdrv

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"sync"
	"syscall"

	"xenon/core"
	"xenon/core/env"
)

var (
	errBadPath = fmt.Errorf("%w: not a path below the root", fs.ErrInvalid)
	errNotDir  = error(syscall.ENOTDIR)
	errIsDir   = error(syscall.EISDIR)
	errGone    = fmt.Errorf("the device is gone: %w", env.ErrIO)
)

// DiskOptions say what a disk is made of.
type DiskOptions struct {
	// Rand decides everything about this disk and nothing else draws from it.
	Rand *rand.Rand
	// Capacity in bytes; 0 is without bound.
	Capacity uint64
	Faults   Faults
	// Note is told of every operation, with the bytes that were written or
	// read. It must not call the disk.
	Note func(o Op, data []byte)
}

// A Disk is what one process writes to. It outlives the process. Its methods
// may be called from anywhere but Note.
type Disk struct {
	opts DiskOptions

	mu       sync.Mutex // leaf
	faults   Faults
	rand     *rand.Rand
	root     *inode
	lastID   uint64
	seq      uint64
	used     int64  // pages of the shown tree
	capacity uint64 // bytes; 0 is without bound
	epoch    uint64 // incarnations so far
	locks    map[*inode]bool
	readOnly bool
	gone     bool
	frozen   bool // by a trap, until the incarnation ends
	trap     *Trap
	harm     Harm
	lost     int // writes that power cuts took
	logging  bool
	log      []Op
}

// NewDisk makes an empty disk.
func NewDisk(o DiskOptions) *Disk {
	core.Must(o.Rand != nil, "a simulated disk needs a generator")
	d := &Disk{opts: o, faults: o.Faults, rand: o.Rand, capacity: o.Capacity, locks: make(map[*inode]bool)}
	d.root = d.newInode(true)
	d.root.links = 1
	return d
}

func (d *Disk) newInode(dir bool) *inode {
	d.lastID++
	n := &inode{id: d.lastID, dir: dir}
	if dir {
		n.names, n.durableNames = make(map[string]*inode), make(map[string]*inode)
	}
	return n
}

func (d *Disk) nextSeq() uint64 {
	d.seq++
	return d.seq
}

// SetFaults changes what goes wrong from now on.
func (d *Disk) SetFaults(f Faults) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults = f
}

// FailNextSync makes the next Sync of a file, or SyncDir of a directory, fail
// once.
func (d *Disk) FailNextSync(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.lookup(name)
	if err != nil {
		return fmt.Errorf("fail next sync of %s: %w", name, err)
	}
	n.failSync = true
	return nil
}

// SetFree changes the capacity so that n bytes are free.
func (d *Disk) SetFree(n uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.capacity = uint64(d.used)*pageSize + n
	if d.capacity == 0 {
		d.capacity = 1 // 0 would be without bound
	}
}

// SetReadOnly remounts the disk.
func (d *Disk) SetReadOnly(on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.readOnly = on
}

// SetGone takes the device away, or brings it back with what it held.
func (d *Disk) SetGone(on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.gone = on
}

// Corrupt changes a byte of a file on the device, by exclusive or with mask.
// The system forgets what it had cached of it.
func (d *Disk) Corrupt(name string, off int64, mask byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.lookup(name)
	switch {
	case err != nil:
	case n.dir:
		err = errIsDir
	case off < 0 || off >= n.shown.size:
		err = errors.New("beyond the end")
	}
	if err != nil {
		return fmt.Errorf("corrupt %s at %d: %w", name, off, err)
	}
	d.corrupt(n, off, mask)
	return nil
}

func (d *Disk) corrupt(n *inode, off int64, mask byte) {
	d.harm.Rotten++
	n.rotten = append(n.rotten, off)
	for _, m := range []*image{&n.shown, &n.durable} {
		var b [1]byte
		if m.read(b[:], off) == 1 {
			b[0] ^= mask
			taken := m.write(b[:], off)
			if m == &n.shown {
				d.used += int64(taken)
			}
		}
	}
}

// ReadDurable reads what a file is sure to hold after a power cut, through
// names that are sure to be there. Oracles use it; the bytes of a change that
// may or may not survive are not among them.
func (d *Disk) ReadDurable(name string, p []byte, off int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.lookupDurable(name)
	if err == nil && n.dir {
		err = errIsDir
	}
	if err != nil {
		return 0, fmt.Errorf("read durable %s: %w", name, err)
	}
	return n.durable.read(p, off), nil
}

// LostWrites is how many writes that no sync had made durable were lost or torn
// by power cuts so far.
func (d *Disk) LostWrites() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.lost
}

// free is how many pages can still be taken; -1 is any number.
func (d *Disk) free() int64 {
	if d.capacity == 0 {
		return -1
	}
	return max(0, int64(d.capacity/pageSize)-d.used)
}

// release gives back the pages of a file that nothing names or has open.
func (d *Disk) release(n *inode) {
	if n.links == 0 && n.handles == 0 && !n.dir {
		d.used -= int64(n.shown.taken())
	}
}
