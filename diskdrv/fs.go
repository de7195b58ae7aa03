package diskdrv

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"time"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/xsync"
)

// FS is the disk as the present incarnation of its process sees it. Operations
// take their time from e's clock; with a nil Env they take none, for tests
// without a world. Once the incarnation has ended nobody may use it.
func (d *Disk) FS(e env.Env) env.FS {
	d.mu.Lock()
	defer d.mu.Unlock()
	sched, _ := e.(xsync.Scheduler)
	return &diskFS{disk: d, env: e, sched: sched, epoch: d.epoch}
}

type diskFS struct {
	disk  *Disk
	env   env.Env
	sched xsync.Scheduler
	epoch uint64
}

// enter comes before each operation: it ends the task of a dead process, and
// takes the time that the operation takes.
func (f *diskFS) enter(of func(Faults) Delay) {
	if f.sched != nil {
		f.sched.Step()
	}
	f.sleep(of)
	for f.still() && f.env != nil { // until its process ends
		_ = f.env.Clock().Sleep(context.Background(), time.Second)
	}
}

func (f *diskFS) still() bool {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	return f.disk.frozen && f.epoch == f.disk.epoch
}

func (f *diskFS) sleep(of func(Faults) Delay) {
	d := f.disk
	d.mu.Lock()
	took := of(d.faults).draw(d.rand)
	d.mu.Unlock()
	if took > 0 && f.env != nil {
		// Nothing interrupts a system call that waits for a disk.
		_ = f.env.Clock().Sleep(context.Background(), took)
	}
}

// locked takes the disk's lock for the effect of an operation.
func (f *diskFS) locked() (unlock func()) {
	f.disk.mu.Lock()
	if f.epoch != f.disk.epoch {
		f.disk.mu.Unlock()
		core.Must(false, "the disk is used through a handle of a process that has ended")
	}
	return f.disk.mu.Unlock
}

// writable tells why nothing can be changed.
func (d *Disk) writable() error {
	switch {
	case d.gone:
		return d.fails(errGone)
	case d.frozen:
		return errStill
	case d.readOnly:
		return d.fails(env.ErrReadOnly)
	}
	return nil
}

// changeName is what comes before a change of names: it may fail by itself.
func (d *Disk) changeName(name string, taking bool) error {
	if err := d.writable(); err != nil {
		return err
	}
	faults := d.faults.of(name)
	if faults.NameError.happens(d.rand) {
		return d.fails(env.ErrIO)
	}
	if taking && (d.free() == 0 || faults.NoSpace.happens(d.rand)) {
		return d.fails(env.ErrNoSpace)
	}
	return nil
}

func ofName(f Faults) Delay { return f.Name }

func (f *diskFS) Open(name string, flag env.OpenFlag) (env.File, error) {
	f.enter(ofName)
	defer f.locked()()
	n, err := f.open(name, flag)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	n.handles++
	return &file{fs: f, disk: f.disk, inode: n, name: name, write: flag&env.Write != 0}, nil
}

func (f *diskFS) open(name string, flag env.OpenFlag) (*inode, error) {
	d := f.disk
	if d.gone {
		return nil, d.fails(errGone)
	}
	if flag&(env.Write|env.Trunc) != 0 {
		if err := d.writable(); err != nil {
			return nil, err
		}
	}
	n, err := d.lookup(name)
	switch {
	case err == fs.ErrNotExist && flag&env.Create != 0:
		return d.create(name, false)
	case err != nil:
		return nil, err
	case flag&env.Excl != 0 && flag&env.Create != 0:
		return nil, fs.ErrExist
	case n.dir:
		return nil, errIsDir
	}
	if flag&env.Trunc != 0 && n.shown.size > 0 {
		d.cut(n, 0)
		d.did(Op{Kind: "truncate", Name: name}, nil)
	}
	return n, nil
}

// create makes a file or a directory whose parent exists.
func (d *Disk) create(name string, dir bool) (*inode, error) {
	kind := "create"
	if dir {
		kind = "mkdir"
	}
	parent, base, err := d.parent(name)
	if err == nil && parent.names[base] != nil {
		err = fs.ErrExist
	}
	if err == nil {
		err = d.changeName(name, true)
	}
	d.did(Op{Kind: kind, Name: name, Err: err}, nil)
	if err != nil {
		return nil, err
	}
	n := d.newInode(dir)
	d.link(parent, base, n)
	return n, nil
}

// parent finds the directory that name lies in.
func (d *Disk) parent(name string) (*inode, string, error) {
	if !fs.ValidPath(name) || name == "." {
		return nil, "", errBadPath
	}
	parent, err := d.lookup(path.Dir(name))
	if err == nil && !parent.dir {
		err = errNotDir
	}
	return parent, path.Base(name), err
}

func (d *Disk) link(in *inode, name string, n *inode) *nameChange {
	if old := in.names[name]; old != nil {
		old.links--
		d.release(old)
	}
	in.names[name] = n
	n.links++
	c := &nameChange{seq: d.nextSeq(), in: in, name: name, to: n}
	in.pendingNames = append(in.pendingNames, c)
	return c
}

func (d *Disk) unlink(in *inode, name string) *nameChange {
	n := in.names[name]
	delete(in.names, name)
	n.links--
	c := &nameChange{seq: d.nextSeq(), in: in, name: name}
	in.pendingNames = append(in.pendingNames, c)
	return c
}

func (f *diskFS) Mkdir(name string) error {
	f.enter(ofName)
	defer f.locked()()
	if _, err := f.disk.create(name, true); err != nil {
		return fmt.Errorf("mkdir %s: %w", name, err)
	}
	return nil
}

func (f *diskFS) Rename(oldName, newName string) error {
	f.enter(ofName)
	defer f.locked()()
	err := f.disk.rename(oldName, newName)
	f.disk.did(Op{Kind: "rename", Name: oldName, To: newName, Err: err}, nil)
	if err != nil {
		return fmt.Errorf("rename %s to %s: %w", oldName, newName, err)
	}
	return nil
}

func (d *Disk) rename(oldName, newName string) error {
	from, oldBase, err := d.parent(oldName)
	if err != nil {
		return err
	}
	to, newBase, err := d.parent(newName)
	if err != nil {
		return err
	}
	n := from.names[oldBase]
	if n == nil {
		return fs.ErrNotExist
	}
	target := to.names[newBase]
	if target == n {
		return nil
	}
	if err := replaceable(n, target); err != nil {
		return err
	}
	if n.dir && d.below(n, newName) {
		return fs.ErrInvalid
	}
	if err := d.changeName(newName, false); err != nil {
		return err
	}
	linked := d.link(to, newBase, n)
	gone := d.unlink(from, oldBase)
	gone.after = linked
	if n.dir {
		linked.with, gone.with = gone, linked
	}
	return nil
}

// replaceable tells whether n may take the place of target.
func replaceable(n, target *inode) error {
	switch {
	case target == nil:
		return nil
	case target.dir && !n.dir:
		return errIsDir
	case !target.dir && n.dir:
		return errNotDir
	case len(target.names) > 0:
		return fmt.Errorf("directory is not empty: %w", fs.ErrExist)
	}
	return nil
}

// below tells whether name lies in the directory n.
func (d *Disk) below(n *inode, name string) bool {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if at, err := d.lookup(dir); err == nil && at == n {
			return true
		}
	}
	return false
}

func (f *diskFS) Remove(name string) error {
	f.enter(ofName)
	defer f.locked()()
	err := f.disk.remove(name)
	f.disk.did(Op{Kind: "remove", Name: name, Err: err}, nil)
	if err != nil {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	return nil
}

func (d *Disk) remove(name string) error {
	in, base, err := d.parent(name)
	if err != nil {
		return err
	}
	n := in.names[base]
	switch {
	case n == nil:
		return fs.ErrNotExist
	case len(n.names) > 0:
		return fmt.Errorf("directory is not empty: %w", fs.ErrExist)
	}
	if err := d.changeName(name, false); err != nil {
		return err
	}
	d.unlink(in, base)
	d.release(n)
	return nil
}

func (f *diskFS) ReadDir(name string) ([]env.DirEntry, error) {
	f.enter(ofName)
	defer f.locked()()
	n, err := f.disk.lookup(name)
	switch {
	case err != nil:
	case f.disk.gone:
		err = f.disk.fails(errGone)
	case !n.dir:
		err = errNotDir
	}
	if err != nil {
		return nil, fmt.Errorf("read directory %s: %w", name, err)
	}
	entries := make([]env.DirEntry, 0, len(n.names))
	for _, base := range n.sortedNames() {
		entries = append(entries, env.DirEntry{Name: base, Dir: n.names[base].dir})
	}
	return entries, nil
}

func (f *diskFS) Stat(name string) (env.FileInfo, error) {
	f.enter(ofName)
	defer f.locked()()
	n, err := f.disk.lookup(name)
	if err == nil && f.disk.gone {
		err = f.disk.fails(errGone)
	}
	if err != nil {
		return env.FileInfo{}, fmt.Errorf("stat %s: %w", name, err)
	}
	if n.dir {
		return env.FileInfo{Dir: true, Mode: fs.ModeDir | 0o700}, nil
	}
	return env.FileInfo{Size: n.shown.size, Mode: 0o600}, nil
}

func (f *diskFS) SyncDir(name string) error {
	f.enter(func(f Faults) Delay { return f.Sync })
	defer f.locked()()
	err := f.disk.syncDir(name)
	f.disk.did(Op{Kind: "sync-dir", Name: name, Err: err}, nil)
	if err != nil {
		return fmt.Errorf("sync directory %s: %w", name, err)
	}
	return nil
}

// syncDir makes names durable. One that fails leaves them pending: unlike
// bytes, the journal's changes are not forgotten, but they may yet be lost.
func (d *Disk) syncDir(name string) error {
	n, err := d.lookup(name)
	if err != nil {
		return err
	}
	if !n.dir {
		return errNotDir
	}
	if err := d.writable(); err != nil {
		return err
	}
	if n.failSync || d.faults.of(name).SyncError.happens(d.rand) {
		n.failSync = false
		return d.fails(env.ErrIO)
	}
	for _, c := range n.pendingNames {
		c.commit()
	}
	n.pendingNames = nil
	return nil
}

func (f *diskFS) Free() (uint64, error) {
	f.enter(func(Faults) Delay { return Delay{} })
	defer f.locked()()
	if f.disk.gone {
		return 0, fmt.Errorf("free space: %w", f.disk.fails(errGone))
	}
	free := f.disk.free()
	if free < 0 {
		return 1 << 60, nil
	}
	return uint64(free) * pageSize, nil
}

// Lock holds a directory of this disk. A disk has one process at a time, so
// what it keeps out is the process's own second attempt.
func (f *diskFS) Lock(dir string) (func(), error) {
	f.enter(ofName)
	defer f.locked()()
	n, err := f.disk.lookup(dir)
	switch {
	case err != nil:
	case !n.dir:
		err = errNotDir
	case f.disk.locks[n]:
		err = env.ErrLocked
	}
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	f.disk.locks[n] = true
	held := true
	return func() {
		f.disk.mu.Lock()
		defer f.disk.mu.Unlock()
		if held && f.epoch == f.disk.epoch {
			delete(f.disk.locks, n)
		}
		held = false
	}, nil
}
