package host

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"xenon/compute"
	"xenon/compute/names"
	"xenon/compute/overlay"
	"xenon/internal/pgtest"
	"xenon/realio"
	"xenon/realio/fusemount"
	"xenon/realio/warden"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == warden.Arg {
		os.Exit(warden.Main())
	}
	os.Exit(m.Run())
}

// A stage is a host whose server prints its version file and its last setting,
// and ends.
type stage struct {
	*testing.T
	e   *realio.Env
	h   *Host
	id  string
	log string
}

func newStage(t *testing.T) *stage {
	if err := unix.Access("/dev/fuse", unix.R_OK|unix.W_OK); err != nil {
		pgtest.Skip(t, "/dev/fuse (in a container: --device /dev/fuse --cap-add SYS_ADMIN)", err)
	}
	if _, err := exec.LookPath("fusermount3"); err != nil && os.Geteuid() != 0 {
		pgtest.Skip(t, "root, or fusermount3", err)
	}
	dir := t.TempDir()
	s := &stage{T: t, e: realio.New(realio.Options{Root: dir}), id: fmt.Sprintf("test%d/%s/", os.Getpid(), t.Name()), log: filepath.Join(dir, "log")}
	t.Cleanup(func() { s.e.Close() })
	program := filepath.Join(dir, "server")
	script := "#!/bin/sh\ncat \"$2/PG_VERSION\"\nfor last; do :; done\necho \"$last\"\n"
	if err := os.WriteFile(program, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(s.log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s.h, err = New(s.e, Options{
		ID: s.id, Dir: filepath.Join(dir, "run"), Exe: exe, Postgres: program, Env: os.Environ(),
		UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()), Port: 5432, Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *stage) launch(settings ...compute.Setting) compute.Launch {
	s.Helper()
	scratch, err := overlay.NewScratch(s.e, "scratch", 4)
	if err != nil {
		s.Fatal(err)
	}
	tree := names.New(s.e, scratch)
	if err := tree.MakeFile(s.e.Context(), tree.Root(), "PG_VERSION", []byte("fifteen\n")); err != nil {
		s.Fatal(err)
	}
	return compute.Launch{Data: tree, WAL: names.New(s.e, scratch), Settings: settings}
}

// run starts a server to its end and returns what it printed.
func (s *stage) run(l compute.Launch) string {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.e.Context(), time.Minute)
	defer cancel()
	server, err := s.h.Start(ctx, l)
	if err != nil {
		s.Fatal(err)
	}
	if exit, err := server.AwaitExit(ctx); err != nil || !exit.Clean {
		s.Errorf("%+v, %v", exit, err)
	}
	server.End()
	return s.printed()
}

func (s *stage) printed() string {
	s.Helper()
	b, err := os.ReadFile(s.log)
	if err != nil {
		s.Fatal(err)
	}
	return string(b)
}

// nothingLeft checks that no server is there any more.
func (s *stage) nothingLeft() {
	s.Helper()
	points, err := warden.Mounted(fusemount.SourcePrefix + s.id)
	left, _ := filepath.Glob(filepath.Join(s.h.opts.Dir, "*"))
	if err != nil || len(points) > 0 || len(left) > 0 {
		s.Errorf("left: mounts %q, files %q, %v", points, left, err)
	}
}

// TestPrewarm: a server that was started in advance waits for its directories,
// and is the one that a launch with its settings gets.
func TestPrewarm(t *testing.T) {
	s := newStage(t)
	want := compute.Setting{Name: "a", Value: "1"}
	s.h.Prewarm([]compute.Setting{want})
	warm := s.h.take()
	if warm == nil {
		t.Fatal("no server in advance: ", s.printed())
	}
	s.h.warm = make(chan *Server, 1)
	s.h.warm <- warm
	time.Sleep(20 * time.Millisecond) // enough for a server that does not wait
	if got := s.printed(); got != "" || warm.exit.Get() != nil {
		t.Errorf("printed %q before it had a directory", got)
	}
	if got := s.run(s.launch(want)); got != "fifteen\na=1\n" || s.h.runs != 1 {
		t.Errorf("%d servers printed %q", s.h.runs, got)
	}
	s.nothingLeft()
}

// TestPrewarmedForAnother: a launch that differs gets a server of its own, and
// the one in advance ends; so does one that nobody starts.
func TestPrewarmedForAnother(t *testing.T) {
	s := newStage(t)
	s.h.Prewarm([]compute.Setting{{Name: "a", Value: "1"}})
	if got := s.run(s.launch(compute.Setting{Name: "a", Value: "2"})); !strings.HasSuffix(got, "fifteen\na=2\n") || s.h.runs != 2 {
		t.Errorf("%d servers printed %q", s.h.runs, got)
	}
	s.nothingLeft()
	s.h.Prewarm(nil)
	s.h.Close()
	s.nothingLeft()
	s.h.Close()
}
