package e2e_test

import (
	"context"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// A faultyDisk lies under a directory and can be told to fail.
type faultyDisk struct {
	noReads, noWrites, noSyncs, full atomic.Bool
	failed                           atomic.Int64 // requests
}

// fail is the error that a request gets which is in for one.
func (d *faultyDisk) fail(on *atomic.Bool, no syscall.Errno) syscall.Errno {
	if !on.Load() {
		return 0
	}
	d.failed.Add(1)
	return no
}

// mend ends every fault.
func (d *faultyDisk) mend() {
	for _, on := range []*atomic.Bool{&d.noReads, &d.noWrites, &d.noSyncs, &d.full} {
		on.Store(false)
	}
}

// faulty puts a faulty disk under dir, which nobody uses yet.
func faulty(t *testing.T, dir string) *faultyDisk {
	t.Helper()
	below := dir + ".disk"
	if err := os.Rename(dir, below); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	d := &faultyDisk{}
	root := &fs.LoopbackRoot{Path: below, NewNode: func(r *fs.LoopbackRoot, _ *fs.Inode, _ string, _ *syscall.Stat_t) fs.InodeEmbedder {
		return &faultyNode{fs.LoopbackNode{RootData: r}, d}
	}}
	server, err := fs.Mount(dir, root.NewNode(root, nil, "", nil), &fs.Options{MountOptions: fuse.MountOptions{
		FsName: "xenon-faulty-disk", DirectMount: true, DisableXAttrs: true,
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if server.Unmount() != nil {
			exec.Command("umount", "-l", dir).Run()
		}
	})
	return d
}

// A faultyNode is a file or directory on a faulty disk.
type faultyNode struct {
	fs.LoopbackNode
	disk *faultyDisk
}

var (
	_ fs.NodeReader  = (*faultyNode)(nil)
	_ fs.NodeWriter  = (*faultyNode)(nil)
	_ fs.NodeFsyncer = (*faultyNode)(nil)
)

func (n *faultyNode) Read(ctx context.Context, f fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	if no := n.disk.fail(&n.disk.noReads, syscall.EIO); no != 0 {
		return nil, no
	}
	return f.(fs.FileReader).Read(ctx, dest, off)
}

func (n *faultyNode) Write(ctx context.Context, f fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	if no := n.disk.fail(&n.disk.noWrites, syscall.EIO); no != 0 {
		return 0, no
	}
	if no := n.disk.fail(&n.disk.full, syscall.ENOSPC); no != 0 {
		return 0, no
	}
	return f.(fs.FileWriter).Write(ctx, data, off)
}

func (n *faultyNode) Fsync(ctx context.Context, f fs.FileHandle, flags uint32) syscall.Errno {
	if no := n.disk.fail(&n.disk.noSyncs, syscall.EIO); no != 0 {
		return no
	}
	if file, ok := f.(fs.FileFsyncer); ok {
		return file.Fsync(ctx, flags)
	}
	return 0
}
