package warden_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"xenon/realio/warden"
)

// The test binary is warden, and a sidecar to be killed, as well.
func TestMain(m *testing.M) {
	switch {
	case len(os.Args) > 1 && os.Args[1] == warden.Arg:
		os.Exit(warden.Main())
	case len(os.Args) > 1 && os.Args[1] == "sidecar":
		sidecar(os.Args[2])
	}
	os.Exit(m.Run())
}

// family is a stand-in for a server: a parent, a child, and a grandchild in a
// session of its own, which all write their pids below dir and then sleep.
func family(dir string) warden.Spec {
	script := `trap '' INT TERM
echo $$ >"$0/parent"
setsid sh -c 'trap "" INT TERM HUP QUIT; echo $$ >"$0/grandchild"; exec sleep 1000' "$0" &
trap 'exit 7' USR1
trap 'kill -9 $$' USR2
trap 'exit 3' QUIT
echo ready >"$0/ready"
while :; do sleep 0.05; done`
	return warden.Spec{
		Argv:   []string{"/bin/sh", "-c", script, dir},
		Env:    []string{"PATH=/usr/bin:/bin"},
		Remove: []string{filepath.Join(dir, "sockets")},
		Record: filepath.Join(dir, "record"),
	}
}

// sidecar starts a family and waits to be killed.
func sidecar(dir string) {
	exe, _ := os.Executable()
	s, err := warden.Start(exe, family(dir), os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.WriteFile(filepath.Join(dir, "warden"), []byte(strconv.Itoa(s.WardenPID())), 0o644)
	select {}
}

func prepare(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "sockets", "deep"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func start(t *testing.T, dir string) *warden.Server {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s, err := warden.Start(exe, family(dir), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.End)
	await(t, "the family", func() bool { return exists(dir, "ready") && exists(dir, "grandchild") })
	return s
}

func exists(dir, name string) bool {
	_, err := os.Stat(filepath.Join(dir, name))
	return err == nil
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func pid(t *testing.T, dir, name string) int {
	t.Helper()
	var n int
	await(t, name, func() bool {
		b, _ := os.ReadFile(filepath.Join(dir, name))
		n, _ = strconv.Atoi(strings.TrimSpace(string(b)))
		return n != 0
	})
	return n
}

// gone tells whether a process has ended; a zombie has.
func gone(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(b), ") Z ")
}

func checkNothingLeft(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{"parent", "grandchild"} {
		if p := pid(t, dir, name); !gone(p) {
			t.Errorf("%s %d lives on", name, p)
		}
	}
	if exists(dir, "sockets") || exists(dir, "record") {
		t.Error("sockets or record are left")
	}
}

func TestEndKillsEveryDescendant(t *testing.T) {
	dir := prepare(t)
	s := start(t, dir)
	if !exists(dir, "record") {
		t.Error("no record while the server runs")
	}
	s.End()
	checkNothingLeft(t, dir)
	if got := s.Exit(); got.Clean() {
		t.Errorf("exit %v looks clean", got)
	}
}

func TestTheServersOwnEnd(t *testing.T) {
	tests := []struct {
		signal syscall.Signal
		want   warden.Exit
	}{
		{syscall.SIGUSR1, warden.Exit{Code: 7}},
		{syscall.SIGUSR2, warden.Exit{Code: -1, Signal: syscall.SIGKILL}},
	}
	for _, test := range tests {
		t.Run(test.want.String(), func(t *testing.T) {
			dir := prepare(t)
			s := start(t, dir)
			if err := s.Signal(test.signal); err != nil {
				t.Fatal(err)
			}
			<-s.Ended()
			if got := s.Exit(); got != test.want {
				t.Errorf("exit is %v, want %v", got, test.want)
			}
			checkNothingLeft(t, dir)
		})
	}
}

func TestDeathOfTheSidecar(t *testing.T) {
	dir := prepare(t)
	cmd := runSidecar(t, dir)
	cmd.Process.Kill()
	cmd.Wait()
	await(t, "the end of the family", func() bool {
		return gone(pid(t, dir, "parent")) && gone(pid(t, dir, "grandchild")) && !exists(dir, "record")
	})
	checkNothingLeft(t, dir)
}

func TestDeathOfTheWardenToo(t *testing.T) {
	dir := prepare(t)
	cmd := runSidecar(t, dir)
	syscall.Kill(pid(t, dir, "warden"), syscall.SIGKILL)
	cmd.Process.Kill()
	cmd.Wait()
	await(t, "the server's end with its warden", func() bool { return gone(pid(t, dir, "parent")) })
	if err := warden.Clean(filepath.Join(dir, "record")); err != nil {
		t.Fatal(err)
	}
	if exists(dir, "sockets") || exists(dir, "record") {
		t.Error("sockets or record are left")
	}
	// The grandchild of this family left its session and its working
	// directory; a backend of PostgreSQL ends itself without a postmaster.
	syscall.Kill(pid(t, dir, "grandchild"), syscall.SIGKILL)
	if err := warden.Clean(filepath.Join(dir, "record")); err != nil {
		t.Errorf("a second time: %v", err)
	}
}

func runSidecar(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "sidecar", dir)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	await(t, "the family", func() bool { return exists(dir, "ready") && exists(dir, "grandchild") })
	pid(t, dir, "warden")
	return cmd
}

func TestStartOfWhatIsNotThere(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	_, err = warden.Start(exe, warden.Spec{Argv: []string{"/no/such/postgres"}}, os.Stderr)
	if err == nil || !strings.Contains(err.Error(), "/no/such/postgres") {
		t.Fatalf("got %v, want an error that names the program", err)
	}
}
