// Package e2e_test runs the binary as a user does, with a real PostgreSQL, and
// breaks what it can break. It needs PostgreSQL 15 and /dev/fuse, and skips
// loudly without them.
package e2e_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"xenon/cmd/xenon/internal/ctl"
	"xenon/cmd/xenon/internal/pgdist"
	"xenon/core/wire"
)

// patience bounds every wait of these tests: generous, since machines of
// continuous integration may be ten times slower than a quiet one.
const patience = 120 * time.Second

// full tells whether the sizes of docs/checks.md are asked for.
func full() bool { return os.Getenv("XENON_FULL") != "" }

// sized is small, or large where full sizes are asked for.
func sized(small, large int) int {
	if full() {
		return large
	}
	return small
}

var binary struct {
	sync.Once
	path string
	err  error
}

// bin is the binary under test: $XENON_BIN, or built once.
func bin(t *testing.T) string {
	t.Helper()
	binary.Do(func() {
		if binary.path = os.Getenv("XENON_BIN"); binary.path != "" {
			return
		}
		dir, err := os.MkdirTemp("", "xenon-bin")
		if err != nil {
			binary.err = err
			return
		}
		binary.path = filepath.Join(dir, "xenon")
		out, err := exec.Command("go", "build", "-o", binary.path, "xenon/cmd/xenon").CombinedOutput()
		if err != nil {
			binary.err = fmt.Errorf("build: %w\n%s", err, out)
		}
	})
	if binary.err != nil {
		t.Fatal(binary.err)
	}
	return binary.path
}

func TestMain(m *testing.M) {
	status := m.Run()
	if os.Getenv("XENON_BIN") == "" && binary.path != "" {
		os.RemoveAll(filepath.Dir(binary.path))
	}
	os.Exit(status)
}

// needs skips the test, or fails it under XENON_NO_SKIP, where PostgreSQL or
// FUSE is missing.
func needs(t *testing.T) pgdist.Dist {
	t.Helper()
	d, err := pgdist.Find("")
	if err == nil {
		_, err = os.Stat("/dev/fuse")
	}
	if err != nil {
		if os.Getenv("XENON_NO_SKIP") != "" {
			t.Fatal(err)
		}
		t.Skipf("skipped: %v", err)
	}
	return d
}

// An installation is a directory with, maybe, a running xenon up.
type installation struct {
	t    *testing.T
	dist pgdist.Dist
	dir  string
	args []string // of up, beyond --dir and --port
	up   *exec.Cmd
	done chan error // how up ended
	url  string
	log  *bytes.Buffer

	name     string // see id
	segments map[segment]bool
}

// install makes an installation and starts it.
func install(t *testing.T, args ...string) *installation {
	t.Helper()
	in := &installation{t: t, dist: needs(t), dir: filepath.Join(workDir(t), "x"), args: args}
	in.start()
	t.Cleanup(in.destroy)
	return in
}

// workDir is a directory that PostgreSQL's user can reach.
func workDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "xenon-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// start runs up and waits until it is ready.
func (in *installation) start() {
	in.t.Helper()
	if err := in.tryStart(); err != nil {
		in.t.Fatal(err)
	}
}

func (in *installation) tryStart() error {
	ready, err := in.launch()
	if err != nil {
		return err
	}
	select {
	case in.url = <-ready:
		in.id()
		in.noteSegments()
		return nil
	case err := <-in.done:
		in.done <- err
		return fmt.Errorf("xenon up ended before it was ready: %v\n%s", err, in.log)
	case <-time.After(patience):
		in.up.Process.Kill()
		return fmt.Errorf("xenon up was not ready after %v\n%s", patience, in.log)
	}
}

// launch runs up; the channel gives the URL once it is ready.
func (in *installation) launch() (<-chan string, error) {
	args := append([]string{"up", "--dir", in.dir}, in.args...)
	in.up = exec.Command(bin(in.t), args...)
	in.log = &bytes.Buffer{}
	in.up.Stderr = in.log
	out, err := in.up.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := in.up.Start(); err != nil {
		return nil, err
	}
	in.done = make(chan error, 1)
	ready := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if url, ok := strings.CutPrefix(lines.Text(), "ready "); ok {
				ready <- url
			}
		}
		in.done <- in.up.Wait()
	}()
	return ready, nil
}

// await waits for up to end and returns its exit status.
func (in *installation) await() int {
	in.t.Helper()
	select {
	case err := <-in.done:
		in.done <- err
		return in.up.ProcessState.ExitCode()
	case <-time.After(patience):
		in.t.Fatalf("xenon up does not end\n%s", in.log)
		return -1
	}
}

// signal sends a signal to xenon up.
func (in *installation) signal(sig syscall.Signal) {
	in.t.Helper()
	if err := in.up.Process.Signal(sig); err != nil {
		in.t.Fatal(err)
	}
}

// destroy stops whatever runs; a test that failed shows the log.
func (in *installation) destroy() {
	if in.up == nil {
		return
	}
	if in.t.Failed() {
		in.t.Logf("log of xenon up:\n%s", tail(in.log.String(), 6000))
	}
	in.up.Process.Signal(syscall.SIGTERM)
	select {
	case <-in.done:
	case <-time.After(60 * time.Second):
		in.t.Errorf("xenon up did not end after SIGTERM:\n%s", in.stacks())
	}
}

// stacks ends a process that hangs, and has it and its children say where.
func (in *installation) stacks() string {
	children, _ := exec.Command("pkill", "-QUIT", "-e", "-P", strconv.Itoa(in.up.Process.Pid)).CombinedOutput()
	time.Sleep(time.Second)
	in.up.Process.Signal(syscall.SIGQUIT)
	select {
	case <-in.done:
	case <-time.After(10 * time.Second):
		in.up.Process.Kill()
	}
	text := string(children) + tail(in.log.String(), 60_000)
	logs, _ := filepath.Glob(filepath.Join(in.dir, "log", "*.log"))
	for _, name := range logs {
		b, err := os.ReadFile(name)
		text += fmt.Sprintf("\n== %s (%v)\n%s", filepath.Base(name), err, tail(string(b), 20_000))
	}
	return text
}

func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}

// xenon runs a command on this installation and returns what it printed.
func (in *installation) xenon(args ...string) (stdout string, err error) {
	var out, errText bytes.Buffer
	cmd := exec.Command(bin(in.t), append(args, "--dir", in.dir)...)
	cmd.Stdout, cmd.Stderr = &out, &errText
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("xenon %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(errText.String()))
	}
	return out.String(), nil
}

// must is xenon for a command that has to succeed.
func (in *installation) must(args ...string) string {
	in.t.Helper()
	out, err := in.xenon(args...)
	if err != nil {
		in.t.Fatal(err)
	}
	return out
}

// status asks the running installation.
func (in *installation) status() (s ctl.Status) {
	in.t.Helper()
	out := strings.TrimSpace(in.must("status", "--json"))
	lines := strings.Split(out, "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &s); err != nil {
		in.t.Fatalf("%v in %q", err, out)
	}
	return s
}

// endpoint is the running endpoint of a branch.
func (in *installation) endpoint(branch string) ctl.Endpoint {
	in.t.Helper()
	for _, e := range in.status().Endpoints {
		if e.Branch == branch {
			return e
		}
	}
	in.t.Fatalf("no endpoint on %s", branch)
	return ctl.Endpoint{}
}

// pg runs one of PostgreSQL's own programs against the endpoint on main.
func (in *installation) pg(program string, args ...string) (string, error) {
	name, err := in.dist.Client(program)
	if err != nil {
		return "", err
	}
	cmd := exec.Command(name, args...)
	cmd.Env = append(pgdist.Environ(pgdist.User{Name: "postgres"}), "PGPASSFILE="+filepath.Join(in.dir, "pgpass"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, tail(string(out), 2000))
	}
	return string(out), nil
}

// sql runs statements with psql over TCP and returns the rows, unaligned.
func (in *installation) sql(statements string) string {
	in.t.Helper()
	out, err := in.pg("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statements, in.url)
	if err != nil {
		in.t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// session opens a connection to main over the private socket.
func (in *installation) session() *wire.Client {
	in.t.Helper()
	return dial(in.t, in.endpoint("main"))
}

// eventually waits until ok holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
