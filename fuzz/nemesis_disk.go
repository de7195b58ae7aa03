package fuzz

import (
	"bytes"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/wal"
	"xenon/diskdrv"
)

// layerMark is in the name of each layer and of no other file of a pageserver.
const layerMark = "__"

// storage does what befalls disks.
func (n *nemesis) storage(s Step) func() bool {
	switch s.Class {
	case WipePages:
		return n.wipe(s)
	case RotWAL, BadSectorWAL:
		return n.oldWAL(s)
	case BadSectorTail:
		return n.badTail(s)
	case RotControl:
		return n.rotControl(s)
	case WipeKeeper:
		return n.wipeKeeper(s)
	case RotLayers, BadLayers:
		return n.oldLayers(s)
	case StaleLayers, MisreadLayers, MisplacedLayers:
		return n.astray(s)
	case SyncOnce:
		return n.syncOnce(s)
	}
	f, x := quickDisk, n.keeper(s)
	switch s.Class {
	case SlowDisk, DeviceGone, ReadOnlyDisk, ReadErrors, FlakySpace:
		x = n.any(s)
		if s.Which%3 > 0 { // computes hardly use theirs
			x = victim(s.Which, append(append([]*node{}, n.c.sks...), n.c.pss...))
		}
	case PagesIO, PagesFull:
		x = n.pageserver(s)
	}
	n.befell(x)
	effect := grows(func() int { return x.disk.Harm().Failed })
	switch s.Class {
	case FailSync:
		f.SyncError = 200
	case IOErrors, PagesIO:
		f.ReadError, f.WriteError, f.NameError = 50, 50, 100
	case ReadErrors:
		f.ReadError = 150
	case FlakySpace:
		f.NoSpace = 100
	case DeviceGone:
		x.disk.SetGone(true)
		n.after(s.For, func() { x.disk.SetGone(false) })
		return effect
	case ReadOnlyDisk:
		x.disk.SetReadOnly(true)
		n.after(s.For, func() { x.disk.SetReadOnly(false) })
		return effect
	case DiskFull, PagesFull:
		x.disk.SetFree(uint64(s.Which & 1 * s.Which))
		n.after(s.For, func() { x.disk.SetFree(1 << 40) })
		return effect
	case SlowDisk:
		f.Sync = diskdrv.Delay{Base: 5 * time.Millisecond, Jitter: 30 * time.Millisecond, Stalls: 20, Stall: 700 * time.Millisecond}
		effect = grows(func() int { return x.done })
	}
	x.disk.SetFaults(f)
	n.after(s.For, func() { x.disk.SetFaults(quickDisk) })
	return effect
}

// syncOnce makes one sync of a safekeeper's newest segment fail, and those after
// it succeed, although what the first one was to make durable is lost.
func (n *nemesis) syncOnce(s Step) func() bool {
	l, x := n.c.lines()[0], n.keeper(s)
	k := l.keeper(x.Proc)
	name := path.Join(k.dir, core.SegmentName(1, k.flush.Segment(segmentSize), segmentSize)) + ".partial"
	if x.disk.FailNextSync(name) != nil {
		return nil // it is about to begin another one
	}
	n.befell(x)
	return grows(func() int { return x.disk.Harm().Failed })
}

// oldWAL damages WAL that every safekeeper has committed, on one of them: always
// the same one, so that no byte is bad on two. Where too few others have it, or
// those who do may leave, the object store has it.
func (n *nemesis) oldWAL(s Step) func() bool {
	x, l := n.c.sks[n.unlucky%len(n.c.sks)], n.c.lines()[0]
	if n.away {
		return nil
	}
	least, stored := l.ghost.end(), n.moving || len(l.keepers) < 3
	for _, k := range l.keepers {
		least = min(least, k.counted(stored))
	}
	// Segments that have ended: whoever starts reads the last one, and writes it
	// anew.
	if least -= core.LSN(least.SegmentOffset(segmentSize)); least <= l.ghost.begin {
		return nil // there is none yet that is old enough
	}
	// The newest of them: older ones are stored already, and read by nobody.
	from := max(l.ghost.begin, least-min(least, segmentSize))
	k, at := l.keeper(x.Proc), from+core.LSN(s.Which*997)%(least-from)
	// Bits of page headers that mean nothing to a reader are covered by nothing.
	if head := core.LSN(wal.LongHeaderSize); at%core.WALPageSize < head {
		at += head
	}
	name, off := path.Join(k.dir, core.SegmentName(1, at.Segment(segmentSize), segmentSize)), int64(at.SegmentOffset(segmentSize))
	if s.Class == BadSectorWAL {
		if x.disk.BadSector(name, off) != nil {
			return nil // it has been given up
		}
		n.befell(x)
		n.readFrom(s, x)
		return grows(func() int { return x.disk.Harm().BadReads })
	}
	if x.disk.Corrupt(name, off, 1<<(s.Which%8)) != nil {
		return nil
	}
	n.befell(x)
	k.rotten = true
	n.readFrom(s, x)
	return grows(func() int { return x.disk.Harm().RottenRead })
}

// readFrom has the pageserver begin anew with nothing but one safekeeper to read
// WAL from, for a while: damage there would mostly be removed before anybody sees
// it.
func (n *nemesis) readFrom(s Step, x *node) {
	ps := n.c.ps()
	for _, sk := range slices.Concat(n.c.sks, n.c.reserve) {
		if sk != x {
			n.part(ps.Name(), sk.Name(), s.For+500*time.Millisecond)
		}
	}
	if n.end(ps, false, 20*time.Millisecond) != nil && s.Which&16 != 0 {
		n.empty(ps)
		n.c.tell()
	}
}

// badTail has a safekeeper start without a sector of WAL that its control file
// does not know to be committed: it may be what a majority rests on.
func (n *nemesis) badTail(s Step) func() bool {
	x, l := n.c.sks[n.unlucky%len(n.c.sks)], n.c.lines()[0]
	k := l.keeper(x.Proc)
	c, err := k.control()
	if n.away || n.moving || len(l.keepers) < 3 || err != nil || k.flush <= c.Commit {
		return nil
	}
	at := c.Commit + core.LSN(s.Which*997)%(k.flush-c.Commit)
	name := path.Join(k.dir, core.SegmentName(1, at.Segment(segmentSize), segmentSize))
	off := int64(at.SegmentOffset(segmentSize))
	if x.disk.BadSector(name+".partial", off) != nil && x.disk.BadSector(name, off) != nil {
		return nil
	}
	n.befell(x)
	n.end(x, false, 20*time.Millisecond)
	return grows(func() int { return x.disk.Harm().BadReads })
}

// rotControl damages the control file of a safekeeper that is down. It must be
// refused at the start; then somebody puts it right.
func (n *nemesis) rotControl(s Step) func() bool {
	x, l := n.c.sks[n.unlucky%len(n.c.sks)], n.c.lines()[0]
	if n.away || n.end(x, false, 20*time.Millisecond) == nil {
		return nil
	}
	n.befell(x)
	name, off, mask := path.Join(l.keeper(x.Proc).dir, "control"), int64(16+s.Which%100), byte(1<<(s.Which%8))
	if x.disk.Corrupt(name, off, mask) != nil {
		return nil
	}
	x.disk.SetTrap(nil)
	content := func() []byte {
		f, err := x.disk.FS(nil).Open(name, 0)
		if err != nil {
			return nil
		}
		b := make([]byte, 64<<10)
		k, _ := f.ReadAt(b, 0) // short of b, which is longer than any
		return b[:k]
	}
	bad, read, pulls := content(), x.disk.Harm().RottenRead, n.counts.Pulls
	hit := false
	mend := func() {
		n.away = false
		x.Kill()
		x.disk.SetFaults(quickDisk)
		hit = x.disk.Harm().RottenRead > read
		// A disk that is gone, or fails, shows nothing.
		now := content()
		other := len(now) > 0 && len(bad) > 0 && !bytes.Equal(now, bad)
		switch {
		case !other:
			x.disk.Corrupt(name, off, mask)
		case n.counts.Pulls == pulls: // else it may have come back as a copy
			n.j.violated(DurableVote, "%s went on from a damaged control file", x.Name())
			return
		}
		x.start()
	}
	n.away = true
	n.mends = append(n.mends, &mend)
	n.after(s.For+50*time.Millisecond, func() { n.mend(&mend) })
	return func() bool { return hit }
}

// mend does what a fault left to be done, once.
func (n *nemesis) mend(f *func()) {
	if g := *f; g != nil {
		*f = nil
		g()
	}
}

// files lists what a disk has whose path has a mark in it.
func files(d *diskdrv.Disk, mark string) (list []string) {
	f := d.FS(nil)
	var walk func(dir string)
	walk = func(dir string) {
		entries, _ := f.ReadDir(dir) // what cannot be listed has nothing
		for _, e := range entries {
			name := path.Join(dir, e.Name)
			if e.Dir {
				walk(name)
			} else if strings.Contains(e.Name, mark) {
				list = append(list, name)
			}
		}
	}
	walk(".")
	return list
}

// oldLayers damages a layer on a pageserver's disk that is in the object store
// already: what is not there yet has no other copy but WAL.
func (n *nemesis) oldLayers(s Step) func() bool {
	x := n.pageserver(s)
	keys := n.c.bucket.Keys()
	stored := slices.DeleteFunc(files(x.disk, layerMark), func(name string) bool {
		return !slices.ContainsFunc(keys, func(key string) bool { return strings.Contains(key, "/"+path.Base(name)) })
	})
	if len(stored) == 0 {
		return nil
	}
	name, off := stored[s.Which%len(stored)], int64(s.Which*131%(8<<10))
	if f, err := x.disk.FS(nil).Stat(name); err == nil && f.Size > 0 {
		off %= f.Size
	}
	if s.Class == BadLayers {
		if x.disk.BadSector(name, off) != nil {
			return nil
		}
		n.befell(x)
		n.end(x, false, 20*time.Millisecond) // what it has in memory hides the damage
		return grows(func() int { return x.disk.Harm().BadReads })
	}
	if x.disk.Corrupt(name, off, 1<<(s.Which%8)) != nil {
		return nil
	}
	n.befell(x)
	n.end(x, false, 20*time.Millisecond)
	return grows(func() int { return x.disk.Harm().RottenRead })
}

// astray makes reads and writes of layers go wrong without an error.
func (n *nemesis) astray(s Step) func() bool {
	x, f := n.pageserver(s), quickDisk
	n.befell(x)
	f.Names = layerMark
	effect := grows(func() int { h := x.disk.Harm(); return h.Stale + h.Misread + h.Misplaced })
	switch s.Class {
	case StaleLayers:
		f.StaleRead = 200
	case MisreadLayers:
		f.WrongRead = 200
	case MisplacedLayers:
		f.WrongSpot = 200
	}
	x.disk.SetFaults(f)
	n.after(s.For, func() { x.disk.SetFaults(quickDisk) })
	return effect
}

// wipe takes everything from the pageserver's disk, and has somebody tell it
// again what it is to serve.
func (n *nemesis) wipe(s Step) func() bool {
	ps, held := n.c.ps(), false
	for _, l := range n.c.lines() {
		held = held || l.reel(ps.Proc).disk > 0
	}
	n.end(ps, false, s.For)
	n.empty(ps)
	n.c.tell()
	return func() bool { return held }
}

// empty takes everything from the disk of a pageserver that does not run.
func (n *nemesis) empty(ps *node) {
	ps.disk.SetTrap(nil)
	ps.disk.SetFaults(diskdrv.Faults{})
	ps.disk.SetGone(false)
	ps.disk.SetReadOnly(false)
	err := remove(ps.disk.FS(nil), "tenants")
	ps.disk.SetFaults(quickDisk)
	if err != nil {
		n.w.Fail(err)
	}
	for _, l := range n.c.lines() {
		l.reel(ps.Proc).disk = 0
	}
}

// remove removes a directory and all below it, if it is there.
func remove(f env.FS, dir string) error {
	list, err := f.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range list {
		name := path.Join(dir, e.Name)
		if e.Dir {
			err = remove(f, name)
		} else {
			err = f.Remove(name)
		}
		if err != nil {
			return err
		}
	}
	return errors.Join(f.SyncDir(dir), f.Remove(dir), f.SyncDir(path.Dir(dir)))
}

// counted is up to where a safekeeper takes its WAL for right when it starts,
// and, if that is asked for, knows that the object store has it, as its control
// file says; 0 if that cannot be read.
func (k *keeper) counted(stored bool) core.LSN {
	c, err := k.control()
	if err != nil {
		return 0
	}
	if stored {
		return min(c.Commit, c.Backup)
	}
	return c.Commit
}
