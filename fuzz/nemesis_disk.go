package fuzz

import (
	"errors"
	"io/fs"
	"path"
	"time"

	"xenon/core/env"
	"xenon/diskdrv"
)

// storage does what befalls disks.
func (n *nemesis) storage(s Step) func() bool {
	f, x := quickDisk, n.keeper(s)
	switch s.Class {
	case WipePages:
		return n.wipe(s)
	case SlowDisk, Journalled:
		x = n.any(s)
	case PagesIO, PagesFull:
		x = n.pageserver(s)
	}
	effect := grows(func() int { return x.disk.Harm().Failed })
	switch s.Class {
	case FailSync:
		f.SyncError = 200
	case IOErrors, PagesIO:
		f.ReadError, f.WriteError, f.NameError = 50, 50, 100
	case DiskFull, PagesFull:
		x.disk.SetFree(uint64(s.Which & 1 * s.Which))
		n.after(s.For, func() { x.disk.SetFree(1 << 40) })
		return effect
	case SlowDisk:
		f.Sync = diskdrv.Delay{Base: 5 * time.Millisecond, Jitter: 30 * time.Millisecond, Stalls: 20, Stall: 700 * time.Millisecond}
		effect = grows(func() int { return x.done })
	case Journalled:
		f.Crash = diskdrv.CrashJournalled
		x.disk.SetFaults(f)
		return func() bool { return x.disk.LostWrites() > 0 }
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
	ps.disk.SetFaults(diskdrv.Faults{})
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
