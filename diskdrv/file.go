package diskdrv

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"xenon/core/env"
)

// file is a handle of one incarnation.
type file struct {
	fs     *diskFS
	disk   *Disk
	inode  *inode
	name   string // as it was opened
	write  bool
	closed bool
}

var _ env.File = (*file)(nil)

var (
	errNotWritable = fmt.Errorf("opened for reading: %w", fs.ErrPermission)
	errTooLarge    = errors.New("file too large")
)

// usable tells why nothing can be done with the handle.
func (f *file) usable(write bool) error {
	switch {
	case f.closed:
		return fs.ErrClosed
	case f.disk.gone:
		return f.disk.fails(errGone)
	case f.disk.frozen:
		return errStill
	case write && !f.write:
		return errNotWritable
	case write && f.disk.readOnly:
		return f.disk.fails(env.ErrReadOnly)
	}
	return nil
}

func (f *file) wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s: %w", op, f.name, err)
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	f.fs.enter(func(f Faults) Delay { return f.Read })
	defer f.fs.locked()()
	d := f.disk
	faults, err := d.faults.of(f.name), f.usable(false)
	switch {
	case err != nil:
	case off < 0:
		err = fs.ErrInvalid
	case faults.ReadError.happens(d.rand), d.marred(f.inode, off, off+int64(len(p))):
		err = d.fails(env.ErrIO)
	}
	if err != nil {
		return 0, f.wrap("read", err)
	}
	if size := f.inode.shown.size; size > off && len(p) > 0 && faults.BitRot.happens(d.rand) {
		at := off + d.rand.Int64N(min(int64(len(p)), size-off))
		d.corrupt(f.inode, at, 1<<d.rand.IntN(8))
	}
	n := f.inode.shown.read(p, off)
	f.astray(faults, p[:n], off)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	f.fs.enter(func(f Faults) Delay { return f.Write })
	defer f.fs.locked()()
	n, err := f.writeAt(p, off)
	f.disk.did(Op{Kind: "write", Name: f.name, Off: off, Len: int64(n), Err: err}, p[:n])
	return n, f.wrap("write", err)
}

func (f *file) writeAt(p []byte, off int64) (int, error) {
	if err := f.usable(true); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, fs.ErrInvalid
	}
	if off+int64(len(p)) > maxFileSize {
		return 0, errTooLarge
	}
	d := f.disk
	faults := d.faults.of(f.name)
	var fault error
	switch {
	case faults.WriteError.happens(d.rand):
		fault = d.fails(env.ErrIO)
	case faults.NoSpace.happens(d.rand):
		fault = d.fails(env.ErrNoSpace)
	}
	if fault != nil && len(p) > 0 {
		p = p[:d.rand.IntN(len(p))]
	}
	if fits := d.fitting(f.inode, p, off); len(fits) < len(p) {
		p, fault = fits, d.fails(env.ErrNoSpace)
	}
	at := off
	if len(p) > 0 && faults.WrongSpot.happens(d.rand) {
		at += sectorSize * (1 + d.rand.Int64N(8))
		d.harm.Misplaced++
	}
	d.put(f.inode, p, at)
	return len(p), fault
}

// fitting is the beginning of p that there is room for.
func (d *Disk) fitting(n *inode, p []byte, off int64) []byte {
	free := d.free()
	if free < 0 || int64(n.shown.holes(off, off+int64(len(p)))) <= free {
		return p
	}
	end := off
	for end < off+int64(len(p)) {
		next := end - end%pageSize + pageSize
		if n.shown.holes(end, next) == 1 {
			if free == 0 {
				break
			}
			free--
		}
		end = next
	}
	return p[:min(int64(len(p)), end-off)]
}

// put writes bytes that there is room for.
func (d *Disk) put(n *inode, p []byte, off int64) {
	if len(p) == 0 {
		return
	}
	n.renewed(off, off+int64(len(p)))
	c := written(d.nextSeq(), p, off)
	d.used += int64(c.write(&n.shown))
	n.pending = append(n.pending, c)
	d.grow(n, off+int64(len(p)))
}

// grow makes the file at least size long. After a crash the bytes may be
// there without the size, and the size without the bytes.
func (d *Disk) grow(n *inode, size int64) {
	if size > n.shown.size {
		n.shown.size = size
		n.pending = append(n.pending, change{kind: changeGrow, seq: d.nextSeq(), size: size})
	}
}

// cut truncates to a size below the present one.
func (d *Disk) cut(n *inode, size int64) {
	d.used -= int64(n.shown.truncate(size))
	n.pending = append(n.pending, change{kind: changeCut, seq: d.nextSeq(), size: size})
}

func (f *file) Truncate(size int64) error {
	f.fs.enter(func(f Faults) Delay { return f.Write })
	defer f.fs.locked()()
	err := f.usable(true)
	switch {
	case err != nil:
	case size < 0:
		err = fs.ErrInvalid
	case size > maxFileSize:
		err = errTooLarge
	case size < f.inode.shown.size:
		f.disk.cut(f.inode, size)
	default:
		f.disk.grow(f.inode, size)
	}
	f.disk.did(Op{Kind: "truncate", Name: f.name, Len: size, Err: err}, nil)
	return f.wrap("truncate", err)
}

func (f *file) Allocate(off, n int64) error {
	f.fs.enter(func(f Faults) Delay { return f.Write })
	defer f.fs.locked()()
	err := f.allocate(off, n)
	f.disk.did(Op{Kind: "allocate", Name: f.name, Off: off, Len: n, Err: err}, nil)
	return f.wrap("allocate", err)
}

func (f *file) allocate(off, n int64) error {
	if err := f.usable(true); err != nil {
		return err
	}
	if off < 0 || n <= 0 {
		return fs.ErrInvalid
	}
	if n > maxFileSize-off {
		return errTooLarge
	}
	d, end := f.disk, off+n
	if free := d.free(); d.faults.of(f.name).NoSpace.happens(d.rand) || free >= 0 && int64(f.inode.shown.holes(off, end)) > free {
		return d.fails(env.ErrNoSpace)
	}
	d.used += int64(f.inode.shown.reserve(off, end))
	f.inode.pending = append(f.inode.pending, change{kind: changeReserve, seq: d.nextSeq(), off: off, size: end})
	d.grow(f.inode, end)
	return nil
}

// Sync takes its time half before and half after its effect, so that a process
// can be killed on either side. What is written meanwhile is not made durable.
func (f *file) Sync(mode env.SyncMode) error {
	f.fs.enter(halfSync)
	err := f.syncNow()
	f.fs.sleep(halfSync)
	return f.wrap("sync", err)
}

func halfSync(f Faults) Delay {
	d := f.Sync
	d.Base, d.Jitter, d.Stall = d.Base/2, d.Jitter/2, d.Stall/2
	return d
}

func (f *file) syncNow() error {
	defer f.fs.locked()()
	err := f.usable(false)
	if err == nil && f.disk.readOnly {
		err = f.disk.fails(env.ErrReadOnly)
	}
	if err == nil {
		err = f.disk.sync(f.inode, f.disk.faults.of(f.name))
	}
	f.disk.did(Op{Kind: "sync", Name: f.name, Err: err}, nil)
	return err
}

// sync makes the pending changes of a file durable, or loses them. A failed
// one leaves what it lost in the cache, where it looks well until a crash
// (what Linux does: the pages are marked clean).
func (d *Disk) sync(n *inode, faults *Faults) error {
	failed := n.failSync || faults.SyncError.happens(d.rand)
	n.failSync = false
	for i := range n.pending {
		c := &n.pending[i]
		if failed && d.rand.IntN(2) == 0 {
			continue // part of it may have reached the device
		}
		if c.kind == changeBytes && !failed && faults.LostWrite.happens(d.rand) {
			d.lose(n, c)
			continue
		}
		c.apply(&n.durable)
	}
	clear(n.pending)
	n.pending = n.pending[:0]
	if failed {
		return d.fails(env.ErrIO)
	}
	return nil
}

// lose forgets a write that the device said it took: the cache is dropped too,
// so that reads find what was there before.
func (d *Disk) lose(n *inode, c *change) {
	before := make([]byte, c.len())
	n.durable.read(before, c.off)
	d.used += int64(n.shown.write(before, c.off))
}

func (f *file) Size() (int64, error) {
	f.fs.enter(func(Faults) Delay { return Delay{} })
	defer f.fs.locked()()
	if err := f.usable(false); err != nil {
		return 0, f.wrap("stat", err)
	}
	return f.inode.shown.size, nil
}

func (f *file) Close() error {
	f.fs.enter(func(Faults) Delay { return Delay{} })
	defer f.fs.locked()()
	if f.closed {
		return f.wrap("close", fs.ErrClosed)
	}
	f.closed = true
	f.inode.handles--
	f.disk.release(f.inode)
	return nil
}
