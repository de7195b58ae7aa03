package fusemount_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"xenon/compute/filetree"
	"xenon/core"
	"xenon/core/pageserver/bootset"
	"xenon/core/wal"
	"xenon/internal/pgtest"
)

func needFUSE(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("/dev/fuse"); err != nil {
		pgtest.Skip(t, "/dev/fuse (in a container: --device /dev/fuse --cap-add SYS_ADMIN)", err)
	}
	if os.Geteuid() != 0 {
		_, err := exec.LookPath("fusermount3")
		if err := errors.Join(err, unix.Access("/dev/fuse", unix.R_OK|unix.W_OK)); err != nil {
			pgtest.Skip(t, "root, or fusermount3 and a /dev/fuse that all may open", err)
		}
	}
}

// A postgres is the installed PostgreSQL.
type postgres struct{ pgtest.Postgres }

func needPostgres(t *testing.T) postgres {
	t.Helper()
	return postgres{pgtest.Need(t)}
}

// command runs a program of PostgreSQL as its user, as long as this process
// lives.
func (p postgres) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	c := p.Command(ctx, name, args...)
	c.SysProcAttr.Pdeathsig = syscall.SIGKILL
	return c
}

func (p postgres) run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := p.command(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// A stopped is a data directory that a server was cleanly stopped on; it
// stands in for a pageserver.
type stopped struct {
	t    *testing.T
	path string
	ctl  *wal.Control
	tail wal.Tail

	mu    sync.Mutex
	pages int // read so far
}

// initdb makes a cluster, runs a script on it, and stops it.
func (p postgres) initdb(t *testing.T, script string) *stopped {
	t.Helper()
	dir := p.Dir()
	data := filepath.Join(dir, "data")
	p.run(t, "initdb", "-D", data, "-E", "UTF8", "--locale=C.UTF-8", "-A", "trust", "-U", "postgres", "--no-sync", "--wal-segsize=1")
	p.run(t, "pg_ctl", "-D", data, "-w", "-l", filepath.Join(dir, "log"), "-o", "-c listen_addresses= -c fsync=off -k "+dir, "start")
	psql := p.command(t.Context(), "psql", "-h", dir, "-U", "postgres", "-v", "ON_ERROR_STOP=1", "-q")
	psql.Stdin = strings.NewReader(script)
	out, err := psql.CombinedOutput()
	p.run(t, "pg_ctl", "-D", data, "-w", "-m", "fast", "stop")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return openStopped(t, data)
}

func openStopped(t *testing.T, path string) *stopped {
	t.Helper()
	s := &stopped{t: t, path: path}
	b, err := os.ReadFile(filepath.Join(path, "global/pg_control"))
	if err != nil {
		t.Fatal(err)
	}
	if s.ctl, err = wal.DecodeControl(b); err != nil {
		t.Fatal(err)
	}
	f := s.ctl.Format()
	s.tail, err = wal.FindEnd(f, s.readWAL, s.ctl.CheckPointLSN, 0)
	if err != nil || s.tail.Records != 1 {
		t.Fatalf("end of WAL: %+v, %v", s.tail, err)
	}
	return s
}

func (s *stopped) readWAL(p []byte, at core.LSN) (int, error) {
	size := s.ctl.SegmentSize
	f, err := os.Open(filepath.Join(s.path, "pg_wal", core.SegmentName(1, at.Segment(size), size)))
	if err != nil {
		return 0, nil
	}
	defer f.Close()
	return f.ReadAt(p, int64(at.SegmentOffset(size)))
}

// set is what a server boots with.
func (s *stopped) set() *bootset.Set {
	set := &bootset.Set{
		LSN: s.tail.End, Prev: s.tail.Last, SystemID: s.ctl.SystemID, Major: 15, SegmentSize: s.ctl.SegmentSize,
		Control: s.ctl.Encode(),
	}
	for _, pattern := range []string{"PG_VERSION", "base/*/PG_VERSION", "base/*/pg_filenode.map", "global/pg_filenode.map"} {
		paths, _ := filepath.Glob(filepath.Join(s.path, pattern))
		for _, path := range paths {
			b, err := os.ReadFile(path)
			if err != nil {
				s.t.Fatal(err)
			}
			rel, _ := filepath.Rel(s.path, path)
			set.Files = append(set.Files, bootset.File{Path: rel, Content: b})
		}
	}
	dbs, _ := os.ReadDir(filepath.Join(s.path, "base"))
	for _, d := range dbs {
		oid, err := strconv.ParseUint(d.Name(), 10, 32)
		if err == nil {
			set.Databases = append(set.Databases, bootset.Database{Spc: core.DefaultTablespace, DB: core.OID(oid)})
		}
	}
	for _, u := range []core.SLRU{core.Clog, core.MultiXactMembers, core.MultiXactOffsets} {
		files, _ := os.ReadDir(filepath.Join(s.path, u.Dir()))
		for _, f := range files {
			seg, err := strconv.ParseUint(f.Name(), 16, 32)
			info, err2 := f.Info()
			if err == nil && err2 == nil {
				set.SLRUs = append(set.SLRUs, bootset.Segment{SLRU: u, Segment: uint32(seg), Blocks: uint32(info.Size() / core.PageSize)})
			}
		}
	}
	return set
}

func (s *stopped) dirOf(d bootset.Database) string {
	if d.Spc == core.GlobalTablespace {
		return filepath.Join(s.path, "global")
	}
	return filepath.Join(s.path, "base", fmt.Sprint(d.DB))
}

// Relations lists a directory. As a timeline would, it has no free space maps,
// and of an unlogged relation the init fork alone.
func (s *stopped) Relations(_ context.Context, d bootset.Database) ([]bootset.Relation, error) {
	files, err := os.ReadDir(s.dirOf(d))
	if err != nil {
		return nil, err
	}
	blocks := map[core.Rel]uint32{}
	for _, f := range files {
		rf, ok := filetree.ParseRelFile(f.Name())
		info, err := f.Info()
		if ok && err == nil && rf.Fork != core.FSMFork {
			blocks[core.Rel{Spc: d.Spc, DB: d.DB, Node: rf.Node, Fork: rf.Fork}] += uint32(info.Size() / core.PageSize)
		}
	}
	var rels []bootset.Relation
	for r, n := range blocks {
		init := r
		init.Fork = core.InitFork
		if _, unlogged := blocks[init]; unlogged && r != init {
			continue
		}
		rels = append(rels, bootset.Relation{Rel: r, Blocks: n})
	}
	slices.SortFunc(rels, func(a, b bootset.Relation) int { return core.BlockKey(a.Rel, 0).Compare(core.BlockKey(b.Rel, 0)) })
	return rels, nil
}

// ReadPages reads pages of the first file of a fork.
func (s *stopped) ReadPages(_ context.Context, r core.Rel, first uint32, dst []byte) error {
	s.mu.Lock()
	s.pages += len(dst) / core.PageSize
	s.mu.Unlock()
	name := filetree.RelFile{Node: r.Node, Fork: r.Fork}.String()
	f, err := os.Open(filepath.Join(s.dirOf(bootset.Database{Spc: r.Spc, DB: r.DB}), name))
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.ReadAt(dst, int64(first)*core.PageSize)
	return err
}

// SLRUSegment reads a whole file.
func (s *stopped) SLRUSegment(_ context.Context, u core.SLRU, seg uint32) ([]byte, error) {
	return os.ReadFile(filepath.Join(s.path, u.Dir(), fmt.Sprintf("%04X", seg)))
}

// A quorum keeps the WAL it is offered, and commits it unless it is held.
type quorum struct {
	mu      sync.Mutex
	cond    *sync.Cond
	begin   core.LSN
	log     bytes.Buffer
	held    bool
	fenced  bool
	commit  core.LSN
	waiting int
}

func newQuorum(at core.LSN) *quorum {
	q := &quorum{begin: at, commit: at}
	q.cond = sync.NewCond(&q.mu)
	return q
}

func (q *quorum) end() core.LSN { return q.begin + core.LSN(q.log.Len()) }

func (q *quorum) Offer(begin core.LSN, wal []byte) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.fenced {
		return fs.ErrClosed
	}
	if begin != q.end() {
		return fmt.Errorf("offered %s, want %s", begin, q.end())
	}
	q.log.Write(wal)
	q.settle()
	return nil
}

func (q *quorum) settle() {
	if !q.held {
		q.commit = q.end()
	}
	q.cond.Broadcast()
}

// hold keeps WAL from being committed until it is called with false.
func (q *quorum) hold(on bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.held = on
	q.settle()
}

func (q *quorum) fence() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.fenced = true
	q.cond.Broadcast()
}

// awaitWaiting returns once a flush waits.
func (q *quorum) awaitWaiting() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.waiting == 0 {
		q.cond.Wait()
	}
}

func (q *quorum) Committed() core.LSN {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.commit
}

func (q *quorum) AwaitCommit(_ context.Context, lsn core.LSN) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting++
	q.cond.Broadcast()
	defer func() { q.waiting-- }()
	for q.commit < lsn && !q.fenced {
		q.cond.Wait()
	}
	if q.fenced {
		return fs.ErrClosed
	}
	return nil
}
