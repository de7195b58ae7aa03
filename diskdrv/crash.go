package diskdrv

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"slices"
)

// Killed ends an incarnation whose machine runs on: nothing is lost, locks
// are free again, and handles of before are dead.
func (d *Disk) Killed() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.endEpoch()
}

// endEpoch closes what the incarnation had open.
func (d *Disk) endEpoch() {
	d.epoch++
	d.frozen = false
	clear(d.locks)
	d.eachShown(func(n *inode) { n.handles = 0 })
	d.recount()
}

// CutPower ends an incarnation and lets the disk's generator decide which of
// the changes that no sync made durable are there afterwards.
func (d *Disk) CutPower() { d.CutPowerBy(d.rand) }

// CutPowerBy is CutPower with the choices of r.
func (d *Disk) CutPowerBy(r *rand.Rand) {
	d.mu.Lock()
	defer d.mu.Unlock()
	fates := fates{rand: r, mode: d.faults.Crash}
	if m := d.faults.Crash; m == CrashJournalled || m == CrashReversed {
		fates.cutAt(d.pendingSeqs())
	}
	d.crashNames(&fates)
	for _, n := range d.reachable() {
		d.crashFile(n, &fates)
	}
	d.splitCopies()
	d.endEpoch()
}

// fates decides what becomes of changes.
type fates struct {
	rand *rand.Rand
	mode CrashMode
	// In journalled mode changes up to last survive, the one after it is torn;
	// in reversed mode those after last do.
	last, torn uint64
}

type fate uint8

const (
	dropped fate = iota
	kept
	torn
)

// cutAt chooses where the journal ends.
func (f *fates) cutAt(pending []uint64) {
	n := f.rand.IntN(len(pending) + 1)
	if n > 0 {
		f.last = pending[n-1]
	}
	if n < len(pending) {
		f.torn = pending[n]
	}
}

func (f *fates) of(seq uint64, kind changeKind) fate {
	switch f.mode {
	case CrashHarsh:
		return fate(f.rand.IntN(3))
	case CrashTorn:
		if kind == changeBytes {
			return torn
		}
		return kept
	case CrashNameless:
		return keptIf(kind != changeName)
	case CrashHollow:
		return keptIf(kind != changeBytes)
	case CrashReversed:
		return keptIf(seq > f.last)
	}
	if seq == f.torn {
		return torn
	}
	return keptIf(seq <= f.last)
}

func keptIf(yes bool) fate {
	if yes {
		return kept
	}
	return dropped
}

// keeps decides about what cannot be torn.
func (f *fates) keeps(seq uint64) bool {
	switch f.of(seq, changeName) {
	case kept:
		return true
	case torn:
		return f.rand.IntN(2) == 0
	}
	return false
}

// pendingSeqs lists all changes that are not durable, in order.
func (d *Disk) pendingSeqs() []uint64 {
	var seqs []uint64
	d.eachShown(func(n *inode) {
		for _, c := range n.pending {
			seqs = append(seqs, c.seq)
		}
		for _, c := range n.pendingNames {
			if !c.done {
				seqs = append(seqs, c.seq)
			}
		}
	})
	slices.Sort(seqs)
	return seqs
}

// crashNames decides about names, in the order they were made and removed.
func (d *Disk) crashNames(f *fates) {
	var all []*nameChange
	d.eachShown(func(n *inode) {
		all = append(all, n.pendingNames...)
		n.pendingNames = nil
	})
	slices.SortFunc(all, func(a, b *nameChange) int { return cmp.Compare(a.seq, b.seq) })
	for _, c := range all {
		if c.done {
			continue
		}
		keep := f.keeps(c.seq)
		if c.after != nil && !c.after.done {
			keep = false // the old name stays where the new one is lost
		}
		if c.with != nil && c.with.seq < c.seq {
			keep = c.with.done // the first half decided for both
		}
		if keep {
			c.done = true
			if c.to == nil {
				delete(c.in.durableNames, c.name)
			} else {
				c.in.durableNames[c.name] = c.to
			}
			continue
		}
		d.harm.NamesLost++
	}
}

// crashFile decides about the bytes of a file, or shows the names that a
// directory is left with.
func (d *Disk) crashFile(n *inode, f *fates) {
	if n.dir {
		n.names = maps.Clone(n.durableNames)
		return
	}
	for i := range n.pending {
		c := &n.pending[i]
		fate := f.of(c.seq, c.kind)
		if fate != kept && c.kind == changeBytes {
			d.lost++
			if fate == torn {
				d.harm.Torn++
			} else {
				d.harm.Dropped++
			}
		}
		switch fate {
		case kept:
			c.apply(&n.durable)
		case torn:
			tear(c, &n.durable, f.rand)
		}
	}
	// Bytes beyond the size that survived are no part of the file.
	n.durable.truncate(n.durable.size)
	n.pending, n.failSync = nil, false
	n.shown = n.durable.clone()
}

// splitCopies gives a file that a lost half of a rename left under two names a
// copy for each. File systems have no such state; what a part must bear is
// that the old name is still there, not that writing to it changes the new.
func (d *Disk) splitCopies() {
	seen := make(map[*inode]bool)
	for _, dir := range d.reachable() {
		for _, name := range slices.Sorted(maps.Keys(dir.names)) {
			n := dir.names[name]
			if n.dir || !seen[n] {
				seen[n] = true
				continue
			}
			c := d.newInode(false)
			c.shown, c.durable = n.shown.clone(), n.durable.clone()
			dir.names[name], dir.durableNames[name] = c, c
		}
	}
}

// tear applies each sector of a write, or not. What is no write is there or
// is not.
func tear(c *change, m *image, r *rand.Rand) {
	if c.kind != changeBytes {
		if r.IntN(2) == 0 {
			c.apply(m)
		}
		return
	}
	off := c.off
	sectors := func(data []byte) {
		for len(data) > 0 {
			n := min(len(data), int(sectorSize-off%sectorSize))
			if r.IntN(2) == 0 {
				m.write(data[:n], off)
			}
			data, off = data[n:], off+int64(n)
		}
	}
	sectors(c.head)
	for _, p := range c.pages {
		sectors(p.bytes[:])
	}
	sectors(c.tail)
}

// reachable lists every inode that the durable names lead to, each once, in an
// order that depends on names alone.
func (d *Disk) reachable() []*inode {
	var all []*inode
	seen := make(map[*inode]bool)
	var visit func(n *inode)
	visit = func(n *inode) {
		if seen[n] {
			return
		}
		seen[n] = true
		all = append(all, n)
		for _, name := range slices.Sorted(maps.Keys(n.durableNames)) {
			visit(n.durableNames[name])
		}
	}
	visit(d.root)
	return all
}

// eachShown visits every inode that a shown or durable name leads to, each
// once, in an order that depends on names alone.
func (d *Disk) eachShown(do func(n *inode)) {
	seen := make(map[*inode]bool)
	var visit func(n *inode)
	visit = func(n *inode) {
		if seen[n] {
			return
		}
		seen[n] = true
		do(n)
		for _, name := range slices.Sorted(maps.Keys(n.names)) {
			visit(n.names[name])
		}
		for _, name := range slices.Sorted(maps.Keys(n.durableNames)) {
			visit(n.durableNames[name])
		}
	}
	visit(d.root)
}

// recount counts links and pages anew, after a crash changed the tree.
func (d *Disk) recount() {
	d.eachShown(func(n *inode) { n.links = 0 })
	d.root.links = 1
	d.used = 0
	d.eachShown(func(n *inode) {
		for _, name := range n.sortedNames() {
			n.names[name].links++
		}
	})
	d.eachShown(func(n *inode) {
		if !n.dir && n.links > 0 {
			d.used += int64(n.shown.taken())
		}
	})
}
