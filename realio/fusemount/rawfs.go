package fusemount

import (
	"context"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"xenon/compute/vfs"
)

// forever is how long the kernel may believe names and attributes: nobody but
// the server behind it changes them.
const forever = time.Hour

// rawFS translates the kernel's requests. The cancel channels are ignored on
// purpose: a request ends when it is done, or when the mount does.
type rawFS struct {
	fuse.RawFileSystem // answers ENOSYS
	fence
	tree vfs.Tree
	ctx  context.Context
	opt  Options

	mu     sync.Mutex
	dirs   map[uint64]*openDir
	lastFH uint64
}

// An openDir is a listing as it was when it was last read from its beginning.
type openDir struct {
	mu   sync.Mutex
	list []vfs.DirEntry
}

func (r *rawFS) String() string { return "xenon" }

// status is what the kernel is told. After the fence it is EIO whatever
// happened.
func (r *rawFS) status(err error) fuse.Status {
	if r.fenced.Load() {
		return fuse.EIO
	}
	if err == nil {
		return fuse.OK
	}
	no := vfs.ErrnoOf(err)
	if no == vfs.EIO {
		r.opt.Log.Error("request of the server failed", "mount", r.opt.ID, "error", err)
	}
	return fuse.Status(no)
}

// down tells whether the mount is fenced. A request that came after the fence
// does not even reach the tree.
func (r *rawFS) down() bool { return r.fenced.Load() }

func (r *rawFS) fill(at vfs.Attr, out *fuse.Attr) {
	out.Ino, out.Size = uint64(at.Node), uint64(at.Size)
	out.Blocks = (out.Size + 511) / 512
	out.Blksize = 8192
	out.Nlink = at.Links
	out.Uid, out.Gid = r.opt.UID, r.opt.GID
	out.SetTimes(&at.Mtime, &at.Mtime, &at.Mtime)
	out.Mode = at.Mode | typeBits(at.Kind)
}

func typeBits(k vfs.Kind) uint32 {
	switch k {
	case vfs.Directory:
		return syscall.S_IFDIR
	case vfs.Symlink:
		return syscall.S_IFLNK
	}
	return syscall.S_IFREG
}

func (r *rawFS) entry(at vfs.Attr, err error, out *fuse.EntryOut) fuse.Status {
	if st := r.status(err); st != fuse.OK {
		return st
	}
	out.NodeId, out.Generation = uint64(at.Node), 0
	r.fill(at, &out.Attr)
	out.SetEntryTimeout(forever)
	out.SetAttrTimeout(forever)
	return fuse.OK
}

func (r *rawFS) Lookup(_ <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	if r.down() {
		return fuse.EIO
	}
	at, err := r.tree.Lookup(r.ctx, vfs.NodeID(h.NodeId), name)
	if err == vfs.ENOENT && !r.down() {
		// Node 0 is a name that the kernel may take for absent.
		out.NodeId = 0
		out.SetEntryTimeout(forever)
		return fuse.OK
	}
	return r.entry(at, err, out)
}

func (r *rawFS) Forget(id, n uint64) {
	if r.tree != nil { // there is none where the fence came first
		r.tree.Forget(vfs.NodeID(id), n)
	}
}

func (r *rawFS) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	if r.down() {
		return fuse.EIO
	}
	at, err := r.tree.Getattr(r.ctx, vfs.NodeID(in.NodeId))
	return r.attr(at, err, out)
}

func (r *rawFS) attr(at vfs.Attr, err error, out *fuse.AttrOut) fuse.Status {
	if st := r.status(err); st != fuse.OK {
		return st
	}
	r.fill(at, &out.Attr)
	out.SetTimeout(forever)
	return fuse.OK
}

func (r *rawFS) SetAttr(_ <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	if r.down() {
		return fuse.EIO
	}
	if uid, ok := in.GetUID(); ok && uid != r.opt.UID {
		return fuse.EPERM
	}
	if gid, ok := in.GetGID(); ok && gid != r.opt.GID {
		return fuse.EPERM
	}
	var c vfs.Change
	if size, ok := in.GetSize(); ok {
		s := int64(size)
		c.Size = &s
	}
	if mode, ok := in.GetMode(); ok {
		c.Mode = &mode
	}
	if t, ok := in.GetMTime(); ok {
		c.Mtime = &t
	}
	at, err := r.tree.Setattr(r.ctx, vfs.NodeID(in.NodeId), c)
	return r.attr(at, err, out)
}

func (r *rawFS) Create(_ <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	if r.down() {
		return fuse.EIO
	}
	at, err := r.tree.Create(r.ctx, vfs.NodeID(in.NodeId), name, openFlags(in.Flags), in.Mode)
	if st := r.entry(at, err, &out.EntryOut); st != fuse.OK {
		return st
	}
	return r.open(at.Node, 0, &out.OpenOut)
}

func openFlags(flags uint32) (f vfs.OpenFlag) {
	if flags&syscall.O_EXCL != 0 {
		f |= vfs.Excl
	}
	if flags&syscall.O_TRUNC != 0 {
		f |= vfs.Trunc
	}
	return f
}

func (r *rawFS) Open(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	if r.down() {
		return fuse.EIO
	}
	return r.open(vfs.NodeID(in.NodeId), openFlags(in.Flags)&^vfs.Excl, out)
}

// open makes every file bypass the page cache: the tree has to see each write
// when it happens, and the server's own buffers hold what is read often.
func (r *rawFS) open(id vfs.NodeID, flags vfs.OpenFlag, out *fuse.OpenOut) fuse.Status {
	mode, err := r.tree.Open(r.ctx, id, flags)
	if st := r.status(err); st != fuse.OK {
		return st
	}
	out.OpenFlags = fuse.FOPEN_DIRECT_IO | fuse.FOPEN_PARALLEL_DIRECT_WRITES
	if !mode.FlushOnClose {
		out.OpenFlags |= fuse.FOPEN_NOFLUSH
	}
	return fuse.OK
}

func (r *rawFS) Flush(_ <-chan struct{}, in *fuse.FlushIn) fuse.Status {
	if r.down() {
		return fuse.EIO
	}
	return r.status(r.tree.Flush(r.ctx, vfs.NodeID(in.NodeId)))
}

func (r *rawFS) Release(<-chan struct{}, *fuse.ReleaseIn) {}

func (r *rawFS) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	if r.down() {
		return nil, fuse.EIO
	}
	n, err := r.tree.Read(r.ctx, vfs.NodeID(in.NodeId), buf[:in.Size], int64(in.Offset))
	if st := r.status(err); st != fuse.OK {
		return nil, st
	}
	return fuse.ReadResultData(buf[:n]), fuse.OK
}

func (r *rawFS) Write(_ <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	if r.down() {
		return 0, fuse.EIO
	}
	// O_SYNC includes the bit of O_DSYNC.
	sync := in.Flags&syscall.O_DSYNC != 0
	err := r.tree.Write(r.ctx, vfs.NodeID(in.NodeId), data, int64(in.Offset), sync)
	if st := r.status(err); st != fuse.OK {
		return 0, st
	}
	return uint32(len(data)), fuse.OK
}

func (r *rawFS) Fsync(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	if r.down() {
		return fuse.EIO
	}
	if !r.opt.Sync {
		return fuse.ENOSYS // the kernel takes every later one for done
	}
	dataOnly := in.FsyncFlags&1 != 0 // FUSE_FSYNC_FDATASYNC
	return r.status(r.tree.Sync(r.ctx, vfs.NodeID(in.NodeId), dataOnly))
}

func (r *rawFS) FsyncDir(<-chan struct{}, *fuse.FsyncIn) fuse.Status { return fuse.ENOSYS }

func (r *rawFS) Fallocate(_ <-chan struct{}, in *fuse.FallocateIn) fuse.Status {
	if r.down() {
		return fuse.EIO
	}
	if in.Mode != 0 {
		return fuse.Status(vfs.EOPNOTSUPP)
	}
	return r.status(r.tree.Allocate(r.ctx, vfs.NodeID(in.NodeId), int64(in.Offset), int64(in.Length)))
}

func (r *rawFS) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	if r.down() {
		return fuse.EIO
	}
	s, err := r.tree.Statfs(r.ctx)
	if st := r.status(err); st != fuse.OK {
		return st
	}
	const block = 4096
	out.Bsize, out.Frsize, out.NameLen = block, block, 255
	out.Blocks, out.Bfree, out.Bavail = s.Total/block, s.Free/block, s.Free/block
	return fuse.OK
}
