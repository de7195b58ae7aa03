// Package fusemount mounts a file tree where a server can use it, through
// FUSE.
//
// A request is carried out on the goroutine that read it from the kernel, the
// wait of a flush for the quorum included: a hand-over between goroutines
// costs more than the request. Requests are never interrupted, whatever
// signals the asking process gets: a server that reads EINTR from a flush
// panics.
//
// The process that serves a mount must never touch it, by any path: a thread
// that waits for itself in the kernel cannot even be killed. Start at [New].
package fusemount

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"xenon/compute/vfs"
	"xenon/core/xsync"
	"xenon/realio/warden"
)

// SourcePrefix begins the source name of every mount made here, as
// /proc/self/mountinfo shows it.
const SourcePrefix = "xenon:"

// maxWrite is the longest READ or WRITE, the most that Linux allows by
// default.
const maxWrite = 1 << 20

// maxBackground is how many asynchronous requests the kernel sends at once:
// reads ahead, and those of io_uring.
const maxBackground = 64

// Options say where and how a tree is mounted.
type Options struct {
	// Path is an existing empty directory; its parents can be reached by the
	// server's user.
	Path string
	// ID is in the mount's source name, SourcePrefix and ID, so that what a
	// killed process leaves can be found. It has no commas or blanks.
	ID string
	// UID and GID own every file.
	UID, GID uint32
	// Sync passes flushes on to the tree. Without, the kernel answers them
	// itself after it asked once.
	Sync bool
	Log  *slog.Logger
}

// A Mount is a mounted tree.
type Mount struct {
	opt    Options
	server *fuse.Server
	fs     *rawFS
	cancel context.CancelCauseFunc
	answer sync.Once
	served chan struct{}
	once   sync.Once
	err    error // of the unmount
}

// New mounts tree at opt.Path and serves it until Unmount. ctx is what the
// tree's waits end with.
func New(ctx context.Context, tree vfs.Tree, opt Options) (*Mount, error) {
	m, err := Attach(opt)
	if err != nil {
		return nil, err
	}
	m.Serve(ctx, tree)
	return m, nil
}

// Attach mounts what is to be served later: until Serve, or the end of the
// mount, whoever asks for anything there waits, and can be killed.
func Attach(opt Options) (*Mount, error) {
	if opt.ID == "" || strings.ContainsAny(opt.ID, ", \t\n\\") {
		return nil, fmt.Errorf("mount %s: the name %q cannot be part of a mount's source", opt.Path, opt.ID)
	}
	if opt.Log == nil {
		opt.Log = slog.Default()
	}
	m := &Mount{opt: opt, cancel: func(error) {}, served: make(chan struct{})}
	m.fs = &rawFS{RawFileSystem: fuse.NewDefaultRawFileSystem(), opt: opt, dirs: map[uint64]*openDir{}}
	if err := m.start(); err != nil {
		return nil, err
	}
	return m, nil
}

func (m *Mount) start() error {
	target, err := m.attach()
	if err != nil {
		return err
	}
	m.server, err = fuse.NewServer(m.fs, target, m.options())
	if err != nil {
		_ = warden.Unmount(m.opt.Path)
		return fmt.Errorf("mount %s: %w", m.opt.Path, err)
	}
	return nil
}

// Serve begins to answer from tree, whose waits end with ctx. Only the first
// call counts, and none after a Fence.
func (m *Mount) Serve(ctx context.Context, tree vfs.Tree) {
	m.answer.Do(func() {
		m.fs.ctx, m.cancel = xsync.WithCancel(ctx)
		m.fs.tree = tree
		m.serve()
	})
}

func (m *Mount) serve() {
	go func() {
		defer close(m.served)
		m.server.Serve()
	}()
}

// options are what both ways of mounting share.
func (m *Mount) options() *fuse.MountOptions {
	o := &fuse.MountOptions{
		FsName: SourcePrefix + m.opt.ID, Name: "xenon",
		MaxWrite: maxWrite, MaxBackground: maxBackground,
		// What a tree answers is in memory: there is no file to splice from. Trying
		// costs a pipe for every read, and a line in the log for a long one.
		DisableSplice: true,
		Logger:        slog.NewLogLogger(m.opt.Log.Handler(), slog.LevelWarn),
		// A listing would look up every file.
		DisableReadDirPlus: true,
		DisableXAttrs:      true,
		// The kernel checks owner and mode, as on any file system.
		Options: []string{"default_permissions"},
		// A broken invariant ends the process, as everywhere.
		PanicHandler: func(v any) fuse.Status { panic(v) },
	}
	o.AllowOther = m.others()
	return o
}

// others tells whether the server runs as another user than we do. The kernel
// lets nobody else in by itself.
func (m *Mount) others() bool { return int(m.opt.UID) != os.Geteuid() }

// attach mounts with mount(2) if we may, and returns what go-fuse is to open:
// the descriptor made here, or the path, for which it asks fusermount3. The
// descriptor is opened here because one that a server inherits keeps a dead
// mount alive.
func (m *Mount) attach() (string, error) {
	if os.Geteuid() != 0 {
		if _, err := exec.LookPath("fusermount3"); err != nil {
			return "", fmt.Errorf("mount %s: needs root with CAP_SYS_ADMIN, or fusermount3 (install the package fuse3)", m.opt.Path)
		}
		// fusermount3 says it on a terminal nobody looks at.
		if err := unix.Access("/dev/fuse", unix.R_OK|unix.W_OK); err != nil {
			return "", fmt.Errorf("mount %s: open /dev/fuse: %w (chmod 666 /dev/fuse, or run as root)", m.opt.Path, err)
		}
		return m.opt.Path, nil
	}
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("mount %s: open /dev/fuse: %w (in a container: --device /dev/fuse)", m.opt.Path, err)
	}
	data := fmt.Sprintf("fd=%d,rootmode=40000,user_id=%d,group_id=%d,max_read=%d,default_permissions", fd, os.Geteuid(), os.Getegid(), maxWrite)
	if m.others() {
		data += ",allow_other"
	}
	err = unix.Mount(SourcePrefix+m.opt.ID, m.opt.Path, "fuse.xenon", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOATIME, data)
	if err != nil {
		unix.Close(fd)
		return "", fmt.Errorf("mount %s: %w (needs CAP_SYS_ADMIN; in a container: --cap-add SYS_ADMIN)", m.opt.Path, err)
	}
	return fmt.Sprintf("/dev/fd/%d", fd), nil
}

// Fence makes every waiting and later request fail with EIO, for ever. The
// mount stays, so that whoever uses it can be killed in peace.
func (m *Mount) Fence(cause error) {
	m.fs.fenced.Store(true)
	// Whoever waits for a tree gets EIO, and so the mount can end.
	m.answer.Do(m.serve)
	m.cancel(cause)
}

// Unmount fences the mount and takes it away, also if something still uses it;
// one that is gone already is fine.
// Nothing is served any more when it returns, except EIO to what still has a
// file open.
func (m *Mount) Unmount() error {
	m.once.Do(func() {
		m.Fence(errors.New("unmounted"))
		if os.Geteuid() == 0 {
			m.err = unix.Unmount(m.opt.Path, 0)
		} else {
			m.err = exec.Command("fusermount3", "-u", "-q", m.opt.Path).Run()
		}
		if m.err == nil {
			<-m.served
			return
		}
		if !warden.Mounts(m.opt.Path) {
			m.err = nil // the warden was first
			return
		}
		m.opt.Log.Warn("mount is busy and is detached", "path", m.opt.Path, "error", m.err)
		m.err = warden.Unmount(m.opt.Path)
	})
	return m.err
}

// fence is whether a mount answers EIO to everything.
type fence struct{ fenced atomic.Bool }
