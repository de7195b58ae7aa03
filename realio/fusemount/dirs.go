package fusemount

import (
	"github.com/hanwen/go-fuse/v2/fuse"

	"xenon/compute/vfs"
)

func (r *rawFS) Mkdir(_ <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	if r.down() {
		return fuse.EIO
	}
	at, err := r.tree.Mkdir(r.ctx, vfs.NodeID(in.NodeId), name, in.Mode)
	return r.entry(at, err, out)
}

func (r *rawFS) Unlink(_ <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	if r.down() {
		return fuse.EIO
	}
	return r.status(r.tree.Unlink(r.ctx, vfs.NodeID(h.NodeId), name))
}

func (r *rawFS) Rmdir(_ <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	if r.down() {
		return fuse.EIO
	}
	return r.status(r.tree.Rmdir(r.ctx, vfs.NodeID(h.NodeId), name))
}

func (r *rawFS) Rename(_ <-chan struct{}, in *fuse.RenameIn, oldName, newName string) fuse.Status {
	if r.down() {
		return fuse.EIO
	}
	if in.Flags != 0 {
		return fuse.EINVAL // exchange and no-replace: no server asks for them
	}
	return r.status(r.tree.Rename(r.ctx, vfs.NodeID(in.NodeId), oldName, vfs.NodeID(in.Newdir), newName))
}

func (r *rawFS) Link(_ <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	if r.down() {
		return fuse.EIO
	}
	at, err := r.tree.Link(r.ctx, vfs.NodeID(in.Oldnodeid), vfs.NodeID(in.NodeId), name)
	return r.entry(at, err, out)
}

func (r *rawFS) Symlink(_ <-chan struct{}, h *fuse.InHeader, target, name string, out *fuse.EntryOut) fuse.Status {
	if r.down() {
		return fuse.EIO
	}
	at, err := r.tree.Symlink(r.ctx, vfs.NodeID(h.NodeId), name, target)
	return r.entry(at, err, out)
}

func (r *rawFS) Readlink(_ <-chan struct{}, h *fuse.InHeader) ([]byte, fuse.Status) {
	if r.down() {
		return nil, fuse.EIO
	}
	target, err := r.tree.Readlink(r.ctx, vfs.NodeID(h.NodeId))
	return []byte(target), r.status(err)
}

func (r *rawFS) OpenDir(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	if r.down() {
		return fuse.EIO
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lastFH++
	r.dirs[r.lastFH] = &openDir{}
	out.Fh = r.lastFH
	return fuse.OK
}

func (r *rawFS) ReleaseDir(in *fuse.ReleaseIn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.dirs, in.Fh)
}

// ReadDir lists a directory. Offsets count entries of one listing, made when
// it is read from its beginning: names that come and go meanwhile do not make
// others appear twice or not at all.
func (r *rawFS) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	if r.down() {
		return fuse.EIO
	}
	r.mu.Lock()
	d := r.dirs[in.Fh]
	r.mu.Unlock()
	if d == nil {
		return fuse.EBADF
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if in.Offset == 0 {
		list, err := r.tree.Readdir(r.ctx, vfs.NodeID(in.NodeId))
		if st := r.status(err); st != fuse.OK {
			return st
		}
		self := vfs.DirEntry{Name: ".", Kind: vfs.Directory, Node: vfs.NodeID(in.NodeId)}
		d.list = append([]vfs.DirEntry{self, {Name: "..", Kind: vfs.Directory}}, list...)
	}
	for i := in.Offset; i < uint64(len(d.list)); i++ {
		e := d.list[i]
		if !out.AddDirEntry(fuse.DirEntry{Name: e.Name, Mode: typeBits(e.Kind), Ino: uint64(e.Node), Off: i + 1}) {
			break
		}
	}
	return fuse.OK
}

var _ fuse.RawFileSystem = (*rawFS)(nil)
